"""Good trees on many rows: roots are tried between bins of every column, in one pass over the rows for two columns.

The sums of losses of rows in bin b of one column and bin c of another are enough to find the best root between bins with
the best cuts between bins below it: O(p^2 (n + bins^2)) for p columns and n rows, per action; with a third cut on the way
to a leaf O(p^3 (n + bins^3)). The last cuts are exact again.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bayesuplift.decisions.trees.nodes import Node
from bayesuplift.decisions.trees.task import Task, one_cut, value_of
from bayesuplift.decisions.trees.threads import side_by_side

MOST_BINS = 256  # whose numbers fit a byte


def binned(task: Task, depth: int, bins: int) -> Node:
    """A tree of at most `depth` (1 to 3) cuts on the way to a leaf, whose upper cuts lie between bins of n / bins rows.

    Rows below a cut are put into bins of their own.
    """
    if depth <= 1:
        return one_cut(task)
    placed, last = _bins(task, bins)
    values = (_roots_of_two if depth == 2 else _roots_of_three)(task, placed, last)  # noqa: PLR2004 -- else 3
    fewer = binned(task, depth - 1, bins)
    best = max((float(one.max()) for one in values if one.size), default=-np.inf)
    if best <= value_of(task, fewer) + task.tie:
        return fewer
    aim = best - task.tie
    column = next(j for j, one in enumerate(values) if one.size and one.max() >= aim)
    cut = int(last[column][int(np.argmax(values[column] >= aim))])
    return task.cut(column, cut, lambda side: binned(side, depth - 1, bins))


def _bins(task: Task, bins: int) -> tuple[NDArray[np.uint8], list[NDArray[np.intp]]]:
    """Bin of each row (column, row), and the last code of each column's bins: each value where there are few enough."""
    placed = np.empty(task.code.shape, dtype=np.uint8)
    last = []
    for column, code in enumerate(task.code):
        bin_of = np.arange(len(task.values[column]))
        if len(bin_of) > bins:
            counts = np.bincount(code)
            before = counts.cumsum() - counts
            bin_of = np.unique(before * bins // len(code), return_inverse=True)[1]
        placed[column] = bin_of.astype(np.uint8)[code]
        last.append(np.flatnonzero(np.diff(bin_of, append=bin_of[-1] + 1)))
    return placed, last


def _roots_of_two(task: Task, placed: NDArray[np.uint8], last: list[NDArray[np.intp]]) -> list[NDArray[np.float64]]:
    """Value of the best tree of two cuts with its root after each bin but the last, by column."""
    values = np.column_stack([task.loss, task.units])
    sides = _sides(placed, last)
    for f, g in _pairs(placed):
        sums = np.zeros((len(last[f]), len(last[g]), values.shape[1]))
        _add(placed[f], placed[g], values, sums)
        _search(sums, task.least, sides[f], sides[g])
    return [side[:-1].sum(axis=1) for side in sides]


def _roots_of_three(task: Task, placed: NDArray[np.uint8], last: list[NDArray[np.intp]]) -> list[NDArray[np.float64]]:
    """Value of the best tree of three cuts with its root after each bin but the last, by column."""
    values = np.column_stack([task.loss, task.units])
    every = {}
    for f, g in _pairs(placed):
        every[f, g] = np.zeros((len(last[f]), len(last[g]), values.shape[1]))
        _add(placed[f], placed[g], values, every[f, g])

    def under(root: int) -> NDArray[np.float64]:
        return _under(root, least=task.least, placed=placed, last=last, values=values, every=every)

    return side_by_side(under, range(len(last)), len(task))


def _under(
    root: int,
    *,
    least: float,
    placed: NDArray[np.uint8],
    last: list[NDArray[np.intp]],
    values: NDArray[np.float64],
    every: dict[tuple[int, int], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """The same of one column, whose rows go from the right to the left bin by bin; `every` has the sums of all rows."""
    rows = np.argsort(placed[root], kind="stable")
    moved, here = values[rows], placed[:, rows]
    ends = np.searchsorted(here[root], np.arange(len(last[root])), side="right")
    up_to = np.add.reduceat(moved, [0, *ends[:-1]]).cumsum(axis=0)
    best = np.stack([_constants(one, least) for one in (up_to[:-1], up_to[-1] - up_to[:-1])], axis=1)
    ends = ends[:-1]
    sides = [[_sides(placed, last) for _ in range(2)] for _ in ends]
    for (f, g), total in every.items():
        sums = np.zeros_like(total)
        for below, start, end in zip(sides, [0, *ends], ends, strict=False):
            _add(here[f, start:end], here[g, start:end], moved[start:end], sums)
            for side, among in enumerate((sums, total - sums)):
                _search(among, least, below[side][f], below[side][g])
    for place, below in enumerate(sides):
        for side in range(2):
            cuts = [one[:-1].sum(axis=1).max(initial=-np.inf) for one in below[side]]
            best[place, side] = max(best[place, side], *cuts)
    return np.asarray(best.sum(axis=1))


def _pairs(placed: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Columns two by two, each with itself, too."""
    return [(f, g) for f in range(len(placed)) for g in range(f, len(placed))]


def _sides(placed: NDArray[np.uint8], last: list[NDArray[np.intp]]) -> list[NDArray[np.float64]]:
    """Room for the best value found of either side of a cut (bin, side), by column."""
    return [np.full((len(last[f]), 2), -np.inf) for f in range(len(placed))]


def _constants(sums: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """Value of the best single action, by set of rows; -inf where they are too few."""
    return np.where(sums[:, -1] >= least, sums[:, :-1].max(axis=1), -np.inf)


@njit(cache=True, nogil=True)
def _add(one: NDArray[Any], other: NDArray[Any], values: NDArray[Any], sums: NDArray[Any]) -> None:
    """Add rows' values to the sums of their two bins."""
    for i in range(one.size):
        for a in range(values.shape[1]):
            sums[one[i], other[i], a] += values[i, a]


@njit(cache=True, nogil=True)
def _search(sums: NDArray[Any], least: float, first: NDArray[Any], second: NDArray[Any]) -> None:
    """Best value of either side of a cut after each bin of one column with at most one cut of the other below it."""
    bins, others, width = sums.shape
    turned = np.empty((others, bins, width))
    for b in range(bins):
        for c in range(others):
            for a in range(width):
                turned[c, b, a] = sums[b, c, a]
    _search_one(sums, least, first)
    _search_one(turned, least, second)


@njit(cache=True, nogil=True)
def _search_one(sums: NDArray[Any], least: float, found: NDArray[Any]) -> None:
    bins, others, width = sums.shape
    left, right = np.zeros((others, width)), np.zeros((others, width))
    on_left, on_right, room = np.zeros(width), np.zeros(width), np.zeros(width)
    for b in range(bins):
        for c in range(others):
            for a in range(width):
                right[c, a] += sums[b, c, a]
                on_right[a] += sums[b, c, a]
    for b in range(bins - 1):
        for c in range(others):
            for a in range(width):
                left[c, a] += sums[b, c, a]
                right[c, a] -= sums[b, c, a]
                on_left[a] += sums[b, c, a]
                on_right[a] -= sums[b, c, a]
        found[b, 0] = max(found[b, 0], _at_most_one_cut(left, on_left, least, room))
        found[b, 1] = max(found[b, 1], _at_most_one_cut(right, on_right, least, room))


@njit(cache=True, nogil=True)
def _at_most_one_cut(sums: NDArray[Any], total: NDArray[Any], least: float, left: NDArray[Any]) -> float:
    """Best value of rows by bin (bin, action and last units); -inf where they are too few. `left` is room to work in."""
    units = total.size - 1
    if total[units] < least:
        return -np.inf
    best = total[0]
    for a in range(total.size):
        left[a] = 0.0
        if a < units:
            best = max(best, total[a])
    for c in range(sums.shape[0] - 1):
        on_left, on_right = -np.inf, -np.inf
        for a in range(units):
            left[a] += sums[c, a]
            on_left = max(on_left, left[a])
            on_right = max(on_right, total[a] - left[a])
        left[units] += sums[c, units]
        if left[units] >= least and total[units] - left[units] >= least:
            best = max(best, on_left + on_right)
    return best
