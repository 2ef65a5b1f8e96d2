"""Cross-fitted propensities: near the truth, never from a model that saw the unit, refused where units have no match."""

import functools
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier

import bayesuplift as bu
from bayesuplift.data.experiment import Experiment
from bayesuplift.errors import ArgumentError, ColumnNotFoundError, DataError, DataWarning, FrameTypeError
from bayesuplift.identification.cross_fitting import METHODS, Method, cross_fitted, folds_of
from tests.support.worlds import seed_of

COVARIATES = ["age", "spend", "channel"]


@functools.cache
def world(n: int, *, bent: bool = False) -> tuple[pd.DataFrame, np.ndarray]:
    """Units and P(offer | covariates) of each: linear log odds, or a pattern that no line follows."""
    rng = np.random.default_rng([seed_of("propensities"), n])
    age, spend = rng.normal(50.0, 10.0, n), rng.gamma(2.0, 30.0, n)
    channel = rng.choice(["Multi", "Phone", "Web"], n)
    older = (age - 50.0) / 10.0
    chance = np.where((older > 0) ^ (channel == "Web"), 0.75, 0.25) if bent else expit(0.8 * older + (channel == "Web"))
    treated = rng.random(n) < chance
    table = pd.DataFrame({"age": age, "spend": spend, "channel": channel, "arm": np.where(treated, "offer", "none")})
    return table.assign(y=rng.normal(size=n)), chance


def experiment(table: pd.DataFrame, **options: Any) -> Experiment:
    roles: dict[str, Any] = {"covariates": COVARIATES, "assignment": "observational"} | options
    return bu.read_experiment(table, arm="arm", control="none", outcome="y", kind="continuous", **roles)


@functools.cache
def estimated(n: int, method: Method = "logistic", *, bent: bool = False) -> bu.Propensity:
    return bu.propensity(experiment(world(n, bent=bent)[0]), seed=seed_of("folds"), method=method)


def error(estimates: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(((estimates - truth) ** 2).mean()))


def log_loss(estimates: np.ndarray, treated: np.ndarray) -> float:
    return float(-np.log(np.where(treated, estimates, 1.0 - estimates)).mean())


def test_estimates_approach_the_truth_with_more_units() -> None:
    few, many = (error(estimated(n).estimates, world(n)[1]) for n in (400, 6400))
    # 16 times the units: a quarter of the error; half of it leaves room for one draw of each
    assert many < 0.5 * few
    # planted: covariates that belong to other units
    table, truth = world(6400)
    order = np.random.default_rng(seed_of("other units")).permutation(len(table))
    mixed = table.assign(**{name: table[name].to_numpy()[order] for name in COVARIATES})
    assert error(bu.propensity(experiment(mixed), seed=1).estimates, truth) > truth.std()


def test_boosting_follows_what_no_line_does() -> None:
    truth = world(3000, bent=True)[1]
    assert error(estimated(3000, "boosting", bent=True).estimates, truth) < 0.3 * truth.std()
    assert error(estimated(3000, "logistic", bent=True).estimates, truth) > 0.9 * truth.std()


def test_boosting_of_covariates_that_tell_nothing_stays_near_the_share() -> None:
    table, _ = world(400)
    dealt = np.random.default_rng(seed_of("dealt")).permutation(np.arange(400) % 2)
    found = bu.propensity(experiment(table.assign(arm=np.where(dealt, "offer", "none"))), seed=1, method="boosting")
    assert found.log_loss < 1.02 * found.log_loss_of_share
    # planted: the library's own number of trees, for few units and many alike
    columns = table[["age", "spend"]].to_numpy()
    half = np.arange(400) < 200
    model = HistGradientBoostingClassifier().fit(columns[half], dealt[half])
    assert log_loss(model.predict_proba(columns[~half])[:, 1], dealt[~half] == 1) > 1.1 * found.log_loss_of_share


def test_a_model_that_saw_its_units_looks_better_than_the_truth_and_ours_does_not() -> None:
    table, truth = world(400)
    treated = (table["arm"] == "offer").to_numpy()
    best = log_loss(truth, treated)
    found = estimated(400, "boosting")
    assert found.log_loss > best
    # planted: the same kind of model on its own units
    columns = found.coding.apply(experiment(table).covariates)
    own = found.models[0].model.fit(columns, treated).predict_proba(columns)[:, 1]
    assert log_loss(own, treated) < best


