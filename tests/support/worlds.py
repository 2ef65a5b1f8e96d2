"""Worlds with a known truth, as cells, and posteriors made elsewhere, as a user would bring them."""

import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

import bayesuplift as bu
from bayesuplift.data.cells import Cells
from bayesuplift.data.design import Design
from bayesuplift.dims import Assignment
from bayesuplift.errors import DataWarning

HILLSTROM_VISITS: Final = pd.DataFrame(
    {
        "arm": ["No E-Mail", "Mens E-Mail", "Womens E-Mail"],
        "n": [21306, 21307, 21387],
        "visit": [2262, 3894, 3238],
    }
)
"""Visits of the MineThatData e-mail test (Hillstrom, 2008), by arm."""


def seed_of(name: str) -> int:
    """Seed that a test's name decides."""
    return zlib.crc32(name.encode())


def binary_cells(
    n: Any,
    total: Any,
    *,
    arms: Sequence[str] | None = None,
    control: str | None = None,
    assignment: Assignment = "randomized",
    intended_split: Mapping[str, float] | None = None,
) -> Cells:
    """Cells of the binary outcome "visit" from counts ([segment], arm), through the public reader.

    Arms are called "a", "b", ... and segments, of the one factor "place", "p00000", "p00001", ...; the first arm is the
    control.
    """
    units, visits = (np.atleast_2d(np.asarray(values)) for values in (n, total))
    names = list(arms) if arms is not None else [chr(ord("a") + k) for k in range(units.shape[1])]
    table = pd.DataFrame(
        {
            "place": np.repeat([f"p{s:05d}" for s in range(units.shape[0])], units.shape[1]),
            "arm": names * units.shape[0],
            "n": units.ravel(),
            "visit": visits.ravel(),
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DataWarning
        )  # cells with nobody, and arms where all convert, are put on purpose
        return bu.read_counts(
            table,
            arm="arm",
            control=control or names[0],
            trials="n",
            successes="visit",
            segments=["place"] if np.ndim(n) > 1 else (),
            assignment=assignment,
            intended_split=intended_split,
        )


def hillstrom_visits() -> Cells:
    """Visits of the e-mail test by arm."""
    return bu.read_counts(HILLSTROM_VISITS, arm="arm", control="No E-Mail", trials="n", successes="visit")


def relabelled(cells: Cells, names: Mapping[str, str]) -> Cells:
    """The same cells with arms called otherwise, and so in another order."""
    split = cells.design.intended_split
    design = Design(
        arms=tuple(names[arm] for arm in cells.design.arms),
        control=names[cells.design.control],
        assignment=cells.design.assignment,
        intended_split=split,
    )
    renamed = cells.statistics.assign_coords(arm=[names[arm] for arm in cells.design.arms])
    table = cells.frequencies
    if table is not None:
        moved = [design.index(names[arm]) for arm in cells.design.arms]
        table = table.assign(arm=np.array(moved)[table["arm"].to_numpy()])
    return replace(cells, design=design, statistics=renamed.sel(arm=list(design.arms)), frequencies=table)


def foreign(
    draws: Any,
    *,
    arms: Sequence[str] | None = None,
    control: str | None = None,
    segments: Mapping[str, Sequence[float]] | None = None,
    **attributes: Any,
) -> xr.DataTree:
    """Plain draws (chain, draw, [segment], arm) as a tree with nothing but the required group and attribute.

    Parameters
    ----------
    draws
        The draws.
    arms, control
        Labels, "a", "b", ... where none are given; the first is the control.
    segments
        Units by arm of each segment.
    **attributes
        Root attributes beside `control`.
    """
    values = np.asarray(draws)
    names = list(arms) if arms is not None else [chr(ord("a") + k) for k in range(values.shape[-1])]
    place = () if segments is None else ("segment",)
    coords: dict[str, Any] = {"arm": names} | ({} if segments is None else {"segment": list(segments)})
    groups = {"posterior": xr.Dataset({"mean_outcome": (("chain", "draw", *place, "arm"), values)}, coords=coords)}
    if segments is not None:
        groups["observed_data"] = xr.Dataset({"n": ((*place, "arm"), np.array(list(segments.values())))}, coords=coords)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {"control": control or names[0], **attributes}
    return tree


def normal_draws(means: Any, sds: Any, *, seed: int, chains: int = 4, draws: int = 1000) -> np.ndarray:
    """Independent normal draws (chain, draw, ...)."""
    generator = np.random.default_rng(seed)
    location = np.asarray(means, dtype=np.float64)
    return location + np.asarray(sds) * generator.standard_normal((chains, draws, *location.shape))
