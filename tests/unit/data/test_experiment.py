from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bayesuplift.data.design import Design
from bayesuplift.data.experiment import Experiment
from bayesuplift.data.readers import read_cells, read_experiment
from bayesuplift.errors import ArgumentError, DataError, DataWarning, FactorNotFoundError
from tests.support.engines import ENGINES, in_engine


@pytest.fixture
def table() -> pd.DataFrame:
    generator = np.random.default_rng(5)
    rows = 200
    return pd.DataFrame(
        {
            "customer": [f"c{i}" for i in range(rows)],
            "group": generator.choice(["control", "offer"], rows),
            "age": generator.normal(40, 9, rows),
            "member": generator.integers(0, 2, rows).astype(bool),
            "channel": generator.choice(["Web", "Phone"], rows),
            "arm": generator.choice(["x", "y"], rows),
            "spend": np.round(generator.exponential(10, rows), 2) * generator.integers(0, 2, rows),
            "chance": generator.uniform(0.1, 0.9, rows),
        }
    )


def read(source: Any, **options: Any) -> Experiment:
    roles: dict[str, Any] = {"arm": "group", "control": "control", "outcome": "spend", "kind": "revenue"}
    return read_experiment(source, **(roles | options))


@pytest.mark.parametrize("engine", ENGINES)
def test_units_come_in_the_order_of_the_rows(table: pd.DataFrame, engine: str, tmp_path: Path) -> None:
    units = read(
        in_engine(table, engine, tmp_path),
        unit="customer",
        covariates=["age", "member", "channel"],
        segments=["channel", "arm"],
        propensity="chance",
    )
    assert len(units) == len(table)
    assert units.unit is not None
    if engine == "pyspark":  # whose rows have no order of their own
        table = table.set_index("customer").loc[units.unit.tolist()].reset_index()
    assert units.unit.tolist() == table.customer.tolist()
    assert units.arm.tolist() == (table.group == "offer").astype(int).tolist()
    assert units.outcome.tolist() == table.spend.tolist()
    assert units.covariates["age"].tolist() == table.age.tolist()
    assert units.covariates["member"].tolist() == table.member.astype(float).tolist()
    assert units.covariates["channel"].tolist() == table.channel.tolist()
    assert units.segments["arm"].tolist() == table["arm"].tolist()
    assert units.propensity is not None
    assert units.propensity.tolist() == table.chance.tolist()


@pytest.mark.parametrize("segments", [(), ("channel",), ("arm", "channel")])
def test_cells_of_units_equal_cells_of_the_table(table: pd.DataFrame, segments: tuple[str, ...]) -> None:
    units = read(table, segments=["arm", "channel"])
    direct = read_cells(table, arm="group", control="control", outcome="spend", kind="revenue", segments=segments)
    assert units.cells(segments) == direct
    assert units.cells().by(*segments) == direct


def test_cells_of_an_unknown_factor_are_refused(table: pd.DataFrame) -> None:
    with pytest.raises(FactorNotFoundError, match=r"'chanel'\. Factors: channel\. Did you mean 'channel'"):
        read(table, segments="channel").cells(["chanel"])


def test_arrays_cannot_be_written(table: pd.DataFrame) -> None:
    units = read(table, covariates=["age"], segments=["channel"])
    for array in (units.arm, units.outcome, units.covariates["age"], units.segments["channel"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]
    with pytest.raises(TypeError):
        units.covariates["new"] = units.outcome  # type: ignore[index]


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("age", None, r"'age' \(covariate\) is missing, empty or not finite in 1 of 200 rows, first in data row 5"),
        ("age", np.inf, r"'age' \(covariate\) .* in 1 of 200 rows, first in data row 5"),
        ("channel", None, r"'channel' \(covariate\) .* in 1 of 200 rows, first in data row 5"),
    ],
)
def test_a_covariate_that_is_not_complete_is_refused(table: pd.DataFrame, column: str, value: Any, words: str) -> None:
    table.loc[4, column] = value
    with pytest.raises(DataError, match=words):
        read(table, covariates=["age", "channel"])


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 1.5])
def test_a_propensity_outside_zero_and_one_is_refused(table: pd.DataFrame, value: float) -> None:
    table.loc[4, "chance"] = value
    with pytest.raises(DataError, match=r"propensity is not strictly between 0 and 1 in 1 of 200 rows, .* row 5"):
        read(table, propensity="chance")


def test_a_missing_propensity_is_refused(table: pd.DataFrame) -> None:
    table.loc[4, "chance"] = np.nan
    with pytest.raises(DataError, match=r"'chance' \(propensity\) is missing in 1 of 200 rows, first in data row 5"):
        read(table, propensity="chance")


def test_one_propensity_does_not_describe_three_arms(table: pd.DataFrame) -> None:
    table.loc[:50, "group"] = "gift"
    with pytest.raises(ArgumentError, match="there are 3 arms"):
        read(table, propensity="chance")


def test_a_constant_outcome_is_warned_of(table: pd.DataFrame) -> None:
    table.loc[table.group == "offer", "spend"] = 3.0
    with pytest.warns(DataWarning, match=r"'spend' is constant in offer \(always 3\)"):
        read(table)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"arm": np.array([0, 1])}, "differ in shape"),
        ({"arm": np.array([0, 1, 2])}, "outside 0 to 1"),
        ({"arm": np.array([0.0, 1.0, 1.0])}, "whole numbers"),
        (
            {"outcome": np.array([0.0, np.nan, 1.0])},
            r"not valid for the kind 'binary' in 1 of 3 rows, .* row 2 \(nan\)",
        ),
        ({"outcome": np.array([0.0, 2.0, 1.0])}, r"row 2 \(2\)"),
        ({"unit": np.array(["a", "a", "b"])}, "a unit comes twice"),
        ({"covariates": {"x": np.array([1.0])}}, "x differ in shape"),
        ({"arm": np.array([], int), "outcome": np.array([])}, "no units"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(fields: dict[str, Any], words: str) -> None:
    plain: dict[str, Any] = {"arm": np.array([0, 1, 1]), "outcome": np.array([0.0, 1.0, 1.0])}
    design = Design(arms=("control", "offer"), control="control")
    with pytest.raises(DataError, match=words):
        Experiment(design=design, kind="binary", outcome_name="y", **(plain | fields))
