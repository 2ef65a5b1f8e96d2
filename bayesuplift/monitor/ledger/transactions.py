"""Transactions on a ledger: whole or not there, and refused in words of our own."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from bayesuplift.errors import LedgerError
from bayesuplift.monitor.ledger.connecting import WRITES

_LOCKED: Final = "another process kept it locked for longer than the timeout; try again"
_FULL: Final = "the disk is full; try again when there is room, no batch is counted twice"
_WHY: Final = {
    # SQLite's result codes
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_LOCKED": _LOCKED,
    "SQLITE_FULL": _FULL,
    "SQLITE_IOERR": "the disk refused to read or to write; try again when it does, no batch is counted twice",
    "SQLITE_NOTADB": "the file is not a database of SQLite, and therefore no ledger",
    "SQLITE_CORRUPT": "the file is damaged; take the ledger from a copy",
    "SQLITE_CANTOPEN": "the file, or the two that SQLite keeps beside it, cannot be opened",
    "SQLITE_READONLY": "the file, or its folder, may not be written",
    # PostgreSQL's SQLSTATE, by class
    "55P03": _LOCKED,
    "53": _FULL,
    "08": "the server cannot be reached",
    "28": "the server refused the user or the password",
    "3D": "the server has no database of that name",
    "42501": "the user may not do that",
}


@contextmanager
def reading(engine: Engine, url: str) -> Iterator[Connection]:
    """A transaction that waits for no writer.

    Raises
    ------
    LedgerError
        The database refuses.
    """
    with in_our_words(url), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine, url: str) -> Iterator[Connection]:
    """A transaction that may write: committed when the block ends well, else rolled back.

    It holds SQLite's one write lock from its first instant; in PostgreSQL it waits for locks as long as the timeout says.

    Raises
    ------
    LedgerError
        The database refuses.
    """
    with (
        in_our_words(url),
        engine.connect().execution_options(**{WRITES: True}) as connection,
        connection.begin(),
    ):
        yield connection


@contextmanager
def in_our_words(url: str) -> Iterator[None]:
    """Turn the refusals of SQLAlchemy, and of the drivers beneath it, into a LedgerError.

    Raises
    ------
    LedgerError
        In their place. It does not repeat the statement: that would be the whole batch.
    """
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        cause = getattr(error, "orig", None) or error
        raise LedgerError(f"the ledger {url}: {_why(cause)} ({_first_line(cause)})") from error


def _why(cause: BaseException) -> str:
    code = str(getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None) or "")
    known = [words for start, words in _WHY.items() if code.startswith(start)]
    return known[0] if known else "the database refuses"


def _first_line(cause: BaseException) -> str:
    return next(iter(str(cause).splitlines()), type(cause).__name__)
