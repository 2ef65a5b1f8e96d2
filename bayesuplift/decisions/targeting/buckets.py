"""Persuadable, sure thing, lost cause, sleeping dog: what two means say of the four buckets, which is bounds."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.data.grid import segments_of
from bayesuplift.data.labels import segment_label
from bayesuplift.dims import ARM, CHAIN, DRAW, SEGMENT, UNIT, N
from bayesuplift.errors import ArgumentError
from bayesuplift.estimands.places import EVERYBODY, Places
from bayesuplift.estimands.summary import equal_tails, summarize
from bayesuplift.posterior.diagnostics import effective_draws
from bayesuplift.posterior.factors import chosen_factors, levels_of

BUCKET: Final = "bucket"
BUCKETS: Final = ("persuadable", "sure thing", "lost cause", "sleeping dog")
_SUMS: Final = 4
_FEWEST: Final = 100  # draws in which treating prevents no outcome on average, for shares under that assumption

Values = NDArray[np.float64]


def buckets(
    posterior: xr.DataTree,
    *,
    by: str | Iterable[str] | None = None,
    monotone: bool = False,
    prob: float = 0.95,
    population: Any = None,
    weight: str = N,
) -> xr.Dataset:
    """Shares of units that would, and would not, respond under the control and under a treatment: (bucket, [segment], arm).

    With Y(0), Y(1) a unit's outcomes and m0, m1 their means at a place, the joint law is not identified, and

        persuadable   Y(0) = 0, Y(1) = 1    max(0, m1 - m0)     to  min(m1, 1 - m0)
        sure thing    Y(0) = 1, Y(1) = 1    max(0, m0 + m1 - 1) to  min(m0, m1)
        lost cause    Y(0) = 0, Y(1) = 0    max(0, 1 - m0 - m1) to  min(1 - m0, 1 - m1)
        sleeping dog  Y(0) = 1, Y(1) = 0    max(0, m0 - m1)     to  min(m0, 1 - m1)

    Parameters
    ----------
    posterior
        Of a binary outcome of which 1 is the good one.
    by
        Factors to group by; if left out, segments are told one by one, and units all together. Bounds of a group are
        averages of those of its segments or units, which are closer together than bounds from the group's means.
    monotone
        Whether to assume that the treatment prevents no unit's outcome (no sleeping dogs). The bounds then close to
        m1 - m0, m0, 1 - m1 and 0, of the group's means, in the draws that allow it: those with m1 >= m0.
    prob
        Mass of the intervals.
    population, weight
        As in `target`.

    Returns
    -------
    xarray.Dataset
        `lower` and `upper`, posterior means of the two bounds, equal where they are closed, each with `_mcse`;
        `lower_lower` and `upper_upper`, the ends of an interval that holds the lower and the upper bound, each from its
        side, with probability (1 + prob) / 2; coordinate `n`. With `monotone`, `prob_assumption`: the share of all draws
        that allow the assumption. Shares are probabilities that a unit drawn from the group is in the bucket; no unit is
        put in one.

    Raises
    ------
    ArgumentError
        The outcome is not binary, or fewer than 100 draws of a group allow the assumption: the data speak against it.
    FactorNotFoundError
        There is no such factor.
    PosteriorError, DataError, ColumnNotFoundError
        As `target`.
    """
    places = Places.of(posterior, population, weight=weight)
    kind = posterior.attrs.get("kind")
    if kind != "binary":
        raise ArgumentError(f"buckets are of a binary outcome; this posterior's is {kind or 'of no stated kind'}")
    position, coords = _groups(places, by)
    n = np.bincount(position, places.weight)
    chains, draws = places.draws
    # of each group: both means, and averages of what is above 0 of two sums, of which all bounds follow
    sums = np.zeros((len(n), len(places.treatments), _SUMS, chains * draws))
    for where, control, treated in places.mean_blocks():
        _check_rates(control, treated)
        share = np.zeros((len(n), where.stop - where.start))
        share[position[where], np.arange(share.shape[1])] = places.weight[where] / n[position[where]]
        base = np.broadcast_to(control[:, None], treated.shape)
        gained, both = np.maximum(treated - base, 0.0), np.maximum(treated + base - 1.0, 0.0)
        for k, one in enumerate((base, treated, gained, both)):
            sums[:, :, k] += (share @ one.reshape(share.shape[1], -1)).reshape(len(n), -1, chains * draws)
    labels = {**coords, ARM: list(places.treatments), BUCKET: list(BUCKETS), N: (SEGMENT, n)}
    attributes = {"prob": prob, "control": places.control, "outcome": places.outcome}
    if monotone:
        return _under_assumption(places, _closed(sums), labels, attributes)
    tables = [_told(places.by_draw(bound), labels, prob) for bound in _bounds(sums)]
    table = {
        f"{end}{part}": one[name]
        for end, other, one in (("lower", "lower", tables[0]), ("upper", "upper", tables[1]))
        for part, name in (("", "mean"), ("_mcse", "mcse"), (f"_{other}", other), (f"_{other}_mcse", f"{other}_mcse"))
    }
    return xr.Dataset(table, attrs=attributes | {"assumption": "none: bounds"})


def _groups(places: Places, by: str | Iterable[str] | None) -> tuple[NDArray[np.intp], dict[str, Any]]:
    """The group of each place (place,), and labels and factors of the groups."""
    if by is None and places.dim == UNIT:
        return np.zeros(len(places), dtype=np.intp), {SEGMENT: [EVERYBODY]}
    if by is None:
        return np.arange(len(places)), dict(places.coords)
    kept = chosen_factors(by, places.factors)
    columns, position = segments_of(levels_of(places.means, kept), len(places))
    names = [segment_label(dict(zip(kept, row, strict=True))) for row in zip(*columns.values(), strict=True)]
    return position, {SEGMENT: names, **{name: (SEGMENT, column) for name, column in columns.items()}}


def _check_rates(control: Values, treated: Values) -> None:
    low, high = min(control.min(), treated.min()), max(control.max(), treated.max())
    if low < 0.0 or high > 1.0:
        raise ArgumentError(f"mean outcomes from {low:g} to {high:g}; those of a binary outcome are probabilities")


def _bounds(sums: Values) -> tuple[Values, Values]:
    """Averages of the lower and upper bounds of the four shares in each group, (group, treatment, bucket, draw).

    With A = (m1 - m0)+ and B = (m0 + m1 - 1)+ at a place, min(m1, 1 - m0) = m1 - B, min(m0, m1) = m1 - A, and so on:
    averages of m0, m1, A and B say all.
    """
    control, treated, gained, both = (sums[:, :, k] for k in range(_SUMS))
    neither = 1.0 - control - treated
    low = (gained, both, neither + both, gained - (treated - control))
    high = (treated - both, treated - gained, 1.0 - control - gained, control - both)
    # differences of sums round: a share of 0 must not read as one below
    return np.maximum(np.stack(low, axis=2), 0.0), np.stack(high, axis=2)


def _closed(sums: Values) -> Values:
    """The four shares of each group if no unit's outcome is prevented, (group, treatment, bucket, draw)."""
    control, treated = sums[:, :, 0], sums[:, :, 1]
    return np.stack([treated - control, control, 1.0 - treated, np.zeros_like(treated)], axis=2)


