"""Places that choose among treatments at given prices of what is limited, in numba."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bayesuplift.errors import ArgumentError


@dataclass(frozen=True, eq=False)
class LinearLimits:
    """Amounts that an allocation may use: of each unit, limit l takes use_l = of_cost_l cost + of_arm_la.

    Parameters
    ----------
    amount
        (limit,): how much there is, finite and 0 or more.
    of_cost
        (limit,): 1 where the limit is on money, else 0.
    of_arm
        (limit, arm): 1 where the limit is on units under the treatment, else 0.
    """

    amount: NDArray[np.float64]
    of_cost: NDArray[np.float64]
    of_arm: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.amount)

    def among(self, chosen: NDArray[np.bool_]) -> "LinearLimits":
        """Some of the limits, (limit,)."""
        return LinearLimits(self.amount[chosen], self.of_cost[chosen], self.of_arm[chosen])

    def use(self, limit: int, cost: NDArray[np.float64]) -> NDArray[np.float64]:
        """How much of a limit a unit takes under each treatment, shaped as the cost, (place or 1, arm)."""
        return self.of_cost[limit] * cost + self.of_arm[limit]

    def kept(self, used: NDArray[np.float64], tolerance: float = 0.0) -> bool:
        """Whether no limit is exceeded by more than a part of itself, from uses (limit,)."""
        return bool((used <= self.amount * (1.0 + tolerance)).all())


@dataclass(frozen=True, eq=False)
class LimitedChoice:
    """A linear programme over places: max sum_i w_i sum_a r_ia x_ia, sum_a x_ia <= 1, sum_i w_i sum_a use_lia x_ia <= b_l.

    Parameters
    ----------
    reward
        (place, arm), money per unit against the control, which brings 0; -inf where not allowed.
    cost
        (place, arm), or (1, arm) for all places alike, money per unit.
    weight
        (place,), units.
    limits
        What is limited.
    """

    reward: NDArray[np.float64]
    cost: NDArray[np.float64]
    weight: NDArray[np.float64]
    limits: LinearLimits

    def taken(self, prices: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Gain, money, and use of every limit, (limit,), when each place takes what is best for it at the prices.

        A place takes argmax_a r_ia - sum_l p_l use_lia if that is above 0: the first of equals, and the control at 0.
        """
        gain, spend, treated = sum_choices(self.reward, self.cost, self.weight, *self._charges(prices))
        return gain, self.limits.of_cost * spend + self.limits.of_arm @ treated

    def bound(self, prices: NDArray[np.float64]) -> float:
        """No allocation gains more than this, money: sum_l p_l b_l + sum_i w_i max(0, max_a r_ia - sum_l p_l use_lia).

        The Lagrangian dual, convex and piecewise linear in the prices (limit,), and equal to the most that can be gained
        at its minimum.
        """
        gain, used = self.taken(prices)
        return gain + float(prices @ (self.limits.amount - used))

    def choices(self, prices: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """What each place takes at the prices, (place,), -1 the control; and how much worse its next best is, (place,)."""
        return best_choices(self.reward, self.cost, *self._charges(prices))

    def totals(self, share: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Gain, money, and use of every limit, (limit,), of an allocation (place, arm)."""
        units = share * self.weight[:, None]
        gain = float((units * np.where(share > 0, self.reward, 0.0)).sum())
        return gain, self.limits.of_cost * float((units * self.cost).sum()) + self.limits.of_arm @ units.sum(axis=0)

    def _charges(self, prices: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """The prices as one for a unit of cost and one for a unit under each treatment, (arm,)."""
        return float(prices @ self.limits.of_cost), prices @ self.limits.of_arm


def posed(
    reward: NDArray[np.float64],
    cost: NDArray[np.float64],
    weight: NDArray[np.float64],
    *,
    budget: float | None,
    cap: float | None,
    caps: NDArray[np.float64] | None,
) -> tuple[LimitedChoice, NDArray[np.bool_]]:
    """The programme of `allocate`, and which of the limits (budget, cap, caps by arm) there are, (2 + arm,).

    Raises
    ------
    ArgumentError
        A limit is below 0, or is no number.
    """
    reward = np.ascontiguousarray(reward, dtype=np.float64)
    arms = reward.shape[1]
    by_arm = np.full(arms, np.inf) if caps is None else np.asarray(caps, dtype=np.float64)
    amount = np.r_[np.inf if budget is None else budget, np.inf if cap is None else cap, by_arm]
    if not (amount >= 0).all():
        raise ArgumentError(f"budget = {budget!r}, cap = {cap!r}, caps = {caps!r}; give limits of 0 or more")
    there = np.isfinite(amount)
    every = LinearLimits(
        amount=amount,
        of_cost=np.r_[1.0, np.zeros(1 + arms)],
        of_arm=np.r_[np.zeros((1, arms)), np.ones((1, arms)), np.eye(arms)],
    )
    # without a budget costs are not read: they may then be below 0
    read = np.ascontiguousarray(np.atleast_2d(cost), dtype=np.float64) if there[0] else np.zeros((1, arms))
    choice = LimitedChoice(reward, read, np.ascontiguousarray(weight, dtype=np.float64), every.among(there))
    return choice, there


def whole_shares(chosen: NDArray[np.intp], arms: int) -> NDArray[np.float64]:
    """The allocation, (place, arm), that gives each place one treatment, or the control at -1."""
    share = np.zeros((len(chosen), arms))
    (treated,) = np.nonzero(chosen >= 0)
    share[treated, chosen[treated]] = 1.0
    return share


@njit(cache=True)
def sum_choices(reward: np.ndarray, cost: np.ndarray, weight: np.ndarray, price: float, by_arm: np.ndarray) -> tuple:
    """Reward, cost and units by treatment (arm,) of the best choices at the prices. Compensated sums, as in `hull`."""
    n, k = reward.shape
    step = 0 if cost.shape[0] == 1 else 1
    total, lost = np.zeros(2 + k), np.zeros(2 + k)
    for i in range(n):
        best, chosen = 0.0, -1
        for a in range(k):
            value = reward[i, a] - price * cost[i * step, a] - by_arm[a]
            if value > best:
                best, chosen = value, a
        if chosen >= 0:
            w = weight[i]
            _add(total, lost, 0, w * reward[i, chosen])
            _add(total, lost, 1, w * cost[i * step, chosen])
            _add(total, lost, 2 + chosen, w)
    return total[0], total[1], total[2:]


@njit(cache=True)
def _add(total: np.ndarray, lost: np.ndarray, at: int, more: float) -> None:
    term = more - lost[at]
    after = total[at] + term
    lost[at] = (after - total[at]) - term
    total[at] = after


@njit(cache=True)
def best_choices(reward: np.ndarray, cost: np.ndarray, price: float, by_arm: np.ndarray) -> tuple:
    """The best choice of every place at the prices, (place,), -1 the control, and its distance from the second best."""
    n, k = reward.shape
    step = 0 if cost.shape[0] == 1 else 1
    chosen, margin = np.empty(n, dtype=np.int64), np.empty(n)
    for i in range(n):
        best, second, choice = 0.0, -np.inf, -1
        for a in range(k):
            value = reward[i, a] - price * cost[i * step, a] - by_arm[a]
            if value > best:
                best, second, choice = value, best, a
            elif value > second:
                second = value
        chosen[i], margin[i] = choice, best - second
    return chosen, margin
