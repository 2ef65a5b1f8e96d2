"""Draws from densities on grids, against distributions that are known; and the function that they need."""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import stats

from bayesuplift.errors import NumericalError
from bayesuplift.inference import one_dimensional, two_dimensional
from bayesuplift.inference.rising import log_rising
from tests.support.worlds import seed_of

SIZE = 40_000
REJECTED = 1e-4  # a Kolmogorov-Smirnov test of right draws


def generator(name: str) -> np.random.Generator:
    return np.random.default_rng(seed_of(name))


def far_from(draws: np.ndarray, distribution: Any) -> bool:
    return bool(stats.kstest(draws, distribution.cdf).pvalue < REJECTED)


ONE: dict[str, tuple[Any, float, float]] = {
    "normal": (stats.norm(), -50.0, 50.0),
    "needle": (stats.norm(3.0, 1e-6), -40.0, 40.0),
    "skewed": (stats.gamma(2.0), 0.0, 200.0),
    "at its end": (stats.expon(), 0.0, 300.0),
    "uniform": (stats.uniform(2.0, 3.0), 2.0, 5.0),
    "half": (stats.halfnorm(0.0, 2.0), 0.0, 1000.0),
}


@pytest.mark.parametrize("name", ONE)
def test_draws_of_one_quantity_follow_its_density(name: str) -> None:
    distribution, low, high = ONE[name]
    draws = one_dimensional.draw(
        lambda grid: np.nan_to_num(distribution.logpdf(grid), neginf=-1e300),
        np.array([low]),
        np.array([high]),
        generator(name),
        SIZE,
    )[:, 0]
    assert not far_from(draws, distribution)
    # the planted fault: draws off by a twentieth of a standard deviation
    assert far_from(draws + 0.05 * draws.std(), distribution)


def test_several_quantities_are_drawn_each_from_its_own_density() -> None:
    means = np.array([-5.0, 0.0, 1e5])
    draws = one_dimensional.draw(
        lambda grid: -0.5 * (grid - means[:, None]) ** 2,
        np.full(3, -1e6),
        np.full(3, 1e6),
        generator("several"),
        SIZE,
    )
    assert draws.shape == (SIZE, 3)
    assert not any(far_from(draws[:, k], stats.norm(means[k], 1.0)) for k in range(3))
    assert abs(np.corrcoef(draws.T) - np.eye(3)).max() < 5 / np.sqrt(SIZE)


TWO: dict[str, tuple[Callable[..., Any], Any, Any, tuple[float, float], tuple[float, float]]] = {
    # log density, marginal of the first, distribution of the second given the first
    "ridge": (
        lambda x, y: -0.5 * x**2 - 0.5 * ((y - x) / 0.01) ** 2,
        stats.norm(),
        lambda x: stats.norm(x, 0.01),
        (-30.0, 30.0),
        (-40.0, 40.0),
    ),
    "funnel": (
        lambda x, y: -x - 0.5 * (y / np.exp(-2 * x)) ** 2 + 2 * x,
        stats.expon(),
        lambda x: stats.norm(0.0, np.exp(-2 * x)),
        (0.0, 14.0),
        (-20.0, 20.0),
    ),
    "half": (
        lambda x, y: -0.5 * x**2 + stats.beta.logpdf(y, 2.0, 5.0),
        stats.halfnorm(),
        lambda x: stats.beta(2.0 + 0 * x, 5.0),
        (1e-9, 50.0),
        (1e-9, 1.0 - 1e-9),
    ),
    "skewed": (
        lambda x, y: stats.lognorm.logpdf(x, 0.5) - 0.5 * (y - x**2) ** 2,
        stats.lognorm(0.5),
        lambda x: stats.norm(x**2, 1.0),
        (1e-9, 50.0),
        (-50.0, 3000.0),
    ),
}


@pytest.mark.parametrize("name", TWO)
def test_draws_of_two_quantities_follow_their_joint_density(name: str) -> None:
    log_density, marginal, conditional, outer, inner = TWO[name]
    x, y = two_dimensional.draw(log_density, outer, inner, generator(name), SIZE)
    assert not far_from(x, marginal)
    uniform = conditional(x).cdf(y)
    assert not far_from(uniform, stats.uniform())
    assert abs(stats.spearmanr(x, uniform).statistic) < 5 / np.sqrt(SIZE)
    assert far_from(conditional(x + 0.1 * x.std()).cdf(y), stats.uniform()) or name == "half"
    assert far_from(x + 0.05 * x.std(), marginal)


@pytest.mark.parametrize("start", [1e-8, 0.3, 1.0, 7.5, 9999.0, 10_001.0, 1e7, 1e14])
@pytest.mark.parametrize("count", [0, 1, 17, 1000, 200_000_000])
def test_rising_factorials_keep_their_digits(start: float, count: int) -> None:
    with mpmath.workdps(60):
        exact = mpmath.loggamma(mpmath.mpf(start) + count) - mpmath.loggamma(mpmath.mpf(start))
    # rounding of the two terms of the size of count log start, or of the log gammas below 1e4
    size = abs(count * np.log(start + count)) + (1e5 if start <= 1e4 else 1.0)
    assert abs(float(log_rising(start, count)) - float(exact)) <= 8 * np.finfo(float).eps * size


def test_the_plain_difference_of_log_gammas_loses_them() -> None:
    plain = float(mpmath.fp.loggamma(1e14 + 17) - mpmath.fp.loggamma(1e14))
    assert abs(plain - float(log_rising(1e14, 17))) > 1e-3


def test_a_density_that_no_grid_resolves_is_an_error() -> None:
    with pytest.raises(NumericalError, match="narrower"):
        two_dimensional.draw(
            lambda x, y: -0.5 * x**2 - 0.5 * ((y - 0.1) / 1e-100) ** 2,
            (-9.0, 9.0),
            (-1.0, 1.0),
            generator("needle"),
            10,
        )
