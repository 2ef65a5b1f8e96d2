"""Would the fitted model have made these data? Checks of a posterior against the cells, by the kind of their outcome."""

from typing import Final

import numpy as np
import xarray as xr

from bayesuplift.data.cells import Cells
from bayesuplift.data.checks import Check
from bayesuplift.dims import ARM, MEAN_OUTCOME, POSTERIOR, SEGMENT, TOTAL, N
from bayesuplift.posterior.predictive_continuous import Wording, normal_checks
from bayesuplift.posterior.predictive_count import count_checks
from bayesuplift.posterior.predictive_parts import binomial_tails, cellwise, matched, replicated_spread
from bayesuplift.posterior.predictive_revenue import amount_checks

_HURDLE: Final = ("buying_rate", "log_mean", "log_sd")


def predictive_check(posterior: xr.DataTree, cells: Cells, *, seed: int) -> tuple[Check, ...]:
    """Compare the cells, and how they vary over segments, with what the posterior predicts.

    A posterior by arm predicts the same in every segment: it may be right for the average and wrong for each of them.

    Parameters
    ----------
    posterior
        A posterior of the same outcome over (arm) or over the same (segment, arm). Beside `mean_outcome` it holds, by
        kind: continuous `mean` and `sd`; count `rate` and `overdispersion`; revenue `buying_rate`, `log_mean` and
        `log_sd`. Counts and revenue with `mean` and `sd` instead are checked as continuous.
    cells
        The observed cells, ([segment], arm).
    seed
        Seed of what is replicated.

    Returns
    -------
    tuple of Check
        Of every cell, or arm, the two-sided p-value of a statistic, exact given each draw and averaged over draws
        (mid-p), Bonferroni over cells; a check fails below .01. With segments also how much the cells' levels vary over
        them: P(T(replicated) >= T(observed)) for T the sum of squares about the arm's level in units of its variance,
        Gelman et al. (2013), BDA3, section 6.3; fails below .01 and above .99.

        Binary: "cell_rates", "spread_over_segments". Continuous: "cell_means", "spread_over_segments",
        "spread_of_units" (with one sd for all segments). Count: "cell_rates", "spread_over_segments", "zeros",
        "large_counts" (units with as many events as the model gives to one in a hundred). Revenue: "buying_rates" and
        "buying_over_segments"; "log_amounts", "log_amounts_over_segments" and "spread_of_log_amounts"; by arm
        "mean_amounts", from replicated sums, "amount_quantiles" and "largest_amounts".

    Raises
    ------
    PosteriorError
        The posterior's arms or segments are not those of the cells, or it lacks draws that its kind needs.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    held = posterior[POSTERIOR].data_vars
    if cells.kind == "binary":
        return _kept(_rate_checks(matched(posterior, cells, (MEAN_OUTCOME,))[MEAN_OUTCOME], cells, TOTAL, generator))
    normal = cells.kind == "continuous" or "sd" in held
    if normal:
        return _kept(_mean_checks(posterior, cells))
    if cells.kind == "count":
        return _kept(count_checks(matched(posterior, cells, ("rate", "overdispersion")), cells, generator))
    draws = matched(posterior, cells, _HURDLE)
    by_arm = SEGMENT not in held["log_sd"].dims
    return _kept(
        [
            *_rate_checks(draws["buying_rate"], cells, "positives", generator),
            *amount_checks(draws, cells, generator, sd_by_arm=by_arm),
        ]
    )


def _kept(found: list[Check | None]) -> tuple[Check, ...]:
    return tuple(check for check in found if check is not None)


def _rate_checks(
    rates: xr.DataArray, cells: Cells, successes: str, generator: np.random.Generator
) -> list[Check | None]:
    """Binomial counts of every cell, and their spread over segments."""
    n, total = cells.statistics[N], cells.statistics[successes]
    buying = successes != TOTAL
    sides = binomial_tails(n.to_numpy().astype(float), rates.to_numpy(), total.to_numpy().astype(float))
    name, noun = ("buying_rates", "share of buyers") if buying else ("cell_rates", "rate")
    tails = (rates.copy(data=sides[0]), rates.copy(data=sides[1]))
    found = [cellwise(name, tails, n > 0, noun=noun)]
    if SEGMENT in n.dims:
        replicated = rates.copy(data=generator.binomial(n.values, rates.values))
        units = n.sum(SEGMENT)
        of_arm = (rates * n).sum(SEGMENT) / units.where(units > 0)
        name, noun = ("buying_over_segments", "Shares of buyers") if buying else ("spread_over_segments", "Rates")
        found.append(replicated_spread(name, total, replicated, n, of_arm * (1 - of_arm), noun=noun))
    return found


def _mean_checks(posterior: xr.DataTree, cells: Cells) -> list[Check | None]:
    """Normal means; of a regression on a covariate, means and spreads of what the slope leaves."""
    held = posterior[POSTERIOR].data_vars
    site = "mean" if "mean" in held else MEAN_OUTCOME
    slopes = ("slope",) if "slope" in held and cells.covariate is not None else ()
    draws = matched(posterior, cells, (site, "sd", *slopes))
    counts = cells.statistics
    n, total, squares = (counts[name] for name in (N, TOTAL, "sum_squared_deviations"))
    if slopes:
        slope, away = (
            draws["slope"],
            counts["covariate_total"] - n * _covariate_mean(cells, by_segment=SEGMENT in held["sd"].dims),
        )
        total = total - slope * away
        squares = squares - 2.0 * slope * counts["sum_codeviations"]
        squares = squares + slope**2 * counts["covariate_sum_squared_deviations"]
    by_arm = SEGMENT not in held["sd"].dims
    found = normal_checks(draws[site], draws["sd"], n, total, squares, wording=Wording(), sd_by_arm=by_arm)
    return [*found]


def _covariate_mean(cells: Cells, *, by_segment: bool) -> xr.DataArray | float:
    """Mean covariate over all arms, where the posterior's means are: of every segment, or of all units."""
    total, n = cells.statistics["covariate_total"], cells.statistics[N]
    if not by_segment:
        return float(total.sum() / n.sum())
    units = n.sum(ARM)
    return total.sum(ARM) / units.where(units > 0, 1)
