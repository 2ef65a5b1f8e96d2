"""From rows and a prior in the outcome's units to what the sampler wants: standardised, binned, in float32."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.causal_rows import CausalRows
from bayesuplift.errors import ArgumentError
from bayesuplift.inference.forest import gibbs, kernel
from bayesuplift.inference.forest.binning import Cuts
from bayesuplift.inference.forest.groups import GroupPrior, Groups
from bayesuplift.inference.forest.settings import Resolved
from bayesuplift.priors.forest import ForestPrior, ForestShape

_LEAST_STEP = 16
_LEAF_SHAPE = 3.0
_MOST_OF_EFFECTS = 4.0  # times what is stated: where the variance of an effect's leaves is cut off
_SCALE_DEGREES = 4.0


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
    """Return the data, with rows that are none at the end, and the forests, their trees all one leaf of value 0."""
    n = len(rows.outcome)
    padding = padded(n) - n
    coding = np.pad((resolved.coding / resolved.reach)[rows.arm].T, ((0, 0), (0, padding)))
    standardised = rows.outcome if rows.binary else (rows.outcome - resolved.location) / resolved.spread
    outcome = np.pad(standardised, (0, padding))
    weight = np.pad(np.ones(n) if rows.weight is None else rows.weight / resolved.weight, (0, padding))

    def forest(
        which: int, table: NDArray[np.float64], shape: ForestShape, sd: float, weights: NDArray[np.float64] | None
    ) -> tuple[kernel.Plot, kernel.Trees]:
        return kernel.plant(
            np.pad(cuts[which].bins(table), ((0, 0), (0, padding))),
            cuts[which].number[cuts[which].varying],
            kernel.Shape(shape.trees, shape.depth, shape.base, shape.power, shape.least_units),
            weights=weights,
            leaf_sd=leaf_sd(shape, sd, resolved),
            padding=padding,
        )

    with jax.enable_x64(False):  # noqa: FBT003 -- JAX's own signature
        own = None if rows.weight is None else weight
        prognostic, first = forest(0, rows.prognostic, prior.prognostic, resolved.prognostic_sd, own)
        effects = [forest(1, rows.moderators, prior.effect, resolved.effect_sd, weight * one**2) for one in coding]
        effect, second = jax.tree.map(lambda *parts: jnp.stack(parts), *effects)
        data = gibbs.Data(
            outcome=jnp.asarray(outcome, jnp.float32),
            weight=jnp.asarray(weight, jnp.float32),
            coding=jnp.asarray(coding, jnp.float32),
            prognostic=prognostic,
            effect=effect,
            degrees=jnp.float32(rows.within_degrees),
            squares=jnp.float32(rows.within_squares / resolved.spread**2),
            groups=_grouped(rows, coding, weight) if rows.groups else None,
            offset=jnp.float32(resolved.location if rows.binary else 0.0),
        )
    return data, (first, second)


def leaf_sd(shape: ForestShape, sd: float, resolved: Resolved) -> float:
    """Prior standard deviation of a leaf on the standardised scale."""
    return float(sd / resolved.spread / np.sqrt(shape.trees))


def _grouped(rows: CausalRows, coding: NDArray[np.float64], weight: NDArray[np.float64]) -> Groups:
    """Levels of every row, and what the sampler needs of each level's rows beside their outcomes."""
    number = [int(one.max()) + 1 for one in rows.groups]
    padding = len(weight) - len(rows.outcome)
    design = np.vstack([np.ones_like(weight), coding])
    products = np.einsum("n,in,jn->nij", weight, design, design)
    sums = np.zeros((len(number), max(number), *products.shape[1:]))
    place = np.pad(np.stack(rows.groups), ((0, 0), (0, padding)))
    for term, levels in enumerate(place):
        np.add.at(sums[term], levels, products)
    return Groups(
        place=jnp.asarray(place, jnp.int32),
        there=jnp.asarray(np.arange(max(number)) < np.array(number)[:, None], jnp.float32),
        design=jnp.asarray(sums, jnp.float32),
    )


def padded(n: int) -> int:
    """Rows with those that are none: data of nearly the same size share a compiled program. At most an eighth more.

    >>> padded(500), padded(512), padded(5000)
    (512, 512, 5120)
    """
    step = max(_LEAST_STEP, 2 ** (n.bit_length() - 1) // 8)
    return -(-n // step) * step


def numbers(prior: ForestPrior, resolved: Resolved, rows: CausalRows) -> gibbs.Prior:
    """Priors of what is no tree, on the standardised scale."""
    treatments = resolved.coding.shape[1]
    sds = np.array([resolved.intercept_sd, *[resolved.average_sd] * treatments]) / resolved.spread
    forests = [(prior.prognostic, resolved.prognostic_sd), *[(prior.effect, resolved.effect_sd)] * treatments]
    variances = np.array([leaf_sd(shape, sd, resolved) ** 2 for shape, sd in forests])
    of_segments = np.array([resolved.segment_sd, resolved.segment_effect_sd]) / resolved.spread
    with jax.enable_x64(False):  # noqa: FBT003
        return gibbs.Prior(
            mean=jnp.zeros(1 + 2 * treatments, jnp.float32),
            precision=jnp.asarray(np.append(sds, np.ones(treatments)) ** -2.0, jnp.float32),
            shape=jnp.float32(resolved.noise_shape),
            rate=jnp.float32(resolved.noise_rate / resolved.spread**2),
            leaf_shape=jnp.float32(_LEAF_SHAPE),
            leaf_rate=jnp.asarray((_LEAF_SHAPE - 1.0) * variances, jnp.float32),
            leaf_most=jnp.asarray(np.append(np.inf, _MOST_OF_EFFECTS * variances[1:]), jnp.float32),
            groups=GroupPrior(jnp.asarray(of_segments, jnp.float32), jnp.float32(_SCALE_DEGREES))
            if rows.groups
            else None,
        )
