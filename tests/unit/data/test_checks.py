from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bayesuplift.data.checks import checks_of, duplicates, missingness, sample_ratio
from bayesuplift.data.readers import read_counts
from bayesuplift.errors import ArgumentError, ArmNotFoundError, ColumnNotFoundError, DataError
from tests.support.engines import ENGINES, in_engine


@pytest.mark.parametrize("counts", [{"a": 1000, "b": 1000}, {"a": 5000, "b": 5500}, {"a": 0, "b": 7}])
def test_sample_ratio_is_the_chi_square_test(counts: dict[str, int]) -> None:
    check = sample_ratio(counts, {"a": 1, "b": 1})
    expected = stats.chisquare(list(counts.values()))
    assert check.facts["statistic"] == pytest.approx(expected.statistic, rel=1e-12)
    assert check.facts["p_value"] == pytest.approx(expected.pvalue, rel=1e-12)
    assert check.passed == (expected.pvalue >= 0.001)


def test_a_mismatch_says_observed_and_intended_shares() -> None:
    check = sample_ratio({"control": 5000, "offer": 5500}, {"control": 1, "offer": 1})
    assert not check.passed
    assert check.sentence.startswith("Sample-ratio mismatch: the split is not as intended: control 47.62% (intended 50")
    assert "offer 52.38% (intended 50.00%)" in check.sentence


def test_an_intended_split_need_not_be_even() -> None:
    assert sample_ratio({"a": 900, "b": 100}, {"a": 9, "b": 1}).facts["statistic"] == pytest.approx(0, abs=1e-12)
    assert not sample_ratio({"a": 900, "b": 100}, {"a": 1, "b": 9}).passed  # planted: the arms swapped


def test_cells_carry_their_split() -> None:
    table = pd.DataFrame({"arm": ["A", "B"] * 2, "s": list("xxyy"), "n": [600, 500, 600, 500], "y": [1, 2, 3, 4]})
    cells = read_counts(
        table,
        arm="arm",
        control="A",
        trials="n",
        successes="y",
        segments="s",
        intended_split={"A": 1, "B": 1},
    )
    (check,) = checks_of(cells)
    assert check.facts["observed"] == {"A": 1200, "B": 1000}
    assert check.facts["p_value"] == pytest.approx(stats.chisquare([1200, 1000]).pvalue, rel=1e-12)


def test_nothing_is_claimed_without_a_split() -> None:
    table = pd.DataFrame({"arm": ["A", "B"], "n": [600, 500], "y": [1, 2]})
    cells = read_counts(table, arm="arm", control="A", trials="n", successes="y")
    assert checks_of(cells) == []
    with pytest.raises(ArgumentError, match="no intended split is known"):
        sample_ratio(cells)


def test_counts_that_are_none_are_refused() -> None:
    with pytest.raises(DataError, match="only one arm"):
        sample_ratio({"a": 1}, {"a": 1})
    with pytest.raises(DataError, match="not a single unit"):
        sample_ratio({"a": 0, "b": 0}, {"a": 1, "b": 1})
    with pytest.raises(DataError, match="count of a is not a whole number"):
        sample_ratio({"a": -1, "b": 3}, {"a": 1, "b": 1})
    with pytest.raises(ArmNotFoundError, match="'c'"):
        sample_ratio({"a": 1, "b": 3}, {"a": 1, "b": 1, "c": 1})
    with pytest.raises((DataError, ArmNotFoundError)):
        sample_ratio({}, {})


@pytest.fixture
def lossy() -> pd.DataFrame:
    generator = np.random.default_rng(2)
    rows = 2000
    arm = np.array(["control", "offer"] * (rows // 2))
    age = generator.normal(40, 5, rows)
    age[(arm == "offer") & (generator.random(rows) < 0.2)] = np.nan
    spend = generator.normal(10, 1, rows)
    spend[generator.random(rows) < 0.1] = np.nan
    return pd.DataFrame({"arm": arm, "age": age, "spend": spend, "id": np.arange(rows)})


@pytest.mark.parametrize("engine", ENGINES)
def test_missingness_that_differs_by_arm_is_found(lossy: pd.DataFrame, engine: str, tmp_path: Path) -> None:
    check = missingness(in_engine(lossy, engine, tmp_path), arm="arm", columns=["age", "spend"])
    assert not check.passed
    assert check.facts["failed"] == ["age"]
    for column in ("age", "spend"):
        lost = [int(lossy[column][lossy["arm"] == arm].isna().sum()) for arm in ("control", "offer")]
        assert check.facts["shares"][column] == {"control": lost[0] / 1000, "offer": lost[1] / 1000}
        expected = stats.chi2_contingency([lost, [1000 - each for each in lost]], correction=False).pvalue
        assert check.facts["p_value"][column] == pytest.approx(min(1, 2 * expected), rel=1e-9)
    assert "age: control 0.00%, offer" in check.sentence


def test_nothing_missing_passes(lossy: pd.DataFrame) -> None:
    check = missingness(lossy, arm="arm", columns="id")
    assert check.passed
    assert check.sentence == "No value is missing in id."


def test_missingness_names_a_column_that_is_not_there(lossy: pd.DataFrame) -> None:
    with pytest.raises(ColumnNotFoundError, match="Did you mean 'age'"):
        missingness(lossy, arm="arm", columns=["aeg"])
    with pytest.raises(ArgumentError, match="columns is empty"):
        missingness(lossy, arm="arm", columns=[])


@pytest.mark.parametrize("engine", ENGINES)
def test_repeated_units_are_counted(engine: str, tmp_path: Path) -> None:
    table = pd.DataFrame({"id": ["a", "b", "a", None, "a"], "x": range(5)})
    check = duplicates(in_engine(table, engine, tmp_path), unit="id")
    assert not check.passed
    assert check.facts == {"rows": 5, "units": 2, "repeated": 2, "missing": 1}
    assert check.sentence.startswith("2 of 5 rows repeat a unit of 'id', 1 have none")
    assert duplicates(in_engine(table, engine, tmp_path), unit="x").passed
