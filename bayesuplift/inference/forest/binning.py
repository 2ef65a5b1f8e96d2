"""Covariates as bins: where each column may be cut, and on which side of each cut a value lies."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesuplift.errors import ArgumentError, listed

_MOST_CUTS = 2**16 - 1


@dataclass(frozen=True)
class Cuts:
    """Cutpoints of some columns.

    Attributes
    ----------
    values
        (column, most), ascending, then infinite: the cutpoints.
    number
        (column,): how many of them there are; 0 for a column that does not vary.
    """

    values: NDArray[np.float64]
    number: NDArray[np.int64]

    @classmethod
    def of(cls, columns: NDArray[np.float64], most: int) -> "Cuts":
        """Cut midway between neighbouring distinct values; where these are too many, at evenly spaced ones of them.

        Chipman, George and McCulloch (2010), section 2.2; the choice among too many is bartz's `UniqueQuantileBinner`.

        Parameters
        ----------
        columns
            (row, column).
        most
            Most cuts of a column.
        """
        if not 1 <= most <= _MOST_CUTS:
            raise ArgumentError(f"most cuts of a covariate = {most}; give a whole number from 1 to {_MOST_CUTS}")
        kept = [_cuts(column, most) for column in columns.T]
        number = np.array([len(one) for one in kept], dtype=np.int64)
        values = np.full((len(kept), max(int(number.max(initial=0)), 1)), np.inf)
        for row, one in zip(values, kept, strict=True):
            row[: len(one)] = one
        return cls(values, number)

    @property
    def varying(self) -> NDArray[np.int64]:
        """Columns that can be cut at all."""
        return np.flatnonzero(self.number)

    def bins(self, columns: NDArray[np.float64]) -> NDArray[np.unsignedinteger]:
        """Number of cuts below each value: (column, row) of the varying columns, in the smallest unsigned type."""
        if columns.ndim != 2 or columns.shape[1] != len(self.number):  # noqa: PLR2004 -- rows and columns
            raise ArgumentError(f"covariates of shape {columns.shape}; expected (rows, {len(self.number)})")
        missing = np.flatnonzero(~np.isfinite(columns).all(axis=0))
        if missing.size:
            raise ArgumentError(
                f"covariates hold missing or infinite values, in columns {listed(missing)}; fill them first"
            )
        found = np.empty((len(self.varying), len(columns)), dtype=self.dtype)
        for row, column in zip(found, self.varying, strict=True):
            row[:] = np.searchsorted(self.values[column, : self.number[column]], columns[:, column])
        return found

    @property
    def dtype(self) -> type[np.unsignedinteger]:
        """The smallest type that holds every bin."""
        return np.uint8 if self.number.max(initial=0) < 2**8 else np.uint16


def _cuts(column: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    distinct = np.unique(column)
    between = distinct[:-1] + np.diff(distinct) / 2.0
    if len(between) <= most:
        return between
    # np.around rounds halves to even, as jax.numpy.around does
    return between[np.around(np.linspace(-1, len(between), most + 2)[1:-1]).astype(np.int64)]
