"""What statistics of cells must satisfy: refusals of what no data could have."""

from typing import Final

import numpy as np
import pandas as pd
import xarray as xr

from bayesuplift.dims import ARM, LOG_ODDS_TOTAL, SEGMENT, TOTAL, Kind, N
from bayesuplift.errors import DataError, listed

FREQUENCY_COLUMNS: Final = (SEGMENT, ARM, "value", "exposure", N)
_NEVER_NEGATIVE: Final = (
    N,
    "positives",
    "sum_squared_deviations",
    "sum_squared_log_deviations",
    "covariate_sum_squared_deviations",
    "maximum",
    "exposure",
)
_ROUNDING: Final = 1e-9
"""Share by which a correlation of one may come out above it: sums of millions of rounded products."""


def read_only(part: xr.DataArray, dtype: type[np.generic]) -> xr.DataArray:
    """A copy in the right type whose values cannot be written."""
    values = part.to_numpy()
    cast_values = values.astype(dtype)
    if not np.array_equal(cast_values, values, equal_nan=cast_values.dtype.kind == "f"):
        raise DataError(f"{part.name} holds a value that is not a whole number, or is missing; expected counts.")
    cast_values.flags.writeable = False
    return part.copy(data=cast_values)


def check_values(statistics: xr.Dataset, kind: Kind) -> None:
    """Refuse statistics that no data could have."""
    for name, part in statistics.data_vars.items():
        values = part.to_numpy()
        if not np.isfinite(values).all():
            raise DataError(f"{name} holds a value that is not finite; in a cell with nobody it is 0.")
        if (name in _NEVER_NEGATIVE or (name == TOTAL and kind != "continuous")) and (values < 0).any():
            raise DataError(f"{name} is negative in a cell ({values.min()}); it is never below 0.")
    n, total = statistics[N].to_numpy(), statistics[TOTAL].to_numpy()
    if n.sum() == 0:
        raise DataError("the cells hold not a single unit; at least one is needed.")
    if kind == "binary" and (total > n).any():
        raise DataError(
            f"{int((total > n).sum())} cells have a total above their n; a binary outcome is 0 or 1 a unit."
        )
    if kind == "revenue" and (statistics["positives"].to_numpy() > n).any():
        raise DataError("a cell has more positive amounts than units.")
    if LOG_ODDS_TOTAL in statistics and (statistics[LOG_ODDS_TOTAL].to_numpy()[n == 0] != 0).any():
        raise DataError(f"{LOG_ODDS_TOTAL} is not 0 in a cell with nobody; it is the sum over its units.")
    if "sum_codeviations" in statistics:
        own, of_covariate, together = (
            statistics[name].to_numpy()
            for name in ("sum_squared_deviations", "covariate_sum_squared_deviations", "sum_codeviations")
        )
        beyond = np.abs(together) > np.sqrt(own) * np.sqrt(of_covariate) * (1 + _ROUNDING)
        if beyond.any():
            raise DataError(
                f"sum_codeviations is beyond √(sum_squared_deviations · covariate_sum_squared_deviations) in "
                f"{int(beyond.sum())} cells, which makes a correlation above 1. All three are sums about the cell's "
                f"own means, over the same units: check how they were made."
            )


def checked_frequencies(frequencies: pd.DataFrame | None, statistics: xr.Dataset) -> pd.DataFrame:
    """Frequency table in canonical order, checked against n."""
    if frequencies is None or set(FREQUENCY_COLUMNS) - set(frequencies.columns):
        raise DataError(f"cells of kind 'count' need a frequency table with the columns {listed(FREQUENCY_COLUMNS)}.")
    columns = list(FREQUENCY_COLUMNS)
    table = frequencies[columns].sort_values(columns[:-1], ignore_index=True)
    table = table.astype({SEGMENT: "int64", ARM: "int64", "value": "float64", "exposure": "float64", N: "int64"})
    n = np.atleast_2d(statistics[N].to_numpy())
    flat = table[SEGMENT].to_numpy() * n.shape[1] + table[ARM].to_numpy()
    counted = np.bincount(flat, weights=table[N].to_numpy(), minlength=n.size)
    if counted.size != n.size or not np.array_equal(counted, n.ravel()):
        raise DataError("the frequency table does not add up to n of every cell.")
    return table
