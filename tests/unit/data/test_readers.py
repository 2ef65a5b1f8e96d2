import math
import subprocess
import sys
import warnings
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bayesuplift.data.cells import Cells
from bayesuplift.data.readers import read_cells, read_counts
from bayesuplift.errors import DataWarning
from tests.support.engines import CHEAP, ENGINES, in_engine

KINDS = ("binary", "count", "continuous", "revenue")


@pytest.fixture
def table() -> pd.DataFrame:
    generator = np.random.default_rng(7)
    rows = 600
    amount = np.round(np.exp(generator.normal(3, 1, rows)), 2) * (generator.random(rows) < 0.3)
    return pd.DataFrame(
        {
            "group": generator.choice(["control", "offer", "gift"], rows),
            "channel": generator.choice(["Web", "Phone"], rows),
            "children": generator.choice([0, 2, 10], rows),
            "binary": generator.integers(0, 2, rows),
            "count": generator.poisson(1.5, rows),
            "days": generator.choice([0.5, 1.0, 7.0], rows),
            "continuous": generator.normal(-2, 3, rows),
            "revenue": amount,
        }
    )


def exact(values: list[float]) -> tuple[float, float]:
    """Total and squared deviations, exact about the exact mean."""
    numbers = [Fraction(value) for value in values]
    mean = sum(numbers, Fraction(0)) / len(numbers)
    return float(sum(numbers, Fraction(0))), float(sum(((v - mean) ** 2 for v in numbers), Fraction(0)))


def read(source: Any, kind: str, **options: Any) -> Cells:
    segments = options.pop("segments", ["channel", "children"])
    if kind == "count":
        options.setdefault("exposure", "days")
    return read_cells(source, arm="group", control="control", outcome=kind, kind=kind, segments=segments, **options)


