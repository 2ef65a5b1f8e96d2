"""compare_proportions against 40-digit arithmetic, finite sums in fractions, and itself."""

import hashlib
import json
import subprocess
import sys
from fractions import Fraction
from math import factorial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.special import ndtr

from bayesuplift.decisions.proportions import compare_betas, compare_proportions
from bayesuplift.errors import NumericalError
from bayesuplift.priors import RatePrior

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "beta_comparison.json").read_text())["cases"]
LARGEST_ERROR_OF_P = 1e-10
LARGEST_RELATIVE_ERROR_OF_LOSS = 1e-8
LOSSES_FROM = 1e-8


def golden_values(case: dict[str, Any], name: str) -> np.ndarray:
    return np.array([float(value) for value in case[name]])


def compared(alpha: Any, beta: Any, **options: Any) -> dict[str, np.ndarray]:
    defaults = {"control": 0, "higher_is_better": True, "rope": None, "prob": None}
    return compare_betas(np.asarray(alpha, float), np.asarray(beta, float), **{**defaults, **options})


def meets_targets(case: dict[str, Any], prob_best: np.ndarray, loss: np.ndarray) -> bool:
    known_loss = golden_values(case, "expected_loss")
    large = known_loss >= LOSSES_FROM
    return bool(
        (np.abs(prob_best - golden_values(case, "prob_best")) <= LARGEST_ERROR_OF_P).all()
        and (np.abs(loss[large] / known_loss[large] - 1) <= LARGEST_RELATIVE_ERROR_OF_LOSS).all()
    )


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_golden_probabilities_and_losses_are_met(case: dict[str, Any]) -> None:
    result = compared(case["alpha"], case["beta"])
    assert meets_targets(case, result["prob_best"], result["expected_loss"])
    known = golden_values(case, "prob_beats_control")
    assert np.abs(result["prob_beats_control"] - known).max() <= LARGEST_ERROR_OF_P


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_tiny_probabilities_and_losses_are_positive_and_right_to_a_tenth(case: dict[str, Any]) -> None:
    result = compared(case["alpha"], case["beta"])
    for name in ("prob_best", "expected_loss"):
        known = golden_values(case, name)
        assert (result[name] > 0).all()
        assert np.abs(result[name] / known - 1).max() < 0.1


def test_the_golden_cases_reach_as_far_as_the_promise() -> None:
    assert max(len(case["alpha"]) for case in GOLDEN) == 50
    assert max(a + b for case in GOLDEN for a, b in zip(case["alpha"], case["beta"], strict=True)) >= 2e8
    assert min(float(p) for case in GOLDEN for p in case["prob_best"]) < 1e-110


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_twenty_thousand_draws_in_place_of_the_integral_are_rejected(case: dict[str, Any]) -> None:
    generator = np.random.default_rng(20100210)
    draws = generator.beta(np.asarray(case["alpha"]), np.asarray(case["beta"]), (20_000, len(case["alpha"])))
    best = (draws == draws.max(axis=1, keepdims=True)).mean(axis=0)
    loss = (draws.max(axis=1, keepdims=True) - draws).mean(axis=0)
    assert not meets_targets(case, best, loss)


@pytest.mark.parametrize("case", [case for case in GOLDEN if len(case["alpha"]) == 2], ids=lambda case: case["name"])
def test_a_normal_approximation_in_place_of_the_integral_is_rejected(case: dict[str, Any]) -> None:
    alpha, beta = np.asarray(case["alpha"], float), np.asarray(case["beta"], float)
    mean = alpha / (alpha + beta)
    variance = mean * (1 - mean) / (alpha + beta + 1)
    sd = np.sqrt(variance.sum())
    z = (mean - mean[::-1]) / sd
    density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    loss = sd * (density - z * ndtr(-z))  # E[max(other - own, 0)]
    assert not meets_targets(case, ndtr(z), loss)


def beta_function(a: int, b: int) -> Fraction:
    return Fraction(factorial(a - 1) * factorial(b - 1), factorial(a + b - 1))


def beats(a: tuple[int, int], b: tuple[int, int]) -> Fraction:
    """P(rate of b > rate of a): Evan Miller (2010), Formulas for Bayesian A/B testing; Cook (2005)."""
    total = sum(
        (
            beta_function(a[0] + i, a[1] + b[1]) / ((b[1] + i) * beta_function(1 + i, b[1]) * beta_function(*a))
            for i in range(b[0])
        ),
        Fraction(0),
    )
    return Fraction(total)


