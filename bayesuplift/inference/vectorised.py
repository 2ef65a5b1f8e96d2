"""Many chains of Hamiltonian Monte Carlo of one NumPyro program, stepped together."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.infer.util import constrain_fn, potential_energy

from bayesuplift.inference.compilation import jitted
from bayesuplift.spec import Given, Program

PIECE: Final = 25
"""Steps between two looks at the draws, the progress bar and the keyboard."""

SUPERCHAINS: Final = 4
"""Groups of neighbouring chains that start at one point each, so that nested R-hat sees whether the start is forgotten."""

_MOST_STEPS: Final = 128  # of the integrator in one transition
_LARGEST_DENSE: Final = 256
_DIVERGENCE: Final = 1000.0  # of energy, as in Stan and NumPyro
_DRAWS_OF_START: Final = 9


class Chains(NamedTuple):
    """All chains at one moment: positions and gradients (chain, coordinate), and their potentials (chain,)."""

    position: jax.Array
    potential: jax.Array
    gradient: jax.Array


class Tuning(NamedTuple):
    """What chains share: the metric, as a factor of the covariance, the step size, and the acceptance that it aims at."""

    dense: jax.Array
    diagonal: jax.Array
    log_step: jax.Array
    acceptance: jax.Array


class Piece(NamedTuple):
    """What happened in the steps of a piece: (step, chain, ...)."""

    position: jax.Array
    acceptance: jax.Array
    diverging: jax.Array
    steps: jax.Array
    log_step: jax.Array


@dataclass(frozen=True)
class Layout:
    """Sites as stretches of one flat array, in order: name and shape of each."""

    sites: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return sum(self._sizes)

    @property
    def dense(self) -> int:
        """How many of the first coordinates have a dense metric."""
        ends = np.cumsum(self._sizes)
        return int(max(ends[ends <= _LARGEST_DENSE], default=0))

    @property
    def _sizes(self) -> list[int]:
        return [math.prod(shape) for _, shape in self.sites]

    def named(self, flat: jax.Array) -> dict[str, jax.Array]:
        """The sites of a flat array."""
        ends = np.cumsum(self._sizes)
        return {
            name: flat[end - size : end].reshape(shape)
            for (name, shape), size, end in zip(self.sites, self._sizes, ends, strict=True)
        }

    @classmethod
    def of(cls, shapes: Mapping[str, tuple[int, ...]]) -> Self:
        """Small sites first: they are what all units share."""
        order = sorted(shapes, key=lambda name: (math.prod(shapes[name]), name))
        return cls(tuple((name, tuple(shapes[name])) for name in order))


class Sampler:
    """Many chains of one program, compiled once for all data of a shape: the data and the prior's numbers are arguments.

    Every transition is Hamiltonian Monte Carlo of one step size and one number of steps for all chains, which vectorises
    where trees of unlike depth do not: Hoffman, Radul and Sountsov (2021), An adaptive-MCMC scheme for setting trajectory
    lengths in Hamiltonian Monte Carlo, AISTATS, section 2. Draws of all chains make the metric: dense over the few
    coordinates that all units share, diagonal over the rest. In such coordinates a normal posterior turns by a right angle
    in a length of pi / 2, so that lengths are varied about that and need no search.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        drawn = jax.vmap(jax.vmap(self._drawn, in_axes=(0, None, None)), in_axes=(0, None, None))
        self._starts = jitted(drawn, once=True)
        self.advance: Callable[..., tuple[Chains, Tuning, Piece]] = jitted(
            self._advance, density=True, static_argnames="layout"
        )
        self.sites: Callable[..., dict[str, jax.Array]] = jitted(self._sites, density=True, static_argnames="layout")

    def start(self, key: jax.Array, chains: int, data: Given, prior: Given) -> tuple[Chains, Layout]:
        """Give every superchain a position: coordinate by coordinate the median of a few draws from the prior.

        Chains start apart, and none at a scale near 0 or an effect far out, where a first step would have to be tiny.
        """
        drawn = self._starts(jax.random.split(key, (SUPERCHAINS, _DRAWS_OF_START)), data, prior)
        layout = Layout.of({name: values.shape[2:] for name, values in drawn.items()})
        flat = np.concatenate(
            [np.reshape(drawn[k], (SUPERCHAINS, _DRAWS_OF_START, -1)) for k, _ in layout.sites], axis=-1
        )
        position = np.repeat(np.median(flat, axis=1), chains // SUPERCHAINS, axis=0)
        return Chains(position, np.full(chains, np.inf), np.zeros_like(position)), layout

    def _drawn(self, key: jax.Array, data: Given, prior: Given) -> dict[str, jax.Array]:
        """One draw of the latent sites from the prior, in unconstrained coordinates."""
        with handlers.seed(rng_seed=key):
            trace = handlers.trace(self._program).get_trace(data, prior=prior)
        return {
            name: biject_to(site["fn"].support).inv(site["value"])
            for name, site in trace.items()
            if site["type"] == "sample" and not site["is_observed"]
        }

    def _advance(
        self,
        key: jax.Array,
        chains: Chains,
        tuning: Tuning,
        plan: tuple[jax.Array, jax.Array],
        given: tuple[Given, Given],
        *,
        layout: Layout,
    ) -> tuple[Chains, Tuning, Piece]:
        """Make a transition of all chains for each length of the plan, which also says how fast the step size learns.

        `given` are the data and the prior.
        """
        lengths, learning = plan
        data, prior = given

        def energy(flat: jax.Array) -> jax.Array:
            return potential_energy(self._program, (data,), {"prior": prior}, layout.named(flat))

        potential = jax.vmap(jax.value_and_grad(energy))
        dense = tuning.dense.shape[0]

        def scaled(momentum: jax.Array) -> jax.Array:
            return jnp.concatenate([momentum[:, :dense] @ tuning.dense.T, momentum[:, dense:] * tuning.diagonal], 1)

        def pulled(gradient: jax.Array) -> jax.Array:
            return jnp.concatenate([gradient[:, :dense] @ tuning.dense, gradient[:, dense:] * tuning.diagonal], 1)

        def step(carry: Any, given: Any) -> Any:
            chains, log_step = carry
            key, length, count = given
            to_momentum, to_choice = jax.random.split(key)
            # the first step stands still, and finds the potential
            size = jnp.where(jnp.isinf(chains.potential).all(), 0.0, jnp.exp(log_step))
            momentum = jax.random.normal(to_momentum, chains.position.shape)
            steps = jnp.clip(jnp.ceil(length / jnp.exp(log_step)), 1, _MOST_STEPS).astype(int)
            before = chains.potential + 0.5 * (momentum**2).sum(1)

            def leap(_: int, moving: Any) -> Any:
                chains, momentum = moving
                momentum -= 0.5 * size * pulled(chains.gradient)
                position = chains.position + size * scaled(momentum)
                energy, gradient = potential(position)
                return Chains(position, energy, gradient), momentum - 0.5 * size * pulled(gradient)

            proposed, momentum = jax.lax.fori_loop(0, steps, leap, (chains, momentum))
            gain = before - proposed.potential - 0.5 * (momentum**2).sum(1)
            finite = jnp.isfinite(proposed.position).all(1) & jnp.isfinite(proposed.gradient).all(1)
            gain = jnp.where(jnp.isnan(gain) | ~finite, -jnp.inf, gain)
            acceptance = jnp.exp(jnp.minimum(gain, 0.0))
            accepted = jax.random.uniform(to_choice, gain.shape) < acceptance
            moved = jax.tree.map(
                lambda new, old: jnp.where(accepted.reshape(-1, *[1] * (new.ndim - 1)), new, old), proposed, chains
            )
            log_step += learning * (acceptance.mean() - tuning.acceptance) * 2.0 * count**-0.6
            done = Piece(moved.position, acceptance, gain < -_DIVERGENCE, jnp.broadcast_to(steps, gain.shape), log_step)
            return (moved, log_step), done

        keys = jax.random.split(key, lengths.shape[0])
        counts = 1.0 + jnp.arange(lengths.shape[0])
        (chains, log_step), piece = jax.lax.scan(step, (chains, tuning.log_step), (keys, lengths, counts))
        # the average of the second half is steadier than the last
        steady = piece.log_step[lengths.shape[0] // 2 :].mean()
        return chains, tuning._replace(log_step=jnp.where(learning > 0, steady, log_step)), piece

    def _sites(self, positions: jax.Array, data: Given, prior: Given, *, layout: Layout) -> dict[str, jax.Array]:
        """Sites and deterministics (chain, draw, ...) of positions (draw, chain, coordinate)."""

        def one(flat: jax.Array) -> dict[str, jax.Array]:
            return constrain_fn(self._program, (data,), {"prior": prior}, layout.named(flat), return_deterministic=True)

        # chain by chain: of many units all draws at once would not fit
        return jax.lax.map(jax.vmap(one), jnp.swapaxes(positions, 0, 1))
