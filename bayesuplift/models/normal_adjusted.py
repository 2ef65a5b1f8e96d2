"""Means of a continuous outcome, adjusted for a pre-period outcome."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro import handlers

from bayesuplift.priors import RegressionPrior
from bayesuplift.spec import Given, cell_plates, register

_NEEDS = {"covariate_total": "read the cells with covariate=, the column of an outcome from before the experiment"}


@register(outcome=("continuous", "revenue"), data="cells", supplies={"ate"}, needs=_NEEDS, flat_in="mean_outcome")
def normal_adjusted(cells: Given, *, prior: RegressionPrior = RegressionPrior()) -> None:  # noqa: B008 -- frozen
    """Which arm has the best mean, when a pre-period outcome explains part of the outcome (CUPED, as regression).

    Lin (2013), Agnostic notes on regression adjustments to experimental data, Annals of Applied Statistics 7(1), section 4:
    one slope an arm, the covariate centred at its mean over the units of all arms (of a segment). Deng et al. (2013),
    Improving the sensitivity of online controlled experiments by utilizing pre-experiment data, WSDM, section 3, is the
    case of a common slope.
    """
    with cell_plates(cells):
        mean = numpyro.sample("mean", dist.Normal(prior.location, prior.location_sd))
        slope = numpyro.sample("slope", dist.Normal(0.0, prior.slope_sd))
        sd = numpyro.sample("sd", dist.TruncatedNormal(0.0, prior.scale, low=prior.smallest_scale))
        numpyro.deterministic("mean_outcome", mean)
        n = jnp.asarray(cells.n, dtype=float)
        # arms of a segment are compared at the segment's mean covariate, which randomization gives all of them
        centre = jnp.sum(cells.covariate_total, -1, keepdims=True) / jnp.maximum(jnp.sum(n, -1, keepdims=True), 1.0)
        away = cells.covariate_total - n * centre
        spread = cells.covariate_sum_squared_deviations
        varies = spread > 0
        safe = jnp.where(varies, spread, 1.0)
        with handlers.mask(mask=n > 0):
            numpyro.sample("total", dist.Normal(n * mean + slope * away, jnp.sqrt(jnp.maximum(n, 1.0)) * sd))
        with handlers.mask(mask=varies):
            together = numpyro.sample("sum_codeviations", dist.Normal(slope * safe, sd * jnp.sqrt(safe)))
        explained = jnp.where(varies, together**2 / safe, 0.0)
        left = n - 1.0 - varies
        with handlers.mask(mask=left > 0):
            residual = dist.Gamma(jnp.maximum(left, 1.0) / 2.0, 0.5 / sd**2)
            shifted = dist.TransformedDistribution(residual, dist.transforms.AffineTransform(explained, 1.0))
            numpyro.sample("sum_squared_deviations", shifted)
