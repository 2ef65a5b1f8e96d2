"""Assurance against closed forms for normal means, and sums over all conversions for rates."""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import betaln
from scipy.stats import betabinom, binom, norm

from bayesuplift.decisions.information import assurance as module
from bayesuplift.decisions.information.assurance import assurance
from bayesuplift.decisions.information.claims import Criterion, _is_small, _smallest_loss
from bayesuplift.errors import ArgumentError
from bayesuplift.priors import RatePrior
from tests.support.planned import errors_apart, limit, of_betas, of_draws

MEAN, TAU, OUTCOME_SD = 0.5, 0.6, 10.0
SIZES = [100, 500, 2000, 20_000]
NORMAL_95 = float(norm.ppf(0.975))


def normals(draws: int = 4000, seed: int = 1) -> xr.DataTree:
    """An effect ~ Normal(.5, .6^2) on a control that is somewhere, too."""
    generator = np.random.default_rng(seed)
    control, effect = generator.normal(3.0, 1.0, draws), generator.normal(MEAN, TAU, draws)
    return of_draws(np.stack([control, control + effect], axis=1), kind="continuous")


def standard_error(sizes: Any) -> Any:
    return OUTCOME_SD * np.sqrt(2.0 / np.asarray(sizes, dtype=np.float64))


def above(sizes: Any, away: Any, tau: float = TAU) -> Any:
    """P(estimate > away) of an effect Normal(.5, tau^2): O'Hagan, Stevens and Campbell (2005) for normal means."""
    return norm.cdf((MEAN - away) / np.hypot(standard_error(sizes), tau))


@pytest.mark.parametrize("fault", [False, True])
def test_assurance_and_power_of_normal_means_are_the_closed_forms(*, fault: bool) -> None:
    tree = normals()
    table = assurance(tree, units_per_arm=SIZES, seed=1, outcome_sd=OUTCOME_SD * (1.1 if fault else 1.0))
    away = NORMAL_95 * standard_error(SIZES)
    # power is at the mean of the draws, which is not quite that of the law they come from
    middle = tree["posterior"]["mean_outcome"].mean(("chain", "draw")).diff("arm").item()
    known = {"assurance": above(SIZES, away), "power": above(SIZES, away + MEAN - middle, 0.0)}
    # from 1e-4 of 0 or 1 the error is a bound on what no simulated test showed
    seen = {name: (one > 1e-4) & (one < 1 - 1e-4) for name, one in known.items()}
    apart = [
        errors_apart(table[name][seen[name]], table[f"{name}_mcse"][seen[name]], known[name][seen[name]])
        for name in known
    ]
    assert (max(apart) < limit(2 * len(SIZES))) != fault
    assert errors_apart(table["ceiling"], table["ceiling_mcse"], norm.cdf(MEAN / TAU)) < limit(1)


def test_an_interval_may_exclude_zero_on_either_side() -> None:
    table = assurance(
        normals(), units_per_arm=SIZES, seed=1, outcome_sd=OUTCOME_SD, success="interval_excludes_zero", prob=0.9
    )
    away = norm.ppf(0.95) * standard_error(SIZES)
    known = above(SIZES, away) + 1.0 - above(SIZES, -away)
    assert errors_apart(table["assurance"], table["assurance_mcse"], known) < limit(len(SIZES))
    assert float(table["ceiling"]) == 1.0


def test_a_small_expected_loss_of_two_normal_means_needs_an_estimate_beyond_one_point() -> None:
    threshold = 0.05
    table = assurance(
        normals(),
        units_per_arm=SIZES,
        seed=1,
        outcome_sd=OUTCOME_SD,
        success="expected_loss",
        threshold_of_caring=threshold,
    )
    error = standard_error(SIZES)

    def loss(away: float, one: float) -> float:
        return float(one * norm.pdf(away / one) - away * norm.sf(away / one))

    away = np.array(
        [
            0.0 if loss(0.0, one) <= threshold else brentq(lambda d, s=one: loss(d, s) - threshold, 0.0, 9.0 * one)
            for one in error
        ]
    )
    known = np.stack([1.0 - above(SIZES, -away), above(SIZES, away)], axis=1)
    assert errors_apart(table["assurance"], table["assurance_mcse"], np.minimum(known.sum(axis=1), 1.0)) < limit(8)
    assert errors_apart(table["claimed"], table["claimed_mcse"], known) < limit(8)


