"""Worlds drawn from a model's own prior and likelihood, fitted again: are the posterior's ranks and intervals right?

Talts, Betancourt, Simpson, Vehtari and Gelman (2018), Validating Bayesian inference algorithms with simulation-based
calibration, with the log likelihood as a further quantity (Modrak et al., 2023, Bayesian Analysis 20(2)), which sees data
that were ignored.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import jax
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from numpyro import handlers
from scipy.stats import binomtest
from tqdm import tqdm

import bayesuplift as bu
from bayesuplift.data.cells import Cells
from bayesuplift.data.effects import Effects
from bayesuplift.data.units import Units
from bayesuplift.inference import direct, many_chains, nuts
from bayesuplift.inference.compilation import jitted
from bayesuplift.inference.density import Data, conditioned, given
from bayesuplift.inference.fit import Engine
from bayesuplift.inference.reparametrised import prepared
from bayesuplift.inference.session import jax_session
from bayesuplift.spec import Given, registered
from tests.support.examples import design, stated_prior
from tests.support.sbc import FAMILY_LEVEL, miscalibrated, ranks

DRAWS: Final = 79
"""Ranks take 80 values: half of them, and nine tenths of them, are whole numbers of ranks."""

_ELEMENTS: Final = 4  # of a site with many: its first, last and two between
_NUTS_PIECE: Final = DRAWS  # steps of one compiled program, for those left out and those kept
_NUTS_WARMUP: Final = 5 * _NUTS_PIECE
_NUTS_THINNING: Final = 6
_HMC_CHAINS: Final = 8
_HMC_WARMUP: Final = 150
_HMC_DRAWS: Final = 50
_HMC_THINNING: Final = 5

Sites = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Worlds:
    """What is true in each world, and the data it shows.

    Parameters
    ----------
    truth
        Sites (world, ...), with `mean_outcome` and `log likelihood`.
    data
        The data of each world.
    """

    truth: Sites
    data: tuple[Data, ...]


def simulated(name: str, count: int, seed: int) -> Worlds:
    """Draw worlds from the program's prior, and their data from its likelihood."""
    spec, template = registered()[name], design(name)
    known, prior = given(spec, template), Given.of_prior(stated_prior(name))

    def world(key: jax.Array) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
        trace = handlers.trace(handlers.seed(spec.program, key)).get_trace(known, prior=prior)
        values = {k: one["value"] for k, one in trace.items() if one["type"] in ("sample", "deterministic")}
        masks = {k: getattr(one["fn"], "_mask", None) for k, one in trace.items() if one["type"] == "sample"}
        observed = {
            k: values.pop(k) * (1.0 if masks[k] is None else masks[k]) for k in list(values) if k in known.values
        }
        return values, observed

    with jax_session():
        truth, observed = jitted(jax.vmap(world), once=True)(jax.random.split(jax.random.key(seed), count))
        data = tuple(_with(template, {k: np.asarray(part[w]) for k, part in observed.items()}) for w in range(count))
        sites = {k: np.asarray(values) for k, values in truth.items()}
        likelihood = log_likelihood(name, data, {k: values[None] for k, values in sites.items()})[0]
    return Worlds(sites | {"log likelihood": likelihood}, data)


def _with(template: Data, observed: dict[str, np.ndarray]) -> Data:
    """The template with these values of what a program observes."""
    if isinstance(template, Effects):
        return replace(template, estimate=observed["estimate"])
    if isinstance(template, Units):
        outcome = _outcomes(template, observed["projection"], observed["residual_sum_of_squares"])
        return replace(template, experiment=replace(template.experiment, outcome=outcome))
    if "value" in observed:
        table = template.frequencies
        assert table is not None
        table = table.assign(value=observed["value"])
        return replace(template, frequencies=table, statistics=_counted(template, table))
    statistics = template.statistics
    return replace(
        template, statistics=statistics.assign({k: statistics[k].copy(data=part) for k, part in observed.items()})
    )


def _outcomes(units: Units, projection: np.ndarray, residual: np.ndarray) -> NDArray[np.float64]:
    """Outcomes (unit,) that have these statistics: what no coefficient moves lies in any direction."""
    outcome, rng = np.empty(len(units.experiment)), np.random.default_rng(0)
    for arm in range(len(projection)):
        members = units.experiment.arm == arm
        q, _ = np.linalg.qr(np.column_stack([np.ones(members.sum()), units.standardised[members]]))
        away = rng.standard_normal(len(q))
        away -= q @ (q.T @ away)
        length = np.sqrt(residual[arm]) / np.linalg.norm(away) if len(q) > q.shape[1] else 0.0
        outcome[members] = q @ projection[arm, : q.shape[1]] + length * away
    return outcome