@pytest.mark.parametrize("method", METHODS)
def test_no_estimate_knows_its_own_arm(method: Method) -> None:
    columns = np.random.default_rng(seed_of("own arm")).normal(size=(200, 2))
    treated = (np.arange(200) % 3 == 0).astype(np.intp)
    fold = folds_of(treated, 4, 1)
    flipped = treated.copy()
    flipped[17] = 1 - flipped[17]
    before, after = (cross_fitted(columns, arm, fold, method=method, seed=2)[0] for arm in (treated, flipped))
    own = fold == fold[17]
    np.testing.assert_array_equal(before[own], after[own])
    # planted: its fold is left in
    assert (before[~own] != after[~own]).any()


def test_the_logistic_model_is_the_mode_of_its_posterior() -> None:
    table, _ = world(400)
    found = estimated(400)
    columns = found.coding.apply(experiment(table).covariates)
    treated = (table["arm"] == "offer").to_numpy()
    seen = found.fold != 2
    scaled = (columns - columns[seen].mean(0)) / columns[seen].std(0)

    def minus_log_density(at: np.ndarray) -> float:
        logit = at[0] + scaled[seen] @ at[1:]
        return float(np.logaddexp(0.0, np.where(treated[seen], -logit, logit)).sum() + 0.5 * (at[1:] ** 2).sum())

    mode = minimize(minus_log_density, np.zeros(1 + columns.shape[1]), method="BFGS", options={"gtol": 1e-4}).x
    by_hand = expit(mode[0] + scaled[~seen] @ mode[1:])
    # differences of the log density, of which BFGS takes its slopes, are good to 1e-5 of a slope
    np.testing.assert_allclose(found.estimates[~seen], by_hand, atol=1e-5)


def test_folds_share_out_every_arm() -> None:
    arm = np.random.default_rng(seed_of("arms")).integers(0, 2, 503)
    fold = folds_of(arm, 5, 3)
    for some in (arm == 0, arm == 1, arm >= 0):
        assert np.ptp(np.bincount(fold[some], minlength=5)) <= 1
    np.testing.assert_array_equal(fold, folds_of(arm, 5, 3))
    assert (fold != folds_of(arm, 5, 4)).any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore:the estimated propensity of 1 of 400:bayesuplift.errors.DataWarning")
def test_the_seed_decides_all(method: Method) -> None:
    given = experiment(world(400)[0])
    one, again, other = (bu.propensity(given, seed=seed, method=method).estimates for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_facts_are_those_of_the_estimates() -> None:
    found, table = estimated(400), world(400)[0]
    treated = (table["arm"] == "offer").to_numpy()
    some, others = found.estimates[treated], found.estimates[~treated]
    assert found.auc == pytest.approx((some[:, None] > others).mean() + 0.5 * (some[:, None] == others).mean())
    assert found.log_loss == pytest.approx(log_loss(found.estimates, treated))
    assert found.log_loss_of_share == pytest.approx(log_loss(np.full(400, treated.mean()), treated))
    assert found.range_by_arm == {"none": (others.min(), others.max()), "offer": (some.min(), some.max())}
    assert found.share_outside == ((found.estimates < 0.05) | (found.estimates > 0.95)).mean() > 0.0
    for part in (f"AUC {found.auc:.3f}", "P(offer | 3 covariates) of 400 units", "below 0.05 or above 0.95"):
        assert part in found.sentence
    assert "at random" not in found.sentence
    assert not found.estimates.flags.writeable


def test_units_dealt_at_random_need_no_estimate() -> None:
    found = bu.propensity(experiment(world(400)[0], assignment="randomized"), seed=1)
    assert "the share of the arm is their propensity" in found.sentence


def test_an_experiment_takes_the_estimates() -> None:
    given, found = experiment(world(400)[0]), estimated(400)
    with_it = given.with_propensity(found.estimates)
    assert with_it.propensity is not None
    np.testing.assert_array_equal(with_it.propensity, found.estimates)
    assert given.propensity is None
    np.testing.assert_array_equal(with_it.outcome, given.outcome)
    with pytest.raises(DataError, match="propensity differ in shape"):
        given.with_propensity(found.estimates[:-1])
    with pytest.raises(DataError, match="strictly between 0 and 1 in 400 of 400 rows"):
        given.with_propensity(np.ones(400))


def test_new_units_have_the_mean_of_the_folds_models() -> None:
    found, table = estimated(6400), world(6400)[0]
    there = found.predict(table.head(50))
    # models of four fifths of the same units differ by what a fifth tells
    np.testing.assert_allclose(there, found.estimates[:50], atol=0.05)
    columns = found.coding.apply(experiment(table).covariates)[:50]
    np.testing.assert_allclose(there, sum(model.chance(columns) for model in found.models) / 5.0)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)).predict(table.head(50)), there)  # noqa: S301 -- ours
    with pytest.raises(ColumnNotFoundError, match="age"):
        found.predict(table[["spend", "channel"]])
    with pytest.warns(DataWarning, match="1 of 2 units have a level of 'channel' that no unit had"):
        found.predict(table.head(2).assign(channel=["Web", "Fax"]))


