"""Trees grown from the root on what is left to explain: not draws of a posterior, but where a chain may begin.

The kernel moves a tree by one decision a sweep, and takes long to an effect that many covariates have together
(benchmarks/README.md, "Where chains begin"). A tree that is grown decision by decision, each drawn given the rows that it
divides, is there at once. He and Hahn (2023), Stochastic tree ensembles for regularized nonlinear regression, JASA
118(541), algorithm 2, of which stopping and the choice of a decision have here the probabilities of the forest's own prior.
"""

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bayesuplift.inference.forest.kernel import Ground, Trees

Array = NDArray[Any]

_NONE: Final = -1

# In what is compiled loops stand where NumPy has a function: these take the compiler longer than all the rest.


class Noise(NamedTuple):
    """What is known of the residual and of the leaves.

    Attributes
    ----------
    weight
        (n,): precision of each row in units of the common one.
    precision, leaf_precision
        The common one, and that of the prior of a leaf.
    """

    weight: NDArray[np.float64]
    precision: float
    leaf_precision: float


class _Given(NamedTuple):
    """What growing reads: of `Ground` and `Noise`; what trees leave to explain, which it changes; random numbers."""

    bins: Array
    cuts: Array
    split: Array
    least_rows: int
    unit: float
    weight: Array
    precision: float
    leaf_precision: float
    left: Array
    uniform: Array
    normal: Array


class _Heaps(NamedTuple):
    """What it writes: arrays of `Trees`."""

    variable: Array
    split: Array
    leaf: Array
    growable: Array
    place: Array
    rows: Array
    weight: Array


class _Work(NamedTuple):
    """Room for it: rows in the order of their places, and of each place where they start and stop; cuts, sums and odds."""

    order: Array
    other: Array
    start: Array
    stop: Array
    ranges: Array
    sums: Array
    odds: Array


def grown(
    ground: Ground, trees: Trees, residual: NDArray[np.float64], noise: Noise, generator: np.random.Generator
) -> tuple[Trees, NDArray[np.float64]]:
    """Grow every tree of a forest anew, one after the other, each given all others, and draw its leaves.

    Parameters
    ----------
    ground
        What the trees grow on.
    trees
        The forest, of NumPy's arrays.
    residual
        (n,): the data less the forest.
    noise
        Of the residual.
    generator
        Of random numbers.

    Returns
    -------
    tuple
        The forest, and the data less it, (n,).
    """
    heaps = _Heaps(
        variable=np.array(trees.variable),
        split=np.array(trees.split),
        leaf=np.array(trees.leaf),
        growable=np.array(trees.growable),
        place=np.array(trees.place),
        rows=np.array(trees.rows),
        weight=np.zeros(trees.rows.shape, np.float32),
    )
    given = _Given(
        *ground,
        *noise,
        left=residual.astype(np.float64),
        uniform=generator.random(trees.split.shape),
        normal=generator.standard_normal(trees.leaf.shape),
    )
    there = np.flatnonzero(heaps.place[0] > 0)  # rows that are none are at place 0 of every tree
    columns, places = len(ground.cuts), trees.leaf.shape[1]
    work = _Work(
        order=np.empty_like(there),
        other=np.empty_like(there),
        start=np.empty(places, np.int64),
        stop=np.empty(places, np.int64),
        ranges=np.empty((columns, 2), np.int64),
        sums=np.empty((columns, int(ground.cuts.max()) + 1, 3)),
        odds=np.empty((columns, int(ground.cuts.max()) + 1)),
    )
    _sweep(given, heaps, there, work)
    found = trees._replace(**heaps._asdict(), pruned=np.zeros_like(trees.pruned), moved=np.zeros_like(trees.moved))
    return (found._replace(weight=None) if trees.weight is None else found), given.left


@njit(cache=True, nogil=True)
def _sweep(given: _Given, heaps: _Heaps, there: Array, work: _Work) -> None:
    half, order, count = heaps.split.shape[1], work.order, len(there)
    for tree in range(heaps.split.shape[0]):
        for k in range(count):
            order[k] = there[k]
            given.left[there[k]] += given.unit * heaps.leaf[tree, heaps.place[tree, there[k]]]
        _clear(heaps, tree)
        for place in range(1, 2 * half):
            work.start[place] = 0
            work.stop[place] = count if place == 1 else 0
        for place in range(1, 2 * half):
            start, stop = work.start[place], work.stop[place]
            if start == stop:
                continue
            possible = _ranges(given.cuts, heaps.variable[tree], heaps.split[tree], place, work.ranges)
            growable = place < half and stop - start >= 2 * given.least_rows and possible > 0
            decision = _NONE
            if growable:
                _sum(given, order[start:stop], work)
                decision = _decision(given, (tree, place), possible, work)
            if decision == _NONE:
                if growable:
                    heaps.growable[tree, place] = True
                _end(given, heaps, (tree, place), order[start:stop])
                continue
            column, cut = decision // work.odds.shape[1], decision % work.odds.shape[1]
            heaps.variable[tree, place], heaps.split[tree, place] = column, cut
            middle = start + _divide(given.bins[column], cut, order[start:stop], work.other)
            work.start[2 * place], work.stop[2 * place] = start, middle
            work.start[2 * place + 1], work.stop[2 * place + 1] = middle, stop


@njit(cache=True, nogil=True)
def _clear(heaps: _Heaps, tree: int) -> None:
    half = heaps.split.shape[1]
    for place in range(1, 2 * half):
        heaps.leaf[tree, place] = 0.0
        heaps.rows[tree, place] = 0
        heaps.weight[tree, place] = 0.0
        if place < half:
            heaps.variable[tree, place] = 0
            heaps.split[tree, place] = 0
            heaps.growable[tree, place] = False


