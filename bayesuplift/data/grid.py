"""The grid of segments and arms that statistics are placed in, and what its parts are called."""

from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.data.design import Design
from bayesuplift.data.labels import natural_order, segment_label
from bayesuplift.dims import ARM, LOG_ODDS_TOTAL, SEGMENT, TOTAL, Kind, N
from bayesuplift.errors import ArgumentError, listed

VARIABLES: Final[dict[Kind, tuple[str, ...]]] = {
    "binary": (N, TOTAL),
    "count": (N, TOTAL, "sum_squared_deviations", "exposure"),
    "continuous": (N, TOTAL, "sum_squared_deviations"),
    "revenue": (
        N,
        TOTAL,
        "sum_squared_deviations",
        "positives",
        "total_log",
        "sum_squared_log_deviations",
        "maximum",
    ),
}
"""Statistics kept for each kind of outcome. Of a binary outcome n and total say all."""

COVARIATE_VARIABLES: Final = ("covariate_total", "covariate_sum_squared_deviations", "sum_codeviations")
"""Statistics kept beside them where the outcome has a covariate."""

COVARIATE_KINDS: Final[tuple[Kind, ...]] = ("continuous", "revenue")
"""Kinds of outcome that may have one: those whose spread is a sum of squared deviations of their own."""


def variables_of(kind: Kind, covariate: str | None = None, *, propensity: bool = False) -> tuple[str, ...]:
    """Statistics kept for a kind of outcome, with a covariate and the units' propensity or without."""
    of_covariate = () if covariate is None else COVARIATE_VARIABLES
    return (*VARIABLES[kind], *of_covariate, *((LOG_ODDS_TOTAL,) if propensity else ()))


def check_covariate(kind: Kind, covariate: str | None) -> None:
    """Refuse a covariate beside a kind of outcome that keeps none."""
    if covariate is not None and kind not in COVARIATE_KINDS:
        raise ArgumentError(
            f"covariate='{covariate}' is given for the kind '{kind}'; only {listed(COVARIATE_KINDS)} outcomes are "
            f"adjusted by one. Leave it out, or use it as a segment."
        )


def check_two_arms(design: Design) -> None:
    """Refuse a propensity beside more than two arms."""
    if len(design.arms) > 2:  # noqa: PLR2004 - two is what one probability a unit can describe
        raise ArgumentError(
            f"a propensity is given, and there are {len(design.arms)} arms; one number a unit says P(treatment) of two "
            f"arms only. Leave it out, or read the two arms that are compared."
        )


def segments_of(levels: dict[str, list[str]], rows: int) -> tuple[dict[str, list[str]], NDArray[np.intp]]:
    """Distinct segments in natural order, and the position of each row's segment among them.

    Parameters
    ----------
    levels
        Level of each row (row,) for each factor; no factor at all makes one nameless segment.
    rows
        Number of rows.

    Returns
    -------
    coordinates
        Levels (segment,) of each factor; empty without factors.
    position
        Position of the segment of each row (row,).
    """
    if not levels:
        return {}, np.zeros(rows, dtype=np.intp)
    ranks = {}
    for factor, column in levels.items():
        order = {level: rank for rank, level in enumerate(natural_order(column))}
        ranks[factor] = np.array([order[level] for level in column], dtype=np.intp)
    _, first, position = np.unique(np.stack(list(ranks.values())), axis=1, return_index=True, return_inverse=True)
    return {factor: [column[row] for row in first] for factor, column in levels.items()}, position.reshape(-1)


def statistics_dataset(
    statistics: dict[str, NDArray[np.generic]], design: Design, coordinates: dict[str, list[str]]
) -> xr.Dataset:
    """Label statistics (segment, arm) with their arms and segments; without factors the one segment is dropped."""
    coords: dict[str, object] = {ARM: np.array(design.arms)}
    if not coordinates:
        return xr.Dataset({name: (ARM, values[0]) for name, values in statistics.items()}, coords=coords)
    rows = zip(*coordinates.values(), strict=True)
    coords[SEGMENT] = np.array([segment_label(dict(zip(coordinates, row, strict=True))) for row in rows])
    coords |= {factor: (SEGMENT, np.array(column)) for factor, column in coordinates.items()}
    return xr.Dataset({name: ((SEGMENT, ARM), values) for name, values in statistics.items()}, coords=coords)