def better(a: int, b: int, c: int, d: int) -> float:
    """P(X > Y), X ~ Beta(a, b), Y ~ Beta(c, d), as a sum: Evan Miller (2014), Formulas for Bayesian A/B Testing."""
    i = np.arange(a)
    return float(np.exp(betaln(c + i, b + d) - np.log(b + i) - betaln(1 + i, b) - betaln(c, d)).sum())


def loss_of_second(a: int, b: int, c: int, d: int) -> float:
    """E[max(0, X - Y)] of X ~ Beta(a, b), Y ~ Beta(c, d)."""
    return a / (a + b) * better(a + 1, b, c, d) - c / (c + d) * better(a, b, c + 1, d)


UNITS = 14
ALPHA, BETA = [2, 6], [8, 5]


def succeeds(first: int, second: int, success: str, threshold: float) -> bool:
    a, b, c, d = first + 1, UNITS - first + 1, second + 1, UNITS - second + 1
    if success == "expected_loss":
        return min(loss_of_second(a, b, c, d), loss_of_second(c, d, a, b)) <= threshold
    chance = better(c, d, a, b)
    return chance >= 0.975 or (success == "interval_excludes_zero" and chance <= 0.025)


@pytest.mark.parametrize("fault", [False, True])
@pytest.mark.parametrize("success", ["beats_control", "interval_excludes_zero", "expected_loss"])
def test_assurance_of_rates_is_a_sum_over_all_conversions(
    success: Any, monkeypatch: pytest.MonkeyPatch, *, fault: bool
) -> None:
    threshold = 0.002
    count = np.arange(UNITS + 1)
    wins = np.array(
        [[succeeds(first, second, success, threshold) for second in range(UNITS + 1)] for first in range(UNITS + 1)]
    )
    believed = [betabinom.pmf(count, UNITS, a, b) for a, b in zip(ALPHA, BETA, strict=True)]
    tree = of_betas(ALPHA, BETA, draws=8000)
    middle = tree["posterior"]["mean_outcome"].mean(("chain", "draw")).to_numpy()
    stated = [binom.pmf(count, UNITS, rate) for rate in middle]
    if fault:  # the normal approximation by itself
        monkeypatch.setattr(module._Trials, "_correction", lambda *_: (np.zeros(3), np.zeros(3)))
    given = threshold if success == "expected_loss" else None
    table = assurance(tree, units_per_arm=[UNITS], seed=2, success=success, threshold_of_caring=given)
    apart = max(
        errors_apart(table[name], table[f"{name}_mcse"], [first @ wins @ second])
        for name, (first, second) in (("assurance", believed), ("power", stated))
    )
    assert (apart > limit(2)) == fault


def test_the_loss_against_many_arms_is_its_integral_and_bounds_decide_as_it_does() -> None:
    generator = np.random.default_rng(4)
    mean, sd = generator.normal(0, 1, (300, 4)), generator.uniform(0.3, 2.0, (300, 4))
    found = _smallest_loss(mean, sd)
    for row in range(5):
        best = int(mean[row].argmax())

        def integrand(t: float, row: int = row, best: int = best) -> float:
            below = norm.cdf((t - mean[row]) / sd[row])
            return float(below[best] * (1.0 - np.delete(below, best).prod()))

        known, _ = quad(integrand, -20.0, 20.0, epsabs=1e-12, limit=400)
        assert found[row] == pytest.approx(known, abs=1e-9)
    threshold = float(np.median(found))
    np.testing.assert_array_equal(_is_small(mean, sd, threshold), found <= threshold)


