"""Segments against each other: which of them gains more, and how sure that is."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.dims import ARM, CHAIN, DRAW, SEGMENT, UNIT
from bayesuplift.errors import ArgumentError, listed
from bayesuplift.estimands.summary import check_draws, equal_tails
from bayesuplift.posterior.diagnostics import effective_draws, event_error, monte_carlo_error

_MOST_COMPARISONS: Final = 20_000  # pairs times arms; their errors take a millisecond each
_BLOCK: Final = 4_000_000  # draws of differences held at a time
_PAIR: Final = "pair"
_FEWEST: Final = 2


def pairwise(effect: xr.DataArray, *, prob: float = 0.95) -> xr.Dataset:
    """Compare the effects of every two segments, or groups, and rank them.

    Parameters
    ----------
    effect
        Draws (chain, draw, segment, [arm]) of `cate` or `gate`.
    prob
        Mass of the equal-tailed credible intervals.

    Returns
    -------
    xarray.Dataset
        Over (segment, other, [arm]): `difference`, the mean of the segment's effect less the other's, with
        `difference_mcse`, `difference_lower` and `difference_upper`, in the effect's units; and `prob_greater`,
        P(segment's effect > the other's), with `prob_greater_mcse`. Over (segment, [arm]): `prob_largest`, P(segment's
        effect is the largest of all), shared where draws tie, with `prob_largest_mcse`. A segment against itself differs by
        0, and is not greater. The attribute `multiplicity` says what the posterior does about many comparisons.

    Raises
    ------
    ArgumentError
        No draws over segments, fewer than two of them, or more than 20,000 comparisons (segments (segments - 1) / 2, times
        arms): compare groups of them.

    Notes
    -----
    Many comparisons need no correction where the effects are pooled: the model has moved them towards each other by as much
    as the data ask for (Gelman, Hill and Yajima, 2012, Why we (usually) don't have to worry about multiple comparisons,
    Journal of Research on Educational Effectiveness 5, 189-211). Effects that are not pooled have no such protection:
    among many, some pair is far apart by chance.
    """
    check_draws(effect)
    lower, upper = equal_tails(prob)
    if SEGMENT not in effect.dims or not set(effect.dims) <= {CHAIN, DRAW, SEGMENT, ARM}:
        raise ArgumentError(
            f"the effect has dimensions {listed(effect.dims)}; expected chain, draw, segment, [arm]: units are compared in "
            "groups, gate(posterior, by=…)"
        )
    segments, arms = effect.sizes[SEGMENT], effect.sizes.get(ARM, 1)
    comparisons = segments * (segments - 1) // 2 * arms
    if segments < _FEWEST:
        raise ArgumentError(f"there is {segments} segment; two are needed for a comparison")
    if comparisons > _MOST_COMPARISONS:
        raise ArgumentError(
            f"{segments:,} segments make {comparisons:,} comparisons, at most {_MOST_COMPARISONS:,} are made: compare "
            "groups of them, gate(posterior, by=…), or choose some with .sel"
        )
    ordered = effect.transpose(CHAIN, DRAW, SEGMENT, ...)
    shape = (segments, segments, *ordered.shape[3:])
    table = {
        name: np.zeros(shape) for name in ("difference", "difference_mcse", "difference_lower", "difference_upper")
    }
    table |= {name: np.zeros(shape) for name in ("prob_greater", "prob_greater_mcse")}
    for first, second in _blocks(segments, ordered):
        _fill(table, ordered, first, second, (lower, upper))
    dims = (SEGMENT, "other", *ordered.dims[3:])
    names = ordered[SEGMENT].to_numpy()
    coords = {name: one for name, one in ordered.coords.items() if set(one.dims) <= {SEGMENT, ARM}}
    result = xr.Dataset({name: (dims, values) for name, values in table.items()}, coords={**coords, "other": names})
    largest = _largest(ordered)
    result["prob_largest"] = largest.mean((CHAIN, DRAW))
    result["prob_largest_mcse"] = event_error(largest, 1.0 / effective_draws(ordered).min(SEGMENT))
    for values in result.values():
        values.attrs = {}
    result.attrs = {**effect.attrs, "prob": prob, "multiplicity": _multiplicity(effect)}
    return result


def _blocks(segments: int, draws: xr.DataArray) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Positions of every two segments, the first before the second, a few at a time."""
    first, second = np.triu_indices(segments, k=1)
    size = max(1, _BLOCK * segments // draws.size)
    for start in range(0, len(first), size):
        yield first[start : start + size], second[start : start + size]


def _fill(
    table: dict[str, NDArray[np.float64]],
    draws: xr.DataArray,
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    tails: tuple[float, float],
) -> None:
    """Write a block of pairs into the table, and what follows from it for the pairs turned round."""
    gap = (
        draws.isel({SEGMENT: xr.DataArray(first, dims=_PAIR)}).reset_coords(drop=True)
        - draws.isel({SEGMENT: xr.DataArray(second, dims=_PAIR)}).reset_coords(drop=True)
    ).transpose(CHAIN, DRAW, _PAIR, ...)
    ends = gap.quantile(tails, (CHAIN, DRAW)).to_numpy()
    mean, error = gap.mean((CHAIN, DRAW)).to_numpy(), monte_carlo_error(gap).to_numpy()
    unseen = 1.0 / effective_draws(gap)
    for here, there, sign in ((first, second, 1.0), (second, first, -1.0)):
        greater = (gap > 0) if sign > 0 else (gap < 0)
        table["difference"][here, there] = sign * mean
        table["difference_mcse"][here, there] = error
        table["difference_lower"][here, there] = ends[0] if sign > 0 else -ends[1]
        table["difference_upper"][here, there] = ends[1] if sign > 0 else -ends[0]
        table["prob_greater"][here, there] = greater.mean((CHAIN, DRAW)).to_numpy()
        # the same for both where no draws tie: the error of a probability is that of its complement
        if sign > 0 or bool((gap == 0).any()):
            errors = event_error(greater.astype(np.float64), unseen).to_numpy()
        table["prob_greater_mcse"][here, there] = errors


def _largest(draws: xr.DataArray) -> xr.DataArray:
    """1 for the segment with the draw's largest effect, shared where segments tie."""
    best = (draws == draws.max(SEGMENT)).astype(np.float64)
    return best / best.sum(SEGMENT)


def _multiplicity(effect: xr.DataArray) -> str:
    if effect.attrs.get("pooled") in {SEGMENT, UNIT}:
        return "The segments' effects are pooled: the comparisons, however many, need no further correction."
    return (
        "Nothing says that the segments' effects are pooled: among many comparisons some are far apart by chance, and no "
        "probability here corrects for that. Fit a model that pools segments to compare many."
    )
