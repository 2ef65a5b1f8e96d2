"""Faults in a table: found by expressions in its engine, told with the column, the count and the first rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import narwhals.stable.v2 as nw

from bayesuplift.data.frames import Frame, collect, numbered
from bayesuplift.data.labels import label
from bayesuplift.dims import KINDS, Kind
from bayesuplift.errors import ArgumentError, DataError, did_you_mean, listed

_NUMBER: Final = r"^\s*[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\s*$"
_SHOWN: Final = 3


@dataclass(frozen=True)
class Fault:
    """One thing that may be wrong with the rows of a table.

    Parameters
    ----------
    column
        The column to show.
    role
        What the column is to the caller, e.g. "outcome".
    faulty
        Expression, true in the rows at fault.
    found
        What is wrong, after the column's name: "is missing".
    advice
        What to do about it.
    """

    column: str
    role: str
    faulty: nw.Expr
    found: str
    advice: str


def check_kind(kind: object) -> Kind:
    """Return the kind, or refuse a word that is none."""
    for known in KINDS:
        if kind == known:
            return known
    raise ArgumentError(f"no kind of outcome named '{kind}'. Kinds: {listed(KINDS)}.{did_you_mean(kind, KINDS)}")


def check_roles(roles: Mapping[str, Sequence[object]]) -> None:
    """Refuse a name that is not text, and a column that is named for two roles.

    Parameters
    ----------
    roles
        Columns named for each role.
    """
    seen: dict[str, str] = {}
    for role, columns in roles.items():
        for column in columns:
            if not isinstance(column, str):
                raise ArgumentError(f"{column!r} is given as the column of the {role}; expected its name as text.")
            if column in seen:
                raise ArgumentError(
                    f"the column '{column}' is named as {seen[column]} and as {role}; a column has one role."
                )
            seen[column] = role


def check_key(column: str, role: str, dtype: nw.dtypes.DType) -> None:
    """Refuse a column of lists or structures as an arm, a segment factor or a unit."""
    if dtype.is_nested():
        raise DataError(f"the column '{column}' ({role}) holds {dtype}; expected text, numbers, truth values or dates.")


def key_faults(column: str, role: str, dtype: nw.dtypes.DType) -> list[Fault]:
    """Faults of an arm or a segment factor: null, NaN or empty text."""
    key = nw.col(column)
    missing = key.is_null()
    if dtype.is_float():
        missing = missing | key.is_nan()
    faults = [Fault(column, role, missing, "is missing", "Drop these rows or give them a value.")]
    if dtype in (nw.String, nw.Categorical, nw.Enum, nw.Object):
        empty = key.cast(nw.String).str.strip_chars() == ""
        faults.append(Fault(column, role, empty, "is empty text", "Drop these rows or give them a value."))
    return faults


def number_faults(column: str, role: str, dtype: nw.dtypes.DType) -> list[Fault]:
    """Faults of any column of numbers: missing, NaN, infinite."""
    value = nw.col(column)
    advice = "Drop these rows or fill them in before reading: no model may guess them."
    faults = [Fault(column, role, value.is_null(), "is missing", advice)]
    if dtype.is_float():
        infinite = ~value.is_finite() & ~value.is_nan()
        faults.append(Fault(column, role, value.is_nan(), "is NaN", advice))
        faults.append(Fault(column, role, infinite, "is infinite", advice))
    return faults


def outcome_faults(column: str, kind: Kind, dtype: nw.dtypes.DType) -> list[Fault]:
    """Faults of the outcome of this kind."""
    faults = number_faults(column, "outcome", dtype)
    if dtype == nw.Boolean:
        return faults
    value = nw.col(column)
    if kind == "binary":
        advice = "Code it 0 or 1, or name another kind."
        faults.append(Fault(column, "outcome", ~((value == 0) | (value == 1)), "is neither 0 nor 1", advice))
    if kind in ("count", "revenue"):
        word = "a count" if kind == "count" else "an amount"
        faults.append(
            Fault(column, "outcome", value < 0, "is negative", f"Expected {word}, 0 or more; or kind='continuous'.")
        )
    if kind == "count":
        faults.append(
            Fault(column, "outcome", value % 1 != 0, "is fractional", "Expected whole counts; or kind='continuous'.")
        )
    return faults


def precision_faults(column: str, dtype: nw.dtypes.DType) -> list[Fault]:
    """Faults of a column of precisions: no numbers, or none above 0."""
    advice = "Leave out units of whose outcome nothing is known."
    above = Fault(column, "precision", ~(number_of(column, dtype) > 0), "is not above 0", advice)
    return [*number_faults(column, "precision", dtype), above]


def number_of(column: str, dtype: nw.dtypes.DType) -> nw.Expr:
    """The column as float64; truth values as 1 and 0, null stays null."""
    value = nw.col(column)
    if dtype == nw.Boolean:
        # WORKAROUND(duckdb<=2.0): a cast of a truth value moves into the CSV reader, which knows no number "True".
        return nw.when(value).then(nw.lit(1.0)).otherwise(nw.when(~value).then(nw.lit(0.0)))
    return value.cast(nw.Float64)


def check_numeric(frame: Frame, column: str, role: str, dtype: nw.dtypes.DType) -> None:
    """Refuse a column that does not hold numbers or truth values, with the first values that are not numbers."""
    if dtype.is_numeric() or dtype == nw.Boolean:
        return
    value = nw.col(column)
    advice = f"Expected numbers or truth values; the column's type is {dtype}."
    faults = []
    if dtype == nw.String:
        # Asked apart: pandas answers False, not null, to a pattern in a missing value.
        text = ~value.is_null() & ~value.str.contains(_NUMBER)
        faults.append(Fault(column, role, text, "is not a number", advice))
        advice += " Convert it first."
    faults.append(Fault(column, role, ~value.is_null(), "is not a number", advice))
    faults.append(Fault(column, role, value.is_null(), "is missing", advice))
    diagnose(frame, faults)


def check_unit(frame: Frame, unit: str) -> None:
    """Refuse units that are missing or come twice."""
    key = nw.col(unit)
    found = collect(
        frame.select(
            rows=nw.len(),
            missing=key.is_null().cast(nw.Int64).sum(),
            distinct=key.n_unique(),
        )
    )
    rows, missing, distinct = (int(found[name][0] or 0) for name in ("rows", "missing", "distinct"))
    if missing:
        diagnose(frame, [Fault(unit, "unit", key.is_null(), "is missing", "Give every row its unit.")])
    if distinct < rows:
        twice = collect(
            frame.select(unit=key).group_by("unit").agg(n=nw.len()).filter(nw.col("n") > 1).sort("unit").head(_SHOWN)
        )
        shown = ", ".join(f"'{label(name)}' ({int(n)} rows)" for name, n in zip(twice["unit"], twice["n"], strict=True))
        raise DataError(
            f"{rows - distinct:,} of {rows:,} rows repeat a unit of the column '{unit}' (unit): {shown}. "
            f"Expected one row a unit: add up or drop the repeats first."
        )


def diagnose(frame: Frame, faults: Sequence[Fault]) -> None:
    """Count every fault in one query; refuse the first that a row has.

    Raises
    ------
    DataError
        With the column, the number of faulty rows, and the first of them; or because there are no rows.
    """
    flags = [fault.faulty.fill_null(value=False).cast(nw.Int64).sum().alias(f"f{i}") for i, fault in enumerate(faults)]
    counts = collect(frame.select(nw.len().alias("rows"), *flags))
    rows = int(counts["rows"][0])
    if rows == 0:
        raise DataError("the table has no rows; expected one a unit.")
    for i, fault in enumerate(faults):
        count = int(counts[f"f{i}"][0] or 0)
        if count:
            raise DataError(
                f"the column '{fault.column}' ({fault.role}) {fault.found} in {count:,} of {rows:,} rows"
                f"{_first_rows(frame, fault)}. {fault.advice}"
            )


def _first_rows(frame: Frame, fault: Fault) -> str:
    """The first faulty rows, counted from 1, with what stands there; any of them where rows have no order."""
    names = schema_safe_name(frame.collect_schema().names())
    with_rows = numbered(frame, names)
    if with_rows is None:
        values = collect(frame.filter(fault.faulty).select(value=nw.col(fault.column)).head(_SHOWN))["value"]
        return f", such as {', '.join(map(_shown, values))}"
    first = collect(
        with_rows.filter(fault.faulty).select(row=nw.col(names), value=nw.col(fault.column)).sort("row").head(_SHOWN)
    )
    shown = ", ".join(f"{int(row)} ({_shown(value)})" for row, value in zip(first["row"], first["value"], strict=True))
    return f", first in data row {shown}"


def schema_safe_name(columns: Sequence[str]) -> str:
    """A column name that the table does not have yet, whatever the case of its letters (DuckDB ignores it)."""
    taken = {column.lower() for column in columns}
    name = "row_number"
    while name in taken:
        name += "_"
    return name


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else label(value)
