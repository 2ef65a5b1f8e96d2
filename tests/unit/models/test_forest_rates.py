"""The causal forest of a binary outcome: its prior, effects and stored trees are told in points of the rate."""

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import norm

import bayesuplift as bu
from bayesuplift.data.experiment import Experiment
from bayesuplift.data.units import Units
from bayesuplift.errors import ArgumentError
from bayesuplift.priors import ForestPrior
from tests.support.forests import LENGTH, SMALL
from tests.support.worlds import seed_of


@functools.cache
def visits() -> tuple[Experiment, np.ndarray]:
    """A binary outcome whose rate treatment raises by 25 points where recency is small, and by 5 elsewhere."""
    rng = np.random.default_rng(seed_of("visits of a forest"))
    size = 2000
    recency, history = rng.integers(1, 13, size), rng.gamma(2.0, 1.0, size)
    treated = rng.integers(0, 2, size)
    effect = np.where(recency <= 4, 0.25, 0.05)
    rate = 0.2 + 0.02 * np.minimum(history, 5.0) + treated * effect
    table = pd.DataFrame({"arm": treated, "visit": rng.random(size) < rate, "recency": recency, "history": history})
    read = bu.read_experiment(
        table, arm="arm", control=0, outcome="visit", kind="binary", covariates=["recency", "history"]
    )
    return read, effect


@functools.cache
def fitted_visits(*, shuffled: bool = False) -> xr.DataTree:
    """One fit of visits; of outcomes that belong to other units, where they are shuffled."""
    given, _ = visits()
    order = np.random.default_rng(seed_of("shuffled")).permutation(len(given)) if shuffled else np.arange(len(given))
    given = replace(given, outcome=given.outcome[order])
    return bu.fit("bayesian_causal_forest", given, seed=seed_of("visits"), prior=SMALL, **LENGTH)


def test_effects_on_a_rate_are_near_the_truth_in_points() -> None:
    truth = visits()[1]

    def error(tree: xr.DataTree) -> float:
        return float(np.sqrt(((bu.cate(tree).mean(("chain", "draw")).to_numpy()[:, 0] - truth) ** 2).mean()))

    tree = fitted_visits()
    assert error(tree) < 0.75 * truth.std() < error(fitted_visits(shuffled=True))
    means = tree["posterior"]["mean_outcome"]
    assert 0.0 < float(means.min()) < float(means.max()) < 1.0
    average = bu.ate(tree)
    assert abs(float(average.mean()) - truth.mean()) < 4.0 * float(average.std())
    np.testing.assert_allclose(average, tree["posterior"]["average_effect"].to_numpy(), atol=1e-6)
    assert "sd" not in tree["posterior"]


def test_the_prior_of_a_rate_is_stated_in_points() -> None:
    units = Units.of(visits()[0])
    found = ForestPrior().resolved(units)
    rate = visits()[0].outcome.mean()
    assert found.location == pytest.approx(rate, abs=1e-3)
    assert found.effect_sd == pytest.approx(0.5 * norm.pdf(norm.ppf(rate)), rel=1e-2)
    assert found.noise_sd is None
    with pytest.raises(ArgumentError, match="leave it out"):
        ForestPrior(noise_sd=1.0).resolved(units)
    with pytest.raises(ArgumentError, match="give a rate within"):
        ForestPrior(location=1.5).resolved(units)


def test_stored_trees_give_the_rates_of_the_fit(tmp_path: Path) -> None:
    tree, (given, _) = fitted_visits(), visits()
    bu.save(tree, tmp_path / "visits.nc")
    table = pd.DataFrame({name: values[:4] for name, values in given.covariates.items()})
    there = bu.predict(bu.load(tmp_path / "visits.nc"), table, seed=1)["posterior"]["mean_outcome"]
    seen = tree["posterior"]["mean_outcome"].isel(unit=slice(4))
    np.testing.assert_allclose(there.to_numpy(), seen.to_numpy(), atol=1e-5)


def test_two_doses_are_a_treatment_of_a_rate_as_well() -> None:
    given, short = visits()[0], LENGTH | {"draws": 10, "warmup": 10, "sensitivity": True}
    treated, doses = (
        bu.fit("bayesian_causal_forest", given, seed=3, prior=replace(SMALL, coding=coding), **short)
        for coding in ("treated", "dose")
    )
    for name in ("mean_outcome", "average_effect"):
        np.testing.assert_array_equal(doses["posterior"][name], treated["posterior"][name])
    found, expected = (one["alternatives"]["mean_outcome"] for one in (doses, treated))
    assert found.dims == ("prior", "chain", "draw", "arm")
    assert 0.0 < float(found.min()) < float(found.max()) < 1.0
    np.testing.assert_array_equal(found, expected)
