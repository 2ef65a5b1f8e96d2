"""A ledger is made where nothing is, found again where it is, and nothing else is touched."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import update

from bayesuplift.errors import ArgumentError, BayesupliftError, LedgerError, MissingFileError
from bayesuplift.monitor.ledger.opening import open_ledger
from bayesuplift.monitor.ledger.tables import SCHEMA_VERSION, schema
from tests.calibration.ledger_faults import NAME, start


def made(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def asked(path: Path, question: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(question).fetchall()


def test_a_ledger_is_found_again(place: str) -> None:
    assert open_ledger(place).experiments() == []
    start(place)
    assert open_ledger(place).read(NAME).entries == 0
    assert [one.name for one in open_ledger(place, create=False).experiments()] == [NAME]


def test_a_ledger_of_another_version_is_refused_unchanged(place: str) -> None:
    engine = start(place).engine
    for version, advice in ((SCHEMA_VERSION + 1, "install the bayesuplift that wrote it"), (0, "from a copy")):
        with engine.begin() as connection:
            connection.execute(update(schema).values(version=version))
        with pytest.raises(LedgerError, match=f"ledger of version {version}, and this bayesuplift knows 1.*{advice}"):
            open_ledger(place)


def test_names_of_files_may_be_odd(tmp_path: Path) -> None:
    path = tmp_path / "täg ? 100%41 #1.db"
    start(path)
    assert sorted(one.name for one in tmp_path.iterdir()) == [path.name]
    assert (
        open_ledger(f"sqlite:///{tmp_path / 'täg'} ? 100%41 #1.db".replace("?", "%3F"), create=True).experiments() == []
    )


def test_a_path_a_text_and_a_url_name_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    start("runs.db")
    for place in (
        tmp_path / "runs.db",
        str(tmp_path / "runs.db"),
        f"sqlite:///{tmp_path / 'runs.db'}",
        "sqlite:///runs.db",
    ):
        assert open_ledger(place, create=False).read(NAME).entries == 0


def test_commits_reach_the_disk_and_readers_are_let_pass(tmp_path: Path) -> None:
    ledger = start(tmp_path / "runs.db")
    with ledger.engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "fullfsync")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "fullfsync": 1}


def test_without_a_log_of_its_own_a_writer_would_block_readers(tmp_path: Path) -> None:
    """The fault that `test_a_writer_waits_for_another_and_then_says_so` would see."""
    path = tmp_path / "runs.db"
    start(path)
    assert asked(path, "PRAGMA journal_mode = DELETE") == [("delete",)]
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerError, match="kept it locked"):
            open_ledger(path, timeout=0.05)
        writer.execute("ROLLBACK")
    assert open_ledger(path).read(NAME).entries == 0
    assert asked(path, "PRAGMA journal_mode") == [("wal",)]


def foreign(path: Path) -> None:
    made(path, "CREATE TABLE customers (name TEXT)", "INSERT INTO customers VALUES ('Ada')")


def alike(path: Path) -> None:
    made(path, "CREATE TABLE experiments (id INTEGER)", "CREATE TABLE entries (id INTEGER)")


def marked(path: Path) -> None:
    made(path, *(f"CREATE TABLE {name} (id INTEGER)" for name in ("experiments", "entries", "bayesuplift_ledger")))


def a_view(path: Path) -> None:
    made(path, "CREATE VIEW one AS SELECT 1")


def text(path: Path) -> None:
    path.write_text("batch,n\n1,2\n" * 100, encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            foreign,
            "is not a ledger: it holds the tables customers.*bayesuplift_ledger, entries, experiments is not there",
        ),
        (alike, "is not a ledger.*bayesuplift_ledger is not there"),
        (marked, "is a ledger of version none"),
        (a_view, "is not a ledger"),
        (text, "not a database of SQLite"),
    ],
)
def test_what_is_no_ledger_is_refused_unchanged(tmp_path: Path, make: Callable[[Path], None], told: str) -> None:
    path = tmp_path / "runs.db"
    make(path)
    before = path.read_bytes()
    for create in (True, False):
        with pytest.raises(LedgerError, match=told):
            open_ledger(path, create=create)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["runs.db"]


def test_nothing_is_made_unasked(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with pytest.raises(MissingFileError, match="no ledger"):
        open_ledger(path, create=False)
    assert not path.exists()
    path.touch()
    with pytest.raises(LedgerError, match="an empty database, and no ledger"):
        open_ledger(path, create=False)
    assert path.stat().st_size == 0
    ledger = start(path)
    path.unlink()
    with pytest.raises(LedgerError, match="cannot be opened"):
        ledger.read(NAME)
    assert not path.exists()


def test_places_that_cannot_hold_a_ledger_are_told(tmp_path: Path) -> None:
    for place, told in (
        (tmp_path, "cannot be opened"),
        (tmp_path / "nowhere" / "runs.db", "cannot be made: .*No such file"),
        ("", "found ''"),
        (":memory:", "found ':memory:'"),
        ("a\0b", "is a file"),
    ):
        with pytest.raises(LedgerError, match=told):
            open_ledger(place)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:hidden@host/db",
        "postgresql+asyncpg://me:hidden@host/db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///runs.db?mode=ro",
        "postgresql://me:hidden@host:port/db",
        "://hidden",
        "postgresql+psycopg://me@127.0.0.1:1/db?password=hidden",
        "postgresql+psycopg://me:hidden@127.0.0.1:1/db",
    ],
)
def test_urls_that_cannot_be_used_are_refused_without_their_password(url: str) -> None:
    with pytest.raises(LedgerError) as caught:
        open_ledger(url, timeout=1.0)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan"), float("inf"), True, "1"], ids=repr)
def test_a_timeout_is_a_number_of_seconds(tmp_path: Path, timeout: float) -> None:
    with pytest.raises(ArgumentError, match="timeout"):
        open_ledger(tmp_path / "runs.db", timeout=timeout)
    assert issubclass(LedgerError, BayesupliftError)
    assert not list(tmp_path.iterdir())


def test_only_the_ledger_loads_sqlalchemy_and_the_ledger_little_else() -> None:
    script = (
        "import sys, bayesuplift.monitor.ledger\n"
        "print('sqlalchemy' in sys.modules)\n"
        "import bayesuplift.monitor.ledger.opening\n"
        "print(sorted({'sqlalchemy.orm', 'numpy', 'pandas', 'xarray', 'numba', 'jax', 'click'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["False", "[]"]