def _counted(template: Cells, table: pd.DataFrame) -> xr.Dataset:
    """The statistics of the cells with the totals and squared deviations of a frequency table."""
    statistics, shape = template.statistics, template.n.shape
    cell = table["segment"].to_numpy() * shape[-1] + table["arm"].to_numpy()
    value, times = table["value"].to_numpy(), table["n"].to_numpy()
    total = np.bincount(cell, weights=times * value, minlength=template.n.size)
    mean = total / np.maximum(template.n.ravel(), 1)
    squares = np.bincount(cell, weights=times * (value - mean[cell]) ** 2, minlength=template.n.size)
    made = {"total": total, "sum_squared_deviations": squares}
    return statistics.assign({k: statistics[k].copy(data=part.reshape(shape)) for k, part in made.items()})


def log_likelihood(name: str, data: tuple[Data, ...], sites: Sites) -> NDArray[np.float64]:
    """Log density of each world's data given sites (draw, world, ...), as (draw, world)."""
    latent = {k: values for k, values in sites.items() if k not in ("mean_outcome", "log likelihood")}
    with jax_session():
        return np.asarray(_likelihood(name)(_stacked(name, data), latent))


@functools.cache
def _likelihood(name: str) -> Any:
    """The same compiled, so that every fault is measured by one program."""
    program = conditioned(registered()[name])
    prior = Given.of_prior(stated_prior(name))

    def one(known: Given, values: dict[str, jax.Array]) -> jax.Array:
        with handlers.seed(rng_seed=0):
            trace = handlers.trace(handlers.substitute(program, data=values)).get_trace(known, prior=prior)
        scaled = [
            (one["fn"].log_prob(one["value"]) * (1.0 if one["scale"] is None else one["scale"])).sum()
            for one in trace.values()
            if one["type"] == "sample" and one["is_observed"]
        ]
        return sum(scaled, start=jax.numpy.zeros(()))

    return jitted(jax.vmap(jax.vmap(one, in_axes=(0, 0)), in_axes=(None, 0)), once=True)


def _stacked(name: str, data: tuple[Data, ...]) -> Any:
    return _piled([given(registered()[name], one) for one in data])


def _piled(every: list[Given]) -> Any:
    """Worlds as one, (world, ...); tables of steps, which are as long as a world's largest count needs, as the longest."""
    longest = max((one.values.get("frequency_steps", np.zeros(0)) for one in every), key=len)
    for one in every:
        if "frequency_steps" in one.values:
            one.values["frequency_steps"] = longest
    return jax.tree.map(lambda *parts: np.stack(parts), *every)


def fitted_worlds(name: str, worlds: Worlds, engine: Engine, *, prior: Any = None) -> Sites:
    """Draws (draw, world, ...) of every site, and of the log likelihood, from a fit of every world."""
    stated = stated_prior(name) if prior is None else prior
    if engine == "nuts":
        sites = _by_nuts(name, worlds, stated)
    elif engine == "hmc":
        sites = _by_hmc(name, worlds, stated)
    elif engine == "direct":
        generator = np.random.default_rng(20181804)
        found = [direct.SOLVERS[name](one, stated, generator, DRAWS) for one in worlds.data]
        sites = {k: np.stack([one[k] for one in found], axis=1) for k in found[0]}
    else:
        trees = [bu.fit(name, one, seed=k, prior=stated, chains=1, draws=DRAWS) for k, one in enumerate(worlds.data)]
        group = trees[0]["posterior"].data_vars
        sites = {str(k): np.stack([tree["posterior"][k].to_numpy()[0] for tree in trees], axis=1) for k in group}
    return sites | {"log likelihood": log_likelihood(name, worlds.data, sites)}


