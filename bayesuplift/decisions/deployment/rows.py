"""Rows that a policy is put to: the columns that it asks for, from a batch of any dataframe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesuplift.data.experiment import numbers_of
from bayesuplift.data.frames import Schema, collect_frame, translated
from bayesuplift.data.opening import opened
from bayesuplift.data.validation import Fault, check_numeric, diagnose
from bayesuplift.decisions.deployment.levels import as_texts, check_type
from bayesuplift.errors import DataError

_TEXT: Final = (nw.String, nw.Categorical, nw.Enum)
_ADVICE: Final = "Drop these rows or give them a value."


@dataclass(frozen=True)
class Asked:
    """What a policy asks of every unit.

    Parameters
    ----------
    texts
        Columns of levels, which are compared as text.
    numbers
        Columns of numbers by what they are, such as {"score of men": "score_men"}.
    unit
        Column that names the unit; None where names do not matter.
    unbounded
        Whether numbers may be minus infinity.
    """

    texts: tuple[str, ...] = ()
    numbers: Mapping[str, str] = field(default_factory=dict)
    unit: str | None = None
    unbounded: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them, each once."""
        named = () if self.unit is None else (self.unit,)
        return tuple(dict.fromkeys([*named, *self.texts, *self.numbers.values()]))


@dataclass(frozen=True, eq=False)
class Rows:
    """Units of a batch, in its order.

    Parameters
    ----------
    texts, numbers
        Values (unit,) by column.
    names
        (unit,): as text; empty where they were not asked for.
    index
        The batch's index, where it is of pandas; else positions.
    """

    texts: Mapping[str, Sequence[str]]
    numbers: Mapping[str, NDArray[np.float64]]
    names: Sequence[str]
    index: pd.Index

    def __len__(self) -> int:
        """Number of units."""
        return len(self.index)


@dataclass(frozen=True, eq=False)
class Decided:
    """What a policy says of some units.

    Parameters
    ----------
    arm
        Position (unit,) of the arm among the policy's; -1 where it has none for the unit.
    unknown
        Segments that the policy does not know, one for each unit of such a segment.
    """

    arm: NDArray[np.intp]
    unknown: tuple[str, ...] = ()


@translated("the table of units")
def read_rows(units: Any, asked: Asked) -> Rows:
    """Read the columns that a policy asks for.

    Parameters
    ----------
    units
        A path, or any dataframe that narwhals knows; a batch may have no rows.
    asked
        What is looked for; other columns are not looked at.

    Raises
    ------
    ColumnNotFoundError
        A column is not there.
    DataError
        A value is missing or infinite, or a column holds what engines do not tell alike.
    FrameTypeError, MissingFileError, UnreadableFileError
        The units cannot be read.
    """
    named = dict(asked.numbers) | ({} if asked.unit is None else {"unit": asked.unit})
    frame, schema = opened(units, named, asked.texts)
    if asked.columns:
        table = collect_frame(frame.select(*asked.columns))
        count = len(table)
    else:
        table, count = None, len(collect_frame(frame))
    if table is not None and count:  # what an empty batch holds has no type that could be judged
        _check(table.lazy(), schema, asked)
    index = units.index if isinstance(units, pd.DataFrame) else pd.RangeIndex(count)
    if table is None:
        return Rows({}, {}, (), index)
    return Rows(
        texts={column: as_texts(table[column]) for column in asked.texts},
        numbers={column: numbers_of(table[column]) for column in asked.numbers.values()} if count else {},
        names=() if asked.unit is None else as_texts(table[asked.unit]),
        index=index,
    )


def _check(frame: nw.LazyFrame[Any], schema: Schema, asked: Asked) -> None:
    """Refuse missing values, and types that are told differently from engine to engine."""
    faults = []
    for column in asked.texts:
        check_type(column, schema[column])
        faults += _missing(column, "level", schema[column])
    if asked.unit is not None:
        check_names(asked.unit, schema[asked.unit])
        faults += _missing(asked.unit, "unit", schema[asked.unit])
    for role, column in asked.numbers.items():
        check_numeric(frame, column, role, schema[column])
        faults += _missing(column, role, schema[column])
        if schema[column].is_float():
            value = nw.col(column)
            infinite = ~value.is_finite() & ~value.is_nan()
            bad = infinite & (value > 0) if asked.unbounded else infinite
            faults.append(Fault(column, role, bad, "is infinite", _ADVICE))
    diagnose(frame, faults)


def check_names(unit: str, dtype: nw.dtypes.DType) -> None:
    """Refuse names of units that are neither text nor whole numbers.

    Raises
    ------
    DataError
        They are of another type.
    """
    if not (dtype.is_integer() or dtype in _TEXT):
        raise DataError(
            f"the column '{unit}' (unit) holds {dtype}, which engines write as different texts; expected text or whole "
            f"numbers. Cast it to one of them first."
        )


def _missing(column: str, role: str, dtype: nw.dtypes.DType) -> list[Fault]:
    missing = nw.col(column).is_null()
    if dtype.is_float():
        missing = missing | nw.col(column).is_nan()
    return [Fault(column, role, missing, "is missing", _ADVICE)]
