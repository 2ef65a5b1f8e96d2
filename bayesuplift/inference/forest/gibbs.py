"""The Gibbs sampler of a Bayesian causal forest: one sweep over everything unknown, and many of them compiled as one.

y = intercept + mu(x) + sum_a c_a (average_a + scale_a t_a(x)) + terms of groups + e, e ~ N(0, sigma^2 / weight), with mu
and every t_a sums of trees. Hahn, Murray and Carvalho (2020), section 4; here on the standardised outcome, and in float32
throughout. A binary outcome is told by the normal value of variance 1 behind it, Albert and Chib (1993), JASA 88(422),
section 3.1.
"""

import functools
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesuplift.inference.compilation import jitted
from bayesuplift.inference.forest import groups as terms
from bayesuplift.inference.forest import kernel, spread
from bayesuplift.inference.forest.latent import Predictor, behind, line
from bayesuplift.inference.forest.normal import given_information

LEAST_SCALE: Final = 1e-4
"""A scale nearer to 0 than this is taken to be this when the effects' residual is divided by it."""


class Data(NamedTuple):
    """What is given.

    Attributes
    ----------
    outcome, weight
        (n,), float32: y standardised; precision of each row in units of the common one, 0 for a row that is none.
    coding
        (A, n), float32: c, which multiplies the effects.
    prognostic
        The forest's plot.
    effect
        Plots of the effects' forests, stacked (A, ...), of weights `weight * coding^2`.
    degrees, squares
        What rows that are means know of the noise beside themselves: degrees of freedom and sum of squares within them.
    groups
        Which levels rows have; None where there are no terms of groups.
    offset
        Of a binary outcome: what the normal value behind it has beside intercept and forests.
    """

    outcome: Any
    weight: Any
    coding: Any
    prognostic: kernel.Plot
    effect: kernel.Plot
    degrees: Any
    squares: Any
    groups: terms.Groups | None = None
    offset: Any = 0.0


class Prior(NamedTuple):
    """Priors of what is no tree, float32.

    Attributes
    ----------
    mean, precision
        (1 + 2A,): of the intercept, the average effects and, where they are drawn, the scales; normal and independent.
    shape, rate
        sigma^2 ~ InverseGamma(shape, rate).
    leaf_shape, leaf_rate
        The variances of leaves ~ InverseGamma(leaf_shape, leaf_rate), where they are drawn; the rate (1 + A,), of the
        prognostic forest and of the effects'.
    leaf_most
        (1 + A,): where the laws of these variances are cut off.
    groups
        Of the scales of terms of groups; None where there are none.
    """

    mean: Any
    precision: Any
    shape: Any
    rate: Any
    leaf_shape: Any
    leaf_rate: Any
    leaf_most: Any
    groups: terms.GroupPrior | None = None


class State(NamedTuple):
    """Where one chain is.

    Attributes
    ----------
    key
        (2,), uint32: the chain's own random key, of Threefry.
    sweeps
        Sweeps done: sweep k draws from `key` folded with k, however the sweeps are divided into runs.
    prognostic, effect
        The forests; those of effects stacked (A, ...).
    level, deviation
        (n,) and (A, n): mu and every t at the rows.
    coefficients
        (1 + 2A,): intercept, averages, scales.
    precision, leaf_precision
        1 / sigma^2, and (1 + A,): 1 / variance of every forest's leaves.
    levels, grouped
        Of terms of groups, and what they add to intercept and effects at the rows, (1 + A, n); None where there are none.
    """

    key: Any
    sweeps: Any
    prognostic: kernel.Trees
    effect: kernel.Trees
    level: Any
    deviation: Any
    coefficients: Any
    precision: Any
    leaf_precision: Any
    levels: terms.Levels | None = None
    grouped: Any = None


class Flags(NamedTuple):
    """What a sweep does.

    Attributes
    ----------
    expanded
        Whether scales of effects are drawn.
    learned
        Whether variances of leaves are drawn.
    binary
        Whether the outcome is.
    """

    expanded: bool = False
    learned: bool = True
    binary: bool = False


class Heaps(NamedTuple):
    """A forest's trees alone: (tree, H), (tree, H), (tree, 2H); leaves in units of the standardised outcome."""

    variable: Any
    split: Any
    leaf: Any


