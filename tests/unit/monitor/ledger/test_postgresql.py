"""What is asked of PostgreSQL, and what is said where its driver is missing; where a server is named, see conftest.py."""

import sys

import pytest
from sqlalchemy import ClauseElement, insert, update
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.schema import CreateTable

from bayesuplift.errors import LedgerError
from bayesuplift.monitor.ledger import tables
from bayesuplift.monitor.ledger.opening import open_ledger


def in_postgresql(statement: ClauseElement) -> str:
    return " ".join(str(statement.compile(dialect=PGDialect())).split())  # type: ignore[no-untyped-call]


def in_sqlite(statement: ClauseElement) -> str:
    return " ".join(str(statement.compile(dialect=SQLiteDialect())).split())


def test_a_writer_locks_its_experiments_row() -> None:
    asked = tables.row_locked("checkout")
    assert "WHERE experiments.name = " in in_postgresql(asked)
    assert in_postgresql(asked).endswith(" FOR UPDATE")
    assert "FOR UPDATE" not in in_sqlite(asked)  # its transaction began with the lock of the whole file
    assert in_postgresql(tables.schema_locked()).endswith("FROM bayesuplift_ledger FOR UPDATE")


def test_an_experiment_and_its_last_entry_are_one_statement() -> None:
    asked = in_postgresql(tables.stored())
    assert "LEFT OUTER JOIN entries ON entries.experiment_id = experiments.id" in asked
    assert (
        "(SELECT max(among.number) AS max_1 FROM entries AS among WHERE among.experiment_id = experiments.id)" in asked
    )
    assert "FOR UPDATE" not in asked


def test_every_other_statement_is_one_that_both_understand() -> None:
    for statement in (
        tables.entry_of(1, "b1"),
        tables.page(1, 0, 10),
        insert(tables.entries),
        insert(tables.experiments),
        update(tables.experiments).values(state_json="{}", state_hash="0"),
    ):
        assert in_postgresql(statement)
        assert in_sqlite(statement)


def test_a_batch_is_unique_in_its_experiment() -> None:
    made = in_postgresql(CreateTable(tables.entries))
    assert "PRIMARY KEY (experiment_id, number)" in made
    assert "UNIQUE (experiment_id, batch_id)" in made
    assert "FOREIGN KEY(experiment_id) REFERENCES experiments (id)" in made
    assert "id SERIAL NOT NULL" in in_postgresql(CreateTable(tables.experiments))


def test_a_missing_driver_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(LedgerError, match=r"needs the driver psycopg: pip install 'bayesuplift\[postgres\]'"):
        open_ledger("postgresql://me:hidden@127.0.0.1:1/runs")
