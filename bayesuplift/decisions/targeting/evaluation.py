"""What policies are worth: draws of their profit, return, regret, and how they stand against each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from numba import njit
from numpy.typing import NDArray

from bayesuplift.decisions.targeting.policy import Policy
from bayesuplift.dims import ARM, CHAIN, DRAW, N
from bayesuplift.errors import ArgumentError, listed
from bayesuplift.estimands.places import Places, unit_costs
from bayesuplift.estimands.summary import equal_tails, summarize
from bayesuplift.estimands.value import Economics
from bayesuplift.posterior.diagnostics import monte_carlo_error

POLICY: Final = "policy"
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Totals:
    """Sums over the population, by draw.

    Parameters
    ----------
    effect
        sum_i n_i sum_a x_{i,a} effect_{i,a} of every plan x, (plan, chain, draw), outcome units.
    optimum
        sum_i n_i max(0, max_a g_{i,a}) with g the net gain, (chain, draw), money: what knowing all effects would earn; None
        where nobody asked.
    """

    effect: Values
    optimum: Values | None


def totals(places: Places, plans: Sequence[Values], economics: Economics | None = None) -> Totals:
    """Sums of the effects of plans (place, treatment), in one pass; and the optimum under economics, if these are given."""
    stacked = np.stack([plan * places.weight[:, None] for plan in plans], axis=-1)  # (place, treatment, plan)
    chains, draws = places.draws
    effect = np.zeros((chains * draws, len(plans)))
    optimum = None if economics is None else np.zeros(chains * draws)
    for where, block in places.blocks():
        effect += block.reshape(-1, chains * draws).T @ stacked[where].reshape(-1, len(plans))
        if optimum is not None and economics is not None:
            cost = unit_costs(places, economics)
            add_optimum(block, places.weight[where], economics.value_per_outcome, cost, optimum)
    return Totals(places.by_draw(effect.T), None if optimum is None else places.by_draw(optimum))


@njit(cache=True)
def add_optimum(
    effect: NDArray[Any], weight: NDArray[Any], value: float, cost: NDArray[Any], total: NDArray[Any]
) -> None:
    """Add max(0, max_a value effect - cost), times the weight, to every draw's total: effects (place, treatment, draw)."""
    places, treatments, draws = effect.shape
    for place in range(places):
        for draw in range(draws):
            best = 0.0
            for k in range(treatments):
                best = max(best, value * effect[place, k, draw] - cost[k])
            total[draw] += weight[place] * best


def policy_value(
    policy: Policy | Mapping[str, Policy],
    posterior: xr.DataTree,
    economics: Economics | None = None,
    *,
    population: Any = None,
    weight: str = N,
) -> xr.Dataset:
    """Draws of what one or several policies earn beyond treating nobody.

        profit_s = sum_i n_i sum_a x_{i,a} [value effect_{s,i,a} - (cost_a - cost_0)]
        regret_s = sum_i n_i max_a g_{s,i,a} - profit_s,     g the net gain, 0 of the control

    Parameters
    ----------
    policy
        A policy, or several by name: `target(...)`, `assign(posterior, "control")` for nobody, `assign(posterior, column)`
        for current practice. They share the draws, so that their differences are paired.
    posterior
        Of these very segments or units; the policy may have been chosen on another.
    economics
        What outcomes are worth and arms cost; the policy's own if left out.
    population, weight
        As in `target`.

    Returns
    -------
    xarray.Dataset
        `profit`, money of the whole population, `regret`, 0 or more, and `roi`, profit by cost (125% is 1.25), over
        ([policy], chain, draw); `cost`, money more than the control's, `number_treated` and `share_treated` over
        ([policy],), which are no draws: the policy is known. Where nobody is treated or treating costs nothing, `roi` is
        missing (NaN), and its attribute `missing` says of which policy and why.

    Raises
    ------
    ArgumentError
        No policy, one without economics of its own where none are given, or one of other places or arms than the posterior.
    PosteriorError, DataError, ColumnNotFoundError, ArmNotFoundError
        As `target`.
    """
    several = policy if isinstance(policy, Mapping) else {"": policy}
    if not several or not all(isinstance(one, Policy) for one in several.values()):
        raise ArgumentError("give a policy, as target and assign return, or several by name")
    places = Places.of(posterior, population, weight=weight)
    worth = _economics(several, economics)
    plans = [_plan(one, places, name) for name, one in several.items()]
    value = valued(places, worth, plans, list(several))
    return value if isinstance(policy, Mapping) else value.isel({POLICY: 0}, drop=True)


