"""A binary outcome: the normal values behind it, and a line that is drawn without them."""

import math
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp

from bayesuplift.inference.forest.normal import given_information, root_of

_FAR: Final = 11.0
_HALF_A_STEP: Final = 2.0**-25
_HALF_LOG_TWO_PI: Final = 0.5 * math.log(2.0 * math.pi)


def behind(key: Any, outcome: Any, mean: Any) -> Any:
    """Draw the normal value of variance 1 behind each outcome: above 0 for a 1, below for a 0. Albert and Chib (1993).

    Parameters
    ----------
    key
        A random key.
    outcome
        (n,), float32: 0 or 1.
    mean
        (n,), float32: of the values.
    """
    side = 2.0 * outcome - 1.0
    return side * (side * mean + above(key, -side * mean))


class Predictor(NamedTuple):
    """The normal value's mean as a line: `rest + coefficients @ design`.

    Attributes
    ----------
    rest
        (n,): what is held.
    design
        (k, n).
    weight
        (n,): 1, or 0 for a row that is none.
    mean, precision
        (k,): of the coefficients' prior, normal and independent.
    """

    rest: Any
    design: Any
    weight: Any
    mean: Any
    precision: Any


def line(key: Any, outcome: Any, given: Predictor, now: Any) -> Any:
    """Move the coefficients (k,) of a line, given the outcomes and not the values behind them.

    A Metropolis-Hastings step whose proposal is one step of Newton's method: normal about where it leads, with the inverse
    of its Hessian as covariance. Gamerman (1997), Sampling from the posterior distribution in generalized linear mixed
    models, Statistics and Computing 7, section 2.1. Given the values behind them, intercept and effects would move by a
    part of their standard deviation only, the smaller the rarer the outcome is.
    """
    to_proposal, to_acceptance = jax.random.split(key)
    side = 2.0 * outcome - 1.0
    here, score, information = _expanded(side, given, now)
    drawn = jax.random.normal(to_proposal, now.shape, jnp.float32)
    step = given_information(information, score, drawn)
    there, score_there, information_there = _expanded(side, given, now + step)
    # row by row: the sums themselves have more digits than float32
    gain = jnp.sum(given.weight * (there - here))
    gain += jnp.sum(given.precision * step * (given.mean - now - step / 2.0))
    forth = _log_density(step, score, information)
    back = _log_density(-step, score_there, information_there)
    accepted = jnp.log(jax.random.uniform(to_acceptance, (), jnp.float32)) < gain + back - forth
    return jnp.where(accepted, now + step, now)


def _expanded(side: Any, given: Predictor, coefficients: Any) -> tuple[Any, Any, Any]:
    """Log likelihood of the rows (n,), and the posterior's score and information about the coefficients."""
    argument = side * (given.rest + coefficients @ given.design)
    likelihood = jax.scipy.special.log_ndtr(argument)
    # the density over the distribution function: Mills' ratio of the lower tail
    ratio = jnp.exp(-0.5 * argument**2 - _HALF_LOG_TWO_PI - likelihood)
    score = given.design @ (given.weight * side * ratio) + given.precision * (given.mean - coefficients)
    curvature = given.weight * ratio * (ratio + argument)
    information = (curvature * given.design) @ given.design.T + jnp.diag(given.precision)
    return likelihood, score, information


def _log_density(step: Any, score: Any, information: Any) -> Any:
    """Log density, less a constant, of a step from where score and information were taken."""
    half_log, left = root_of(information, score - information @ step)
    return half_log - 0.5 * jnp.sum(left**2)


def above(key: Any, least: Any) -> Any:
    """Standard normal values above `least`, by inversion of the upper tail, which float32 tells to 11 standard deviations.

    Past that the tail is exponential to one part in a hundred, Abramowitz and Stegun (1964), equation 26.2.12.
    """
    to_inside, to_far = jax.random.split(key)
    # the middle of what float32 tells apart: 0 would be infinitely far out
    share = jax.random.uniform(to_inside, least.shape, jnp.float32) + _HALF_A_STEP
    inside = -jax.scipy.special.ndtri(share * jax.scipy.special.ndtr(-jnp.minimum(least, _FAR)))
    outside = least + jax.random.exponential(to_far, least.shape, jnp.float32) / jnp.maximum(least, _FAR)
    return jnp.where(least > _FAR, outside, jnp.maximum(inside, least))
