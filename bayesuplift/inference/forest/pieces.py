"""What a run kept, from the sampler's arrays to draws in the outcome's units."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesuplift.inference.forest import gibbs
from bayesuplift.inference.forest.binning import Cuts
from bayesuplift.inference.forest.draws import ForestDraws, GroupDraws, by_arm
from bayesuplift.inference.forest.packed import Forest, along_chains, along_draws, pack
from bayesuplift.inference.forest.settings import Resolved

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Piece:
    """What one chain kept of one piece of the run.

    Attributes
    ----------
    forests
        The trees: of the outcome under control, then of every effect.
    numbers
        (draw, number): sigma, acceptance; the intercept, averages and scales; standard deviations of all forests.
    levels
        Values (draw, level, 1 + A) of the levels of each term of groups, and their scales (draw, 2).
    rows
        What a control is expected to have, and every effect, at the rows of the data, (draw, n, 1 + A); or None.
    """

    forests: tuple[Forest, ...]
    numbers: Array
    levels: tuple[tuple[Array, Array], ...]
    rows: NDArray[np.float32] | None


@dataclass(frozen=True)
class Layout:
    """What is needed to read the sampler's arrays.

    Attributes
    ----------
    n
        Number of rows that are any.
    levels
        Number of levels of each term of groups.
    trees
        Number of trees of the prognostic forest, and of every effect's.
    resolved
        Units of the outcome.
    binary
        Whether the outcome is.
    weight
        (n,): how often a row counts in averages; once where not given.
    """

    n: int
    levels: tuple[int, ...]
    trees: tuple[int, int]
    resolved: Resolved
    binary: bool
    weight: Array | None = None

    @property
    def units(self) -> Array:
        """Of what a control is expected to have, and of every effect, (1 + A,): per unit of dose where arms are doses."""
        treatments = self.resolved.coding.shape[1]
        # what was sampled are effects of the largest distance between doses
        return np.array([self.resolved.spread, *[self.resolved.spread / self.resolved.reach] * treatments])


def of_chain(drawn: gibbs.Draw, chain: int, count: int, layout: Layout) -> Piece:
    """Return the first so many draws of a chain."""
    resolved, levels = layout.resolved, layout.levels
    treatments, own = resolved.coding.shape[1], layout.units

    def its(values: Any, dtype: type = np.float64) -> NDArray:
        return np.asarray(values)[chain, :count].astype(dtype)

    coefficients = its(drawn.coefficients)
    coefficients[:, : 1 + treatments] *= own  # the scales have no unit
    coefficients[:, 0] += resolved.location
    sigma = resolved.spread * np.sqrt(resolved.weight / its(drawn.precision))
    sds = own * np.sqrt(np.repeat(layout.trees, [1, treatments]) / its(drawn.leaf_precision))
    terms = []
    if levels:
        values, scales = its(drawn.levels[0]) * own, its(drawn.levels[1]) * own[:2]
        terms = [(values[:, term, :number], scales[:, term]) for term, number in enumerate(levels)]
    heaps = [drawn.prognostic, *(gibbs.Heaps(*(one[:, :, a] for one in drawn.effect)) for a in range(treatments))]
    return Piece(
        forests=tuple(_forest(one, chain, count, unit) for one, unit in zip(heaps, own, strict=True)),
        numbers=np.column_stack([sigma, its(drawn.acceptance), coefficients, sds]),
        levels=tuple(terms),
        rows=None if isinstance(drawn.rows, tuple) else _at_rows(drawn, chain, count, layout),
    )


def averages_of_chain(drawn: gibbs.Draw, chain: int, count: int, layout: Layout) -> Array:
    """Return mean outcomes averaged over the rows, (draw, arm), of the first so many draws of a chain."""
    found = by_arm(_at_rows(drawn, chain, count, layout), layout.resolved.coding, binary=layout.binary)
    return np.average(found.astype(np.float64), axis=1, weights=layout.weight)


def joined(parts: list[list[Piece]], layout: Layout, cuts: tuple[Cuts, Cuts]) -> ForestDraws:
    """Join the pieces of all chains, as far as the shortest of them went."""
    shared = min(len(one) for one in parts)
    parts = [one[:shared] for one in parts]

    def together(values: list[list[NDArray]]) -> NDArray:
        return np.stack([np.concatenate(one) for one in values])

    resolved = layout.resolved
    treatments = resolved.coding.shape[1]
    numbers = together([[piece.numbers for piece in one] for one in parts])
    forests = [
        along_chains([along_draws([piece.forests[k] for piece in one]) for one in parts]) for k in range(1 + treatments)
    ]
    groups = tuple(
        GroupDraws(*(together([[piece.levels[term][k] for piece in one] for one in parts]) for k in range(2)))
        for term in range(len(parts[0][0].levels))
    )
    there = parts[0][0].rows is not None
    rows = together([[piece.rows for piece in one if piece.rows is not None] for one in parts]) if there else None
    return ForestDraws(
        intercept=numbers[..., 2],
        average=numbers[..., 3 : 3 + treatments],
        scale=numbers[..., 3 + treatments : 3 + 2 * treatments],
        sigma=numbers[..., 0],
        acceptance=numbers[..., 1],
        prognostic_sd=numbers[..., 3 + 2 * treatments],
        effect_sd=numbers[..., 4 + 2 * treatments :],
        prognostic=forests[0],
        effects=tuple(forests[1:]),
        prognostic_cuts=cuts[0],
        effect_cuts=cuts[1],
        coding=resolved.coding,
        binary=layout.binary,
        groups=groups,
        at_rows=rows,
    )


def _forest(heaps: gibbs.Heaps, chain: int, count: int, unit: float) -> Forest:
    variable, split, leaf = (np.asarray(one)[chain : chain + 1, :count] for one in heaps)
    return pack(variable, split, leaf).times(np.float32(unit))


def _at_rows(drawn: gibbs.Draw, chain: int, count: int, layout: Layout) -> NDArray[np.float32]:
    """What a control is expected to have, and every effect, at the rows, (draw, n, 1 + A)."""
    kept = np.asarray(drawn.rows)[chain, :count, :, : layout.n].astype(np.float32)
    rows: NDArray[np.float32] = np.moveaxis(kept, 1, 2) * layout.units.astype(np.float32)
    rows[..., 0] += np.float32(layout.resolved.location)
    return rows
