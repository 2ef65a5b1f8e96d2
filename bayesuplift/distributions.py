"""Laws that programs are made of, exact where the general-purpose ones are slow, not finite, or never come back."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.util import promote_shapes, validate_sample


class SquaredDeviations(dist.Distribution):
    """Sum of squared deviations of normal units from their mean: sd^2 times a chi-squared of `df` degrees of freedom.

    Units that are all equal have the sum 0, at which a gamma density is 0 or infinite whatever the sd. Units are recorded
    to some precision: their likelihood is finite there, and so is this one, whose factor x^(df / 2 - 1), the same for every
    sd, is taken as 1 at 0.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"df": constraints.positive, "sd": constraints.positive}
    support = constraints.nonnegative

    def __init__(self, df: jax.Array, sd: jax.Array, *, validate_args: bool | None = None) -> None:
        self.df, self.sd = promote_shapes(df, sd)
        shape = jax.lax.broadcast_shapes(jnp.shape(df), jnp.shape(sd))
        super().__init__(batch_shape=shape, validate_args=validate_args)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draw sums of squares."""
        return self.sd**2 * 2.0 * jax.random.gamma(key, self.df / 2.0, shape=sample_shape + self.batch_shape)

    @validate_sample
    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log density, up to what depends on the data alone where the value is 0."""
        half = self.df / 2.0
        own = jnp.where(value > 0, (half - 1.0) * jnp.log(jnp.where(value > 0, value, 1.0)), 0.0)
        constant = jax.scipy.special.gammaln(half) + half * jnp.log(2.0)
        return own - constant - self.df * jnp.log(self.sd) - 0.5 * value / self.sd**2


class MultivariateNormal(dist.MultivariateNormal):
    """Multivariate normal law of a few dimensions, its density by substitution, element by element.

    WORKAROUND(jax>=0.10): the library's density calls a triangular solver that hands its batch to the threads of the
    processor pool and waits for them. Two such calls at once on a pool of two wait for each other for ever.
    """

    @validate_sample
    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log density of values (..., dimension)."""
        away, tril = value - self.loc, self.scale_tril
        size = away.shape[-1]
        standard: list[jax.Array] = []
        for i in range(size):
            known = sum((tril[..., i, j] * standard[j] for j in range(i)), start=jnp.zeros(()))
            standard.append((away[..., i] - known) / tril[..., i, i])
        diagonal = sum(jnp.log(tril[..., i, i]) for i in range(size))
        return -0.5 * sum(one**2 for one in standard) - diagonal - 0.5 * size * jnp.log(2.0 * jnp.pi)


class RisingNegativeBinomial(dist.Distribution):
    """Negative binomial counts of mean m and variance m + m^2 / c: many counts, few concentrations c.

    log Gamma(y + c) - log Gamma(c) is the sum of log(c + i) over i < y: one table of such sums for each concentration
    serves all counts, and is exact, where gamma functions of every count take most of the time.

    Parameters
    ----------
    expected
        Mean of every count, (count,).
    concentration
        Of every group, (group,).
    group
        Group of every count, (count,).
    steps
        0, 1, 2, ... past the largest count.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.nonnegative_integer
    pytree_data_fields = ("expected", "concentration", "group", "steps")

    def __init__(
        self,
        expected: jax.Array,
        concentration: jax.Array,
        group: jax.Array,
        steps: jax.Array,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.expected, self.concentration, self.group, self.steps = expected, concentration, group, steps
        super().__init__(batch_shape=jnp.shape(expected), validate_args=validate_args)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draw counts."""
        return dist.NegativeBinomial2(self.expected, self.concentration[self.group]).sample(key, sample_shape)

    @validate_sample
    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log probability of the counts."""
        sums = jnp.cumsum(jnp.log(self.concentration[:, None] + self.steps), axis=1)
        table = jnp.concatenate([jnp.zeros_like(sums[:, :1]), sums], axis=1)
        size = self.concentration[self.group]
        # log1p: near Poisson's law the size is large, and a difference of logarithms would cancel
        rest = value * jnp.log(self.expected / (size + self.expected)) - size * jnp.log1p(self.expected / size)
        return table[self.group, jnp.asarray(value, int)] + rest - jax.scipy.special.gammaln(value + 1.0)