def valued(places: Places, economics: Economics, plans: Sequence[Values], names: Sequence[str]) -> xr.Dataset:
    """Draws of what plans (place, treatment) earn: the dataset of `policy_value`, over (policy, chain, draw)."""
    sums = totals(places, plans, economics)
    assert sums.optimum is not None, "economics were given"
    units = np.stack([places.weight @ plan for plan in plans])  # (plan, treatment)
    cost = units @ unit_costs(places, economics)
    treated = units.sum(axis=1)
    profit = economics.value_per_outcome * sums.effect - cost[:, None, None]
    reasons = {
        name: "nobody is treated" if n == 0 else "treating costs nothing" if c == 0 else "treating saves money"
        for name, n, c in zip(names, treated, cost, strict=True)
        if n == 0 or c <= 0
    }
    paid = np.where(cost > 0, cost, np.nan)[:, None, None]
    dims = (POLICY, CHAIN, DRAW)
    index = {name: places.means[name] for name in (CHAIN, DRAW) if name in places.means.coords}
    value = xr.Dataset(
        {
            "profit": (dims, profit),
            "roi": (dims, profit / paid),
            "regret": (dims, sums.optimum - profit),
            "cost": (POLICY, cost),
            "number_treated": (POLICY, treated),
            "share_treated": (POLICY, treated / places.weight.sum()),
        },
        coords={POLICY: list(names), **index},
        attrs={
            "economics": str(economics),
            "outcome": places.outcome,
            "units": "money",
            "n": float(places.weight.sum()),
        },
    )
    if reasons:
        value["roi"].attrs["missing"] = "; ".join(f"{name or 'the policy'}: {why}" for name, why in reasons.items())
    return value


def summarize_value(
    value: xr.Dataset, *, prob: float = 0.95, alpha: float = 0.05, against: str | None = None
) -> xr.Dataset:
    """What a reader takes away from `policy_value`, each figure with its Monte Carlo error.

    Parameters
    ----------
    value
        Of `policy_value`.
    prob
        Mass of the equal-tailed intervals.
    alpha
        Share of the draws, the worst, that CVaR averages over.
    against
        Name of a policy to tell the others' profit against, draw by draw; nobody treated if left out.

    Returns
    -------
    xarray.Dataset
        Over ([policy],): `profit`, `profit_lower`, `profit_upper`, `prob_loss` = P(profit < 0), `cvar`, the mean profit of
        the worst draws, `regret`, each with `_mcse`; `roi`, `roi_lower`, `roi_upper`; `cost`, `number_treated`,
        `share_treated`. With `against`, profit is the difference from that policy's; the others stay as they are.

    Raises
    ------
    ArgumentError
        This is no dataset of `policy_value`, the named policy is not in it, or an option is outside its range.
    """
    if not isinstance(value, xr.Dataset) or not {"profit", "regret", "roi"} <= set(value):
        raise ArgumentError("give the dataset that policy_value returns")
    profit = value["profit"]
    if against is not None:
        names = profit[POLICY].to_numpy().tolist() if POLICY in profit.dims else []
        if against not in names:
            raise ArgumentError(
                f"no policy named '{against}' to compare with. Policies: {listed(names) or 'one, unnamed'}"
            )
        profit = profit - profit.sel({POLICY: against}, drop=True)
    worst = tail_mean(profit, alpha)
    table = profit_summary(profit, prob).assign(
        {
            "cvar": worst["tail_mean"],
            "cvar_mcse": worst["tail_mean_mcse"],
            "regret": value["regret"].mean((CHAIN, DRAW)),
            "regret_mcse": monte_carlo_error(value["regret"]),
            "roi": value["roi"].mean((CHAIN, DRAW), skipna=False),
            **{name: value[name] for name in ("cost", "number_treated", "share_treated")},
        }
    )
    lower, upper = equal_tails(prob)
    for name, q in (("roi_lower", lower), ("roi_upper", upper)):
        table[name] = value["roi"].quantile(q, (CHAIN, DRAW), skipna=False).drop_vars("quantile")
    table["roi"].attrs = dict(value["roi"].attrs)
    table.attrs = {**value.attrs, "prob": prob, "alpha": alpha, "against": against or "nobody treated"}
    return table


