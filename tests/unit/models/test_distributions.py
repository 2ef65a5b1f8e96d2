"""The laws that programs observe, against SciPy's and their own moments."""

from typing import Any, Final

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
from numpy.typing import NDArray
from scipy.special import gammaln
from scipy.stats import chi2, multivariate_normal, nbinom

from bayesuplift.distributions import MultivariateNormal, RisingNegativeBinomial, SquaredDeviations
from bayesuplift.inference.session import jax_session
from tests.support.mcse import assert_within_mcse
from tests.support.worlds import seed_of

Array = NDArray[np.float64]

ROUNDINGS: Final = (
    16  # of the largest term of a log density; each has half a dozen, sums of logarithms more, but smaller
)
EPS: Final = float(np.finfo(np.float64).eps)
DF: Final = np.array([1.0, 2.0, 3.0, 17.0, 5000.0])
SD: Final = np.array([0.01, 0.7, 1.0, 3.0, 1e4])


def squares_log_density(value: Array, df: Array, sd: Array) -> Array:
    with jax_session():
        return np.asarray(SquaredDeviations(df, sd).log_prob(value))


def test_squared_deviations_are_a_scaled_chi_squared() -> None:
    df, sd = (one.ravel() for one in np.meshgrid(DF, SD))
    for quantile in (0.001, 0.5, 0.999):
        value = chi2.ppf(quantile, df) * sd**2
        ours, theirs = squares_log_density(value, df, sd), chi2.logpdf(value / sd**2, df) - 2.0 * np.log(sd)
        largest = 1.0 + gammaln(df / 2) + df * (1.0 + np.abs(np.log(sd)) + np.abs(np.log(value)))
        assert (np.abs(ours - theirs) <= ROUNDINGS * EPS * largest).all()
        one_more = chi2.logpdf(value / sd**2, df + 1) - 2.0 * np.log(sd)
        assert (np.abs(ours - one_more) > ROUNDINGS * EPS * largest).all()


def test_of_units_that_are_all_equal_the_part_that_no_sd_changes_is_left_out() -> None:
    df, sd = (one.ravel() for one in np.meshgrid(DF, SD))
    at_zero = squares_log_density(np.zeros_like(df), df, sd)
    # x^(df / 2 - 1) apart, the density's limit: what remains at an x so small that exp(-x / 2 sd^2) is 1
    near = 1e-30 * sd**2
    limit = chi2.logpdf(near / sd**2, df) - 2.0 * np.log(sd) - (df / 2 - 1.0) * np.log(near)
    largest = 1.0 + gammaln(df / 2) + df * (np.abs(np.log(sd)) + np.abs(np.log(near)))
    assert (np.abs(at_zero - limit) <= ROUNDINGS * EPS * largest).all()
    assert np.isfinite(at_zero).all()


def test_the_slope_in_sd_is_finite_where_units_are_all_equal() -> None:
    with jax_session():
        slope = jax.grad(lambda sd: SquaredDeviations(4.0, sd).log_prob(0.0))(2.0)
    assert float(slope) == -2.0  # d(-df log sd) = -df / sd


def test_squared_deviations_have_the_moments_of_their_law() -> None:
    df, sd = np.array([1.0, 4.0, 30.0]), np.array([2.0, 0.5, 1.0])
    with jax_session():
        key = jax.random.key(seed_of("squared deviations"))
        drawn = np.asarray(SquaredDeviations(df, sd).sample(key, (4, 5000)))
    assert_within_mcse(drawn, df * sd**2, comparisons=2)
    assert_within_mcse((drawn - df * sd**2) ** 2, 2.0 * df * sd**4, comparisons=2)
    with pytest.raises(AssertionError, match="Monte Carlo errors apart"):
        assert_within_mcse(drawn, (df + 1.0) * sd**2)


