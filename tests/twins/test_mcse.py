"""The tolerance of every statistical test here: what it accepts, and what it must reject."""

import numpy as np
import pytest

from tests.support.mcse import assert_within_mcse
from tests.support.worlds import seed_of


def autoregressive(correlation: float, seed: int, shape: tuple[int, int] = (4, 2000)) -> np.ndarray:
    """Stationary draws with mean 0 and variance 1 whose neighbours are correlated."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    draws = noise.copy()
    for step in range(1, shape[1]):
        draws[:, step] = correlation * draws[:, step - 1] + np.sqrt(1 - correlation**2) * noise[:, step]
    return draws


def test_right_draws_are_accepted_in_two_hundred_runs() -> None:
    for run in range(200):
        assert_within_mcse(autoregressive(0.5, seed_of(f"run {run}"), (4, 500)), 0.0, comparisons=200)


@pytest.mark.parametrize("side", [-1, 1])
def test_a_mean_six_errors_off_is_rejected_on_either_side(side: int) -> None:
    draws = np.random.default_rng(seed_of("six errors")).standard_normal((4, 1000))
    centred = draws - draws.mean()
    error = centred.std() / np.sqrt(centred.size)
    assert_within_mcse(centred, 0.0)
    with pytest.raises(AssertionError, match=r"6.* Monte Carlo errors apart"):
        assert_within_mcse(centred, side * 6.2 * error)


def test_the_error_of_the_expected_value_counts() -> None:
    draws = np.random.default_rng(seed_of("expected error")).standard_normal((4, 1000))
    error = 1 / np.sqrt(draws.size)
    assert_within_mcse(draws - draws.mean(), 6 * error, expected_mcse=2 * error)


def test_more_comparisons_allow_more_for_each_of_them() -> None:
    draws = np.random.default_rng(seed_of("comparisons")).standard_normal((4, 1000))
    centred = (draws - draws.mean()) / draws.std()
    off = 4.4 / np.sqrt(draws.size)
    assert_within_mcse(centred, off, comparisons=1000)
    with pytest.raises(AssertionError, match="Monte Carlo errors apart"):
        assert_within_mcse(centred, off)


def test_draws_too_few_in_effect_are_rejected_though_their_mean_is_within_their_own_error() -> None:
    with pytest.raises(AssertionError, match="400 are needed"):
        assert_within_mcse(autoregressive(0.98, seed_of("slow")), 0.0)


def test_chains_that_disagree_are_rejected() -> None:
    draws = np.random.default_rng(seed_of("disagree")).standard_normal((4, 1000))
    with pytest.raises(AssertionError, match="400 are needed"):
        assert_within_mcse(draws + np.array([[0.0], [0.0], [3.0], [3.0]]), 1.5)


def test_one_wrong_element_of_many_is_found() -> None:
    draws = np.random.default_rng(seed_of("one of many")).standard_normal((4, 1000, 3, 5))
    assert_within_mcse(draws, np.zeros((3, 5)))
    wrong = np.zeros((3, 5))
    wrong[2, 1] = 0.2
    with pytest.raises(AssertionError, match="element 11"):
        assert_within_mcse(draws, wrong)


def test_constant_draws_are_right_only_when_they_are_exact() -> None:
    assert_within_mcse(np.full((4, 100), 0.25), 0.25)
    with pytest.raises(AssertionError, match=r"every draw is 0\.25"):
        assert_within_mcse(np.full((4, 100), 0.25), 0.25 + 1e-12, expected_mcse=1.0)


def test_a_missing_draw_is_rejected() -> None:
    with pytest.raises(AssertionError, match="missing or infinite"):
        assert_within_mcse(np.full((4, 100), np.nan), 0.0)
