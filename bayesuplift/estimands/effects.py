"""The average effect."""

from typing import Any

import xarray as xr

from bayesuplift.dims import ARM, CHAIN, DRAW, N
from bayesuplift.estimands.population import population_mean
from bayesuplift.estimands.scales import Scale, contrasted
from bayesuplift.posterior.schema import mean_outcome, validate


def ate(
    posterior: xr.DataTree, *, scale: Scale = "difference", population: Any = None, weight: str = N
) -> xr.DataArray:
    """Average effect of each arm against the control, (chain, draw, arm).

        mu_a = sum_s w_s mu_{s,a} / sum_s w_s,     then contrasted

    Mean outcomes are averaged first: a relative effect is the ratio of averages, not the average of ratios.

    Parameters
    ----------
    posterior
        A tree in the schema of `bayesuplift.posterior.schema`, over segments, over units, or by arm alone.
    scale
        "difference" (outcome units), "relative" (share of the control's mean outcome), or "mean_outcome" (outcome units).
    population
        None for the observed units: segments weighted by their units in all arms (by exposure for counts), units alike.
        Or a table to post-stratify to: a path or any dataframe, one column a factor and one of weights. Rows of one
        segment are added up; labels are compared as text.
    weight
        The table's column of weights.

    Returns
    -------
    xarray.DataArray
        All arms but the control; on the scale "mean_outcome" all arms. Attributes `scale`, `outcome`, `control`, `units`.

    Raises
    ------
    PosteriorError
        The tree does not follow the schema, or its segments cannot be weighed.
    ArgumentError
        No such scale; a relative effect where the control's average is not positive in some draw; a population where there
        are no segments.
    DataError, ColumnNotFoundError
        The population is not a table of weights of these segments.
    """
    validate(posterior)
    averaged = population_mean(posterior, mean_outcome(posterior), population, weight=weight)
    return contrasted(posterior, averaged.transpose(CHAIN, DRAW, ARM), scale)
