"""What a rule earns as risk aversion, the share treated, or prices change."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.decisions.targeting.evaluation import POLICY, profit_summary, summarize_value, totals, valued
from bayesuplift.decisions.targeting.gain_statistics import Statistic, gain_statistics, repriced
from bayesuplift.decisions.targeting.limits import Limit
from bayesuplift.decisions.targeting.rules import BestArm, RiskAdjusted, Rule
from bayesuplift.decisions.targeting.target import chosen
from bayesuplift.dims import ARM, CHAIN, DRAW, N
from bayesuplift.errors import ArgumentError, is_finite_number
from bayesuplift.estimands.places import Places, unit_costs
from bayesuplift.estimands.summary import summarize
from bayesuplift.estimands.value import Economics

RISK_AVERSION: Final = "risk_aversion"
SHARE: Final = "share"
VALUE: Final = "value_per_outcome"
COST: Final = "cost_multiplier"

Values = NDArray[np.float64]


def risk_frontier(
    posterior: xr.DataTree,
    economics: Economics,
    *,
    risk_aversions: Sequence[float] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    prob: float = 0.95,
    limits: Sequence[Limit] = (),
    population: Any = None,
    weight: str = N,
) -> xr.Dataset:
    """Profit against its lower quantile as `RiskAdjusted` grows more averse to risk, (risk_aversion,).

    Parameters
    ----------
    posterior, economics, population, weight
        As in `target`.
    risk_aversions
        Values of lambda, from 0 to 1.
    prob
        Mass of the intervals, of the unit's gain in the rule and of profit in the table.
    limits
        That hold for all of them.

    Returns
    -------
    xarray.Dataset
        `summarize_value` of each policy, and `units` (risk_aversion, arm), how many get each arm.

    Raises
    ------
    ArgumentError, PosteriorError, ArmNotFoundError, FactorNotFoundError, DataError, ColumnNotFoundError
        As `target`.
    """
    rules = [RiskAdjusted(float(one), prob).subject_to(*limits) for one in risk_aversions]
    if not rules:
        raise ArgumentError("risk_aversions is empty; give numbers from 0 to 1")
    places = Places.of(posterior, population, weight=weight)
    values = gain_statistics(places, economics, [needed for rule in rules for needed in rule.statistics])
    policies = [chosen(places, economics, rule, values) for rule in rules]
    plans = [one.treated for one in policies]
    value = valued(places, economics, plans, [f"{float(one):g}" for one in risk_aversions])
    table = summarize_value(value, prob=prob).rename({POLICY: RISK_AVERSION})
    table = table.assign_coords({RISK_AVERSION: np.asarray(risk_aversions, dtype=np.float64)})
    units = np.stack([one.units.to_numpy() for one in policies])
    return table.assign(units=((RISK_AVERSION, ARM), units)).assign_coords({ARM: list(places.arms)})


def profit_by_share(
    posterior: xr.DataTree,
    economics: Economics,
    *,
    by: Rule | None = None,
    shares: Sequence[float] | None = None,
    prob: float = 0.95,
    population: Any = None,
    weight: str = N,
) -> xr.Dataset:
    """Profit when the share of units of highest score is treated, each with its best treatment, (share,).

    Parameters
    ----------
    posterior, economics, population, weight
        As in `target`.
    by
        The rule that scores, without limits; the mean net gain if left out.
    shares
        Shares of the units, rising from 0 to 1; 0, .02, ... 1 if left out.
    prob
        Mass of the intervals and of the band.

    Returns
    -------
    xarray.Dataset
        `profit`, `lower`, `upper`, each with `_mcse`, and `number_treated`, over (share,); `band_lower`, `band_upper`: with
        probability `prob` the whole curve lies between them, mean -+ c sd with one c for all shares; `marginal`, the score
        of the last unit treated, money per unit. Attribute `best_share`, where mean profit is highest.

    Raises
    ------
    ArgumentError, PosteriorError, ArmNotFoundError, FactorNotFoundError, DataError, ColumnNotFoundError
        As `target`; the rule has limits; or a treatment of every unit was ruled out by the rule.
    """
    rule = BestArm() if by is None else by
    if rule.limits or rule.fills is not None or rule.budget is not None:
        raise ArgumentError(f"by = {rule}: the shares are the limit here; give the rule that scores, without limits")
    at = np.linspace(0.0, 1.0, 51) if shares is None else np.asarray(shares, dtype=np.float64)
    if at.ndim != 1 or not len(at) or not ((at >= 0) & (at <= 1)).all() or (np.diff(at) <= 0).any():
        raise ArgumentError("shares are to rise from 0 to 1, such as [0, 0.1, 0.2]")
    places = Places.of(posterior, population, weight=weight)
    score = rule.score(gain_statistics(places, economics, rule.statistics))
    best, highest = score.argmax(axis=1), score.max(axis=1)
    if not np.isfinite(highest).all():
        raise ArgumentError(f"{rule} rules out every treatment of some {places.dim}s; give a rule that scores them all")
    order = np.argsort(-highest, kind="stable")
    profit = _cumulated(places, economics, order, best, at)
    draws = xr.DataArray(
        places.by_draw(profit), dims=(SHARE, CHAIN, DRAW), coords={SHARE: at}, attrs={"scale": "profit"}
    )
    told = summarize(draws, prob=prob)
    sd = draws.std((CHAIN, DRAW), ddof=1)
    away = abs(draws - told["mean"]) / sd.where(sd > 0, 1.0)
    width = float(np.quantile(away.max(SHARE), prob))
    reached = np.searchsorted(np.cumsum(places.weight[order]), at * places.weight.sum() * (1.0 - 1e-12))
    table = xr.Dataset(
        {
            "profit": told["mean"],
            "profit_mcse": told["mcse"],
            **{name: told[name] for name in ("lower", "lower_mcse", "upper", "upper_mcse")},
            "band_lower": told["mean"] - width * sd,
            "band_upper": told["mean"] + width * sd,
            "number_treated": (SHARE, at * places.weight.sum()),
            "marginal": (SHARE, highest[order][np.minimum(reached, len(order) - 1)]),
        }
    )
    table.attrs = {
        "economics": str(economics),
        "rule": str(rule),
        "prob": prob,
        "units": "money",
        "best_share": float(at[int(told["mean"].argmax(SHARE))]),
    }
    return table


def value_grid(
    posterior: xr.DataTree,
    economics: Economics,
    *,
    rule: Rule | None = None,
    values: Sequence[float],
    cost_multipliers: Sequence[float],
    prob: float = 0.95,
    population: Any = None,
    weight: str = N,
) -> xr.Dataset:
    """What the rule earns, chosen anew, under other values and costs: (value_per_outcome, cost_multiplier).

    Parameters
    ----------
    posterior, rule, population, weight
        As in `target`.
    economics
        Where one stands; its costs are multiplied.
    values
        Values of an outcome, money.
    cost_multipliers
        Factors, 0 or more, of all costs.
    prob
        Mass of the intervals.

    Returns
    -------
    xarray.Dataset
        `profit`, `profit_lower`, `profit_upper`, `prob_loss`, each with `_mcse`, and `share_treated` of the policy that is
        chosen there; `as_chosen`, mean profit under these economics of the policy that was chosen under the stated ones, to
        show what it costs to be wrong about them.

    Raises
    ------
    ArgumentError, PosteriorError, ArmNotFoundError, FactorNotFoundError, DataError, ColumnNotFoundError
        As `target`.
    """
    rule = BestArm() if rule is None else rule
    if (
        not all(is_finite_number(one) and one >= 0 for one in cost_multipliers)
        or not len(cost_multipliers)
        or not len(values)
    ):
        raise ArgumentError(
            "give values of an outcome, and multipliers of costs that are 0 or more: one or several of each"
        )
    places = Places.of(posterior, population, weight=weight)
    stated = gain_statistics(places, economics, rule.statistics)
    cells = [_scaled(economics, places, value, multiplier) for value in values for multiplier in cost_multipliers]
    plans = [chosen(places, own, rule, _values(places, economics, own, rule, stated)).treated for own in cells]
    plans.append(chosen(places, economics, rule, stated).treated)
    effect = totals(places, plans).effect
    units = np.stack([places.weight @ plan for plan in plans])
    profit, as_chosen = np.empty((len(cells), *effect.shape[1:])), np.empty(len(cells))
    for k, own in enumerate(cells):
        cost = units[[k, -1]] @ unit_costs(places, own)
        profit[k] = own.value_per_outcome * effect[k] - cost[0]
        as_chosen[k] = own.value_per_outcome * effect[-1].mean() - cost[1]
    shape, dims = (len(values), len(cost_multipliers)), (VALUE, COST)
    draws = xr.DataArray(
        profit.reshape(*shape, *effect.shape[1:]),
        dims=(*dims, CHAIN, DRAW),
        coords={VALUE: np.asarray(values, dtype=np.float64), COST: np.asarray(cost_multipliers, dtype=np.float64)},
        attrs={"scale": "profit"},
    )
    table = profit_summary(draws, prob).assign(
        share_treated=(dims, (units[:-1].sum(axis=1) / places.weight.sum()).reshape(shape)),
        as_chosen=(dims, as_chosen.reshape(shape)),
    )
    table.attrs = {"economics": str(economics), "rule": str(rule), "prob": prob, "units": "money"}
    return table


def _cumulated(
    places: Places, economics: Economics, order: NDArray[np.intp], best: NDArray[np.intp], at: Values
) -> Values:
    """Profit (share, draw) of treating each share of the units, in their order; a place in part where one ends."""
    edges = at * places.weight.sum()
    through = np.cumsum(places.weight[order])
    # every place is treated in full by the shares beyond it, and in part by those that end inside it
    begins = np.empty(len(places))
    begins[order] = through - places.weight[order]
    cost = unit_costs(places, economics)[best]
    chains, draws = places.draws
    profit = np.zeros((len(at), chains * draws))
    for where, effect in places.blocks():
        of_best = np.take_along_axis(effect, best[where][:, None, None], axis=1)[:, 0]
        gain = economics.value_per_outcome * of_best - cost[where][:, None]
        units = np.clip(edges[:, None] - begins[where], 0.0, places.weight[where])
        profit += units @ gain
    return profit


def _scaled(economics: Economics, places: Places, value: float, multiplier: float) -> Economics:
    """The economics with another value of an outcome, and all costs multiplied."""
    costs = economics.costs(places.arms, places.control)
    return Economics(float(value), {arm: multiplier * float(costs.sel({ARM: arm})) for arm in places.arms})


def _values(
    places: Places, before: Economics, after: Economics, rule: Rule, stated: Mapping[Statistic, Values]
) -> Mapping[Statistic, Values]:
    """What the rule looks at under other economics, without another pass over the draws where that follows."""
    follows = repriced(stated, places, before, after)
    return gain_statistics(places, after, rule.statistics) if follows is None else follows
