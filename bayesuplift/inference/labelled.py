"""Arrays of draws as a labelled dataset: the plates of a program are the dimensions of its sites."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayesuplift.data.cells import Cells
from bayesuplift.data.contrasts import contrasts_of
from bayesuplift.data.units import Units
from bayesuplift.dims import CHAIN, COVARIATE, DRAW, LEVEL, MEAN_OUTCOME, OTHER, PRIOR, TERM, TREATMENT, UNIT
from bayesuplift.inference.density import Data, sites_of
from bayesuplift.spec import Given, ModelSpec


def labelled(spec: ModelSpec, data: Data, observed: Given, prior: Any, sites: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Draws (chain, draw, ...) by site, over the labels of the data.

    Raises
    ------
    TypeError
        The program names no deterministic site `mean_outcome` over dimensions of its data, or a site whose shape its plates
        do not explain: a fault of the program.
    """
    coords: dict[Any, Any] = {**data.statistics.coords}
    if isinstance(data, Units):
        coords |= {COVARIATE: list(data.coding.names), TREATMENT: list(data.design.treatments)}
    elif spec.factors:
        coords |= _labels_of_design(data)
    variables = {}
    for name, plates in sites_of(spec, observed, prior).dims.items():
        values = sites[name]
        # a site that stacks arms itself, as effects against nothing, is over the data's own dimensions
        dims = plates if values.ndim == len(plates) + 2 else tuple(map(str, data.statistics.sizes))
        variables[name] = ((CHAIN, DRAW, *dims), values)
    if MEAN_OUTCOME not in variables:
        raise TypeError(f"model {spec.name!r} names no deterministic site 'mean_outcome'")
    chains, draws = next(iter(sites.values())).shape[:2]
    return xr.Dataset(variables, coords={CHAIN: np.arange(chains), DRAW: np.arange(draws), **coords})


def alternatives(posterior: xr.Dataset, drawn: Mapping[str, np.ndarray], priors: Mapping[str, Any]) -> xr.Dataset:
    """The group of draws under other priors: `mean_outcome` (prior, chain, draw, [segment], arm), averaged over units.

    Parameters
    ----------
    posterior
        The group of draws under the stated prior.
    drawn
        Draws (chain, draw, ...) of the mean outcome under each other prior.
    priors
        All priors by name.
    """
    dims = tuple(dim for dim in posterior[MEAN_OUTCOME].dims[2:] if dim != UNIT)
    values = np.stack(list(drawn.values()))
    kept = posterior[MEAN_OUTCOME].coords.items()
    coords = {k: v for k, v in kept if k not in (CHAIN, DRAW) and UNIT not in v.dims}
    return xr.Dataset(
        {
            MEAN_OUTCOME: ((PRIOR, CHAIN, DRAW, *dims), values),
            "description": (PRIOR, [str(priors[name]) for name in drawn]),
        },
        coords={PRIOR: list(drawn), CHAIN: np.arange(values.shape[1]), DRAW: np.arange(values.shape[2]), **coords},
    )


def _labels_of_design(data: Data) -> dict[str, Any]:
    """Labels of what a pooled predictor has beside segments and arms."""
    assert isinstance(data, Cells)
    coded = contrasts_of(data)
    treatments = list(data.design.treatments)
    others = {OTHER: treatments} if len(treatments) > 1 else {}  # one treatment has nothing to be correlated with
    return {TERM: list(coded.terms), LEVEL: list(coded.levels), TREATMENT: treatments, **others}
