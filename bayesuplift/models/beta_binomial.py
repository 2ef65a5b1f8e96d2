"""Conversion, one rate an arm."""

import numpyro
import numpyro.distributions as dist

from bayesuplift.priors import RatePrior
from bayesuplift.spec import Given, cell_plates, register


@register(outcome="binary", data="cells", supplies={"ate"}, flat_in="mean_outcome")
def beta_binomial(cells: Given, *, prior: RatePrior = RatePrior()) -> None:  # noqa: B008 -- frozen, shown by the signature
    """Which arm converts best, when each arm (of each segment) has a rate of its own.

    Gelman et al. (2013), Bayesian Data Analysis, third edition, section 2.4; every (segment, arm) cell stands alone.
    """
    with cell_plates(cells):
        rate = numpyro.sample("rate", dist.Beta(prior.alpha, prior.beta))
        numpyro.deterministic("mean_outcome", rate)
        numpyro.sample("total", dist.Binomial(cells.n, rate))
