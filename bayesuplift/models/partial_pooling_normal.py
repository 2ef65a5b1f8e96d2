"""Means of a continuous outcome by segment: levels and effects of segments, each partially pooled."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro import handlers

from bayesuplift.dims import ARM
from bayesuplift.distributions import SquaredDeviations
from bayesuplift.predictor import linked, pooled_predictor
from bayesuplift.priors import NormalPoolingPrior
from bayesuplift.spec import Given, cell_plates, register


@register(outcome=("continuous", "revenue"), data="cells", supplies={"ate", "cate"}, factors=True)
def partial_pooling_normal(cells: Given, *, prior: NormalPoolingPrior = NormalPoolingPrior()) -> None:  # noqa: B008 -- frozen
    """Which segments respond to which arm, when segments' means and effects borrow from each other.

    Gelman and Hill (2007), Data Analysis Using Regression and Multilevel/Hierarchical Models, sections 12.5 and 13.3, with
    the prognostic and the effect part regularised apart (`predictor`); one standard deviation an arm.
    """
    predictor = pooled_predictor(cells.design, linked(prior, "identity"))
    with numpyro.plate(ARM, cells.sizes[ARM]):
        sd = numpyro.sample("sd", dist.TruncatedNormal(0.0, prior.scale, low=prior.smallest_scale))
    with cell_plates(cells):
        numpyro.deterministic("mean_outcome", predictor)
        n = jnp.asarray(cells.n, dtype=float)
        with handlers.mask(mask=n > 0):
            numpyro.sample("total", dist.Normal(n * predictor, jnp.sqrt(jnp.maximum(n, 1.0)) * sd))
        with handlers.mask(mask=n > 1):
            numpyro.sample("sum_squared_deviations", SquaredDeviations(jnp.maximum(n, 2.0) - 1.0, sd))
