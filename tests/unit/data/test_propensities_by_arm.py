"""Propensities of more than two arms: one for each treatment, in the order of the design, and what is none refused."""

import copy
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesuplift as bu
from bayesuplift.data.coding import Coding
from bayesuplift.data.experiment import Experiment
from bayesuplift.data.propensity import columns_asked_for
from bayesuplift.data.unit_limits import check_limits
from bayesuplift.data.unit_table import coded_units
from bayesuplift.data.units import Units
from bayesuplift.errors import ArgumentError, ArmNotFoundError, ColumnNotFoundError, DataError

SIZE = 60
BOTH = {"men": "p_men", "women": "p_women"}


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "group": np.array(["none", "men", "women"])[np.arange(SIZE) % 3],
            "spend": rng.normal(size=SIZE),
            "age": rng.normal(size=SIZE),
            "p_men": rng.uniform(0.1, 0.4, SIZE),
            "p_women": rng.uniform(0.1, 0.4, SIZE),
        }
    )


def read(table: pd.DataFrame, **options: Any) -> Experiment:
    roles: dict[str, Any] = {"covariates": ["age"]} | options
    return bu.read_experiment(table, arm="group", control="none", outcome="spend", kind="continuous", **roles)


def test_columns_go_to_their_treatments_whatever_the_order_in_which_they_are_named(table: pd.DataFrame) -> None:
    for named in (BOTH, dict(reversed(BOTH.items()))):
        found = read(table, propensity=named).propensity
        assert found is not None
        np.testing.assert_array_equal(found, table[["p_men", "p_women"]])
        assert not found.flags.writeable
    given = read(table).with_propensity(table[["p_men", "p_women"]])
    assert Units.of(given).fingerprint == Units.of(read(table, propensity=BOTH)).fingerprint
    exchanged = read(table, propensity={"men": "p_women", "women": "p_men"})
    assert len({Units.of(one).fingerprint for one in (given, exchanged, read(table))}) == 3
    np.testing.assert_array_equal(copy.deepcopy(given).propensity, given.propensity)


def test_numbers_name_arms_as_they_name_the_control(table: pd.DataFrame) -> None:
    numbered = table.assign(group=np.arange(SIZE) % 3)
    roles: dict[str, Any] = {"outcome": "spend", "kind": "continuous", "covariates": ["age"]}
    found = bu.read_experiment(numbered, arm="group", control=0, propensity={2: "p_women", 1: "p_men"}, **roles)
    np.testing.assert_array_equal(found.propensity, table[["p_men", "p_women"]])


def test_a_mapping_of_two_arms_is_their_one_column(table: pd.DataFrame) -> None:
    two = table[table["group"] != "women"]
    one, same = (Units.of(read(two, propensity=named)) for named in ("p_men", {"men": "p_men"}))
    assert one.fingerprint == same.fingerprint
    assert same.experiment.propensity is not None
    assert same.experiment.propensity.ndim == 1


