"""Batches are applied once, in order, whole or not at all; what is read is what was written."""

import json
from collections.abc import Callable

import pytest

from bayesuplift.errors import ArgumentError, LedgerConflictError, LedgerError
from bayesuplift.monitor.ledger import ledger as module
from bayesuplift.monitor.ledger.ledger import Ledger
from bayesuplift.monitor.ledger.opening import open_ledger
from bayesuplift.monitor.ledger.records import text_hash
from tests.calibration.ledger_faults import FIRST, NAME, again, batch, step


def apply(ledger: Ledger, *numbers: int) -> None:
    for number in numbers:
        ledger.apply(NAME, **batch(number), step=step)


def total(ledger: Ledger) -> int:
    return int(json.loads(ledger.read(NAME).state_json)["total"])


def test_an_experiment_is_read_as_it_was_started(ledger: Ledger) -> None:
    stored = ledger.read(NAME)
    assert (stored.plan_json, stored.plan_hash, stored.state_json) == ("{}", "plan", FIRST)
    assert stored.state_hash == text_hash(FIRST)
    assert (stored.entries, stored.last_batch_id) == (0, None)
    assert list(ledger.entries(NAME)) == []


def test_batches_are_kept_in_the_order_in_which_they_came(
    ledger: Ledger, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE", 2)  # five entries are three pages
    apply(ledger, 3, 1, 2, 9, 4)
    again = open_ledger(place, create=False)
    assert again == ledger
    found = list(again.entries(NAME))
    assert [one.number for one in found] == [1, 2, 3, 4, 5]
    assert [one.batch_id for one in found] == ["b3", "b1", "b2", "b9", "b4"]
    assert [json.loads(one.look_json)["total"] for one in found] == [3, 4, 6, 15, 19]
    assert [one.batch_json for one in found] == [batch(number)["batch_json"] for number in (3, 1, 2, 9, 4)]
    assert (again.read(NAME).entries, again.read(NAME).last_batch_id) == (5, "b4")
    assert found[-1].state_hash == again.read(NAME).state_hash


def test_a_batch_that_is_there_is_not_counted_again(ledger: Ledger) -> None:
    apply(ledger, 3, 4)
    before = (ledger.read(NAME), list(ledger.entries(NAME)))

    def never(_state: str, _batch: str) -> tuple[str, str]:
        raise AssertionError("a batch that is there is not stepped")

    repeated = ledger.apply(NAME, **batch(3), step=never)
    assert repeated.repeated
    assert (repeated.number, repeated.look_json) == (1, '{"total": 3}')
    assert repeated.state_json == before[0].state_json
    assert (ledger.read(NAME), list(ledger.entries(NAME))) == before


def test_a_batch_altered_is_refused_with_both_hashes(ledger: Ledger) -> None:
    apply(ledger, 3)
    before = (ledger.read(NAME), list(ledger.entries(NAME)))
    with pytest.raises(LedgerConflictError, match="entry 1, with content of hash") as caught:
        ledger.apply(NAME, **{**batch(7), "batch_id": "b3"}, step=step)
    assert batch(3)["batch_hash"] in str(caught.value)
    assert batch(7)["batch_hash"] in str(caught.value)
    assert (ledger.read(NAME), list(ledger.entries(NAME))) == before


def test_batches_are_an_experiments_own(ledger: Ledger) -> None:
    apply(ledger, 3)
    assert ledger.start("another", plan_json="{}", plan_hash="plan", state_json=FIRST)
    assert not ledger.apply("another", **batch(3), step=step).repeated
    apply(ledger, 4)
    assert [(one.name, one.entries, one.last_batch_id) for one in ledger.experiments()] == [
        ("another", 1, "b3"),
        (NAME, 2, "b4"),
    ]
    assert total(ledger) == 7


def test_starting_again_changes_nothing_and_another_plan_is_refused(ledger: Ledger) -> None:
    apply(ledger, 3)
    before = ledger.read(NAME)
    assert not ledger.start(NAME, plan_json="{}", plan_hash="plan", state_json='{"other": 1}')
    with pytest.raises(LedgerConflictError, match="plan of hash plan, and this one has changed"):
        ledger.start(NAME, plan_json='{"arms": 3}', plan_hash="changed", state_json=FIRST)
    assert ledger.read(NAME) == before


class RefusedBatchError(Exception):
    """What a look may raise."""


def refusing(_state: str, _batch: str) -> tuple[str, str]:
    raise RefusedBatchError


def interrupted(_state: str, _batch: str) -> tuple[str, str]:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("failing", "error"),
    [
        (refusing, RefusedBatchError),
        (interrupted, KeyboardInterrupt),
        (lambda _state, _batch: ("", "{}"), ArgumentError),
        (lambda _state, _batch: ("{}", "\0"), ArgumentError),
    ],
    ids=["refused", "interrupted", "no state", "a look that no database keeps"],
)
def test_a_look_that_fails_leaves_nothing(
    ledger: Ledger, failing: Callable[[str, str], tuple[str, str]], error: type[BaseException]
) -> None:
    apply(ledger, 3)
    before = (ledger.read(NAME), list(ledger.entries(NAME)))
    with pytest.raises(error):
        ledger.apply(NAME, **batch(4), step=failing)
    assert (ledger.read(NAME), list(ledger.entries(NAME))) == before
    assert not ledger.apply(NAME, **batch(4), step=step).repeated


