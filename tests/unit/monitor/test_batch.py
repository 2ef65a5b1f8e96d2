"""Batches: every row is checked, sums are exact, and nothing is kept of a batch that holds a fault."""

import json
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesuplift.errors import BatchError, MissingFileError, UnreadableFileError
from bayesuplift.monitor import batch_of
from bayesuplift.monitor.batch import Batch, since
from bayesuplift.monitor.tally import Segment, Tally, nothing, pooled
from tests.support.monitored import SPEND, batch, planned

PLAN = planned()
REVENUE = planned(metric=SPEND)
MINUTES = planned(metric={"name": "minutes", "kind": "continuous", "baseline": 3.0, "sd": 2.0})
GOOD = {"arm": "A", "n": 10, "conversion": 3}


def made(row: dict[str, Any], plan: Any = PLAN, **options: Any) -> Batch:
    return batch_of(plan, [row], **({"id": "b", "at": "2026-01-05"} | options))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"arm": "C"}, "no arm named 'C'. Arms: A, B"),
        ({"arm": None}, "arm is missing"),
        ({"n": -1}, "n = -1"),
        ({"n": 2.5}, "expected a whole number"),
        ({"n": float("nan")}, "n is missing"),
        ({"n": float("inf")}, "expected a finite number"),
        ({"n": True}, "expected a"),
        ({"n": "ten"}, "n = 'ten'; expected a number"),
        ({"conversion": 11}, "conversion = 11 of n = 10 units"),
        ({"conversion": -1}, "conversion = -1"),
        ({"conversion": 0.5}, "expected a whole number"),
        ({"conversion": ""}, "conversion is missing"),
        ({"conversion": "1e40"}, "at most 30 digits"),
    ],
)
def test_a_fault_is_named_with_its_row(row: dict[str, Any], told: str) -> None:
    with pytest.raises(BatchError, match=f"batch 'b', row 2: .*{told}"):
        batch_of(PLAN, [GOOD, GOOD | row], id="b", at="2026-01-05")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"spend": -1}, "a revenue outcome is 0 or more"),
        ({"spend": "1.005"}, "a whole number of steps of 0.01"),
        ({"spend_squares": 0.5}, "no 10 units have spend = 3.01 and spend_squares = 0.5"),
        ({"n": 0}, "no 0 units have"),
    ],
)
def test_amounts_are_checked_against_their_squares(row: dict[str, Any], told: str) -> None:
    good = {"arm": "B", "n": 10, "spend": "3.01", "spend_squares": "9.0601"}
    with pytest.raises(BatchError, match=told):
        made(good | row, REVENUE)


def test_columns_rows_and_names_are_asked_for() -> None:
    with pytest.raises(
        BatchError, match=r"no column 'conversion'\. Columns: arm, n, conversions\. Did you mean 'conversions'"
    ):
        made({"arm": "A", "n": 3, "conversions": 1})
    with pytest.raises(BatchError, match="has no rows"):
        batch_of(PLAN, [], id="b", at="2026-01-05")
    with pytest.raises(BatchError, match="give the batch a name"):
        made(GOOD, id=" ")
    with pytest.raises(BatchError, match="give a day or a time"):
        made(GOOD, at="yesterday")


def test_units_count_when_their_window_is_over() -> None:
    plan = planned(attribution_days=7)
    row = GOOD | {"enrolled": "2026-01-05"}
    assert made(row, plan, at="2026-01-12").tallies[()].n == (10, 0)
    with pytest.raises(BatchError, match="on 2026-01-12; the batch was taken on 2026-01-11: send them then"):
        made(row, plan, at="2026-01-11T23:00")
    with pytest.raises(BatchError, match="no column 'enrolled'"):
        made(GOOD, plan)


def test_amounts_are_exact_in_steps_of_their_resolution() -> None:
    row = {"arm": "B", "n": 3, "spend": "0.30", "spend_squares": Decimal("0.0300")}
    tally = made(row, REVENUE).tallies[()]
    assert tally.totals["spend"] == (0, 30)
    assert tally.squares["spend"] == (0, 300)
    n, total, squares = tally.statistics(REVENUE.metric)
    np.testing.assert_allclose((n[1], total[1], squares[1]), (3, 0.3, 0.03), rtol=1e-15)


