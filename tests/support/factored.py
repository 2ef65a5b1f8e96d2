"""Posteriors over segments that are made of factors, as plain draws."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import xarray as xr

ARMS: Final = ("control", "men", "women")
FACTORS: Final = {"newbie": ("0", "0", "1", "1"), "channel": ("Phone", "Web", "Phone", "Web")}
UNITS: Final = ((100, 60, 40), (10, 20, 30), (300, 300, 0), (7, 5, 8))


def factored(
    draws: Any,
    *,
    factors: Mapping[str, Sequence[str]] | None = None,
    arms: Sequence[str] = ARMS,
    observed: Mapping[str, Any] | None = None,
    **attributes: Any,
) -> xr.DataTree:
    """Draws (chain, draw, segment, arm) over factors, with `observed_data` (segment, arm) where it is given.

    Parameters
    ----------
    draws
        The draws.
    factors
        Level of each segment by factor; newbie and channel, crossed, where none are given.
    arms
        Labels; the first is the control.
    observed
        Statistics by name, (segment, arm); `n` of `UNITS` where none are given.
    **attributes
        Root attributes beside `control`.
    """
    levels = FACTORS if factors is None else factors
    values = np.asarray(draws, dtype=np.float64)
    labels = [
        ", ".join(f"{f}={level}" for f, level in zip(levels, row, strict=True))
        for row in zip(*levels.values(), strict=True)
    ]
    coords: dict[str, Any] = {"arm": list(arms), "segment": labels}
    coords |= {factor: ("segment", list(column)) for factor, column in levels.items()}
    held = {"n": UNITS} if observed is None else observed
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"mean_outcome": (("chain", "draw", "segment", "arm"), values)}, coords=coords),
            "observed_data": xr.Dataset(
                {name: (("segment", "arm"), np.asarray(one)) for name, one in held.items()}, coords=coords
            ),
        }
    )
    tree.attrs = {"control": arms[0], **attributes}
    return tree


def rates(*, seed: int, chains: int = 2, draws: int = 50, segments: int = 4, arms: int = 3) -> np.ndarray:
    """Independent draws between 0.1 and 0.9, (chain, draw, segment, arm)."""
    return np.random.default_rng(seed).uniform(0.1, 0.9, (chains, draws, segments, arms))
