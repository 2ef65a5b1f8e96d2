"""What forests are not fitted on: refused by name before any sampling, or said where it can be fitted."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesuplift as bu
from bayesuplift.data.unit_limits import check_limits
from bayesuplift.data.units import Units
from bayesuplift.errors import DataError, DataWarning
from tests.support.worlds import seed_of


def table(n: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(seed_of("limits"))
    columns = {"age": rng.normal(50.0, 10.0, n), "spend": rng.gamma(2.0, 1.0, n)}
    return pd.DataFrame(columns | {"arm": np.arange(n) % 2, "y": rng.normal(3.0, 1.0, n), "chance": 0.5})


def units(given: pd.DataFrame, covariates: tuple[str, ...] = ("age", "spend"), **options: Any) -> Units:
    read = bu.read_experiment(
        given, arm="arm", control=0, outcome="y", kind="continuous", covariates=covariates, **options
    )
    return Units.of(read)


def test_units_that_are_enough_pass_without_a_word() -> None:
    check_limits(units(table(50)))
    check_limits(units(table(), propensity="chance"))
    check_limits(units(table().assign(spend=1.0)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: one.head(9), "there are 9 units; forests need at least 10"),
        (
            lambda one: one.assign(y=one["y"] * 1e39),
            r"reaches .*e\+39 .* expected numbers below 1e\+37 .* larger units",
        ),
        (lambda one: one.assign(y=one["y"] * 1e-40), r"spreads over .*e-40; .* smaller units"),
        (lambda one: one.assign(y=one["y"] + 1e9), r"single precision, there in steps of 1.2e\+02. Subtract a round"),
        (lambda one: one.assign(age=one["arm"]), "'age' tells every unit of 1 from every unit of 0"),
        (lambda one: one.assign(age=-1.0 * one["arm"]), "'age' tells every unit of 1 from every unit of 0"),
        (
            lambda one: one.assign(age=np.where(one["arm"] == 1, "e-mail", "nothing")),
            "'age=nothing' tells every unit of 1 from every unit of 0",
        ),
    ],
)
def test_units_no_forest_is_right_about_are_refused(change: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        check_limits(units(change(table())))


def test_one_treatment_of_several_that_a_covariate_tells_is_named() -> None:
    given = table(300).assign(arm=np.arange(300) % 3)
    with pytest.raises(DataError, match="'age' tells every unit of 2 from every unit of 0"):
        check_limits(units(given.assign(age=given["arm"] // 2)))


def test_outcomes_far_from_nought_pass_where_single_precision_tells_them_apart() -> None:
    # a standard deviation of 1 at 10,000 is a thousand steps of float32 wide
    check_limits(units(table().assign(y=table()["y"] + 1e4)))


def test_a_covariate_called_propensity_is_refused_beside_a_propensity() -> None:
    given = table().assign(propensity=table()["spend"])
    check_limits(units(given, ("age", "propensity")))
    with pytest.raises(DataError, match="one column of that name"):
        check_limits(units(given, ("age", "propensity"), propensity="chance"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: one.head(49), "there are 49 units, fewer than 50"),
        (lambda one: one.assign(arm=(np.arange(200) < 9) * 1), r"fewer than 10 units are in 1 \(9\)"),
    ],
)
def test_few_units_are_fitted_and_told(change: Any, said: str) -> None:
    with pytest.warns(DataWarning, match=said):
        check_limits(units(change(table())))
