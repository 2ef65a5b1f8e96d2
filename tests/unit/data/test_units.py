"""Units with their covariates coded as numbers, and what a regression needs of their outcomes."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesuplift as bu
from bayesuplift.data.coding import Coding, Column
from bayesuplift.data.experiment import Experiment
from bayesuplift.data.unit_table import coded_units
from bayesuplift.data.units import Units
from bayesuplift.errors import ColumnNotFoundError, DataError
from tests.support.worlds import seed_of

TABLE = pd.DataFrame(
    {
        "customer": ["u1", "u2", "u3", "u4", "u5", "u6", "u7"],
        "arm": list("ababaab"),
        "spend": [1.0, 2.0, 3.5, 2.5, 0.5, 4.0, 3.0],
        "recency": [1, 5, 3, 2, 8, 9, 4],
        "channel": ["Web", "Phone", "Multi", "Web", "Web", "Phone", "Multi"],
        "newbie": ["yes", "no", "no", "yes", "no", "yes", "no"],
    }
)
COVARIATES = ["recency", "channel", "newbie"]


def experiment(table: pd.DataFrame = TABLE, covariates: list[str] = COVARIATES, **options: str) -> Experiment:
    roles: dict[str, Any] = {"arm": "arm", "control": "a", "outcome": "spend", "unit": "customer"} | options
    return bu.read_experiment(table, kind="continuous", covariates=covariates, **roles)


def test_numbers_stay_and_text_becomes_a_column_a_level() -> None:
    coding = Coding.of(experiment().covariates)
    assert coding.names == ("recency", "channel=Multi", "channel=Phone", "channel=Web", "newbie=yes")
    columns = coding.apply(experiment().covariates)
    np.testing.assert_array_equal(columns[0], [1, 0, 0, 1, 1])
    np.testing.assert_array_equal(columns[1], [5, 0, 1, 0, 0])
    assert Coding.from_json(coding.to_json()) == coding


def test_text_that_is_all_alike_says_nothing() -> None:
    assert Coding.of({"country": np.array(["de", "de"])}).columns == ()


def test_a_level_that_was_never_seen_is_0_in_every_column() -> None:
    coding = Coding((Column("channel", "Phone"), Column("channel", "Web")))
    np.testing.assert_array_equal(coding.apply({"channel": np.array(["Fax", "Web"])}), [[0, 0], [0, 1]])


def test_a_covariate_that_is_not_there_is_named() -> None:
    with pytest.raises(ColumnNotFoundError, match=r"no covariate named 'recency'.*Did you mean 'recencies'"):
        Coding((Column("recency"),)).apply({"recencies": np.ones(2)})


def test_text_where_numbers_were_is_refused() -> None:
    with pytest.raises(DataError, match="'recency' holds text, and was numbers"):
        Coding((Column("recency"),)).apply({"recency": np.array(["many"])})


def test_units_without_a_covariate_that_differs_are_refused() -> None:
    with pytest.raises(DataError, match="no covariate differs between the units"):
        Units.of(experiment(covariates=[]))
    with pytest.raises(DataError, match="no covariate differs"):
        Units.of(experiment(TABLE.assign(recency=1.0), ["recency"]))


def test_columns_are_standardised_over_all_units_and_constant_ones_left_at_0() -> None:
    units = Units.of(experiment(TABLE.assign(same=0.1)[[*TABLE, "same"]], ["recency", "same"]))
    np.testing.assert_allclose(units.standardised.mean(0), 0.0, atol=1e-15)
    np.testing.assert_allclose(units.standardised.std(0), [1.0, 0.0], atol=1e-15)


def test_new_units_are_coded_as_the_old_ones() -> None:
    units = Units.of(experiment())
    given = coded_units(TABLE.drop(columns=["spend", "arm"]), units.coding, unit="customer")
    assert given.labels.tolist() == TABLE["customer"].tolist()
    np.testing.assert_array_equal(given.columns, units.columns)
    assert coded_units(TABLE, units.coding).labels.tolist() == list(range(7))


@pytest.mark.parametrize(
    ("table", "found"),
    [
        (TABLE.drop(columns="recency"), "no column named 'recency'"),
        (TABLE.assign(recency=[1, 5, 3, 2, np.nan, 9, 4]), "'recency' .covariate."),
        (TABLE.assign(channel=["Web", *[""] * 6]), "'channel' .covariate."),
        (TABLE.assign(customer="u1"), "'customer'"),
        (TABLE.head(0), "no row"),
    ],
    ids=["no column", "missing number", "missing text", "unit twice", "no row"],
)
def test_new_units_at_fault_are_refused(table: pd.DataFrame, found: str) -> None:
    with pytest.raises((DataError, ColumnNotFoundError), match=found):
        coded_units(table, Units.of(experiment()).coding, unit="customer")


def test_the_regression_of_an_arm_is_least_squares_whatever_the_number_of_units() -> None:
    rng = np.random.default_rng(seed_of("least squares"))
    table = pd.DataFrame(
        {"x": rng.normal(size=300), "w": rng.choice(list("pqr"), 300), "arm": rng.choice(["a", "b"], 300)}
    )
    table = table.assign(spend=rng.normal(3.0 + table["x"], 1.0), customer=np.arange(300))
    units = Units.of(experiment(table, ["x", "w"]))
    found = units.regression
    assert found.triangle.shape == (2, 5, 5)  # x and three levels: one of them is a combination of the others
    for arm in (0, 1):
        rows = table[units.experiment.arm == arm]
        design = np.column_stack([np.ones(len(rows)), units.standardised[rows.index]])
        (theirs, *_), (ours, *_) = (
            np.linalg.lstsq(left, right, rcond=None)
            for left, right in ((design, rows["spend"].to_numpy()), (found.triangle[arm], found.projection[arm]))
        )
        np.testing.assert_allclose(ours, theirs, rtol=1e-8)
        left = rows["spend"].to_numpy() - design @ theirs
        # the fifth direction, which no coefficient moves, is taken out of what is left
        assert 0.0 < found.residual[arm] <= left @ left
        for theta in rng.normal(size=(3, 5)):
            whole = ((rows["spend"].to_numpy() - design @ theta) ** 2).sum()
            parts = ((found.projection[arm] - found.triangle[arm] @ theta) ** 2).sum() + found.residual[arm]
            np.testing.assert_allclose(parts, whole, rtol=1e-10)


def test_an_arm_of_fewer_units_than_coefficients_says_nothing_of_the_rest() -> None:
    units = Units.of(experiment())
    found = units.regression
    few = found.n.argmin()
    assert found.n[few] == 3
    assert found.triangle.shape == (2, 6, 6)
    np.testing.assert_array_equal(found.triangle[few, 3:], 0.0)
    np.testing.assert_array_equal(found.projection[few, 3:], 0.0)
    assert found.residual[few] < 1e-25


def test_the_fingerprint_sees_every_number_and_no_name_of_a_unit() -> None:
    one = Units.of(experiment()).fingerprint
    assert Units.of(experiment(TABLE.assign(customer=list("abcdefg")))).fingerprint == one
    known = [Units.of(experiment(TABLE.assign(chance=p), propensity="chance")).fingerprint for p in (0.5, 0.6)]
    assert len({one, *known}) == 3
    for changed in (
        TABLE.assign(recency=TABLE["recency"] + (TABLE.index == 3)),
        TABLE.assign(spend=TABLE["spend"] + 1e-9),
    ):
        assert Units.of(experiment(changed)).fingerprint != one
