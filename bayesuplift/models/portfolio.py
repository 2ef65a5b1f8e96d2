"""Effects of past experiments, and with them the prior of the next."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from bayesuplift.dims import SEGMENT
from bayesuplift.priors import PortfolioPrior
from bayesuplift.priors.portfolio import TYPICAL_DRIFT
from bayesuplift.spec import Given, register


@register(outcome="continuous", data="effects", supplies={"ate"})
def portfolio(effects: Given, *, prior: PortfolioPrior = PortfolioPrior()) -> None:  # noqa: B008 -- frozen
    """How large are effects of experiments like these, and what was the effect of each.

    Rubin (1981), Estimation in parallel randomized experiments; Gelman et al. (2013), Bayesian Data Analysis, third
    edition, sections 5.4, 5.5 and 17.4 (t distributed effects, 1/df uniform); Gelman (2006), Prior distributions for
    variance parameters in hierarchical models, section 3.2 (half-Cauchy scale).

    Every past experiment is a segment with two arms; its outcome under control is the origin, so that the mean outcome
    under treatment is the effect, on the effects' own scale.
    """
    scale = numpyro.sample("scale", dist.HalfCauchy(prior.typical_scale))
    if prior.typical_mean is None:
        drift = numpyro.sample("drift", dist.Normal(0.0, TYPICAL_DRIFT))
        mean = numpyro.deterministic("mean", drift * scale)
    else:
        mean = numpyro.sample("mean", dist.Cauchy(0.0, prior.typical_mean))
    if prior.df is None:
        df = numpyro.deterministic("df", 1.0 / numpyro.sample("inverse_df", dist.Uniform(0.0, 1.0)))
    else:
        df = numpyro.deterministic("df", jnp.asarray(prior.df))
    with numpyro.plate(SEGMENT, effects.sizes[SEGMENT]):
        effect = numpyro.sample("effect", dist.StudentT(df, mean, scale))
        numpyro.sample("estimate", dist.Normal(effect, effects.standard_error))
    numpyro.deterministic("mean_outcome", jnp.stack([jnp.zeros_like(effect), effect], axis=-1))
