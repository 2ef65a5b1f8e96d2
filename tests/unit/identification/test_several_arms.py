"""Propensities of several arms: near the truth, in the columns of their treatments, from models of other units."""

import functools
import pickle
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from scipy.stats import chi2

import bayesuplift as bu
from bayesuplift.data.experiment import Experiment
from bayesuplift.errors import DataError, DataWarning
from bayesuplift.identification.cross_fitting import METHODS, Method, cross_fitted, folds_of
from bayesuplift.identification.overlap import by_arm
from tests.support.worlds import seed_of

ARMS = ("none", "first", "second")
COVARIATES = ["age", "channel"]


@functools.cache
def world(n: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Units and P(arm | covariates) (unit, arm) of each: log odds against the control are linear."""
    rng = np.random.default_rng([seed_of("propensities of several arms"), n])
    age, channel = rng.normal(50.0, 10.0, n), rng.choice(["Phone", "Web"], n)
    older, web = (age - 50.0) / 10.0, channel == "Web"
    chance = softmax(np.column_stack([np.zeros(n), 0.6 * older, 0.4 - 0.4 * older + 0.7 * web]), axis=1)
    arm = (rng.random(n)[:, None] > chance.cumsum(axis=1)).sum(axis=1)
    table = pd.DataFrame({"age": age, "channel": channel, "arm": np.array(ARMS)[arm], "y": rng.normal(size=n)})
    return table, chance


def experiment(table: pd.DataFrame, **options: Any) -> Experiment:
    roles: dict[str, Any] = {"covariates": COVARIATES, "assignment": "observational"} | options
    return bu.read_experiment(table, arm="arm", control="none", outcome="y", kind="continuous", **roles)


@functools.cache
def estimated(n: int, method: Method = "logistic") -> bu.Propensity:
    return bu.propensity(experiment(world(n)[0]), seed=seed_of("folds"), method=method)


def divergence(estimates: np.ndarray, truth: np.ndarray) -> float:
    """Mean Kullback-Leibler divergence of the estimates from the truth."""
    return float((truth * np.log(truth / by_arm(estimates))).sum(axis=1).mean())


def test_estimates_are_as_near_the_truth_as_so_many_units_can_tell() -> None:
    size = 3000
    found, truth = estimated(size), world(size)[1]
    assert found.treatment == ("first", "second")
    assert found.estimates.shape == (size, 2)
    # twice n times the divergence has the law of chi-squared, one degree for each of 2 (1 + 2) coefficients, where the
    # model holds and n units are in a fit; one in 10,000 such fits are farther away
    tolerance = chi2.ppf(1.0 - 1e-4, 6) / (2.0 * 0.8 * size)
    assert divergence(found.estimates, truth) < tolerance
    # planted: the columns of the treatments are exchanged; covariates belong to other units
    assert divergence(found.estimates[:, ::-1], truth) > tolerance
    table = world(size)[0]
    order = np.random.default_rng(seed_of("other units")).permutation(size)
    mixed = table.assign(**{name: table[name].to_numpy()[order] for name in COVARIATES})
    assert divergence(bu.propensity(experiment(mixed), seed=1).estimates, truth) > tolerance


def test_boosting_finds_them_too() -> None:
    truth = world(600)[1]
    found = bu.propensity(experiment(world(600)[0]), seed=1, method="boosting", folds=2)
    share = np.broadcast_to(truth.mean(axis=0)[1:], (600, 2))
    assert divergence(found.estimates, truth) < 0.5 * divergence(share, truth)
    assert divergence(found.estimates[:, ::-1], truth) > divergence(share, truth)
    assert found.log_loss < found.log_loss_of_share


@pytest.mark.parametrize("method", METHODS)
def test_no_estimate_knows_its_own_arm(method: Method) -> None:
    columns = np.random.default_rng(seed_of("own arm")).normal(size=(120, 2))
    arm = np.arange(120) % 3
    fold = folds_of(arm, 2, 1)
    changed = arm.copy()
    changed[17] = (arm[17] + 1) % 3
    before, after = (cross_fitted(columns, given, fold, method=method, seed=2)[0] for given in (arm, changed))
    own = fold == fold[17]
    np.testing.assert_array_equal(before[own], after[own])
    # planted: its fold is left in
    assert (before[~own] != after[~own]).any()


def test_the_logistic_model_is_the_mode_of_its_posterior() -> None:
    table, found = world(400)[0], estimated(400)
    columns = found.coding.apply(experiment(table).covariates)
    arm = table["arm"].map(ARMS.index).to_numpy()
    seen = found.fold != 2
    scaled = np.column_stack([np.ones(400), (columns - columns[seen].mean(0)) / columns[seen].std(0)])

    def minus_log_density(at: np.ndarray) -> float:
        by_arm = at.reshape(3, -1)
        log_chance = log_softmax(scaled[seen] @ by_arm.T, axis=1)
        return float(-log_chance[np.arange(seen.sum()), arm[seen]].sum() + 0.5 * (by_arm[:, 1:] ** 2).sum())

    start = np.zeros(3 * scaled.shape[1])
    mode = minimize(minus_log_density, start, method="BFGS", options={"gtol": 1e-4}).x.reshape(3, -1)
    by_hand = softmax(scaled[~seen] @ mode.T, axis=1)[:, 1:]
    # differences of the log density, of which BFGS takes its slopes, are good to 1e-5 of a slope
    np.testing.assert_allclose(found.estimates[~seen], by_hand, atol=1e-5)


def test_facts_are_those_of_the_estimates() -> None:
    found, table = estimated(400), world(400)[0]
    arm = table["arm"].map(ARMS.index).to_numpy()
    p = by_arm(found.estimates)
    pairs = [
        (p[arm == j, j][:, None] > p[arm == k, j]).mean() + 0.5 * (p[arm == j, j][:, None] == p[arm == k, j]).mean()
        for j, k in permutations(range(3), 2)
    ]
    assert found.auc == pytest.approx(np.mean(pairs))
    assert found.log_loss == pytest.approx(-np.log(p[np.arange(400), arm]).mean())
    share = np.bincount(arm) / 400
    assert found.log_loss_of_share == pytest.approx(-(share * np.log(share)).sum())
    assert found.range_by_arm == {name: (p[:, k].min(), p[:, k].max()) for k, name in enumerate(ARMS)}
    assert found.share_outside == (p < 0.05).any(axis=1).mean() > 0.0
    for part in (
        "P(arm | 2 covariates) for 3 arms of 400 units",
        f"second {p[:, 2].min():.3f} to {p[:, 2].max():.3f}; AUC between two arms on average {found.auc:.3f}",
        "of units lie below 0.05 for an arm",
    ):
        assert part in found.sentence
    assert not found.estimates.flags.writeable


def test_an_experiment_takes_the_estimates_and_new_units_have_the_mean_of_the_folds_models() -> None:
    found, table = estimated(3000), world(3000)[0]
    given = experiment(table).with_propensity(found.estimates)
    assert given.propensity is not None
    np.testing.assert_array_equal(given.propensity, found.estimates)
    there = found.predict(table.head(50))
    columns = found.coding.apply(given.covariates)[:50]
    np.testing.assert_allclose(there, sum(model.chance(columns) for model in found.models) / 5.0)
    # models of four fifths of the same units differ by what a fifth tells
    np.testing.assert_allclose(there, found.estimates[:50], atol=0.05)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)).predict(table.head(50)), there)  # noqa: S301 -- ours


@pytest.mark.filterwarnings("ignore:the estimated propensity:bayesuplift.errors.DataWarning")
def test_an_arm_with_too_few_units_is_refused_by_name() -> None:
    table = world(400)[0]
    few = table[(table["arm"] != "second") | (table["arm"] == "second").cumsum().le(4)]
    with pytest.raises(DataError, match=r"'second' has 4 units, and 5 folds need 5 .* Give fewer folds"):
        bu.propensity(experiment(few), seed=1)
    for method in METHODS:
        assert bu.propensity(experiment(few.head(60)), seed=1, method=method, folds=2).estimates.shape == (60, 2)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore:the estimated propensity:bayesuplift.errors.DataWarning")
def test_covariates_that_tell_two_arms_apart_are_refused(method: Method) -> None:
    table = world(400)[0]
    told = table.assign(age=np.where(table["arm"] == "second", 1.0, 0.0))
    with pytest.raises(DataError, match=r"every unit of second from every unit of none.*Leave out a covariate"):
        bu.propensity(experiment(told), seed=1, method=method, folds=2)


def test_an_estimate_that_is_certain_is_refused_with_the_arm() -> None:
    table = world(3000)[0]
    far = table.assign(age=table["age"] + np.where((table["arm"] == "first") & (np.arange(3000) % 50 == 0), 1e4, 0.0))
    said = r"of \d+ of 3,000 units is below 1e-06 for an arm \(.*second: \d+.*\), first in data row"
    with pytest.raises(DataError, match=said):
        bu.propensity(experiment(far), seed=1)


def test_units_that_are_rare_in_an_arm_are_warned_of() -> None:
    table = world(3000)[0]
    steep = (table["age"] - 50.0) / 10.0 * 3.0
    chance = softmax(np.column_stack([np.zeros(3000), steep, np.zeros(3000)]), axis=1)
    drawn = np.random.default_rng(seed_of("steep")).random(3000)
    arm = (drawn[:, None] > chance.cumsum(axis=1)).sum(axis=1)
    with pytest.warns(DataWarning, match=r"of 3,000 units is below 0.01 for an arm \(none: \d+, first: [\d,]+"):
        found = bu.propensity(experiment(table.assign(arm=np.array(ARMS)[arm])), seed=1)
    # nothing is clipped
    assert found.estimates.min() < 0.001
