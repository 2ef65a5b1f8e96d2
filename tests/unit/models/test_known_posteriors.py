"""Posteriors known from elsewhere: printed in books, or integrals that share no code and no formula with the package.

Beta-binomial populations are integrated over their mean m and spread t, both uniform on (0, 1), by Gauss-Legendre rules.
The likelihood is taken as a ratio of products, prod (m + i t^2) prod (1 - m + i t^2) / prod (1 + i t^2): polynomials where
the package has gamma functions of m / t^2, on grids of the logit.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import roots_legendre
from scipy.stats import beta as beta_distribution

import bayesuplift as bu
from bayesuplift.posterior.closed_form import parameters
from bayesuplift.priors import ExchangeableRatesPrior, RatePrior
from tests.support.mcse import assert_within_mcse
from tests.support.worlds import binary_cells, seed_of

Array = NDArray[np.float64]

GOLDEN: Final = Path(__file__).parents[2] / "golden"
ERRORS: Final = 4.0  # standard errors of a published Monte Carlo mean; exceeded in one of 650 tables of 24


@dataclass(frozen=True)
class Groups:
    """Units and conversions of exchangeable groups, by label."""

    labels: tuple[str, ...]
    n: NDArray[np.int64]
    total: NDArray[np.int64]


def rats() -> Groups:
    table = pd.read_csv(GOLDEN / "rat_tumours.csv", comment="#", dtype={"experiment": str})
    return Groups(tuple(table.experiment), table.rats.to_numpy(), table.tumours.to_numpy())


def batters() -> Groups:
    """Efron and Morris (1975), table 1: hits in the first 45 at bats of 1970, in their order."""
    hits = np.array([18, 17, 16, 15, 14, 14, 13, 12, 11, 11, 10, 10, 10, 10, 10, 9, 8, 7])
    return Groups(tuple(f"player {k:02d}" for k in range(1, 19)), np.full(18, 45), hits)


REMAINDER: Final = np.array(
    [
        *(0.346, 0.298, 0.276, 0.222, 0.273, 0.270, 0.263, 0.210, 0.269),
        *(0.230, 0.264, 0.256, 0.303, 0.264, 0.226, 0.285, 0.316, 0.200),
    ]
)
"""The same table: their averages in the remainder of the season."""


def hospitals() -> Groups:
    """BUGS examples, volume 1, "Surgical: institutional ranking": operations on babies, and deaths."""
    n = np.array([47, 148, 119, 810, 211, 196, 148, 215, 207, 97, 256, 360])
    return Groups(tuple("ABCDEFGHIJKL"), n, np.array([0, 18, 8, 46, 8, 13, 9, 31, 14, 8, 29, 24]))


# The results printed with that example (20,000 updates): mean, sd, Monte Carlo error of the mean, effective draws.
INDEPENDENT: Final = np.array(
    [
        [0.02057, 0.0199, 1.412e-4, 19861],
        [0.1263, 0.02721, 1.824e-4, 22236],
        [0.07446, 0.02378, 1.705e-4, 19466],
        [0.05788, 0.008089, 5.273e-5, 23533],
        [0.04222, 0.01381, 9.585e-5, 20755],
        [0.0706, 0.0182, 1.357e-4, 17988],
        [0.06655, 0.02018, 1.419e-4, 20228],
        [0.1476, 0.02416, 1.724e-4, 19648],
        [0.07187, 0.01783, 1.377e-4, 16779],
        [0.09065, 0.02856, 2.074e-4, 18955],
        [0.1163, 0.01989, 1.367e-4, 21156],
        [0.06898, 0.01334, 9.248e-5, 20819],
    ]
)
LOGIT_NORMAL: Final = np.array(
    [
        [0.05308, 0.01974],
        [0.1031, 0.02183],
        [0.07078, 0.01745],
        [0.05926, 0.007913],
        [0.05159, 0.0133],
        [0.06916, 0.01478],
        [0.06676, 0.01592],
        [0.1234, 0.02267],
        [0.06989, 0.01451],
        [0.07834, 0.01982],
        [0.1021, 0.01759],
        [0.06847, 0.01172],
    ]
)
"""Its hierarchical model, whose logits are normal with vague priors: mean and sd."""

DATA: Final[dict[str, Callable[[], Groups]]] = {"rats": rats, "batters": batters, "hospitals": hospitals}


def half_unit(published: Any) -> Array:
    """Half a unit of the last of four significant digits, as BUGS prints."""
    return 0.5 * 10.0 ** (np.floor(np.log10(np.asarray(published, dtype=np.float64))) - 3)


class Integral:
    """Posterior of a beta-binomial population under m, t ~ Uniform(0, 1), with t within `spreads`."""

    def __init__(
        self, groups: Groups, order: tuple[int, int] = (160, 500), spreads: tuple[float, float] = (0.0, 1.0)
    ) -> None:
        (x, x_weight), (z, z_weight) = (roots_legendre(points) for points in order)
        low, high = spreads
        self.spread = (low + (high - low) * (x + 1.0) / 2.0)[:, None]
        self.mean = ((z + 1.0) / 2.0)[None, :]
        self.groups = groups
        log_likelihood = log_products(groups, self.mean, self.spread**2)
        weights = np.exp(log_likelihood - log_likelihood.max()) * x_weight[:, None] * z_weight
        self.weights = weights / weights.sum()

    def expected(self, values: Any) -> float:
        """Posterior mean of a function of the population, given on the points of the rule."""
        return float((self.weights * values).sum())

    @functools.cached_property
    def rates(self) -> tuple[Array, Array]:
        """Posterior means, and mean squares, of the groups' rates: moments of Beta(m / t^2 + y, (1 - m) / t^2 + n - y)."""
        t = self.spread**2
        first, second = [], []
        for n, y in zip(self.groups.n, self.groups.total, strict=True):
            middle = (self.mean + y * t) / (1.0 + n * t)
            first.append(self.expected(middle))
            second.append(self.expected(middle * (self.mean + (y + 1) * t) / (1.0 + (n + 1) * t)))
        return np.array(first), np.array(second)


