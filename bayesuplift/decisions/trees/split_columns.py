"""Columns that a tree may cut, made of covariates: a number is one, and text is one of 0 and 1 for each of its levels."""

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.labels import natural_order
from bayesuplift.errors import ArgumentError, ColumnNotFoundError, DataError, did_you_mean, listed

_TWO: Final = 2


@dataclass(frozen=True)
class SplitColumn:
    """A column to cut.

    Parameters
    ----------
    covariate
        The covariate that it is made of.
    level
        The level of text that it tells from all others; None where the covariate is a number.
    """

    covariate: str
    level: str | None = None

    def of(self, column: NDArray[np.generic]) -> NDArray[np.float64]:
        """The column (unit,), of the covariate's values; a level that no unit had before is one of the others.

        Raises
        ------
        DataError
            A value is missing or infinite, or text where numbers were, or the other way about.
        """
        if self.level is None:
            return numbers_in(self.covariate, column)
        return (texts_in(self.covariate, column) == self.level).astype(np.float64)


def split_columns(covariates: Mapping[str, NDArray[np.generic]]) -> tuple[SplitColumn, ...]:
    """Columns to cut, in the order of the covariates and the natural order of levels.

    A covariate that is the same for every unit has none, and text of two levels has one, the first's: the other is its
    mirror image. Text of many levels has as many columns, and the time of a search goes with their square.

    >>> split_columns({"age": np.array([30, 40]), "channel": np.array(["Web", "Phone"])})
    (SplitColumn(covariate='age', level=None), SplitColumn(covariate='channel', level='Phone'))
    """
    found: list[SplitColumn] = []
    for name, column in covariates.items():
        if _is_number(np.asarray(column)):
            values = numbers_in(name, column)
            found += [SplitColumn(name)] if (values != values[:1]).any() else []
            continue
        levels = natural_order(texts_in(name, column).tolist())
        told = levels if len(levels) > _TWO else levels[: len(levels) - 1]
        found += [SplitColumn(name, level) for level in told]
    return tuple(found)


def split_matrix(columns: Sequence[SplitColumn], covariates: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float64]:
    """The columns (unit, column) as numbers, for a search.

    Raises
    ------
    ColumnNotFoundError
        A covariate is not there.
    DataError
        As `SplitColumn.of`.
    ArgumentError
        Covariates of several lengths.
    """
    rows = rows_in(covariates)
    made = [column.of(column_named(column.covariate, covariates)) for column in columns]
    return np.column_stack(made) if made else np.empty((rows, 0))


def rows_in(covariates: Mapping[str, NDArray[np.generic]]) -> int:
    """Number of units that all columns have.

    Raises
    ------
    ArgumentError
        They differ, or there is no column.
    """
    lengths = {name: len(column) for name, column in covariates.items()}
    if len(set(lengths.values())) != 1:
        found = listed(f"{name}: {length:,}" for name, length in lengths.items()) or "none"
        raise ArgumentError(f"columns of one length are needed, to say how many units there are; found {found}")
    return next(iter(lengths.values()))


def column_named(name: str, covariates: Mapping[str, NDArray[np.generic]]) -> NDArray[np.generic]:
    """One of the columns.

    Raises
    ------
    ColumnNotFoundError
        There is none of that name.
    """
    if name not in covariates:
        raise ColumnNotFoundError(
            f"no column named '{name}'. Columns: {listed(covariates)}.{did_you_mean(name, covariates)}"
        )
    return np.asarray(covariates[name])


def numbers_in(name: str, column: NDArray[np.generic]) -> NDArray[np.float64]:
    """Numbers (unit,) of a column.

    Raises
    ------
    DataError
        A value is missing, infinite or no number.
    """
    given = np.asarray(column)
    if not _is_number(given):
        raise DataError(f"the covariate '{name}' holds {given.dtype}; expected numbers")
    found = given.astype(np.float64)
    _refuse(name, ~np.isfinite(found), "is missing or infinite", "a finite number")
    return found


def texts_in(name: str, column: NDArray[np.generic]) -> NDArray[np.str_]:
    """Text (unit,) of a column.

    Raises
    ------
    DataError
        A value is missing, empty or no text.
    """
    given = np.asarray(column)
    if given.dtype.kind not in "UOT":
        raise DataError(f"the covariate '{name}' holds {given.dtype}; expected text")
    if given.dtype.kind != "U":
        is_text = np.array([isinstance(value, str) for value in given], dtype=np.bool_)
        _refuse(name, ~is_text, "is missing or no text", "text")
    found = given.astype(np.str_)
    _refuse(name, found == "", "is missing", "text")
    return found


def _is_number(given: NDArray[np.generic]) -> bool:
    """Whether a column is of numbers; None among them is a missing one."""
    if given.dtype.kind != "O":
        return given.dtype.kind in "biuf"
    there = [value for value in given if value is not None]
    return bool(there) and all(isinstance(value, numbers.Real) for value in there)


def _refuse(name: str, bad: NDArray[np.bool_], fault: str, expected: str) -> None:
    rows = np.flatnonzero(bad)
    if rows.size:
        raise DataError(
            f"the covariate '{name}' {fault} in {rows.size:,} of {bad.size:,} rows (from 0: {listed(rows[:5])}"
            f"{' and more' if rows.size > 5 else ''}); every unit needs {expected} to be given an arm"  # noqa: PLR2004
        )
