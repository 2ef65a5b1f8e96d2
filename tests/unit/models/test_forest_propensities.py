"""A causal forest of three arms that follow the level: with the propensities of both treatments among its covariates."""

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import softmax
from scipy.stats import sem

import bayesuplift as bu
from bayesuplift.data.design import Design
from bayesuplift.errors import ArgumentError, ColumnNotFoundError, DataError
from tests.support.forests import SMALL
from tests.support.worlds import seed_of

UNITS = 600
BOTH = {"first": "propensity_first", "second": "propensity_second"}
LENGTH: dict[str, Any] = {"chains": 4, "draws": 100, "warmup": 200, "progress": False, "sensitivity": False}


@functools.cache
def world() -> tuple[pd.DataFrame, np.ndarray]:
    """Units, and effects (unit, treatment): who would spend much gets the first, who would spend little the second."""
    rng = np.random.default_rng(seed_of("three arms that follow the level"))
    recency, history = rng.integers(1, 13, UNITS), rng.uniform(-1.7, 1.7, UNITS)
    level = 5.0 + 1.5 * history
    chance = softmax(np.column_stack([np.zeros(UNITS), 0.8 * history, -0.8 * history]), axis=1)
    arm = (rng.random(UNITS)[:, None] > chance.cumsum(axis=1)).sum(axis=1)
    effect = np.column_stack([np.where(recency <= 6, 3.0, 1.0), np.ones(UNITS)])
    outcome = level + np.where(arm > 0, effect[np.arange(UNITS), arm - 1], 0.0) + rng.normal(size=UNITS)
    table = pd.DataFrame({"arm": np.array(["none", "first", "second"])[arm], "spend": outcome})
    columns = {"recency": recency, "history": history, "propensity_first": chance[:, 1]}
    return table.assign(**columns, propensity_second=chance[:, 2]), effect


def experiment(**options: Any) -> bu.Experiment:
    return bu.read_experiment(
        world()[0],
        arm="arm",
        control="none",
        outcome="spend",
        kind="continuous",
        covariates=["recency", "history"],
        assignment="observational",
        **options,
    )


@functools.cache
def fitted() -> xr.DataTree:
    return bu.fit("bayesian_causal_forest", experiment(propensity=BOTH), seed=2, prior=SMALL, **LENGTH)


def test_effects_are_near_the_truth_where_arms_follow_the_level() -> None:
    tree, (table, truth) = fitted(), world()
    average, spend = bu.ate(tree), {name: table["spend"].to_numpy()[table["arm"] == name] for name in set(table["arm"])}
    for k, name in enumerate(["first", "second"]):
        found = average.sel(arm=name)
        assert abs(float(found.mean()) - truth[:, k].mean()) < 4.0 * float(found.std())
        # planted: the difference of the arms' means
        naive = spend[name].mean() - spend["none"].mean()
        assert abs(naive - truth[:, k].mean()) > 4.0 * np.hypot(sem(spend[name]), sem(spend["none"]))
    drawn = bu.cate(tree).mean(("chain", "draw")).sel(arm="first").to_numpy()
    assert np.sqrt(((drawn - truth[:, 0]) ** 2).mean()) < 0.3 * truth[:, 0].std()


def test_trees_of_the_level_may_ask_for_either_propensity() -> None:
    asked = fitted()["posterior"].to_dataset()["propensity_inclusion"]
    assert asked.dims == ("chain", "draw", "treatment")
    assert (asked.mean(("chain", "draw")) > 0.0).all()
    assert fitted()["posterior"]["effect_inclusion"].sizes["covariate"] == 2


def test_a_stored_fit_asks_for_the_propensity_of_every_treatment(tmp_path: Path) -> None:
    bu.save(fitted(), tmp_path / "forest.nc")
    tree, rows = bu.load(tmp_path / "forest.nc"), [5, 77, 310]
    new = world()[0].iloc[rows].drop(columns=["arm", "spend"])
    there = bu.predict(tree, new, seed=1)["posterior"]["mean_outcome"].to_numpy()
    seen = fitted()["posterior"]["mean_outcome"].isel(unit=rows).to_numpy()
    # sums of eighty float32 leaves, moved along with the chain in one place and added up in another
    np.testing.assert_allclose(there, seen, rtol=2e-5)
    # planted: each propensity in the other's column
    exchanged = {"propensity_first": new["propensity_second"], "propensity_second": new["propensity_first"]}
    other = bu.predict(tree, new.assign(**exchanged), seed=1)["posterior"]["mean_outcome"].to_numpy()
    assert np.abs(other - seen).max() > 0.1
    with pytest.raises(ColumnNotFoundError, match=r"'propensity_second' \(propensity of second\)"):
        bu.predict(tree, new.drop(columns="propensity_second"), seed=1)
    with pytest.raises(DataError, match="add up to 1 or more in 3 of 3 rows"):
        bu.predict(tree, new.assign(propensity_first=0.6, propensity_second=0.4), seed=1)


