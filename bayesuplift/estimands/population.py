"""The population that an average is over: the units that were observed, or a table of weights."""

from typing import Any

import numpy as np
import xarray as xr

from bayesuplift.dims import ARM, EXPOSURE, SEGMENT, UNIT, N
from bayesuplift.errors import ArgumentError, PosteriorError, listed
from bayesuplift.estimands.poststratification import table_weights
from bayesuplift.posterior.factors import place_of
from bayesuplift.posterior.schema import observed_cells


def population_mean(
    posterior: xr.DataTree, draws: xr.DataArray, population: Any = None, *, weight: str = N
) -> xr.DataArray:
    """Average over the population, (chain, draw, arm): segments by their weights, units alike.

    Parameters
    ----------
    posterior
        The tree; its observed units are the population unless a table is given.
    draws
        Of the mean outcome, (chain, draw, [segment | unit], arm).
    population, weight
        As in `population_weights`.

    Raises
    ------
    PosteriorError, ArgumentError, DataError
        As `population_weights`.
    """
    if place_of(draws) != SEGMENT:
        _refuse_table(draws, population)
        return draws.mean(UNIT) if UNIT in draws.dims else draws
    weights = population_weights(posterior, draws, population, weight=weight)
    return (draws * (weights / weights.sum())).sum(SEGMENT).transpose(..., ARM)


def population_weights(
    posterior: xr.DataTree, draws: xr.DataArray, population: Any = None, *, weight: str = N
) -> xr.DataArray:
    """Weight of each segment (segment,), or unit (unit,): 0 or more, not all 0; not scaled to any sum.

    Parameters
    ----------
    posterior
        The tree.
    draws
        Over segments or units.
    population
        None for the observed population: segments weighted by their units in all arms; of counts, which are rates per
        unit of exposure, by their exposure; units alike. Or a table with one column a factor and one of weights.
    weight
        The table's column of weights: units; for counts the exposure that they will have.

    Raises
    ------
    PosteriorError
        Segments without `observed_data/n` to weigh them, or with units for other segments.
    ArgumentError
        A table, and no segments to weigh.
    DataError, ColumnNotFoundError
        The table is not one of weights of these segments; see `table_weights`.
    """
    place = place_of(draws)
    if place != SEGMENT:
        _refuse_table(draws, population)
        assert place is not None, "an effect by arm alone has nothing to weigh"
        return _along(draws, np.ones(draws.sizes[place]))
    if "effect_scale" in posterior.attrs:
        raise PosteriorError(
            "this is a posterior of past experiments, which have no population to decide for; "
            "EffectPrior.learned_from(posterior) is the prior that it holds for the next experiment"
        )
    names = draws[SEGMENT].to_numpy().tolist()
    if len(set(names)) < len(names):
        raise PosteriorError(f"a segment's label stands twice among {listed(names, 3)}; give each segment its own")
    if population is not None:
        return _along(draws, table_weights(population, draws, weight))
    units = _observed_units(posterior)
    if units is None:
        raise PosteriorError(
            "segments cannot be averaged: group 'observed_data' has no 'n', the units by segment and arm"
        )
    # xarray would average over the segments that both name, and say nothing of the others
    if set(units[SEGMENT].to_numpy().tolist()) != set(names) or float(units.sum()) <= 0:
        raise PosteriorError(
            f"segments cannot be averaged: {float(units.sum()):g} units in {listed(units[SEGMENT].to_numpy(), 3)}; "
            f"mean_outcome has {listed(names, 3)}. An estimand of another population takes a table of weights: "
            f"population=…"
        )
    return _along(draws, units.sel({SEGMENT: names}).to_numpy())


def observed_weights(posterior: xr.DataTree, draws: xr.DataArray) -> xr.DataArray | None:
    """The observed weight of each segment, where the posterior holds units of just these segments; None where not."""
    units = _observed_units(posterior)
    names = draws[SEGMENT].to_numpy().tolist() if SEGMENT in draws.dims else []
    if units is None or sorted(units[SEGMENT].to_numpy().tolist()) != sorted(names) or len(set(names)) < len(names):
        return None
    return _along(draws, units.sel({SEGMENT: names}).to_numpy())


def _observed_units(posterior: xr.DataTree) -> xr.DataArray | None:
    """Units of all arms, or exposure of counts, by segment."""
    observed = observed_cells(posterior)
    if observed is None or SEGMENT not in observed[N].dims:
        return None
    return observed[EXPOSURE if EXPOSURE in observed else N].sum(ARM)


def _along(draws: xr.DataArray, weights: Any) -> xr.DataArray:
    """Label weights with the segments, or units, of the draws."""
    place = place_of(draws)
    coords = {place: draws[place].to_numpy()} if place in draws.coords else {}
    return xr.DataArray(np.asarray(weights, dtype=np.float64), dims=(place,), coords=coords, name=N)


def _refuse_table(draws: xr.DataArray, population: Any) -> None:
    if population is not None:
        found = "over units" if UNIT in draws.dims else "by arm alone"
        raise ArgumentError(
            f"a population is given, and the posterior is {found}: it has no segments to weigh. Leave it out, or fit "
            "cells with segments"
        )
