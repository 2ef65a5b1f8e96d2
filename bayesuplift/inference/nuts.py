"""Draws of any registered NumPyro program by the no-U-turn sampler."""

import sys
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import xarray as xr
from numpyro.infer import MCMC, NUTS

from bayesuplift.data.cells import Cells
from bayesuplift.dims import CHAIN, DRAW, MEAN_OUTCOME, POSTERIOR, PRIOR, PRIOR_SENSITIVITY, SAMPLE_STATS
from bayesuplift.inference.density import conditioned, log_prior
from bayesuplift.inference.session import jax_session
from bayesuplift.spec import ModelSpec

_STATISTICS = {
    "diverging": "diverging",
    "num_steps": "n_steps",
    "accept_prob": "acceptance_rate",
    "energy": "energy",
}


def sample(
    spec: ModelSpec,
    cells: Cells,
    priors: Mapping[str, Any],
    *,
    seed: int,
    chains: int,
    draws: int,
    warmup: int,
    progress: bool | None,
) -> dict[str, xr.Dataset]:
    """Draw from the posterior under the stated prior, the first of `priors`; weigh the draws for the others.

    Returns
    -------
    dict
        The groups `posterior`, `sample_stats`, and `prior_sensitivity` with `log_weight` (prior, chain, draw).
    """
    program = conditioned(spec, cells)
    stated = next(iter(priors.values()))
    with jax_session():
        sampler = MCMC(
            NUTS(program),
            num_warmup=warmup,
            num_samples=draws,
            num_chains=chains,
            chain_method="vectorized",  # one compiled program steps all chains: no devices to set up, one compilation
            progress_bar=sys.stderr.isatty() if progress is None else progress,
        )
        sampler.run(jax.random.key(seed), cells, prior=stated, extra_fields=tuple(_STATISTICS))
        kept = {name: np.asarray(values) for name, values in sampler.get_samples(group_by_chain=True).items()}
        extra = sampler.get_extra_fields(group_by_chain=True)
        statistics = {ours: np.asarray(extra[theirs]) for theirs, ours in _STATISTICS.items()}
        latent = {name: values for name, values in kept.items() if name in sampler.last_state.z}
        densities = {name: _log_prior_of_draws(program, cells, prior, latent) for name, prior in priors.items()}
    labels = cells.statistics["n"]
    index = {CHAIN: np.arange(chains), DRAW: np.arange(draws)}
    dims = (CHAIN, DRAW, *labels.dims)
    posterior = xr.Dataset(
        {name: (dims, values) for name, values in kept.items() if values.shape[2:] == labels.shape},
        coords={**index, **labels.coords},
    )
    if MEAN_OUTCOME not in posterior:
        raise TypeError(f"model {spec.name!r} names no deterministic site 'mean_outcome' of shape {labels.shape}")
    reference = densities[next(iter(priors))]
    weights = xr.Dataset(
        {
            "log_weight": ((PRIOR, CHAIN, DRAW), np.stack([one - reference for one in densities.values()])),
            "description": (PRIOR, [str(prior) for prior in priors.values()]),
        },
        coords={PRIOR: list(priors), **index},
    )
    stats = xr.Dataset({name: ((CHAIN, DRAW), values) for name, values in statistics.items()}, coords=index)
    return {POSTERIOR: posterior, SAMPLE_STATS: stats, PRIOR_SENSITIVITY: weights}


def _log_prior_of_draws(program: Any, cells: Cells, prior: Any, latent: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.asarray(jax.jit(jax.vmap(jax.vmap(log_prior(program, cells, prior))))(dict(latent)))
