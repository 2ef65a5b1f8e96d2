"""The seam to the engines: a path or a dataframe goes in, a lazy frame that runs in its own engine comes out."""

import importlib.util
import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import duckdb
import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from narwhals.exceptions import NarwhalsError

from bayesuplift.data.labels import label
from bayesuplift.errors import (
    BayesupliftError,
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
_DELIMITERS = ",;\t|"


def open_frame(source: Any, text: Collection[str] = ()) -> Frame:
    """Open a table in the engine that it lives in; nothing is read yet.

    Parameters
    ----------
    source
        A path to a CSV, TSV (also with .gz) or Parquet file, which DuckDB reads; or any dataframe that narwhals knows:
        pandas, polars (eager or lazy), a PyArrow table, a DuckDB relation, Dask, PySpark and others.
    text
        Columns that a CSV or TSV file is to give as they are written: a type guessed for them would merge "1.10" and
        "1.1". Names that are not there are passed over; other sources have types of their own.

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
        return _open_file(Path(os.fspath(source)), text)
    with translated("the dataframe"):
        try:
            frame = nw.from_native(nw.to_native(source, pass_through=True))
        except TypeError as error:
            raise FrameTypeError(
                f"got a {type(source).__module__}.{type(source).__qualname__}; expected a path to a CSV or Parquet "
                f"file, or a dataframe (pandas, polars, PyArrow, DuckDB, Dask, PySpark). Wrap other data in "
                f"pandas.DataFrame first."
            ) from error
        return frame.lazy() if isinstance(frame, nw.DataFrame) else frame


def schema_of(frame: Frame) -> Schema:
    """Names and types of the columns, in order."""
    with translated("the table"):
        return dict(frame.collect_schema())


def require_columns(schema: Mapping[str, object], named: Mapping[str, str]) -> None:
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
    if frame.implementation.is_duckdb() or frame.implementation.is_spark_like():
        with translated("the table"):
            native = frame.to_native()
            columns = list(native.columns)
            rows = native.fetchall() if frame.implementation.is_duckdb() else native.collect()
        # Not through pandas, which turns null into NaN, and whole numbers beside a null into floats.
        return {name: [row[i] for row in rows] for i, name in enumerate(columns)}
    return collect_frame(frame).to_dict(as_series=False)


def collect_frame(frame: Frame) -> nw.DataFrame[Any]:
    """Run a query and bring its rows back: as polars or PyArrow where they are at home, else as pandas.

    Rows of Spark come as PyArrow where that is installed: on the way to pandas it would make floats of whole numbers
    beside a null.
    """
    with translated("the table", TASK_ERRORS if frame.implementation.is_dask() else ()):
        implementation = frame.implementation
        if implementation.is_polars():
            # The streaming engine aggregates in batches: a scan of a large file stays within memory.
            return frame.collect(engine="streaming")
        if implementation.is_pandas_like() or implementation.is_pyarrow():
            return frame.collect()
        through_arrow = implementation.is_spark_like() and importlib.util.find_spec("pyarrow") is not None
        return frame.collect(backend="pyarrow" if through_arrow else "pandas")


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
    if implementation.is_dask():
        ones = frame.to_native().assign(**{name: 1})
        return nw.from_native(ones.assign(**{name: ones[name].cumsum()}))
    return None


def with_exact_keys(frame: Frame, keys: Collection[str]) -> Frame:
    """Keys in types that come back from their engine as they are there.

    What DuckDB hands to pandas as floats becomes text, so that long codes stay apart in every reader. Spark's instants
    become the wall-clock times of its session, as which it shows them: Python would tell them in its own time zone.
    """
    schema = schema_of(frame)
    if frame.implementation.is_spark_like():
        instants = [key for key in keys if getattr(schema[key], "time_zone", None) is not None]
        walls = {key: nw.col(key).cast(nw.Datetime("us")) for key in instants}
        return frame.with_columns(**walls) if walls else frame
    if not frame.implementation.is_duckdb():
        return frame
    wide = [key for key in keys if schema[key] in (nw.Int128, nw.UInt128) or schema[key].is_decimal()]
    return frame.with_columns(**{key: nw.col(key).cast(nw.String) for key in wide}) if wide else frame


def with_settled_objects(frame: Frame, columns: Collection[str], keys: Collection[str] = ()) -> Frame:
    """Give pandas columns of plain objects (such as True, False, None) the type that their values have.

    Of `keys`, some of `columns`, no two different values become one. Dask's become text, as it makes them by default:
    what type their values have is not known before they are read.
    """
    if frame.implementation.is_dask():
        parts = frame.to_native()
        plain = {column: parts[column].astype("string") for column in columns if parts[column].dtype == object}
        return nw.from_native(parts.assign(**plain)) if plain else frame
    if not frame.implementation.is_pandas():
        return frame
    native: pd.DataFrame = frame.collect().to_native()
    objects = [column for column in columns if native[column].dtype == object]
    if not objects:
        return frame
    settled = {column: _settled(native[column], is_key=column in keys) for column in objects}
    return nw.from_native(native.assign(**settled)).lazy()


def _settled(column: "pd.Series[Any]", *, is_key: bool) -> "pd.Series[Any]":
    """The column typed by its values; one of truth values and numbers together counts as numbers."""
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in ("mixed", "mixed-integer", "decimal") or (is_key and kind == "mixed-integer-float"):
        present = [value for value in column if not (pd.api.types.is_scalar(value) and pd.isna(value))]
        if any(pd.api.types.is_list_like(value) for value in present):
            raise DataError(f"the column '{column.name}' holds lists; expected text, numbers, truth values or dates.")
        if all(isinstance(value, bool | int | float | Decimal | np.number | np.bool_) for value in present):
            if is_key and any(isinstance(value, Decimal) or float(value) != value for value in present):
                return column.map(label, na_action="ignore").astype("string")
            if kind != "mixed-integer-float":
                return column.astype("Float64")
    return column.convert_dtypes()


TASK_ERRORS: Final = (ValueError, TypeError, ArithmeticError)
"""What a task of Dask may raise over its data: Dask has no root exception of its own."""


@contextmanager
def translated(what: str, also: tuple[type[BaseException], ...] = ()) -> Iterator[None]:
    """Translate an engine's own exception, and `also` others, into one of ours, with its first words."""
    try:
        yield
    except BayesupliftError:
        raise
    except (*_engine_errors(), *also) as error:
        text = str(error).strip()[:_LONGEST]
        raise DataError(f"{what} could not be read by its engine: {text}. Check its contents and types.") from error
    except FileNotFoundError as error:
        raise MissingFileError(f"{what} names a file that is not there: {str(error)[:_LONGEST]}.") from error
    except OSError as error:
        raise UnreadableFileError(f"{what} could not be read from its file: {str(error)[:_LONGEST]}.") from error


def _engine_errors() -> tuple[type[BaseException], ...]:
    """Exceptions of the engines that are loaded; an engine that is not loaded raises none."""
    errors: list[type[BaseException]] = [duckdb.Error, NarwhalsError]
    if (polars := sys.modules.get("polars")) is not None:
        errors.append(polars.exceptions.PolarsError)
    if (arrow := sys.modules.get("pyarrow")) is not None:
        errors.append(arrow.ArrowException)
    if (spark := sys.modules.get("pyspark.errors")) is not None:
        errors.append(spark.PySparkException)
    if (bridge := sys.modules.get("py4j.protocol")) is not None:
        errors.append(bridge.Py4JError)
    return tuple(errors)


def _open_file(path: Path, text: Collection[str]) -> Frame:
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
            # A folder named y=1 is not to become a column y, over the one in the file.
            relation = connection.read_parquet(literal_path(path), hive_partitioning=False)
        else:
            relation = _read_csv(connection, path, text)
    except duckdb.Error as error:
        raise UnreadableFileError(
            f"'{path}' is not a readable {'Parquet' if name.endswith('.parquet') else 'CSV'} file: "
            f"{str(error).strip()[:_LONGEST]}"
        ) from error
    return nw.from_native(relation)


def literal_path(path: Path) -> str:
    """The path with what DuckDB would read as a pattern escaped, so that no other file is read in its place."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def _read_csv(connection: duckdb.DuckDBPyConnection, path: Path, text: Collection[str]) -> duckdb.DuckDBPyRelation:
    """A CSV or TSV file, its columns `text` as they are written."""
    # Tabs are named for TSV; a comma is not for CSV, where semicolons are common, too.
    options: dict[str, Any] = {"hive_partitioning": False}
    if path.name.lower().endswith((".tsv", ".tsv.gz")):
        options["delimiter"] = "\t"
    written = literal_path(path)
    try:
        rows = connection.read_csv(written, header=False, all_varchar=True, **options).limit(1).fetchall()
        first = rows[0] if rows else ()
    except duckdb.Error:
        first = ()  # The header alone could not be made out; the reading below says why, if it fails as well.
    # Every row is looked at before a type is settled (sample_size): otherwise text far down in a column of numbers
    # would stop the query half-way, with the engine's words instead of ours.
    options |= {"header": True, "sample_size": -1}
    as_written = {name: "VARCHAR" for name in first if name in text}
    relation = connection.read_csv(written, **options, **({"dtype": as_written} if as_written else {}))
    found = relation.columns
    if len(found) == 1 and any(mark in found[0] for mark in _DELIMITERS):
        raise UnreadableFileError(
            f"'{path}' came out as one column, named {found[0]!r}; expected several. Either its rows differ in their "
            f"number of fields, or its delimiter was not found: check the rows, and that the suffix is .tsv for tabs."
        )
    # DuckDB renames a repeated name, so that the column asked for would be whichever came first.
    repeated = [
        name for i, name in enumerate(first) if name in first[:i] and len(found) == len(first) and found[i] != name
    ]
    if repeated:
        raise UnreadableFileError(
            f"'{path}' has more than one column named {listed(dict.fromkeys(repeated))}; expected every name once. "
            f"Rename or drop the others."
        )
    missed = [
        name for name, dtype in zip(found, relation.dtypes, strict=True) if name in text and str(dtype) != "VARCHAR"
    ]
    if missed:
        relation = connection.read_csv(written, **options, dtype=dict.fromkeys(missed, "VARCHAR") | as_written)
    return relation
