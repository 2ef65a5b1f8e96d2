"""Cells from a table of statistics that a warehouse made."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bayesuplift.data.cells import Cells
from bayesuplift.data.readers import read_cells
from bayesuplift.errors import ArgumentError, ArmNotFoundError, ColumnNotFoundError, DataError, DataWarning
from tests.support.engines import ENGINES, as_told_by, in_engine

KINDS = ("binary", "count", "continuous", "revenue")


@pytest.fixture
def units() -> pd.DataFrame:
    generator = np.random.default_rng(31)
    rows = 800
    return pd.DataFrame(
        {
            "arm": generator.choice(["control", "offer"], rows),
            "channel": generator.choice(["Phone", "Web"], rows),
            "day": generator.integers(0, 3, rows),
            "days": generator.choice([0.5, 2.0], rows),
            "before": generator.normal(50, 9, rows),
            "binary": generator.integers(0, 2, rows),
            "count": generator.poisson(1.5, rows),
            "continuous": generator.normal(20, 3, rows),
            "revenue": np.round(np.exp(generator.normal(3, 1, rows)), 2) * (generator.random(rows) < 0.4),
        }
    )


def made(units: pd.DataFrame, kind: str, by: list[str]) -> pd.DataFrame:
    """What a query would give: sums by group, two-pass deviations and sums of squares."""
    if kind == "count":
        return units.groupby([*by, "count", "days"]).size().rename("n").reset_index().rename(columns={"count": "value"})

    def statistics(rows: pd.DataFrame) -> pd.Series:
        y, x = rows[kind].astype(float), rows["before"]
        log = np.log(y[y > 0])
        return pd.Series(
            {
                "n": len(rows),
                "total": y.sum(),
                "sum_squared_deviations": ((y - y.mean()) ** 2).sum(),
                "positives": (y > 0).sum(),
                "total_log": log.sum(),
                "sum_squared_log_deviations": ((log - log.mean()) ** 2).sum(),
                "maximum": y.max(),
                "covariate_total": x.sum(),
                "covariate_sum_squared_deviations": ((x - x.mean()) ** 2).sum(),
                "sum_codeviations": ((y - y.mean()) * (x - x.mean())).sum(),
                "total_squares": (y**2).sum(),
                "total_squared_logs": (log**2).sum(),
                "covariate_total_squares": (x**2).sum(),
                "total_products": (x * y).sum(),
            }
        )

    return pd.DataFrame([{**dict(zip(by, key, strict=True)), **statistics(rows)} for key, rows in units.groupby(by)])


def read(units: pd.DataFrame, kind: str, **options: Any) -> Cells:
    if kind == "count":
        options["exposure"] = "days"
    return read_cells(units, arm="arm", control="control", outcome=kind, kind=kind, segments=["channel"], **options)


def cells_from(table: Any, kind: str, **options: Any) -> Cells:
    roles: dict[str, Any] = {"arm": "arm", "control": "control", "outcome": kind, "segments": ["channel"]}
    return Cells.from_table(table, kind=kind, **(roles | options))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", KINDS)
def test_cells_from_a_table_equal_cells_of_the_units(
    units: pd.DataFrame, kind: str, engine: str, tmp_path: Path
) -> None:
    # One row a (day, segment, arm): the days are merged.
    table = made(units, kind, ["day", "channel", "arm"])
    names = {"exposure": "days"} if kind == "count" else {}
    cells = cells_from(in_engine(table, engine, tmp_path), kind, statistics=names)
    assert cells == read(units, kind)
    assert cells.quantiles is None


@pytest.mark.parametrize("kind", ["continuous", "revenue"])
def test_a_covariate_comes_along(units: pd.DataFrame, kind: str) -> None:
    cells = cells_from(made(units, kind, ["day", "channel", "arm"]), kind, covariate="before")
    assert cells.covariate == "before"
    assert cells == read(units, kind, covariate="before")


@pytest.mark.parametrize("kind", ["continuous", "revenue"])
def test_sums_of_squares_stand_in(units: pd.DataFrame, kind: str) -> None:
    table = made(units, kind, ["channel", "arm"]).rename(columns={"n": "users", "total_squares": "y2"})
    table = table.drop(columns=["sum_squared_deviations", "sum_squared_log_deviations", "sum_codeviations"])
    names = {"n": "users", "total_squares": "y2", "covariate_total_squares": "covariate_total_squares"}
    names |= {"total_products": "total_products"}
    if kind == "revenue":
        names["total_squared_logs"] = "total_squared_logs"
    cells, direct = cells_from(table, kind, statistics=names, covariate="before"), read(units, kind, covariate="before")
    for name in direct.statistics.data_vars:
        # (mean / sd)² < 50 here: two of 16 digits go, and sums of 200 squares lose one more at most.
        np.testing.assert_allclose(cells.statistics[name], direct.statistics[name], rtol=1e-11, err_msg=str(name))


def test_squares_that_keep_too_few_digits_are_refused(units: pd.DataFrame) -> None:
    far = units.assign(continuous=units.continuous + (units.channel == "Web") * (units["arm"] == "offer") * 1e6)
    table = made(far, "continuous", ["channel", "arm"]).drop(columns="sum_squared_deviations")
    words = (
        r"fewer than six digits of sum_squared_deviations are left in 1 of 4 rows: arm 'offer', channel=Web \(total_"
    )
    with pytest.raises(DataError, match=words):
        cells_from(table, "continuous", statistics={"total_squares": "total_squares"})
    # (mean / sd)² is 1e9 here: six digits and some are left, as many as are promised.
    near = units.assign(continuous=units.continuous + 1e5)
    table = made(near, "continuous", ["channel", "arm"]).drop(columns="sum_squared_deviations")
    cells = cells_from(table, "continuous", statistics={"total_squares": "total_squares"})
    np.testing.assert_allclose(cells.sum_squared_deviations, read(near, "continuous").sum_squared_deviations, rtol=1e-5)


def test_products_that_keep_too_few_digits_are_refused(units: pd.DataFrame) -> None:
    far = units.assign(continuous=units.continuous + 1e6, before=units.before + 1e6)
    table = made(far, "continuous", ["channel", "arm"])
    with pytest.raises(
        DataError, match=r"digits of sum_codeviations are left in 4 of 4 rows: arm 'control', channel=P"
    ):
        cells_from(table, "continuous", covariate="x", statistics={"total_products": "total_products"})


def test_sums_of_whole_numbers_lose_nothing() -> None:
    # A mean of a million, an sd of 1: of whole numbers the sums are exact, however little is left.
    y = np.array([10**6 - 1, 10**6, 10**6 + 1] * 2, dtype=float)
    table = pd.DataFrame({"arm": ["a", "b"], "n": 6, "total": y.sum(), "q": (y**2).sum()})
    cells = Cells.from_table(
        table, arm="arm", control="a", outcome="y", kind="continuous", statistics={"total_squares": "q"}
    )
    assert cells.sum_squared_deviations.tolist() == [4, 4]
    with pytest.raises(DataError, match=r"are left in 2 of 2 rows"):
        Cells.from_table(
            table.assign(q=table.q - 8),
            arm="arm",
            control="a",
            outcome="y",
            kind="continuous",
            statistics={"total_squares": "q"},
        )


def test_one_unit_alone_has_no_deviation() -> None:
    table = pd.DataFrame({"arm": ["a", "b"], "n": [1, 2], "total": [0.1, 0.7], "q": [0.1**2 * (1 - 1e-16), 0.3]})
    cells = Cells.from_table(
        table, arm="arm", control="a", outcome="y", kind="continuous", statistics={"total_squares": "q"}
    )
    assert cells.sum_squared_deviations[0] == 0
    assert cells.sum_squared_deviations[1] == pytest.approx(0.3 - 0.245, rel=1e-14)


def test_counts_without_an_exposure_have_one_a_unit(units: pd.DataFrame) -> None:
    table = made(units, "count", ["channel", "arm"]).drop(columns="days")
    cells = cells_from(table, "count")
    assert cells == read_cells(units, arm="arm", control="control", outcome="count", kind="count", segments=["channel"])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "fault",
    [
        ("binary", "n", -1.0, r"'n' \(n\) is negative in 1 of 4 rows, first in data row 2 \(-1"),
        (
            "binary",
            "total",
            1e6,
            r"'total' \(total\) is above the number of units \('n'\) in 1 of 4 rows, first in data row 2",
        ),
        ("revenue", "maximum", None, r"'maximum' \(maximum\) is missing in 1 of 4 rows, first in data row 2"),
        ("count", "value", 1.5, r"'value' \(value\) is fractional in 1 of [0-9]+ rows, first in data row 2 \(1\.5\)"),
        ("continuous", "arm", None, r"'arm' \(arm\) is missing in 1 of 4 rows, first in data row 2"),
    ],
)
def test_faulty_rows_are_refused_in_every_engine(
    units: pd.DataFrame, engine: str, fault: tuple[str, str, Any, str], tmp_path: Path
) -> None:
    kind, column, value, words = fault
    table = made(units, kind, ["channel", "arm"])
    if column != "arm":
        table[column] = table[column].astype(float)
    table.loc[1, column] = value
    with pytest.raises(DataError, match=as_told_by(engine, words)):
        cells_from(in_engine(table, engine, tmp_path), kind)


@pytest.mark.parametrize(
    ("kind", "column", "value", "words"),
    [
        ("binary", "total", 0.5, r"'total' \(total\) is fractional"),
        ("binary", "n", 2.0**54, r"'n' \(n\) is above 2\^53"),
        ("binary", "n", 0, r"'total' \(total\) is above the number of units"),
        ("continuous", "n", 0, r"'total' \(total\) is not 0 where 'n' \(n\) is 0"),
        ("continuous", "sum_squared_deviations", -0.1, "is negative in 1 of 4 rows"),
        ("continuous", "total", np.inf, "is infinite in 1 of 4 rows"),
        ("revenue", "total", -1.0, r"'total' \(total\) is negative"),
        ("revenue", "positives", 1e6, r"'positives' \(positives\) is above the number of units \('n'\)"),
        ("revenue", "positives", 0, r"\(maximum\) is not between mean and sum of the amounts"),
        ("revenue", "maximum", 0.01, r"\(maximum\) is not between mean and sum of the amounts"),
        ("revenue", "maximum", 1e9, r"\(maximum\) is not between mean and sum of the amounts"),
        ("count", "days", 0.0, r"'days' \(exposure\) is not positive"),
        ("count", "n", 1.5, r"'n' \(n\) is fractional"),
        ("continuous", "channel", "", r"'channel' \(segment\) is empty text"),
    ],
)
def test_what_no_data_could_have_is_refused(
    units: pd.DataFrame, kind: str, column: str, value: Any, words: str
) -> None:
    table = made(units, kind, ["channel", "arm"])
    if column not in ("channel", "arm"):
        table[column] = table[column].astype(float)
    table.loc[1, column] = value
    with pytest.raises(DataError, match=words):
        cells_from(table, kind, statistics={"exposure": "days"} if kind == "count" else {})


def test_a_negative_total_is_for_continuous_outcomes(units: pd.DataFrame) -> None:
    low = units.assign(continuous=units.continuous - 100)
    assert cells_from(made(low, "continuous", ["channel", "arm"]), "continuous") == read(low, "continuous")


def test_names_are_checked(units: pd.DataFrame) -> None:
    table = made(units, "continuous", ["channel", "arm"])
    with pytest.raises(ArgumentError, match=r"no statistic named 'totl' .*Did you mean 'total'\?"):
        cells_from(table, "continuous", statistics={"totl": "total"})
    with pytest.raises(ArgumentError, match="no statistic named 'maximum' in cells of kind 'continuous'"):
        cells_from(table, "continuous", statistics={"maximum": "maximum"})
    with pytest.raises(ArgumentError, match="names 'total_squares' and 'sum_squared_deviations', which say the same"):
        cells_from(table, "continuous", statistics={"total_squares": "q", "sum_squared_deviations": "ssd"})
    with pytest.raises(ArgumentError, match="statistics is a list; expected a mapping from statistic to column"):
        cells_from(table, "continuous", statistics=["n"])
    with pytest.raises(ColumnNotFoundError, match=r"no column named 'users' \(n\)"):
        cells_from(table, "continuous", statistics={"n": "users"})
    with pytest.raises(ColumnNotFoundError, match=r"no column named 'exposures' \(exposure\)"):
        cells_from(made(units, "count", ["channel", "arm"]), "count", statistics={"exposure": "exposures"})
    with pytest.raises(ArgumentError, match="'n' is named as n and as total; a column has one role"):
        cells_from(table, "continuous", statistics={"total": "n"})
    with pytest.raises(ArmNotFoundError, match="Did you mean 'control'"):
        cells_from(table, "continuous", control="contol")
    with pytest.raises(ArgumentError, match="covariate='before' is given for the kind 'binary'"):
        cells_from(table, "binary", covariate="before")


def test_codeviations_beyond_their_bound_are_refused(units: pd.DataFrame) -> None:
    table = made(units, "continuous", ["channel", "arm"])
    table.loc[2, "sum_codeviations"] = 1e6
    with pytest.raises(DataError, match="in 1 cells, which makes a correlation above 1"):
        cells_from(table, "continuous", covariate="before")


def test_a_warning_points_at_the_caller() -> None:
    table = pd.DataFrame({"arm": ["a", "b"], "n": [9, 9], "total": [0, 4]})
    with pytest.warns(DataWarning, match=r"constant in a \(always 0\)") as caught:
        Cells.from_table(table, arm="arm", control="a", outcome="y", kind="binary")
    assert caught[0].filename == __file__
