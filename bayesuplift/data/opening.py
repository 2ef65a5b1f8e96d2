"""A table with its columns looked for and typed, ready to be asked."""

from collections.abc import Collection, Mapping
from typing import Any, Final

import narwhals.stable.v2 as nw

from bayesuplift.data.frames import (
    Frame,
    Schema,
    open_frame,
    require_columns,
    schema_of,
    with_exact_keys,
    with_settled_objects,
)
from bayesuplift.data.validation import check_key, schema_safe_name
from bayesuplift.errors import DataError

LARGEST: Final = 2**53
"""The whole number up to which a float holds every one."""

_KEYS: Final = ("arm", "unit", "experiment")


def opened(
    source: Any,
    named: Mapping[str, str],
    factors: tuple[str, ...] = (),
    inputs: tuple[str, ...] = (),
    *,
    optional: Collection[str] = (),
) -> tuple[Frame, Schema]:
    """The frame and its schema, after the columns were looked for.

    Parameters
    ----------
    source
        A path or a dataframe.
    named
        Column of each role.
    factors, inputs
        Columns of the segment factors, and of the covariates.
    optional
        Roles whose column may be absent.
    """
    keys = [named[role] for role in _KEYS if role in named]
    keys += factors
    frame = open_frame(source, keys)
    schema = schema_of(frame)
    named = {role: column for role, column in named.items() if column in schema or role not in optional}
    require_columns(schema, named)
    _refuse_dots(frame, [*named.values(), *factors, *inputs])
    for role, columns in (("segment", factors), ("covariate", inputs)):
        for column in columns:
            require_columns(schema, {role: column})
            check_key(column, role, schema[column])
    for role in _KEYS:
        if role in named:
            check_key(named[role], role, schema[named[role]])
    frame = with_settled_objects(
        frame, list(dict.fromkeys([*named.values(), *factors, *inputs])), [key for key in keys if key not in inputs]
    )
    frame = with_exact_keys(frame, keys)
    return frame, schema_of(frame)


def with_numbers(frame: Frame, source: Any, shared: list[str]) -> tuple[Frame, dict[str, str]]:
    """Numbers beside the text of columns that are factors and covariates, and the names these have in the frame."""
    schema = schema_of(frame)
    as_text = [name for name in shared if schema[name] == nw.String]
    if not as_text or not frame.implementation.is_duckdb():
        return frame, {}
    guessed = schema_of(open_frame(source))
    twins: dict[str, str] = {}
    for name in as_text:
        if guessed[name].is_numeric() or guessed[name] == nw.Boolean:
            twins[name] = schema_safe_name([*schema, *twins.values()])
    if not twins:
        return frame, {}
    return frame.with_columns(**{twin: nw.col(name).cast(guessed[name]) for name, twin in twins.items()}), twins


def _refuse_dots(frame: Frame, columns: Collection[str]) -> None:
    """Refuse names that Spark would read as a field of a structure."""
    dotted = [column for column in columns if "." in column or "`" in column]
    if dotted and frame.implementation.is_spark_like():
        raise DataError(
            f"the column '{dotted[0]}' has a dot or a backtick in its name, which Spark takes for a structure's field. "
            f"Rename it first, with withColumnRenamed or toDF."
        )
