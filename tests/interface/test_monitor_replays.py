"""Real experiments replayed through the monitor: a null test of 23 days from a shell, and three arms of an e-mail test."""

import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from scipy.stats import norm

from bayesuplift.cli import main
from bayesuplift.monitor import State, batch_of, init, plan_from, update
from bayesuplift.monitor.plan import Plan

PLAN = (Path(__file__).resolve().parents[2] / "notebooks" / "landing_page.toml").read_text(encoding="utf-8")
EXPERIMENT = "landing page"
FEWER = "experiments = 2000\n"  # behind the threshold, for time
EMAILS = ("No E-Mail", "Mens E-Mail", "Womens E-Mail")
VISIT = {"name": "visit", "kind": "binary", "baseline": 0.1}
SPEND = {"name": "spend", "kind": "revenue", "baseline": 0.65, "sd": 12.0, "buyers": 0.006, "resolution": 0.01}
LOOKS = 30

Look = dict[str, Any]


@pytest.fixture(scope="module")
def daily(real_data: Path) -> pd.DataFrame:
    """A row for each day and arm, with sums of the day and of all days so far."""
    table = pd.read_parquet(real_data / "ab_daily.parquet").rename(columns={"group": "arm"})
    return table.assign(day=table["day"].astype(str).str[:10])


@pytest.fixture(scope="module")
def customers(real_data: Path) -> pd.DataFrame:
    """The e-mail test's rows, spend in cents."""
    table = pd.read_parquet(real_data / "hillstrom.parquet").rename(columns={"segment": "arm"})
    return table.assign(cents=(100 * table["spend"]).round().astype(np.int64))


def monitor(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["monitor", *map(str, arguments)])


def by_day(table: pd.DataFrame, folder: Path, columns: Sequence[str] = ("n", "conversions")) -> list[Path]:
    """A CSV for each day, named by it."""
    folder.mkdir()
    paths = []
    for day, rows in table.groupby("day"):
        paths.append(folder / f"{day}.csv")
        sums = rows[["arm", *columns]].set_axis(["arm", "n", "conversions"], axis="columns")
        sums.to_csv(paths[-1], index=False)
    return paths


def sent(paths: Sequence[Path], ledger: Path, *options: str) -> Iterator[tuple[int, Look]]:
    """Exit code and look of each day, until the verdict."""
    plan = ledger.with_suffix(".toml")
    plan.write_text(PLAN + FEWER, encoding="utf-8")
    assert monitor("start", plan, "--ledger", ledger).exit_code == 0
    for path in paths:
        named = () if "--cumulative" in options else ("--batch-id", path.stem)
        done = monitor("update", EXPERIMENT, path, "--ledger", ledger, "--at", path.stem, *named, *options, "--json")
        yield done.exit_code, json.loads(done.stdout)
        if done.exit_code:
            return


@pytest.fixture(scope="module")
def watched(daily: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, Look]]]:
    folder = tmp_path_factory.mktemp("null")
    ledger = folder / "watched.db"
    return ledger, list(sent(by_day(daily, folder / "days"), ledger))


@pytest.mark.real_data
def test_the_null_test_ends_at_its_last_look_with_the_control(
    watched: tuple[Path, list[tuple[int, Look]]], daily: pd.DataFrame
) -> None:
    ledger, days = watched
    assert [code for code, _ in days] == [0] * 21 + [11]
    looks = [look for _, look in days]
    taken = [(look["look"], day) for day, look in enumerate(looks, start=1) if look["look"] is not None]
    assert taken == [(1, 4), (2, 7), (3, 10), (4, 13), (5, 16), (6, 19), (7, 22)]
    for look in looks:
        assert look["deviations"] == []
        assert look["sample_ratio"]["passed"]
        assert look["verdict"]["promise"] == "calibrated"
        so_far = daily[daily["day"] == look["at"]].set_index("arm")
        for row in look["arms"]:
            assert (row["n"], row["total"]) == tuple(so_far.loc[row["arm"], ["cum_n", "cum_conversions"]])
    refused = monitor(
        "update", EXPERIMENT, ledger.parent / "days" / "2017-01-24.csv", "--ledger", ledger, "--batch-id", "late"
    )
    assert refused.exit_code == 3
    assert "ended on 2017-01-23 with CHOOSE control" in refused.stderr


@pytest.mark.real_data
def test_replay_tells_every_look_of_the_null_test_again(watched: tuple[Path, list[tuple[int, Look]]]) -> None:
    ledger, days = watched
    done = monitor("replay", EXPERIMENT, "--ledger", ledger, "--json")
    assert done.exit_code == 11
    assert json.loads(done.stdout) == [look for _, look in days]


