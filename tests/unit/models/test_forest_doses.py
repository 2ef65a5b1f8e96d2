"""Arms that are doses of one treatment: one effect for all, per unit of dose.

Units, covariates and trees are as many as in `test_forest_refusals.py`: the two files share a compiled program.
"""

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.errors import ArgumentError
from bayesuplift.priors import ForestPrior
from bayesuplift.report.unit_responders import unit_responders
from tests.support.forests import TINY
from tests.support.worlds import seed_of

UNITS = 240
DOSES = np.array([0, 5, 10, 20])
BY_DOSE = replace(TINY, coding="dose")
LENGTH: dict[str, Any] = {"chains": 2, "draws": 800, "warmup": 400, "progress": False, "sensitivity": False}
OTHER_DOSES = {0: 0, 5: 20, 10: 5, 20: 10}


@functools.cache
def world() -> tuple[pd.DataFrame, np.ndarray]:
    """Units under discounts of four sizes, and the effects (unit, treatment): a point of discount does more for the old."""
    rng = np.random.default_rng(seed_of("doses of a forest"))
    age, channel = rng.normal(50.0, 10.0, UNITS), rng.choice(["Multi", "Phone", "Web"], UNITS)
    dose, per_point = rng.permutation(np.arange(UNITS) % 4), np.where(age > 50.0, 0.15, 0.05)
    level = 5.0 + 0.1 * age + (channel == "Web")
    outcome = level + DOSES[dose] * per_point + rng.normal(0.0, 1.0, UNITS)
    table = pd.DataFrame({"age": age, "channel": channel, "discount": DOSES[dose], "spend": outcome})
    return table, per_point[:, None] * DOSES[1:]


def fitted(doses: Any = None, prior: ForestPrior = BY_DOSE, *, control: Any = 0, **length: Any) -> xr.DataTree:
    """One fit, where arms are called by other doses than their own if these are given."""
    table, _ = world()
    given = bu.read_experiment(
        table if doses is None else table.assign(discount=table["discount"].map(doses)),
        arm="discount",
        control=control,
        outcome="spend",
        kind="continuous",
        covariates=["age", "channel"],
    )
    return bu.fit("bayesian_causal_forest", given, seed=seed_of("doses"), prior=prior, **LENGTH | length)


@functools.cache
def by_dose() -> xr.DataTree:
    return fitted()


@contextlib.contextmanager
def hardly_optimised() -> Iterator[None]:
    """Compile in half the time: a program that serves one short fit is not worth more."""
    jax.config.update("jax_disable_most_optimizations", True)  # noqa: FBT003 -- JAX's own signature
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", False)  # noqa: FBT003


def effects(tree: xr.DataTree) -> np.ndarray:
    """Draws (unit, treatment, draw)."""
    found = bu.cate(tree).transpose("unit", "arm", "chain", "draw").to_numpy()
    return found.reshape(*found.shape[:2], -1)


def error(tree: xr.DataTree, columns: tuple[int, ...] = (0, 1, 2)) -> float:
    """Root mean squared error of effects, where these columns are those of doses 5, 10 and 20."""
    return float(np.sqrt(((effects(tree).mean(2)[:, columns] - world()[1]) ** 2).mean()))


def test_effects_are_near_the_truth_in_proportion_to_doses_and_their_bounds_hold_it() -> None:
    drawn, truth = effects(by_dose()), world()[1]
    assert error(by_dose()) < 0.5 * truth.std()
    lower, upper = np.quantile(drawn, [0.025, 0.975], axis=2)
    assert ((lower < truth) & (truth < upper)).mean() > 0.85
    # differences of float32 numbers near 10
    np.testing.assert_allclose(drawn[:, :2] * 20.0 / DOSES[1:3, None], drawn[:, 2:].repeat(2, axis=1), atol=2e-5)


def test_doses_that_share_an_effect_have_a_smaller_error_than_arms_with_effects_of_their_own() -> None:
    with hardly_optimised():
        apart = error(fitted(prior=TINY))
    assert error(by_dose()) < apart
    # planted: arms whose labels say another dose
    assert error(fitted(OTHER_DOSES), columns=(2, 0, 1)) > 1.5 * apart