class Draw(NamedTuple):
    """What is kept of a sweep.

    Attributes
    ----------
    prognostic, effect
        The trees; those of effects stacked (A, ...).
    coefficients, precision, leaf_precision
        As in the state.
    levels
        Groups' u and v, (F, L, 1 + A), and their scales, (F, 2), or ().
    acceptance
        Share of the trees' moves that were accepted.
    rows
        (1 + A, n): what a control is expected to have, and every effect, at the rows; or ().
    """

    prognostic: Heaps
    effect: Heaps
    coefficients: Any
    precision: Any
    leaf_precision: Any
    levels: Any
    acceptance: Any
    rows: Any


def first(keys: Any, data: Data, prognostic: kernel.Trees, effect: kernel.Trees) -> State:
    """Where chains start: coefficients and trees of one leaf at 0, the noise the outcome's own. Keys (chain, 2), uint32."""
    treatments, n = data.coding.shape
    levels, grouped = None, None
    if data.groups is not None:
        number, most = data.groups.there.shape
        # not 0: a level and its scale that are both 0 would stay so
        levels = terms.Levels(
            np.zeros((number, most, 1 + treatments), np.float32), *np.full((2, number, 2), 0.5, np.float32)
        )
        grouped = np.zeros((1 + treatments, n), np.float32)
    found = State(
        key=np.uint32(0),
        sweeps=np.int32(0),
        prognostic=prognostic,
        effect=effect,
        level=np.zeros(n, np.float32),
        deviation=np.zeros((treatments, n), np.float32),
        coefficients=np.repeat(np.array([0.0, 1.0], np.float32), [1 + treatments, treatments]),
        precision=np.float32(1.0),
        leaf_precision=np.concatenate([np.ravel(one.leaf_precision) for one in (data.prognostic, data.effect)]),
        levels=levels,
        grouped=grouped,
    )
    found = jax.tree.map(lambda one: np.stack([one] * len(keys)), found)
    return found._replace(key=np.asarray(keys, dtype=np.uint32))


def summed(data: Data, state: State) -> State:
    """The same state, with what it says at the rows summed anew from the trees and levels.

    Rounding is moved along with the trees, and stretched with them: the sums are made anew every few dozen sweeps.
    """
    state = state._replace(
        level=kernel.at_rows(data.prognostic, state.prognostic),
        deviation=jax.vmap(kernel.at_rows)(data.effect, state.effect),
    )
    if data.groups is None:
        return state
    assert state.levels is not None
    return state._replace(grouped=terms.at_rows(data.groups, state.levels))


def random_key(state: State) -> Any:
    """The random key of the sweep that comes."""
    return jax.random.fold_in(jax.random.wrap_key_data(state.key, impl="threefry2x32"), state.sweeps)


def sweep(data: Data, prior: Prior, state: State, flags: Flags) -> tuple[State, Any]:
    """Draw everything once, each given all others; also the share of the trees' moves that were accepted.

    Of a binary outcome intercept and averages come first, given the outcomes alone, and the normal values behind these
    next: drawn together so, neither waits for the other. The noise is known.

    The coefficients are drawn jointly, and after either kind of forest, so that average effects and the intercept need not
    wait for each other.
    """
    keys = jax.random.split(random_key(state), 9)
    if flags.binary:
        state = _binary_line(keys[8], data, prior, state)
        data = with_values(keys[0], data, state)
    before = residual(data, state)
    trees, after, moved = kernel.sweep(
        keys[1], data.prognostic, state.prognostic, before, state.precision, leaf_precision=state.leaf_precision[0]
    )
    state = state._replace(prognostic=trees, level=state.level + (before - after))
    if flags.learned:
        rows = spread.Rows(state.level, after, state.precision * data.weight)
        own = _leaf_prior(prior, 0)
        factor, leaf_precision = _spread(keys[2], own, state.leaf_precision[0], (data.prognostic, trees), rows)
        state = state._replace(
            prognostic=trees._replace(leaf=factor * trees.leaf),
            level=factor * state.level,
            leaf_precision=state.leaf_precision.at[0].set(leaf_precision),
        )
    state = _line(keys[3], data, prior, state, flags)
    state, also = _effects(keys[4], data, prior, state, flags)
    state = _line(keys[5], data, prior, state, flags)
    if data.groups is not None:
        state = _groups(keys[6], data, prior, state)
    if not flags.binary:
        state = _noise(keys[7], data, prior, state)
    accepted = (moved.accepted + also.accepted.sum()) / jnp.maximum(moved.proposed + also.proposed.sum(), 1)
    return state._replace(sweeps=state.sweeps + 1), accepted.astype(jnp.float32)


