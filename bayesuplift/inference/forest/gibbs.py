"""The Gibbs sampler of a Bayesian causal forest: one sweep over everything unknown, and many of them compiled as one.

y = intercept + mu(x) + c (average + scale t(x)) + e, e ~ N(0, sigma^2 / weight), with mu and t sums of trees.
Hahn, Murray and Carvalho (2020), section 4; here on the standardised outcome, and in float32 throughout. A binary outcome
is told by the normal value of variance 1 behind it, Albert and Chib (1993), JASA 88(422), section 3.1.
"""

import functools
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesuplift.inference.forest import kernel

_FAR: Final = 11.0
_HALF_A_STEP: Final = 2.0**-25

LEAST_SCALE: Final = 1e-4
"""A scale nearer to 0 than this is taken to be this when the effects' residual is divided by it."""


class Data(NamedTuple):
    """What is given.

    Attributes
    ----------
    outcome, coding, weight
        (n,), float32: y standardised; c, which multiplies the effect; precision of each row in units of the common one,
        0 for a row that is none.
    prognostic, effect
        The forests' plots; the effect's has weights `weight * coding^2`.
    degrees, squares
        What rows that are means know of the noise beside themselves: degrees of freedom and sum of squares within them.
    offset
        Of a binary outcome: what the normal value behind it has beside intercept and forests.
    """

    outcome: Any
    coding: Any
    weight: Any
    prognostic: kernel.Plot
    effect: kernel.Plot
    degrees: Any
    squares: Any
    offset: Any = 0.0


class Prior(NamedTuple):
    """Priors of what is no tree, float32.

    Attributes
    ----------
    mean, precision
        (2,) or (3,): of the intercept, the average effect and, where it is drawn, the scale; normal and independent.
    shape, rate
        sigma^2 ~ InverseGamma(shape, rate).
    """

    mean: Any
    precision: Any
    shape: Any
    rate: Any


class State(NamedTuple):
    """Where one chain is.

    Attributes
    ----------
    key
        (2,), uint32: the chain's own random key, of Threefry.
    sweeps
        Sweeps done: sweep k draws from `key` folded with k, however the sweeps are divided into runs.
    prognostic, effect
        The forests.
    level, deviation
        (n,): mu and t at the rows.
    coefficients
        (3,): intercept, average, scale.
    precision
        1 / sigma^2.
    """

    key: Any
    sweeps: Any
    prognostic: kernel.Trees
    effect: kernel.Trees
    level: Any
    deviation: Any
    coefficients: Any
    precision: Any


class Heaps(NamedTuple):
    """A forest's trees alone: (tree, H), (tree, H), (tree, 2H); leaves in units of the standardised outcome."""

    variable: Any
    split: Any
    leaf: Any


class Draw(NamedTuple):
    """What is kept of a sweep: the trees, the coefficients, the precision, acceptance, and mu and t at the rows or ()."""

    prognostic: Heaps
    effect: Heaps
    coefficients: Any
    precision: Any
    acceptance: Any
    level: Any
    deviation: Any


def first(keys: Any, n: int, prognostic: kernel.Trees, effect: kernel.Trees) -> State:
    """Where chains start: coefficients and trees of one leaf at 0, the noise the outcome's own. Keys (chain, 2), uint32."""
    chains = len(keys)
    found = State(
        key=np.uint32(0),
        sweeps=np.int32(0),
        prognostic=prognostic,
        effect=effect,
        level=np.zeros(n, np.float32),
        deviation=np.zeros(n, np.float32),
        coefficients=np.array([0.0, 0.0, 1.0], np.float32),
        precision=np.float32(1.0),
    )
    found = jax.tree.map(lambda one: np.stack([one] * chains), found)
    return found._replace(key=np.asarray(keys, dtype=np.uint32))


def random_key(state: State) -> Any:
    """The random key of the sweep that comes."""
    return jax.random.fold_in(jax.random.wrap_key_data(state.key, impl="threefry2x32"), state.sweeps)


def sweep(data: Data, prior: Prior, state: State, *, expanded: bool, binary: bool = False) -> tuple[State, Any]:
    """Draw everything once, each given all others; also the share of the trees' moves that were accepted.

    Of a binary outcome the normal values behind it come first, and the noise is known.

    The coefficients are drawn jointly, and after either forest, so that the average effect and the intercept need not
    wait for each other.
    """
    keys = jax.random.split(random_key(state), 5)
    if binary:
        data = data._replace(outcome=_behind(keys[4], data, state))
    before = residual(data, state)
    trees, after, moved = kernel.sweep(keys[0], data.prognostic, state.prognostic, before, state.precision)
    state = state._replace(prognostic=trees, level=state.level + (before - after))
    state = _line(keys[1], data, prior, state, expanded=expanded)

    # a row's residual is c s t(x) + e: seen from t, a row of residual r / (c s) and precision (c s)^2 times the noise's
    times, precision = data.coding, state.precision
    if expanded:
        scale = state.coefficients[2]
        scale = jnp.where(jnp.abs(scale) < LEAST_SCALE, LEAST_SCALE, scale)
        times, precision = times * scale, precision * scale**2
    seen = times != 0.0
    before = jnp.where(seen, residual(data, state) / jnp.where(seen, times, 1.0), 0.0)
    trees, after, also = kernel.sweep(keys[2], data.effect, state.effect, before, precision)
    # the kernel moves every row's residual by its tree, also where its weight is 0: this is t at all rows
    state = state._replace(effect=trees, deviation=state.deviation + (before - after))
    state = _line(keys[3], data, prior, state, expanded=expanded)
    if not binary:
        state = _noise(keys[4], data, prior, state)
    accepted = (moved.accepted + also.accepted) / jnp.maximum(moved.proposed + also.proposed, 1)
    return state._replace(sweeps=state.sweeps + 1), accepted.astype(jnp.float32)