def _told(draws: Values, labels: dict[str, Any], prob: float) -> xr.Dataset:
    return summarize(xr.DataArray(draws, dims=(SEGMENT, ARM, BUCKET, CHAIN, DRAW), coords=labels), prob=prob)


def _under_assumption(places: Places, shares: Values, labels: dict[str, Any], attributes: dict[str, Any]) -> xr.Dataset:
    """Shares in the draws that allow the assumption, and how many these are."""
    allowed = shares[:, :, 0] >= 0.0  # (group, treatment, draw)
    few = np.argwhere(allowed.sum(axis=-1) < _FEWEST)
    if len(few):
        group, k = few[0]
        raise ArgumentError(
            f"in {int(allowed[group, k].sum()):,} of {allowed.shape[-1]:,} draws {places.treatments[k]} prevents no "
            f"outcome on average in {np.asarray(labels[SEGMENT])[group]}, and at least {_FEWEST} are needed: the data "
            f"speak against the assumption; leave monotone out, for bounds"
        )
    kept = np.where(allowed[:, :, None], shares, np.nan)
    lower, upper = equal_tails(attributes["prob"])
    dims = (SEGMENT, ARM, BUCKET)
    # errors as of as many independent draws as the chains' are worth: those kept are no chain any more
    effective = effective_draws(
        xr.DataArray(places.by_draw(shares[:, :, 0]), dims=(SEGMENT, ARM, CHAIN, DRAW))
    ).to_numpy() * allowed.mean(axis=-1)
    mean, sd = np.nanmean(kept, axis=-1), np.nanstd(kept, axis=-1, ddof=1)
    error = sd / np.sqrt(effective)[:, :, None]
    table = xr.Dataset({"lower": (dims, mean), "lower_mcse": (dims, error)}, coords=labels)
    table["upper"], table["upper_mcse"] = table["lower"], table["lower_mcse"]
    for name, q in (("lower_lower", lower), ("upper_upper", upper)):
        table[name] = (dims, np.nanquantile(kept, q, axis=-1))
    table["prob_assumption"] = (dims[:2], allowed.mean(axis=-1))
    table.attrs = attributes | {"assumption": "monotone: the treatment prevents no unit's outcome"}
    return table
