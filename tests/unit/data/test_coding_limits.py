"""Text as columns: which is refused because it would become too many, and levels that the fit never saw."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from bayesuplift.data import coding as module
from bayesuplift.data.coding import Coding, Column
from bayesuplift.data.design import Design
from bayesuplift.data.experiment import Experiment
from bayesuplift.data.unit_table import coded_units
from bayesuplift.data.units import Units
from bayesuplift.errors import DataError, DataWarning


def levels(count: int, units: int) -> np.ndarray:
    return np.array([f"c{k}" for k in range(count)])[np.arange(units) % count]


def test_as_many_levels_as_may_be_become_columns_and_one_more_is_refused() -> None:
    assert len(Coding.of({"store": levels(1000, 4000)}).columns) == 1000
    with pytest.raises(
        DataError, match=r"'store' \(covariate\) has 1,001 levels; expected at most 1,000 .* segment factor"
    ):
        Coding.of({"store": levels(1001, 4000)})


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        (levels(60, 60), "leave it out; group its levels"),
        (np.array([f"{k}.5" for k in range(60)]), "leave it out; convert the column to numbers; else group"),
        (np.datetime_as_string(np.datetime64("2024-01-01") + np.arange(60)), "the days since one of them; else group"),
        (np.r_[levels(31, 31), ["a"] * 29], "31 of 60 units have a level of 'name'"),
    ],
)
def test_text_that_names_units_is_refused(values: np.ndarray, advice: str) -> None:
    with pytest.raises(DataError, match=advice):
        Coding.of({"name": values})


def test_text_of_which_half_the_units_share_levels_is_taken() -> None:
    assert len(Coding.of({"name": np.r_[levels(30, 30), ["a"] * 30]}).columns) == 31


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (np.array([f"{k}" for k in range(13)]), "spells numbers.*convert the column to numbers"),
        (np.datetime_as_string(np.datetime64("2024-01-01") + np.arange(13)), "spells dates.*the days since"),
    ],
)
def test_many_levels_that_spell_numbers_or_dates_are_told(text: np.ndarray, said: str) -> None:
    with pytest.warns(DataWarning, match=said):
        found = Coding.of({"when": np.repeat(text, 3)})
    assert len(found.columns) == 13
    # a few of them may well be levels
    assert len(Coding.of({"when": np.repeat(text[:12], 3)}).columns) == 12


def test_columns_of_one_name_are_refused() -> None:
    both = {"x": np.array(["1", "2", "3"] * 2), "x=1": np.arange(6.0)}
    with pytest.raises(DataError, match="'x=1' would name a covariate and the level of another"):
        Coding.of(both)


def test_too_many_numbers_are_refused_before_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"store": levels(20, 100), "age": np.arange(100.0)}
    found = Coding.of(given)
    monkeypatch.setattr(module, "LARGEST", 100 * 21)
    assert found.apply(given).shape == (100, 21)
    monkeypatch.setattr(module, "LARGEST", 100 * 21 - 1)
    with pytest.raises(
        DataError, match=r"100 units x 21 columns .* 2,100 numbers; .* 'store' alone has 20 .* at most 99 u"
    ):
        found.apply(given)


def test_columns_are_those_of_a_comparison_with_every_level() -> None:
    given = {"store": levels(7, 50), "age": np.arange(50.0), "member": np.array(["no", "yes"])[np.arange(50) % 2]}
    found = Coding.of(given)
    by_hand = [
        given[column.covariate] if column.level is None else given[column.covariate] == column.level
        for column in found.columns
    ]
    np.testing.assert_array_equal(found.apply(given), np.stack(by_hand, axis=1))


CODING = Coding.of({"channel": np.array(["Multi", "Phone", "Web"] * 2), "member": np.array(["no", "yes"] * 3)})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"channel": ["Web", "Fax", "Pager"]}, r"2 of 3 units .* 'channel' .*\(Fax, Pager\): 0 in each of its columns"),
        ({"member": ["no", "yes", "maybe"]}, r"1 of 3 units .* 'member' .*\(maybe\): taken for 'no'"),
    ],
)
def test_levels_that_were_never_seen_are_told(change: dict[str, Any], said: str) -> None:
    seen = pd.DataFrame({"channel": ["Web", "Phone", "Web"], "member": ["no", "yes", "yes"]})
    assert coded_units(seen, CODING).columns.tolist() == [[0, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 1]]
    with pytest.warns(DataWarning, match=said):
        coded_units(seen.assign(**change), CODING)


def test_a_coding_stored_without_its_bases_is_read() -> None:
    old = '[{"covariate": "member", "level": "yes"}, {"covariate": "age", "level": null}]'
    found = Coding.from_json(old)
    assert found.columns == (Column("member", "yes"), Column("age"))
    assert found.to_json() == old
    # which level the other was is not known, so none is told to be new
    assert coded_units(pd.DataFrame({"member": ["no", "maybe"], "age": [1, 2]}), found).columns.tolist() == [
        [0, 1],
        [0, 2],
    ]


@pytest.mark.parametrize("size", [1e300, 1.0, 1e-300, 1e-320])
def test_columns_of_any_size_are_standardised(size: float) -> None:
    values = np.array([1.0, -1.0, 2.0, 4.0, -3.0, 0.0]) * size
    experiment = Experiment(
        design=Design(arms=("control", "offer"), control="control"),
        kind="continuous",
        outcome_name="y",
        arm=np.arange(6) % 2,
        outcome=np.arange(6.0),
        covariates={"x": values, "z": np.arange(6.0)},
    )
    found = Units.of(experiment).standardised[:, 0]
    scaled = values / size
    # numbers near 1e-320 have three digits
    np.testing.assert_allclose(found, (scaled - scaled.mean()) / scaled.std(), rtol=1e-2 if size < 1e-307 else 1e-12)
