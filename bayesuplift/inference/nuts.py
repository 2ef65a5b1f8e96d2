"""Draws of any registered NumPyro program by the no-U-turn sampler."""

import functools
import sys
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import xarray as xr
from numpyro.infer import NUTS, init_to_median
from tqdm import tqdm

from bayesuplift.dims import CHAIN, DRAW, POSTERIOR, PRIOR, PRIOR_SENSITIVITY, SAMPLE_STATS
from bayesuplift.inference.compilation import jitted
from bayesuplift.inference.density import Data, conditioned, log_prior, sites_of
from bayesuplift.inference.labelled import labelled
from bayesuplift.inference.reparametrised import prepared, reparametrised
from bayesuplift.inference.session import jax_session
from bayesuplift.inference.thinning import KEPT_ONE_IN, one_in, thinned
from bayesuplift.spec import Given, ModelSpec, find

_STATISTICS = {
    "diverging": "diverging",
    "num_steps": "n_steps",
    "accept_prob": "acceptance_rate",
    "energy": "energy",
}
_KEPT_CHAINS = 16
_PIECE = 200  # steps between two looks at the progress bar, and at the keyboard
_TARGET_ACCEPTANCE = 0.95  # hierarchical programs curve more than the 0.8 of the default allows for


def sample(
    spec: ModelSpec,
    data: Data,
    priors: Mapping[str, Any],
    *,
    seed: int,
    chains: int,
    draws: int,
    warmup: int,
    progress: bool | None,
) -> dict[str, xr.Dataset]:
    """Draw from the posterior under the stated prior, the first of `priors`; weigh the draws for the others.

    Where there are so many units that the mean outcomes of all draws would take more than 1 GB, one draw in so many is
    kept; `sample_stats` says in how many, `kept_one_in`, and of which a step diverged.

    Returns
    -------
    dict
        The groups `posterior`, `sample_stats`, and `prior_sensitivity` with `log_weight` (prior, chain, draw).
    """
    observed = prepared(spec, data)
    numbers = {name: Given.of_prior(prior) for name, prior in priors.items()}
    stated = next(iter(numbers.values()))
    chain = compiled(spec.name, warmup)
    every = one_in(chains, draws, observed.sizes)
    with jax_session():
        state = chain.start(jax.random.split(jax.random.key(seed), chains), observed, stated)
        pieces = []
        hidden = None if progress is None else not progress
        with tqdm(total=warmup + draws, desc="sampling", disable=hidden, file=sys.stderr) as bar:
            for length in _pieces(warmup):
                state, _ = chain.advance(state, observed, stated, length)
                bar.update(length)
            for length in _pieces(draws):
                state, piece = chain.advance(state, observed, stated, length)
                pieces.append(piece)
                bar.update(length)
        positions, statistics = jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *pieces)
        positions = jax.tree.map(lambda one: one[:, every - 1 :: every], positions)
        found = [chain.sites(_between(positions, a, b), observed, stated) for a, b in _spans(draws // every)]
        kept = jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *found)
        latent = sites_of(spec, observed, stated).latent
        drawn = [{name: part[name] for name in latent} for part in found]
        densities = {
            name: np.concatenate([chain.log_prior(observed, one, part) for part in drawn], axis=1)
            for name, one in numbers.items()
        }
        posterior = labelled(spec, data, observed, stated, kept)
    index = {CHAIN: np.arange(chains), DRAW: np.arange(draws // every)}
    reference = densities[next(iter(priors))]
    weights = xr.Dataset(
        {
            "log_weight": ((PRIOR, CHAIN, DRAW), np.stack([one - reference for one in densities.values()])),
            "description": (PRIOR, [str(prior) for prior in priors.values()]),
        },
        coords={PRIOR: list(priors), **index},
    )
    stats = xr.Dataset(
        {name: ((CHAIN, DRAW), thinned(values, every)) for name, values in statistics.items()},
        coords=index,
        attrs={KEPT_ONE_IN: every} if every > 1 else {},
    )
    return {POSTERIOR: posterior, SAMPLE_STATS: stats, PRIOR_SENSITIVITY: weights}


class _Chain:
    """NUTS of one program, compiled once for all data of a shape: the data and the prior's numbers are arguments."""

    def __init__(self, name: str, warmup: int) -> None:
        spec = find(name)
        program = reparametrised(spec)
        kernel = NUTS(program, target_accept_prob=_TARGET_ACCEPTANCE, init_strategy=init_to_median)

        def start(key: jax.Array, data: Given, prior: Given) -> Any:
            return kernel.init(key, warmup, model_args=(data,), model_kwargs={"prior": prior})

        def advance(state: Any, data: Given, prior: Given, length: int) -> Any:
            def step(state: Any, _: None) -> Any:
                state = kernel.sample(state, (data,), {"prior": prior})
                return state, (state.z, {ours: getattr(state, theirs) for theirs, ours in _STATISTICS.items()})

            return jax.lax.scan(step, state, length=length)

        def sites(positions: Any, data: Given, prior: Given) -> Any:
            return jax.vmap(jax.vmap(kernel.postprocess_fn((data,), {"prior": prior})))(positions)

        def log_priors(data: Given, prior: Given, latent: Mapping[str, jax.Array]) -> jax.Array:
            return jax.vmap(jax.vmap(log_prior(conditioned(spec), data, prior)))(latent)

        # one compiled program steps all chains: no devices to set up, one compilation
        self.start = jitted(jax.vmap(start, in_axes=(0, None, None)), once=True)
        self.advance = jitted(
            lambda state, data, prior, length: jax.vmap(
                lambda one: advance(one, data, prior, length),
            )(state),
            static_argnums=3,
            density=True,
        )
        self.sites = jitted(sites, density=True)
        self.log_prior = jitted(log_priors, density=True)


@functools.lru_cache(maxsize=_KEPT_CHAINS)
def compiled(name: str, warmup: int) -> _Chain:
    """Return the program's chain, kept between calls: other data of the same shape need no other compilation."""
    return _Chain(name, warmup)


def _pieces(steps: int) -> list[int]:
    """Steps in pieces of one length, so that they share a compilation, and the rest."""
    whole, rest = divmod(steps, _PIECE)
    return [_PIECE] * whole + ([rest] if rest else [])


def _spans(steps: int) -> list[tuple[int, int]]:
    """Where each of these pieces begins and ends."""
    ends = np.cumsum(_pieces(steps)).tolist()
    return list(zip([0, *ends], ends, strict=False))


def _between(positions: Any, first: int, last: int) -> Any:
    """Draws `first` to `last` of every chain."""
    return jax.tree.map(lambda one: one[:, first:last], positions)