def test_a_clock_that_goes_backwards_changes_no_order_and_no_hash(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(["2026-03-02T00:00:00.000+00:00", "2020-01-01T00:00:00.000+00:00"])
    monkeypatch.setattr(module, "now", lambda: next(times))
    apply(ledger, 3, 4)
    found = list(ledger.entries(NAME))
    assert [(one.batch_id, one.recorded_at[:4]) for one in found] == [("b3", "2026"), ("b4", "2020")]
    assert found[1].state_hash == text_hash(step(step(FIRST, batch(3)["batch_json"])[0], batch(4)["batch_json"])[0])
    assert ledger.rebuild(NAME, again) == ledger.read(NAME)


def test_text_of_any_language_is_kept(ledger: Ledger) -> None:
    name, content = (
        "Käse \U0001f9c0 'quoted'; DROP TABLE entries",
        json.dumps({"n": 1, "of": "日本"}, ensure_ascii=False),
    )
    ledger.start(name, plan_json=content, plan_hash="p", state_json=FIRST)
    ledger.apply(name, batch_id="Ü 1", batch_hash="h", batch_json=content, step=step)
    (entry,) = ledger.entries(name)
    assert (entry.batch_id, entry.batch_json, ledger.read(name).plan_json) == ("Ü 1", content, content)


@pytest.mark.parametrize("bad", ["", "  ", "a\0b", "\ud800", None, 3], ids=repr)
def test_names_that_a_database_cannot_keep_are_refused(ledger: Ledger, bad: str) -> None:
    with pytest.raises(ArgumentError, match="batch_id"):
        ledger.apply(NAME, **{**batch(1), "batch_id": bad}, step=step)
    with pytest.raises(ArgumentError, match="name of the experiment"):
        ledger.start(bad, plan_json="{}", plan_hash="plan", state_json=FIRST)


def test_an_unknown_experiment_is_told_with_those_that_are_there(ledger: Ledger) -> None:
    for ask in (
        lambda: ledger.read("chekout"),
        lambda: list(ledger.entries("chekout")),
        lambda: ledger.rebuild("chekout", again),
        lambda: ledger.apply("chekout", **batch(1), step=step),
    ):
        with pytest.raises(ArgumentError, match=r"holds checkout\. Did you mean 'checkout'\?"):
            ask()


def test_a_writer_waits_for_another_and_then_says_so(ledger: Ledger, impatient: Ledger) -> None:
    def meanwhile(state: str, content: str) -> tuple[str, str]:
        with pytest.raises(LedgerError, match="another process kept it locked for longer than the timeout"):
            apply(impatient, 4)
        assert impatient.read(NAME).entries == 0  # a reader does not wait, and sees what was before
        assert list(impatient.entries(NAME)) == []
        assert [one.entries for one in impatient.experiments()] == [0]
        return step(state, content)

    ledger.apply(NAME, **batch(3), step=meanwhile)
    apply(impatient, 4)
    assert total(ledger) == 7
