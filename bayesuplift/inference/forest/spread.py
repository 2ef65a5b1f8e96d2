"""How far a forest's leaves spread: drawn given the leaves, and moved together with them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from bayesuplift.inference.forest import kernel


class Spread(NamedTuple):
    """Prior of the variance of a forest's leaves: InverseGamma(shape, rate), cut off at `most`."""

    shape: Any
    rate: Any
    most: Any


class Rows(NamedTuple):
    """What the rows say of a forest.

    Attributes
    ----------
    values
        (n,): the forest at the rows, times what multiplies it there.
    residual
        (n,): what it leaves.
    precision
        (n,): of the residual.
    """

    values: Any
    residual: Any
    precision: Any


def drawn(key: Any, prior: Spread, precision: Any, forest: tuple[kernel.Plot, kernel.Trees]) -> Any:
    """Draw the precision of the leaves, given these; where the draw is past what the prior allows, keep the one before.

    A Metropolis-Hastings step, whose proposal is the law without a limit.
    """
    number, squares = kernel.leaves(*forest)
    rate = prior.rate + squares / 2.0
    proposed = jax.random.gamma(key, prior.shape + number / 2.0, dtype=jnp.float32) / rate
    return jnp.where(proposed * prior.most < 1.0, precision, proposed)


def stretch(key: Any, prior: Spread, precision: Any, rows: Rows) -> Any:
    """By which factor to multiply all leaves, and to divide the root of their precision.

    Leaves in units of their spread stay as they are, so that the spread need not wait for hundreds of leaves to follow it.
    Given all else the factor g has the density, to a constant,

        exp(-A g^2 / 2 + B g) g^(-2 shape) exp(-rate precision / g^2)

    over log g, up to where the variance is at its most, with A g^2 and B g from the rows' squares: the sum over the orbit
    of this scaling, Liu and Sabatti (2000), Generalised Gibbs sampler and multigrid Monte Carlo for Bayesian computation,
    Biometrika 87(2), theorem 1. One Metropolis-Hastings step whose proposal is a step of Newton's method on log g.
    """
    squares = jnp.sum(rows.precision * rows.values**2)
    cross = squares + jnp.sum(rows.precision * rows.values * rows.residual)
    left = prior.rate * precision

    def log_density(u: Any) -> Any:
        of_rows = -0.5 * squares * jnp.exp(2.0 * u) + cross * jnp.exp(u)
        inside = jnp.exp(2.0 * u) <= precision * prior.most
        return jnp.where(inside, of_rows - 2.0 * prior.shape * u - left * jnp.exp(-2.0 * u), -jnp.inf)

    def proposal(u: Any) -> tuple[Any, Any]:
        slope = -squares * jnp.exp(2.0 * u) + cross * jnp.exp(u) - 2.0 * prior.shape + 2.0 * left * jnp.exp(-2.0 * u)
        bend = -2.0 * squares * jnp.exp(2.0 * u) + cross * jnp.exp(u) - 4.0 * left * jnp.exp(-2.0 * u)
        information = jnp.maximum(jnp.abs(bend), 1.0)
        return jnp.clip(slope / information, -1.0, 1.0), information

    to_step, to_acceptance = jax.random.split(key)
    mean, information = proposal(jnp.float32(0.0))
    step = mean + jax.random.normal(to_step, (), jnp.float32) / jnp.sqrt(information)
    back_mean, back_information = proposal(step)
    forth = 0.5 * jnp.log(information) - 0.5 * information * (step - mean) ** 2
    back = 0.5 * jnp.log(back_information) - 0.5 * back_information * (step + back_mean) ** 2
    gain = log_density(step) - log_density(jnp.float32(0.0))
    accepted = jnp.log(jax.random.uniform(to_acceptance, (), jnp.float32)) < gain + back - forth
    return jnp.where(accepted, jnp.exp(step), 1.0)