@pytest.mark.real_data
def test_cumulative_files_tell_what_daily_ones_told(
    watched: tuple[Path, list[tuple[int, Look]]], daily: pd.DataFrame, tmp_path: Path
) -> None:
    paths = by_day(daily, tmp_path / "so far", ("cum_n", "cum_conversions"))
    whole = list(sent(paths, tmp_path / "whole.db", "--cumulative"))
    named = {"batch", "batch_hash"}

    def told(days: list[tuple[int, Look]]) -> list[tuple[int, Look]]:
        return [(code, {key: value for key, value in look.items() if key not in named}) for code, look in days]

    assert told(whole) == told(watched[1])  # the hash of the state included


@pytest.mark.real_data
def test_users_lost_from_one_arm_are_noticed(daily: pd.DataFrame, tmp_path: Path) -> None:
    lost = daily["n"].where(daily["arm"] == "control", daily["n"] * 19 // 20)
    days = list(sent(by_day(daily.assign(n=lost), tmp_path / "days"), tmp_path / "lost.db"))
    code, look = days[-1]
    assert code == 20
    assert look["verdict"]["name"] == "INVALID"
    assert not look["sample_ratio"]["passed"]
    assert len(days) < 7


@pytest.mark.real_data
def test_the_null_test_under_the_other_promises(daily: pd.DataFrame) -> None:
    for promise in ("anytime", "decision"):
        content = tomllib.loads(PLAN)
        plan = plan_from(content | {"rule": content["rule"] | {"promise": promise}})
        state, looks = init(plan), []
        for day, rows in daily.groupby("day"):
            batch = batch_of(plan, rows[["arm", "n", "conversions"]].to_dict("list"), id=str(day), at=str(day))
            state, look = update(state, batch, after_stop=True)
            looks.append(look)
        assert [(row["n"], round(row["mean"], 6)) for row in looks[-1]["arms"]] == [
            (145_274, 0.120386),
            (145_310, 0.118808),
        ]
        for look in looks:
            better, losses = normal_answers(look["arms"])
            # The normal approximation of 300 conversions and more, and an effect of a few per cent to first order.
            assert look["arms"][1]["prob_best"] == pytest.approx(better, abs=0.003)
            assert [row["relative_loss"] for row in look["arms"]] == pytest.approx(losses, rel=0.05)
            assert look["verdict"]["promise"] == promise
            assert look["sample_ratio"]["passed"]
        small = [look["at"] for look in looks[6:] if look["arms"][0]["relative_loss"] <= plan.rule.control_loss]
        assert state.stop is not None
        assert (state.stop.name, state.stop.arm, state.stop.at) == ("CHOOSE", "control", small[0])
        assert small[0] == "2017-01-16"


@pytest.mark.real_data
def test_daily_looks_miss_the_short_first_day_and_say_so(daily: pd.DataFrame) -> None:
    """The first declared look would be at 13,200 units, and 5,712 came: it is taken on the next day, with 18,920."""
    content = tomllib.loads(PLAN + FEWER)
    plan = plan_from(content | {"looks": {"number": 22, "units": 13_200}})
    state, looks = init(plan), []
    for day, rows in daily.groupby("day"):
        batch = batch_of(plan, rows[["arm", "n", "conversions"]].to_dict("list"), id=str(day), at=str(day))
        state, look = update(state, batch)
        looks.append(look)
        if state.stop is not None:
            break
    (told,) = state.deviations
    assert told.startswith("batch 2017-01-03: 18,920 units where the plan declares a look at 13,200")
    assert [look["look"] for look in looks] == [None, *range(1, 15)]
    assert looks[0]["threshold"] != looks[1]["threshold"] == looks[2]["threshold"]
    assert (state.stop.arm, state.stop.at) == ("control", "2017-01-16")


def normal_answers(arms: Sequence[Look], sd: float = 0.05) -> tuple[float, list[float]]:
    """P(the treatment is better) and relative losses, by a normal log odds ratio with a prior of N(0, sd)."""
    n, y = (np.array([row[name] for row in arms]) for name in ("n", "total"))
    log_odds, variance = np.log(y / (n - y)), (1.0 / y + 1.0 / (n - y)).sum()
    precision = 1.0 / variance + 1.0 / sd**2
    mean, spread = (log_odds[1] - log_odds[0]) / variance / precision, precision**-0.5
    z = mean / spread
    relative = 1.0 - y[0] / n[0]  # of a rate to a small log odds ratio
    loss = [relative * spread * (norm.pdf(z) + s * z * norm.cdf(s * z)) for s in (1.0, -1.0)]
    return float(norm.cdf(z)), loss


def sums(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """A row for each arm: units, visits, and spend with its squares in dollars, written to the cent."""
    return [
        {
            "arm": arm,
            "n": len(own),
            "visit": int(own["visit"].sum()),
            "spend": f"{int(own['cents'].sum())}e-2",
            "spend_squares": f"{int((own['cents'] ** 2).sum())}e-4",
        }
        for arm, own in rows.groupby("arm")
    ]


def emails(metric: dict[str, Any], promise: str, **changes: Any) -> Plan:
    """Three arms in 30 looks, effects of 20% up or down."""
    return plan_from(
        {
            "name": "e-mail",
            "arms": list(EMAILS),
            "control": EMAILS[0],
            "start": "2008-03-01",
            "metric": metric,
            "prior": {"kind": "normal", "sd": 0.2},
            "looks": {"number": LOOKS, "units": 2133},
            "rule": {"promise": promise, "experiments": 1000},
        }
        | changes
    )


def replayed(
    plan: Plan, customers: pd.DataFrame, ends: Sequence[int], *, cumulative: bool = False
) -> tuple[State, list[Look]]:
    """The rows in their order, a batch up to each of these ends, a batch a day."""
    state, looks, start = init(plan), [], 0
    for k, end in enumerate(ends):
        day = (date(2008, 3, 1) + timedelta(days=k)).isoformat()
        rows = customers.iloc[0 if cumulative else start : end]
        batch = batch_of(plan, sums(rows), id=day, at=day, cumulative=cumulative)
        state, look = update(state, batch, after_stop=True)
        looks.append(look)
        start = end
    return state, looks


def equal_ends(customers: pd.DataFrame, batches: int) -> list[int]:
    return [len(part) + part[0] for part in np.array_split(np.arange(len(customers)), batches)]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("metric", "promise", "chosen"),
    [
        pytest.param(VISIT, "calibrated", 7, id="visits, calibrated"),
        pytest.param(VISIT, "anytime", 7, id="visits, anytime"),
        pytest.param(SPEND, "anytime", 20, id="spend, anytime"),
        pytest.param(SPEND, "decision", 28, id="spend, decision"),
    ],
)
def test_the_e_mail_to_men_is_shipped(
    customers: pd.DataFrame, metric: dict[str, Any], promise: str, chosen: int
) -> None:
    plan = emails(metric, promise)
    state, looks = replayed(plan, customers, equal_ends(customers, LOOKS))
    assert [look["verdict"]["name"] for look in looks] == ["CONTINUE"] * (chosen - 1) + ["CHOOSE"] * (31 - chosen)
    verdict = looks[chosen - 1]["verdict"]
    assert verdict["arm"] == "Mens E-Mail"
    assert verdict["promise"] == promise
    if promise != "decision":  # of both treatments together
        expected = r"of experiments whose treatments change nothing, at most 5\.0% (ever )?ship one"
        assert re.search(expected, verdict["promise_sentence"])
    if promise == "anytime":
        assert looks[-1]["threshold"]["log10_e_value"] == pytest.approx(np.log10(2 / 0.05))
    assert all(look["sample_ratio"]["passed"] for look in looks)
    assert state.deviations == tuple(
        f"batch {look['batch']}: counted after the end" for look in looks[chosen:]
    )  # and none before it
    means = customers.groupby("arm")[metric["name"]].mean()
    assert [row["mean"] for row in looks[-1]["arms"]] == pytest.approx(means[list(EMAILS)].to_list(), rel=1e-12)
    assert [row["n"] for row in looks[-1]["arms"]] == [21_306, 21_307, 21_387]


@pytest.mark.real_data
def test_any_split_of_the_e_mail_test_gives_the_same_sums(customers: pd.DataFrame) -> None:
    plan = emails(SPEND, "decision", guardrail=[VISIT | {"margin": 0.02}])
    size = len(customers)
    cuts = np.sort(np.random.default_rng(1).choice(np.arange(1, size), 6, replace=False))
    whole, (only,) = replayed(plan, customers, [size])
    splits = {
        "30 equal": replayed(plan, customers, equal_ends(customers, LOOKS)),
        "7 unequal": replayed(plan, customers, [*cuts.tolist(), size]),
        "cumulative": replayed(plan, customers, equal_ends(customers, 5), cumulative=True),
    }
    for state, looks in splits.values():
        assert state.pooled == whole.pooled  # whole visits, cents and squares of cents
        assert looks[-1]["arms"] == only["arms"]
        assert looks[-1]["exact"]
    altered = customers.assign(cents=customers["cents"].where(customers.index != customers["cents"].idxmax(), 1))
    assert replayed(plan, altered, [size])[0].pooled != whole.pooled