def test_a_table_may_come_in_any_form(tmp_path: Path) -> None:
    rows = [GOOD, {"arm": "B", "n": 9, "conversion": 2}]
    frame = pd.DataFrame(rows)
    frame.to_csv(tmp_path / "b.csv", index=False)
    frame.to_parquet(tmp_path / "b.parquet")
    (tmp_path / "b.json").write_text(json.dumps(rows))
    columns = {name: frame[name].tolist() for name in frame}
    expected = batch_of(PLAN, rows, id="b", at="2026-01-05")
    for table in (frame, columns, tmp_path / "b.csv", str(tmp_path / "b.parquet"), tmp_path / "b.json"):
        assert batch_of(PLAN, table, id="b", at="2026-01-05") == expected
    with pytest.raises(MissingFileError):
        batch_of(PLAN, tmp_path / "none.csv", id="b", at="2026-01-05")
    with pytest.raises(UnreadableFileError, match=r"a \.csv, \.json or \.parquet"):
        batch_of(PLAN, Path(__file__), id="b", at="2026-01-05")
    (tmp_path / "cut.csv").write_text("arm,n,conversion\nA,10")
    with pytest.raises(BatchError, match="was the file cut off"):
        batch_of(PLAN, tmp_path / "cut.csv", id="b", at="2026-01-05")


def test_the_hash_is_of_the_content() -> None:
    one = batch(PLAN, 1, [10, 10], [1, 2])
    assert one.hash == batch(PLAN, 2, [10, 10], [1, 2]).hash
    assert one.hash != batch(PLAN, 1, [10, 10], [2, 1]).hash
    assert one.hash != batch(PLAN, 1, [10, 10], [1, 2], cumulative=True).hash
    assert Batch.of_facts(json.loads(json.dumps(one.as_facts()))) == one


units = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5000)), min_size=1, max_size=60)


@given(units, st.lists(st.integers(0, 60), max_size=6))
def test_any_split_of_amounts_into_batches_has_the_same_sums(drawn: list[tuple[int, int]], cuts: list[int]) -> None:
    def tally(part: list[tuple[int, int]]) -> Any:
        rows = [
            {"arm": "AB"[arm], "n": 1, "spend": f"{cents / 100:.2f}", "spend_squares": Decimal(cents**2) / 10_000}
            for arm, cents in part
        ]
        return batch_of(REVENUE, rows, id="b", at="2026-01-05").tallies.values()

    edges = sorted({0, len(drawn), *(min(cut, len(drawn)) for cut in cuts)})
    parts = [one for start, end in pairwise(edges) for one in tally(drawn[start:end])]
    assert pooled(REVENUE, parts) == pooled(REVENUE, tally(drawn))


def test_cumulative_sums_may_only_grow() -> None:
    before: dict[Segment, Tally] = {(): batch(PLAN, 1, [100, 100], [9, 8]).tallies[()]}
    grown = since(batch(PLAN, 2, [150, 140], [12, 8], cumulative=True), before, PLAN)
    assert grown.tallies[()].n == (50, 40)
    assert grown.tallies[()].totals["conversion"] == (3, 0)
    with pytest.raises(BatchError, match="conversion of arm 'B' fell by 1 since the last batch"):
        since(batch(PLAN, 2, [150, 140], [12, 7], cumulative=True), before, PLAN)
    with pytest.raises(BatchError, match="n of arm 'A' fell by 1"):
        since(batch(PLAN, 2, [99, 140], [12, 8], cumulative=True), before, PLAN)
    by_channel = planned(segments=["channel"])
    web = batch_of(by_channel, [GOOD | {"channel": "web"}], id="1", at="2026-01-05")
    phone = batch_of(by_channel, [GOOD | {"channel": "phone"}], id="2", at="2026-01-06", cumulative=True)
    with pytest.raises(BatchError, match="is cumulative and lacks web"):
        since(phone, web.tallies, by_channel)


def test_sums_of_floats_may_fall_by_their_rounding_only() -> None:
    row = {"arm": "A", "n": 3, "minutes": 0.1 + 0.2 + 0.3, "minutes_squares": 0.14}
    before: dict[Segment, Tally] = {(): made(row, MINUTES).tallies[()]}
    again = made(row | {"minutes_squares": 0.14 - 1e-16}, MINUTES, cumulative=True)
    assert abs(since(again, before, MINUTES).tallies[()].squares["minutes"][0]) < 1e-15
    with pytest.raises(BatchError, match="minutes_squares of arm 'A' fell"):
        since(made(row | {"minutes_squares": 0.13}, MINUTES, cumulative=True), before, MINUTES)
    assert nothing(MINUTES).totals["minutes"] == (0.0, 0.0)
