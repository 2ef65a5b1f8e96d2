"""The causal forest as a fit: the same tree of draws as every model's, and the same from its file."""

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.data.experiment import Experiment
from bayesuplift.data.units import Units
from bayesuplift.errors import ArgumentError, ColumnNotFoundError, DataError, DataWarning, PosteriorError
from bayesuplift.inference import fit as inference_fit
from bayesuplift.inference import thinning
from tests.support.forests import LENGTH, SMALL
from tests.support.worlds import seed_of

COVARIATES = ["recency", "history", "channel"]
UNITS = 600


@functools.cache
def world() -> tuple[pd.DataFrame, np.ndarray]:
    """Units whose effect is 3 where recency is small and 1 elsewhere, and these effects; assignment follows recency."""
    rng = np.random.default_rng(seed_of("units of a forest"))
    recency, history = rng.integers(1, 13, UNITS), rng.gamma(2.0, 1.0, UNITS)
    channel = rng.choice(["Multi", "Phone", "Web"], UNITS)
    chance = np.where(recency <= 4, 0.65, 0.35)
    treated = rng.random(UNITS) < chance
    effect = np.where(recency <= 4, 3.0, 1.0)
    level = 5.0 + 2.0 * np.sin(recency / 2.0) + history + (channel == "Web")
    table = pd.DataFrame(
        {
            "customer": np.arange(UNITS),
            "arm": np.where(treated, "offer", "control"),
            "spend": level + treated * effect + rng.normal(0.0, 1.0, UNITS),
            "recency": recency,
            "history": history,
            "channel": channel,
            "propensity": chance,
        }
    )
    return table, effect


def experiment(table: pd.DataFrame, **options: Any) -> Experiment:
    roles: dict[str, Any] = {"control": "control", "kind": "continuous", "propensity": "propensity"}
    return bu.read_experiment(
        table,
        arm="arm",
        outcome="spend",
        covariates=COVARIATES,
        segments=["channel"],
        unit="customer",
        assignment="observational",
        **roles | options,
    )


@functools.cache
def fitted(*, shuffled: bool = False) -> xr.DataTree:
    """One fit; of outcomes that belong to other units, where they are shuffled."""
    table, _ = world()
    order = np.random.default_rng(seed_of("shuffled")).permutation(UNITS) if shuffled else np.arange(UNITS)
    given = experiment(table.assign(spend=table["spend"].to_numpy()[order]))
    # decisions, which ask for other priors too, are made on the fit of the units as they are
    length = LENGTH | {"sensitivity": not shuffled}
    return bu.fit("bayesian_causal_forest", given, seed=seed_of("forest"), prior=SMALL, **length)


def effects(tree: xr.DataTree) -> np.ndarray:
    return bu.cate(tree).transpose("unit", "arm", "chain", "draw").to_numpy()[:, 0].reshape(UNITS, -1)


def test_the_tree_is_laid_out_as_every_models() -> None:
    tree, (table, _) = fitted(), world()
    draws = tree["posterior"]["mean_outcome"]
    assert draws.dims == ("chain", "draw", "unit", "arm")
    assert draws.dtype == np.float32
    assert draws["arm"].to_numpy().tolist() == ["control", "offer"]
    assert draws["unit"].to_numpy().tolist() == table["customer"].tolist()
    assert draws["channel"].to_numpy().tolist() == table["channel"].tolist()
    assert tree.attrs["model"] == "bayesian_causal_forest"
    assert tree.attrs["prior"] == str(SMALL.resolved(Units.of(experiment(table))))
    assert "bartz" in tree.attrs["versions"]
    assert tree["observed_data"]["n"].to_numpy().tolist() == table["arm"].value_counts()[["control", "offer"]].tolist()
    assert tree["posterior"]["prognostic_inclusion"].dims == ("chain", "draw", "covariate")
    assert tree["posterior"]["propensity_inclusion"].dims == ("chain", "draw")


def test_effects_are_near_the_truth_and_their_bounds_hold_it() -> None:
    _, truth = world()
    drawn = effects(fitted())
    error = np.sqrt(((drawn.mean(1) - truth) ** 2).mean())
    assert error < 0.5 * truth.std()
    lower, upper = np.quantile(drawn, [0.025, 0.975], axis=1)
    assert ((lower < truth) & (truth < upper)).mean() > 0.85
    # planted: outcomes that belong to other units
    shuffled = effects(fitted(shuffled=True))
    assert np.sqrt(((shuffled.mean(1) - truth) ** 2).mean()) > truth.std()


def test_the_average_and_groups_are_those_of_the_units() -> None:
    tree, (table, truth) = fitted(), world()
    average = bu.ate(tree)
    assert abs(float(average.mean()) - truth.mean()) < 4.0 * float(average.std())
    np.testing.assert_allclose(average, tree["posterior"]["average_effect"].to_numpy(), rtol=1e-4)
    groups = bu.gate(tree, by="channel")
    assert groups["segment"].to_numpy().tolist() == ["channel=Multi", "channel=Phone", "channel=Web"]
    in_web = (table["channel"] == "Web").to_numpy()
    by_hand = bu.cate(tree).isel(unit=np.flatnonzero(in_web)).mean("unit").to_numpy()
    np.testing.assert_allclose(groups.sel(segment="channel=Web").to_numpy(), by_hand, rtol=1e-5)


