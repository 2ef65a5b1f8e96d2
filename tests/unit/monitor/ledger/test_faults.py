"""Killed, crowded and starved writers leave the last whole batch; `make calibrate` kills more of them."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import event

from bayesuplift.errors import LedgerError
from tests.calibration.ledger_faults import counted, sound, start

ROOT = Path(__file__).parents[4]


def test_killed_and_crowded_writers_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    """In a process of its own, which forks: this one may have threads."""
    command = [sys.executable, "-m", "tests.calibration.ledger_faults", "--kills", "20", "--batches", "20"]
    place = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=place, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["killed"]["kills"] == 20
    assert told["killed"]["in a batch"] >= 5
    assert told["killed"]["acknowledged"] >= 5
    assert told["full disk"]["kept"] >= 1
    assert len(told["planted"]) == 3
    assert all(told["planted"].values())


def test_a_full_database_keeps_what_it_has_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    ledger = start(path)
    pages = 14

    def limit(connection: object, _record: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")  # type: ignore[attr-defined]

    event.listen(ledger.engine, "connect", limit)
    tried = itertools.count()
    with pytest.raises(LedgerError, match="the disk is full; try again when there is room"):
        any(sound(ledger, number) for number in tried)
    done = next(tried) - 1
    assert done >= 1
    assert counted(path) == list(range(done))
    pages = 1000
    assert [sound(ledger, number) for number in range(done + 2)] == [True] * done + [False] * 2
    assert counted(path) == list(range(done + 2))