def close(values: Any, expected: list[float]) -> None:
    # The engines add up floats in an order of their own: 1e-12 is some thousand roundings of the greatest sum.
    np.testing.assert_allclose(np.asarray(values).ravel(), expected, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_statistic_equals_exact_arithmetic_in_every_engine(
    table: pd.DataFrame, kind: str, engine: str, tmp_path: Path
) -> None:
    cells = read(in_engine(table, engine, tmp_path), kind)
    groups = [
        table[(table.channel == channel) & (table.children == children) & (table.group == arm)]
        for channel in ("Phone", "Web")
        for children in (0, 2, 10)
        for arm in ("control", "gift", "offer")
    ]
    outcomes = [[float(value) for value in group[kind]] for group in groups]
    assert cells.design.arms == ("control", "gift", "offer")
    assert cells.factors == ("channel", "children")
    assert cells.statistics.segment.to_numpy()[1] == "channel=Phone, children=2"
    assert cells.n.ravel().tolist() == [len(values) for values in outcomes]
    close(cells.total, [exact(values)[0] for values in outcomes])
    if kind != "binary":
        close(cells.sum_squared_deviations, [exact(values)[1] for values in outcomes])
    if kind == "count":
        close(cells.exposure, [float(group.days.sum()) for group in groups])
        assert cells.frequencies is not None
        counted = Counter(
            (position // 3, position % 3, value, days)
            for position, group in enumerate(groups)
            for value, days in zip(group["count"], group.days, strict=True)
        )
        rows = cells.frequencies.itertuples(index=False, name=None)
        assert {(s, a, v, e): n for s, a, v, e, n in rows} == counted
    if kind == "revenue":
        positive = [[value for value in values if value > 0] for values in outcomes]
        logs = [[math.log(value) for value in values] for values in positive]
        assert cells.positives.ravel().tolist() == [len(values) for values in positive]
        close(cells.total_log, [math.fsum(values) for values in logs])
        close(cells.sum_squared_log_deviations, [exact(values)[1] for values in logs])
        assert cells.maximum.ravel().tolist() == [max(values) for values in outcomes]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", ENGINES[1:])
def test_cells_are_the_same_from_every_engine(table: pd.DataFrame, kind: str, engine: str, tmp_path: Path) -> None:
    assert read(in_engine(table, engine, tmp_path), kind).fingerprint == read(table, kind).fingerprint


@pytest.mark.parametrize("engine", ENGINES)
def test_quantiles_of_positive_amounts_by_arm(table: pd.DataFrame, engine: str, tmp_path: Path) -> None:
    cells = read(in_engine(table, engine, tmp_path), "revenue")
    assert cells.quantiles is not None
    for arm in cells.design.arms:
        amounts = sorted(table.revenue[(table.group == arm) & (table.revenue > 0)])
        for p in (0.25, 0.5, 0.75, 0.9, 0.95, 0.99):
            whole, part = divmod(p * (len(amounts) - 1), 1)
            low, high = amounts[int(whole)], amounts[min(int(whole) + 1, len(amounts) - 1)]
            assert float(cells.quantiles.sel(arm=arm, probability=p)) == pytest.approx(
                low + part * (high - low), rel=1e-12
            )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["continuous", "revenue"])
def test_a_large_mean_keeps_its_deviations(kind: str, engine: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    table = pd.DataFrame({"group": np.tile(["control", "offer"], 3000), kind: 1e9 + generator.normal(0, 1, 6000)})
    cells = read(in_engine(table, engine, tmp_path), kind, segments=())
    for position, arm in enumerate(cells.design.arms):
        values = table.loc[table.group == arm, kind].tolist()
        assert cells.sum_squared_deviations[position] == pytest.approx(exact(values)[1], rel=1e-6)
        if kind == "revenue":
            # log(y) - log(1e9) = log1p((y - 1e9)/1e9), without the cancellation of two logarithms.
            logs = [math.log1p((value - 1e9) / 1e9) for value in values]
            assert cells.sum_squared_log_deviations[position] == pytest.approx(exact(logs)[1], rel=1e-6)


@pytest.mark.parametrize("engine", CHEAP)
def test_truth_values_are_an_outcome(engine: str, tmp_path: Path) -> None:
    table = pd.DataFrame({"group": ["control", "offer"] * 2, "bought": [True, False, False, True]})
    cells = read_cells(
        in_engine(table, engine, tmp_path), arm="group", control="control", outcome="bought", kind="binary"
    )
    assert cells.total.tolist() == [1, 1]
    assert cells.total.dtype == np.int64


def test_a_column_of_plain_objects_is_settled() -> None:
    table = pd.DataFrame({"group": ["control", "offer"] * 2, "bought": pd.Series([True, False, 0, 1], dtype=object)})
    cells = read_cells(table, arm="group", control="control", outcome="bought", kind="binary")
    assert cells.total.tolist() == [1, 1]


def test_without_an_exposure_it_is_the_number_of_units(table: pd.DataFrame) -> None:
    cells = read(table, "count", exposure=None)
    assert np.array_equal(cells.exposure, cells.n)


@pytest.mark.parametrize("engine", CHEAP)
def test_factors_named_like_ours_are_prefixed(table: pd.DataFrame, engine: str, tmp_path: Path) -> None:
    renamed = table.rename(columns={"channel": "segment", "children": "n", "group": "arm"})
    cells = read_cells(
        in_engine(renamed, engine, tmp_path),
        arm="arm",
        control="control",
        outcome="revenue",
        kind="revenue",
        segments=["segment", "n"],
    )
    assert cells.factors == ("factor_segment", "factor_n")
    assert cells.by("segment") == cells.by("factor_segment")
    assert cells.n.sum() == len(table)


@pytest.mark.parametrize("kind", KINDS)
def test_no_name_of_a_column_collides_with_the_aggregates(table: pd.DataFrame, kind: str) -> None:
    taken = {"group": "y", "channel": "z", "children": "k0", kind: "one", "days": "value"}
    cells = read_cells(
        table.rename(columns=taken),
        arm="y",
        control="control",
        outcome="one",
        kind=kind,
        segments=["z", "k0"],
        exposure="value" if kind == "count" else None,
    )
    expected = read(table, kind)
    assert np.array_equal(cells.n, expected.n)
    assert np.array_equal(cells.total, expected.total)


def test_one_segment_name_may_stand_alone(table: pd.DataFrame) -> None:
    assert read(table, "binary", segments="channel") == read(table, "binary", segments=["channel"])


def test_an_outcome_constant_in_an_arm_is_warned_of() -> None:
    table = pd.DataFrame({"group": ["control", "control", "offer", "offer"], "binary": [0, 0, 0, 1]})
    with pytest.warns(DataWarning, match=r"'binary' is constant in control \(always 0\)") as caught:
        read_cells(table, arm="group", control="control", outcome="binary", kind="binary")
    assert caught[0].filename == __file__, "the warning points at the caller's line"


@pytest.mark.parametrize("engine", CHEAP)
def test_a_segment_seen_in_one_arm_only_is_warned_of_and_kept(engine: str, tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "group": ["control", "offer"] * 3,
            "channel": ["Web", "Web", "Web", "Web", "Fax", "Web"],
            "revenue": [0.0, 1.5, 2.5, 0.0, 1.0, 3.0],
        }
    )
    with pytest.warns(DataWarning, match="'channel=Fax' is seen in control only"):
        cells = read(in_engine(table, engine, tmp_path), "revenue", segments=["channel"])
    assert cells.n.tolist() == [[1, 0], [2, 3]]
    assert cells.total[0, 1] == 0
    assert cells.maximum[0, 1] == 0
    assert np.isnan(cells.raw_mean.to_numpy()).tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize("engine", ENGINES)
def test_counts_of_one_cell_are_added_up(engine: str, tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "day": [1, 2, 1, 2],
            "arm": ["A", "A", "B", "B"],
            "n": [100, 50, 120, 40],
            "y": [10, 5, 20, 4],
        }
    )
    cells = read_counts(in_engine(table, engine, tmp_path), arm="arm", control="A", trials="n", successes="y")
    assert (cells.kind, cells.outcome) == ("binary", "y")
    assert cells.n.tolist() == [150, 160]
    assert cells.total.tolist() == [15, 24]


