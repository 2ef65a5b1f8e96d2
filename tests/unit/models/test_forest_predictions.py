"""Whether a causal forest would have made its outcomes: right where it would, and wrong in the way that was planted.

Units, covariates and trees are as many as in `test_forest_refusals.py`: the files share a compiled program.
"""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesuplift as bu
from tests.support.forests import TINY
from tests.support.worlds import seed_of

UNITS = 240


def world(fault: str = "") -> pd.DataFrame:
    """Steps in age and levels by channel, which trees can tell, and noise of standard deviation 1."""
    rng = np.random.default_rng(seed_of("a forest's predictions"))
    age, income, arm = rng.normal(50.0, 10.0, UNITS), rng.normal(size=UNITS), np.arange(UNITS) % 2
    channel = rng.choice(["Multi", "Phone", "Web"], UNITS)
    noise = rng.normal(size=UNITS)
    if fault == "heavy tails":
        noise = rng.standard_t(2.0, UNITS)
    if fault == "other noise for the old":
        noise *= np.where(age > 50.0, 1.5, 0.5)
    if fault == "a covariate that was left out":
        noise += 1.5 * (income > 0.0)
    level = 10.0 + (age > 50.0) + 0.7 * (channel == "Web") + arm * (0.5 + (age > 55.0))
    arms = np.where(arm == 1, "offer", "none")
    return pd.DataFrame({"age": age, "channel": channel, "income": income, "arm": arms, "spend": level + noise})


def read(table: pd.DataFrame, *covariates: str) -> bu.Experiment:
    roles: dict[str, Any] = {"arm": "arm", "control": "none", "outcome": "spend", "kind": "continuous"}
    return bu.read_experiment(table, covariates=covariates, **roles)


def fitted(table: pd.DataFrame) -> xr.DataTree:
    length: dict[str, Any] = {"chains": 2, "draws": 100, "warmup": 100, "progress": False}
    return bu.fit("bayesian_causal_forest", read(table, "age", "channel"), seed=1, prior=TINY, **length)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("", set()),
        ("heavy tails", {"largest_residuals"}),
        ("other noise for the old", {"spread_of_residuals"}),
        ("a covariate that was left out", {"means_by_covariate"}),
    ],
)
def test_a_forest_fails_the_check_that_is_meant_for_its_fault(fault: str, expected: set[str]) -> None:
    table = world(fault)
    tree = fitted(table)
    found = bu.predictive_check(tree, read(table, "age", "channel", "income"), seed=1)
    failed = {check.name for check in found if not check.passed}
    assert expected <= failed
    # few outcomes far from the rest make a spread, and a shape, of their own
    assert failed <= expected | ({"spread_of_residuals", "shape_of_residuals"} if fault == "heavy tails" else set())


def test_units_of_another_experiment_are_refused() -> None:
    tree = fitted(world())
    with pytest.raises(bu.errors.ArgumentError, match="the posterior was fitted on other data than this experiment"):
        bu.predictive_check(tree, read(world("heavy tails"), "age", "channel"), seed=1)