def test_doses_that_differ_from_unit_to_unit_are_rounded_to_many_arms() -> None:
    rng, table = np.random.default_rng(seed_of("any discount")), world()[0]
    dose, per_point = np.round(rng.uniform(0.0, 20.0, UNITS) * 2.0) / 2.0, np.where(table["age"] > 50.0, 0.15, 0.05)
    spend = 5.0 + 0.1 * table["age"] + (table["channel"] == "Web") + dose * per_point + rng.normal(size=UNITS)

    def far(told: np.ndarray) -> float:
        given = bu.read_experiment(
            table.assign(discount=told, spend=spend),
            arm="discount",
            control=0.0,
            outcome="spend",
            kind="continuous",
            covariates=["age", "channel"],
        )
        tree = bu.fit("bayesian_causal_forest", given, seed=1, prior=BY_DOSE, **LENGTH | {"draws": 300})
        found = bu.cate(tree).sel(arm="20.0").mean(("chain", "draw")).to_numpy() / 20.0
        assert tree["posterior"].sizes["arm"] > 35
        return float(np.sqrt(((found - per_point) ** 2).mean()))

    assert far(dose) < 0.7 * per_point.std()
    # planted: doses of other units
    assert far(rng.permutation(dose)) > 1.3 * per_point.std()


def test_the_unit_of_dose_changes_nothing() -> None:
    short: dict[str, Any] = {"draws": 10, "warmup": 10}
    of_points, of_shares = fitted(**short), fitted({0: 0.0, 5: 0.05, 10: 0.1, 20: 0.2}, control=0.0, **short)
    expected = of_points["posterior"]["mean_outcome"].to_numpy()
    np.testing.assert_allclose(of_shares["posterior"]["mean_outcome"].to_numpy(), expected, rtol=2e-6)


def test_effects_are_those_against_the_control_also_where_it_is_no_smallest_dose() -> None:
    found = fitted(control=10)
    assert found["posterior"]["arm"].to_numpy().tolist() == ["10", "0", "5", "20"]
    truth = world()[1][:, :1] / 5.0 * (np.array([0, 5, 20]) - 10)
    assert np.sqrt(((effects(found).mean(2) - truth) ** 2).mean()) < 0.5 * truth.std()


def test_a_posterior_of_doses_is_laid_out_reported_stored_and_predicted_as_every_models(tmp_path: Path) -> None:
    tree = by_dose()
    draws = tree["posterior"].to_dataset()
    assert draws["mean_outcome"].dims == ("chain", "draw", "unit", "arm")
    assert draws["average_effect"].dims == ("chain", "draw", "treatment")
    assert draws["treatment"].to_numpy().tolist() == ["5", "10", "20"]
    assert draws["effect_inclusion"].dims == ("chain", "draw", "covariate")
    asked = draws["effect_inclusion"].mean(("chain", "draw"))
    assert asked["covariate"].to_numpy()[asked.to_numpy().argmax()] == "age"
    assert "coding dose" in tree.attrs["prior"]
    assert float(bu.choose_arm(tree, threshold_of_caring=0.1).prob_best.sel(arm="20")) > 0.95
    facts = unit_responders(tree, bu.Standards(threshold_of_caring=0.1), None)
    assert facts is not None
    assert [one["arm"] for one in facts["arms"]] == ["5", "10", "20"]
    assert not facts["covariates"]["by_arm"]
    assert facts["covariates"]["rows"][0]["covariate"] == "age"

    bu.save(tree, tmp_path / "doses.nc")
    again = bu.load(tmp_path / "doses.nc")
    assert again["posterior"].to_dataset().identical(draws)
    some = world()[0].iloc[[3, 77, 110]][["age", "channel"]]
    there = bu.predict(again, some, seed=1)["posterior"]["mean_outcome"]
    seen = draws["mean_outcome"].isel(unit=[3, 77, 110])
    # sums of fifteen float32 leaves, moved along with the chain in one place and added up in another
    np.testing.assert_allclose(there.to_numpy(), seen.to_numpy(), rtol=2e-5)


@pytest.mark.parametrize(
    ("doses", "said"),
    [
        ({0: "0", 5: "5%", 10: "10", 20: "20"}, "'5%' is not a finite number; label the arms by"),
        ({0: "0", 5: "inf", 10: "10", 20: "20"}, "'inf' is not a finite number"),
        ({0: "0", 5: "5_0", 10: "10", 20: "20"}, "'5_0' is not a finite number"),
        ({0: "0", 5: "5.0", 10: "5", 20: "20"}, "arms '5' and '5.0' are the same dose, 5; give them one label"),
        ({0: "0", 5: "1e308", 10: "10", 20: "-1e308"}, "reach 1e.308 from the control's, '0'.* larger units"),
        ({0: "0", 5: "1e-11", 10: "2e-11", 20: "3e-11"}, "reach 3e-11 from .* smaller units"),
    ],
)
def test_labels_that_are_no_doses_are_refused(doses: Any, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        fitted(doses, control="0")
