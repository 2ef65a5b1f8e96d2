"""Predictive checks of normal means: every cell's, their spread over segments, and the spread of units."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.special import chdtr, chdtrc, ndtr

from bayesuplift.data.checks import Check
from bayesuplift.dims import ARM, SEGMENT
from bayesuplift.posterior.predictive_parts import SAMPLE, cellwise, exact_spread


class Wording(NamedTuple):
    """Names of the three checks, and nouns of their sentences."""

    means: tuple[str, str] = ("cell_means", "mean")
    over_segments: tuple[str, str] = ("spread_over_segments", "Means")
    units: tuple[str, str] = ("spread_of_units", "standard deviation")


def normal_checks(
    mean: xr.DataArray,
    sd: xr.DataArray,
    count: xr.DataArray,
    total: xr.DataArray,
    squares: xr.DataArray,
    *,
    wording: Wording,
    sd_by_arm: bool,
) -> list[Check]:
    """Means ~ Normal(mean, sd / sqrt(count)) and squared deviations ~ sd^2 chi-square(count - 1), exact at every draw.

    Parameters
    ----------
    mean, sd
        Draws (sample, [segment], arm).
    count, total, squares
        Values of each cell, their total and squared deviations about their mean; squares may depend on the draw.
    wording
        What to call the checks.
    sd_by_arm
        Whether the model has one standard deviation for all segments of an arm. One fitted to the very cell would be the
        cell's own, whatever its values.
    """
    counted = count > 0
    known = count.where(counted, 1)
    residual = total / known - mean
    place = residual * np.sqrt(known) / sd
    below = xr.apply_ufunc(ndtr, place)
    found = [cellwise(wording.means[0], (below, xr.apply_ufunc(ndtr, -place)), counted, noun=wording.means[1])]
    if SEGMENT in count.dims:
        name, noun = wording.over_segments
        found.append(exact_spread(name, residual, known / sd**2, counted, noun=noun))
        if sd_by_arm:
            name, noun = wording.units
            degrees = (count - 1).where(count > 1, 1).astype(np.float64)
            scaled = squares / sd**2
            tails = (xr.apply_ufunc(chdtr, degrees, scaled), xr.apply_ufunc(chdtrc, degrees, scaled))
            ordered = tuple(part.transpose(SAMPLE, SEGMENT, ARM) for part in tails)
            found.append(cellwise(name, (ordered[0], ordered[1]), count > 1, noun=noun))
    return [check for check in found if check is not None]