def test_an_arm_without_trials_stays() -> None:
    table = pd.DataFrame({"arm": ["A", "B"], "n": [3.0, 0.0], "y": [1, 0]})
    cells = read_counts(table, arm="arm", control="A", trials="n", successes="y", outcome="sale")
    assert (cells.outcome, cells.n.tolist()) == ("sale", [3, 0])


def test_counts_equal_the_units_they_were_made_from(table: pd.DataFrame) -> None:
    made = table.groupby(["group", "channel"], as_index=False).agg(trials=("binary", "size"), binary=("binary", "sum"))
    counts = read_counts(
        made, arm="group", control="control", trials="trials", successes="binary", segments=["channel"]
    )
    assert counts == read(table, "binary", segments=["channel"])


def test_reading_valid_data_warns_of_nothing(table: pd.DataFrame) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(table, "revenue")


@pytest.mark.parametrize("name", ["a;b.csv", "quo'te.csv", "star*.csv", "[x].csv", "ünï.csv"])
def test_a_path_with_odd_characters_is_read(table: pd.DataFrame, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    table.to_csv(path, index=False)
    assert read(path, "binary") == read(table, "binary")


def test_tabs_separate_a_tsv(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    table.to_csv(path, index=False, sep="\t")
    assert read(path, "revenue") == read(table, "revenue")


def test_pyarrow_is_not_needed_to_read(table: pd.DataFrame, tmp_path: Path) -> None:
    table.to_csv(tmp_path / "table.csv", index=False)
    script = """
import sys
sys.modules["pyarrow"] = None
import pandas, polars
from bayesuplift.data.readers import read_cells, read_experiment
roles = dict(arm="group", control="control", outcome="revenue", kind="revenue", segments=["channel"])
path = sys.argv[1]
sources = [path, pandas.read_csv(path), polars.read_csv(path), polars.scan_csv(path)]
assert len({read_cells(source, **roles).fingerprint for source in sources}) == 1
assert len({len(read_experiment(source, **roles, covariates=["days"])) for source in sources}) == 1
"""
    command = [sys.executable, "-c", script, str(tmp_path / "table.csv")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
