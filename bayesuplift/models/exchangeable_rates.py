"""Conversion rates that are alike: the hierarchical Beta-Bernoulli model."""

import numpyro
import numpyro.distributions as dist

from bayesuplift.priors import ExchangeableRatesPrior
from bayesuplift.spec import Given, cell_plates, register


@register(outcome="binary", data="cells", supplies={"ate", "cate"})
def exchangeable_rates(cells: Given, *, prior: ExchangeableRatesPrior = ExchangeableRatesPrior()) -> None:  # noqa: B008 -- frozen
    """Which arm converts best, when rates are alike over the segments of an arm (or over arms) and borrow from each other.

    Gelman et al. (2013), Bayesian Data Analysis, third edition, section 5.3, equations 5.6 to 5.10. Groups are the segments
    within each arm, each arm with a population of its own; without segments, the arms.
    """
    with cell_plates(cells, leave_out=next(iter(cells.sizes))):
        mean = numpyro.sample("mean", dist.Beta(prior.alpha, prior.beta))
        # The prior of BDA3, (alpha + beta)^(-5/2), is uniform in the mean and in this spread, (alpha + beta)^(-1/2).
        spread = numpyro.sample("spread", dist.Uniform(0.0, prior.largest_spread))
    size = spread**-2
    with cell_plates(cells):
        rate = numpyro.sample("rate", dist.Beta(mean * size, (1.0 - mean) * size))
        numpyro.deterministic("mean_outcome", rate)
        numpyro.sample("total", dist.Binomial(cells.n, rate))
