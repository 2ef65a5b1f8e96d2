"""Connections to a ledger's database: a file of SQLite, or PostgreSQL by its URL."""

import math
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError as MalformedUrlError

from bayesuplift.errors import LedgerError

WRITES: Final = "bayesuplift_ledger_writes"
"""Execution option of a connection whose transaction takes the write lock when it begins."""

_PRAGMAS: Final = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA synchronous = FULL",  # a commit that returned is on the disk
    "PRAGMA fullfsync = ON",  # macOS: on the disk, and not in its cache
    "PRAGMA checkpoint_fullfsync = ON",
)
_RETRY_SECONDS: Final = 0.01
_DRIVER: Final = "postgresql+psycopg"


def is_url(place: str | Path) -> bool:
    """Whether a place is named by a URL, and not by a path."""
    return isinstance(place, str) and "://" in place


def parsed(place: str) -> URL:
    """The URL of a SQLite file or of a PostgreSQL database, the latter with its driver.

    Raises
    ------
    LedgerError
        It is no URL, or of another database. A password in it is not repeated.
    """
    try:
        url = make_url(place)
    except (MalformedUrlError, ValueError) as error:  # ValueError: a port that is no number
        raise LedgerError(
            "the ledger's URL cannot be read; expected postgresql+psycopg://user@host:5432/database"
        ) from error
    if url.drivername in {"postgres", "postgresql", _DRIVER}:
        return url.set(drivername=_DRIVER)
    if url.drivername in {"sqlite", "sqlite+pysqlite"} and url.database not in {None, "", ":memory:"} and not url.query:
        return url
    raise LedgerError(
        f"a ledger is a file (a path, or sqlite:///path) or a database of PostgreSQL ({_DRIVER}://user@host:5432/name); "
        f"found {shown(url)}"
    )


def shown(url: URL) -> str:
    """The URL without its password, wherever in it that stands."""
    secret = [key for key in url.query if "password" in key]
    return url.difference_update_query(secret).render_as_string(hide_password=True)


def sqlite_engine(path: Path, *, timeout: float) -> Engine:
    """Connections to a file that exists; none is kept open, so that a fork or a kill finds nothing half used."""
    engine = create_engine("sqlite://", creator=lambda: _connect(path, timeout), poolclass=NullPool)

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")

    return _beginning_with(engine, begin)


def postgresql_engine(url: URL, *, timeout: float) -> Engine:
    """Connections to a PostgreSQL database, none of them kept open.

    Raises
    ------
    LedgerError
        The driver is not installed.
    """
    try:
        # Row locks are waited for, and what is read after them is what was committed meanwhile.
        engine = create_engine(
            url,
            poolclass=NullPool,
            isolation_level="READ COMMITTED",
            connect_args={"connect_timeout": max(2, math.ceil(timeout))},
        )
    except ImportError as error:
        raise LedgerError(
            f"a ledger in PostgreSQL needs the driver psycopg: pip install 'bayesuplift[postgres]' ({error})"
        ) from error

    def begin(connection: Connection) -> None:
        if _writes(connection):
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{math.ceil(1000 * timeout)}ms'")

    return _beginning_with(engine, begin)


def let_readers_pass(path: Path, *, timeout: float) -> None:
    """Have a SQLite file keep what is being written in a second file (WAL), where it blocks no reader.

    Raises
    ------
    LedgerError
        The file cannot be put into that mode.
    sqlite3.Error
        It stayed locked, or cannot be written.
    """
    deadline = time.monotonic() + timeout
    with closing(_connect(path, timeout)) as connection:
        while True:
            try:
                (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            except sqlite3.OperationalError as error:
                # Of two that open a new ledger at once, one is turned away here without being made to wait.
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_SECONDS)
            else:
                break
    if mode != "wal":
        raise LedgerError(
            f"{path} lies where SQLite cannot keep a write-ahead log (journal mode {mode!r}); "
            "put the ledger on a local disk, or into PostgreSQL"
        )


def _connect(path: Path, timeout: float) -> sqlite3.Connection:
    """A connection that begins no transaction by itself, to a file that is not made where it is missing."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=timeout, isolation_level=None)
    with ExitStack() as undo:
        undo.callback(connection.close)
        # Text cut off within a letter is read, and found out by its hash.
        connection.text_factory = lambda raw: raw.decode(errors="backslashreplace")
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        undo.pop_all()
    return connection


def _writes(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get(WRITES))


def _beginning_with(engine: Engine, begin: Callable[[Connection], Any]) -> Engine:
    event.listen(engine, "begin", begin)
    return engine
