"""Draws from a model's prior, laid out as a posterior: what was believed before the data, in the units of the decision."""

import functools
from typing import Any

import jax
import numpy as np
import xarray as xr
from numpyro import handlers

from bayesuplift.data.cells import Cells
from bayesuplift.data.effects import Effects
from bayesuplift.data.experiment import Experiment
from bayesuplift.data.units import Units
from bayesuplift.dims import POSTERIOR
from bayesuplift.errors import ArgumentError, check_whole
from bayesuplift.inference.compilation import jitted
from bayesuplift.inference.density import conditioned, given
from bayesuplift.inference.fit import chosen_prior, conditioned_on, model_of, provenance_of
from bayesuplift.inference.labelled import labelled
from bayesuplift.inference.session import jax_session
from bayesuplift.posterior.schema import assemble
from bayesuplift.spec import Given, find

_CHAINS = 4
_KEPT_PROGRAMS = 16


def draw_prior(
    model: str, data: Cells | Experiment | Effects | Units, *, seed: int, prior: Any = None, draws: int = 1000
) -> xr.DataTree:
    """Draw from the prior of a model, at the segments and arms of these data; their outcomes are not looked at.

    What the prior takes from the data where it is left open (see its family) is taken here, too. Estimands of the result
    are prior predictive effects, in outcome units, to be set beside the posterior's: `heterogeneity(posterior, prior=...)`.

    Parameters
    ----------
    model, data, prior
        As for `fit`.
    seed
        Seed of the draws, from 0.
    draws
        Number of independent draws in each of four chains.

    Returns
    -------
    xarray.DataTree
        In the layout of a posterior, without observed data.

    Raises
    ------
    ModelNotFoundError, ArgumentError
        As for `fit`; or the model is a forest, which is no program that could be drawn from.
    """
    data = conditioned_on(model, data)
    spec = model_of(model, data)
    if spec.forest:
        raise ArgumentError(
            f"model {spec.name!r} is drawn by a sampler of its own, from posteriors alone; what its prior allows is stated "
            f"in outcome units by ForestPrior"
        )
    stated = chosen_prior(spec, prior, data)
    check_whole("seed", seed, 0)
    check_whole("draws", draws, 1)
    observed, numbers = given(spec, data), Given.of_prior(stated)

    with jax_session():
        keys = jax.random.split(jax.random.key(int(seed)), (_CHAINS, int(draws)))
        sites = jax.tree.map(np.asarray, _drawn(spec.name)(keys, observed, numbers))
        drawn = labelled(spec, data, observed, numbers, sites)
    attributes = provenance_of(spec, data, stated, int(seed)) | {"method": "draws from the prior"}
    return assemble({POSTERIOR: drawn}, attributes)


@functools.lru_cache(maxsize=_KEPT_PROGRAMS)
def _drawn(name: str) -> Any:
    """What draws sites (chain, draw, ...), kept between calls: other numbers of the prior need no other compilation."""
    program = conditioned(find(name))

    def one(key: jax.Array, known: Given, numbers: Given) -> dict[str, jax.Array]:
        trace = handlers.trace(handlers.seed(program, key)).get_trace(known, prior=numbers)
        return {
            name: site["value"]
            for name, site in trace.items()
            if site["type"] in ("sample", "deterministic") and name not in known.values
        }

    return jitted(jax.vmap(jax.vmap(one, in_axes=(0, None, None)), in_axes=(0, None, None)), density=True)