def test_trees_ask_for_what_changes_the_effect() -> None:
    asked = fitted()["posterior"].to_dataset()["effect_inclusion"].sel(treatment="offer").mean(("chain", "draw"))
    assert asked["covariate"].to_numpy()[asked.to_numpy().argmax()] == "recency"


def test_the_stored_trees_give_the_draws_of_the_fit(tmp_path: Path) -> None:
    tree, (table, _) = fitted(), world()
    bu.save(tree, tmp_path / "forest.nc")
    some = table.iloc[[5, 77, 310]].drop(columns=["arm", "spend"])
    there = bu.predict(bu.load(tmp_path / "forest.nc"), some, seed=1, unit="customer")["posterior"]["mean_outcome"]
    seen = tree["posterior"]["mean_outcome"].isel(unit=[5, 77, 310])
    assert there["unit"].to_numpy().tolist() == [5, 77, 310]
    # sums of sixty float32 leaves, moved along with the chain in one place and added up in another
    np.testing.assert_allclose(there.to_numpy(), seen.to_numpy(), rtol=2e-5)


def test_the_same_seed_gives_the_same_draws_and_another_seed_others() -> None:
    given, short = experiment(world()[0]), LENGTH | {"draws": 25, "warmup": 10}
    one, again, other = (bu.fit("bayesian_causal_forest", given, seed=seed, prior=SMALL, **short) for seed in (3, 3, 4))
    for group in set(one.children) - {"observed_data"}:
        assert one[group].to_dataset().identical(again[group].to_dataset()), group
    assert not np.isin(other["posterior"]["sd"], one["posterior"]["sd"]).any()


@pytest.mark.parametrize("dose", [1, 5])
def test_two_doses_are_a_treatment_and_its_effects_those_of_one_dose_times_it(dose: int) -> None:
    """The prior's scales of effects are those of the larger dose: draws differ by rounding of float32 alone, if at all."""
    table, seen = world()[0], fitted()
    given = experiment(table.assign(arm=np.where(table["arm"] == "offer", dose, 0)), control=0)
    prior = replace(SMALL, coding="dose")
    tree = bu.fit("bayesian_causal_forest", given, seed=seed_of("forest"), prior=prior, **LENGTH)
    found, expected = tree["posterior"].to_dataset(), seen["posterior"].to_dataset().isel(treatment=0)
    rounding = 0.0 if dose == 1 else 2e-6
    for name in ("mean_outcome", "sd", "prognostic_level", "prognostic_scale", "prognostic_inclusion"):
        np.testing.assert_allclose(found[name].to_numpy(), expected[name].to_numpy(), rtol=rounding, err_msg=name)
    assert found["effect_level"].dims == ("chain", "draw", "level")
    for name in ("effect_level", "effect_scale"):
        np.testing.assert_allclose(dose * found[name].to_numpy(), expected[name].to_numpy(), rtol=1e-12, err_msg=name)
    np.testing.assert_array_equal(found["effect_inclusion"], expected["effect_inclusion"])
    # of units to come, too, and of a level that is new
    new = table.head(4).assign(channel=["Multi", "Fax", "Phone", "Fax"])
    with pytest.warns(DataWarning, match="Fax"):
        here, there = (bu.predict(one, new, seed=1)["posterior"]["mean_outcome"] for one in (tree, seen))
    np.testing.assert_allclose(here.to_numpy(), there.to_numpy(), rtol=5.0 * rounding)


def test_a_decision_is_made_on_units() -> None:
    choice = bu.choose_arm(fitted(), threshold_of_caring=0.05)
    assert choice.verdict.name in {"CHOOSE", "INVALID"}  # a run as short as a test's may not have converged
    assert float(choice.prob_best.sel(arm="offer")) > 0.99
    assert choice.sensitivity["prior"].to_numpy().tolist() == ["stated", "weak", "strong"]
    assert choice.sensitivity.attrs["left_out"] == ""


def test_one_draw_in_so_many_is_kept_where_units_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thinning, "LARGEST", UNITS * 2 * 4 * 13)
    tree = bu.fit("bayesian_causal_forest", experiment(world()[0]), seed=2, prior=SMALL, **LENGTH | {"draws": 25})
    assert tree["posterior"].sizes["draw"] == 12
    assert tree["sample_stats"].attrs["kept_one_in"] == 2
    monkeypatch.setattr(thinning, "LARGEST", UNITS * 2 * 4 * 3)
    with pytest.raises(ArgumentError, match=r"600 units x 2 arms leave room for 12 draws.*predict the rest"):
        bu.fit("bayesian_causal_forest", experiment(world()[0]), seed=2, prior=SMALL, **LENGTH)