def residual(data: Data, state: State) -> Any:
    """Return the noise that the state leaves to the rows, (n,)."""
    intercept, average, scale = state.coefficients
    return data.outcome - intercept - state.level - data.coding * (average + scale * state.deviation)


def _line(key: Any, data: Data, prior: Prior, state: State, *, expanded: bool) -> State:
    """Draw intercept, average and, where expanded, scale jointly: a regression on 1, c and c t(x)."""
    columns = [jnp.ones_like(data.coding), data.coding]
    target = data.outcome - state.level
    effect = data.coding * state.deviation
    if expanded:
        columns.append(effect)
    else:
        target = target - effect
    design = jnp.stack(columns)
    size = len(columns)
    weighted = state.precision * data.weight * design
    information = weighted @ design.T + jnp.diag(prior.precision[:size])
    score = weighted @ target + (prior.precision * prior.mean)[:size]
    found = _given_information(information, score, jax.random.normal(key, (size,), jnp.float32))
    return state._replace(coefficients=state.coefficients.at[:size].set(found))


def _given_information(information: Any, score: Any, drawn: Any) -> Any:
    """Normal values of a few dimensions with this precision matrix P and mean P^-1 score, from standard normal ones.

    With L L' = P, L'^-1 (L^-1 score + z) has that mean and the covariance P^-1. Element by element: the library's batched
    solvers wait for threads that another chain's solver may hold (see `distributions.MultivariateNormal`).
    """
    size = score.shape[0]
    root: dict[tuple[int, int], Any] = {}
    for i in range(size):
        for j in range(i + 1):
            left = information[i, j] - sum(root[i, k] * root[j, k] for k in range(j))
            root[i, j] = jnp.sqrt(left) if i == j else left / root[j, j]
    forward: list[Any] = []
    for i in range(size):
        forward.append((score[i] - sum(root[i, k] * forward[k] for k in range(i))) / root[i, i])
    found: dict[int, Any] = {}
    for i in reversed(range(size)):
        behind = sum(root[k, i] * found[k] for k in range(i + 1, size))
        found[i] = (forward[i] + drawn[i] - behind) / root[i, i]
    return jnp.stack([found[i] for i in range(size)])


def _behind(key: Any, data: Data, state: State) -> Any:
    """Draw the normal value behind each binary outcome, less the offset: above 0 for an outcome of 1, below for 0."""
    intercept, average, scale = state.coefficients
    mean = data.offset + intercept + state.level + data.coding * (average + scale * state.deviation)
    side = 2.0 * data.outcome - 1.0
    return side * (side * mean + _above(key, -side * mean)) - data.offset


def _above(key: Any, least: Any) -> Any:
    """Standard normal values above `least`, by inversion of the upper tail, which float32 tells to 11 standard deviations.

    Past that the tail is exponential to one part in a hundred, Abramowitz and Stegun (1964), equation 26.2.12.
    """
    to_inside, to_far = jax.random.split(key)
    # the middle of what float32 tells apart: 0 would be infinitely far out
    share = jax.random.uniform(to_inside, least.shape, jnp.float32) + _HALF_A_STEP
    inside = -jax.scipy.special.ndtri(share * jax.scipy.special.ndtr(-jnp.minimum(least, _FAR)))
    outside = least + jax.random.exponential(to_far, least.shape, jnp.float32) / jnp.maximum(least, _FAR)
    return jnp.where(least > _FAR, outside, jnp.maximum(inside, least))


def _noise(key: Any, data: Data, prior: Prior, state: State) -> State:
    """Draw the precision 1 / sigma^2 ~ Gamma, given the weighted squares of the residual."""
    left = residual(data, state)
    squares = jnp.sum(data.weight * left**2) + data.squares
    degrees = jnp.count_nonzero(data.weight).astype(jnp.float32) + data.degrees
    drawn = jax.random.gamma(key, prior.shape + degrees / 2.0, dtype=jnp.float32)
    return state._replace(precision=drawn / (prior.rate + squares / 2.0))


@functools.partial(jax.jit, static_argnames=("expanded", "binary", "rows"))
def advance(
    data: Data, prior: Prior, states: State, sweeps: Any, *, expanded: bool, binary: bool, rows: bool
) -> tuple[State, Draw]:
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
    expanded, binary
        Whether the scale is drawn, and the outcome is binary.
    rows
        Whether mu and t at the rows are kept.

    Returns
    -------
    tuple
        The states, and the draws (chain, kept, ...).
    """

    def chain(state: State) -> tuple[State, Draw]:
        # rounding of what is moved along with the trees stops here
        state = state._replace(
            level=kernel.at_rows(data.prognostic, state.prognostic),
            deviation=kernel.at_rows(data.effect, state.effect),
        )

        def one(carried: tuple[State, Any], count: Any) -> tuple[tuple[State, Any], Draw]:
            def again(_: Any, now: tuple[State, Any]) -> tuple[State, Any]:
                return sweep(data, prior, now[0], expanded=expanded, binary=binary)

            state, acceptance = jax.lax.fori_loop(0, count, again, carried)
            fits = (state.level, state.deviation) if rows else ((), ())
            kept = Draw(
                _heaps(data.prognostic, state.prognostic),
                _heaps(data.effect, state.effect),
                state.coefficients,
                state.precision,
                acceptance,
                *fits,
            )
            return (state, acceptance), kept

        (state, _), kept = jax.lax.scan(one, (state, jnp.float32(0.0)), sweeps)
        return state, kept

    return jax.vmap(chain)(states)


def _heaps(plot: kernel.Plot, trees: kernel.Trees) -> Heaps:
    return Heaps(trees.variable, trees.split, plot.unit * trees.leaf)