def loss_of(a: tuple[int, int], b: tuple[int, int]) -> Fraction:
    """E[max(rate of b - rate of a, 0)]: each rate as a factor raises its own first parameter by one."""
    return Fraction(b[0], sum(b)) * beats(a, (b[0] + 1, b[1])) - Fraction(a[0], sum(a)) * beats((a[0] + 1, a[1]), b)


@pytest.mark.parametrize(
    ("successes", "trials"),
    [
        ((0, 0), (1, 3)),
        ((3, 5), (10, 11)),
        ((0, 9), (40, 40)),
        ((17, 30), (60, 55)),
        ((1, 2), (200, 150)),
        ((4, 0), (4, 0)),
    ],
)
def test_two_arms_agree_with_finite_sums_in_fractions(successes: tuple[int, int], trials: tuple[int, int]) -> None:
    a, b = ((1 + y, 1 + n - y) for y, n in zip(successes, trials, strict=True))
    result = compare_proportions(successes, trials, prob=None)
    best = [float(1 - beats(a, b)), float(beats(a, b))]
    loss = [float(loss_of(a, b)), float(loss_of(b, a))]
    assert np.abs(result.prob_best.values - best).max() <= LARGEST_ERROR_OF_P
    assert np.abs(result.expected_loss.values / loss - 1).max() <= LARGEST_RELATIVE_ERROR_OF_LOSS
    assert abs(float(result.prob_beats_control[1]) - best[1]) <= LARGEST_ERROR_OF_P


def test_one_converted_user_against_many_depends_on_the_prior() -> None:
    """The page's .7425 under Jeffreys' prior and .632 under the flat one: one of one against 6,067 of 10,000."""
    for prior, expected in ((RatePrior(0.5, 0.5), "0.7425"), (RatePrior(1, 1), "0.632")):
        result = compare_proportions([6067, 1], [10_000, 1], prior=prior, prob=None)
        assert abs(float(result.prob_best[1]) - float(expected)) < 2e-4


def test_zero_conversions_leave_a_positive_loss_on_every_arm() -> None:
    for successes in ([0, 7], [7, 0], [0, 0], [0, 400, 0]):
        result = compare_proportions(successes, [1000] * len(successes))
        assert (result.expected_loss > 0).all()
        assert (result.prob_best > 0).all()
        assert np.isfinite(result.difference_lower).all()
        assert np.isfinite(result.relative_lift_upper).all()


def test_an_arm_without_trials_gets_its_prior() -> None:
    result = compare_proportions([12, 0], [40, 0], prior=RatePrior(2, 3))
    alone = compared([14, 2], [31, 3], prob=0.95)
    assert float(result.prob_best[1]) == alone["prob_best"][1]
    assert float(result.difference[1]) == pytest.approx(2 / 5 - 14 / 45, abs=1e-15)


def test_the_controls_own_entries_are_exact() -> None:
    result = compare_proportions([30, 25, 41], [100, 90, 120], control=1, rope=0.02)
    control = result.isel(arm=1)
    for name in ("prob_beats_control", "difference", "relative_lift"):
        assert float(control[name]) == 0.0
    for name in ("difference_lower", "difference_upper", "relative_lift_lower", "relative_lift_upper"):
        assert float(control[name]) == 0.0
    assert float(control.prob_rope) == 1.0


def test_lower_is_better_is_higher_is_better_of_the_failures() -> None:
    successes, trials = np.array([31, 25, 44]), np.array([100, 90, 151])
    lower = compare_proportions(successes, trials, higher_is_better=False, rope=0.05, prob=0.9)
    mirrored = compare_proportions(trials - successes, trials, rope=0.05, prob=0.9)
    for name in ("prob_best", "prob_beats_control", "prob_rope", "prob_all_equivalent"):
        np.testing.assert_allclose(lower[name], mirrored[name], rtol=0, atol=1e-12)
    np.testing.assert_allclose(lower.expected_loss, mirrored.expected_loss, rtol=1e-11)
    np.testing.assert_allclose(lower.difference_lower, -mirrored.difference_upper, rtol=0, atol=1e-8)
    plain = compare_proportions(successes, trials, rope=0.05, prob=0.9)
    for name in ("difference", "difference_lower", "relative_lift", "relative_lift_upper", "prob_rope"):
        assert (lower[name] == plain[name]).all()


