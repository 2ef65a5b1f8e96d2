"""The prior learned from past experiments: published results, exact integrals, and whether its promise comes true."""

import importlib.util
import math
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import integrate, stats

import bayesuplift as bu
from bayesuplift.data.effects import Effects
from bayesuplift.decisions.learned_prior import EffectPrior, reweighted
from bayesuplift.errors import ArgumentError, PosteriorError
from bayesuplift.inference.portfolio import draw, draw_hyperparameters
from bayesuplift.inference.t_likelihood import log_likelihood
from bayesuplift.posterior.schema import mean_outcome
from bayesuplift.priors import PortfolioPrior
from tests.support.mcse import assert_within_mcse
from tests.support.worlds import binary_cells, seed_of

# Gelman et al. (2013), BDA3, table 5.2: Rubin's effects as rounded there.
ESTIMATE = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERROR = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
SCHOOLS = Effects(list("ABCDEFGH"), ESTIMATE, ERROR, "difference", "score")

# BDA3, table 5.3: quantiles of 200 draws of every effect, rounded to whole points.
PROBABILITIES = (0.025, 0.25, 0.5, 0.75, 0.975)
PUBLISHED = {
    "A": (-2, 7, 10, 16, 31),
    "B": (-5, 3, 8, 12, 23),
    "C": (-11, 2, 7, 11, 19),
    "D": (-7, 4, 8, 11, 21),
    "E": (-9, 1, 5, 10, 18),
    "F": (-7, 2, 6, 10, 28),
    "G": (-1, 7, 10, 15, 26),
    "H": (-6, 3, 8, 13, 33),
}
PUBLISHED_DRAWS = 200
# BDA3 section 5.4: uniform in the mean and in the scale; so wide a Cauchy is uniform where the posterior is, to 1e-6.
FLAT = PortfolioPrior(typical_mean=1e5, typical_scale=1e5, df=math.inf)
LEVEL = 1e-4


def generator(name: str) -> np.random.Generator:
    return np.random.default_rng(seed_of(name))


def outside(drawn: np.ndarray) -> list[tuple[str, float]]:
    """Published quantiles that 200 draws from the posterior would not show."""
    tails = np.array([LEVEL / 80, 1 - LEVEL / 80])
    limits = {p: np.asarray(stats.binom.ppf(tails, PUBLISHED_DRAWS, p)) / PUBLISHED_DRAWS for p in PROBABILITIES}
    found = []
    for school, effect in zip(PUBLISHED, drawn.T, strict=True):
        for p, quantile in zip(PROBABILITIES, PUBLISHED[school], strict=True):
            low, high = ((effect < quantile - 0.5).mean(), (effect <= quantile + 0.5).mean())
            if high < limits[p][0] or low > limits[p][1]:
                found.append((school, p))
    return found


def test_the_effects_of_eight_schools_are_those_published() -> None:
    assert outside(draw(SCHOOLS, FLAT, generator("schools"), 40_000)["effect"]) == []


@pytest.mark.parametrize(
    "fault", [lambda e: 1.6 * e, lambda e: e[:, ::-1], lambda e: ESTIMATE + ERROR * (e - e.mean(0)) / e.std(0)]
)
def test_other_effects_are_not_those_published(fault: Any) -> None:
    assert outside(fault(draw(SCHOOLS, FLAT, generator("schools"), 40_000)["effect"]))


def test_the_scale_and_mean_of_eight_schools_have_the_published_density() -> None:
    # BDA3 equation 5.21, and 5.20 for the mean given the scale
    scale = np.linspace(1e-6, 400.0, 200_001)
    precision = 1.0 / (ERROR**2 + scale[:, None] ** 2)
    variance = 1.0 / precision.sum(1)
    centre = variance * (precision * ESTIMATE).sum(1)
    density = np.sqrt(variance * precision.prod(1)) * np.exp(
        -0.5 * (precision * (ESTIMATE - centre[:, None]) ** 2).sum(1)
    )
    mass = density / density.sum()
    drawn = draw(SCHOOLS, FLAT, generator("scale"), 40_000)
    # moments of a bounded function: the scale itself has a tail of tau^-7, whose fourth moment is finite but wide
    of_scale: list[Callable[[np.ndarray], np.ndarray]] = [
        lambda t: np.minimum(t, 25.0),
        lambda t: (t < 10.0) * 1.0,
        lambda t: (t < 2.0) * 1.0,
    ]
    for function in of_scale:
        assert_within_mcse(function(drawn["scale"]).reshape(4, -1), (mass * function(scale)).sum(), comparisons=6)
    assert_within_mcse(drawn["mean"].reshape(4, -1), (mass * centre).sum(), comparisons=6)