def _by_nuts(name: str, worlds: Worlds, prior: Any) -> Sites:
    """One chain a world, all worlds stepped by one compiled program; each adapts to its own data."""
    start, advance, sites = _chains(name)
    numbers = Given.of_prior(prior)
    with jax_session():
        keys = jax.random.split(jax.random.key(20140930), (len(worlds.data), 1))
        data = _piled([prepared(registered()[name], one) for one in worlds.data])
        state = start(keys, data, numbers)
        for _ in range(_NUTS_WARMUP // _NUTS_PIECE):
            state, _ = advance(state, data, numbers)
        pieces = []
        for _ in range(_NUTS_THINNING):
            state, (positions, _) = advance(state, data, numbers)
            pieces.append(positions)
        kept = jax.tree.map(lambda *parts: np.concatenate(parts, axis=2)[:, :, ::_NUTS_THINNING], *pieces)
        found = sites(kept, data, numbers)
    return {k: np.swapaxes(np.asarray(v)[:, 0], 0, 1) for k, v in found.items()}


@functools.cache
def _chains(name: str) -> tuple[Any, Any, Any]:
    """What starts, steps and reads the chains of all worlds, compiled once for every prior."""
    chain = nuts.compiled(name, _NUTS_WARMUP)
    in_axes = (0, 0, None)
    advance = jax.vmap(lambda state, known, numbers: chain.advance(state, known, numbers, _NUTS_PIECE), in_axes)
    sites = jax.vmap(chain.sites, in_axes)
    return jitted(jax.vmap(chain.start, in_axes), once=True), jitted(advance, density=True), jitted(sites, once=True)


def _by_hmc(name: str, worlds: Worlds, prior: Any) -> Sites:
    """Few chains a world, world by world through one compiled program; each adapts to its own data."""
    spec, sampler, numbers = registered()[name], many_chains.compiled(name), Given.of_prior(prior)
    found: list[Sites] = []
    with jax_session(), tqdm(disable=True) as bar:
        for world, one in enumerate(worlds.data):
            data = prepared(spec, one)
            walk = many_chains.Walk(sampler, jax.random.key(world), data, numbers, chains=_HMC_CHAINS, bar=bar)
            walk.warm_up(_HMC_WARMUP)
            positions = walk.draw(_HMC_DRAWS).position[::_HMC_THINNING]
            found.append({k: np.concatenate(list(v))[:DRAWS] for k, v in walk.sites(positions).items()})
    return {k: np.stack([one[k] for one in found], axis=1) for k in found[0]}


def rank_table(worlds: Worlds, draws: Sites) -> dict[str, NDArray[np.int64]]:
    """Ranks (world,) of the elements of every site, and of the log likelihood."""
    table: dict[str, NDArray[np.int64]] = {}
    for site, truth in worlds.truth.items():
        flat = truth.reshape(len(truth), -1)
        found = ranks(flat, draws[site].reshape(len(draws[site]), *flat.shape))
        moving = [k for k in range(flat.shape[1]) if np.ptp(flat[:, k]) > 0]
        kept = np.unique(np.linspace(0, len(moving) - 1, min(len(moving), _ELEMENTS)).round().astype(int))
        table |= {f"{site} {moving[k]}" if flat.shape[1] > 1 else site: found[:, moving[k]] for k in kept}
    return table


def rejected(worlds: Worlds, draws: Sites) -> dict[str, float]:
    """Quantities whose ranks leave their simultaneous band."""
    return miscalibrated(rank_table(worlds, draws), DRAWS)


def coverage(worlds: Worlds, draws: Sites) -> dict[str, tuple[int, int, float]]:
    """How many central intervals of mean outcomes and effects hold the truth, of how many, and the share they should."""
    truth, found = worlds.truth["mean_outcome"], draws["mean_outcome"]
    both = {
        "mean_outcome": (truth, found),
        "difference": (truth[..., 1:] - truth[..., [0]], found[..., 1:] - found[..., [0]]),
    }
    counts = {}
    for kind, (true, drawn) in both.items():
        placed = ranks(true, drawn).reshape(len(true), -1)
        moving = [k for k in range(placed.shape[1]) if np.ptp(true.reshape(len(true), -1)[:, k]) > 0]
        for level, outside in (("50%", 20), ("90%", 4)):
            inside = (placed >= outside) & (placed <= DRAWS - outside)
            for k in moving[:: max(len(moving) // _ELEMENTS, 1)]:
                held = int(inside[:, k].sum())
                counts[f"{level} of {kind} {k}"] = (held, len(true), 1.0 - 2 * outside / (DRAWS + 1))
    return counts


def off(counts: dict[str, tuple[int, int, float]]) -> list[str]:
    """Intervals that hold the truth too seldom or too often for binomial counts; the level is shared between them."""
    level = FAMILY_LEVEL / len(counts)
    return [name for name, (held, of, share) in counts.items() if binomtest(held, of, share).pvalue < level]


Fault = Callable[[str, Worlds, Engine, Sites], Sites]


def too_sure(name: str, worlds: Worlds, engine: Engine, draws: Sites) -> Sites:  # noqa: ARG001
    """Half the spread about the mean."""
    return {k: v.mean(0) + 0.5 * (v - v.mean(0)) for k, v in draws.items()}


def next_worlds(name: str, worlds: Worlds, engine: Engine, draws: Sites) -> Sites:  # noqa: ARG001
    """Each world's draws taken from the next: another world's data were fitted."""
    return {k: np.roll(v, 1, axis=1) for k, v in draws.items()}


def without_the_data(name: str, worlds: Worlds, engine: Engine, draws: Sites) -> Sites:  # noqa: ARG001
    """Draws from the prior, which are the truths of other worlds: only the log likelihood tells."""
    count = len(worlds.data)
    others = (np.arange(count) + np.random.default_rng(4).integers(1, count, (DRAWS, count))) % count
    sites = {k: v[others] for k, v in worlds.truth.items() if k != "log likelihood"}
    return sites | {"log likelihood": log_likelihood(name, worlds.data, sites)}


def under_the_sceptics_prior(name: str, worlds: Worlds, engine: Engine, draws: Sites) -> Sites:  # noqa: ARG001
    """Fitted under the strong alternative instead of the prior that made the worlds."""
    strong = stated_prior(name).alternatives(worlds.data[0])["strong"]
    return fitted_worlds(name, worlds, engine, prior=strong)


FAULTS: Final[dict[str, Fault]] = {
    "too sure": too_sure,
    "other data": next_worlds,
    "data ignored": without_the_data,
    "other prior": under_the_sceptics_prior,
}
