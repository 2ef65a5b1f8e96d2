"""Counts by segment: levels and effects of segments, each partially pooled."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro import handlers

from bayesuplift.dims import ARM
from bayesuplift.distributions import RisingNegativeBinomial
from bayesuplift.predictor import linked, pooled_predictor
from bayesuplift.priors import CountPoolingPrior
from bayesuplift.spec import Given, cell_plates, register


@register(outcome="count", data="cells", supplies={"ate", "cate"}, factors=True, per_exposure=True)
def partial_pooling_count(cells: Given, *, prior: CountPoolingPrior = CountPoolingPrior()) -> None:  # noqa: B008 -- frozen
    """Which segments respond to which arm, when segments' rates of events and effects borrow from each other.

    Gelman and Hill (2007), Data Analysis Using Regression and Multilevel/Hierarchical Models, section 15.1, with the
    prognostic and the effect part regularised apart (`predictor`); negative binomial counts, one overdispersion an arm.
    Conditioned on the table of distinct (cell, value, exposure), each row as often as it occurs.
    """
    predictor = pooled_predictor(cells.design, linked(prior, "log"))
    with numpyro.plate(ARM, cells.sizes[ARM]):
        overdispersion = numpyro.sample("overdispersion", dist.HalfNormal(prior.overdispersion))
    with cell_plates(cells):
        rate = numpyro.deterministic("rate", jnp.exp(predictor))
        numpyro.deterministic("mean_outcome", rate)
    cell = cells.frequency_cell
    mean = jnp.ravel(rate)[cell] * cells.frequency_exposure
    counts = RisingNegativeBinomial(mean, overdispersion**-2, cell % cells.sizes[ARM], cells.frequency_steps)
    with numpyro.plate("frequency", cell.shape[0]), handlers.scale(scale=cells.frequency_n):
        numpyro.sample("value", counts)