def test_the_marginal_likelihood_is_that_of_adaptive_quadrature() -> None:
    means, scales, tails = np.array([-5.0, 8.0]), np.array([0.5, 12.0, 40.0]), np.array([1e-4, 0.05, 0.3, 1.0])
    found = log_likelihood(SCHOOLS, means, scales, tails)
    for i, mean in enumerate(means):
        for j, scale in enumerate(scales):
            for k, tail in enumerate(tails):
                total = 0.0
                for y, s in zip(ESTIMATE, ERROR, strict=True):
                    effect = stats.t(1.0 / tail, mean, scale)

                    def joint(x: float, effect: Any = effect, y: float = y, s: float = s) -> float:
                        return float(effect.pdf(x) * math.exp(-0.5 * ((y - x) / s) ** 2) / s)

                    near = [p for p in (mean - scale, mean, mean + scale, y) if abs(p - y) < 12 * s]
                    total += math.log(
                        integrate.quad(joint, y - 12 * s, y + 12 * s, points=near, epsrel=1e-11, limit=400)[0]
                    )
                assert found[i, j, k] == pytest.approx(total, abs=1e-8)


@pytest.mark.parametrize("past", [1, 8, 60])
def test_a_mesh_twice_as_fine_gives_the_same_posterior(past: int) -> None:
    rng = generator(f"mesh {past}")
    error = rng.uniform(0.01, 0.05, past)
    effects = Effects(
        [str(k) for k in range(past)],
        0.01 + 0.02 * rng.standard_t(3, past) + error * rng.standard_normal(past),
        error,
        "log_ratio",
    )
    size = 40_000
    # the same uniform numbers for both: what differs is the mesh, not the luck
    coarse, fine = (
        draw_hyperparameters(effects, PortfolioPrior(), generator("same"), size, mesh=mesh) for mesh in (1, 2)
    )
    for one, other in zip(coarse, fine, strict=True):
        at = np.quantile(one, [0.1, 0.25, 0.5, 0.75, 0.9])
        shares = [(values[:, None] < at).mean(0) for values in (one, other)]
        # two binomial errors of 0.0025 each at the median, and 0.001 for the mesh
        np.testing.assert_allclose(shares[0], shares[1], rtol=0, atol=0.001 + 4.5 * math.sqrt(2 * 0.25 / size))


def test_where_the_likeliest_scale_is_zero_the_learned_one_is_not(wrong_sign: types.ModuleType) -> None:
    rng = generator("collapse")
    estimate, error = 0.5 * 0.03 * rng.standard_normal(20), np.full(20, 0.03)  # spread less than their errors explain
    effects = Effects([str(k) for k in range(20)], estimate, error, "log_ratio")
    assert wrong_sign.plug_in(effects) < 1e-4
    scale = draw_hyperparameters(effects, PortfolioPrior(), rng, 10_000)[1]
    assert np.quantile(scale, 0.05) > 1e-4
    assert np.median(scale) > 0.002