GROUP: Final = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 2])
COUNT: Final = np.array([0.0, 0.0, 0.0, 1.0, 3.0, 7.0, 40.0, 60.0, 59.0, 5.0, 2.0])
MEAN: Final = np.array([0.1, 1.0, 20.0, 2.0, 2.0, 9.0, 3.0, 50.0, 1e-3, 700.0, 2.0])
CONCENTRATION: Final = np.array([0.05, 1.0, 1e4])


def counts(concentration: Any = CONCENTRATION, group: Any = GROUP) -> RisingNegativeBinomial:
    return RisingNegativeBinomial(MEAN, jax.numpy.asarray(concentration), group, np.arange(64))


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
def test_negative_binomial_counts_have_scipys_log_probability(factor: float) -> None:
    size = (CONCENTRATION * factor)[GROUP]
    with jax_session():
        ours = np.asarray(counts(CONCENTRATION * factor).log_prob(COUNT))
    theirs = nbinom.logpmf(COUNT, size, size / (size + MEAN))
    largest = 1.0 + (size + COUNT) * (1.0 + np.abs(np.log(size + MEAN)) + np.abs(np.log(size)))
    largest += COUNT * (np.abs(np.log(MEAN)) + size / MEAN) + gammaln(
        COUNT + 1
    )  # SciPy takes 1 - p of the p it is given
    assert (np.abs(ours - theirs) <= ROUNDINGS * EPS * largest).all()


def test_counts_of_another_group_have_another_log_probability() -> None:
    size = CONCENTRATION[GROUP]
    theirs = nbinom.logpmf(COUNT, size, size / (size + MEAN))
    with jax_session():
        turned = np.asarray(counts(group=(GROUP + 1) % 3).log_prob(COUNT))
        off_by_one = np.asarray(
            RisingNegativeBinomial(MEAN, jax.numpy.asarray(CONCENTRATION), GROUP, np.arange(1, 65)).log_prob(COUNT)
        )
    assert (np.abs(turned - theirs) > 1e-3).any()
    assert (np.abs(off_by_one - theirs)[COUNT > 0] > 1e-6).all()


def test_negative_binomial_counts_have_the_moments_of_their_law() -> None:
    mean, size, group = np.array([0.5, 4.0]), np.array([2.0, 30.0]), np.array([1, 0])
    with jax_session():
        law = RisingNegativeBinomial(mean, jax.numpy.asarray(size), group, np.arange(64))
        drawn = np.asarray(law.sample(jax.random.key(seed_of("counts")), (4, 10_000)), dtype=np.float64)
    assert_within_mcse(drawn, mean, comparisons=2)
    assert_within_mcse((drawn - mean) ** 2, mean + mean**2 / size[group], comparisons=2)
    with pytest.raises(AssertionError, match="Monte Carlo errors apart"):
        assert_within_mcse((drawn - mean) ** 2, mean + mean**2 / size)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_multivariate_density_is_that_of_scipy(size: int) -> None:
    rng = np.random.default_rng(seed_of("multivariate density"))
    root = np.tril(rng.normal(size=(size, size)))
    root[np.arange(size), np.arange(size)] = rng.uniform(0.1, 2.0, size)
    values, mean = rng.normal(size=(5, size)), rng.normal(size=size)
    with jax_session():
        found = np.asarray(MultivariateNormal(mean, scale_tril=root).log_prob(values))
    np.testing.assert_allclose(found, multivariate_normal(mean, root @ root.T).logpdf(values), rtol=1e-9)


def solvers_of(law: Any) -> bool:
    """Whether the compiled density of draws in a batch calls a solver of the linear algebra library."""
    with jax_session():
        density = jax.jit(lambda root, one: law(np.zeros(2), scale_tril=root).log_prob(one))
        return "triangular" in density.lower(np.tile(np.eye(2), (5, 1, 1)), np.zeros((5, 2))).as_text()


def test_the_multivariate_density_waits_for_no_solver() -> None:
    assert not solvers_of(MultivariateNormal)
    assert solvers_of(dist.MultivariateNormal)  # what is looked for is there to be found
