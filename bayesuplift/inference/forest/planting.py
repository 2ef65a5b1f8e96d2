"""From rows and a prior in the outcome's units to what the sampler wants: standardised, binned, in float32."""

import jax
import jax.numpy as jnp
import numpy as np

from bayesuplift.data.causal_rows import CausalRows
from bayesuplift.errors import ArgumentError
from bayesuplift.inference.forest import gibbs, kernel
from bayesuplift.inference.forest.binning import Cuts
from bayesuplift.inference.forest.settings import Resolved
from bayesuplift.priors.forest import ForestPrior

_LEAST_STEP = 16


def cut(rows: CausalRows, prior: ForestPrior) -> tuple[Cuts, Cuts]:
    """Where the covariates of mu, and those of the effect, may be cut.

    Raises
    ------
    ArgumentError
        None of them varies.
    """
    found = Cuts.of(rows.prognostic, prior.most_cuts), Cuts.of(rows.moderators, prior.most_cuts)
    for name, one in zip(("prognostic covariates", "moderators"), found, strict=True):
        if not one.varying.size:
            raise ArgumentError(f"none of the {name} varies over the rows; a forest needs one that does")
    return found


def planted(
    rows: CausalRows, prior: ForestPrior, resolved: Resolved, cuts: tuple[Cuts, Cuts]
) -> tuple[gibbs.Data, tuple[kernel.Trees, kernel.Trees]]:
    """Return the data, with rows that are none at the end, and the two forests, their trees all one leaf of value 0."""
    n = len(rows.outcome)
    padding = padded(n) - n
    coding = np.pad(rows.treated - resolved.centre, (0, padding))
    standardised = rows.outcome if rows.binary else (rows.outcome - resolved.location) / resolved.spread
    outcome = np.pad(standardised, (0, padding))
    weight = np.pad(np.ones(n) if rows.weight is None else rows.weight, (0, padding))
    with jax.enable_x64(False):  # noqa: FBT003 -- JAX's own signature
        (prognostic, first), (effect, second) = (
            kernel.plant(
                np.pad(one.bins(table), ((0, 0), (0, padding))),
                one.number[one.varying],
                kernel.Shape(shape.trees, shape.depth, shape.base, shape.power, shape.least_units),
                weights=weights,
                leaf_sd=sd / resolved.spread / np.sqrt(shape.trees),
                padding=padding,
            )
            for one, table, shape, weights, sd in (
                (
                    cuts[0],
                    rows.prognostic,
                    prior.prognostic,
                    None if rows.weight is None else weight,
                    resolved.prognostic_sd,
                ),
                (cuts[1], rows.moderators, prior.effect, weight * coding**2, resolved.effect_sd),
            )
        )
        data = gibbs.Data(
            outcome=jnp.asarray(outcome, jnp.float32),
            coding=jnp.asarray(coding, jnp.float32),
            weight=jnp.asarray(weight, jnp.float32),
            prognostic=prognostic,
            effect=effect,
            degrees=jnp.float32(rows.within_degrees),
            squares=jnp.float32(rows.within_squares / resolved.spread**2),
            offset=jnp.float32(resolved.location if rows.binary else 0.0),
        )
    return data, (first, second)


def padded(n: int) -> int:
    """Rows with those that are none: data of nearly the same size share a compiled program. At most an eighth more.

    >>> padded(500), padded(512), padded(5000)
    (512, 512, 5120)
    """
    step = max(_LEAST_STEP, 2 ** (n.bit_length() - 1) // 8)
    return -(-n // step) * step


def numbers(prior: ForestPrior, resolved: Resolved) -> gibbs.Prior:
    """Priors of what is no tree, on the standardised scale."""
    sds = np.array([resolved.intercept_sd / resolved.spread, resolved.average_sd / resolved.spread, 1.0])
    size = 3 if prior.expanded else 2
    with jax.enable_x64(False):  # noqa: FBT003
        return gibbs.Prior(
            mean=jnp.zeros(size, jnp.float32),
            precision=jnp.asarray(sds[:size] ** -2.0, jnp.float32),
            shape=jnp.float32(resolved.noise_shape),
            rate=jnp.float32(resolved.noise_rate / resolved.spread**2),
        )
