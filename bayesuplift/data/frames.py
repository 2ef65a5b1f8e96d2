"""The seam to the engines: a path or a dataframe goes in, a lazy frame that runs in its own engine comes out."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from narwhals.exceptions import NarwhalsError

from bayesuplift.errors import (
    ColumnNotFoundError,
    DataError,
    FrameTypeError,
    MissingFileError,
    UnreadableFileError,
    did_you_mean,
    listed,
)

Frame = nw.LazyFrame[Any]
Schema = dict[str, nw.dtypes.DType]

_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
_LONGEST = 400


def open_frame(source: Any) -> Frame:
    """Open a table in the engine that it lives in; nothing is read yet.

    Parameters
    ----------
    source
        A path to a CSV, TSV (also with .gz) or Parquet file, which DuckDB reads; or any dataframe that narwhals knows:
        pandas, polars (eager or lazy), a PyArrow table, a DuckDB relation and others.

    Raises
    ------
    MissingFileError
        There is no such file.
    UnreadableFileError
        The file is not what its suffix says, or the suffix is unknown.
    FrameTypeError
        The source is neither a path nor a dataframe.
    """
    if isinstance(source, str | os.PathLike):
        return _open_file(Path(os.fspath(source)))
    with translated("the dataframe"):
        try:
            frame = nw.from_native(nw.to_native(source, pass_through=True))
        except TypeError as error:
            raise FrameTypeError(
                f"got a {type(source).__module__}.{type(source).__qualname__}; expected a path to a CSV or Parquet "
                f"file, or a dataframe (pandas, polars, PyArrow, DuckDB). Wrap other data in pandas.DataFrame first."
            ) from error
        return frame.lazy() if isinstance(frame, nw.DataFrame) else frame


def schema_of(frame: Frame) -> Schema:
    """Names and types of the columns, in order."""
    with translated("the table"):
        return dict(frame.collect_schema())


def require_columns(schema: Schema, named: Mapping[str, str]) -> None:
    """Refuse a column that is not there.

    Parameters
    ----------
    schema
        Columns that are there.
    named
        Column named for each role, for the message.

    Raises
    ------
    ColumnNotFoundError
        With the role, the columns there are, and the closest name.
    """
    for role, column in named.items():
        if column not in schema:
            raise ColumnNotFoundError(
                f"no column named '{column}' ({role}). Columns: {listed(schema)}.{did_you_mean(column, schema)}"
            )


def collect(frame: Frame) -> dict[str, list[Any]]:
    """Run a query and bring its few rows back as lists of Python values, by column."""
    if frame.implementation.is_duckdb():
        with translated("the table"):
            native = frame.to_native()
            columns, rows = list(native.columns), native.fetchall()
        # Not through pandas, which turns null into NaN, and whole numbers beside a null into floats.
        return {name: [row[i] for row in rows] for i, name in enumerate(columns)}
    return collect_frame(frame).to_dict(as_series=False)


def collect_frame(frame: Frame) -> nw.DataFrame[Any]:
    """Run a query and bring its rows back: as polars or PyArrow where they are at home, else as pandas."""
    with translated("the table"):
        implementation = frame.implementation
        if implementation.is_polars():
            # The streaming engine aggregates in batches: a scan of a large file stays within memory.
            return frame.collect(engine="streaming")
        if implementation.is_pandas_like() or implementation.is_pyarrow():
            return frame.collect()
        return frame.collect(backend="pandas")


def numbered(frame: Frame, name: str) -> Frame | None:
    """The frame with the number of each row, from 1, in the column `name`; None where an engine keeps no order."""
    implementation = frame.implementation
    if implementation.is_duckdb():
        native = frame.to_native()
        quoted = name.replace('"', '""')
        return nw.from_native(native.project(f'*, row_number() over () as "{quoted}"'))
    if implementation.is_polars():
        return nw.from_native(frame.to_native().with_row_index(name, offset=1))
    if implementation.is_pandas_like() or implementation.is_pyarrow():
        return frame.collect().with_row_index(name).with_columns(nw.col(name) + 1).lazy()
    return None


def with_settled_objects(frame: Frame, columns: list[str]) -> Frame:
    """Give pandas columns of plain objects (such as True, False, None) the type that their values have."""
    if not frame.implementation.is_pandas():
        return frame
    native: pd.DataFrame = frame.collect().to_native()
    objects = [column for column in columns if native[column].dtype == object]
    if not objects:
        return frame
    settled = {column: _settled(native[column]) for column in objects}
    return nw.from_native(native.assign(**settled)).lazy()


def _settled(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """The column typed by its values; one of truth values and numbers together counts as numbers."""
    if pd.api.types.infer_dtype(column, skipna=True) in ("mixed", "mixed-integer", "decimal"):
        present = [value for value in column if not (pd.api.types.is_scalar(value) and pd.isna(value))]
        if any(pd.api.types.is_list_like(value) for value in present):
            raise DataError(f"the column '{column.name}' holds lists; expected text, numbers, truth values or dates.")
        if all(isinstance(value, bool | int | float | Decimal | np.number | np.bool_) for value in present):
            return column.astype("Float64")
    return column.convert_dtypes()


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Translate an engine's own exception into one of ours, with its first words."""
    try:
        yield
    except _engine_errors() as error:
        text = str(error).strip()[:_LONGEST]
        raise DataError(f"{what} could not be read by its engine: {text}. Check its contents and types.") from error


def _engine_errors() -> tuple[type[BaseException], ...]:
    """Exceptions of the engines that are loaded; an engine that is not loaded raises none."""
    errors: list[type[BaseException]] = [duckdb.Error, NarwhalsError]
    if (polars := sys.modules.get("polars")) is not None:
        errors.append(polars.exceptions.PolarsError)
    if (arrow := sys.modules.get("pyarrow")) is not None:
        errors.append(arrow.ArrowException)
    return tuple(errors)


def _open_file(path: Path) -> Frame:
    """A file as a DuckDB relation, which keeps its connection alive by itself."""
    if not path.exists():
        raise MissingFileError(f"no file at '{path}'. Check the path; it is taken from '{Path.cwd()}' if relative.")
    name = path.name.lower()
    if not path.is_file() or not name.endswith(_SUFFIXES):
        found = "a folder" if path.is_dir() else f"a file with the suffix '{path.suffix}'"
        raise UnreadableFileError(f"'{path}' is {found}; expected a file that ends in {listed(_SUFFIXES)}.")
    if path.stat().st_size == 0:
        raise UnreadableFileError(f"'{path}' is empty; expected a table with a header and rows.")
    connection = duckdb.connect()
    try:
        if name.endswith(".parquet"):
            relation = connection.read_parquet(str(path))
        else:
            # Every row is looked at before a type is settled (sample_size): otherwise text far down in a column of
            # numbers would stop the query half-way, with the engine's words instead of ours.
            # Tabs are named for TSV; a comma is not for CSV, where semicolons are common, too.
            options = {"delimiter": "\t"} if ".tsv" in path.suffixes else {}
            relation = connection.read_csv(str(path), header=True, sample_size=-1, **options)
    except duckdb.Error as error:
        raise UnreadableFileError(
            f"'{path}' is not a readable {'Parquet' if name.endswith('.parquet') else 'CSV'} file: "
            f"{str(error).strip()[:_LONGEST]}"
        ) from error
    return nw.from_native(relation)
