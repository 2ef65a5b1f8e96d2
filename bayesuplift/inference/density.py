"""A model's program, conditioned on data: what it is given, what it observes, and the log density of the rest."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from bayesuplift.data.cells import Cells
from bayesuplift.data.effects import Effects
from bayesuplift.dims import ARM, SEGMENT
from bayesuplift.spec import Given, ModelSpec, Program

Data = Cells | Effects


def given(data: Data) -> Given:
    """The statistics of the data as a program takes them.

    For counts also the frequency table, by row: `value`, `frequency_exposure`, `frequency_n`, and `frequency_cell`, the
    position of its cell in the flattened ([segment], arm).
    """
    statistics = data.statistics
    values: dict[str, Any] = {str(name): np.asarray(part.to_numpy()) for name, part in statistics.data_vars.items()}
    sizes = {str(name): int(size) for name, size in next(iter(statistics.data_vars.values())).sizes.items()}
    table = data.frequencies if isinstance(data, Cells) else None
    if table is not None:
        values["value"] = table["value"].to_numpy()
        values["frequency_exposure"] = table["exposure"].to_numpy()
        values["frequency_n"] = table["n"].to_numpy().astype(np.float64)
        values["frequency_cell"] = table[SEGMENT].to_numpy() * sizes[ARM] + table[ARM].to_numpy()
    return Given(values, sizes)


def conditioned(spec: ModelSpec) -> Program:
    """Return the program with every site that is named after a statistic of its data set to that statistic."""

    def program(data: Given, *, prior: Any) -> None:
        with handlers.condition(data=data.values):
            spec.program(data, prior=prior)

    return program


def dims_of(spec: ModelSpec, data: Given, prior: Any) -> dict[str, tuple[str, ...]]:
    """Dimensions of every latent or deterministic site, by its plates; a site may have dimensions after them."""
    with handlers.seed(rng_seed=0):
        trace = handlers.trace(conditioned(spec)).get_trace(data, prior=prior)
    return {
        name: tuple(frame.name for frame in sorted(site["cond_indep_stack"], key=lambda frame: frame.dim))
        for name, site in trace.items()
        if site["type"] == "deterministic" or (site["type"] == "sample" and not site["is_observed"])
    }


def log_prior(program: Program, data: Given, prior: Any) -> Callable[[Mapping[str, jax.Array]], jax.Array]:
    """Log prior density, summed over the latent sites, as a function of one draw of them."""

    def evaluate(draw: Mapping[str, jax.Array]) -> jax.Array:
        with handlers.seed(rng_seed=0):
            trace = handlers.trace(handlers.substitute(program, data=dict(draw))).get_trace(data, prior=prior)
        parts = [
            jnp.sum(site["fn"].log_prob(site["value"]))
            for site in trace.values()
            if site["type"] == "sample" and not site["is_observed"]
        ]
        return jnp.sum(jnp.stack(parts))

    return evaluate