def test_the_mean_relative_lift_is_the_formula_and_infinite_where_the_controls_alpha_is_at_most_one() -> None:
    successes, trials = np.array([[0, 4], [3, 4], [1, 0]]), np.array([[50, 60], [50, 60], [5, 9]])
    lift = compare_proportions(successes, trials).relative_lift.values[:, 1]
    assert lift[0] == np.inf  # a uniform prior without conversions has alpha 1
    expected = [Fraction(5, 62) * Fraction(51, 3) - 1, Fraction(1, 11) * Fraction(6, 1) - 1]
    np.testing.assert_allclose(lift[1:], [float(value) for value in expected], rtol=1e-14)
    assert np.isfinite(compare_proportions([1, 1], [9, 9], prior=RatePrior(0.1, 1)).relative_lift[1])
    assert compare_proportions([0, 1], [9, 9], prior=RatePrior(0.5, 0.5)).relative_lift[1] == np.inf


def many(count: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(7)
    trials = generator.integers(1, 30_000, (count, 3))
    trials[::50, 1] = 0
    return generator.binomial(trials, generator.uniform(0, 0.4, (count, 1))), trials


def test_thousands_at_once_equal_one_by_one_bit_for_bit() -> None:
    successes, trials = many(2000)
    together = compare_proportions(successes, trials, rope=0.01)
    assert together.prob_best.dims == ("experiment", "arm")
    assert together.prob_all_equivalent.dims == ("experiment",)
    for i in range(0, 2000, 40):
        alone = compare_proportions(successes[i], trials[i], rope=0.01)
        for name, values in alone.data_vars.items():
            np.testing.assert_array_equal(values, together[name][i])


def digest() -> str:
    result = compare_proportions(*many(200), rope=0.01)
    return hashlib.sha256(b"".join(values.values.tobytes() for values in result.data_vars.values())).hexdigest()


def test_reruns_are_bit_identical_also_in_a_fresh_process() -> None:
    here = digest()
    assert digest() == here
    lines = (
        "import importlib.util as u, sys",
        "spec = u.spec_from_file_location('again', sys.argv[1])",
        "again = u.module_from_spec(spec)",
        "spec.loader.exec_module(again)",
        "print(again.digest())",
    )
    fresh = subprocess.run(
        [sys.executable, "-c", "\n".join(lines), __file__], capture_output=True, text=True, check=True
    )
    assert fresh.stdout.strip() == here


def test_labelled_arrays_keep_their_dimensions_and_coordinates() -> None:
    coords = {"country": ["NO", "SE"], "arm": ["control", "offer", "reminder"], "region": ("country", [1, 2])}
    successes = xr.DataArray([[10, 12, 9], [30, 41, 37]], dims=("country", "arm"), coords=coords)
    trials = xr.full_like(successes, 200)
    result = compare_proportions(successes.T, trials, control="offer", rope=0.02)
    assert result.prob_best.dims == ("country", "arm")
    assert result.prob_all_equivalent.dims == ("country",)
    assert result.country.values.tolist() == ["NO", "SE"]
    assert result.region.values.tolist() == [1, 2]
    assert (result.difference.sel(arm="offer") == 0).all()
    plain = compare_proportions(successes.values, trials.values, control=1, rope=0.02)
    np.testing.assert_array_equal(result.prob_best, plain.prob_best)
    assert result.attrs["prior"] == "Beta(1, 1)"


def test_labelled_arrays_without_labels_of_arms_get_positions() -> None:
    result = compare_proportions(xr.DataArray([1, 2], dims="arm"), xr.DataArray([9, 9], dims="arm"), control=1)
    assert result.arm.values.tolist() == [0, 1]


def test_more_leading_dimensions_keep_their_shape() -> None:
    successes, trials = many(12)
    result = compare_proportions(successes.reshape(3, 4, 3), trials.reshape(3, 4, 3))
    assert result.prob_best.dims == ("experiment_0", "experiment_1", "arm")
    np.testing.assert_array_equal(
        result.prob_best.values.reshape(12, 3), compare_proportions(successes, trials).prob_best
    )


def test_intervals_and_a_rope_are_left_out_unless_asked_for() -> None:
    bare = compare_proportions([1, 2], [9, 9], prob=None)
    assert set(bare.data_vars) == {"prob_best", "expected_loss", "prob_beats_control", "difference", "relative_lift"}
    full = compare_proportions([1, 2], [9, 9], rope=0.1)
    assert {"difference_lower", "relative_lift_upper", "prob_rope", "prob_all_equivalent"} <= set(full.data_vars)


def test_a_computation_that_does_not_settle_is_an_error_and_not_a_number() -> None:
    with pytest.raises(NumericalError, match="did not converge"):
        compared([np.nan, 2.0], [3.0, 4.0], prob=0.95)
