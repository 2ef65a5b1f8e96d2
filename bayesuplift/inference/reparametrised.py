"""Other coordinates for sites that a Markov chain cannot move in as they are told: the model stays the same."""

from typing import Any, Final

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import expit, logit
from numpyro import handlers
from numpyro.infer.reparam import LocScaleReparam, Reparam

from bayesuplift.data.cells import Cells
from bayesuplift.inference.density import Data, conditioned, given
from bayesuplift.inference.pooled_coordinates import POOLED, coordinates
from bayesuplift.spec import Given, ModelSpec, Program


class StandardisedLogit(Reparam):
    """A Beta site by its logit, in units of its own width about its own middle.

    As a population of rates closes in on its mean the rates form a funnel that no step size fits; standardised, they do
    not.
    The density is carried over with its Jacobian, so that middle and width decide how well a chain moves, never where.
    """

    def __call__(self, name: str, fn: Any, obs: Any) -> tuple[None, Any]:
        """Return the value; the site's density is a factor of its own, the same under every prior of mean and spread."""
        assert obs is None, "only what is latent is moved"
        unwrapped, expand, event_dim = self._unwrap(fn)
        size = unwrapped.concentration1 + unwrapped.concentration0
        middle = unwrapped.concentration1 / size
        width = 1.0 / jnp.sqrt(middle * (1.0 - middle) * (size + 1.0))
        shape = jnp.shape(unwrapped.concentration1)
        base = dist.ImproperUniform(dist.constraints.real, (), ()).expand(shape)
        standardised = numpyro.sample(f"{name}_standardised", self._wrap(base, expand, event_dim))
        value = expit(logit(middle) + width * standardised)
        density = unwrapped.log_prob(value) + jnp.log(width) + jnp.log(value) + jnp.log1p(-value)
        numpyro.factor(f"{name}_density", density)
        return None, value


class StandardisedNormal(Reparam):
    """A Normal or MultivariateNormal site in units of its width about its middle, given its scale and roughly its data.

    Where data say little of a value it moves in units of its prior's scale (non-centred), where they say much in units of
    their own error (centred), between them in between: Papaspiliopoulos, Roberts and Skold (2007), A general framework for
    the parametrization of hierarchical models, Statistical Science 22(1). The data are told as one normal observation of
    each value, `estimate` with precision `information`; were they that, what is sampled were Normal(0, 1) whatever the
    scale.

    As with every change of coordinates the density is carried over with its Jacobian: an estimate that is wrong costs
    speed, never truth.
    """

    def __init__(self, estimate: jax.Array, information: jax.Array) -> None:
        self.estimate, self.information = estimate, information

    def __call__(self, name: str, fn: Any, obs: Any) -> tuple[None, jax.Array]:
        """Return the value, and add what its density has beside that of the standardised one."""
        assert obs is None, "only what is latent is moved"
        base = fn
        while isinstance(base, dist.ExpandedDistribution | dist.MaskedDistribution):
            base = base.base_dist
        if isinstance(base, dist.Normal):
            return None, base.loc + self._moved(name, base.scale, self.estimate - base.loc)
        if not isinstance(base, dist.MultivariateNormal):
            return None, self._placed(name, fn)
        tril = base.scale_tril
        size = tril.shape[-1]
        # element by element: products of such small matrices are many times as slow on a CPU
        pull, information = self.information * self.estimate, self.information
        standard = dist.Normal(0.0, 1.0).expand(self.estimate.shape).to_event(1)
        moved = numpyro.sample(f"{name}_standardised", standard)
        values, density = [], 0.0
        for j in range(size):
            known = sum(tril[..., i, j] ** 2 * information[..., i] for i in range(j, size))
            middle = sum(tril[..., i, j] * pull[..., i] for i in range(j, size)) / (1.0 + known)
            value = middle + moved[..., j] * jax.lax.rsqrt(1.0 + known)
            density += 0.5 * (moved[..., j] ** 2 - value**2 - jnp.log1p(known))
            values.append(value)
        numpyro.factor(f"{name}_density", density)
        rows = [sum(tril[..., i, j] * values[j] for j in range(i + 1)) for i in range(size)]
        return None, base.loc + jnp.stack(rows, axis=-1)

    def _placed(self, name: str, fn: Any) -> jax.Array:
        """A site of any other law, in units of its data's error about their estimate."""
        width = jax.lax.rsqrt(1.0 + self.information)
        moved = numpyro.sample(f"{name}_standardised", dist.Normal(0.0, 1.0).expand(jnp.shape(width)))
        value = self.estimate + width * moved
        numpyro.factor(f"{name}_density", fn.log_prob(value) + jnp.log(width) + 0.5 * moved**2)
        return value

    def _moved(self, name: str, scale: jax.Array, estimate: jax.Array) -> jax.Array:
        known = self.information * scale**2
        moved = numpyro.sample(f"{name}_standardised", dist.Normal(0.0, 1.0).expand(jnp.shape(known)))
        value = scale * self.information * estimate / (1.0 + known) + moved * jax.lax.rsqrt(1.0 + known)
        numpyro.factor(f"{name}_density", 0.5 * (moved**2 - value**2 - jnp.log1p(known)))
        return scale * value


class StandardisedLog(Reparam):
    """A positive site by the logarithm of its distance from its lower end, in units of its error about its estimate.

    `estimate` is of that logarithm, with precision `information`; where there is none it moves in units of 1.
    """

    def __init__(self, estimate: jax.Array, information: jax.Array) -> None:
        self.estimate, self.information = estimate, information

    def __call__(self, name: str, fn: Any, obs: Any) -> tuple[None, jax.Array]:
        """Return the value; the site's density, with the Jacobian, is a factor beside that of what is moved."""
        assert obs is None, "only what is latent is moved"
        width = jax.lax.rsqrt(1.0 + self.information)
        moved = numpyro.sample(f"{name}_standardised", dist.Normal(0.0, 1.0).expand(jnp.shape(width)))
        low = getattr(fn.support, "lower_bound", 0.0)
        logarithm = self.estimate + width * moved
        value = low + jnp.exp(logarithm)
        numpyro.factor(f"{name}_density", fn.log_prob(value) + logarithm + jnp.log(width) + 0.5 * moved**2)
        return None, value


_ALWAYS: Final[dict[str, dict[str, Reparam]]] = {
    "exchangeable_rates": {"rate": StandardisedLogit()},
    "portfolio": {"effect": LocScaleReparam(0.0, shape_params=("df",))},
}
"""Sites by model; LocScaleReparam moves an effect in units of the scale, Papaspiliopoulos et al. (2007)."""


def reparametrised(spec: ModelSpec) -> Program:
    """The conditioned program in coordinates that a Markov chain moves in well.

    Data with `coordinates` (see `pooled_coordinates`) have an `estimate` and its `information` for each site named there.
    """
    program = conditioned(spec)

    def moved(data: Given, *, prior: Any) -> None:
        sites = data.values.get("coordinates", Given({})).values
        config: dict[str, Reparam] = {
            site: (StandardisedLog if "positive" in one.values else StandardisedNormal)(one.estimate, one.information)
            for site, one in sites.items()
        }
        with handlers.reparam(config=_ALWAYS.get(spec.name, {}) | config):
            program(data, prior=prior)

    return moved


def prepared(spec: ModelSpec, data: Data) -> Given:
    """The data as the reparametrised program takes them."""
    observed = given(data)
    if spec.name in POOLED:
        assert isinstance(data, Cells)
        observed.values["coordinates"] = coordinates(spec.name, data, observed.design)
    return observed
