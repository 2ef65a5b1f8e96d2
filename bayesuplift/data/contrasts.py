"""Crossed factors as columns: orthonormal contrasts of every factor's levels, over the segments."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.cells import Cells
from bayesuplift.data.labels import natural_order
from bayesuplift.dims import SEGMENT
from bayesuplift.errors import ArgumentError

_LARGEST: Final = 25_000_000
"""Numbers in `columns`, 200 MB of them: every gradient of every chain multiplies with all."""


@dataclass(frozen=True, eq=False)
class Contrasts:
    """The factors of the segments, each coded by contrasts that are orthonormal and sum to zero over its levels.

    Independent Normal(0, s) contrasts of a factor make its levels Normal(0, s) about their own mean.

    Parameters
    ----------
    terms
        What has a scale of its own: the factors, and last, where two or more are crossed, the segment itself.
    levels
        Label of every level of every factor, such as "channel=Phone".
    basis
        (level, contrast), block diagonal, one block a factor.
    columns
        (segment, contrast): the row of `basis` of each factor's level, summed.
    term
        Position in `terms` of every contrast, (contrast,).
    """

    terms: tuple[str, ...]
    levels: tuple[str, ...]
    basis: NDArray[np.float64]
    columns: NDArray[np.float64]
    term: NDArray[np.intp]


def contrasts_of(cells: Cells) -> Contrasts:
    """Code the factors of cells with segments.

    Raises
    ------
    ArgumentError
        The cells have no segments, or so many of so many levels that the columns would not fit.
    """
    if not cells.factors:
        raise ArgumentError("cells have no segments to pool over; read them with segments=[...]")
    segments = len(cells.n)
    columns_needed = sum(
        len({str(level) for level in cells.statistics[factor].to_numpy()}) - 1 for factor in cells.factors
    )
    if segments * columns_needed > _LARGEST:
        raise ArgumentError(
            f"{segments:,} segments of {columns_needed + len(cells.factors):,} levels are more than factors are coded for "
            f"({_LARGEST:,} numbers); merge levels that are rare, or leave a factor out"
        )
    levels: list[str] = []
    blocks, columns, term = [], [np.zeros((segments, 0))], []
    for position, factor in enumerate(cells.factors):
        values = [str(level) for level in cells.statistics[factor].to_numpy()]
        labels = natural_order(values)
        code = [labels.index(level) for level in values]
        block = helmert(len(labels))
        levels += [f"{factor}={label}" for label in labels]
        blocks.append(block)
        columns.append(block[code])
        term += [position] * block.shape[1]
    basis = np.zeros((len(levels), len(term)))
    row = column = 0
    for block in blocks:
        basis[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    return Contrasts(
        # of one factor the levels are the segments, and have nothing left to differ by
        terms=(*cells.factors, *([SEGMENT] if len(cells.factors) > 1 else [])),
        levels=tuple(levels),
        basis=basis,
        columns=np.concatenate(columns, axis=1),
        term=np.array(term, dtype=np.intp),
    )


def helmert(levels: int) -> NDArray[np.float64]:
    """Orthonormal contrasts (level, level - 1): each level against the mean of those before it."""
    found = np.zeros((levels, levels - 1))
    for k in range(1, levels):
        found[:k, k - 1], found[k, k - 1] = -1.0, k
        found[:, k - 1] /= np.sqrt(k * (k + 1.0))
    return found