def log_products(groups: Groups, m: Any, t: Any) -> Array:
    """Log likelihood of a population with mean m and squared spread t, up to the binomial coefficients."""
    total: Array = np.zeros(np.broadcast_shapes(np.shape(m), np.shape(t)))
    for i in range(int(groups.n.max())):
        for counts, factor in ((groups.total, m + i * t), (groups.n - groups.total, 1.0 - m + i * t)):
            if often := int((counts > i).sum()):
                total = total + often * np.log(factor)
        total = total - int((groups.n > i).sum()) * np.log1p(i * t)
    return total


@functools.cache
def integral(name: str) -> Integral:
    return Integral(DATA[name]())


@functools.cache
def posterior(name: str, largest_spread: float = 1.0) -> xr.Dataset:
    """Draws of exchangeable_rates on the groups as arms, in the groups' order."""
    groups = DATA[name]()
    cells = binary_cells(groups.n, groups.total, arms=groups.labels, control=groups.labels[-1])
    prior = ExchangeableRatesPrior(largest_spread=largest_spread)
    tree = bu.fit("exchangeable_rates", cells, seed=seed_of(f"known {name}"), prior=prior, draws=5000)
    return tree["posterior"].to_dataset().sel(arm=list(groups.labels))


def assert_agrees(draws: xr.Dataset, exact: Integral) -> None:
    """Means and mean squares of rates, mean and spread, within the Monte Carlo error of the draws."""
    mean, square = exact.rates
    rate = draws["rate"].transpose("chain", "draw", "arm").to_numpy()
    assert_within_mcse(rate, mean, comparisons=6)
    assert_within_mcse(rate**2, square, comparisons=6)
    for site in ("mean", "spread"):
        values = getattr(exact, site) + 0.0 * exact.weights
        for power in (1, 2):
            assert_within_mcse(
                draws[site].to_numpy() ** power, exact.expected(values**power), comparisons=6 * len(mean)
            )


@pytest.mark.parametrize("name", DATA)
def test_the_integrals_do_not_depend_on_their_rule(name: str) -> None:
    finer = Integral(DATA[name](), order=(120, 380))
    for ours, other in zip(integral(name).rates, finer.rates, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-10)
    spread = integral(name).expected(integral(name).spread), finer.expected(finer.spread)
    assert spread[0] == pytest.approx(spread[1], rel=1e-10)


@pytest.mark.parametrize("name", DATA)
def test_draws_agree_with_the_integral(name: str) -> None:
    assert_agrees(posterior(name), integral(name))


def one_more_conversion(groups: Groups) -> Groups:
    return Groups(groups.labels, groups.n, groups.total + (np.arange(len(groups.n)) == 0))


def two_groups_exchanged(groups: Groups) -> Groups:
    order = np.arange(len(groups.n))
    order[[0, -1]] = order[[-1, 0]]
    return Groups(groups.labels, groups.n[order], groups.total[order])


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("fault", [one_more_conversion, two_groups_exchanged])
def test_the_integral_of_other_data_is_rejected(name: str, fault: Callable[[Groups], Groups]) -> None:
    with pytest.raises(AssertionError, match="Monte Carlo errors apart"):
        assert_agrees(posterior(name), Integral(fault(DATA[name]())))


