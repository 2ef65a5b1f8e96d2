"""Real data: the e-mail test of MineThatData, from the user's file, the publisher, or the bundled cell table."""

import csv
import hashlib
import http.client
import importlib.resources
import io
import os
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Literal

import duckdb
import pandas as pd
import platformdirs

from bayesuplift.data.cells import Cells
from bayesuplift.data.frames import literal_path
from bayesuplift.data.labels import names_of
from bayesuplift.dims import Kind
from bayesuplift.errors import (
    ArgumentError,
    FactorNotFoundError,
    MissingFileError,
    UnreadableFileError,
    did_you_mean,
    listed,
)
from bayesuplift.files import whole_or_nothing

HILLSTROM_ADDRESS: Final = (
    "http://www.minethatdata.com/Kevin_Hillstrom_MineThatData_E-MailAnalytics_DataMiningChallenge_2008.03.20.csv"
)
HILLSTROM_SHA256: Final = "0e5893329d8b93cefecc571777672028290ab69865718020c78c7284f291aece"
"""Of the publisher's CSV, with the line end that closes its last row."""

HILLSTROM_COLUMNS: Final = (
    "recency",
    "history_segment",
    "history",
    "mens",
    "womens",
    "zip_code",
    "newbie",
    "channel",
    "segment",
    "visit",
    "conversion",
    "spend",
)
HILLSTROM_CONTROL: Final = "No E-Mail"
HILLSTROM_FACTORS: Final = ("merchandise", "newbie", "channel", "zip_area")
DATA_FOLDER: Final = "BAYESUPLIFT_DATA"
"""Environment variable that names the folder of the user's study files."""

_PUBLISHED_NAME: Final = HILLSTROM_ADDRESS.rpartition("/")[2]
_NAMES: Final = ("hillstrom.parquet", "hillstrom.csv", _PUBLISHED_NAME)
_AMOUNTS: Final = ("history", "spend")
_SECONDS: Final = 60


