"""Cells of different units of one experiment, put together."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.data.cell_checks import FREQUENCY_COLUMNS
from bayesuplift.data.cells import Cells
from bayesuplift.data.grid import segments_of, statistics_dataset, variables_of
from bayesuplift.data.moments import merge_groups
from bayesuplift.dims import SEGMENT, N
from bayesuplift.errors import ArgumentError, listed

_SAME_SPLIT = 1e-12
"""Difference up to which two shares are one: weights 1:2 and 50:100 are normalised with roundings of their own."""


def merge_cells(parts: Sequence[Cells]) -> Cells:
    """Cells of the union of disjoint sets of units, by Chan's formula.

    Parameters
    ----------
    parts
        Cells of one experiment, at least one; no unit may be in two of them, which nothing here can see.

    Returns
    -------
    Cells
        In the order of factors of the first part, the segments of all parts in natural order.

    Raises
    ------
    ArgumentError
        The parts differ in more than their units and segments.
    """
    first = parts[0]
    for position, part in enumerate(parts[1:], start=2):
        if not isinstance(part, Cells):
            raise ArgumentError(f"part {position} is a {type(part).__name__}; expected Cells, as of read_cells.")
        _check_alike(first, part, position)
    aligned = [part.by(*first.factors) if part.factors != first.factors else part for part in parts]
    # Zeros for what a part lacks are neutral, so each part's rows go where they belong and nothing is filled in.
    names = variables_of(first.kind, first.covariate, propensity=first.has_propensity)
    rows = [
        {name: part.statistics[name].to_numpy() for name in names}
        if first.factors
        else {name: part.statistics[name].to_numpy()[np.newaxis] for name in names}
        for part in aligned
    ]
    levels = {
        factor: [str(level) for part in aligned for level in part.statistics[factor].to_numpy()]
        for factor in first.factors
    }
    coordinates, segment = segments_of(levels, sum(len(row[N]) for row in rows))
    merged = merge_groups(
        {name: np.concatenate([row[name] for row in rows]) for name in names}, segment, int(segment.max()) + 1
    )
    return replace(
        first,
        statistics=statistics_dataset(merged, first.design, coordinates),
        frequencies=_added(aligned, np.split(segment, np.cumsum([len(row[N]) for row in rows])[:-1])),
        quantiles=_of_the_only_one(aligned),
    )


def _check_alike(first: Cells, part: Cells, position: int) -> None:
    """Refuse a part that differs in more than its units and segments."""
    pairs = {
        "kind": (first.kind, part.kind),
        "outcome": (first.outcome, part.outcome),
        "control": (first.design.control, part.design.control),
        "arms": (listed(first.design.arms), listed(part.design.arms)),
        "assignment": (first.design.assignment, part.design.assignment),
        "covariate": (first.covariate, part.covariate),
        "propensity": tuple("known" if one.has_propensity else "unknown" for one in (first, part)),
        "factors": (listed(sorted(first.factors)) or "none", listed(sorted(part.factors)) or "none"),
    }
    for name, (here, there) in pairs.items():
        if here != there:
            advice = {
                "factors": " Keep the factors that both have, with .by(...).",
                "propensity": " Read all parts with one, or none.",
                "arms": " Where an arm had no unit yet, read the parts as one table.",
            }.get(name, "")
            raise ArgumentError(
                f"part {position} differs in its {name}: {there}, not {here} as part 1. Only cells of one experiment "
                f"can be merged.{advice}"
            )
    splits = (first.design.intended_split, part.design.intended_split)
    if splits == (None, None):
        return
    if splits[0] is None or splits[1] is None or not np.allclose(splits[0], splits[1], rtol=_SAME_SPLIT, atol=0):
        raise ArgumentError(
            f"part {position} differs in its intended split: {splits[1]}, not {splits[0]} as part 1. Give every part "
            f"the same; where the split changed on the way, the arms' units are of two designs."
        )


def _added(parts: Sequence[Cells], positions: Sequence[NDArray[np.intp]]) -> pd.DataFrame | None:
    """The frequency tables added up, their segments at the new positions; None for other kinds than counts."""
    moved = [
        table.assign(segment=position[table[SEGMENT].to_numpy()])
        for part, position in zip(parts, positions, strict=True)
        if (table := part.frequencies) is not None
    ]
    if not moved:
        return None
    keys = list(FREQUENCY_COLUMNS[:-1])
    return pd.concat(moved).groupby(keys, sort=True)[N].sum().reset_index()


def _of_the_only_one(parts: Sequence[Cells]) -> xr.DataArray | None:
    """Quantiles of the one part that holds positive amounts; None where several do, or none."""
    holding = [part for part in parts if part.kind == "revenue" and part.positives.any()]
    return holding[0].quantiles if len(holding) == 1 else None
