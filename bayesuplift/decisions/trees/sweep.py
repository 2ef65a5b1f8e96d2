"""The best cut below every cut of a column, while the rows on one of its sides come in one by one."""

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

_CHILDREN: Final = 4  # of a node of the segment tree: four take a quarter less time than two, measured at 10,000 rows


@njit(cache=True, nogil=True)
def side_values(  # noqa: PLR0917 -- numba takes positional arguments only
    order: NDArray[Any],
    ends: NDArray[Any],
    code: NDArray[Any],
    distinct: NDArray[Any],
    reward: NDArray[Any],
    units: NDArray[Any],
    least: float,
    found: NDArray[Any],
) -> None:
    """Best value of at most one cut of the first ends[g] rows of `order`, for every g, into `found`.

    Below a cut of a column at t, with action a on its left and b on its right, rows are worth

        S_b + sum_(x_i <= t) (r_ia - r_ib),

    so that the best t is where a sum of the first few is largest. A segment tree over the column's values keeps that
    maximum while rows come in: O(log n) a row, for every column and pair of actions.
    """
    rows, actions = reward.shape
    sums = _sums(order, ends, reward)
    for g in range(ends.size):
        found[g] = sums[g, 0]
        for a in range(1, actions):
            found[g] = max(found[g], sums[g, a])
    widest = 0
    for column in range(distinct.size):
        widest = max(widest, distinct[column])
    tree = np.empty((7 * widest // 3 + 2 * _CHILDREN, 3))  # leaves, and under 4/3 as many nodes above them
    value_units = np.empty(widest + 1)
    difference, weight = np.empty(rows), np.empty(rows)
    for r in range(rows):
        weight[r] = units[order[r]]
    for a in range(actions):
        for b in range(a + 1, actions):
            for r in range(rows):
                difference[r] = reward[order[r], a] - reward[order[r], b]
            for column in range(code.shape[0]):
                if distinct[column] > 1:
                    _sweep(
                        order,
                        ends,
                        code[column],
                        distinct[column],
                        difference,
                        weight,
                        least,
                        sums,
                        a,
                        b,
                        tree,
                        value_units,
                        found,
                    )


@njit(cache=True, nogil=True)
def _sums(order: NDArray[Any], ends: NDArray[Any], reward: NDArray[Any]) -> NDArray[Any]:
    """Sums of the first ends[g] rows, by g and action."""
    sums = np.zeros((ends.size, reward.shape[1]))
    start = 0
    for g in range(ends.size):
        for a in range(reward.shape[1]):
            sums[g, a] = sums[g - 1, a] if g > 0 else 0.0
        for r in range(start, ends[g]):
            for a in range(reward.shape[1]):
                sums[g, a] += reward[order[r], a]
        start = ends[g]
    return sums


@njit(cache=True, nogil=True)
def _sweep(  # noqa: C901, PLR0912, PLR0915, PLR0917 -- the loop over rows takes all the time there is
    order: NDArray[Any],
    ends: NDArray[Any],
    code: NDArray[Any],
    distinct: int,
    difference: NDArray[Any],
    weight: NDArray[Any],
    least: float,
    sums: NDArray[Any],
    a: int,
    b: int,
    tree: NDArray[Any],
    value_units: NDArray[Any],
    found: NDArray[Any],
) -> None:
    """Rows come in by the order of one column, into a tree over the values of another.

    A node holds the sum of its values' differences, and the largest and the smallest sum of a first few of them that ends
    where a cut is allowed. With a least number of units a cut after value t is allowed once both of its sides have them;
    as rows only come in, the allowed range [low, high] only widens.
    """
    first, wide, levels = 0, 1, 0
    while wide < distinct:
        first, wide, levels = first * _CHILDREN + 1, wide * _CHILDREN, levels + 1
    nodes = first + (distinct + _CHILDREN - 1) // _CHILDREN * _CHILDREN
    anywhere = least <= 0.0
    for node in range(nodes):
        tree[node, 0] = 0.0
        tree[node, 1] = 0.0 if anywhere else -np.inf
        tree[node, 2] = 0.0 if anywhere else np.inf
    for q in range(distinct + 1):
        value_units[q] = 0.0
    low, high = distinct, -1
    to_low, above_high = 0.0, 0.0  # units of values up to `low`, and of those above `high`
    open_low, open_high = distinct, -1  # the allowed range, as far as the tree knows
    if anywhere:
        open_low, open_high = 0, distinct - 1
    start = 0
    for g in range(ends.size):
        at_once = (ends[g] - start) * levels > nodes
        for r in range(start, ends[g]):
            q = code[order[r]]
            leaf = first + q
            tree[leaf, 0] += difference[r]
            if open_low <= q <= open_high:
                tree[leaf, 1] = tree[leaf, 0]
                tree[leaf, 2] = tree[leaf, 0]
            if not at_once:
                _lift(tree, leaf)
            if anywhere:
                continue
            value_units[q] += weight[r]
            if q <= low:
                to_low += weight[r]
            if q > high:
                above_high += weight[r]
            while low > 0 and to_low - value_units[low] >= least:
                to_low -= value_units[low]
                low -= 1
            while high < distinct - 1 and above_high - value_units[high + 1] >= least:
                high += 1
                above_high -= value_units[high]
            if low > high or (low == open_low and high == open_high):
                continue
            if open_low > open_high:
                open_low, open_high = low, low - 1
            while open_low > low:
                open_low -= 1
                _open(tree, first + open_low, at_once)
            while open_high < high:
                open_high += 1
                _open(tree, first + open_high, at_once)
        if at_once:
            _rebuild(tree, first, distinct)
        found[g] = max(found[g], sums[g, b] + tree[0, 1], sums[g, a] - tree[0, 2])
        start = ends[g]


@njit(cache=True, nogil=True)
def _open(tree: NDArray[Any], leaf: int, at_once: bool) -> None:
    """Allow a cut after the value of a leaf."""
    tree[leaf, 1] = tree[leaf, 0]
    tree[leaf, 2] = tree[leaf, 0]
    if not at_once:
        _lift(tree, leaf)


@njit(cache=True, nogil=True)
def _lift(tree: NDArray[Any], node: int) -> None:
    """Bring the nodes above a leaf up to date."""
    while node > 0:
        node = (node - 1) >> 2
        _combine(tree, node)


@njit(cache=True, nogil=True)
def _rebuild(tree: NDArray[Any], first: int, count: int) -> None:
    """Bring all nodes above the leaves up to date, level by level."""
    while first > 0:
        first = (first - 1) // _CHILDREN
        count = (count + _CHILDREN - 1) // _CHILDREN
        for node in range(first, first + count):
            _combine(tree, node)


@njit(cache=True, nogil=True)
def _combine(tree: NDArray[Any], node: int) -> None:
    c = _CHILDREN * node + 1
    one = tree[c, 0]
    two = one + tree[c + 1, 0]
    three = two + tree[c + 2, 0]
    tree[node, 0] = three + tree[c + 3, 0]
    tree[node, 1] = max(tree[c, 1], one + tree[c + 1, 1], two + tree[c + 2, 1], three + tree[c + 3, 1])
    tree[node, 2] = min(tree[c, 2], one + tree[c + 1, 2], two + tree[c + 2, 2], three + tree[c + 3, 2])
