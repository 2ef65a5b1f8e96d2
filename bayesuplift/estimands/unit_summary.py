"""Effects of very many units in numbers, in one pass over blocks of units: their draws are never held twice."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.dims import ARM, CHAIN, DRAW, MEAN_OUTCOME, POSTERIOR, SEGMENT, UNIT
from bayesuplift.errors import ArgumentError
from bayesuplift.estimands.scales import contrasted
from bayesuplift.estimands.summary import check_draws, equal_tails
from bayesuplift.estimands.value import Economics
from bayesuplift.posterior.schema import arms, validate

Array = NDArray[np.float64]

HALF: Final = 0.5
"""Mass of the inner interval."""

EVERY_ARM: Final = "every_arm"
"""Dimension of all arms, the control among them."""

_INTERVALS: Final = ("lower", "upper", "half_lower", "half_upper")
_BLOCK: Final = 2**22  # mean outcomes that are held in float64 at a time
_FEWEST_BATCHES: Final = 20  # of all chains together: the error of an error is then a sixth of it


@dataclass(frozen=True, eq=False)
class UnitSummary:
    """Effects of every unit, summarized over draws, and of every draw, summarized over units.

    Parameters
    ----------
    by_unit
        Over (unit, arm), all arms but the control: `mean`, the interval's ends `lower` and `upper`, and those of its inner
        half `half_lower` and `half_upper` (outcome units); `prob_gain`, P(the arm pays), with `prob_gain_mcse`. And
        `prob_best` (unit, every_arm), P(no arm does better), shared where arms tie, with `prob_best_mcse`.
    by_draw
        Over (chain, draw, arm): `average` effect and its `spread` over the units, a standard deviation (outcome units), and
        `share_gaining`, the share of the units that the arm pays for. And `share_best` (chain, draw, every_arm), the share
        of the units that no arm does better for.
    """

    by_unit: xr.Dataset
    by_draw: xr.Dataset


def unit_summary(
    posterior: xr.DataTree, *, economics: Economics | None = None, higher_is_better: bool = True, prob: float = 0.95
) -> UnitSummary:
    """Summarize the effect of each arm against the control on every unit.

        tau_{i,a} = mu_{i,a} - mu_{i,0};     the arm pays for a unit where value tau_{i,a} > cost_a - cost_0

    Without economics it pays where its effect is on the better side of 0. The best arm has the largest value mu - cost.

    Parameters
    ----------
    posterior
        A tree over units.
    economics
        What the outcome is worth and what arms cost, if that is known.
    higher_is_better
        Whether a higher outcome is the better one; economics, where there are any, say so themselves.
    prob
        Mass of the equal-tailed credible intervals.

    Returns
    -------
    UnitSummary
        Errors of probabilities are by batch means: Flegal and Jones (2010), Batch means and spectral variance estimators in
        Markov chain Monte Carlo, Annals of Statistics 38(2), section 3. Where all draws of a unit agree, the error is one
        in the number of independent draws that those of its effects are worth.

    Raises
    ------
    PosteriorError
        The tree does not follow the schema.
    ArgumentError
        The posterior is not over units, or an option is outside its range.
    ArmNotFoundError
        A cost is given for an arm that there is not.
    """
    held = _over_units(posterior)
    labels, control = list(arms(posterior)), str(posterior.attrs["control"])
    place = labels.index(control)
    others = [position for position in range(len(labels)) if position != place]
    value, costs = 1.0 if higher_is_better else -1.0, np.zeros(len(labels))
    if economics is not None:
        value, costs = economics.value_per_outcome, economics.costs(labels, control).to_numpy()
    tails = (*equal_tails(prob), *equal_tails(HALF))
    chains, draws, units, _ = held.shape
    found = {name: np.empty((len(others), units)) for name in ("mean", *_INTERVALS, "prob_gain", "prob_gain_mcse")}
    best_of_unit = {name: np.empty((len(labels), units)) for name in ("prob_best", "prob_best_mcse")}
    best_of_draw, gaining = np.zeros((len(labels), chains * draws)), np.zeros((len(others), chains * draws))
    spread = _Spread(np.zeros_like(gaining), np.zeros_like(gaining))
    for block in _blocks(units, chains * draws * len(labels)):
        # (arm, draw, unit): NumPy is slow along a last dimension as short as that of arms
        means = held[:, :, block].transpose(3, 0, 1, 2).astype(np.float64, order="C")
        means = means.reshape(len(labels), chains * draws, -1)
        effect = means[others] - means[place]
        pays = (value * effect > (costs[others] - costs[place])[:, None, None]).astype(np.float64)
        best = _best(value * means - costs[:, None, None])
        spread = spread.with_more(effect)
        gaining += pays.sum(axis=2)
        best_of_draw += best.sum(axis=2)
        worth = _independent_draws(effect, chains)
        found["mean"][:, block] = effect.mean(axis=1)
        for name, end in zip(_INTERVALS, np.quantile(effect, tails, axis=1), strict=True):
            found[name][:, block] = end
        found["prob_gain"][:, block] = pays.mean(axis=1)
        found["prob_gain_mcse"][:, block] = _event_error(pays, 1.0 / worth, chains)
        best_of_unit["prob_best"][:, block] = best.mean(axis=1)
        best_of_unit["prob_best_mcse"][:, block] = _event_error(best, 1.0 / worth.min(axis=0), chains)
    own = posterior[POSTERIOR].to_dataset()[MEAN_OUTCOME]
    every = {ARM: [labels[position] for position in others], EVERY_ARM: labels}
    by_unit = {name: ((UNIT, ARM), values.T) for name, values in found.items()}
    by_unit |= {name: ((UNIT, EVERY_ARM), values.T) for name, values in best_of_unit.items()}
    of_arm = {"average": spread.mean, "spread": np.sqrt(spread.squares / units), "share_gaining": gaining / units}
    by_draw = {name: ((CHAIN, DRAW, ARM), values.T.reshape(chains, draws, -1)) for name, values in of_arm.items()}
    by_draw["share_best"] = ((CHAIN, DRAW, EVERY_ARM), (best_of_draw.T / units).reshape(chains, draws, -1))
    return UnitSummary(
        by_unit=xr.Dataset(by_unit, coords={**_labels(own, UNIT), **every}),
        by_draw=xr.Dataset(by_draw, coords={**_labels(own, CHAIN, DRAW), **every}),
    )


def sorted_groups(posterior: xr.DataTree, by: xr.DataArray, count: int) -> xr.DataArray:
    """Average effects on units that are alike in their expected effect: (chain, draw, segment, arm), outcome units.

    For each arm the units are sorted by their expected effect of this arm, the largest first, and cut into groups of one
    size, or of sizes that differ by one; `segment` numbers them from 1.

    Parameters
    ----------
    posterior
        A tree over units.
    by
        Expected effects (unit, arm), such as `mean` of `unit_summary`.
    count
        Number of groups, at most one a unit.

    Raises
    ------
    ArgumentError
        The posterior is not over units.
    """
    held = _over_units(posterior)
    own = posterior[POSTERIOR].to_dataset()[MEAN_OUTCOME]
    parts = []
    for arm in by[ARM].to_numpy():
        groups = split(by.sel({ARM: arm}).to_numpy(), count)
        means = np.stack([held[:, :, one].mean(axis=2, dtype=np.float64) for one in groups], axis=2)
        coords = {**_labels(own, CHAIN, DRAW), SEGMENT: np.arange(1, len(groups) + 1), ARM: own[ARM].to_numpy()}
        of_arm = xr.DataArray(means, dims=(CHAIN, DRAW, SEGMENT, ARM), coords=coords)
        parts.append(contrasted(posterior, of_arm, "difference").sel({ARM: [arm]}))
    return xr.concat(parts, ARM, combine_attrs="override")


def split(values: Array, count: int) -> list[NDArray[np.intp]]:
    """Positions of values (unit,) in groups, the largest first, of sizes that differ by one at most."""
    return np.array_split(np.argsort(-values, kind="stable"), min(count, len(values)))


def _over_units(posterior: xr.DataTree) -> NDArray[np.floating]:
    """Draws of the mean outcome (chain, draw, unit, arm) in the precision that they are kept in."""
    validate(posterior)
    held = posterior[POSTERIOR].to_dataset()[MEAN_OUTCOME]
    if UNIT not in held.dims:
        raise ArgumentError("the posterior has no units; effects by segment are cate(posterior)")
    check_draws(held)
    return held.transpose(CHAIN, DRAW, UNIT, ARM).to_numpy()


def _labels(draws: xr.DataArray, *dims: str) -> dict[str, NDArray[np.generic]]:
    return {dim: draws[dim].to_numpy() for dim in dims if dim in draws.coords}


def _blocks(units: int, each: int) -> Iterator[slice]:
    """Some units at a time, of so many numbers each."""
    size = max(1, _BLOCK // each)
    for start in range(0, units, size):
        yield slice(start, min(start + size, units))


def _best(gain: Array) -> Array:
    """1 for the best arm of every draw and unit, (arm, draw, unit), shared where arms tie."""
    best = (gain == gain.max(axis=0)).astype(np.float64)
    return best / best.sum(axis=0)


@dataclass(frozen=True)
class _Spread:
    """Mean and sum of squares about it of the units so far, (arm, draw); Chan, Golub and LeVeque (1983), equation 2.1."""

    mean: Array
    squares: Array
    units: int = 0

    def with_more(self, effect: Array) -> "_Spread":
        """Take in the effects (arm, draw, unit) of more units."""
        more = effect.shape[2]
        mean = effect.mean(axis=2)
        gap, every = mean - self.mean, self.units + more
        squares = ((effect - mean[..., None]) ** 2).sum(axis=2) + gap**2 * (self.units * more / every)
        return _Spread(self.mean + gap * (more / every), self.squares + squares, every)


def _independent_draws(effect: Array, chains: int) -> Array:
    """Number of independent draws that those of an effect (arm, draw, unit) are worth, (arm, unit), at most all."""
    error, variance = _batch_error(effect, chains), effect.var(axis=1, ddof=1)
    worth = np.divide(variance, error**2, out=np.full_like(variance, np.inf), where=error > 0)
    return np.clip(worth, 1.0, effect.shape[1])


def _event_error(events: Array, unseen: Array, chains: int) -> Array:
    """Monte Carlo error (arm, unit) of the mean of events (arm, draw, unit); `unseen` where all draws agree."""
    agreed = events.max(axis=1) == events.min(axis=1)
    return np.where(agreed, unseen, _batch_error(events, chains))


def _batch_error(values: Array, chains: int) -> Array:
    """Standard error of the mean over draws, chain after chain, from the means of batches: neighbours of one chain each."""
    arms_of, every, units = values.shape
    draws = every // chains
    per_chain = min(-(-_FEWEST_BATCHES // chains), draws)
    length = draws // per_chain
    kept = values.reshape(arms_of, chains, draws, units)[:, :, : per_chain * length]
    means = kept.reshape(arms_of, chains * per_chain, length, units).mean(axis=2)
    # the last draws of a chain may be in no batch; they are in the mean whose error this is
    return np.asarray(means.std(axis=1, ddof=1) * np.sqrt(length / every))