def test_a_stored_fit_goes_on_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    given, short = experiment(world()[0]), LENGTH | {"draws": 20, "warmup": 10}
    bu.save(bu.fit("bayesian_causal_forest", given, seed=3, prior=SMALL, **short), tmp_path / "first.nc")
    start = bu.load(tmp_path / "first.nc")
    there = {"prior": SMALL, "progress": False, "sensitivity": False, "draws": 20, "start": start}
    second = bu.fit("bayesian_causal_forest", given, seed=99, **there)
    whole = bu.fit("bayesian_causal_forest", given, seed=3, prior=SMALL, **short | {"draws": 40})
    expected = whole["posterior"]["mean_outcome"].isel(draw=slice(20, None)).to_numpy()
    # sums over trees are made anew at another sweep: rounding of float32
    np.testing.assert_allclose(second["posterior"]["mean_outcome"].to_numpy(), expected, atol=1e-3)
    assert np.abs(whole["posterior"]["mean_outcome"].isel(draw=slice(0, 20)).to_numpy() - expected).max() > 0.1
    assert second.attrs["seed"] == 3
    with pytest.raises(ArgumentError, match="start is of another prior"):
        bu.fit("bayesian_causal_forest", given, seed=1, **there | {"prior": replace(SMALL, learned=False)})
    with pytest.raises(ArgumentError, match="start is of another data_fingerprint"):
        bu.fit("bayesian_causal_forest", replace(given, outcome=given.outcome[::-1]), seed=1, **there)
    with pytest.raises(ArgumentError, match="does not hold where its chains stood"):
        bu.fit(
            "bayesian_causal_forest", given, seed=1, **there | {"start": bu.predict(start, world()[0].head(2), seed=1)}
        )
    with pytest.raises(ArgumentError, match="always starts anew"):
        bu.fit("interaction_horseshoe", given, seed=1, start=start)


def test_draws_that_fail_a_diagnostic_are_drawn_again_unless_their_number_is_stated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inference_fit, "_LENGTH_OF_FORESTS", {"chains": 4, "draws": 10, "warmup": 5})
    given = experiment(world()[0])
    tree = bu.fit("bayesian_causal_forest", given, seed=3, prior=SMALL, progress=False, sensitivity=False)
    # ten draws a chain never hold the effective draws that are asked for
    assert tree["posterior"].sizes["draw"] == 10
    assert tree["sample_stats"].attrs["sweeps_per_draw"] == 2 ** (inference_fit._ROUNDS_OF_FORESTS - 1)
    assert "kept_one_in" not in tree["sample_stats"].attrs
    stated = bu.fit("bayesian_causal_forest", given, seed=3, prior=SMALL, draws=10, progress=False, sensitivity=False)
    assert stated["sample_stats"].attrs["sweeps_per_draw"] == 1


def test_units_that_were_not_dealt_at_random_need_their_propensity() -> None:
    with pytest.raises(ArgumentError, match="their propensity is not known"):
        bu.fit("bayesian_causal_forest", experiment(world()[0], propensity=None), seed=1, prior=SMALL, **LENGTH)


def test_an_estimated_propensity_goes_into_the_fit_and_into_predictions() -> None:
    given, short = experiment(world()[0], propensity=None), LENGTH | {"draws": 10, "warmup": 10}
    with pytest.raises(ArgumentError, match=r"bu\.propensity"):
        bu.fit("bayesian_causal_forest", given, seed=1, prior=SMALL, **short)
    estimated = bu.propensity(given, seed=1)
    # as many units and columns as of the other fits: no program is compiled for this one
    tree = bu.fit("bayesian_causal_forest", given.with_propensity(estimated.estimates), seed=1, prior=SMALL, **short)
    assert tree["posterior"]["propensity_inclusion"].dims == ("chain", "draw")
    new = world()[0].head(3)
    found = bu.predict(tree, new.assign(propensity=estimated.predict(new)), seed=1)
    assert found["posterior"].sizes["unit"] == 3


def test_another_kind_of_outcome_is_refused() -> None:
    table = world()[0]
    given = experiment(table.assign(spend=table["spend"].abs()), kind="revenue")
    with pytest.raises(ArgumentError, match="is for continuous, binary outcomes; 'spend' is revenue"):
        bu.fit("bayesian_causal_forest", given, seed=1, prior=SMALL, **LENGTH)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop(columns="propensity"), "no column named 'propensity'"),
        (lambda table: table.assign(propensity=1.0), "not strictly between 0 and 1"),
        (lambda table: table.drop(columns="history"), "no column named 'history'"),
    ],
)
def test_new_units_at_fault_are_refused(change: Any, said: str) -> None:
    with pytest.raises((ColumnNotFoundError, DataError), match=said):
        bu.predict(fitted(), change(world()[0].head(3)), seed=1)


def test_a_posterior_without_its_trees_predicts_nothing() -> None:
    tree = fitted().copy()
    del tree["forests"]
    with pytest.raises(PosteriorError, match="lacks its group 'forests'"):
        bu.predict(tree, world()[0].head(2), seed=1)
