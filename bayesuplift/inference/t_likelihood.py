"""Likelihood of estimates whose effects are t distributed, the effects integrated out: a mixture of normals."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from bayesuplift.data.effects import Effects

Array = NDArray[np.float64]

NORMAL_BEYOND: Final = 1e-5
"""Of 1/df: below it the t is normal to that relative order."""

_STEP: Final = 0.125  # of log variance; with 8 neighbours each, interpolation errs by 1e-8 where z scores are below 5
_NEIGHBOURS: Final = 8
_NEGLIGIBLE_VARIANCE: Final = math.exp(-18.0)  # relative to a squared standard error
EXPONENT: Final = 32.0
"""What is below exp(-32) of a mode is left out."""

_ROWS: Final = 4096


def log_likelihood(effects: Effects, means: Array, scales: Array, inverse_dfs: Array) -> Array:
    """Log density of all estimates, effects integrated out, (mean, scale, 1/df), without (2 pi)^(-J/2).

    Normal densities are tabulated over a common grid of log variance; each mixture over lambda is a row of weights on it,
    and all of them together one matrix product.
    """
    estimates, errors = effects.estimates, effects.standard_errors
    low = 2.0 * math.log(errors.min()) + math.log(_NEGLIGIBLE_VARIANCE)
    reach = _reach(effects, means)
    mixtures = [mixture(float(t), reach) for t in inverse_dfs]
    widest = max(float(nodes.max()) for nodes, _ in mixtures)
    high = max(low + 2.0, 2.0 * math.log(max(scales.max(), errors.min())) + widest + _STEP)
    count = _NEIGHBOURS + int((high - low) / _STEP) + 1
    weights = np.zeros((count, scales.size, inverse_dfs.size))
    for place, (nodes, shares) in enumerate(mixtures):
        log_variance = 2.0 * np.log(np.maximum(scales, 1e-300))[:, None] + nodes
        _spread(weights[:, :, place], np.maximum((log_variance - low) / _STEP, 0.0), shares)
    flat = weights.reshape(count, -1)
    variances = np.exp(low + _STEP * np.arange(count))
    total = np.zeros((means.size, flat.shape[1]))
    block = max(1, _ROWS // means.size)
    for start in range(0, estimates.size, block):
        part = slice(start, start + block)
        variance = errors[part, None] ** 2 + variances
        squared = (estimates[part, None] - means) ** 2
        kernel = -0.5 * squared[:, :, None] / variance[:, None, :]
        kernel -= 0.5 * np.log(variance)[:, None, :]
        highest = kernel.max(axis=2, keepdims=True)
        np.exp(kernel - highest, out=kernel)
        mixed = kernel.reshape(-1, count) @ flat
        # interpolation may undershoot 0 far out, where the density is none of the posterior's concern
        np.log(np.maximum(mixed, 1e-300, out=mixed), out=mixed)
        total += (mixed.reshape(*kernel.shape[:2], -1) + highest).sum(axis=0)
    return total.reshape(means.size, scales.size, inverse_dfs.size)


def _reach(effects: Effects, means: Array) -> float:
    """Log of the largest lambda that an outlier may ask for: the square of its z score, and some more."""
    far = np.maximum(abs(effects.estimates - means.min()), abs(effects.estimates - means.max()))
    return 2.0 + 2.0 * math.log1p(float((far / effects.standard_errors).max()))


def mixture(inverse_df: float, reach: float) -> tuple[Array, Array]:
    """Nodes log lambda and weights of the trapezoidal rule for lambda ~ InvGamma(df/2, df/2)."""
    if inverse_df <= NORMAL_BEYOND:
        return np.zeros(1), np.ones(1)
    half = 0.5 / inverse_df
    step = min(0.3, 0.7 * math.sqrt(1.0 / half))
    nodes = (
        np.arange(-math.ceil(_left(half) / step), math.ceil(max(_right(half), min(reach, 60.0 / half)) / step) + 1)
        * step
    )
    log_density: Array = half * math.log(half) - gammaln(half) - half * (nodes + np.exp(-nodes))
    return nodes.astype(np.float64), np.asarray(step * np.exp(log_density))


def _left(half: float) -> float:
    """The x > 0 with half (exp(x) - x - 1) = 32, from above: beyond -x the density of log lambda is negligible."""
    x = math.log(EXPONENT / half + 1.0) + 1.0
    for _ in range(30):
        x -= (math.expm1(x) - x - EXPONENT / half) / math.expm1(x)
    return x


def _right(half: float) -> float:
    """The x > 0 with half (x - 1 + exp(-x)) + x / 2 = 32, from above: the kernel falls as exp(-x / 2)."""
    x = (EXPONENT + half) / (half + 0.5)
    for _ in range(30):
        x -= (half * (x + math.expm1(-x)) + 0.5 * x - EXPONENT) / (0.5 - half * math.expm1(-x))
    return x


def _spread(weights: Array, position: Array, shares: Array) -> None:
    """Add shares at positions (row, node) of the grid to its points (point, row), by local Lagrange interpolation."""
    first = np.clip(np.floor(position).astype(np.intp) - (_NEIGHBOURS // 2 - 1), 0, weights.shape[0] - _NEIGHBOURS)
    offset = position - first
    row = np.broadcast_to(np.arange(position.shape[0])[:, None], position.shape)
    for k in range(_NEIGHBOURS):
        factor = np.broadcast_to(shares, position.shape).copy()
        for other in range(_NEIGHBOURS):
            if other != k:
                factor *= (offset - other) / (k - other)
        np.add.at(weights, (first + k, row), factor)
