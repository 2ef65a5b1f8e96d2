"""A model's program, conditioned on data: what it observes, and the log density of what it does not."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from bayesuplift.data.cells import Cells
from bayesuplift.spec import ModelSpec, Program


def conditioned(spec: ModelSpec, cells: Cells) -> Program:
    """Return the program with every site that is named after a statistic of the cells set to that statistic."""
    with handlers.seed(rng_seed=0):
        sites = handlers.trace(spec.program).get_trace(cells)
    data = {
        name: np.asarray(cells.statistics[name].values)
        for name, site in sites.items()
        if site["type"] == "sample" and name in cells.statistics.data_vars
    }
    return handlers.condition(spec.program, data=data)


def log_prior(program: Program, cells: Cells, prior: Any) -> Callable[[Mapping[str, jax.Array]], jax.Array]:
    """Log prior density, summed over the latent sites, as a function of one draw of them."""

    def evaluate(draw: Mapping[str, jax.Array]) -> jax.Array:
        with handlers.seed(rng_seed=0):
            trace = handlers.trace(handlers.substitute(program, data=dict(draw))).get_trace(cells, prior=prior)
        parts = [
            jnp.sum(site["fn"].log_prob(site["value"]))
            for site in trace.values()
            if site["type"] == "sample" and not site["is_observed"]
        ]
        return jnp.sum(jnp.stack(parts))

    return evaluate
