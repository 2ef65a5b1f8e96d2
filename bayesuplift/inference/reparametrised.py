"""Other coordinates for sites that a Markov chain cannot move in as they are told: the model stays the same."""

from typing import Any, Final

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import expit, logit
from numpyro.infer.reparam import LocScaleReparam, Reparam


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


REPARAMETRISED: Final[dict[str, dict[str, Reparam]]] = {
    "exchangeable_rates": {"rate": StandardisedLogit()},
    "portfolio": {"effect": LocScaleReparam(0.0, shape_params=("df",))},
}
"""Sites by model; LocScaleReparam moves an effect in units of the scale, Papaspiliopoulos et al. (2007)."""
