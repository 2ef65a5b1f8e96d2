"""Steps of the forests' sampler one by one, each against a law that is known by other means."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import invgamma, norm, truncnorm

from bayesuplift.inference.forest import kernel, latent, spread
from bayesuplift.inference.forest.normal import given_information, root_of
from tests.support.mcse import assert_within_mcse
from tests.support.worlds import seed_of

CHAINS, STEPS = 200, 250


@pytest.mark.parametrize("size", [1, 2, 7])
def test_normal_values_have_the_mean_and_covariance_of_their_precision(size: int) -> None:
    generator = np.random.default_rng(seed_of(f"precision {size}"))
    root = generator.normal(size=(3, size, size + 2)).astype(np.float32)
    information, score = root @ root.swapaxes(-1, -2), generator.normal(size=(3, size)).astype(np.float32)
    with jax.enable_x64(False):  # noqa: FBT003 -- JAX's own signature
        drawn = jax.jit(given_information)
        mean = np.asarray(drawn(information, score, np.zeros((3, size), np.float32)))
        steps = [np.asarray(drawn(information, 0.0 * score, np.tile(one, (3, 1)))) for one in np.eye(size, dtype="f")]
    # float32 over the condition number of a few dimensions
    np.testing.assert_allclose(mean, np.linalg.solve(information, score[..., None])[..., 0], rtol=2e-3, atol=2e-3)
    spread = np.stack(steps, axis=-1)
    np.testing.assert_allclose(spread @ spread.swapaxes(-1, -2), np.linalg.inv(information), rtol=2e-3, atol=2e-3)


def visited(step: Callable[[Any, Any], Any], start: np.ndarray, name: str) -> np.ndarray:
    """Where chains (chain, draw, ...) are after each step from the start; the first fifth is left out."""

    def one(state: Any, key: Any) -> tuple[Any, Any]:
        state = step(key, state)
        return state, state

    def chain(key: Any) -> Any:
        return jax.lax.scan(one, jnp.asarray(start, jnp.float32), jax.random.split(key, STEPS))[1]

    with jax.enable_x64(False):  # noqa: FBT003 -- JAX's own signature
        found = jax.jit(jax.vmap(chain))(jax.random.split(jax.random.key(seed_of(name)), CHAINS))
    return np.asarray(found, dtype=np.float64)[:, STEPS // 5 :]


def test_the_root_of_a_precision_is_numpys() -> None:
    generator = np.random.default_rng(seed_of("root"))
    root = generator.normal(size=(4, 6)).astype(np.float32)
    information, vector = root @ root.T, generator.normal(size=4).astype(np.float32)
    lower = np.linalg.cholesky(information.astype(np.float64))
    with jax.enable_x64(False):  # noqa: FBT003
        half_log, solved = root_of(jnp.asarray(information), jnp.asarray(vector))
    assert float(half_log) == pytest.approx(np.log(np.diag(lower)).sum(), rel=1e-4)
    np.testing.assert_allclose(solved, np.linalg.solve(lower, vector), rtol=1e-3)


def moments(density: np.ndarray, *values: np.ndarray) -> list[float]:
    """Means of values under a density on a grid."""
    weights = np.exp(density - density.max())
    return [float((weights * value).sum() / weights.sum()) for value in values]


def test_a_line_behind_a_binary_outcome_has_the_law_that_a_grid_gives() -> None:
    generator = np.random.default_rng(seed_of("a line"))
    n, precision = 30, np.array([0.5, 2.0])
    treated, rest = np.arange(n) % 2.0, generator.normal(-1.0, 0.5, n)
    outcome = (rest + 0.7 * treated + generator.normal(size=n) > 0.0).astype(float)
    weight = (np.arange(n) < n - 2).astype(float)  # the last two are none
    given = latent.Predictor(
        *(jnp.asarray(one, jnp.float32) for one in (rest, [np.ones(n), treated], weight, [0, 0], precision))
    )
    found = visited(
        lambda key, now: latent.line(key, jnp.asarray(outcome, jnp.float32), given, now), np.zeros(2), "a line"
    )
    intercept, effect = np.meshgrid(np.linspace(-4, 5, 181), np.linspace(-4, 4, 161), indexing="ij")
    mean = rest + intercept[..., None] + effect[..., None] * treated
    density = (weight * norm.logcdf((2 * outcome - 1) * mean)).sum(-1)
    density -= 0.5 * (precision[0] * intercept**2 + precision[1] * effect**2)
    expected = moments(density, intercept, effect, intercept**2, effect**2, intercept * effect)
    drawn = (found[..., 0], found[..., 1], found[..., 0] ** 2, found[..., 1] ** 2, found[..., 0] * found[..., 1])
    for one, value in zip(drawn, expected, strict=True):
        assert_within_mcse(one, value, comparisons=5)
    # planted: rows that are none taken for some
    density += ((1.0 - weight) * norm.logcdf((2 * outcome - 1) * mean)).sum(-1)
    with pytest.raises(AssertionError):
        assert_within_mcse(drawn[0], moments(density, intercept)[0], comparisons=5)


@pytest.mark.parametrize(("noise", "most"), [(1.0, np.inf), (3.0, np.inf), (3.0, 0.67)])
def test_a_stretched_forest_has_the_law_that_a_grid_gives(noise: float, most: float) -> None:
    generator = np.random.default_rng(seed_of("stretched"))
    n, shape, rate, precision = 40, 3.0, 2.0, 1.5
    values, outcome = generator.normal(size=n), generator.normal(size=n)
    prior = spread.Spread(jnp.float32(shape), jnp.float32(rate), jnp.float32(most))
    own, target = jnp.asarray(values, jnp.float32), jnp.asarray(outcome, jnp.float32)

    def step(key: Any, u: Any) -> Any:
        stretched = jnp.exp(u) * own
        rows = spread.Rows(stretched, target - stretched, jnp.full(n, noise**-2.0, jnp.float32))
        return u + jnp.log(spread.stretch(key, prior, precision * jnp.exp(-2.0 * u), rows))

    found = visited(step, np.zeros(()), f"stretched {noise} {most}")
    u = np.linspace(-6.0, 4.0, 4001)
    squares = ((outcome - np.exp(u)[:, None] * values) ** 2).sum(-1)

    def density(times: float, most: float = most) -> np.ndarray:
        free = -0.5 * squares / noise**2 - times * shape * u - rate * precision * np.exp(-2.0 * u)
        return np.asarray(np.where(np.exp(2.0 * u) <= most * precision, free, -np.inf))

    for one, value in zip((found, found**2), moments(density(2.0), u, u**2), strict=True):
        assert_within_mcse(one, value, comparisons=2)
    with pytest.raises(AssertionError):  # planted: the volume that stretching changes forgotten
        assert_within_mcse(found, moments(density(1.0), u)[0], comparisons=1)
    if np.isfinite(most):
        assert np.exp(2.0 * found.max()) <= most * precision * (1.0 + 1e-6)
        with pytest.raises(AssertionError):  # planted: the limit forgotten
            assert_within_mcse(found, moments(density(2.0, np.inf), u)[0], comparisons=1)


@pytest.mark.parametrize("most", [np.inf, 0.6])
def test_the_variance_of_leaves_given_them_is_inverse_gamma_cut_off_at_its_most(most: float) -> None:
    """The forest is one tree of one leaf."""
    shape, rate, leaf = 3.0, 1.0, 1.2
    prior = spread.Spread(jnp.float32(shape), jnp.float32(rate), jnp.float32(most))
    with jax.enable_x64(False):  # noqa: FBT003 -- JAX's own signature
        bins = np.arange(8, dtype=np.uint8)[None]
        plot, trees = kernel.plant(bins, np.array([7]), kernel.Shape(1, 2, 0.5, 1.0, 1), weights=None, leaf_sd=1.0)
    trees = trees._replace(leaf=np.full_like(trees.leaf, leaf))
    found = 1.0 / visited(lambda key, now: spread.drawn(key, prior, now, (plot, trees)), np.array(5.0), f"given {most}")
    law = invgamma(shape + 0.5, scale=rate + leaf**2 / 2.0)
    below = law.cdf(most)
    assert_within_mcse(found, law.expect(lambda v: v, ub=most) / below, comparisons=2)
    assert_within_mcse(1.0 / found, law.expect(lambda v: 1.0 / v, ub=most) / below, comparisons=2)
    if np.isfinite(most):
        assert found.max() <= most * (1.0 + 1e-6)
        with pytest.raises(AssertionError):  # planted: the limit forgotten
            assert_within_mcse(found, law.mean(), comparisons=2)


@pytest.mark.parametrize("least", [-30.0, -6.0, -1.0, 2.9, 5.0, 11.0])
def test_values_behind_a_binary_outcome_are_normal_above_the_threshold(least: float) -> None:
    found = above(least, 200_000).reshape(4, -1)
    law = truncnorm(least, np.inf)
    assert found.min() >= least
    assert_within_mcse(found, law.mean(), comparisons=2)
    assert_within_mcse((found - law.mean()) ** 2, law.var(), comparisons=2)
    with pytest.raises(AssertionError):  # planted: a threshold a twentieth off
        assert_within_mcse(found, truncnorm(least + 0.05, np.inf).mean() if least > -5.0 else 0.05, comparisons=2)


@pytest.mark.parametrize("least", [-1e4, 0.0, 3.0, 11.0, 12.0, 1e4])
def test_of_very_many_values_none_is_infinite(least: float) -> None:
    # one in eight million is the smallest share that float32 deals
    found = above(least, 20_000_000)
    assert np.isfinite(found).all()
    assert found.min() >= least
    assert found.max() < max(least, 0.0) + 7.0


def above(least: float, size: int) -> np.ndarray:
    with jax.enable_x64(False):  # noqa: FBT003 -- JAX's own signature
        key = jax.random.key(seed_of(f"above {least}"))
        return np.asarray(jax.jit(latent.above)(key, np.full(size, least, np.float32)), dtype=np.float64)
