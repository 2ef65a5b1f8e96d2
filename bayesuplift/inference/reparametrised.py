"""Other coordinates for sites that a Markov chain cannot move in as they are told: the model stays the same."""

from typing import Any, Final

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import expit, logit
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.infer.reparam import LocScaleReparam, Reparam

from bayesuplift.data.cells import Cells
from bayesuplift.data.units import Units
from bayesuplift.inference import regression_coordinates
from bayesuplift.inference.density import Data, conditioned, given
from bayesuplift.inference.pooled_coordinates import POOLED, coordinates
from bayesuplift.inference.regression_coordinates import REGRESSIONS
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


class Standardised(Reparam):
    """A site in units of its width about its middle, given roughly its data, and its prior's scale where it has one.

    The data are told as one normal observation of each value, `estimate` with precision `information`. A Normal or
    MultivariateNormal site then moves in units of its prior's scale where they say little (non-centred), of their own error
    where they say much (centred), between them in between: Papaspiliopoulos, Roberts and Skold (2007), A general framework
    for the parametrization of hierarchical models, Statistical Science 22(1); were the data that observation, what is
    sampled were Normal(0, 1) whatever the scale. A site of another law moves in units of the data's error about their
    estimate, which are of its unconstrained value (of a positive site the logarithm).

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
            known = self.information * base.scale**2
            pull = base.scale * self.information * (self.estimate - base.loc)
            moved = numpyro.sample(f"{name}_standardised", dist.Normal(0.0, 1.0).expand(jnp.shape(known)))
            value, density = _given_scale(moved, pull, known)
            value = base.loc + base.scale * value
        elif isinstance(base, dist.MultivariateNormal):
            moved = numpyro.sample(
                f"{name}_standardised", dist.Normal(0.0, 1.0).expand(self.estimate.shape).to_event(1)
            )
            value, density = self._given_tril(moved, base.scale_tril)
            value = base.loc + value
        else:
            width, to_support = jax.lax.rsqrt(1.0 + self.information), biject_to(fn.support)
            moved = numpyro.sample(f"{name}_standardised", dist.Normal(0.0, 1.0).expand(jnp.shape(width)))
            unconstrained = self.estimate + width * moved
            value = to_support(unconstrained)
            jacobian = to_support.log_abs_det_jacobian(unconstrained, value) + jnp.log(width)
            density = fn.log_prob(value) + jacobian + 0.5 * moved**2
        numpyro.factor(f"{name}_density", density)
        return None, value

    def _given_tril(self, moved: jax.Array, tril: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Value, less its location, and density, element by element: products of so small matrices are slow on a CPU."""
        size, told = tril.shape[-1], self.information * self.estimate
        values, density = [], 0.0
        for j in range(size):
            known = sum(tril[..., i, j] ** 2 * self.information[..., i] for i in range(j, size))
            pull = sum(tril[..., i, j] * told[..., i] for i in range(j, size))
            value, own = _given_scale(moved[..., j], pull, known)
            values.append(value)
            density += own
        rows = [sum(tril[..., i, j] * values[j] for j in range(i + 1)) for i in range(size)]
        return jnp.stack(rows, axis=-1), density


def _given_scale(moved: jax.Array, pull: Any, known: Any) -> tuple[jax.Array, jax.Array]:
    """A standard normal value that data of precision `known` pull at, and log of its density over that of `moved`."""
    value = pull / (1.0 + known) + moved * jax.lax.rsqrt(1.0 + known)
    return value, 0.5 * (moved**2 - value**2 - jnp.log1p(known))


STANDARDISED: Final = frozenset(POOLED) | REGRESSIONS
"""Models whose sites are `Standardised`: chains of one step size and one length move well in them."""

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
        config: dict[str, Reparam] = {site: Standardised(one.estimate, one.information) for site, one in sites.items()}
        with handlers.reparam(config=_ALWAYS.get(spec.name, {}) | config):
            program(data, prior=prior)

    return moved


def prepared(spec: ModelSpec, data: Data) -> Given:
    """The data as the reparametrised program takes them."""
    observed = given(spec, data)
    if spec.name in POOLED:
        assert isinstance(data, Cells)
        observed.values["coordinates"] = coordinates(spec.name, data, observed.design)
    if spec.name in REGRESSIONS:
        assert isinstance(data, Units)
        observed.values["coordinates"] = regression_coordinates.coordinates(data, observed.treated)
    return observed
