"""Arrays of draws as a labelled dataset: the plates of a program are the dimensions of its sites."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayesuplift.dims import CHAIN, DRAW, MEAN_OUTCOME
from bayesuplift.inference.density import Data, dims_of
from bayesuplift.spec import Given, ModelSpec


def labelled(spec: ModelSpec, data: Data, observed: Given, prior: Any, sites: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Draws (chain, draw, ...) by site, over the labels of the data.

    Raises
    ------
    TypeError
        The program names no deterministic site `mean_outcome` over dimensions of its data, or a site whose shape its plates
        do not explain: a fault of the program.
    """
    coords = data.statistics.coords
    variables = {}
    for name, plates in dims_of(spec, observed, prior).items():
        values = sites[name]
        # a site that stacks arms itself, as effects against nothing, is over the data's own dimensions
        dims = plates if values.ndim == len(plates) + 2 else tuple(map(str, data.statistics.sizes))
        variables[name] = ((CHAIN, DRAW, *dims), values)
    if MEAN_OUTCOME not in variables:
        raise TypeError(f"model {spec.name!r} names no deterministic site 'mean_outcome'")
    chains, draws = next(iter(sites.values())).shape[:2]
    return xr.Dataset(variables, coords={CHAIN: np.arange(chains), DRAW: np.arange(draws), **coords})
