"""Predictive checks of negative binomial counts: rates of cells, zeros, and large counts."""

from typing import Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.special import betainc, betaincc

from bayesuplift.data.cells import Cells
from bayesuplift.data.checks import Check
from bayesuplift.dims import ARM, SEGMENT, TOTAL, N
from bayesuplift.posterior.predictive_parts import SAMPLE, cellwise, mixed_binomial_tails, replicated_spread

Array = NDArray[np.float64]

_LARGE: Final = 0.99
_FEWEST: Final = 2  # events of a count that is called large; of fewer the zeros say as much
_GROUPS: Final = 100  # of exposures, in a cell where more are different
_LEAST: Final = 1e-4  # overdispersion below which a count is Poisson's to eight digits


def count_checks(draws: xr.Dataset, cells: Cells, generator: np.random.Generator) -> list[Check | None]:
    """Check a negative binomial posterior.

    Parameters
    ----------
    draws
        `rate` and `overdispersion`, (sample, [segment], arm).
    cells
        Cells of counts.
    generator
        For the replications of the spread over segments.

    Notes
    -----
    The total of a cell is negative binomial where exposures are equal. Where they are not, the negative binomial of the
    same mean and variance stands for it, and the binomial of the same mean and variance for the number of units with no
    event, or with many; more than 100 different exposures of a cell are grouped for the latter two.
    """
    rate = draws["rate"].transpose(SAMPLE, *cells.statistics[N].dims)
    dispersion = draws["overdispersion"].clip(min=_LEAST) ** 2
    exposure, total, n = (cells.statistics[name] for name in ("exposure", TOTAL, N))
    counted = n > 0
    squares = exposure.copy(data=_squared_exposures(cells))
    # a total's variance is sum(e) rate + overdispersion^2 rate^2 sum(e^2)
    mean = rate * exposure.where(counted, 1.0)
    size = exposure.where(counted, 1.0) ** 2 / (dispersion * squares.where(counted, 1.0))
    chance = size / (size + mean)
    below = xr.apply_ufunc(betainc, size, np.maximum(total, 1.0), chance).where(total > 0, 0.0)
    above = xr.apply_ufunc(betaincc, size, total + 1.0, chance)
    dims = (SAMPLE, *n.dims)
    tails = (below.transpose(*dims), above.transpose(*dims))
    found = [cellwise("cell_rates", tails, counted, noun="rate")]
    if SEGMENT in n.dims:
        every = exposure.sum(SEGMENT)
        of_arm = (rate * exposure).sum(SEGMENT) / every.where(every > 0)
        spread = (dispersion * exposure).sum(SEGMENT) / every.where(every > 0)
        scale = of_arm + spread * of_arm**2 * squares.sum(SEGMENT) / every.where(every > 0)
        dealt = generator.negative_binomial(size.transpose(*dims).values, chance.transpose(*dims).values)
        replicated = rate.copy(data=dealt).where(counted, 0.0)
        found.append(replicated_spread("spread_over_segments", total, replicated, exposure, scale, noun="Rates"))
    return [*found, *_shares(rate, dispersion, cells)]


def _shares(rate: xr.DataArray, dispersion: xr.DataArray, cells: Cells) -> list[Check | None]:
    """Units with no event, and units with as many as the model gives to one in a hundred."""
    n = cells.statistics[N]
    shape = rate.sizes[SAMPLE], n.size
    rates, spreads = (part.transpose(SAMPLE, *n.dims).to_numpy().reshape(shape) for part in (rate, dispersion))
    parts = {name: np.zeros((2, *shape)) for name in ("zeros", "large")}
    for cell, rows in _by_cell(cells):
        exposures, times = _grouped(rows)
        means, size = rates[:, cell, None] * exposures, 1.0 / spreads[:, cell, None]
        at = float(rates[:, cell].mean()) * exposures, 1.0 / float(spreads[:, cell].mean())
        large = _threshold(times, *at)
        value, units = (rows[name].to_numpy() for name in ("value", "n"))
        seen = {"zeros": units[value == 0].sum(), "large": units[value >= large].sum()}
        chances = {"zeros": np.exp(-np.log1p(means / size) * size), "large": _at_least(large, means, size)}
        for name, both in parts.items():
            both[:, :, cell] = mixed_binomial_tails(times, chances[name], float(seen[name]))
    tails = {
        name: (rate.copy(data=both[0].reshape(rate.shape)), rate.copy(data=both[1].reshape(rate.shape)))
        for name, both in parts.items()
    }
    return [
        cellwise("zeros", tails["zeros"], n > 0, noun="share of units without an event"),
        cellwise("large_counts", tails["large"], n > 0, noun="share of units with many events"),
    ]


def _at_least(count: float, mean: Array, size: Array | float) -> Array:
    """P(Y >= count) of a negative binomial with that mean and size."""
    found: Array = np.asarray(betainc(count, size, mean / (size + mean)), dtype=np.float64)
    return found


def _threshold(times: Array, mean: Array, size: float) -> float:
    """Smallest count, from two, that at most one unit in a hundred reaches."""

    def too_often(count: int) -> bool:
        return float(times @ _at_least(float(count), mean, size)) > (1.0 - _LARGE) * float(times.sum())

    low, high = _FEWEST - 1, _FEWEST
    while too_often(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if too_often(middle) else (low, middle)
    return float(high)


def _by_cell(cells: Cells) -> list[tuple[int, pd.DataFrame]]:
    table = cells.frequencies
    assert table is not None, "cells of counts hold their frequency table"
    place = table[SEGMENT].to_numpy() * len(cells.design.arms) + table[ARM].to_numpy()
    return [(int(cell), rows) for cell, rows in table.groupby(place)]


def _grouped(rows: pd.DataFrame) -> tuple[Array, Array]:
    """Exposures and units with each: at most 100 groups of like exposures, each with its mean."""
    units = rows.groupby("exposure")["n"].sum()
    exposure, times = (np.asarray(part, dtype=np.float64) for part in (units.index, units))
    if len(times) <= _GROUPS:
        return exposure, times
    middle = times.cumsum() - times / 2.0
    _, group = np.unique((middle / times.sum() * _GROUPS).astype(int), return_inverse=True)
    together = np.bincount(group, times)
    means: Array = np.bincount(group, times * exposure) / together
    return means, together.astype(np.float64)


def _squared_exposures(cells: Cells) -> Array:
    """Sum of the units' squared exposures, ([segment], arm)."""
    squares: Array = np.zeros(cells.n.size)
    for cell, rows in _by_cell(cells):
        squares[cell] = float((rows["n"] * rows["exposure"] ** 2).sum())
    return squares.reshape(cells.n.shape)
