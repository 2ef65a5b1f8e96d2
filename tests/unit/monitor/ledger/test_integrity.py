"""What was cut off or altered is found when it is read, and the state can be made again."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, update
from sqlalchemy.sql.dml import Delete, Update

from bayesuplift.errors import LedgerError, StateError
from bayesuplift.monitor.ledger.ledger import Ledger
from bayesuplift.monitor.ledger.opening import open_ledger
from bayesuplift.monitor.ledger.records import Entry, entry_seal, text_hash
from bayesuplift.monitor.ledger.tables import entries, experiments
from tests.calibration.ledger_faults import NAME, again, batch, counted, sound, start


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    for number in (1, 2, 3):
        sound(ledger, number)
    return ledger


def alter(ledger: Ledger, statement: Update | Delete) -> None:
    with ledger.engine.begin() as connection:
        connection.execute(statement)


STATE = experiments.c.state_json
ALTERED_STATES: dict[str, dict[str, Any]] = {
    "cut off": {"state_json": func.substr(STATE, 1, 20)},
    "altered": {"state_json": func.replace(STATE, '"total": 6', '"total": 9')},
    "altered with its hash": {"state_json": '{"total": 9}', "state_hash": text_hash('{"total": 9}')},
    "its hash altered": {"state_hash": "0" * 64},
}


@pytest.mark.parametrize("altered", ALTERED_STATES.values(), ids=ALTERED_STATES)
def test_a_state_that_is_not_what_was_written_is_refused_and_made_again(
    filled: Ledger, altered: dict[str, Any]
) -> None:
    right = filled.read(NAME)
    alter(filled, update(experiments).values(altered))
    with pytest.raises(StateError, match=r"state of experiment 'checkout' was cut off or altered.*`rebuild`"):
        filled.read(NAME)
    with pytest.raises(StateError, match="cut off or altered"):
        sound(filled, 4)
    with pytest.raises(StateError, match="cut off or altered"):
        sound(filled, 3)
    assert len(list(filled.entries(NAME))) == 3
    assert filled.rebuild(NAME, again) == right
    assert filled.read(NAME) == right
    assert not sound(filled, 4)


@pytest.mark.parametrize("column", ["plan_json", "plan_hash", "first_state_json"])
def test_an_altered_plan_or_first_state_is_refused(filled: Ledger, column: str) -> None:
    alter(filled, update(experiments).values({column: '{"batches": 5}'}))
    for ask in (lambda: filled.read(NAME), lambda: sound(filled, 4), lambda: filled.rebuild(NAME, again)):
        with pytest.raises(StateError, match="plan or the first state of experiment 'checkout'"):
            ask()


@pytest.mark.parametrize("column", ["batch_id", "batch_hash", "batch_json", "look_json", "state_hash"])
def test_an_altered_entry_is_refused(filled: Ledger, column: str) -> None:
    alter(filled, update(entries).where(entries.c.number == 2).values({column: batch(8)["batch_json"]}))
    for ask in (lambda: list(filled.entries(NAME)), lambda: filled.rebuild(NAME, again)):
        with pytest.raises(StateError, match=r"entry 2 of experiment 'checkout' .* was cut off or altered"):
            ask()
    assert filled.read(NAME).entries == 3


def test_an_entry_that_is_gone_is_told(filled: Ledger) -> None:
    alter(filled, delete(entries).where(entries.c.number == 2))
    with pytest.raises(StateError, match="entry 2 of experiment 'checkout' is gone: 3 follows"):
        list(filled.entries(NAME))


def test_a_last_entry_that_is_gone_is_told(filled: Ledger) -> None:
    alter(filled, delete(entries).where(entries.c.number == 3))
    with pytest.raises(StateError, match="after entry 2 it was"):
        filled.read(NAME)


def other_look(state: str, entry: Entry) -> tuple[str, str]:
    new, look = again(state, entry)
    return new, look.replace("3", "4")


def other_state(state: str, entry: Entry) -> tuple[str, str]:
    new, look = again(state, entry)
    return json.dumps(json.loads(new), separators=(",", ":")), look


@pytest.mark.parametrize(
    ("different", "told"), [(other_look, "entry 2 .* the look differs"), (other_state, "entry 1 .* the state differs")]
)
def test_a_rebuild_that_differs_anywhere_changes_nothing(
    filled: Ledger, different: Callable[[str, Entry], tuple[str, str]], told: str
) -> None:
    before = filled.read(NAME)
    with pytest.raises(StateError, match=told):
        filled.rebuild(NAME, different)
    assert filled.read(NAME) == before


def test_a_batch_exchanged_together_with_its_seal_is_found_by_a_rebuild(filled: Ledger) -> None:
    entry = list(filled.entries(NAME))[1]
    forged = Entry(**{**vars(entry), "batch_json": batch(8)["batch_json"]})
    values = {"batch_json": forged.batch_json, "seal": entry_seal(NAME, forged)}
    alter(filled, update(entries).where(entries.c.number == 2).values(values))
    assert list(filled.entries(NAME))[1] == forged
    with pytest.raises(StateError, match=r"entry 2 .* the look and the state differs"):
        filled.rebuild(NAME, again)


def test_text_cut_off_within_a_letter_is_found(tmp_path: Path) -> None:
    ledger = start(tmp_path / "runs.db")
    with ledger.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE experiments SET state_json = CAST(X'7B22C3' AS TEXT)")
    with pytest.raises(StateError, match="cut off or altered"):
        ledger.read(NAME)
    with ledger.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE experiments SET state_json = X'7B7D', plan_json = X'00'")
    with pytest.raises(StateError, match="plan or the first state"):
        ledger.read(NAME)


def test_a_log_cut_off_at_any_byte_holds_the_batches_before_it(tmp_path: Path) -> None:
    """What a machine that lost power may leave of the file that is written first."""
    path, log = tmp_path / "runs.db", tmp_path / "runs.db-wal"
    ledger = start(path)
    with ledger.engine.connect() as held:  # while one is open, the log is not merged
        held.exec_driver_sql("SELECT 1 FROM experiments").close()
        held.rollback()
        for number in range(8):
            sound(ledger, number)
        database, whole = path.read_bytes(), log.read_bytes()
    cuts = [0, len(whole), *random.Random(1).sample(range(len(whole)), 30)]  # noqa: S311 -- places, not secrets
    left = {}
    for cut in cuts:
        other = tmp_path / "cut.db"
        other.write_bytes(database)
        (tmp_path / "cut.db-wal").write_bytes(whole[:cut])
        found = counted(other)
        assert found == list(range(len(found)))
        left[cut] = len(found)
        for file in tmp_path.glob("cut.db*"):
            file.unlink()
    assert left[0] == 0
    assert left[len(whole)] == 8
    assert len(set(left.values())) > 4
    assert [left[cut] for cut in sorted(left)] == sorted(left.values())


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    ledger = start(path)
    for number in range(4):
        sound(ledger, number)
    shutil.copy(path, tmp_path / "copy.db")
    content = bytearray(path.read_bytes())
    for offset in range(4096, len(content), 4096):
        content[offset : offset + 100] = b"\xff" * 100
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="damaged; take the ledger from a copy"):
        open_ledger(path).read(NAME)
    assert open_ledger(tmp_path / "copy.db").read(NAME).entries == 4