def test_propensities_of_all_treatments_explain_an_effect_together() -> None:
    table = world()[0].drop(columns=["arm", "spend"])
    others = experiment(propensity=BOTH)
    found = bu.shapley_values(fitted(), table.head(2), background=others, arm="first", samples=50, seed=1)
    assert found.draws["covariate"].to_numpy().tolist()[-1] == "propensity"
    # effects here do not ask for propensities: nothing is theirs, up to sums of float32 that took another path
    assert float(abs(found.draws.sel(covariate="propensity")).max()) < 1e-4
    assert float(abs(found.table["mean"].drop_sel(covariate="propensity")).max()) > 0.05
    pair = replace(
        others,
        design=Design(arms=("none", "first"), control="none"),
        arm=np.minimum(others.arm, 1),
        propensity=np.full(UNITS, 0.4),
    )
    for given, words in ((replace(others, propensity=None), "none"), (pair, "those of first")):
        with pytest.raises(ArgumentError, match=f"background: .* of first, second, and the experiment has {words}"):
            bu.shapley_values(fitted(), table.head(2), background=given, arm="first", samples=50, seed=1)
    row = table.iloc[0]
    shown = f"{row['propensity_first']:.4g}, {row['propensity_second']:.4g}"
    assert found.values.sel(covariate="propensity").to_numpy()[0] == shown


def test_estimates_of_three_arms_go_into_the_fit_and_into_predictions() -> None:
    given, short = experiment(), LENGTH | {"draws": 10, "warmup": 10}
    with pytest.raises(ArgumentError, match=r"bu\.propensity"):
        bu.fit("bayesian_causal_forest", given, seed=1, prior=SMALL, **short)
    estimated = bu.propensity(given, seed=1)
    # as many units and columns as of the other fit: no program is compiled for this one
    tree = bu.fit("bayesian_causal_forest", given.with_propensity(estimated.estimates), seed=1, prior=SMALL, **short)
    new = world()[0].head(3)
    there = estimated.predict(new)
    new = new.assign(propensity_first=there[:, 0], propensity_second=there[:, 1])
    assert np.isfinite(bu.predict(tree, new, seed=1)["posterior"]["mean_outcome"].to_numpy()).all()


@functools.cache
def where_effects_follow() -> tuple[pd.DataFrame, np.ndarray]:
    """The units, where the first treatment has an effect of 2 for who is likely to get it; history is not told."""
    table, _ = world()
    likely = table["propensity_first"].to_numpy() > 0.35
    rng = np.random.default_rng(seed_of("effects that follow the propensity"))
    spend = rng.normal(5.0 + 2.0 * likely * (table["arm"] == "first"), 1.0)
    return table.drop(columns="history").assign(spend=spend), 2.0 * likely


@functools.cache
def followed(*, shuffled: bool = False) -> xr.DataTree:
    """A fit whose effects may follow the propensities; of propensities that belong to other units, where shuffled."""
    table, _ = where_effects_follow()
    both = {name: f"propensity_{name}" for name in ("first", "second")}
    order = np.random.default_rng(seed_of("shuffled")).permutation(UNITS) if shuffled else np.arange(UNITS)
    table = table.assign(**{column: table[column].to_numpy()[order] for column in both.values()})
    roles: dict[str, Any] = {"arm": "arm", "control": "none", "outcome": "spend", "kind": "continuous"}
    given = bu.read_experiment(table, covariates=["recency"], propensity=both, assignment="observational", **roles)
    prior = replace(SMALL, propensity_in_effect=True)
    return bu.fit("bayesian_causal_forest", given, seed=3, prior=prior, **LENGTH)


def test_effects_may_follow_the_propensity() -> None:
    tree, truth = followed(), where_effects_follow()[1]
    drawn = bu.cate(tree).mean(("chain", "draw")).sel(arm="first").to_numpy()
    assert np.sqrt(((drawn - truth) ** 2).mean()) < 0.5 * truth.std()
    # planted: propensities that belong to other units
    other = bu.cate(followed(shuffled=True)).mean(("chain", "draw")).sel(arm="first").to_numpy()
    assert np.sqrt(((other - truth) ** 2).mean()) > 0.9 * truth.std()
    asked = tree["posterior"].to_dataset()["effect_propensity_inclusion"]
    assert asked.dims == ("chain", "draw", "treatment", "other_treatment")
    of_first = asked.mean(("chain", "draw")).sel(treatment="first")
    assert float(of_first.sel(other_treatment="first")) > float(of_first.sel(other_treatment="second"))
    assert tree["posterior"]["effect_inclusion"].sizes["covariate"] == 1
    assert "effects may follow the propensity" in tree.attrs["prior"]


def test_a_stored_fit_asks_new_units_for_the_propensity_that_effects_follow(tmp_path: Path) -> None:
    bu.save(followed(), tmp_path / "forest.nc")
    tree, rows = bu.load(tmp_path / "forest.nc"), [5, 77, 310]
    new = where_effects_follow()[0].iloc[rows].drop(columns=["arm", "spend"])
    there = bu.predict(tree, new, seed=1)["posterior"]["mean_outcome"]
    # sums of eighty float32 leaves, moved along with the chain in one place and added up in another
    np.testing.assert_allclose(there, followed()["posterior"]["mean_outcome"].isel(unit=rows), rtol=2e-5)
    # the same units, were they likely and unlikely to get the first treatment
    effects = [
        bu.cate(bu.predict(tree, new.assign(propensity_first=chance, propensity_second=0.2), seed=1)).sel(arm="first")
        for chance in (0.6, 0.1)
    ]
    assert (effects[0].mean(("chain", "draw")) - effects[1].mean(("chain", "draw")) > 1.0).all()


def test_effects_that_follow_a_propensity_need_one() -> None:
    trial = bu.read_experiment(
        world()[0], arm="arm", control="none", outcome="spend", kind="continuous", covariates=["recency"]
    )
    with pytest.raises(ArgumentError, match="no propensity for effects to follow"):
        bu.fit("bayesian_causal_forest", trial, seed=1, prior=replace(SMALL, propensity_in_effect=True), **LENGTH)
