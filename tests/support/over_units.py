"""Posteriors over units with factors, as plain draws."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import xarray as xr

ARMS: Final = ("control", "men", "women")


def over_units(
    draws: Any,
    *,
    factors: Mapping[str, Sequence[str]] | None = None,
    arms: Sequence[str] = ARMS,
    more: Mapping[str, Any] | None = None,
    **attributes: Any,
) -> xr.DataTree:
    """Draws (chain, draw, unit, arm) in the precision that they come in, of a model that regularises units.

    Parameters
    ----------
    draws
        The draws.
    factors
        Level of each unit by factor, if there are any.
    arms
        Labels; the first is the control.
    more
        Other variables of the group `posterior`, as of `xarray.Dataset`.
    **attributes
        Root attributes beside `control` and `pooled`.
    """
    values = np.asarray(draws)
    coords: dict[str, Any] = {"arm": list(arms), "unit": np.arange(values.shape[2])}
    coords |= {factor: ("unit", list(column)) for factor, column in (factors or {}).items()}
    posterior = xr.Dataset({"mean_outcome": (("chain", "draw", "unit", "arm"), values), **(more or {})}, coords=coords)
    tree = xr.DataTree.from_dict({"posterior": posterior})
    tree.attrs = {"control": arms[0], "pooled": "unit", **attributes}
    return tree


def noisy(means: Any, *, sd: float, seed: int, chains: int = 4, draws: int = 100) -> np.ndarray:
    """Independent normal draws (chain, draw, unit, arm) about means (unit, arm)."""
    centre = np.asarray(means, dtype=np.float64)
    return np.random.default_rng(seed).normal(centre, sd, (chains, draws, *centre.shape))
