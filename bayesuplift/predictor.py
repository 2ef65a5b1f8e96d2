"""The linear predictor of every partially pooled model: a prognostic part and an effect part, each pooled over segments."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from bayesuplift.dims import CONTRAST, LEVEL, OTHER, SEGMENT, TERM, TREATMENT
from bayesuplift.distributions import MultivariateNormal
from bayesuplift.spec import EVENT_DIMS, Given

Link = Literal["logit", "log", "identity"]


def linked(prior: Any, link: Link) -> Given:
    """The numbers of a `PoolingPrior` on the link's scale: a small change there is the mean outcome's over its slope."""
    base = prior.base
    if link == "logit":
        at, slope = jnp.log(base) - jnp.log1p(-base), base * (1.0 - base)
    elif link == "log":
        at, slope = jnp.log(base), base
    else:
        at, slope = base, 1.0
    scales = ("base_sd", "average_effect", "prognostic", "effect", "propensity")
    changes = {name: getattr(prior, name) / slope for name in scales if getattr(prior, name) is not None}
    return Given({"base": at, "concentration": prior.concentration, "learned": prior.learned, **changes})


def _average_effect(prior: Given) -> dist.Distribution:
    learned = prior.learned
    if learned is None:
        return dist.Normal(0.0, prior.average_effect)
    even = dist.Categorical(logits=jnp.zeros(jnp.shape(learned.mean)))
    return dist.MixtureSameFamily(even, dist.StudentT(learned.df, learned.mean, learned.scale))


def pooled_predictor(design: Given, prior: Given, *, part: str = "") -> jax.Array:
    """Linear predictor of every cell, (segment, arm), on the link's scale.

    eta[s, a] = base + gamma p_s + sum_f alpha_f[level of s] + u_s
                + 1[a is no control] (delta_a + sum_f beta_fa[level of s] + v_sa)

    u and v are there where factors are crossed, gamma where the propensity is known. Prognostic and effect parts are
    regularised apart, as in Hahn, Murray and Carvalho (2020), Bayesian regression tree models for causal inference,
    Bayesian Analysis 15(3), section 5; each factor, and the segment itself, has a scale of its own, Gelman (2005), Analysis
    of variance, Annals of Statistics 33(1), section 3. Treatments' effects are correlated alike in every term.

    Where segments of a high level are treated more often, levels drawn towards each other leave a part of their difference
    for the treatment to explain: regularisation-induced confounding, section 4 of the same paper. gamma lets levels follow
    the propensity before they are drawn together. p_s is the mean log odds of treatment of the segment's units, less that
    of all units; effects do not depend on it.

    Parameters
    ----------
    design
        `columns` (segment, contrast), `basis` (level, contrast), `term` (contrast,), `treated` (arm, treatment); its sizes:
        terms, and segments that deviate from what their factors say (none where there is one factor). Also `propensity`
        (segment,), where it is known.
    prior
        Numbers on the link's scale, see `linked`.
    part
        Put before the names of sites, for models with two predictors.
    """
    arms, treatments = design.treated.shape
    segments = design.columns.shape[0]
    base = numpyro.sample(f"{part}base", dist.Normal(prior.base, prior.base_sd))
    with numpyro.plate(TREATMENT, treatments):
        average_effect = numpyro.sample(f"{part}average_effect", _average_effect(prior))
    with numpyro.plate(TERM, design.sizes[TERM]):
        prognostic_scale = numpyro.sample(f"{part}prognostic_scale", dist.HalfNormal(prior.prognostic))
        effect_scale = numpyro.sample(f"{part}effect_scale", dist.HalfNormal(prior.effect))
    tril = effect_scale[:, None, None] * _correlation(treatments, prior, part)
    own, effects = _deviations(f"{part}{{}}_contrast", CONTRAST, prognostic_scale[design.term], tril[design.term])
    with numpyro.plate(LEVEL, design.basis.shape[0]):
        numpyro.deterministic(f"{part}prognostic_level", design.basis @ own)
    with numpyro.plate(LEVEL, design.basis.shape[0], dim=-2), numpyro.plate(TREATMENT, treatments, dim=-1):
        numpyro.deterministic(f"{part}effect_level", design.basis @ effects)
    # arm by arm: loops over two or three arms innermost are three times as slow as loops over segments
    prognosis = base + design.columns @ own
    if "propensity" in design.values:
        prognosis += numpyro.sample(f"{part}propensity_slope", dist.Normal(0.0, prior.propensity)) * design.propensity
    effect = [average_effect[t] + design.columns @ effects[:, t] for t in range(treatments)]
    if design.sizes[SEGMENT]:
        every = jnp.full(segments, prognostic_scale[-1])
        own, effects = _deviations(f"{part}{{}}_segment", SEGMENT, every, tril[-1])
        prognosis += own
        effect = [effect[t] + effects[:, t] for t in range(treatments)]
    return jnp.stack(
        [prognosis + sum(design.treated[arm, t] * effect[t] for t in range(treatments)) for arm in range(arms)], axis=-1
    )


def _correlation(treatments: int, prior: Given, part: str) -> jax.Array:
    """Cholesky factor of the correlation of treatments' effects."""
    if treatments == 1:
        return jnp.ones((1, 1))
    law = dist.LKJCholesky(treatments, prior.concentration)
    return jnp.asarray(numpyro.sample(f"{part}effect_cholesky", law, infer={EVENT_DIMS: (TREATMENT, OTHER)}))


def _deviations(name: str, over: str, scale: jax.Array, tril: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Prognostic (member,) and effect deviations (member, treatment) of a plate's members; there may be none."""
    count, treatments = scale.shape[0], tril.shape[-1]
    if count == 0:
        return jnp.zeros(0), jnp.zeros((0, treatments))
    of_effects = MultivariateNormal(jnp.zeros(treatments), scale_tril=tril)
    with numpyro.plate(over, count):
        own = numpyro.sample(name.format("prognostic"), dist.Normal(0.0, scale))
        effects = numpyro.sample(name.format("effect"), of_effects, infer={EVENT_DIMS: (TREATMENT,)})
    return own, effects
