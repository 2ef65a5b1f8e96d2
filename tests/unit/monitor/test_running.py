"""Experiments in a ledger: counted once, replayed bit for bit, mended where a state was altered."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from bayesuplift.errors import BatchError, LedgerConflictError, StateError
from bayesuplift.monitor.ledger.ledger import Ledger
from bayesuplift.monitor.ledger.opening import open_ledger
from bayesuplift.monitor.plan import Plan
from bayesuplift.monitor.running import last_look, looks_of, rebuild, record, replay, start, state_of
from bayesuplift.monitor.state import init
from tests.support.monitored import day, planned

PLAN = planned(rule={"promise": "anytime"})


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    opened = open_ledger(tmp_path / "runs.db")
    start(opened, PLAN)
    return opened


def rows(plan: Plan, y: list[int], n: int = 1000) -> list[dict[str, Any]]:
    return [{"arm": arm, "n": n, "conversion": total} for arm, total in zip(plan.design.arms, y, strict=True)]


def counted(ledger: Ledger, k: int, y: list[int], **options: Any) -> dict[str, Any]:
    return record(ledger, "button", rows(PLAN, y), **({"id": f"day {k}", "at": day(k)} | options)).look


def test_starting_twice_changes_nothing_and_another_plan_is_a_conflict(ledger: Ledger) -> None:
    counted(ledger, 1, [50, 51])
    state, new = start(ledger, PLAN)
    assert not new
    assert state.batches == 1
    with pytest.raises(LedgerConflictError, match="button"):
        start(ledger, planned(rule={"promise": "anytime", "alpha": 0.01}))


def test_a_batch_is_counted_once(ledger: Ledger) -> None:
    first = record(ledger, "button", rows(PLAN, [50, 51]), id="day 1", at=day(1))
    again = record(ledger, "button", rows(PLAN, [50, 51]), id="day 1", at=day(2))
    assert (first.repeated, again.repeated) == (False, True)
    assert again.look == first.look
    with pytest.raises(LedgerConflictError, match="A batch is never counted twice, nor"):
        record(ledger, "button", rows(PLAN, [50, 52]), id="day 1", at=day(1))
    assert state_of(ledger, "button").pooled.n == (1000, 1000)


def test_cumulative_batches_are_called_by_their_time(ledger: Ledger) -> None:
    table = rows(PLAN, [50, 51])
    assert not record(ledger, "button", table, at=day(1), cumulative=True).repeated
    assert record(ledger, "button", table, at=day(1), cumulative=True).repeated
    record(ledger, "button", rows(PLAN, [90, 99], 2000), at=day(2), cumulative=True)
    assert state_of(ledger, "button").pooled.totals["conversion"] == (90, 99)
    with pytest.raises(BatchError, match="give the batch a name"):
        record(ledger, "button", table, at=day(3))


def test_a_fault_leaves_nothing(ledger: Ledger) -> None:
    before = ledger.read("button")
    with pytest.raises(BatchError, match="row 2: conversion = 1001 of n = 1000"):
        counted(ledger, 1, [50, 1001])
    assert ledger.read("button") == before
    assert last_look(ledger, "button") is None


def test_every_look_is_replayed_bit_for_bit(ledger: Ledger) -> None:
    def alarm(*_: Any) -> list[dict[str, Any]]:
        return [{"segment": "web", "sentence": "B seems to harm web."}]

    looks = [counted(ledger, k, [50 + k, 52 - k], alarm=alarm) for k in (1, 2, 3)]
    assert replay(ledger, "button") == looks == looks_of(ledger, "button")
    assert last_look(ledger, "button") == looks[-1]
    final = state_of(ledger, "button")
    assert looks[-1]["state_hash"] == final.hash


def test_a_look_that_was_recorded_by_another_rule_is_told_of(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    counted(ledger, 1, [50, 60])
    monkeypatch.setattr("bayesuplift.monitor.evaluation.FLAT_SPREAD", 0.2)  # the planted fault
    monkeypatch.setattr("bayesuplift.monitor.evidence.effect_grid.FLAT_SPREAD", 0.2)
    with pytest.raises(StateError, match="batch 'day 1' of experiment 'button' is replayed with other arms"):
        replay(ledger, "button")


def test_an_altered_state_is_found_and_made_again(ledger: Ledger, tmp_path: Path) -> None:
    counted(ledger, 1, [50, 60])
    whole = ledger.read("button").state_json
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        connection.execute("UPDATE experiments SET state_json = substr(state_json, 1, 100)")
    with pytest.raises(StateError, match="cut off or altered"):
        counted(ledger, 2, [50, 60])
    rebuild(ledger, "button")
    assert ledger.read("button").state_json == whole
    assert counted(ledger, 2, [50, 60])["units"] == 4000


def test_a_deviating_look_is_replayed_with_its_threshold(tmp_path: Path) -> None:
    plan = planned(rule={"promise": "calibrated", "relative_loss": 0.05}, looks={"number": 3, "units": 2000})
    ledger = open_ledger(tmp_path / "runs.db")
    state, new = start(ledger, plan)
    assert new
    assert state.as_json() == init(plan).as_json()
    record(ledger, "button", rows(plan, [150, 160], 3000), id="1", at=day(1))
    (look,) = replay(ledger, "button")
    assert len(look["deviations"]) == 1
    assert json.loads(ledger.read("button").state_json)["taken"][0]["units"] == 6000
