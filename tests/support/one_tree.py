"""One tree on two covariates: what its posterior is, summed over all trees that there are. NumPy alone.

Any environment may ask for it, that of another implementation too.
"""

import math
from collections.abc import Iterator, Mapping
from zlib import crc32

import numpy as np

CUTS = np.array([3, 1])
LEVELS, BASE, POWER = 3, 0.7, 1.0
NOISE, LEAF_SD = 1.0, 0.8
ROWS_OF_A_KIND = 4

QUANTITIES = ("leaves", "leaves^2", "asks the second", "first kind", "last kind")
"""Of a tree: how many leaves it has, whether it asks the second covariate first, and its values for two kinds of rows."""

Kind = np.ndarray
"""Kinds of rows, (kind,), as a mask: the covariates have 4 and 2 values, crossed."""

VALUES = np.array([(first, second) for first in range(4) for second in range(2)])


def outcome() -> np.ndarray:
    """Rows of every kind, (n,), whose mean depends on both covariates."""
    generator = np.random.default_rng(crc32(b"one tree"))
    mean = 0.8 * (VALUES[:, 0] >= 2) - 0.6 * (VALUES[:, 0] == 1) * VALUES[:, 1]
    return np.asarray(np.repeat(mean, ROWS_OF_A_KIND) + generator.normal(0.0, NOISE, len(mean) * ROWS_OF_A_KIND))


def trees(kinds: Kind, depth: int, base: float) -> Iterator[tuple[float, list[Kind], int]]:
    """Every tree under a place: its prior probability, its leaves, and the covariate it asks first, -1 for none."""
    ways = [
        (variable, cut)
        for variable in range(2)
        for cut in range(1, CUTS[variable] + 1)
        if len({bool(one) for one in VALUES[kinds, variable] >= cut}) > 1
    ]
    may = bool(ways) and depth < LEVELS - 1
    split = base / (1.0 + depth) ** POWER if may else 0.0
    yield 1.0 - split, [kinds], -1
    if not may:
        return
    asked = len({variable for variable, _ in ways})
    for variable, cut in ways:
        cuts = sum(one == variable for one, _ in ways)
        right = VALUES[:, variable] >= cut
        for left_chance, left, _ in trees(kinds & ~right, depth + 1, base):
            for right_chance, other, _ in trees(kinds & right, depth + 1, base):
                yield split / asked / cuts * left_chance * right_chance, left + other, variable


def exactly(y: np.ndarray, base: float = BASE) -> Mapping[str, float]:
    """Posterior probabilities and means over all trees; leaves are normal, so each tree's evidence is known."""
    sums, number = y.reshape(-1, ROWS_OF_A_KIND).sum(axis=1), ROWS_OF_A_KIND
    total, found = 0.0, dict.fromkeys(QUANTITIES, 0.0)
    for chance, leaves, variable in trees(np.ones(len(VALUES), dtype=bool), 0, base):
        evidence, means = 0.0, np.zeros(len(VALUES))
        for leaf in leaves:
            precision = number * leaf.sum() / NOISE**2 + LEAF_SD**-2
            score = sums[leaf].sum() / NOISE**2
            evidence += 0.5 * score**2 / precision - 0.5 * math.log(precision * LEAF_SD**2)
            means[leaf] = score / precision
        weight = chance * math.exp(evidence)
        total += weight
        told = (len(leaves), len(leaves) ** 2, variable == 1, means[0], means[-1])
        for name, value in zip(QUANTITIES, told, strict=True):
            found[name] += weight * float(value)
    return {name: value / total for name, value in found.items()}
