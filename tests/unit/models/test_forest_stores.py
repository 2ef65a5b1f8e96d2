"""The causal forest of several arms and of stores: effects of their own for each, and stores that borrow from the rest."""

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.errors import ArgumentError, ColumnNotFoundError
from tests.support.forests import LENGTH, SMALL
from tests.support.worlds import seed_of


@functools.cache
def stores() -> tuple[pd.DataFrame, np.ndarray]:
    """Units of twelve stores under three arms: effects (unit, treatment) differ by a covariate and by store."""
    rng = np.random.default_rng(seed_of("stores of a forest"))
    size, number = 900, 12
    store, age, arm = rng.integers(0, number, size), rng.normal(size=size), rng.integers(0, 3, size)
    effect = np.column_stack([2.0 * (age > 0.0), np.ones(size)]) + rng.normal(0.0, 0.8, (number, 2))[store]
    level = 5.0 + rng.normal(0.0, 1.0, number)[store] + np.abs(age)
    outcome = level + np.where(arm > 0, effect[np.arange(size), arm - 1], 0.0) + rng.normal(size=size)
    names = {"arm": np.array(["none", "first", "second"])[arm], "store": [f"s{one:02d}" for one in store]}
    return pd.DataFrame({"spend": outcome, "age": age, **names}), effect


@functools.cache
def fitted_stores(*, shuffled: bool = False) -> xr.DataTree:
    """One fit of the stores; with arms that belong to other units, where they are shuffled."""
    table, _ = stores()
    order = np.random.default_rng(seed_of("shuffled")).permutation(len(table)) if shuffled else np.arange(len(table))
    roles: dict[str, Any] = {"arm": "arm", "control": "none", "outcome": "spend", "kind": "continuous"}
    given = bu.read_experiment(
        table.assign(arm=table["arm"].to_numpy()[order]), covariates=["age"], segments=["store"], **roles
    )
    return bu.fit("bayesian_causal_forest", given, seed=5, prior=SMALL, **LENGTH | {"sensitivity": not shuffled})


def error(tree: xr.DataTree, treatment: int, *, without: str | None = None) -> float:
    found = bu.cate(tree).mean(("chain", "draw")).transpose("unit", "arm").to_numpy()[:, treatment]
    if without is not None:
        by_level = tree["posterior"][without].isel(treatment=treatment).mean(("chain", "draw"))
        found = found - by_level.sel(level=["store=" + name for name in stores()[0]["store"]]).to_numpy()
    return float(np.sqrt(((found - stores()[1][:, treatment]) ** 2).mean()))


def test_several_arms_have_their_own_effects_and_stores_borrow_from_each_other() -> None:
    tree, truth = fitted_stores(), stores()[1]
    assert bu.cate(tree)["arm"].to_numpy().tolist() == ["first", "second"]
    for treatment in range(2):
        assert error(tree, treatment) < 0.6 * truth[:, treatment].std()
        # planted: effects by store left out, and arms that belong to other units
        assert error(tree, treatment, without="effect_level") > 1.3 * error(tree, treatment)
        assert error(fitted_stores(shuffled=True), treatment) > truth[:, treatment].std()
    drawn = bu.cate(tree).transpose("unit", "arm", "chain", "draw").to_numpy().reshape(len(truth), 2, -1)
    lower, upper = np.quantile(drawn, [0.025, 0.975], axis=2)
    assert ((lower < truth) & (truth < upper)).mean() > 0.85
    asked = tree["posterior"].to_dataset()["effect_inclusion"].mean(("chain", "draw"))
    assert asked.dims == ("treatment", "covariate")
    assert tree["posterior"]["effect_level"].dims == ("chain", "draw", "level", "treatment")
    assert tree["posterior"]["level"].to_numpy()[:2].tolist() == ["store=s00", "store=s01"]


def test_averages_over_stores_under_other_priors_lie_about_the_stated_ones() -> None:
    stated, found = bu.ate(fitted_stores()), fitted_stores()["alternatives"].to_dataset()["mean_outcome"]
    effects = (found - found.sel(arm="none", drop=True)).sel(arm=["first", "second"])
    # 900 units leave little to the prior of an average: what another one moves is a fraction of the posterior's spread
    moved = (effects.mean(("chain", "draw")) - stated.mean(("chain", "draw"))) / stated.std(("chain", "draw"))
    assert (abs(moved) < 1.0).all()
    spread = effects.std(("chain", "draw")) / stated.std(("chain", "draw"))
    assert ((spread > 0.7) & (spread < 1.4)).all()


