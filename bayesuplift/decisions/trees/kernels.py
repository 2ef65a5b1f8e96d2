"""Kernels for one cut: the best cut of a column, and rows coded by the place of their value among the column's values."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_BLOCKS = 4096  # of values: their sums stay in the processor's cache


@njit(cache=True, nogil=True)
def best_cut(  # noqa: PLR0917 -- numba takes positional arguments only
    code: NDArray[Any],
    distinct: int,
    loss: NDArray[Any],
    units: NDArray[Any],
    least: float,
    floor: float,
    aim: float,
) -> tuple[float, int]:
    """Best cut by one column, or the first in its order whose value reaches `aim`: its value and the last code on its left.

        value(t) = max_a sum_(x_i <= t) l_ia + max_b sum_(x_i > t) l_ib

    The value is -inf where no cut leaves `least` units on both sides. Of many values, blocks are summed first: no loss is
    above 0, so that a cut within a block is worth no more than the rows before the block and those after it, and only
    blocks that may hold the best cut, and one of at least `floor`, are looked into.
    """
    width = loss.shape[1] + 1
    shift = 0
    while (distinct >> shift) > _BLOCKS:
        shift += 1
    blocks = ((distinct - 1) >> shift) + 1
    sums = np.zeros((blocks, width))
    for i in range(code.size):
        _count(sums, code[i] >> shift, loss, units, i)
    total = np.zeros(width)
    within = np.empty(blocks, dtype=np.int64)  # where the values of a block begin, that is looked into
    for block in range(blocks):
        within[block] = -1
        for a in range(width):
            total[a] += sums[block, a]
    values = np.zeros((1, width))
    if shift > 0:
        target = (
            floor if aim < np.inf else max(floor, _walk(sums, within, values, total, distinct, shift, least, aim)[0])
        )
        looked = _look_into(sums, within, total, shift, target)
        values = np.zeros((looked << shift, width))
        for i in range(code.size):
            block = code[i] >> shift
            if within[block] >= 0:
                _count(values, within[block] + code[i] - (block << shift), loss, units, i)
    return _walk(sums, within, values, total, distinct, shift, least, aim)


@njit(cache=True, nogil=True)
def _count(sums: NDArray[Any], place: int, loss: NDArray[Any], units: NDArray[Any], row: int) -> None:
    """Add a row to sums by action, with its units last."""
    for a in range(loss.shape[1]):
        sums[place, a] += loss[row, a]
    sums[place, loss.shape[1]] += units[row]


@njit(cache=True, nogil=True)
def _look_into(sums: NDArray[Any], within: NDArray[Any], total: NDArray[Any], shift: int, target: float) -> int:
    """Choose blocks that may hold a cut of at least `target`; return how many they are."""
    before, looked = np.zeros(total.size), 0
    for block in range(sums.shape[0]):
        best_before, best_after = -np.inf, -np.inf
        for a in range(total.size - 1):
            best_before = max(best_before, before[a])
            before[a] += sums[block, a]
            best_after = max(best_after, total[a] - before[a])
        if best_before + best_after >= target:
            within[block] = looked << shift
            looked += 1
    return looked


@njit(cache=True, nogil=True)
def _walk(  # noqa: PLR0917 -- numba takes positional arguments only
    sums: NDArray[Any],
    within: NDArray[Any],
    values: NDArray[Any],
    total: NDArray[Any],
    distinct: int,
    shift: int,
    least: float,
    aim: float,
) -> tuple[float, int]:
    """Best cut after a block, or after a value of a block that is looked into; or the first that reaches `aim`."""
    width = total.size
    left = np.zeros(width)
    best, cut = -np.inf, -1
    for block in range(sums.shape[0]):
        first = within[block]
        for step in range(1 if first < 0 else 1 << shift):
            last = (((block + 1) << shift) if first < 0 else (block << shift) + step + 1) - 1
            if last >= distinct - 1:
                break
            on_left, on_right = -np.inf, -np.inf
            for a in range(width):
                left[a] += sums[block, a] if first < 0 else values[first + step, a]
                if a < width - 1:
                    on_left = max(on_left, left[a])
                    on_right = max(on_right, total[a] - left[a])
            allowed = left[width - 1] >= least and total[width - 1] - left[width - 1] >= least
            if allowed and on_left + on_right > best:
                best, cut = on_left + on_right, last
                if best >= aim:
                    return best, cut
    return best, cut


@njit(cache=True, nogil=True)
def recode(code: NDArray[Any], member: NDArray[Any], distinct: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Codes of the members, from 0 and without gaps, and which of the codes before they have."""
    there = np.zeros(distinct, dtype=np.bool_)
    count = 0
    for i in range(code.size):
        if member[i]:
            there[code[i]] = True
            count += 1
    new = np.empty(distinct, dtype=np.int32)
    kept = 0
    for c in range(distinct):
        new[c] = kept
        kept += there[c]
    found = np.empty(count, dtype=np.int32)
    at = 0
    for i in range(code.size):
        if member[i]:
            found[at] = new[code[i]]
            at += 1
    return found, there
