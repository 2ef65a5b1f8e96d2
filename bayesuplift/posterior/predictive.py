"""Would the fitted model have made these data? Checks of a posterior against them, by the kind of their outcome."""

from typing import Final

import numpy as np
import xarray as xr

from bayesuplift.data.cells import Cells
from bayesuplift.data.checks import Check
from bayesuplift.data.experiment import Experiment
from bayesuplift.dims import ARM, MEAN_OUTCOME, POSTERIOR, SEGMENT, TOTAL, UNIT, N
from bayesuplift.errors import PosteriorError
from bayesuplift.posterior.predictive_continuous import Wording, normal_checks
from bayesuplift.posterior.predictive_count import count_checks
from bayesuplift.posterior.predictive_parts import binomial_tails, cellwise, matched, replicated_spread
from bayesuplift.posterior.predictive_revenue import amount_checks
from bayesuplift.posterior.predictive_units import unit_checks

_HURDLE: Final = ("buying_rate", "log_mean", "log_sd")


def predictive_check(posterior: xr.DataTree, data: Cells | Experiment, *, seed: int) -> tuple[Check, ...]:
    """Compare data with what the posterior predicts of them: of cells how they vary over segments, of units where they are.

    A posterior by arm predicts the same in every segment: it may be right for the average and wrong for each of them. One
    over units may be right for most, and wrong for those that differ by what its model was not told, or cannot tell.

    Parameters
    ----------
    posterior
        A posterior of the same outcome over (arm), over the same (segment, arm), or over the same (unit, arm). Beside
        `mean_outcome` it holds, by kind: continuous `mean` and `sd`; count `rate` and `overdispersion`; revenue
        `buying_rate`, `log_mean` and `log_sd`. Counts and revenue with `mean` and `sd` instead are checked as continuous.
        Over units it holds `sd` (chain, draw, [arm]), of normal noise about `mean_outcome`, unless outcomes are binary; of
        a unit of precision 1 where the experiment tells precisions.
    data
        The observed cells, ([segment], arm); or the `Experiment`, whose units a posterior over units asks for, in its
        order. It may hold covariates that the model was not given.
    seed
        Seed of what is replicated, which of units nothing is.

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

        Of units, at most 200 draws being looked at, cells are those of one arm that are alike: in what is predicted of
        them, "rates_by_prediction"; in the effect that is predicted, "rates_by_effect"; in a covariate, a propensity or a
        segment factor, "rates_by_covariate" (`unit_parts`). Compared are each arm, all of them together, treatments with
        the control, and the parts of a division as a whole. Of outcomes that are not binary "means_by_..." instead, and in
        the same cells "spread_of_residuals"; by arm "shape_of_residuals" (how many lie within half a standard deviation of
        the noise, 2 below, 2 above, and 3 away) and "largest_residuals".

    Raises
    ------
    PosteriorError
        The posterior's arms or segments are not those of the data, it lacks draws that its kind needs, or it is over units
        and the data are cells.
    ArgumentError
        The units are not those of the posterior, or stand in another order.

    Notes
    -----
    The units' parts are chosen by the fit, and the draws were fitted to the outcomes: a model that is right fails more
    seldom than its level says. What no check of units finds is a fault that leaves every part right: a product of two
    covariates, each of which by itself changes nothing, or a cause that goes with none of the covariates.
    """
    if _over_units(posterior):
        if not isinstance(data, Experiment):
            raise PosteriorError(
                f"the posterior is over units, and the data are {type(data).__name__}; give the Experiment that it was "
                f"fitted on"
            )
        return _kept(unit_checks(posterior, data))
    return _of_cells(posterior, data.cells() if isinstance(data, Experiment) else data, seed)


def _over_units(posterior: xr.DataTree) -> bool:
    group = posterior.children.get(POSTERIOR)
    return group is not None and MEAN_OUTCOME in group.data_vars and UNIT in group[MEAN_OUTCOME].dims


def _of_cells(posterior: xr.DataTree, cells: Cells, seed: int) -> tuple[Check, ...]:
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
