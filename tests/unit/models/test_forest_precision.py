"""Causal forests of outcomes that are not equally precise: bounds, what is made of them, and what refuses them."""

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.data.units import Units
from bayesuplift.errors import ArgumentError, DataError
from tests.support.forests import LENGTH, SMALL
from tests.support.worlds import seed_of

UNITS = 500
ROLES: dict[str, Any] = {
    "arm": "arm",
    "control": "none",
    "outcome": "score",
    "kind": "continuous",
    "covariates": ["age"],
}


@functools.cache
def world() -> tuple[pd.DataFrame, np.ndarray]:
    """Shops whose score is a mean of 1 or of 100 visits, with a noise of 3 each, and effects (unit,) that age decides."""
    rng = np.random.default_rng(seed_of("means of a few visits or of many"))
    age, arm = rng.normal(size=UNITS), rng.integers(0, 2, UNITS)
    visits = np.where(rng.random(UNITS) < np.where(age > 0.0, 0.7, 0.3), 1, 100)  # more where effects are none
    effect = np.where(age > 0.0, 2.0, 0.0)
    score = 5.0 + np.abs(age) + arm * effect + rng.normal(0.0, 3.0 / np.sqrt(visits))
    return pd.DataFrame({"age": age, "arm": np.array(["none", "offer"])[arm], "score": score, "visits": visits}), effect


@functools.cache
def read(how: str) -> bu.Experiment:
    table = world()[0]
    if how == "alike":  # as without: it shares the others' compiled program
        table = table.assign(visits=1.0)
    if how == "permuted":
        table = table.assign(visits=np.random.default_rng(1).permutation(table["visits"].to_numpy()))
    if how == "in another unit":
        table = table.assign(visits=table["visits"] / 256.0)
    return bu.read_experiment(table, precision="visits", **ROLES)


@functools.cache
def fitted(how: str) -> xr.DataTree:
    options = LENGTH | {"sensitivity": how == "known"}
    return bu.fit("bayesian_causal_forest", read(how), seed=4, prior=SMALL, **options)


def error(how: str) -> float:
    found = bu.cate(fitted(how)).mean(("chain", "draw")).sel(arm="offer").to_numpy()
    return float(np.sqrt(((found - world()[1]) ** 2).mean()))


def test_effects_rest_on_the_precise_and_the_noise_is_that_of_one_visit() -> None:
    tree = fitted("known")
    assert error("known") < 0.35
    # planted: all taken as equally precise, and precisions of other units
    assert error("alike") > 1.5 * error("known")
    assert error("permuted") > 1.5 * error("known")
    sd = tree["posterior"]["sd"]
    assert abs(float(sd.mean()) - 3.0) < 4.0 * float(sd.std())
    assert float(fitted("alike")["posterior"]["sd"].mean()) < 2.6  # a mixture of 3 and .3
    drawn = bu.cate(tree).sel(arm="offer").transpose("unit", "chain", "draw").to_numpy().reshape(UNITS, -1)
    lower, upper = np.quantile(drawn, [0.025, 0.975], axis=1)
    assert ((lower <= world()[1]) & (world()[1] <= upper)).mean() > 0.85


def test_the_unit_of_precision_moves_the_noise_and_nothing_else() -> None:
    known, other = (fitted(how)["posterior"].to_dataset() for how in ("known", "in another unit"))
    # by 4^4 every product is the same number, and its root by 2^4
    np.testing.assert_array_equal(other["mean_outcome"], known["mean_outcome"])
    np.testing.assert_array_equal(16.0 * other["sd"], known["sd"])


def test_averages_count_every_unit_once_whatever_its_precision() -> None:
    tree = fitted("known")
    of_units = tree["posterior"]["mean_outcome"].mean(("chain", "draw", "unit"), dtype="float64")
    others = tree["alternatives"]["mean_outcome"].mean(("chain", "draw"))
    spread = tree["posterior"]["mean_outcome"].mean("unit", dtype="float64").std(("chain", "draw"))
    assert (abs(others - of_units) < 2.0 * spread).all()
    centred = bu.fit(
        "bayesian_causal_forest", read("known"), seed=4, prior=replace(SMALL, coding="centred"), **LENGTH | {"draws": 8}
    )
    share = float((world()[0]["arm"] == "offer").mean())
    np.testing.assert_allclose(centred["forests"]["coding"].to_numpy().ravel(), [-share, 1.0 - share], rtol=1e-12)


