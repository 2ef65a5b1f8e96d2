"""Revenue with zeros: did they buy, and how much."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro import handlers

from bayesuplift.priors import HurdlePrior
from bayesuplift.spec import Given, cell_plates, register


@register(outcome="revenue", data="cells", supplies={"ate"})
def hurdle_lognormal(cells: Given, *, prior: HurdlePrior = HurdlePrior()) -> None:  # noqa: B008 -- frozen
    """Which arm brings most per unit, when some buy nothing and the amounts of the others are log-normal.

    Two parts, Duan et al. (1983), A comparison of alternative models for the demand for medical care, Journal of Business
    and Economic Statistics 1(2), section 2: mean outcome = P(buy) exp(log_mean + log_sd^2 / 2), combined in every draw.
    """
    with cell_plates(cells):
        buying = numpyro.sample("buying_rate", dist.Beta(prior.buying.alpha, prior.buying.beta))
        log_mean = numpyro.sample("log_mean", dist.Normal(prior.amount.location, prior.amount.location_sd))
        spread = dist.TruncatedNormal(0.0, prior.amount.scale, low=prior.amount.smallest_scale)
        log_sd = numpyro.sample("log_sd", spread)
        numpyro.deterministic("mean_outcome", buying * jnp.exp(log_mean + log_sd**2 / 2.0))
        positives = numpyro.sample("positives", dist.Binomial(cells.n, buying))
        k = jnp.asarray(positives, dtype=float)
        with handlers.mask(mask=k > 0):
            numpyro.sample("total_log", dist.Normal(k * log_mean, jnp.sqrt(jnp.maximum(k, 1.0)) * log_sd))
        with handlers.mask(mask=k > 1):
            halves = (jnp.maximum(k, 2.0) - 1.0) / 2.0
            numpyro.sample("sum_squared_log_deviations", dist.Gamma(halves, 0.5 / log_sd**2))
