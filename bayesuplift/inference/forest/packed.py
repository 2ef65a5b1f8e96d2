"""Trees without their empty places: how forests are stored, and evaluated at new rows without JAX."""

import functools
import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

_BLOCK: Final = 2048  # rows at a time: their bins, places and sums stay in the processor's first caches
_STUMP: Final = 3  # places of a tree of one decision
_FEW: Final = 8  # rows that are walked down one by one
_WORTH_A_THREAD: Final = 4_000_000  # values of trees


@dataclass(frozen=True)
class Forest:
    """Draws of a forest. A tree's places are those that exist, in the order of its heap: level by level.

    Of a tree's places, the k-th decision (from 0) has its children at 2k + 1 and 2k + 2.

    Attributes
    ----------
    places
        (chain, draw, tree), unsigned: places of each tree; decisions are (places - 1) / 2 of them.
    split
        (place,), unsigned: of every place of every tree, chain by chain, draw by draw; the cut, from 1, and 0 for a leaf.
        A row goes right where its bin is at least the cut.
    variable
        (decision,), unsigned: column of each decision, among those that vary.
    leaf
        (leaf,), float32: value of each leaf.
    """

    places: NDArray[np.unsignedinteger]
    split: NDArray[np.unsignedinteger]
    variable: NDArray[np.unsignedinteger]
    leaf: NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.places.nbytes + self.split.nbytes + self.variable.nbytes + self.leaf.nbytes

    @functools.cached_property
    def _starts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First place and first decision of each draw."""
        _, _, trees = self.places.shape
        ends = np.cumsum(self.places.reshape(-1, trees).sum(axis=1, dtype=np.int64))
        starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
        # a tree of k places has (k - 1) / 2 decisions: those before are half of the places before less the trees before
        return starts, (starts - trees * np.arange(len(starts), dtype=np.int64)) // 2

    def decisions_by_column(self, varying: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """Number of decisions by the column that they ask for, (chain, draw, count).

        Parameters
        ----------
        varying
            The columns that can be cut, as `Cuts.varying`: those that `variable` counts among.
        count
            Number of all columns; one that cannot be cut has none.
        """
        chains, draws, _ = self.places.shape
        _, first = self._starts
        draw = np.repeat(np.arange(len(first)), np.diff(first, append=len(self.variable)))
        found = np.bincount(draw * count + varying[self.variable], minlength=len(first) * count)
        return found.reshape(chains, draws, count)

    def times(self, factor: np.float32) -> "Forest":
        """Return the same trees with leaves in other units."""
        return replace(self, leaf=self.leaf * factor)

    def at(self, bins: NDArray[np.unsignedinteger]) -> NDArray[np.float32]:
        """Return the forest's values, (chain, draw, row), at bins (column, row) of the varying columns."""
        chains, draws, trees = self.places.shape
        places = self.places.reshape(-1, trees)
        starts, decisions = self._starts
        found = np.empty((len(places), bins.shape[1]), dtype=np.float32)
        bins = np.ascontiguousarray(bins)
        evaluate = _evaluate if bins.shape[1] > _FEW else _evaluate_few

        def part(among: slice) -> None:
            evaluate(
                places[among], self.split, self.variable, self.leaf, starts[among], decisions[among], bins, found[among]
            )

        threads = min(cores(), len(places), 1 + places.size * max(bins.shape[1], _FEW) // _WORTH_A_THREAD)
        bounds = np.linspace(0, len(places), threads + 1).astype(int)
        parts = [slice(low, high) for low, high in itertools.pairwise(bounds)]
        if threads == 1:
            part(parts[0])
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(part, parts))
        return found.reshape(chains, draws, -1)