@pytest.mark.parametrize("name", DATA)
def test_draws_under_another_prior_are_rejected(name: str) -> None:
    # the batters' spread is 0.073 in the mean, with a standard deviation of as much: half of the prior's range tells little
    half = {"rats": 0.25, "batters": 0.1, "hospitals": 0.125}[name]
    with pytest.raises(AssertionError, match="Monte Carlo errors apart"):
        assert_agrees(posterior(name, half), integral(name))


class TestRats:
    """Gelman et al. (2013), BDA3, section 5.3.

    Under p(alpha, beta) proportional to (alpha + beta)^(-5/2) the posterior means of alpha and beta are infinite, strictly:
    towards one rate for all, likelihood and prior fall off too slowly. The book's are over the range of its figure 5.3b,
    log(alpha + beta) from 1 to 5, outside of which lies one draw in 100,000.
    """

    RANGE: Final = (float(np.exp(-2.5)), float(np.exp(-0.5)))  # of t = (alpha + beta)^(-1/2)

    @functools.cached_property
    def on_the_grid(self) -> tuple[float, float]:
        exact = Integral(rats(), spreads=self.RANGE)
        size = exact.spread**-2
        return exact.expected(exact.mean * size), exact.expected((1.0 - exact.mean) * size)

    def test_means_are_the_printed_ones(self) -> None:
        assert tuple(round(value, 1) for value in self.on_the_grid) == (2.4, 14.3)

    def test_under_another_prior_they_are_not(self) -> None:
        exact = Integral(rats(), spreads=self.RANGE)
        size = exact.spread**-2
        # uniform in the logarithm of the spread
        others = [exact.expected(shape * size / exact.spread) for shape in (exact.mean, 1.0 - exact.mean)]
        of_one = exact.expected(1.0 / exact.spread + 0.0 * exact.mean)
        assert tuple(round(value / of_one, 1) for value in others) != (2.4, 14.3)

    def test_draws_have_these_means(self) -> None:
        draws = posterior("rats")
        size = draws["spread"].to_numpy() ** -2
        low, high = self.RANGE
        inside = (size > high**-2) & (size < low**-2)
        assert inside.mean() > 0.9995
        for shape, exact in zip((draws["mean"] * size, (1.0 - draws["mean"]) * size), self.on_the_grid, strict=True):
            assert_within_mcse((shape.to_numpy() - exact) * inside, 0.0, comparisons=2)
            with pytest.raises(AssertionError, match="Monte Carlo errors apart"):
                assert_within_mcse((shape.to_numpy() - 1.1 * exact) * inside, 0.0, comparisons=2)

    def test_the_mode_is_near_the_one_read_off_the_printed_contours(self) -> None:
        def minus_log_density(at: Array) -> float:
            ratio, log_size = at
            m, t = 1.0 / (1.0 + np.exp(-ratio)), np.exp(-log_size)
            # equation 5.10: alpha beta (alpha + beta)^(-5/2) = m (1 - m) (alpha + beta)^(-1/2)
            return -float(log_products(rats(), m, t) + np.log(m * (1.0 - m)) - log_size / 2.0)

        mode = minimize(minus_log_density, (-1.5, 2.0), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9}).x
        # "roughly (-1.75, 2.8)": contours an inch wide are read to a twentieth of the axes' lengths, 1 and 4
        assert abs(mode[0] + 1.75) < 0.05
        assert abs(mode[1] - 2.8) < 0.2

    def test_the_current_experiment_is_drawn_towards_the_others(self) -> None:
        rate = posterior("rats")["rate"].sel(arm="71")
        others = rats().total[:-1].sum() / rats().n[:-1].sum()
        assert others < float(rate.mean()) < 4 / 14