def with_values(key: Any, data: Data, state: State) -> Data:
    """The data with normal values, less their offset, in the place of the binary outcomes that they are drawn behind."""
    mean = data.offset + data.outcome - residual(data, state)
    return data._replace(outcome=behind(key, data.outcome, mean) - data.offset)


def expected(state: State) -> Any:
    """What a control is expected to have, and every effect, at the rows: (1 + A, n)."""
    intercept, average, scale = _parts(state)
    found = jnp.concatenate([intercept + state.level[None], average[:, None] + scale[:, None] * state.deviation])
    return found if state.grouped is None else found + state.grouped


def residual(data: Data, state: State) -> Any:
    """Return the noise that the state leaves to the rows, (n,)."""
    found = expected(state)
    return data.outcome - found[0] - (data.coding * found[1:]).sum(axis=0)


def _parts(state: State) -> tuple[Any, Any, Any]:
    """Intercept, averages (A,) and scales (A,)."""
    treatments = state.deviation.shape[0]
    return state.coefficients[0], state.coefficients[1 : 1 + treatments], state.coefficients[1 + treatments :]


def _effects(key: Any, data: Data, prior: Prior, state: State, flags: Flags) -> tuple[State, kernel.Moves]:
    """Sweep the effects' forests in turn, one treatment after the other."""
    treatments = state.deviation.shape[0]

    def one(left: Any, given: Any) -> tuple[Any, Any]:
        keys, place, plot, trees, times, deviation, scale, leaf_precision = given
        precision = state.precision
        if flags.expanded:
            scale = jnp.where(jnp.abs(scale) < LEAST_SCALE, LEAST_SCALE, scale)
            times, precision = times * scale, precision * scale**2
        # a row's residual is c s t(x) + e: seen from t, a row of residual r / (c s) and precision (c s)^2 times the noise's
        seen = times != 0.0
        before = jnp.where(seen, left / jnp.where(seen, times, 1.0), 0.0)
        trees, after, moves = kernel.sweep(keys[0], plot, trees, before, precision, leaf_precision=leaf_precision)
        # the kernel moves every row's residual by its tree, also where its weight is 0: this is t at all rows
        moved = deviation + (before - after)
        left -= times * (before - after)
        if flags.learned:
            rows = spread.Rows(times * moved, left, state.precision * data.weight)
            factor, leaf_precision = _spread(keys[1], _leaf_prior(prior, place), leaf_precision, (plot, trees), rows)
            trees = trees._replace(leaf=factor * trees.leaf)
            left -= times * (factor - 1.0) * moved
            moved *= factor
        return left, (trees, moved, leaf_precision, moves)

    given = (
        jax.random.split(key, (treatments, 2)),
        1 + jnp.arange(treatments),
        data.effect,
        state.effect,
        data.coding,
        state.deviation,
        _parts(state)[2],
        state.leaf_precision[1:],
    )
    _, (trees, deviation, leaf_precision, moves) = jax.lax.scan(one, residual(data, state), given)
    leaf_precision = jnp.concatenate([state.leaf_precision[:1], leaf_precision])
    return state._replace(effect=trees, deviation=deviation, leaf_precision=leaf_precision), moves


def _design(data: Data) -> Any:
    """What multiplies intercept and averages at the rows, (1 + A, n)."""
    return jnp.concatenate([jnp.ones_like(data.coding[:1]), data.coding])


def _line(key: Any, data: Data, prior: Prior, state: State, flags: Flags) -> State:
    """Draw intercept, averages and, where expanded, scales jointly: a regression on 1, c and c t(x)."""
    treatments = state.deviation.shape[0]
    design = _design(data)
    held = state.coefficients.at[: 1 + treatments].set(0.0)
    if flags.expanded:
        design = jnp.concatenate([design, data.coding * state.deviation])
        held = jnp.zeros_like(held)
    target = residual(data, state._replace(coefficients=held))
    size = design.shape[0]
    weighted = state.precision * data.weight * design
    information = weighted @ design.T + jnp.diag(prior.precision[:size])
    score = weighted @ target + (prior.precision * prior.mean)[:size]
    found = given_information(information, score, jax.random.normal(key, (size,), jnp.float32))
    return state._replace(coefficients=state.coefficients.at[:size].set(found))


