"""Conversion by segment: levels and effects of segments, each partially pooled."""

import jax
import numpyro
import numpyro.distributions as dist

from bayesuplift.predictor import linked, pooled_predictor
from bayesuplift.priors import BinaryPoolingPrior
from bayesuplift.spec import Given, cell_plates, register


@register(outcome="binary", data="cells", supplies={"ate", "cate"}, factors=True)
def partial_pooling_binary(cells: Given, *, prior: BinaryPoolingPrior = BinaryPoolingPrior()) -> None:  # noqa: B008 -- frozen
    """Which segments respond to which arm, when segments' conversion and effects borrow from each other.

    Gelman and Hill (2007), Data Analysis Using Regression and Multilevel/Hierarchical Models, sections 14.1 and 14.2, with
    the prognostic and the effect part regularised apart (`predictor`).
    """
    predictor = pooled_predictor(cells.design, linked(prior, "logit"))
    with cell_plates(cells):
        numpyro.deterministic("mean_outcome", jax.nn.sigmoid(predictor))
        numpyro.sample("total", dist.Binomial(cells.n, logits=predictor))