@pytest.mark.parametrize(
    ("named", "kind", "said"),
    [
        ("p_men", ArgumentError, r"there are 3 arms; .* order men, women, or read_experiment.*\{'men': 'its column'"),
        ({"men": "p_men"}, ArgumentError, r"a column for men; expected one for each of men, women. .*'none', is what"),
        (BOTH | {"none": "age"}, ArgumentError, "a column for men, women, none; expected"),
        ({}, ArgumentError, "a column for no arm; expected"),
        (BOTH | {"mem": "spare"}, ArmNotFoundError, "no arm named 'mem'.*Did you mean 'men'"),
        ({"men": "p_men", "women": "p_men"}, ArgumentError, "'p_men' is named as propensity of men and as propensity"),
        ({"men": "p_men", "women": "p_wimen"}, ColumnNotFoundError, r"'p_wimen' \(propensity of women\).*'p_women'"),
        (["p_men", "p_women"], ArgumentError, "expected its name as text"),
    ],
)
def test_columns_that_do_not_fit_the_treatments_are_refused(
    table: pd.DataFrame, named: Any, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        read(table.assign(spare=0.2), propensity=named, covariates=[])


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("p_women", np.nan, r"'p_women' \(propensity of women\) is missing in 1 of 60 rows, first in data row 5"),
        ("p_women", 0.0, r"propensity of 'women' is not strictly between 0 and 1 in 1 of 60 rows, first in data row 5"),
        (
            "p_men",
            1.5,
            r"propensity of 'men' is not strictly between 0 and 1 in 1 of 60 rows, first in data row 5 \(1.5",
        ),
        ("p_men", 0.95, r"add up to 1 or more in 1 of 60 rows, first in data row 5 \(1\.\d+\), and leave nothing"),
    ],
)
def test_numbers_that_are_no_propensities_are_refused(
    table: pd.DataFrame, column: str, value: float, said: str
) -> None:
    table.loc[4, column] = value
    with pytest.raises(DataError, match=said):
        read(table, propensity=BOTH)


def test_a_sum_that_rounding_leaves_below_one_is_refused(table: pd.DataFrame) -> None:
    four = table.assign(group=np.array(["none", "a", "b", "c"])[np.arange(SIZE) % 4])
    assert 0.6 + 0.3 + 0.1 < 1.0
    with pytest.raises(DataError, match="add up to 1 or more in 60 of 60 rows"):
        read(four).with_propensity(np.tile([0.6, 0.3, 0.1], (SIZE, 1)))
    read(four).with_propensity(np.tile([0.6, 0.3, 0.1 - 1e-12], (SIZE, 1)))


def test_an_array_of_another_shape_is_refused(table: pd.DataFrame) -> None:
    given, half = read(table), np.full((SIZE, 2), 0.25)
    for wrong in (half[:-1], np.full((SIZE, 3), 0.25), half.T, half[..., None], np.float64(0.25)):
        with pytest.raises(DataError, match=r"has the shape .*; expected \(60, 2\).* men, women, .* 'none', is what"):
            given.with_propensity(wrong)
    with pytest.raises(ArgumentError, match="there are 3 arms"):
        given.with_propensity(half[:, 0])
    two = read(table[table["group"] != "women"])
    with pytest.raises(DataError, match="propensity differ in shape"):
        two.with_propensity(half[: len(two), :1])


def test_cells_keep_none_of_several_arms_and_say_so(table: pd.DataFrame) -> None:
    with pytest.raises(ArgumentError, match=r"for each of men, women, and cells keep that of two arms only"):
        read(table, propensity=BOTH).cells()
    assert not read(table).cells().has_propensity


def test_a_covariate_called_as_a_column_of_new_units_is_refused(table: pd.DataFrame) -> None:
    # the bare name too: Shapley values tell of the propensities of all treatments under it
    for name in ("propensity_women", "propensity"):
        named = table.assign(**{name: table["age"]})
        check_limits(Units.of(read(named, covariates=[name])))
        with pytest.raises(DataError, match=f"a covariate or segment called '{name}'"):
            check_limits(Units.of(read(named, covariates=[name], propensity=BOTH)))


def test_new_units_have_a_column_for_each_treatment(table: pd.DataFrame) -> None:
    coding = Coding.of(read(table).covariates)
    asked = columns_asked_for(["men", "women"])
    new = table.rename(columns={"p_women": "propensity_women", "p_men": "propensity_men"})
    found = coded_units(new, coding, propensity=asked).propensity
    np.testing.assert_array_equal(found, table[["p_men", "p_women"]])
    with pytest.raises(ColumnNotFoundError, match=r"'propensity_women' \(propensity of women\)"):
        coded_units(new.drop(columns="propensity_women"), coding, propensity=asked)
    with pytest.raises(DataError, match="add up to 1 or more in 60 of 60 rows"):
        coded_units(new.assign(propensity_women=0.95), coding, propensity=asked)