def test_residuals_are_judged_by_each_units_own_noise() -> None:
    checks = {check.name: check for check in bu.predictive_check(fitted("known"), read("known"), seed=1)}
    assert all(check.passed for check in checks.values()), [one.sentence for one in checks.values() if not one.passed]
    # planted: the same posterior, beside units that are told to be alike
    alike = bu.predictive_check(fitted("alike"), read("alike"), seed=1)
    assert "shape_of_residuals" in {check.name for check in alike if not check.passed}


def test_the_prior_is_filled_in_by_weight() -> None:
    given = read("known")
    found = SMALL.resolved(Units.of(given))
    score, visits = (world()[0][name].to_numpy() for name in ("score", "visits"))
    assert found.location == pytest.approx(np.average(score, weights=visits), rel=1e-12)
    spread = np.sqrt(np.average((score - np.average(score, weights=visits)) ** 2, weights=visits))
    assert found.average_sd == pytest.approx(spread, rel=1e-12)
    assert abs(score.std() / spread - 1.0) > 0.2  # planted: alike
    # a unit of one visit: its noise of 3, where a line leaves a part of the effect and of |age|
    assert found.noise_sd is not None
    assert 3.0 < found.noise_sd < 15.0
    alike, without = (SMALL.resolved(Units.of(one)) for one in (read("alike"), replace(given, precision=None)))
    for name in ("location", "noise_sd", "average_sd"):
        assert getattr(alike, name) == pytest.approx(getattr(without, name), rel=1e-12)


def test_what_cannot_take_precisions_says_so() -> None:
    given = read("known")
    with pytest.raises(ArgumentError, match=r"takes all outcomes as equally precise.*'bayesian_causal_forest'"):
        bu.fit("interaction_horseshoe", given, seed=1)
    with pytest.raises(ArgumentError, match="cells count every unit alike"):
        bu.fit("normal", given, seed=1)
    with pytest.raises(ArgumentError, match="start is of another data_fingerprint"):
        bu.fit("bayesian_causal_forest", read("permuted"), seed=4, prior=SMALL, start=fitted("known"), progress=False)


@pytest.mark.parametrize(
    ("precision", "words"),
    [
        (np.r_[1e5, np.ones(UNITS - 1)], r"from 1 to 1e\+05, in data row 1: 500 units .* as 1.0 alike ones. Expected"),
        (np.r_[1e-12, np.ones(UNITS - 1)], "no precision 1e\\+09 times another"),
    ],
)
def test_precisions_that_leave_no_units_to_learn_from_are_refused(precision: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        bu.fit("bayesian_causal_forest", replace(read("known"), precision=precision), seed=1, prior=SMALL)


def test_a_precision_is_no_propensity_to_a_fingerprint() -> None:
    given, half = replace(read("known"), precision=None), np.full(UNITS, 0.5)
    prints = {
        Units.of(one).fingerprint for one in (given, replace(given, precision=half), replace(given, propensity=half))
    }
    assert len(prints) == 3


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"visits": 0}, DataError, r"'visits' \(precision\) is not above 0 in 500 of 500 rows"),
        ({"visits": np.nan}, DataError, r"'visits' \(precision\) is missing in 500"),
        ({"visits": "many"}, DataError, r"'visits' \(precision\)"),
    ],
)
def test_a_column_of_no_precisions_is_refused(change: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        bu.read_experiment(world()[0].assign(**change), precision="visits", **ROLES)


def test_arrays_of_no_precisions_are_refused() -> None:
    given, table = read("known"), world()[0]
    with pytest.raises(DataError, match=r"not above 0 and finite in 1 of 500 rows, first in data row 3 \(-1\)"):
        replace(given, precision=np.where(np.arange(UNITS) == 2, -1.0, 1.0))
    with pytest.raises(DataError, match="precision differ in shape"):
        replace(given, precision=np.ones(3))
    with pytest.raises(ArgumentError, match="only continuous outcomes have one"):
        bu.read_experiment(table.assign(score=1), precision="visits", **ROLES | {"kind": "count"})