def test_units_of_stores_are_predicted_and_of_new_ones_with_their_spread(tmp_path: Path) -> None:
    table = stores()[0].drop(columns=["arm", "spend"]).head(3)
    bu.save(fitted_stores(), tmp_path / "stores.nc")
    tree = bu.load(tmp_path / "stores.nc")
    there = bu.predict(tree, table, seed=1)["posterior"]["mean_outcome"]
    seen = fitted_stores()["posterior"]["mean_outcome"].isel(unit=slice(3))
    np.testing.assert_allclose(there.to_numpy(), seen.to_numpy(), rtol=2e-5)
    new = bu.predict(tree, table.assign(store="a new one"), seed=1)
    effect, scale = bu.cate(new), tree["posterior"]["effect_scale"].sel(term="store")
    # the forest and the average say what they say of any unit; a new store adds the spread of stores
    known = bu.cate(bu.predict(tree, table, seed=1)) - tree["posterior"]["effect_level"].sel(
        level=["store=" + name for name in table["store"]]
    ).rename(level="unit", treatment="arm").assign_coords(unit=[0, 1, 2])
    added = (effect - known).transpose("chain", "draw", "arm", "unit").to_numpy() / scale.to_numpy()[..., None, None]
    assert np.ptp(added, axis=-1).max() < 1e-2  # one new store in three rows is one store
    standard = added[..., 0].ravel()
    assert abs(standard.std() - 1.0) < 5.0 / np.sqrt(2.0 * standard.size)
    again = bu.predict(tree, table.assign(store="a new one"), seed=1)["posterior"].to_dataset()
    assert again.identical(new["posterior"].to_dataset())


def test_why_an_effect_is_what_it_is_agrees_with_predictions_of_mixed_units() -> None:
    tree, table = fitted_stores(), stores()[0].drop(columns=["arm", "spend"])
    own, others = table.iloc[[7]], table.iloc[100:160]
    found = bu.shapley_values(tree, own, background=others, arm="first", samples=400, seed=3)
    assert found.draws["covariate"].to_numpy().tolist() == ["age", "store"]

    def average(arm: str, **taken: Any) -> float:
        effect = bu.cate(bu.predict(tree, others.assign(**taken), seed=1)).sel(arm=arm)
        return float(effect.mean())

    age, store = own["age"].iloc[0], own["store"].iloc[0]
    for arm, right in (("first", True), ("second", False)):  # planted: the other treatment's
        of_age, of_store = average(arm, age=age), average(arm, store=store)
        none, both = average(arm), average(arm, age=age, store=store)
        expected = 0.5 * np.array([of_age - none + both - of_store, of_store - none + both - of_age])
        away = (found.table["mean"] - expected) / found.table["sampling_error"]
        assert bool((abs(away) < 4.0).all()) is right
    exact = bu.cate(bu.predict(tree, own, seed=1)).sel(arm="first").to_numpy()
    np.testing.assert_allclose(found.effect.to_numpy(), exact, atol=1e-4)  # sums of float32


def test_new_stores_keep_their_draws_whatever_stands_beside_them() -> None:
    tree, table = fitted_stores(), stores()[0].drop(columns=["arm", "spend"]).head(4)
    new = table.assign(store=["s00", "new", "newer", "s01"])
    several = bu.cate(bu.predict(tree, new, seed=1)).isel(unit=[1, 2]).to_numpy()
    alone = np.concatenate([bu.cate(bu.predict(tree, new.iloc[[i]], seed=1)).to_numpy() for i in (1, 2)], axis=2)
    np.testing.assert_array_equal(several, alone)
    assert np.corrcoef(several[..., 0].reshape(-1, 2).T)[0, 1] < 0.9  # not one store
    others = stores()[0].drop(columns=["arm", "spend"]).iloc[10:60].assign(store="newest")
    found = bu.shapley_values(tree, new.iloc[[1, 2]], background=others, arm="second", samples=50, seed=1)
    exact = bu.cate(bu.predict(tree, new.iloc[[1, 2]], seed=1)).sel(arm="second").to_numpy()
    np.testing.assert_allclose(found.effect.to_numpy(), exact, atol=1e-4)  # sums of float32


def test_an_experiment_is_told_of_as_its_table_is() -> None:
    tree, table = fitted_stores(), stores()[0]
    roles: dict[str, Any] = {"arm": "arm", "control": "none", "outcome": "spend", "kind": "continuous"}
    # stores are segments by their name, and may be numbers as a covariate: here of other stores
    numbered = table.assign(number=table["store"].str[1:].astype(int))
    given = bu.read_experiment(numbered, covariates=["age", "number"], segments=["store"], **roles)
    named = replace(given, covariates={"age": given.covariates["age"], "store": given.covariates["number"]})
    table = table.drop(columns=["arm", "spend"])
    by_table = bu.predict(tree, table, seed=1)["posterior"].to_dataset()
    for experiment in (given, named):
        assert bu.predict(tree, experiment, seed=1)["posterior"].to_dataset().equals(by_table)
    with pytest.raises(ColumnNotFoundError, match=r"'store' \(factor\)"):
        bu.predict(tree, replace(given, segments={}), seed=1)
    with pytest.raises(ArgumentError, match="an experiment names its units itself"):
        bu.predict(tree, given, seed=1, unit="store")


def test_halves_code_two_arms_only() -> None:
    table, _ = stores()
    given = bu.read_experiment(table, arm="arm", control="none", outcome="spend", kind="continuous", covariates=["age"])
    with pytest.raises(ArgumentError, match="codes two arms, and there are 3"):
        bu.fit("bayesian_causal_forest", given, seed=1, prior=replace(SMALL, coding="halves"), **LENGTH)
