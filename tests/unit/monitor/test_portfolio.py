"""Many experiments in one table: each as it is alone, a bad one isolated; and the commands on top."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bayesuplift.cli import main
from bayesuplift.errors import BatchError, LedgerError
from bayesuplift.monitor.ledger.ledger import Ledger
from bayesuplift.monitor.ledger.opening import open_ledger
from bayesuplift.monitor.ledger.together import together
from bayesuplift.monitor.operating.threshold import Threshold, calibrate
from bayesuplift.monitor.plan import canonical
from bayesuplift.monitor.portfolio import Portfolio, run_portfolio
from bayesuplift.monitor.running import looks_of, record, replay, start, state_of
from bayesuplift.monitor.state import init
from bayesuplift.monitor.weights import top_two_weights
from tests.support.monitored import content, day, planned

PLAN = planned(name="night", rule={"promise": "anytime"})
GOOD = {"e1": (50, 55), "e2": (48, 47), "e3": (60, 40)}
BAD: dict[str, tuple[list[dict[str, Any]], str]] = {
    "missing": ([{"arm": "A", "n": 1000, "conversion": float("nan")}], "conversion is missing"),
    "unknown arm": ([{"arm": "C", "n": 1000, "conversion": 9}], "no arm named 'C'"),
    "more than units": ([{"arm": "B", "n": 10, "conversion": 11}], "conversion = 11 of n = 10 units"),
    "fraction": ([{"arm": "B", "n": 10.5, "conversion": 3}], "expected a whole number"),
    "lacks a column": ([{"arm": "B", "n": 10}], "no column 'conversion'"),
}


def ledger_in(folder: Path, name: str = "runs") -> Ledger:
    return open_ledger(folder / f"{name}.db")


def table(experiments: Mapping[str, tuple[int, int]], k: int = 1) -> list[dict[str, Any]]:
    """Sums so far of 1,000 units an arm and day."""
    return [
        {"experiment": name, "arm": arm, "n": 1000 * k, "conversion": y}
        for name, outcomes in experiments.items()
        for arm, y in zip("AB", outcomes, strict=True)
    ]


def looks(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    return {one.name: looks_of(ledger, one.name) for one in ledger.experiments()}


def night(ledger: Ledger, rows: list[dict[str, Any]], k: int = 1) -> Portfolio:
    return run_portfolio(ledger, PLAN, rows, at=day(k))


def test_each_experiment_is_looked_at_as_it_would_be_alone(tmp_path: Path) -> None:
    together_, alone = ledger_in(tmp_path), ledger_in(tmp_path, "alone")
    told = night(together_, table(GOOD))
    for name in GOOD:
        start(alone, planned(name=f"night/{name}", rule={"promise": "anytime"}))
        rows = [row for row in table(GOOD) if row["experiment"] == name]
        record(alone, f"night/{name}", rows, at=day(1), cumulative=True)
    assert looks(together_) == looks(alone)
    assert [row.experiment for row in told.rows] == list(GOOD)
    last = looks(alone)["night/e1"][0]
    treatment = last["arms"][1]
    assert told.rows[0].units == 2000
    assert (told.rows[0].treatment, told.rows[0].prob_best) == ("B", treatment["prob_best"])
    assert (told.rows[0].lift, told.rows[0].relative_loss) == (treatment["lift"], treatment["relative_loss"])
    assert replay(together_, "night/e3") == looks(alone)["night/e3"]


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_experiment_stops_no_other(tmp_path: Path, fault: str) -> None:
    clean, mixed = ledger_in(tmp_path, "clean"), ledger_in(tmp_path, "mixed")
    rows = table(GOOD)
    night(clean, rows)
    bad, words = BAD[fault]
    told = night(mixed, [*rows[:2], *({"experiment": "bad"} | row for row in bad), *rows[2:]])
    assert looks(mixed) == looks(clean)  # and the bad one was not started
    assert [row.experiment for row in told.rows] == ["e1", "bad", "e2", "e3"]
    reason = told.rows[1].error
    assert reason is not None
    assert words in reason
    assert reason.startswith("row 3 of the table: ")
    assert (told.counted, told.refused, told.ended) == (3, 1, 0)


def test_sums_that_fall_stop_no_other_and_the_experiment_goes_on_the_next_night(tmp_path: Path) -> None:
    clean, mixed = ledger_in(tmp_path, "clean"), ledger_in(tmp_path, "mixed")
    for ledger in (clean, mixed):
        night(ledger, table(GOOD))
    after = {name: (a * 2, b * 2) for name, (a, b) in GOOD.items()}
    night(clean, [row for row in table(after, 2) if row["experiment"] != "e2"], k=2)
    told = night(mixed, table(after | {"e2": (90, 46)}, 2), k=2)
    assert "fell by 1 since" in str(told.rows[1].error)
    assert looks(mixed) == looks(clean)
    assert night(mixed, table({"e2": (140, 150)}, 3), k=3).rows[0].units == 6000


def test_an_ended_experiment_tells_its_end_and_stops_no_other(tmp_path: Path) -> None:
    plan = planned(name="night", rule={"promise": "anytime"})
    ledger = ledger_in(tmp_path)
    told = run_portfolio(ledger, plan, table(GOOD | {"e2": (40, 120)}), at=day(1))
    assert (told.rows[1].verdict, told.rows[1].arm, told.rows[1].error) == ("CHOOSE", "B", None)
    before = looks(ledger)
    told = run_portfolio(ledger, plan, table({"e1": (101, 102), "e2": (80, 241)}, 2), at=day(2))
    ended = told.rows[1]
    assert (ended.verdict, ended.arm, ended.units, ended.ended) == ("CHOOSE", "B", 2000, True)
    assert "ended on" in str(ended.error)
    assert (told.counted, told.ended, told.refused) == (1, 1, 0)
    after = looks(ledger)
    assert after["night/e2"] == before["night/e2"]
    assert len(after["night/e1"]) == 2


def test_the_same_table_at_the_same_time_changes_nothing_and_another_is_refused(tmp_path: Path) -> None:
    ledger = ledger_in(tmp_path)
    first = night(ledger, table(GOOD))
    before = looks(ledger)
    assert night(ledger, table(GOOD)) == first
    told = night(ledger, table(GOOD | {"e3": (61, 40)}))
    assert [row.error is None for row in told.rows] == [True, True, False]
    assert "with other content" not in str(told.rows[0].error)
    assert "A batch is never counted twice" in str(told.rows[2].error)
    assert looks(ledger) == before


def test_a_changed_plan_is_a_conflict_of_each(tmp_path: Path) -> None:
    ledger = ledger_in(tmp_path)
    night(ledger, table(GOOD))
    before = looks(ledger)
    changed = planned(name="night", rule={"promise": "anytime", "alpha": 0.1})
    told = run_portfolio(ledger, changed, table(GOOD | {"e1": (99, 98)}, 2), at=day(2))
    assert told.refused == 3
    assert "A plan is frozen" in str(told.rows[0].error)
    assert looks(ledger) == before


def test_rows_without_a_name_and_tables_without_the_column(tmp_path: Path) -> None:
    ledger = ledger_in(tmp_path)
    rows = table({"e1": (50, 55)})
    told = night(ledger, [*rows, rows[0] | {"experiment": None}, rows[1] | {"experiment": " "}])
    assert [(row.experiment, row.error) for row in told.rows] == [
        ("e1", None),
        ("", "rows 3, 4 of the table: experiment is missing; give its name"),
    ]
    with pytest.raises(BatchError, match="row 1 of the table has no column 'experiment'"):
        night(ledger, [{"experment": "e1"} | {key: rows[0][key] for key in ("arm", "n", "conversion")}])
    with pytest.raises(BatchError, match="give a day or a time"):
        run_portfolio(ledger, PLAN, rows, at="tonight")
    assert night(ledger, []).rows == ()


def test_the_threshold_is_simulated_once_and_is_that_of_each_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(name="night", rule={"promise": "calibrated", "experiments": 1000}, looks={"units": 2000})
    asked = []

    def counting(one: Any, **options: Any) -> Threshold:
        asked.append(one.name)
        return calibrate(one, **options)

    for module in ("portfolio", "state", "step"):
        monkeypatch.setattr(f"bayesuplift.monitor.{module}.calibrate", counting)
    ledger = ledger_in(tmp_path)
    told = run_portfolio(ledger, plan, table(GOOD), at=day(1))
    assert told.counted == 3
    assert asked == ["night"]
    run_portfolio(ledger, plan, table({name: (a * 2, b * 2) for name, (a, b) in GOOD.items()}, 2), at=day(2))
    assert asked == ["night"]  # nobody is new
    alone = init(planned(name="night/e1", rule={"promise": "calibrated", "experiments": 1000}, looks={"units": 2000}))
    assert state_of(ledger, "night/e1").threshold == alone.threshold
    assert len(replay(ledger, "night/e1")) == 2


def test_false_ships_are_bounded_where_the_promise_bounds_them(tmp_path: Path) -> None:
    told = night(ledger_in(tmp_path), [*table(GOOD), {"experiment": "bad", "arm": "C"}])
    assert told.false_ships == pytest.approx(0.15)
    assert told.remark.startswith("If no treatment of these 3 experiments changes anything, at most 0.15 of them")
    decided = run_portfolio(
        ledger_in(tmp_path, "d"), planned(rule={"promise": "decision"}), table({"e1": (50, 50)}), at=day(1)
    )
    assert (decided.false_ships, decided.remark) == (None, "")


def test_progress_is_told_and_all_blocks_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bayesuplift.monitor.portfolio._AT_ONCE", 2)
    many = {name: (50, 50 + i) for i, name in enumerate("edcba")}
    seen: list[tuple[int, int]] = []
    told = run_portfolio(
        ledger_in(tmp_path), PLAN, table(many), at=day(1), progress=lambda done, of: seen.append((done, of))
    )
    assert seen == [(2, 5), (4, 5), (5, 5)]
    assert [(row.experiment, row.error) for row in told.rows] == [(name, None) for name in "edcba"]


def test_what_is_done_together_is_kept_together_or_not_at_all(tmp_path: Path) -> None:
    ledger = ledger_in(tmp_path)
    plan_json, hash_ = canonical(PLAN.as_facts()), PLAN.hash

    def begin(held: Ledger, name: str) -> None:
        assert held.start(name, plan_json=plan_json, plan_hash=hash_, state_json="{}")

    def begin_and_break(outer: Ledger, name: str) -> None:
        with together(outer) as held:
            begin(held, name)
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        begin_and_break(ledger, "one")
    assert ledger.experiments() == []
    with together(ledger) as held:
        begin(held, "one")
        with pytest.raises(RuntimeError, match="on the way"):
            begin_and_break(held, "two")
        begin(held, "three")
    assert [one.name for one in ledger.experiments()] == ["one", "three"]


def test_the_databases_refusal_is_no_experiments_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = ledger_in(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise LedgerError("the disk is full")

    monkeypatch.setattr("bayesuplift.monitor.portfolio.record", full)
    with pytest.raises(LedgerError, match="full"):
        night(ledger, table(GOOD))
    assert ledger.experiments() == []


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Commands in a folder with a plan."""
    monkeypatch.chdir(tmp_path)
    made = content(name="night", rule={"promise": "anytime"})
    lines = [f"{key} = {json.dumps(value)}" for key, value in made.items() if not isinstance(value, dict)]
    for section in (key for key, value in made.items() if isinstance(value, dict)):
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in made[section].items())]
    Path("plan.toml").write_text("\n".join(lines), encoding="utf-8")

    def run(*words: str) -> Result:
        return CliRunner().invoke(main, ["monitor", *words, "--ledger", "runs.db"])

    return run


