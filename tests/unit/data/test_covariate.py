"""The covariate's statistics: what adjustment for an outcome from before the experiment needs."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bayesuplift.data.cells import Cells
from bayesuplift.data.readers import read_cells, read_experiment
from bayesuplift.errors import ArgumentError, ColumnNotFoundError, DataError
from tests.support.engines import CHEAP, ENGINES, as_told_by, in_engine

NAMES = ("covariate_total", "covariate_sum_squared_deviations", "sum_codeviations")


@pytest.fixture
def table() -> pd.DataFrame:
    generator = np.random.default_rng(17)
    rows = 600
    before = np.round(generator.exponential(30, rows), 2)
    return pd.DataFrame(
        {
            "group": generator.choice(["control", "offer"], rows),
            "channel": generator.choice(["Phone", "Web"], rows),
            "before": before,
            "continuous": 0.4 * before + generator.normal(-2, 3, rows),
            "revenue": np.round(before * generator.uniform(0, 3, rows), 2) * (generator.random(rows) < 0.3),
        }
    )


def read(source: Any, kind: str, **options: Any) -> Cells:
    roles: dict[str, Any] = {"segments": ["channel"], "covariate": "before", "outcome": kind} | options
    return read_cells(source, arm="group", control="control", kind=kind, **roles)


def exact(x: Sequence[float], y: Sequence[float]) -> float:
    """Co-deviations about the exact means."""
    left, right = [Fraction(value) for value in x], [Fraction(value) for value in y]
    mean_left, mean_right = sum(left, Fraction(0)) / len(left), sum(right, Fraction(0)) / len(right)
    return float(sum(((a - mean_left) * (b - mean_right) for a, b in zip(left, right, strict=True)), Fraction(0)))


def expected(table: pd.DataFrame, kind: str) -> dict[str, list[float]]:
    """The three statistics of every cell, in exact arithmetic."""
    found: dict[str, list[float]] = {name: [] for name in NAMES}
    for channel in ("Phone", "Web"):
        for arm in ("control", "offer"):
            rows = table[(table.channel == channel) & (table.group == arm)]
            x, y = rows.before.tolist(), rows[kind].tolist()
            for name, value in zip(
                NAMES, (float(sum(map(Fraction, x), Fraction(0))), exact(x, x), exact(x, y)), strict=True
            ):
                found[name].append(value)
    return found


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["continuous", "revenue"])
def test_every_engine_gives_the_covariates_statistics(
    table: pd.DataFrame, kind: str, engine: str, tmp_path: Path
) -> None:
    cells = read(in_engine(table, engine, tmp_path), kind)
    assert cells.covariate == "before"
    for name, values in expected(table, kind).items():
        # Some thousand roundings of the greatest sum of products, as for the deviations of the outcome.
        np.testing.assert_allclose(getattr(cells, name).ravel(), values, rtol=1e-12, atol=1e-9, err_msg=name)
    without = read(table, kind, covariate=None)
    for name in map(str, without.statistics.data_vars):
        np.testing.assert_allclose(cells.statistics[name], without.statistics[name], rtol=1e-12, atol=1e-11)
    assert cells.fingerprint == read(table, kind).fingerprint


@pytest.mark.parametrize("engine", ENGINES)
def test_cells_far_from_each_other_keep_their_codeviations(engine: str, tmp_path: Path) -> None:
    # The shift that all groups share lies near the first of them: sums of products about it would keep no digit.
    generator = np.random.default_rng(23)
    rows = 2000
    x, far = generator.normal(0, 1, rows), np.repeat([0.0, 1e8], rows // 2)
    table = pd.DataFrame(
        {
            "group": np.tile(["control", "offer"], rows // 2),
            "channel": np.repeat(["Phone", "Web"], rows // 2),
            "before": far + x,
            "continuous": 2 * far + 0.7 * x + generator.normal(0, 1, rows),
        }
    )
    cells = read(in_engine(table, engine, tmp_path), "continuous")
    # The values themselves are rounded when they are stored; the exact sums are of the stored ones.
    np.testing.assert_allclose(cells.sum_codeviations.ravel(), expected(table, "continuous")[NAMES[2]], rtol=1e-5)


def test_the_fingerprint_without_a_covariate_is_the_old_one(table: pd.DataFrame) -> None:
    # Of one table of round numbers, computed before cells knew a covariate.
    plain = pd.DataFrame({"arm": list("aabb"), "y": [1.0, 2.0, 4.0, 8.0]})
    cells = read_cells(plain, arm="arm", control="a", outcome="y", kind="continuous")
    assert cells.fingerprint == "e6cd06d85c0711154204a4764cb4276832c5354679084cf56d71ee863af255f9"
    with_one = read_cells(
        plain.assign(x=[1, 0, 1, 3]), arm="arm", control="a", outcome="y", kind="continuous", covariate="x"
    )
    assert with_one.fingerprint != cells.fingerprint
    assert read(table, "continuous") != read(table.rename(columns={"before": "b"}), "continuous", covariate="b")


@pytest.mark.parametrize("constant", ["before", "continuous"])
def test_what_does_not_vary_does_not_vary_together(table: pd.DataFrame, constant: str) -> None:
    # A fifth of the rows: the shared shift is no value of theirs, so that their deviations from it are rounded.
    table["channel"] = np.where(np.arange(len(table)) % 5 == 0, "Web", "Phone")
    table.loc[table.channel == "Web", constant] = 1000 / 3
    cells = read(table, "continuous")
    spread = {"before": cells.covariate_sum_squared_deviations, "continuous": cells.sum_squared_deviations}[constant]
    assert spread[1].tolist() == [0, 0]
    assert cells.sum_codeviations[1].tolist() == [0, 0]


def test_a_proportional_covariate_is_within_the_bound(table: pd.DataFrame) -> None:
    for factor in (3.0, -0.1, 1e-7, 1e9):
        cells = read(table.assign(before=table.continuous * factor + 5), "continuous")
        bound = np.sqrt(cells.sum_squared_deviations) * np.sqrt(cells.covariate_sum_squared_deviations)
        np.testing.assert_allclose(cells.sum_codeviations, np.sign(factor) * bound, rtol=1e-8)


@pytest.mark.parametrize("kind", ["continuous", "revenue"])
def test_merged_segments_keep_the_covariate(table: pd.DataFrame, kind: str) -> None:
    merged, direct = read(table, kind).by(), read(table, kind, segments=())
    assert merged.covariate == "before"
    assert merged == direct
    np.testing.assert_allclose(merged.sum_codeviations, direct.sum_codeviations, rtol=1e-12)


@pytest.mark.parametrize("kind", ["continuous", "revenue"])
def test_cells_of_units_keep_the_covariate(table: pd.DataFrame, kind: str) -> None:
    units = read_experiment(
        table,
        arm="group",
        control="control",
        outcome=kind,
        kind=kind,
        covariates=["before", "channel"],
        segments=["channel"],
    )
    assert units.cells(covariate="before") == read(table, kind)
    assert units.cells(["channel"]).covariate is None
    with pytest.raises(ColumnNotFoundError, match=r"'befor' \(covariate\).*Did you mean 'before'"):
        units.cells(covariate="befor")
    with pytest.raises(DataError, match=r"'channel' \(covariate\) holds text; expected numbers"):
        units.cells(covariate="channel")


@pytest.mark.parametrize("engine", CHEAP)
@pytest.mark.parametrize("kind", ["continuous", "revenue"])
@pytest.mark.parametrize(
    "fault",
    [(None, "is missing in 1 of 600 rows, first in data row 4"), (np.inf, r"is infinite in 1 of 600 rows, first in")],
)
def test_a_covariate_with_gaps_is_refused(
    table: pd.DataFrame, engine: str, kind: str, fault: tuple[Any, str], tmp_path: Path
) -> None:
    value, words = fault
    table.loc[3, "before"] = value
    with pytest.raises(DataError, match=r"'before' \(covariate\) " + as_told_by(engine, words)):
        read(in_engine(table, engine, tmp_path), kind)


def test_a_covariate_is_for_amounts_only(table: pd.DataFrame) -> None:
    with pytest.raises(ArgumentError, match="covariate='before' is given for the kind 'binary'; only continuous, rev"):
        read_cells(table, arm="group", control="control", outcome="continuous", kind="binary", covariate="before")
    with pytest.raises(ArgumentError, match="'continuous' is named as outcome and as covariate"):
        read(table, "continuous", covariate="continuous")
    with pytest.raises(DataError, match=r"'channel' \(covariate\) is not a number"):
        read(table, "continuous", segments=(), covariate="channel")
    with pytest.raises(ColumnNotFoundError, match=r"'befor' \(covariate\)"):
        read(table, "continuous", covariate="befor")


def test_cells_without_one_hold_no_covariate(table: pd.DataFrame) -> None:
    with pytest.raises(ArgumentError, match="hold no covariate_total; they hold n, total, sum_squared_deviations"):
        _ = read(table, "continuous", covariate=None).covariate_total


@pytest.mark.parametrize(("change", "refused"), [(1 + 1e-12, False), (1 + 1e-6, True), (-1.1, True), (np.nan, True)])
def test_codeviations_that_no_data_could_have_are_refused(table: pd.DataFrame, change: float, *, refused: bool) -> None:
    cells = read(table, "continuous")
    bound = np.sqrt(cells.sum_squared_deviations) * np.sqrt(cells.covariate_sum_squared_deviations)
    statistics = cells.statistics.copy()
    statistics["sum_codeviations"] = (("segment", "arm"), bound * change)
    if not refused:
        assert replace(cells, statistics=statistics).covariate == "before"
        return
    with pytest.raises(DataError, match=r"correlation above 1|not finite"):
        replace(cells, statistics=statistics)
