"""Rows of batches from files and dataframes, as text or numbers; what they mean is `batch.py`'s to say."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayesuplift.errors import BatchError, MissingFileError, UnreadableFileError

Rows = list[dict[str, Any]]


def rows_of(source: Any) -> Rows:
    """Rows of a table.

    Parameters
    ----------
    source
        A path (.csv, .json: a list of objects; .parquet), a list of mappings, a mapping of columns, or any dataframe that
        narwhals knows.

    Raises
    ------
    MissingFileError
        There is no such file.
    UnreadableFileError
        It is not what its name says.
    BatchError
        The object is no table.
    """
    if isinstance(source, str | Path):
        return _from_file(Path(source))
    if isinstance(source, Mapping):
        columns = {str(name): list(values) for name, values in source.items()}
        lengths = {len(values) for values in columns.values()}
        if len(lengths) > 1:
            raise BatchError(f"columns have {sorted(lengths)} rows; expected one length")
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if isinstance(source, list | tuple):
        if not all(isinstance(row, Mapping) for row in source):
            raise BatchError("a row is not a mapping of column to value")
        return [dict(row) for row in source]
    return _from_frame(source)


def parsed(text: str, ending: str) -> Rows:
    """Rows of a text: ".csv" with a header, or ".json", a list of objects.

    Raises
    ------
    BatchError
        It is neither.
    """
    if ending == ".json":
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise BatchError(f"the batch is not JSON: {error}") from error
        if not isinstance(content, list):
            raise BatchError(f"the batch is a JSON {type(content).__name__}; expected a list of objects, one a row")
        return rows_of(content)
    rows = list(csv.reader(io.StringIO(text), strict=True))
    if not rows:
        raise BatchError("the batch is empty; expected a header and one row an arm")
    header, *body = rows
    for place, row in enumerate(body, start=1):
        if row and len(row) != len(header):
            raise BatchError(f"row {place} has {len(row)} cells, and the header {len(header)}: was the file cut off?")
    return [dict(zip(header, row, strict=True)) for row in body if row]


def _from_file(path: Path) -> Rows:
    if not path.is_file():
        raise MissingFileError(f"no batch {path}")
    if path.suffix == ".parquet":
        return _from_frame(path)
    if path.suffix not in {".csv", ".json"}:
        raise UnreadableFileError(f"{path}: a batch is a .csv, .json or .parquet file")
    try:
        return parsed(path.read_text(encoding="utf-8-sig"), path.suffix)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableFileError(f"{path} cannot be read as {path.suffix[1:]}: {error}") from error


def _from_frame(source: Any) -> Rows:
    from bayesuplift.data.frames import collect, open_frame  # noqa: PLC0415 -- a CSV needs no engine of dataframes

    found = collect(open_frame(source, []))
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]