@njit(cache=True, nogil=True)
def _ranges(cuts: Array, variable: Array, split: Array, place: int, ranges: Array) -> int:
    """Find the cuts of each column that decisions above leave, after the first number up to the last; count columns."""
    for column in range(len(cuts)):
        ranges[column, 0], ranges[column, 1] = 0, cuts[column]
    while place > 1:
        above = place // 2
        column, cut = variable[above], np.int64(split[above])
        if place % 2:
            ranges[column, 0] = max(ranges[column, 0], cut)
        else:
            ranges[column, 1] = min(ranges[column, 1], cut - 1)
        place = above
    possible = 0
    for column in range(len(cuts)):
        possible += ranges[column, 1] > ranges[column, 0]
    return possible


@njit(cache=True, nogil=True)
def _sum(given: _Given, rows: Array, work: _Work) -> None:
    """Add up rows, precisions and residuals times these, bin by bin of the columns that have cuts."""
    sums = work.sums
    for column in range(len(given.cuts)):
        if work.ranges[column, 1] <= work.ranges[column, 0]:
            continue
        for k in range(given.cuts[column] + 1):
            sums[column, k, 0] = sums[column, k, 1] = sums[column, k, 2] = 0.0
        for row in rows:
            k = given.bins[column, row]
            precision = given.precision * given.weight[row]
            sums[column, k, 0] += 1.0
            sums[column, k, 1] += precision
            sums[column, k, 2] += precision * given.left[row]


@njit(cache=True, nogil=True)
def _evidence(precision: float, score: float, leaf_precision: float) -> float:
    """Log density of a leaf's rows with its value integrated out, less what any division of them has in common."""
    total = leaf_precision + precision
    return 0.5 * (math.log(leaf_precision / total) + score * score / total)


@njit(cache=True, nogil=True)
def _decision(given: _Given, at: tuple[int, int], possible: int, work: _Work) -> int:
    """Draw a decision, or none, as if its children were to be leaves: in proportion to prior times density of the rows.

    A decision is told as its place in the table of odds, (column, cut).
    """
    split, columns = given.split[at[1]], len(given.cuts)
    prior = math.log(split / possible) + 2.0 * math.log1p(-given.split[2 * at[1]]) - math.log1p(-split)
    largest = 0.0  # log odds are against no decision
    for column in range(columns):
        if work.ranges[column, 1] > work.ranges[column, 0]:
            largest = max(largest, _weigh(given, column, prior, work))
    total = none = math.exp(-largest)
    for column in range(columns):
        for cut in range(work.ranges[column, 0] + 1, work.ranges[column, 1] + 1):
            total += math.exp(work.odds[column, cut] - largest)
    drawn = given.uniform[at] * total - none
    found = _NONE
    for column in range(columns):
        for cut in range(work.ranges[column, 0] + 1, work.ranges[column, 1] + 1):
            share = math.exp(work.odds[column, cut] - largest)
            if drawn >= 0.0 and share > 0.0:  # should rounding leave something over, the last that is possible
                found = column * work.odds.shape[1] + cut
                drawn -= share
    return found


@njit(cache=True, nogil=True)
def _weigh(given: _Given, column: int, prior: float, work: _Work) -> float:
    """Log odds of a decision at each cut of a column, and the largest of them."""
    first, last = work.ranges[column]
    rows = precision = score = 0.0
    for k in range(given.cuts[column] + 1):
        rows += work.sums[column, k, 0]
        precision += work.sums[column, k, 1]
        score += work.sums[column, k, 2]
    rest = prior - math.log(last - first) - _evidence(precision, score, given.leaf_precision)
    below, known, told, largest = 0.0, 0.0, 0.0, -math.inf
    for cut in range(1, last + 1):
        below += work.sums[column, cut - 1, 0]
        known += work.sums[column, cut - 1, 1]
        told += work.sums[column, cut - 1, 2]
        if cut <= first:
            continue
        odds = -math.inf
        if min(below, rows - below) >= given.least_rows:
            odds = rest + _evidence(known, told, given.leaf_precision)
            odds += _evidence(precision - known, score - told, given.leaf_precision)
        work.odds[column, cut] = odds
        largest = max(largest, odds)
    return largest


@njit(cache=True, nogil=True)
def _divide(bins: Array, cut: int, rows: Array, other: Array) -> int:
    """Put rows that go left before those that go right, and return how many they are."""
    left = right = 0
    for row in rows:
        if bins[row] >= cut:
            other[right] = row
            right += 1
        else:
            rows[left] = row
            left += 1
    for k in range(right):
        rows[left + k] = other[k]
    return left


@njit(cache=True, nogil=True)
def _end(given: _Given, heaps: _Heaps, at: tuple[int, int], rows: Array) -> None:
    """Make a place of a tree a leaf, and draw its value."""
    weight = score = 0.0
    for row in rows:
        weight += given.weight[row]
        score += given.weight[row] * given.left[row]
    precision = given.leaf_precision + given.precision * weight
    value = given.precision * score / precision + given.normal[at] / math.sqrt(precision)
    heaps.leaf[at] = value / given.unit
    heaps.rows[at] = len(rows)
    heaps.weight[at] = weight
    for row in rows:
        heaps.place[at[0], row] = at[1]
        given.left[row] -= given.unit * heaps.leaf[at]
