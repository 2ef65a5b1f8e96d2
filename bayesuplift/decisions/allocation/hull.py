"""What a place may buy, cheapest first: the upper concave hulls of (cost, reward), one after another in numba."""

import numpy as np
from numba import njit


@njit(cache=True)
def hull_increments(reward: np.ndarray, cost: np.ndarray) -> tuple:
    """The hull increments of every place, in the order of places and costs.

    Parameters
    ----------
    reward
        (place, arm), money per unit against the control, which is at (0, 0); only rewards above 0 count.
    cost
        (place, arm), or (1, arm) for all places alike, money per unit, 0 or more.

    Returns
    -------
    tuple
        `start` (place,), the best treatment of cost 0, -1 where the control is; and by increment: place, treatment, the
        treatment that it takes the place of (-1 the control), the more in reward and in cost, and the ratio of these two,
        which falls strictly within a place: of points on one line only the ends are kept.
    """
    n, k = reward.shape
    step = 0 if cost.shape[0] == 1 else 1
    start = np.empty(n, dtype=np.int64)
    unit, arm, instead = (
        np.empty(n * k, dtype=np.int64),
        np.empty(n * k, dtype=np.int64),
        np.empty(n * k, dtype=np.int64),
    )
    rise, run, ratio = np.empty(n * k), np.empty(n * k), np.empty(n * k)
    order = np.empty(k, dtype=np.int64)
    count = 0
    for i in range(n):
        row = i * step
        found, begin = _cheapest_first(reward[i], cost[row], order)
        start[i] = begin
        floor = reward[i, begin] if begin >= 0 else 0.0
        first, top, top_value, top_cost = count, begin, floor, 0.0
        for j in range(found):
            a = order[j]
            value, price = reward[i, a], cost[row, a]
            if value <= top_value:
                continue
            slope = (value - top_value) / (price - top_cost)
            # the same quotient that is sorted by later: no rounding can put an increment before the one it rests on
            while count > first and ratio[count - 1] <= slope:
                count -= 1
                top = instead[count]
                top_value, top_cost = (floor, 0.0) if top == begin else (reward[i, top], cost[row, top])
                slope = (value - top_value) / (price - top_cost)
            unit[count], arm[count], instead[count] = i, a, top
            rise[count], run[count], ratio[count] = value - top_value, price - top_cost, slope
            count += 1
            top, top_value, top_cost = a, value, price
    return start, unit[:count], arm[:count], instead[:count], rise[:count], run[:count], ratio[:count]


@njit(cache=True)
def _cheapest_first(reward: np.ndarray, cost: np.ndarray, order: np.ndarray) -> tuple[int, int]:
    """Put treatments with costs and rewards above 0 in order: by cost, the larger reward first, then the first treatment.

    Returns how many they are, and the best treatment of cost 0, the first of equals, or -1.
    """
    found, begin, floor = 0, -1, 0.0
    for a in range(reward.size):
        value, price = reward[a], cost[a]
        if not value > 0.0:
            continue
        if price == 0.0:
            if value > floor:
                begin, floor = a, value
            continue
        place = found
        while place > 0:
            other = order[place - 1]
            if cost[other] < price or (cost[other] == price and reward[other] >= value):
                break
            order[place] = other
            place -= 1
        order[place] = a
        found += 1
    return found, begin


@njit(cache=True)
def running_total(
    more: np.ndarray, weight: np.ndarray, unit: np.ndarray, order: np.ndarray, begin: float
) -> np.ndarray:
    """Sums of weight x more from `begin` on, in the given order.

    Compensated (Kahan, 1965, Further remarks on reducing truncation errors, Communications of the ACM 8): a plain sum of a
    million terms is off by more than what a limit is kept to.
    """
    totals = np.empty(order.size)
    total, lost = begin, 0.0
    for j in range(order.size):
        at = order[j]
        term = weight[unit[at]] * more[at] - lost
        after = total + term
        lost = (after - total) - term
        total = after
        totals[j] = total
    return totals
