"""Independent draws of two quantities whose joint log density can be evaluated: one by its marginal, one given it."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import Akima1DInterpolator

from bayesuplift.errors import NumericalError
from bayesuplift.inference.one_dimensional import quantiles

Array = NDArray[np.float64]
LogDensity = Callable[[Array, Array], Array]

_EVEN: Final = 49
_OUTER: Final = 97
_INNER: Final = 65
_SEARCH: Final = 33
_UPSAMPLED: Final = 1025
_FINE: Final = 8193
_NEGLIGIBLE: Final = 25.0  # below the mode by this much, in logs: what lies outside has a probability below 1e-9
_MOST_PASSES: Final = 12
_SHRUNK: Final = 0.7
_ROUNDING: Final = 1e-13


def draw(
    log_density: LogDensity,
    outer: tuple[float, float],
    inner: tuple[float, float],
    generator: np.random.Generator,
    size: int,
) -> tuple[Array, Array]:
    """Draw (outer, inner) independently.

    Parameters
    ----------
    log_density
        Of outer (row, 1) and inner (row, point) to values (row, point), up to a constant.
    outer, inner
        Ends of where each may lie.
    generator, size
        Source of randomness, and number of draws.

    Returns
    -------
    outer, inner
        Draws (size,) each.

    Raises
    ------
    NumericalError
        The inner density is narrower than the rounding of its place.

    Notes
    -----
    The inner quantity gets a grid of its own at every outer point, found by shrinking, so that ridges and funnels are
    resolved at every width. Log densities are interpolated by Akima's cubics, distribution functions inverted on 1,025
    points and more, and inner quantiles interpolated linearly between neighbouring outer points.
    """
    low, high = outer
    for _ in range(_MOST_PASSES):
        points = np.linspace(low, high, _SEARCH)
        _, _, log_marginal = _rows(log_density, points, inner)
        kept = np.flatnonzero(log_marginal >= log_marginal.max() - _NEGLIGIBLE)
        first, last = max(kept[0] - 1, 0), min(kept[-1] + 1, _SEARCH - 1)
        before, (low, high) = high - low, (points[first], points[last])
        if high - low > _SHRUNK * before:
            break
    points = _crowded(log_density, np.linspace(low, high, _EVEN), inner)
    grids, heights, log_marginal = _rows(log_density, points, inner)
    fine = np.linspace(low, high, _FINE)
    marginal = _smooth(points, log_marginal, fine)
    drawn = quantiles(fine, np.exp(marginal - marginal.max()), generator.random(size))
    row = np.clip(np.searchsorted(points, drawn, side="right") - 1, 0, len(points) - 2)
    share = (drawn - points[row]) / (points[row + 1] - points[row])
    uniform = generator.random(size)
    ends = np.empty((2, size))
    for side in (0, 1):
        for k in np.unique(row + side):  # a row of the grid, not a draw
            here = row + side == k
            grid = np.linspace(grids[k, 0], grids[k, -1], _UPSAMPLED)
            height = _smooth(grids[k], heights[k], grid)
            ends[side, here] = quantiles(grid, np.exp(height - height.max()), uniform[here])
    return drawn, (1.0 - share) * ends[0] + share * ends[1]


def _crowded(log_density: LogDensity, points: Array, inner: tuple[float, float]) -> Array:
    """Outer points, half of them spread evenly and half where the probability is: a long tail leaves the mode resolved."""
    _, _, log_marginal = _rows(log_density, points, inner)
    density = np.exp(log_marginal - log_marginal.max())
    cumulative = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2.0)])
    both = cumulative / cumulative[-1] + np.linspace(0.0, 1.0, len(points))
    return np.interp(np.linspace(0.0, 2.0, _OUTER), both, points)


def _rows(log_density: LogDensity, points: Array, inner: tuple[float, float]) -> tuple[Array, Array, Array]:
    """Inner grids (row, point) fitted to every outer point, log densities there, and the log marginal (row,)."""
    low, high = (np.full(len(points), end) for end in inner)
    rows = np.arange(len(points))
    for _ in range(_MOST_PASSES):
        grid = _grid(low, high, _SEARCH)
        height = log_density(points[:, None], grid)
        inside = height >= height.max(axis=1, keepdims=True) - _NEGLIGIBLE
        first, last = inside.argmax(axis=1), _SEARCH - 1 - inside[:, ::-1].argmax(axis=1)
        before = high - low
        low, high = grid[rows, np.maximum(first - 1, 0)], grid[rows, np.minimum(last + 1, _SEARCH - 1)]
        if ((high - low) > _SHRUNK * before).all():
            break
    if not np.isfinite(height).any(axis=1).all() or (high - low <= _ROUNDING * (abs(low) + abs(high))).any():
        raise NumericalError(
            "a posterior is narrower than the rounding of its place; sample the model with engine='nuts'"
        )
    grid = _grid(low, high, _INNER)
    height = log_density(points[:, None], grid)
    top = height.max(axis=1, keepdims=True)
    step = (high - low) / (_INNER - 1)
    weights = np.full(_INNER, 1.0)
    weights[[0, -1]] = 0.5
    return grid, height, top[:, 0] + np.log((np.exp(height - top) * weights).sum(axis=1)) + np.log(step)


def _smooth(points: Array, values: Array, fine: Array) -> Array:
    """Interpolate by cubics that a steep end does not set swinging, as it does a spline."""
    return np.asarray(Akima1DInterpolator(points, values, method="makima")(fine), dtype=np.float64)


def _grid(low: Array, high: Array, points: int) -> Array:
    return low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, points)