def pack(variable: NDArray[Any], split: NDArray[Any], leaf: NDArray[np.float32]) -> Forest:
    """Leave out the empty places of heaps (chain, draw, tree, H), (chain, draw, tree, H) and (chain, draw, tree, 2H)."""
    chains, draws, trees, half = split.shape
    dtype = np.uint8 if 2 * half <= 2**8 else np.uint16
    places = np.empty(chains * draws * trees, dtype=dtype)
    heaps = [np.ascontiguousarray(one).reshape(len(places), -1) for one in (variable, split, leaf)]
    _count(heaps[1], places)
    total = int(places.sum(dtype=np.int64))
    packed = (
        np.empty(total, split.dtype),
        np.empty((total - len(places)) // 2, variable.dtype),
        np.empty((total + len(places)) // 2, np.float32),
    )
    _fill(*heaps, *packed)
    return Forest(places.reshape(chains, draws, trees), *packed)


def along_draws(parts: Sequence[Forest]) -> Forest:
    """Join draws that follow each other, of one chain each."""
    return Forest(
        np.concatenate([one.places for one in parts], axis=1),
        *(np.concatenate([getattr(one, name) for one in parts]) for name in ("split", "variable", "leaf")),
    )


def along_chains(parts: Sequence[Forest]) -> Forest:
    """Join chains of equally many draws."""
    return Forest(
        *(np.concatenate([getattr(one, name) for one in parts]) for name in ("places", "split", "variable", "leaf"))
    )


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@njit(cache=True, nogil=True)
def _count(split: NDArray[Any], places: NDArray[Any]) -> None:
    half = split.shape[1]
    there = np.zeros(2 * half, dtype=np.uint8)
    for tree in range(split.shape[0]):
        number = 1
        there[1] = 1
        for place in range(1, half):
            both = there[place] != 0 and split[tree, place] != 0
            there[2 * place] = both
            there[2 * place + 1] = both
            number += 2 * both
        places[tree] = number


@njit(cache=True, nogil=True)
def _fill(  # noqa: PLR0917 -- numba takes positional arguments only
    variable: NDArray[Any],
    split: NDArray[Any],
    leaf: NDArray[Any],
    packed_split: NDArray[Any],
    packed_variable: NDArray[Any],
    packed_leaf: NDArray[Any],
) -> None:
    half = split.shape[1]
    there = np.zeros(2 * half, dtype=np.uint8)
    at_place, at_decision, at_leaf = 0, 0, 0
    for tree in range(split.shape[0]):
        there[1] = 1
        for place in range(1, 2 * half):
            if place < half:
                both = there[place] != 0 and split[tree, place] != 0
                there[2 * place] = both
                there[2 * place + 1] = both
            else:
                both = False
            if there[place] != 0:
                packed_split[at_place] = split[tree, place] if both else 0
                at_place += 1
                if both:
                    packed_variable[at_decision] = variable[tree, place]
                    at_decision += 1
                else:
                    packed_leaf[at_leaf] = leaf[tree, place]
                    at_leaf += 1


@njit(cache=True, nogil=True)
def _evaluate(  # noqa: PLR0917 -- numba takes positional arguments only
    places: NDArray[Any],
    split: NDArray[Any],
    variable: NDArray[Any],
    leaf: NDArray[Any],
    starts: NDArray[Any],
    decisions: NDArray[Any],
    bins: NDArray[Any],
    found: NDArray[Any],
) -> None:
    """Add up the trees of every draw, a block of rows at a time."""
    rows = bins.shape[1]
    at = np.empty(_BLOCK, dtype=places.dtype)
    value = np.zeros(np.iinfo(places.dtype).max + 1, dtype=np.float32)
    for low in range(0, rows, _BLOCK):
        block = bins[:, low : low + _BLOCK]
        for draw in range(places.shape[0]):
            total = found[draw, low : low + _BLOCK]
            total[:] = 0.0
            place, decision = starts[draw], decisions[draw]
            at_leaf = place - decision
            for tree in range(places.shape[1]):
                number = places[draw, tree]
                if number == 1:
                    total += leaf[at_leaf]
                elif number == _STUMP:
                    column, cut = block[variable[decision]], split[place]
                    left, right = leaf[at_leaf], leaf[at_leaf + 1]
                    for row in range(total.size):
                        total[row] += right if column[row] >= cut else left
                else:
                    _descend(
                        split[place : place + number], variable[decision:], leaf[at_leaf:], block, at, value, total
                    )
                place += number
                decision += (number - 1) // 2
                at_leaf += (number + 1) // 2


@njit(cache=True, nogil=True)
def _evaluate_few(  # noqa: PLR0917 -- numba takes positional arguments only
    places: NDArray[Any],
    split: NDArray[Any],
    variable: NDArray[Any],
    leaf: NDArray[Any],
    starts: NDArray[Any],
    decisions: NDArray[Any],
    bins: NDArray[Any],
    found: NDArray[Any],
) -> None:
    """The same, a row at a time: from decision to decision until the leaf."""
    for draw in range(places.shape[0]):
        for row in range(bins.shape[1]):
            place, decision = starts[draw], decisions[draw]
            total = np.float32(0.0)
            for tree in range(places.shape[1]):
                number = places[draw, tree]
                at, child, next_decision = 0, 1, decision
                for k in range(number):
                    cut = split[place + k]
                    if cut == 0:
                        if k == at:
                            # places are decisions and leaves: leaves before are the places before less the decisions
                            total += leaf[place + k - next_decision]
                            break
                    else:
                        if k == at:
                            at = child + (bins[variable[next_decision], row] >= cut)
                        child += 2
                        next_decision += 1
                place += number
                decision += (number - 1) // 2
            found[draw, row] = total


@njit(cache=True, nogil=True)
def _descend(  # noqa: PLR0917 -- numba takes positional arguments only
    split: NDArray[Any],
    variable: NDArray[Any],
    leaf: NDArray[Any],
    block: NDArray[Any],
    at: NDArray[Any],
    value: NDArray[Any],
    total: NDArray[Any],
) -> None:
    """Move all rows down a tree together, decision by decision: no branches, so many rows an instruction."""
    size = total.size
    at[:size] = 0
    child, decision, at_leaf = 1, 0, 0
    for place in range(split.size):
        cut = split[place]
        if cut != 0:
            column = block[variable[decision]]
            here, left, right = at.dtype.type(place), at.dtype.type(child), at.dtype.type(child + 1)
            for row in range(size):
                to = right if column[row] >= cut else left
                at[row] = to if at[row] == here else at[row]
            child += 2
            decision += 1
        else:
            value[place] = leaf[at_leaf]
            at_leaf += 1
    for row in range(size):
        total[row] += value[at[row]]
