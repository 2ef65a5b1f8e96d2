"""Cells put together from groups, wherever the groups were counted."""

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.data.aggregation import Groups
from bayesuplift.data.cells import QUANTILES, Cells
from bayesuplift.data.design import Design
from bayesuplift.data.grid import segments_of, statistics_dataset, variables_of
from bayesuplift.data.moments import merge_groups
from bayesuplift.dims import ARM, LOG_ODDS_TOTAL, SEGMENT, Kind, N, factor_name
from bayesuplift.errors import ArgumentError, DataWarning, listed


def cells_of(groups: Groups, *, design: Design, outcome: str, kind: Kind, covariate: str | None = None) -> Cells:
    """Place every group in the grid of segments and arms; groups with the same labels are merged.

    Parameters
    ----------
    groups
        Statistics by row, as they come back from an engine; the cells hold a propensity where these do.
    design
        The arms; every arm of the groups is among them.
    outcome, kind
        Name and kind of the outcome.
    covariate
        Name of its covariate, where the groups hold the statistics of one.

    Raises
    ------
    ArgumentError
        Two segment columns would get one coordinate name.
    """
    levels: dict[str, list[str]] = {}
    for column, labels in groups.levels.items():
        name = factor_name(column)
        if name in levels:
            raise ArgumentError(f"two segment columns would both be called '{name}'. Rename the column '{column}'.")
        levels[name] = labels
    coordinates, segment = segments_of(levels, len(groups.arm))
    arm = np.array([design.index(label) for label in groups.arm], dtype=np.intp)
    segments = int(segment.max()) + 1
    shape = (segments, len(design.arms))
    cell = segment * len(design.arms) + arm
    frequencies = None
    if kind == "count":
        frequencies = _frequency_table(segment, arm, groups.statistics)
        table = _count_statistics(frequencies, shape)
        if LOG_ODDS_TOTAL in groups.statistics:
            log_odds = groups.statistics[LOG_ODDS_TOTAL]
            table[LOG_ODDS_TOTAL] = np.bincount(cell, weights=log_odds, minlength=segments * len(design.arms))
    else:
        names = variables_of(kind, covariate, propensity=LOG_ODDS_TOTAL in groups.statistics)
        rows = {name: groups.statistics[name] for name in names}
        table = merge_groups(rows, cell, segments * len(design.arms))
    grid = {name: values.reshape(shape) for name, values in table.items()}
    return Cells(
        design=design,
        outcome=outcome,
        kind=kind,
        statistics=statistics_dataset(grid, design, coordinates),
        frequencies=frequencies,
        quantiles=_quantile_array(groups.quantiles, design) if kind == "revenue" and groups.quantiles else None,
        covariate=covariate,
    )


def warn_of_gaps(cells: Cells, *, stacklevel: int = 4) -> None:
    """Warn of an outcome that is constant in an arm, and of segments that lack an arm.

    The default `stacklevel` points at the caller of a reader, which is wrapped by the translation of engine errors.

    Warns
    -----
    DataWarning
        The data can be fitted, but a constant outcome has no spread to learn from, and an empty cell is all prior.
    """
    by_arm = cells.by()
    constant = [
        f"{arm} (always {total / n:g})"
        for arm, n, total, spread in zip(
            cells.design.arms, by_arm.n, by_arm.total, by_arm.sum_squared_deviations, strict=True
        )
        if n > 1 and spread == 0
    ]
    if constant:
        text = f"the outcome '{cells.outcome}' is constant in {listed(constant)}; check that it was recorded."
        warnings.warn(text, DataWarning, stacklevel=stacklevel)
    if cells.factors:
        seen = cells.n > 0
        names = cells.statistics[SEGMENT].to_numpy()
        partial = [
            f"'{names[row]}' is seen in {listed(np.array(cells.design.arms)[seen[row]])} only"
            for row in np.flatnonzero(~seen.all(axis=1))
        ]
        if partial:
            text = (
                f"{len(partial):,} of {len(names):,} segments lack an arm: {listed(partial, 3)}. "
                f"Their empty cells stay, with n = 0."
            )
            warnings.warn(text, DataWarning, stacklevel=stacklevel)


def _frequency_table(
    segment: NDArray[np.intp], arm: NDArray[np.intp], statistics: Mapping[str, NDArray[np.generic]]
) -> pd.DataFrame:
    """One row for each (segment, arm, value, exposure)."""
    table = pd.DataFrame({SEGMENT: segment, ARM: arm, **{k: statistics[k] for k in ("value", "exposure", N)}})
    keys = [SEGMENT, ARM, "value", "exposure"]
    return table.groupby(keys, sort=True)[N].sum().reset_index()


def _count_statistics(frequencies: pd.DataFrame, shape: tuple[int, int]) -> dict[str, NDArray[np.generic]]:
    """n, total, exposure and the deviations about each cell's mean, from the frequency table in two passes."""
    cell = frequencies[SEGMENT].to_numpy() * shape[1] + frequencies[ARM].to_numpy()
    value, times = frequencies["value"].to_numpy(), frequencies[N].to_numpy()
    size = shape[0] * shape[1]
    n = np.bincount(cell, weights=times, minlength=size)
    total = np.bincount(cell, weights=times * value, minlength=size)
    mean = total / np.maximum(n, 1)
    return {
        "n": n,
        "total": total,
        "sum_squared_deviations": np.bincount(cell, weights=times * (value - mean[cell]) ** 2, minlength=size),
        "exposure": np.bincount(cell, weights=times * frequencies["exposure"].to_numpy(), minlength=size),
    }


def _quantile_array(quantiles: Mapping[str, NDArray[np.float64]], design: Design) -> xr.DataArray:
    """Quantiles (probability, arm); NaN for an arm without a positive amount."""
    nothing = np.full(len(QUANTILES), np.nan)
    values = np.stack([quantiles.get(arm, nothing) for arm in design.arms], axis=1)
    values.flags.writeable = False
    return xr.DataArray(
        values,
        dims=("probability", ARM),
        coords={"probability": np.array(QUANTILES), ARM: np.array(design.arms)},
        name="quantile",
    )
