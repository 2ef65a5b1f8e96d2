"""Terms of groups of rows, within the sweep: every level's own intercept and effects, with scales learned from all levels.

A term adds u_l + sum_a c_a v_{l,a} to a row of level l, with u_l ~ N(0, omega^2) and v_{l,a} ~ N(0, psi^2). Each scale is
|alpha| sigma, with alpha normal and sigma^2 inverse gamma: a half-t scale, and steps that do not stall where it is near 0;
Gelman (2006), Prior distributions for variance parameters in hierarchical models, section 3.2.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from bayesuplift.inference.forest.normal import given_information


class Groups(NamedTuple):
    """Which level each row has, by term; a term has F of them, of at most L levels.

    Attributes
    ----------
    place
        (F, n), int32: level of each row.
    there
        (F, L), float32: 1 for a level that the term has, 0 behind its last.
    design
        (F, L, 1 + A, 1 + A), float32: sum of weight x x' over the rows of each level, x = (1, c).
    """

    place: Any
    there: Any
    design: Any


class GroupPrior(NamedTuple):
    """Prior of the scales, alike for all terms.

    Attributes
    ----------
    sd
        (2,): scale of the half-t law of omega and of psi.
    degrees
        Its degrees of freedom.
    """

    sd: Any
    degrees: Any


class Levels(NamedTuple):
    """Where the terms of one chain are.

    Attributes
    ----------
    value
        (F, L, 1 + A): levels in units of their alpha, the intercept's first.
    alpha, variance
        (F, 2): of intercepts and of effects.
    """

    value: Any
    alpha: Any
    variance: Any


class Rows(NamedTuple):
    """What the terms see of the rows.

    Attributes
    ----------
    design
        (1 + A, n): 1 and c.
    weight
        (n,): precision of each row in units of the noise's.
    residual
        (n,): the noise that all other parts and these leave.
    precision
        Of the noise of a row of weight 1.
    """

    design: Any
    weight: Any
    residual: Any
    precision: Any


class Line(NamedTuple):
    """Intercept and average effects, (1 + A,), and their prior's means and precisions."""

    value: Any
    mean: Any
    precision: Any


def scales(levels: Levels) -> Any:
    """Return omega and psi, (F, 2)."""
    return jnp.abs(levels.alpha) * jnp.sqrt(levels.variance)


def values(levels: Levels) -> Any:
    """Return u and v, (F, L, 1 + A)."""
    return _along(levels.alpha, levels.value.shape[-1])[:, None] * levels.value


def at_rows(groups: Groups, levels: Levels) -> Any:
    """Return what all terms add to intercept and effects, (1 + A, n)."""
    own = jax.vmap(lambda value, place: value[place])(values(levels), groups.place)
    return own.sum(axis=0).T


def sweep(key: Any, given: tuple[Groups, GroupPrior], levels: Levels, line: Line, rows: Rows) -> tuple[Levels, Any]:
    """Draw the levels of every term in turn, then their scales; and move what levels share to the line and back.

    Returns
    -------
    tuple
        The levels, and intercept and average effects.
    """
    (groups, prior), size = given, rows.design.shape[0]

    def term(carried: tuple[Any, Any], own_part: Any) -> tuple[tuple[Any, Any], Levels]:
        coefficients, residual = carried
        place, there, design, value, alpha, variance, to_value, to_alpha, to_shift, to_variance = own_part
        own = (rows.design * (_along(alpha, size) * value)[place].T).sum(axis=0)
        left = residual + own
        score = rows.precision * jax.ops.segment_sum(
            (rows.weight * left * rows.design).T, place, num_segments=len(there)
        )
        information = rows.precision * design

        factor = _along(alpha, size)
        diagonal = jnp.diag(1.0 / _along(variance, size))
        drawn = jax.random.normal(to_value, value.shape, jnp.float32)
        value = given_information(information * factor[:, None] * factor + diagonal, score * factor, drawn)
        value = value * there[:, None]

        # alpha multiplies columns of which every level's rows have the value's: sums over levels, not over rows
        part = jnp.stack([value.at[:, 1:].set(0.0), value.at[:, 0].set(0.0)], axis=1)
        products = jnp.einsum("lik,lkm,ljm->ij", part, information, part)
        drawn = jax.random.normal(to_alpha, (2,), jnp.float32)
        alpha = given_information(products + jnp.diag(prior.sd**-2.0), jnp.einsum("lik,lk->i", part, score), drawn)

        # levels up and the line down by as much leaves every row where it is: drawn from the priors alone
        factor, count = _along(alpha, size), there.sum()
        precision = count / _along(variance, size) + factor**2 * line.precision
        mean = (
            value.sum(axis=0) / _along(variance, size) - factor * line.precision * (coefficients - line.mean)
        ) / precision
        shift = mean + jax.random.normal(to_shift, mean.shape, jnp.float32) / jnp.sqrt(precision)
        value = (value - shift) * there[:, None]
        coefficients = coefficients + factor * shift

        squares = (value**2).sum(axis=0)
        number = count * jnp.array([1.0, size - 1.0], jnp.float32)
        total = jnp.stack([squares[0], squares[1:].sum()])
        drawn = jax.random.gamma(to_variance, (prior.degrees + number) / 2.0, dtype=jnp.float32)
        variance = (prior.degrees + total) / 2.0 / drawn

        own = (rows.design * (factor * value)[place].T).sum(axis=0)
        moved = (rows.design * (factor * shift)[:, None]).sum(axis=0)
        return (coefficients, left - own - moved), Levels(value, alpha, variance)

    keys = jax.random.split(key, (4, len(groups.place)))
    parts = (*groups, *levels, *keys)
    (coefficients, _), found = jax.lax.scan(term, (line.value, rows.residual), parts)
    return found, coefficients


def _along(pair: Any, size: int) -> Any:
    """The first for the intercept, the second for each effect: (..., 2) to (..., size)."""
    return jnp.concatenate([pair[..., :1], jnp.repeat(pair[..., 1:], size - 1, axis=-1)], axis=-1)
