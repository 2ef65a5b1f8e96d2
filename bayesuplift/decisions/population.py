"""The population that a decision is for: segments averaged by their size."""

import xarray as xr

from bayesuplift.dims import ARM, EXPOSURE, SEGMENT, UNIT, N
from bayesuplift.errors import PosteriorError, listed
from bayesuplift.posterior.schema import observed_cells


def population_mean(posterior: xr.DataTree, draws: xr.DataArray) -> xr.DataArray:
    """Average over the population, (chain, draw, arm): segments weighted by their units in all arms, units alike.

    Counts are rates per unit of exposure, and their segments are weighted by it.

    Raises
    ------
    PosteriorError
        Segments without `observed_data/n` to weigh them, or with units for other segments.
    """
    if UNIT in draws.dims:
        return draws.mean(UNIT)
    if SEGMENT not in draws.dims:
        return draws
    observed = observed_cells(posterior)
    if "effect_scale" in posterior.attrs:
        raise PosteriorError(
            "this is a posterior of past experiments, which have no population to decide for; "
            "EffectPrior.learned_from(posterior) is the prior that it holds for the next experiment"
        )
    if observed is None or SEGMENT not in observed[N].dims:
        raise PosteriorError(
            "segments cannot be averaged: group 'observed_data' has no 'n', the units by segment and arm"
        )
    units = observed[EXPOSURE if EXPOSURE in observed else N].sum(ARM)
    # xarray would average over the segments that both name, and say nothing of the others
    if set(units[SEGMENT].to_numpy().tolist()) != set(draws[SEGMENT].to_numpy().tolist()) or float(units.sum()) <= 0:
        raise PosteriorError(
            f"segments cannot be averaged: {float(units.sum()):g} units in {listed(units[SEGMENT].to_numpy(), 3)}; "
            f"mean_outcome has {listed(draws[SEGMENT].to_numpy(), 3)}"
        )
    return (draws * (units / units.sum())).sum(SEGMENT).transpose(..., ARM)
