"""Predictive checks of revenue: who bought, the logarithms of the amounts, and the amounts themselves."""

from typing import Final

import numpy as np
import xarray as xr
from scipy.special import ndtr

from bayesuplift.data.cells import Cells
from bayesuplift.data.checks import Check
from bayesuplift.dims import ARM, SEGMENT
from bayesuplift.posterior.amounts import replicated_sums
from bayesuplift.posterior.predictive_continuous import Wording, normal_checks
from bayesuplift.posterior.predictive_parts import SAMPLE, Tails, cellwise, mixed_binomial_tails

_LOGARITHMS: Final = Wording(
    means=("log_amounts", "mean log amount"),
    over_segments=("log_amounts_over_segments", "Mean log amounts"),
    units=("spread_of_log_amounts", "standard deviation of log amounts"),
)


def amount_checks(
    draws: xr.Dataset, cells: Cells, generator: np.random.Generator, *, sd_by_arm: bool
) -> list[Check | None]:
    """Check the amounts of a hurdle posterior; who bought is checked as a rate.

    Parameters
    ----------
    draws
        `log_mean` and `log_sd`, (sample, [segment], arm).
    cells
        Cells of revenue; without quantiles, these are left out.
    generator
        For the sums of amounts.
    sd_by_arm
        Whether log_sd is one for all segments of an arm.
    """
    counts = cells.statistics
    k, total_log = counts["positives"], counts["total_log"]
    of_logs = normal_checks(
        draws["log_mean"],
        draws["log_sd"],
        k,
        total_log,
        counts["sum_squared_log_deviations"],
        wording=_LOGARITHMS,
        sd_by_arm=sd_by_arm,
    )
    shape = (-1, k.sizes.get(SEGMENT, 1), k.sizes[ARM])
    numbers = k.to_numpy().reshape(shape[1:])
    log_mean, log_sd = (draws[name].to_numpy().reshape(shape) for name in ("log_mean", "log_sd"))
    sums = replicated_sums(numbers, log_mean, log_sd, generator)
    totals = cells.total.reshape(shape[1:]).sum(axis=0)
    unit = np.eye(len(totals))
    of_sums = [sums.tails(unit[arm], float(total)) for arm, total in enumerate(totals)]
    arms = k[ARM]
    buyers = xr.DataArray(numbers.sum(axis=0), dims=ARM, coords={ARM: arms})
    tails = tuple(
        xr.DataArray([[pair[side] for pair in of_sums]], dims=(SAMPLE, ARM), coords={ARM: arms}) for side in (0, 1)
    )
    below = _chances(log_mean, log_sd, cells.maximum.reshape(shape[1:]).max(axis=0))
    largest = np.exp((np.log(np.maximum(below, 1e-300)) * numbers).sum(axis=1))
    of_largest = xr.DataArray(largest, dims=(SAMPLE, ARM), coords={ARM: arms})
    return [
        *of_logs,
        cellwise("mean_amounts", (tails[0], tails[1]), buyers > 0, noun="mean amount", unit="arm"),
        _quantiles(cells.quantiles, log_mean, log_sd, numbers, arms),
        cellwise("largest_amounts", (of_largest, 1.0 - of_largest), buyers > 0, noun="largest amount", unit="arm"),
    ]


def _chances(log_mean: np.ndarray, log_sd: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """P(amount <= x) of every segment, (sample, segment, arm), for one x an arm."""
    found: np.ndarray = ndtr((np.log(np.where(amounts > 0, amounts, 1.0)) - log_mean) / log_sd)
    return found


def _quantiles(
    quantiles: xr.DataArray | None, log_mean: np.ndarray, log_sd: np.ndarray, k: np.ndarray, arms: xr.DataArray
) -> Check | None:
    """Quantiles of each arm's amounts: X(j) <= x exactly where at least j amounts are at most x.

    One interpolated between two order statistics lies between them, and so does its p-value, taken halfway.
    """
    if quantiles is None:
        return None
    probabilities = quantiles["probability"].to_numpy()
    values = quantiles.sel({ARM: arms}).transpose("probability", ARM).to_numpy()
    tails: list[np.ndarray] = []
    for probability, row in zip(probabilities, values, strict=True):
        chances = _chances(log_mean, log_sd, np.nan_to_num(row, nan=1.0))
        for arm in range(k.shape[1]):
            place = max(int(k[:, arm].sum()) - 1, 0) * probability
            nearly = 1e-9 * max(place, 1.0)  # 0.95 * 20 is one of the order statistics, whatever its last digit
            lower, upper = np.floor(place + nearly) + 1.0, np.ceil(place - nearly) + 1.0
            # P(X(lower) > x) = P(fewer than lower are at most x); P(X(upper) < x) = P(at least upper are at most x)
            more = mixed_binomial_tails(k[:, arm].astype(float), chances[:, :, arm], lower)[0]
            fewer = mixed_binomial_tails(k[:, arm].astype(float), chances[:, :, arm], upper - 1.0)[1]
            tails.append(np.stack([fewer, more]))
    shape = (2, len(log_mean), len(probabilities), len(arms))
    both = np.stack(tails, axis=-1).reshape(shape)
    dims, coords = (
        (SAMPLE, "probability", ARM),
        {"probability": [f"{p:g}" for p in probabilities], ARM: arms.to_numpy()},
    )
    found: Tails = tuple(xr.DataArray(side, dims=dims, coords=coords) for side in both)  # type: ignore[assignment]
    counted = xr.DataArray(np.isfinite(values), dims=dims[1:], coords=coords)
    return cellwise("amount_quantiles", found, counted, noun="quantile of amounts", unit="quantile")