def _binary_line(key: Any, data: Data, prior: Prior, state: State) -> State:
    """Draw intercept and averages without the values behind a binary outcome."""
    size = 1 + state.deviation.shape[0]
    held = state._replace(coefficients=state.coefficients.at[:size].set(0.0))
    given = Predictor(
        rest=data.offset + data.outcome - residual(data, held),
        design=_design(data),
        weight=data.weight,
        mean=prior.mean[:size],
        precision=prior.precision[:size],
    )
    found = line(key, data.outcome, given, state.coefficients[:size])
    return state._replace(coefficients=state.coefficients.at[:size].set(found))


def _groups(key: Any, data: Data, prior: Prior, state: State) -> State:
    """Draw the levels of groups and their scales."""
    assert data.groups is not None
    assert prior.groups is not None
    assert state.levels is not None
    size = 1 + state.deviation.shape[0]
    coefficients = terms.Line(state.coefficients[:size], prior.mean[:size], prior.precision[:size])
    rows = terms.Rows(_design(data), data.weight, residual(data, state), state.precision)
    levels, found = terms.sweep(key, (data.groups, prior.groups), state.levels, coefficients, rows)
    found = state.coefficients.at[:size].set(found)
    return state._replace(levels=levels, coefficients=found, grouped=terms.at_rows(data.groups, levels))


def _leaf_prior(prior: Prior, which: Any) -> spread.Spread:
    """Prior of the leaves of one of the forests."""
    return spread.Spread(prior.leaf_shape, prior.leaf_rate[which], prior.leaf_most[which])


def _spread(
    key: Any, prior: spread.Spread, precision: Any, forest: tuple[kernel.Plot, kernel.Trees], rows: spread.Rows
) -> tuple[Any, Any]:
    """By which factor to multiply a forest's leaves, and the precision of these."""
    to_precision, to_factor = jax.random.split(key)
    precision = spread.drawn(to_precision, prior, precision, forest)
    factor = spread.stretch(to_factor, prior, precision, rows)
    return factor, precision / factor**2


def _noise(key: Any, data: Data, prior: Prior, state: State) -> State:
    """Draw the precision 1 / sigma^2 ~ Gamma, given the weighted squares of the residual."""
    left = residual(data, state)
    squares = jnp.sum(data.weight * left**2) + data.squares
    degrees = jnp.count_nonzero(data.weight).astype(jnp.float32) + data.degrees
    drawn = jax.random.gamma(key, prior.shape + degrees / 2.0, dtype=jnp.float32)
    return state._replace(precision=drawn / (prior.rate + squares / 2.0))


@functools.partial(jitted, static_argnames=("flags", "rows"))
def advance(data: Data, prior: Prior, states: State, sweeps: Any, *, flags: Flags, rows: bool) -> tuple[State, Draw]:
    """Run several chains, stepped together, and keep a state after each so many sweeps.

    Parameters
    ----------
    data, prior
        The same for all chains.
    states
        (chain, ...).
    sweeps
        (kept,), int32: sweeps before each state that is kept; 0 keeps the one before again. Burn-in is a large number in
        the first place: one program serves it and what follows.
    flags
        What a sweep does.
    rows
        Whether what is expected at the rows is kept.

    Returns
    -------
    tuple
        The states, and the draws (chain, kept, ...).
    """

    def chain(state: State) -> tuple[State, Draw]:
        state = summed(data, state)

        def one(carried: tuple[State, Any], count: Any) -> tuple[tuple[State, Any], Draw]:
            def again(_: Any, now: tuple[State, Any]) -> tuple[State, Any]:
                return sweep(data, prior, now[0], flags)

            state, acceptance = jax.lax.fori_loop(0, count, again, carried)
            levels = () if state.levels is None else (terms.values(state.levels), terms.scales(state.levels))
            kept = Draw(
                _heaps(data.prognostic, state.prognostic),
                jax.vmap(_heaps)(data.effect, state.effect),
                state.coefficients,
                state.precision,
                state.leaf_precision,
                levels,
                acceptance,
                expected(state) if rows else (),
            )
            return (state, acceptance), kept

        (state, _), kept = jax.lax.scan(one, (state, jnp.float32(0.0)), sweeps)
        return state, kept

    return jax.vmap(chain)(states)


def _heaps(plot: kernel.Plot, trees: kernel.Trees) -> Heaps:
    return Heaps(trees.variable, trees.split, plot.unit * trees.leaf)