def write(rows: list[dict[str, Any]]) -> None:
    with Path("table.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["experiment", "arm", "n", "conversion"])
        writer.writeheader()
        writer.writerows(rows)


def test_the_command_writes_a_row_an_experiment_and_exits_by_what_a_script_needs(shell: Any) -> None:
    write([*table(GOOD), {"experiment": "bad", "arm": "C", "n": 1, "conversion": 0}])
    ran = shell("portfolio", "plan.toml", "table.csv", "--at", day(1), "-o", "out.csv")
    assert ran.exit_code == 0, ran.output
    assert "1 of 4 experiments were refused" in ran.stderr
    assert "bad: row 7 of the table: " in ran.stderr
    with Path("out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["experiment"] for row in rows] == ["e1", "e2", "e3", "bad"]
    told = json.loads(shell("portfolio", "plan.toml", "table.csv", "--at", day(1), "--json").stdout)
    assert float(rows[0]["prob_best"]) == told["rows"][0]["prob_best"]
    assert told["false_ships"] == pytest.approx(0.15)
    write([{"experiment": "bad", "arm": "C", "n": 1, "conversion": 0}])
    assert shell("portfolio", "plan.toml", "table.csv", "--at", day(2)).exit_code == 3
    assert shell("portfolio", "plan.toml", "nothing.csv", "--at", day(2)).exit_code == 2
    assert shell("portfolio", "table.csv", "table.csv", "--at", day(2)).exit_code == 2
    Path("table.csv").write_text("arm,n,conversion\nA,1,0\n", encoding="utf-8")
    assert shell("portfolio", "plan.toml", "table.csv", "--at", day(2)).exit_code == 2


def test_weights_are_those_of_the_last_look(shell: Any) -> None:
    write(table(GOOD | {"e2": (40, 120)}))
    assert shell("portfolio", "plan.toml", "table.csv", "--at", day(1)).exit_code == 0
    with_floor = json.loads(
        shell("weights", "night/e1", "--top-two", "--beta", "0.7", "--at-least", "0.2", "--json").stdout
    )
    best = [row["prob_best"] for row in with_floor["arms"]]
    assert best == [row["prob_best"] for row in looks_of(open_ledger("runs.db"), "night/e1")[-1]["arms"]]
    assert [row["share"] for row in with_floor["arms"]] == top_two_weights(best, 0.7, at_least=0.2).tolist()
    plain = shell("weights", "night/e2")
    assert plain.exit_code == 0
    assert "has ended with CHOOSE B" in plain.stderr
    assert "share" in plain.stdout
    assert shell("weights", "night/e9").exit_code == 2
    assert shell("weights", "night/e1", "--at-least", "0.6").exit_code == 2
    start(open_ledger("runs.db"), planned(rule={"promise": "anytime"}))
    none = shell("weights", "button")
    assert none.exit_code == 2
    assert "no batch yet" in none.stderr