def rare(table: pd.DataFrame, units: int) -> Experiment:
    return experiment(table.assign(arm=np.where(np.arange(len(table)) < units, "offer", "none")))


@pytest.mark.parametrize(
    ("make", "options", "kind", "said"),
    [
        (experiment, {"method": "boost"}, ArgumentError, "known: logistic, boosting. Did you mean 'boosting'"),
        (experiment, {"folds": 1}, ArgumentError, "folds = 1"),
        (experiment, {"seed": -1}, ArgumentError, "seed = -1"),
        (lambda table: rare(table, 4), {}, DataError, r"'offer' has 4 units, and 5 folds need 5 .* Give fewer folds"),
        (
            lambda table: rare(table, 3),
            {"folds": 2},
            DataError,
            r"'offer' has 3 units, and 2 folds need 4 .* Give more",
        ),
        (lambda table: experiment(table, covariates=[]), {}, DataError, "no covariate differs between the units"),
        (
            lambda table: experiment(table.assign(age=1.0), covariates=["age"]),
            {},
            DataError,
            "no covariate differs between the units",
        ),
        (lambda table: experiment(table).cells([]), {}, FrameTypeError, "this is a Cells"),
    ],
)
def test_what_has_no_propensity_is_refused(make: Any, options: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        bu.propensity(make(world(400)[0]), **({"seed": 1} | options))


def test_few_units_of_an_arm_are_enough_for_few_folds() -> None:
    for method in METHODS:
        found = bu.propensity(rare(world(400)[0].head(40), 4), seed=1, method=method, folds=2)
        assert 0.0 < found.estimates.min() <= found.estimates.max() < 0.9


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore:the estimated propensity:bayesuplift.errors.DataWarning")
def test_covariates_that_tell_the_arm_are_refused(method: Method) -> None:
    table = world(400)[0]
    told = table.assign(age=np.where(table["arm"] == "offer", 1.0, 0.0))
    with pytest.raises(DataError, match=r"tell the arm of every unit.*Leave out a covariate"):
        bu.propensity(experiment(told), seed=1, method=method)


def test_an_estimate_that_is_certain_is_refused_with_the_number_of_units() -> None:
    table = world(6400)[0]
    far = table.assign(age=table["age"] + np.where((table["arm"] == "offer") & (np.arange(6400) % 50 == 0), 1e4, 0.0))
    with pytest.raises(DataError, match=r"of \d+ of 6,400 units is nearer than 1e-06 to 0 or 1, first in data row"):
        bu.propensity(experiment(far), seed=1)


def test_units_that_are_rare_in_an_arm_are_warned_of() -> None:
    table, _ = world(6400)
    chance = expit(3.0 * (table["age"] - 50.0) / 10.0)
    drawn = np.random.default_rng(seed_of("steep")).random(6400) < chance
    with pytest.warns(DataWarning, match=r"of 6,400 units is below 0.01 or above 0.99"):
        found = bu.propensity(experiment(table.assign(arm=np.where(drawn, "offer", "none"))), seed=1)
    # nothing is clipped
    assert found.estimates.min() < 0.001