class TestBatters:
    """Efron and Morris (1975), Data analysis using Stein's estimator and its generalizations, JASA 70, 311-319.

    And the same authors (1977), Stein's paradox in statistics, Scientific American 236(5), 119-127.
    """

    def test_the_data_give_the_printed_figures(self) -> None:
        raw = batters().total / 45
        # 1977: grand average .265, shrinking factor .212
        factor = 1.0 - 15 * raw.mean() * (1.0 - raw.mean()) / 45 / ((raw - raw.mean()) ** 2).sum()
        assert (round(raw.mean(), 3), round(factor, 3)) == (0.265, 0.212)
        # 1975, on the scale sqrt(45) arcsin(2 y - 1): squared errors 17.56 and 5.01. The averages are printed to three
        # digits: half a unit of the third is .0005 (45 / (p (1 - p)))^(1/2) = .0076 there; eighteen of them, uniform and
        # independent, move a sum of squares of 17.56 by 2 (17.56 / 3)^(1/2) .0076 = .037, one of 5.01 by .020
        before, after = (np.sqrt(45) * np.arcsin(2 * values - 1) for values in (raw, REMAINDER))
        deviations = before - before.mean()
        stein = before.mean() + (1.0 - 15 / (deviations**2).sum()) * deviations
        assert ((before - after) ** 2).sum() == pytest.approx(17.56, abs=3 * 0.037)
        assert ((stein - after) ** 2).sum() == pytest.approx(5.01, abs=3 * 0.020)

    def test_posterior_means_are_the_james_stein_estimates_within_two_points(self) -> None:
        """Points are thousandths. The posterior averages over how much to shrink; Stein's estimator has one factor."""
        stein = 0.265 + 0.212 * (batters().total / 45 - 0.265)
        ours = posterior("batters")["rate"].mean(("chain", "draw")).to_numpy()
        error = posterior("batters")["rate"].std(("chain", "draw")).to_numpy() / np.sqrt(20_000)
        assert (np.abs(ours - stein) < 0.002 + 5 * error).all()
        assert np.abs(batters().total / 45 - stein).max() > 0.1

    def test_they_predict_the_remainder_of_the_season_three_and_a_half_times_as_well(self) -> None:
        raw = batters().total / 45
        ours = posterior("batters")["rate"].mean(("chain", "draw")).to_numpy()
        apart = ((raw - REMAINDER) ** 2).sum(), ((ours - REMAINDER) ** 2).sum()
        # 1975: 3.50, of Stein's estimator on its own scale, to 0.5% in the printed sums, whose averages are rounded, too:
        # .037 / 17.56 and .020 / 5.01, above, are 0.5% together. Two points in every estimate change the sum of squared
        # errors S = .0213 to second order (a factor near the best one) by 18 (.002)^2 / S = 0.3%
        assert apart[0] / apart[1] == pytest.approx(3.50, rel=0.013)

    def test_the_rates_of_beta_binomial_do_not(self) -> None:
        apart = (batters().total + 1) / 47 - REMAINDER
        raw = batters().total / 45 - REMAINDER
        assert (raw**2).sum() / (apart**2).sum() < 1.5


class TestHospitals:
    """The independent model is beta_binomial; the hierarchical one, with normal logits, only a neighbour of ours."""

    @staticmethod
    def independent(prior: RatePrior) -> tuple[Array, Array, Array]:
        """Mean, sd, and kurtosis of every rate from the closed form."""
        groups = hospitals()
        cells = binary_cells(groups.n, groups.total, arms=groups.labels)
        alpha, beta = parameters(bu.fit("beta_binomial", cells, seed=1, prior=prior))
        rates = beta_distribution(alpha, beta)
        mean, sd = np.asarray(rates.mean()), np.asarray(rates.std())
        return mean, sd, 3.0 + np.asarray(rates.stats("k"))

    @staticmethod
    def errors(found: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        """Differences from the printed means and sds, in standard errors of BUGS' draws and their rounding."""
        mean, sd, kurtosis = found
        printed_mean, printed_sd, mcse, effective = INDEPENDENT.T
        # the error of an estimated sd is sd ((kurtosis - 1) / (4 draws))^(1/2)
        of_sd = sd * np.sqrt((kurtosis - 1.0) / (4.0 * effective))
        return (
            np.maximum(np.abs(mean - printed_mean) - half_unit(printed_mean), 0.0) / mcse,
            np.maximum(np.abs(sd - printed_sd) - half_unit(printed_sd), 0.0) / of_sd,
        )

    def test_the_independent_model_agrees_with_the_printed_results(self) -> None:
        for apart in self.errors(self.independent(RatePrior(1, 1))):
            assert apart.max() < ERRORS

    def test_under_another_prior_it_does_not(self) -> None:
        for prior in (RatePrior(0.5, 0.5), RatePrior(1, 2), RatePrior(2, 1)):
            assert max(apart.max() for apart in self.errors(self.independent(prior))) > ERRORS

    def test_the_hierarchical_model_is_within_a_third_of_a_deviation_of_normal_logits(self) -> None:
        printed, sd = LOGIT_NORMAL.T
        mean = integral("hospitals").rates[0]
        apart = np.abs(mean - printed) / sd
        assert apart.max() < 1 / 3
        # all but A, which had no death: the two populations differ most next to 0
        assert apart[1:].max() < 0.2
        # rates that borrow nothing are farther away by far
        assert (np.abs(INDEPENDENT[:, 0] - printed) / sd).max() > 1.5

    def test_both_rank_the_hospitals_alike(self) -> None:
        ours, printed = integral("hospitals").rates[0], LOGIT_NORMAL[:, 0]
        worst, best = ([int(np.argsort(rates)[end]) for rates in (ours, printed)] for end in (-1, 0))
        assert hospitals().labels[worst[0]] == hospitals().labels[worst[1]] == "H"
        assert {hospitals().labels[k] for k in best} <= {"A", "E"}


# Eight schools (Rubin, 1981; BDA3, section 5.5), by `portfolio`: this place is for the tests of that model.
