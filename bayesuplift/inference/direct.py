"""Independent draws of posteriors that have no closed form for decisions, but can be drawn from without a Markov chain."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import xarray as xr

from bayesuplift.dims import ALTERNATIVES, MEAN_OUTCOME, POSTERIOR
from bayesuplift.inference import counts, location_scale, populations, portfolio
from bayesuplift.inference.density import Data, given
from bayesuplift.inference.labelled import alternatives, labelled
from bayesuplift.inference.session import jax_session
from bayesuplift.spec import Given, ModelSpec

Solver = Callable[[Any, Any, np.random.Generator, int], dict[str, np.ndarray]]

SOLVERS: Final[Mapping[str, Solver]] = {
    "exchangeable_rates": populations.exchangeable_rates,
    "hurdle_lognormal": location_scale.hurdle_lognormal,
    "negative_binomial": counts.negative_binomial,
    "normal": location_scale.normal,
    "normal_adjusted": location_scale.normal_adjusted,
    "portfolio": portfolio.draw,
}
"""Models with a solver: (data, prior, generator, size) to draws (size, ...) of every site."""


def solve(
    spec: ModelSpec, data: Data, priors: Mapping[str, Any], *, seed: int, chains: int, draws: int
) -> dict[str, xr.Dataset]:
    """Draw independently from the posterior under every prior, the stated one first.

    Returns
    -------
    dict
        The groups `posterior`, and `alternatives` with `mean_outcome` (prior, chain, draw, [segment], arm).
    """
    found = {}
    for name, prior in priors.items():
        # the same stream for every prior, so that a difference between them is the priors' own
        sites = SOLVERS[spec.name](data, prior, np.random.Generator(np.random.PCG64(seed)), chains * draws)
        found[name] = {site: values.reshape(chains, draws, *values.shape[1:]) for site, values in sites.items()}
    stated, *others = priors
    with jax_session():
        posterior = labelled(spec, data, given(spec, data), Given.of_prior(priors[stated]), found[stated])
    other = alternatives(posterior, {name: found[name][MEAN_OUTCOME] for name in others}, priors)
    return {POSTERIOR: posterior, ALTERNATIVES: other}
