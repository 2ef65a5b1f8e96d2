"""The normal values behind a binary outcome."""

from typing import Any, Final

import jax
import jax.numpy as jnp

_FAR: Final = 11.0
_HALF_A_STEP: Final = 2.0**-25


def behind(key: Any, outcome: Any, mean: Any) -> Any:
    """Draw the normal value of variance 1 behind each outcome: above 0 for a 1, below for a 0. Albert and Chib (1993).

    Parameters
    ----------
    key
        A random key.
    outcome
        (n,), float32: 0 or 1.
    mean
        (n,), float32: of the values.
    """
    side = 2.0 * outcome - 1.0
    return side * (side * mean + above(key, -side * mean))


def above(key: Any, least: Any) -> Any:
    """Standard normal values above `least`, by inversion of the upper tail, which float32 tells to 11 standard deviations.

    Past that the tail is exponential to one part in a hundred, Abramowitz and Stegun (1964), equation 26.2.12.
    """
    to_inside, to_far = jax.random.split(key)
    # the middle of what float32 tells apart: 0 would be infinitely far out
    share = jax.random.uniform(to_inside, least.shape, jnp.float32) + _HALF_A_STEP
    inside = -jax.scipy.special.ndtri(share * jax.scipy.special.ndtr(-jnp.minimum(least, _FAR)))
    outside = least + jax.random.exponential(to_far, least.shape, jnp.float32) / jnp.maximum(least, _FAR)
    return jnp.where(least > _FAR, outside, jnp.maximum(inside, least))
