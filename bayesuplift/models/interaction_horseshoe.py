"""Effects that depend on a few of many covariates: a linear model with a horseshoe on the interactions."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro import handlers

from bayesuplift.dims import ARM, COMPONENT, COVARIATE, TREATMENT, UNIT
from bayesuplift.distributions import SquaredDeviations
from bayesuplift.priors import HorseshoePrior
from bayesuplift.spec import Given, register

_SLAB_DF = 4.0


@register(outcome=("continuous", "revenue"), data="units", supplies={"ate", "cate"})
def interaction_horseshoe(units: Given, *, prior: HorseshoePrior = HorseshoePrior()) -> None:  # noqa: B008 -- frozen
    """Which units respond, when a few of many covariates change the effect and nobody knows which.

    Piironen and Vehtari (2017), Sparsity information and regularization in the horseshoe and other shrinkage priors,
    Electronic Journal of Statistics 11(2), equation 2.8, on the interactions; a covariate has one local scale for all
    treatments. The outcomes are told as sufficient statistics (`data.least_squares`).
    """
    arms, treatments = units.treated.shape
    covariates = units.columns.shape[1]
    base = numpyro.sample("base", dist.Normal(prior.location, prior.location_sd))
    prognostic_scale = numpyro.sample("prognostic_scale", dist.HalfNormal(prior.prognostic))
    global_scale = numpyro.sample("global_scale", dist.HalfCauchy(prior.global_scale))
    half = _SLAB_DF / 2.0
    slab = numpyro.sample("slab_squared", dist.InverseGamma(half, half * jnp.square(prior.slab)))
    with numpyro.plate(TREATMENT, treatments):
        average_effect = numpyro.sample("average_effect", dist.Normal(0.0, prior.average_effect))
    with numpyro.plate(COVARIATE, covariates):
        prognostic = numpyro.sample("prognostic", dist.Normal(0.0, prognostic_scale))
        local_scale = numpyro.sample("local_scale", dist.HalfCauchy(1.0))
    wide = (global_scale * local_scale) ** 2
    width = jnp.sqrt(wide * slab / (wide + slab))
    with numpyro.plate(COVARIATE, covariates, dim=-2), numpyro.plate(TREATMENT, treatments, dim=-1):
        interaction = numpyro.sample("interaction", dist.Normal(0.0, width[:, None]))
    own = jnp.concatenate([base[None], prognostic])
    changed = jnp.concatenate([average_effect[None], interaction])
    coefficients = own[:, None] + changed @ units.treated.T
    with numpyro.plate(UNIT, units.columns.shape[0], dim=-2), numpyro.plate(ARM, arms, dim=-1):
        numpyro.deterministic("mean_outcome", coefficients[0] + units.columns @ coefficients[1:])
    with numpyro.plate(ARM, arms):
        sd = numpyro.sample("sd", dist.TruncatedNormal(0.0, prior.scale, low=prior.smallest_scale))
    components = units.triangle.shape[1]
    there = jnp.arange(components) < units.n[:, None]  # an arm of few units says nothing of the others
    with numpyro.plate(ARM, arms, dim=-2), numpyro.plate(COMPONENT, components, dim=-1), handlers.mask(mask=there):
        fitted = jnp.einsum("akc,ca->ak", units.triangle, coefficients)
        numpyro.sample("projection", dist.Normal(fitted, sd[:, None]))
    left = units.n - components
    with numpyro.plate(ARM, arms), handlers.mask(mask=left > 0):
        numpyro.sample("residual_sum_of_squares", SquaredDeviations(jnp.maximum(left, 1.0), sd))
