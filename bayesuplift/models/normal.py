"""Means of a continuous outcome, one mean and one standard deviation an arm."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro import handlers

from bayesuplift.priors import NormalPrior
from bayesuplift.spec import Given, cell_plates, register


@register(outcome=("continuous", "count", "revenue"), data="cells", supplies={"ate"}, flat_in="mean_outcome")
def normal(cells: Given, *, prior: NormalPrior = NormalPrior()) -> None:  # noqa: B008 -- frozen, shown by the signature
    """Which arm has the best mean, when each arm (of each segment) has a mean and a standard deviation of its own.

    Gelman et al. (2013), Bayesian Data Analysis, third edition, section 3.2. The mean and the squared deviations about it
    are sufficient and independent, so that their two densities are the likelihood of the units up to a constant.
    """
    with cell_plates(cells):
        mean = numpyro.sample("mean", dist.Normal(prior.location, prior.location_sd))
        sd = numpyro.sample("sd", dist.TruncatedNormal(0.0, prior.scale, low=prior.smallest_scale))
        numpyro.deterministic("mean_outcome", mean)
        n = jnp.asarray(cells.n, dtype=float)
        with handlers.mask(mask=n > 0):
            numpyro.sample("total", dist.Normal(n * mean, jnp.sqrt(jnp.maximum(n, 1.0)) * sd))
        with handlers.mask(mask=n > 1):
            halves = (jnp.maximum(n, 2.0) - 1.0) / 2.0
            numpyro.sample("sum_squared_deviations", dist.Gamma(halves, 0.5 / sd**2))
