"""Revenue with zeros by segment: who buys and how much, levels and effects of segments, each partially pooled."""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro import handlers

from bayesuplift.dims import ARM
from bayesuplift.distributions import SquaredDeviations
from bayesuplift.predictor import linked, pooled_predictor
from bayesuplift.priors import RevenuePoolingPrior
from bayesuplift.spec import Given, cell_plates, register


@register(outcome="revenue", data="cells", supplies={"ate", "cate"}, factors=True)
def partial_pooling_revenue(cells: Given, *, prior: RevenuePoolingPrior = RevenuePoolingPrior()) -> None:  # noqa: B008
    """Which segments respond to which arm, when segments' buying, their amounts and both effects borrow from each other.

    Two parts, Duan et al. (1983), A comparison of alternative models for the demand for medical care, Journal of Business
    and Economic Statistics 1(2), section 2: mean outcome = P(buy) exp(log_mean + log_sd^2 / 2), combined in every draw.
    Each part has a pooled predictor of its own (`predictor`); one standard deviation of log amounts an arm.
    """
    buying = pooled_predictor(cells.design, linked(prior.buying, "logit"), part="buying_")
    amounts = pooled_predictor(cells.design, linked(prior.amount, "identity"), part="amount_")
    with numpyro.plate(ARM, cells.sizes[ARM]):
        spread = dist.TruncatedNormal(0.0, prior.amount.scale, low=prior.amount.smallest_scale)
        log_sd = numpyro.sample("log_sd", spread)
    with cell_plates(cells):
        buying_rate = numpyro.deterministic("buying_rate", jax.nn.sigmoid(buying))
        log_mean = numpyro.deterministic("log_mean", amounts)
        numpyro.deterministic("mean_outcome", buying_rate * jnp.exp(log_mean + log_sd**2 / 2.0))
        positives = numpyro.sample("positives", dist.Binomial(cells.n, logits=buying))
        k = jnp.asarray(positives, dtype=float)
        with handlers.mask(mask=k > 0):
            numpyro.sample("total_log", dist.Normal(k * log_mean, jnp.sqrt(jnp.maximum(k, 1.0)) * log_sd))
        with handlers.mask(mask=k > 1):
            numpyro.sample("sum_squared_log_deviations", SquaredDeviations(jnp.maximum(k, 2.0) - 1.0, log_sd))