def profit_summary(profit: xr.DataArray, prob: float) -> xr.Dataset:
    """Mean, interval and P(profit < 0) of draws of profit, each with its Monte Carlo error."""
    told = summarize(profit, prob=prob)
    loss = summarize(-profit, prob=prob)  # a profit of exactly 0 is no loss
    return xr.Dataset(
        {
            "profit": told["mean"],
            "profit_mcse": told["mcse"],
            **{f"profit_{end}": told[end] for end in ("lower", "lower_mcse", "upper", "upper_mcse")},
            "prob_loss": loss["prob_positive"],
            "prob_loss_mcse": loss["prob_positive_mcse"],
        }
    )


def tail_mean(draws: xr.DataArray, alpha: float) -> xr.Dataset:
    """Mean of the worst share alpha of the draws (CVaR), with its Monte Carlo error, over the other dimensions.

        CVaR = q - E[(q - x)+] / alpha,     q the alpha quantile

    whose terms x' = q - (q - x)+ / alpha are averaged like any others (Rockafellar and Uryasev, 2000, Optimization of
    conditional value-at-risk, Journal of Risk 2(3), equation 4); at the minimising q its own error has no first-order part.

    Raises
    ------
    ArgumentError
        alpha is not between 0 and 1.
    """
    if not 0.0 < alpha < 1.0:
        raise ArgumentError(f"alpha = {alpha!r}; give the share of the draws that are the worst, between 0 and 1")
    q = draws.quantile(alpha, (CHAIN, DRAW)).drop_vars("quantile")
    terms = q - (q - draws).clip(min=0.0) / alpha
    return xr.Dataset({"tail_mean": terms.mean((CHAIN, DRAW)), "tail_mean_mcse": monte_carlo_error(terms)})


def _economics(policies: Mapping[str, Policy], given: Economics | None) -> Economics:
    """The economics that policies are valued under."""
    if given is not None:
        if not isinstance(given, Economics):
            raise ArgumentError(
                f"economics is {type(given).__name__}; give Economics(value_per_outcome=..., cost_per_unit=...)"
            )
        return given
    own = {one.economics for one in policies.values() if one.economics is not None}
    if len(own) != 1:
        found = "none has economics of its own" if not own else "they were chosen under several economics"
        raise ArgumentError(f"of these policies {found}; say which to value them under: economics=...")
    return own.pop()


def _plan(policy: Policy, places: Places, name: str) -> Values:
    """A policy's shares (place, treatment) in the order of the places.

    Raises
    ------
    ArgumentError
        It is of other places or arms.
    """
    called = f"policy '{name}'" if name else "the policy"
    if [str(arm) for arm in policy.share[ARM].to_numpy()] != list(places.arms) or policy.control != places.control:
        raise ArgumentError(
            f"{called} has the arms {listed(policy.share[ARM].to_numpy())} and the control '{policy.control}'; the "
            f"posterior has {listed(places.arms)} and '{places.control}'"
        )
    if policy.dim != places.dim or not np.array_equal(policy.share[policy.dim].to_numpy(), places.labels):
        raise ArgumentError(
            f"{called} is of {policy.share.sizes[policy.dim]:,} {policy.dim}s, and the posterior has {len(places):,} "
            f"{places.dim}s, or the same in another order; value a policy on the places that it was made for"
        )
    return policy.treated
