"""A model's program, conditioned on data: what it is given, what it observes, and the log density of the rest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from bayesuplift.data.cells import Cells
from bayesuplift.data.contrasts import contrasts_of
from bayesuplift.data.effects import Effects
from bayesuplift.data.propensity import by_segment
from bayesuplift.data.units import Units
from bayesuplift.dims import ARM, SEGMENT, TERM, UNIT
from bayesuplift.spec import EVENT_DIMS, Given, ModelSpec, Program

Data = Cells | Effects | Units

_FEWEST_STEPS = 64


def given(spec: ModelSpec, data: Data) -> Given:
    """The statistics of the data as a model's program takes them.

    With factors also their `design`, a `Given` of its own: `columns`, `basis` and `term` of `Contrasts`, `treated` (arm,
    treatment), 1 where an arm is the treatment, and `propensity` (segment,) where the cells hold one: see `by_segment`.

    For counts also the frequency table, by row: `value`, `frequency_exposure`, `frequency_n`, and `frequency_cell`, the
    position of its cell in the flattened ([segment], arm); and `frequency_steps`, 0, 1, 2, ... past the largest count, as
    many as a power of 2, so that other counts seldom need another compilation.

    Of units also `columns` (unit, covariate), `triangle` (arm, component, 1 + covariate), and `treated` (arm, treatment).
    """
    statistics = data.statistics
    values: dict[str, Any] = {str(name): np.asarray(part.to_numpy()) for name, part in statistics.data_vars.items()}
    sizes = {str(name): int(size) for name, size in next(iter(statistics.data_vars.values())).sizes.items()}
    if isinstance(data, Units):
        values |= {"columns": data.standardised, "triangle": data.regression.triangle, "treated": _treated(data)}
        return Given(values, {UNIT: len(data.experiment), **sizes})
    table = data.frequencies if isinstance(data, Cells) else None
    if table is not None:
        values["value"] = table["value"].to_numpy()
        values["frequency_exposure"] = table["exposure"].to_numpy()
        values["frequency_steps"] = np.arange(
            max(2 ** int(np.ceil(np.log2(table["value"].max() + 1.0))), _FEWEST_STEPS)
        )
        values["frequency_n"] = table["n"].to_numpy().astype(np.float64)
        values["frequency_cell"] = table[SEGMENT].to_numpy() * sizes[ARM] + table[ARM].to_numpy()
    if spec.factors:
        assert isinstance(data, Cells)
        values["design"] = _design(data)
    return Given(values, sizes)


def _design(cells: Cells) -> Given:
    """The factors of the segments, and which arms are treatments, for a pooled linear predictor."""
    coded = contrasts_of(cells)
    values = {"columns": coded.columns, "basis": coded.basis, "term": coded.term, "treated": _treated(cells)}
    if cells.has_propensity:
        values["propensity"], _ = by_segment(cells.n, cells.propensity_log_odds_total)
    return Given(values, {TERM: len(coded.terms), SEGMENT: len(coded.columns) if SEGMENT in coded.terms else 0})


def _treated(data: Cells | Units) -> np.ndarray:
    """Which arm is which treatment, (arm, treatment), 1 or 0."""
    return np.eye(len(data.design.arms))[:, 1:]  # the control stands first


def conditioned(spec: ModelSpec) -> Program:
    """Return the program with every site that is named after a statistic of its data set to that statistic."""

    def program(data: Given, *, prior: Any) -> None:
        with handlers.condition(data=data.values):
            spec.program(data, prior=prior)

    return program


@dataclass(frozen=True)
class Sites:
    """Sites of a conditioned program.

    Parameters
    ----------
    dims
        Dimensions of every latent or deterministic site: its plates, then those that its `infer` names as `EVENT_DIMS`.
    latent
        Names of those that are drawn.
    """

    dims: dict[str, tuple[str, ...]]
    latent: tuple[str, ...]


def sites_of(spec: ModelSpec, data: Given, prior: Any) -> Sites:
    """Trace the conditioned program, its values abstract: nothing is computed, let alone compiled."""
    trace: dict[str, Any] = {}

    def run() -> None:
        with handlers.seed(rng_seed=0):
            trace.update(handlers.trace(conditioned(spec)).get_trace(data, prior=prior))

    jax.eval_shape(run)
    latent = tuple(name for name, site in trace.items() if site["type"] == "sample" and not site["is_observed"])
    dims = {
        name: (
            *(frame.name for frame in sorted(site["cond_indep_stack"], key=lambda frame: frame.dim)),
            *site.get("infer", {}).get(EVENT_DIMS, ()),
        )
        for name, site in trace.items()
        if site["type"] == "deterministic" or name in latent
    }
    return Sites(dims, latent)


def log_prior(program: Program, data: Given, prior: Any) -> Callable[[Mapping[str, jax.Array]], jax.Array]:
    """Log prior density, summed over the latent sites, as a function of one draw of them."""

    def evaluate(draw: Mapping[str, jax.Array]) -> jax.Array:
        with handlers.seed(rng_seed=0):
            trace = handlers.trace(handlers.substitute(program, data=dict(draw))).get_trace(data, prior=prior)
        parts = [
            jnp.sum(site["fn"].log_prob(site["value"]))
            for site in trace.values()
            if site["type"] == "sample" and not site["is_observed"]
        ]
        return jnp.sum(jnp.stack(parts))

    return evaluate
