"""Open a ledger, or make one in a database that is empty."""

from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, Engine, func, insert, inspect, select

from bayesuplift.errors import ArgumentError, LedgerError, MissingFileError, is_finite_number, listed
from bayesuplift.monitor.ledger.connecting import (
    is_url,
    let_readers_pass,
    parsed,
    postgresql_engine,
    shown,
    sqlite_engine,
)
from bayesuplift.monitor.ledger.ledger import Ledger
from bayesuplift.monitor.ledger.records import now
from bayesuplift.monitor.ledger.tables import SCHEMA_VERSION, metadata, schema
from bayesuplift.monitor.ledger.transactions import in_our_words, reading, writing

_TIMEOUT: Final = 30.0
_LONGEST: Final = 24 * 3600.0
_MAKING: Final = 0x6275_6C65  # key of PostgreSQL's advisory lock: nothing is there yet whose row could be locked


def open_ledger(place: str | Path, *, create: bool = True, timeout: float = _TIMEOUT) -> Ledger:
    """Open a ledger.

    Parameters
    ----------
    place
        A file, "runs.db"; or a database of PostgreSQL, "postgresql+psycopg://user@host:5432/database", whose first schema
        on the search path is the ledger's alone. A file must lie on a local disk: SQLite's locks and its write-ahead log do
        not work over a network.
    create
        Whether to make the ledger in a file that does not exist, or in a database that is empty.
    timeout
        Seconds that a writer waits for another.

    Raises
    ------
    ArgumentError
        The timeout is none.
    MissingFileError
        There is no such file, and none is to be made.
    LedgerError
        It cannot be opened; or the database is not a ledger, or one of another version: then nothing is changed.
    """
    if not is_finite_number(timeout) or not 0 < timeout <= _LONGEST:
        raise ArgumentError(f"timeout = {timeout!r}; give seconds, more than 0 and at most {_LONGEST:.0f}")
    url = parsed(str(place)) if is_url(place) else None
    if url is None or url.get_backend_name() == "sqlite":
        return _opened_file(_path(place, url), create=create, timeout=timeout)
    engine = postgresql_engine(url, timeout=timeout)
    _make_or_check(engine, shown(url), create=create)
    return Ledger(shown(url), engine)


def _path(place: str | Path, url: URL | None) -> Path:
    name = str(place) if url is None else str(url.database)
    if name in {"", ".", ":memory:"} or "\0" in name:
        raise LedgerError(f"a ledger is a file or a database of PostgreSQL; found {name!r}")
    return Path(name)


def _opened_file(path: Path, *, create: bool, timeout: float) -> Ledger:
    if not path.exists():
        if not create:
            raise MissingFileError(f"no ledger {path}; `monitor start` makes one")
        try:
            path.touch()
        except OSError as error:
            raise LedgerError(f"the ledger {path} cannot be made: {error}") from error
    engine = sqlite_engine(path, timeout=timeout)
    _make_or_check(engine, str(path), create=create)
    with in_our_words(str(path)):
        let_readers_pass(path, timeout=timeout)
    return Ledger(str(path), engine)


def _make_or_check(engine: Engine, url: str, *, create: bool) -> None:
    with reading(engine, url) as connection:
        if _is_ledger(connection, url):
            return
    if not create:
        raise LedgerError(f"{url} is an empty database, and no ledger; `monitor start` makes one")
    with writing(engine, url) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_MAKING)))
        if not _is_ledger(connection, url):  # of two that make it at once, the second finds it made
            metadata.create_all(connection)
            connection.execute(insert(schema).values(version=SCHEMA_VERSION, created_at=now()))


def _is_ledger(connection: Connection, url: str) -> bool:
    """Whether it is a ledger that this version knows; False where the database is empty, else a refusal."""
    found = inspect(connection)
    tables = {*found.get_table_names(), *found.get_view_names()}
    if not tables:
        return False
    expected = set(metadata.tables)
    if not expected <= tables:
        raise LedgerError(
            f"{url} is not a ledger: it holds the tables {listed(sorted(tables))}, and of a ledger's "
            f"{listed(sorted(expected - tables))} is not there. Nothing was changed; name a new file or an empty database"
        )
    columns = {column["name"] for column in found.get_columns(schema.name)}
    versions = connection.execute(select(schema.c.version)).scalars().all() if "version" in columns else []
    if versions != [SCHEMA_VERSION]:
        newer = len(versions) == 1 and versions[0] > SCHEMA_VERSION
        raise LedgerError(
            f"{url} is a ledger of version {listed(versions) or 'none'}, and this bayesuplift knows {SCHEMA_VERSION}. "
            f"Nothing was changed; {'install the bayesuplift that wrote it' if newer else 'take the ledger from a copy'}"
        )
    return True