def hillstrom(path: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """The e-mail test of 64,000 customers, three arms in the column `segment`, verified by hash.

    Parameters
    ----------
    path
        A CSV or Parquet file. Without one: the file hillstrom.parquet, hillstrom.csv or the publisher's CSV in the
        folder named by the environment variable BAYESUPLIFT_DATA; else the copy in the user's cache folder, fetched
        from the publisher the first time.

    Returns
    -------
    pandas.DataFrame
        The publisher's 12 columns and 64,000 rows; `history` and `spend` in dollars. `zip_code` really says
        "Surburban".

    Raises
    ------
    MissingFileError
        There is no such file, or none at hand and the publisher cannot be reached.
    UnreadableFileError
        The file is not the publisher's data; both hashes are named.

    References
    ----------
    Hillstrom, K. (2008), The MineThatData E-Mail Analytics and Data Mining Challenge.
    """
    source = Path(path) if path is not None else _found() or _downloaded()
    if not source.exists():
        raise MissingFileError(f"no file at '{source}'. Give the path of the publisher's CSV ({HILLSTROM_ADDRESS}).")
    if source.suffix.lower() == ".parquet":
        return _from_parquet(source)
    try:
        content = source.read_bytes()
    except OSError as error:
        raise UnreadableFileError(f"'{source}' cannot be read: {error}.") from error
    _verify(content, source)
    return pd.read_csv(io.BytesIO(content))


def hillstrom_cells(
    outcome: Literal["visit", "conversion", "spend"] = "visit", segments: str | Iterable[str] = ()
) -> Cells:
    """Cells of the e-mail test from the table that is part of the package; needs no file and no network.

    Parameters
    ----------
    outcome
        "visit" or "conversion" (binary: the customer visited, bought, within two weeks), or "spend" (revenue, dollars
        within two weeks).
    segments
        Factors to keep, out of "merchandise" (bought in the past year: mens, womens or both), "newbie" (1: customer
        for less than a year), "channel" and "zip_area".

    Returns
    -------
    Cells
        Statistics ([segment,] arm). Of spend the quantiles are not known.

    Raises
    ------
    ArgumentError
        There is no such outcome.
    FactorNotFoundError
        There is no such factor.

    References
    ----------
    Hillstrom, K. (2008), The MineThatData E-Mail Analytics and Data Mining Challenge.
    """
    kinds: dict[str, Kind] = {"visit": "binary", "conversion": "binary", "spend": "revenue"}
    if outcome not in kinds:
        raise ArgumentError(f"no outcome named '{outcome}'. Outcomes: {listed(kinds)}.{did_you_mean(outcome, kinds)}")
    chosen = names_of(segments, "segments")
    for name in chosen:
        if name not in HILLSTROM_FACTORS:
            hint = did_you_mean(name, HILLSTROM_FACTORS)
            raise FactorNotFoundError(f"no factor named '{name}'. Factors: {listed(HILLSTROM_FACTORS)}.{hint}")
    columns = {
        "visit": {"total": "visits"},
        "conversion": {"total": "conversions"},
        "spend": {
            "total": "spend_total",
            "sum_squared_deviations": "spend_sum_squared_deviations",
            "positives": "spenders",
            "total_log": "spend_total_log",
            "sum_squared_log_deviations": "spend_sum_squared_log_deviations",
            "maximum": "spend_maximum",
        },
    }[outcome]
    bundled = importlib.resources.files("bayesuplift.data") / "bundled" / "hillstrom_cells.csv"
    with importlib.resources.as_file(bundled) as path:
        cells = Cells.from_table(
            path,
            arm="arm",
            control=HILLSTROM_CONTROL,
            kind=kinds[outcome],
            outcome=outcome,
            statistics=columns,
            segments=HILLSTROM_FACTORS,
        )
    return cells.by(*chosen)


def published_text(table: pd.DataFrame) -> bytes:
    """The table as the CSV that the publisher ships, byte for byte: the form whose hash is known.

    Rows end in CR LF; amounts are dollars with the cents that they have and no trailing zeros; text is quoted only
    where it holds a comma.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(HILLSTROM_COLUMNS)
    columns: list[list[Any]] = [
        [f"{value:.2f}".rstrip("0").rstrip(".") for value in table[name]] if name in _AMOUNTS else table[name].tolist()
        for name in HILLSTROM_COLUMNS
    ]
    writer.writerows(zip(*columns, strict=True))
    return text.getvalue().encode()


def _verify(content: bytes, source: object) -> None:
    """Refuse content that is not the publisher's."""
    found = hashlib.sha256(content).hexdigest()
    if found == HILLSTROM_SHA256:
        return
    hint = "Get it from the publisher again."
    if hashlib.sha256(content.rstrip(b"\r\n") + b"\r\n").hexdigest() == HILLSTROM_SHA256:
        hint = "Only the CR LF that ends the last row differs: restore exactly one."
    elif hashlib.sha256(b"\r\n".join(content.splitlines()) + b"\r\n").hexdigest() == HILLSTROM_SHA256:
        hint = "Only the line ends differ: the publisher's rows end in CR LF, the last one too."
    raise UnreadableFileError(
        f"'{source}' is not the published Hillstrom data: its SHA-256 is {found}, expected {HILLSTROM_SHA256}. {hint}"
    )


def _from_parquet(source: Path) -> pd.DataFrame:
    """A Parquet file, verified through the publisher's CSV written from it."""
    try:
        table = duckdb.connect().read_parquet(literal_path(source), hive_partitioning=False).df()
    except duckdb.Error as error:
        raise UnreadableFileError(f"'{source}' is not a readable Parquet file: {str(error).strip()}") from error
    absent = [name for name in HILLSTROM_COLUMNS if name not in table.columns]
    numeric = [name for name in _AMOUNTS if name in table.columns and pd.api.types.is_numeric_dtype(table[name])]
    if absent or len(numeric) < len(_AMOUNTS):
        raise UnreadableFileError(
            f"'{source}' is not the published Hillstrom data: it lacks {listed(absent) or 'amounts that are numbers'}. "
            f"Expected the columns {listed(HILLSTROM_COLUMNS)}."
        )
    _verify(published_text(table), f"{source} (written as CSV)")
    return table[list(HILLSTROM_COLUMNS)]


def _found() -> Path | None:
    """The file in the user's data folder, if the folder is named and holds one."""
    named = os.environ.get(DATA_FOLDER)
    candidates = [Path(named) / name for name in _NAMES] if named else []
    return next((file for file in candidates if file.exists()), None)


def _downloaded() -> Path:
    """The publisher's CSV in the user's cache folder, fetched and verified the first time."""
    target = platformdirs.user_cache_path("bayesuplift") / _PUBLISHED_NAME
    if target.exists():
        return target
    try:
        # The publisher has no https; the hash, not the transport, is what vouches for the bytes.
        with urllib.request.urlopen(HILLSTROM_ADDRESS, timeout=_SECONDS) as reply:
            content = reply.read()
    except (OSError, http.client.HTTPException) as error:
        raise MissingFileError(
            f"the Hillstrom data are not at hand and could not be fetched from {HILLSTROM_ADDRESS} ({error}). "
            f"Fetch the file yourself and give its path, or put it into a folder named by the environment variable "
            f"{DATA_FOLDER}; hillstrom_cells() needs no file."
        ) from error
    _verify(content, HILLSTROM_ADDRESS)
    with whole_or_nothing(target) as partial:
        partial.write_bytes(content)
    return target
