"""Where a chain begins: all its forests grown from the root, in turn, on what a state leaves to explain."""

import functools
from typing import Any

import jax
import numpy as np

from bayesuplift.inference.compilation import jitted
from bayesuplift.inference.forest import gibbs, kernel
from bayesuplift.inference.forest.growth import Noise, grown
from bayesuplift.inference.forest.pytrees import part, stacked


def regrown(data: gibbs.Data, state: gibbs.State, *, binary: bool) -> gibbs.State:
    """Return a chain's state with other trees; all else is as it was, and waits for a sweep to follow.

    Parameters
    ----------
    data, state
        Of NumPy's arrays; the state of one chain. Its key and number of sweeps are what trees are drawn from.
    binary
        Whether the outcome is.
    """
    generator = np.random.default_rng([*map(int, state.key), int(state.sweeps)])
    with jax.enable_x64(False):  # noqa: FBT003 -- JAX's own signature
        left = np.asarray(_left(generator.integers(2**32, size=2, dtype=np.uint32), data, state, binary=binary))
    precision = float(state.precision)
    to_explain = left.astype(np.float64)
    prognostic, to_explain = grown(
        kernel.ground(data.prognostic),
        state.prognostic,
        to_explain,
        Noise(data.weight.astype(np.float64), precision, float(state.leaf_precision[0])),
        generator,
    )
    effects = []
    scales = state.coefficients[1 + len(data.coding) :]
    for treatment, (coding, scale) in enumerate(zip(data.coding, scales, strict=True)):
        # as in a sweep: a row's residual over what multiplies t(x), and its precision times the square of that
        times = (coding * scale).astype(np.float64)
        before = np.divide(to_explain, times, out=np.zeros_like(to_explain), where=times != 0.0)
        noise = Noise(data.weight * times**2, precision, float(state.leaf_precision[1 + treatment]))
        ground = kernel.ground(part(data.effect, treatment))
        effect, after = grown(ground, part(state.effect, treatment), before, noise, generator)
        to_explain -= times * (before - after)
        effects.append(effect)
    return state._replace(prognostic=prognostic, effect=stacked(effects))


@functools.partial(jitted, static_argnames=("binary",))
def _left(key: Any, data: gibbs.Data, state: gibbs.State, *, binary: bool) -> Any:
    """What the state leaves to explain at the rows; of a binary outcome, of the values behind it."""
    if binary:
        data = gibbs.with_values(jax.random.wrap_key_data(key, impl="threefry2x32"), data, state)
    return gibbs.residual(data, state)