@pytest.fixture(scope="module")
def wrong_sign() -> types.ModuleType:
    path = Path(__file__).parents[3] / "models" / "portfolio" / "wrong_sign.py"
    specification = importlib.util.spec_from_file_location("wrong_sign_of_portfolio", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def gap(found: dict[str, np.ndarray]) -> tuple[float, float]:
    """Stated less real share of wrong signs, and its standard error over portfolios."""
    difference, decided = found["stated"] - found["wrong"], found["decided"].sum()
    return float(difference.sum() / decided), float(difference.std(ddof=1) * math.sqrt(difference.size) / decided)


@pytest.mark.parametrize("world", ["normal", "t3"])
def test_the_stated_wrong_sign_comes_true_from_200_past_tests_on(wrong_sign: types.ModuleType, world: str) -> None:
    difference, error = gap(wrong_sign.simulate(world, 200, 8, seed_of("wrong sign")))
    assert abs(difference) <= 0.01 + 3 * error
    assert error < 0.005


def test_a_prior_ten_times_too_wide_states_a_wrong_sign_that_does_not(wrong_sign: types.ModuleType) -> None:
    difference, error = gap(wrong_sign.simulate("normal", 200, 4, seed_of("wrong sign"), widened=10.0))
    assert difference < -0.01 - 3 * error


def learned(of: str = "log_ratio", mean: float = 0.0, scale: float = 0.02, draws: int = 1) -> EffectPrior:
    spread = np.linspace(0.5, 1.5, draws) if draws > 1 else np.ones(1)
    return EffectPrior(np.full(draws, mean), scale * spread, np.full(draws, 5.0), of, "visit", 200, "")  # type: ignore[arg-type]


def test_the_density_of_a_new_effect_is_one_and_its_quantiles_invert_it() -> None:
    prior = learned(mean=0.01, draws=7)
    assert integrate.quad(lambda e: float(np.exp(prior.log_density(e))), -np.inf, np.inf, points=None)[
        0
    ] == pytest.approx(1.0)
    asked = np.array([0.01, 0.5, 0.975])
    np.testing.assert_allclose(prior.prob_below(prior.quantile(asked)), asked, atol=1e-12)
    lone = learned(draws=1)
    np.testing.assert_allclose(lone.log_density([0.0, 0.3]), stats.t(5, 0, 0.02).logpdf([0.0, 0.3]))
    assert lone.sd == pytest.approx(0.02 * math.sqrt(5 / 3))
    assert "200 past experiments" in str(lone)


def test_effects_of_treatments_share_what_is_not_known_of_the_past() -> None:
    prior, pair = learned(draws=9), np.array([0.05, 0.05])
    assert float(prior.log_joint_density(pair)) > float(prior.log_density(pair).sum()) + 0.1
    assert float(learned().log_joint_density(pair)) == pytest.approx(float(learned().log_density(pair).sum()))


def flat(successes: tuple[int, int], trials: int = 2000, draws: int = 5000) -> xr.DataArray:
    name = f"{successes} of {trials}"
    return mean_outcome(
        bu.fit("beta_binomial", binary_cells([trials, trials], successes), seed=seed_of(name), draws=draws)
    )


def exact_mean(successes: tuple[int, int], prior: EffectPrior, trials: int = 2000) -> float:
    """Posterior mean of the log ratio: control ~ Beta(1, 1), the effect from the learned prior."""
    effect = np.linspace(-0.3, 0.3, 2401)
    control = stats.beta(1 + successes[0], 1 + trials - successes[0]).ppf((np.arange(400) + 0.5) / 400)
    rate = control[:, None] * np.exp(effect)
    weight = successes[1] * np.log(rate) + (trials - successes[1]) * np.log1p(-rate) + prior.log_density(effect)
    mass = np.exp(weight - weight.max())
    return float((mass * effect).sum() / mass.sum())


def test_draws_are_brought_under_the_learned_prior() -> None:
    successes, prior = (100, 112), learned()
    draws = flat(successes)
    weights, check = reweighted(draws, prior, control="a")
    assert check.passed
    assert weights is not None
    effect = np.log(draws.sel(arm="b") / draws.sel(arm="a"))
    mean = float((weights * effect).sum())
    error = float(np.sqrt((weights**2 * (effect - mean) ** 2).sum()))
    expected = exact_mean(successes, prior)
    assert abs(mean - expected) < 4.5 * error
    # planted fault: without the prior the effect is ten errors away
    assert abs(float(effect.mean()) - expected) > 10 * error


def test_draws_too_far_from_the_learned_prior_are_not_weighed() -> None:
    weights, check = reweighted(flat((100, 160), draws=1000), learned(scale=0.001), control="a")
    assert weights is None
    assert not check.passed
    assert "draw more" in check.sentence


def test_a_log_ratio_of_a_mean_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ArgumentError, match="above 0"):
        reweighted(flat((100, 110)) - 0.055, learned(), control="a")


def test_a_posterior_of_another_model_teaches_no_prior() -> None:
    with pytest.raises(PosteriorError, match="portfolio"):
        EffectPrior.learned_from(bu.fit("beta_binomial", binary_cells([10, 10], [2, 3]), seed=1))


@pytest.mark.parametrize(
    "options",
    [{"typical_mean": 0.0}, {"typical_scale": 0.0}, {"df": 0.5}, {"df": math.nan}, {"typical_scale": math.inf}],
)
def test_a_prior_that_is_no_distribution_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ArgumentError, match="PortfolioPrior"):
        PortfolioPrior(**options)


def test_what_a_prior_leaves_open_comes_from_the_standard_errors_alone() -> None:
    other = Effects(SCHOOLS.experiment, 10.0 * ESTIMATE, ERROR, "difference", "score")
    assert PortfolioPrior().resolved(SCHOOLS) == PortfolioPrior().resolved(other) == PortfolioPrior(typical_scale=11.0)
    names = PortfolioPrior().alternatives(SCHOOLS)
    assert list(names) == ["stated", "weak", "strong"]
    assert names["weak"].typical_scale == 5 * 11.0
