"""Who gets what under limits: the shares that gain most, and what a unit of each limit is worth."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.decisions.allocation.budget_path import budget_path, refuse_savings
from bayesuplift.decisions.allocation.limited_choice import LimitedChoice, posed, whole_shares
from bayesuplift.decisions.allocation.shadow_prices import near_prices
from bayesuplift.decisions.allocation.tied_places import complete
from bayesuplift.errors import NumericalError

KEPT_TO: Final = 1e-9  # of a limit: what an allocation may exceed it by, from sums and the solver's tolerance
_LARGEST_GAP: Final = 1e-9  # of the bound: what may lie between it and the gain
_ROUNDING: Final = 1e-14  # of what is gained without limits: what sums of it leave where the bound is 0
_FEW: Final = (1000, 4000, 16000)  # places that prices may leave undecided, attempt by attempt
_TIED: Final = 1e-10  # of a unit's mean gain: margins that prices cannot tell from 0


@dataclass(frozen=True, eq=False)
class Prices:
    """What one more of each limit would gain, money; 0 where a limit does not bind, or is not there.

    Where the gain changes its slope just at the limits, any price between the slopes before and after is one.

    Parameters
    ----------
    budget
        Money per unit of money.
    cap
        Money per unit treated.
    caps
        (arm,), money per unit under the treatment.
    """

    budget: float
    cap: float
    caps: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Allocation:
    """Shares of places under treatments, the best there are under limits.

    Parameters
    ----------
    share
        (place, arm), from 0 to 1; what a place leaves gets the control.
    prices
        Shadow prices of the limits.
    gain
        Money gained over the control by everybody.
    bound
        Money that no allocation within the limits exceeds: the gain, but for 1e-9 of it.
    """

    share: NDArray[np.float64]
    prices: Prices
    gain: float
    bound: float


@dataclass(frozen=True, eq=False)
class _Found:
    share: NDArray[np.float64]  # (place, arm)
    prices: NDArray[np.float64]  # (limit,)


def allocate(
    reward: NDArray[np.float64],
    cost: NDArray[np.float64],
    weight: NDArray[np.float64],
    *,
    budget: float | None = None,
    cap: float | None = None,
    caps: NDArray[np.float64] | None = None,
) -> Allocation:
    """Find the shares x that gain most.

        max sum_i w_i sum_a r_ia x_ia   over  x_ia >= 0,  sum_a x_ia <= 1,
            sum_i w_i sum_a c_ia x_ia <= budget,  sum_i w_i sum_a x_ia <= cap,  sum_i w_i x_ia <= caps_a

    Parameters
    ----------
    reward
        (place, arm), money per unit against the control, finite, or -inf where a treatment is not allowed.
    cost
        (arm,) or (place, arm), money per unit more than the control; read under a budget only.
    weight
        (place,), units, above 0.
    budget
        Money, or none.
    cap
        Units treated in all, or none.
    caps
        (arm,), units by treatment, infinite for none.

    Returns
    -------
    Allocation
        Without a binding limit the best treatment of every place where it brings more than 0: the first of equals, the
        control at 0. No limit is exceeded by more than 1e-9 of it. At most as many places are between two of their
        options as there are limits.

    Raises
    ------
    ArgumentError
        A limit is below 0, or under a budget an allowed treatment costs less than the control.
    NumericalError
        The gain is not within 1e-9 of its bound, or a limit is not kept.

    Notes
    -----
    One limit alone is a `budget_path`, and so are several where keeping one keeps the others. Otherwise prices close to the
    minimum of the Lagrangian dual decide most places, and a small linear programme the rest, with more places in it until
    gain and bound agree. They agree at the optimum only: the result does not rest on how it was found.
    """
    choice, there = posed(reward, cost, weight, budget=budget, cap=cap, caps=caps)
    refuse_savings(choice.reward, choice.cost)
    found = _best(choice)
    gain, used = choice.totals(found.share)
    bound = choice.bound(found.prices)
    largest, _ = choice.taken(np.zeros(len(found.prices)))
    if not abs(bound - gain) <= _LARGEST_GAP * bound + _ROUNDING * largest or not choice.limits.kept(used, KEPT_TO):
        raise NumericalError(
            f"the allocation gains {gain:.10g}, and its bound is {bound:.10g}, {bound - gain:.3g} more; expected at most "
            f"{_LARGEST_GAP:g} of it. Of the limits {choice.limits.amount.tolist()} it uses {used.tolist()}. Rewards, "
            "costs or weights of very different sizes may be the cause: give them in other units, or leave out what is "
            "next to nothing"
        )
    prices = np.zeros(len(there))
    prices[there] = found.prices
    return Allocation(found.share, Prices(float(prices[0]), float(prices[1]), prices[2:]), gain, bound)


def _best(choice: LimitedChoice) -> _Found:
    """The best allocation, by the shortest way that there is to it."""
    limits, nothing = choice.limits, np.zeros(len(choice.limits))
    _, used = choice.taken(nothing)
    if limits.kept(used):
        chosen, _ = choice.choices(nothing)
        return _Found(whole_shares(chosen, choice.reward.shape[1]), nothing)
    closed = limits.amount == 0
    if closed.any() and len(limits) > 1:
        return _without_closed(choice, closed)
    starts = []
    for limit in np.flatnonzero(used > limits.amount):
        found = _by_path(choice, int(limit))
        if limits.kept(choice.totals(found.share)[1]):
            return found
        starts.append(found.prices)
    return _by_prices(choice, starts)


def _by_path(choice: LimitedChoice, limit: int) -> _Found:
    """The best allocation under one of the limits."""
    amount, prices = float(choice.limits.amount[limit]), np.zeros(len(choice.limits))
    path = budget_path(choice.reward, choice.limits.use(limit, choice.cost), choice.weight)
    _, prices[limit] = path.at(amount)
    return _Found(path.shares(amount), prices)


def _without_closed(choice: LimitedChoice, closed: NDArray[np.bool_]) -> _Found:
    """The best allocation without what needs a limit of 0, and the lowest prices at which nobody wants that."""
    limits, uses = choice.limits, [choice.limits.use(limit, choice.cost) for limit in range(len(closed))]
    reward = choice.reward
    for limit in np.flatnonzero(closed):
        reward = np.where(uses[limit] > 0, -np.inf, reward)
    found = _best(LimitedChoice(reward, choice.cost, choice.weight, limits.among(~closed)))
    prices = np.zeros(len(limits))
    prices[~closed] = found.prices
    value = choice.reward - sum(price * use for price, use in zip(prices, uses, strict=True))
    best = np.maximum(np.where(reward > -np.inf, value, 0.0).max(axis=1, keepdims=True), 0.0)
    for limit in np.flatnonzero(closed):
        use = np.broadcast_to(uses[limit], value.shape)
        excess = np.divide(value - best, use, out=np.zeros_like(value), where=use > 0)
        prices[limit] = max(float(excess.max()), 0.0)
        value = value - prices[limit] * use
    return _Found(found.share, prices)


def _by_prices(choice: LimitedChoice, starts: list[NDArray[np.float64]]) -> _Found:
    """The best allocation under several limits of which none implies the others."""
    n, units = len(choice.weight), float(choice.weight.sum())
    prices = near_prices(choice, starts) if n > _FEW[0] else starts[0]
    bound = choice.bound(prices)
    share = np.zeros_like(choice.reward)
    for few in _FEW:
        _, margin = choice.choices(prices)
        nearest = np.inf if n <= few else max(float(np.partition(margin, few)[few]), _TIED * bound / units)
        completed = complete(choice, prices, margin <= nearest)
        if completed is not None:
            share, agreed = completed
            # at a corner of the dual many prices agree with the undecided places, and not all of them with every place
            if choice.bound(agreed) < bound:
                prices, bound = agreed, choice.bound(agreed)
            if bound - choice.totals(share)[0] <= _LARGEST_GAP * bound:
                break
        if n <= few:
            break
    return _Found(share, prices)