def test_the_needed_size_is_where_the_closed_form_reaches_what_is_wanted() -> None:
    table = assurance(normals(20_000), units_per_arm=[500, 50_000], seed=1, outcome_sd=OUTCOME_SD, wanted=0.6)
    known = brentq(lambda size: float(above(size, NORMAL_95 * standard_error(size))) - 0.6, 500, 50_000)
    slope = (above(known * 1.01, NORMAL_95 * standard_error(known * 1.01)) - 0.6) / 0.01
    error = float(table["assurance_mcse"].max()) / slope  # relative, of the size
    assert abs(table.attrs["needed_units_per_arm"] / known - 1.0) < 0.02 + limit(1) * error
    assert (
        f"{table.attrs['needed_units_per_arm']:,} units an arm succeeds with probability 60%" in table.attrs["sentence"]
    )
    tiny = assurance(normals(), units_per_arm=[50_000], seed=1, outcome_sd=0.01, wanted=0.5)
    assert tiny.attrs["needed_units_per_arm"] < 100


def test_no_size_is_named_where_the_arm_may_be_no_better() -> None:
    table = assurance(normals(), units_per_arm=[500, 10**8], seed=1, outcome_sd=OUTCOME_SD, wanted=0.9)
    assert table.attrs["needed_units_per_arm"] == 0
    assert "No test, however large, succeeds with probability 90%" in table.attrs["sentence"]
    assert float(table["assurance"][-1]) == pytest.approx(float(table["ceiling"]), abs=2e-3)
    assert float(table["assurance"][-1]) < float(table["power"][-1]) == 1.0
    short = assurance(normals(), units_per_arm=[50], seed=1, outcome_sd=OUTCOME_SD, wanted=0.6)
    assert short.attrs["needed_units_per_arm"] == 0
    assert "60% takes more" in short.attrs["sentence"]


def test_outcomes_that_are_better_when_lower_are_the_mirror_image() -> None:
    tree = normals()
    turned = of_draws(-tree["posterior"]["mean_outcome"].to_numpy(), kind="continuous")
    options: dict[str, Any] = {"units_per_arm": SIZES, "seed": 1, "outcome_sd": OUTCOME_SD}
    lower = assurance(turned, higher_is_better=False, **options)
    higher = assurance(tree, **options)
    assert (
        errors_apart(
            lower["assurance"], np.hypot(lower["assurance_mcse"], higher["assurance_mcse"]), higher["assurance"]
        )
        < 4
    )
    assert float(lower["ceiling"]) == float(higher["ceiling"])


def test_some_arm_of_several_succeeds_more_often_than_each() -> None:
    tree = of_betas([20, 24, 24], [180, 170, 170])
    table = assurance(tree, units_per_arm=[300, 3000], seed=1)
    claimed = table["claimed"]
    assert (claimed.sel(arm="c") == 0).all()
    assert (table["claimed_mcse"].sel(arm="c") == 0).all()
    assert (table["assurance"] > claimed.max("arm")).all()
    assert (table["assurance"] < claimed.sum("arm")).all()
    assert table.attrs["analysis_prior"] == "Beta(1, 1)"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"success": "wins"}, "success = 'wins'; expected one of beats_control"),
        ({"success": "expected_loss"}, "needs one above 0"),
        ({"threshold_of_caring": 0.1}, "leave it out"),
        ({"prob": 1.0}, "prob = 1.0"),
        ({"wanted": 80}, "wanted = 80"),
        ({"higher_is_better": "up"}, "give True or False"),
        ({"analysis_prior": (1, 1)}, "give a RatePrior"),
        ({"allocation": {"x": 0.0}}, "leaves an arm without units"),
        ({"units_per_arm": 100}, "give one or several sizes"),
    ],
)
def test_what_cannot_be_answered_is_refused(changed: dict[str, Any], told: str) -> None:
    given: dict[str, Any] = {"units_per_arm": [100], "seed": 1, **changed}
    with pytest.raises(ArgumentError, match=told):
        assurance(of_betas([11, 14], [90, 88]), **given)


def test_a_criterion_says_what_it_is() -> None:
    flat = RatePrior(1, 1)
    told = str(Criterion("expected_loss", 0.95, 0.001, higher_is_better=True, control=0, prior=flat))
    assert told == "the expected loss of the best arm is at most 0.001"
