"""What a unit of each limit is worth: prices at which places that choose for themselves keep all limits at once."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.decisions.allocation.limited_choice import LimitedChoice
from bayesuplift.decisions.allocation.linear_programme import minimise

_CLOSE_ENOUGH: Final = 1e-12  # of the bound: next to no places are then left that the prices do not decide
_MOST_PLANES: Final = 600  # a few limits take some forty
_PULL: Final = 0.5  # of the way from the best prices so far to those of the model
_EXACT: Final = 1e-3  # of a step: where the planes are so close to the dual, the next step goes the whole way
_FAR: Final = 1e8  # distances to the minimum: what is farther does not matter to it


@dataclass(eq=False)
class _Planes:
    """Planes below the dual, gain + p (b - use), and the lowest point of the dual that was seen."""

    amount: NDArray[np.float64]  # (limit,)
    most: NDArray[np.float64]  # (limit,): prices above which the minimum is not
    prices: NDArray[np.float64]  # (limit,), at the lowest point
    bound: float = np.inf  # money, there
    gains: list[float] = field(default_factory=list)
    slopes: list[NDArray[np.float64]] = field(default_factory=list)

    def look(self, choice: LimitedChoice, prices: NDArray[np.float64]) -> None:
        """Add the plane that touches the dual at the prices."""
        gain, used = choice.taken(prices)
        self.gains.append(gain)
        self.slopes.append(self.amount - used)
        bound = gain + float(prices @ self.slopes[-1])
        if bound < self.bound:
            self.bound, self.prices = bound, prices

    def lowest(self, gap: float) -> tuple[NDArray[np.float64], float]:
        """Step (limit,) from the best prices to the minimum of the highest planes, and how far down that is, money.

        Solved in units of `gap`, the distance that was left last: the solver's absolute tolerances follow it down. No step
        at all where rounding is what is left, and the solver finds no solution.
        """
        slopes = np.array(self.slopes)
        height = (np.array(self.gains) + slopes @ self.prices - self.bound) / gap
        near = height > -_FAR
        unit = gap / self.amount
        least, most = np.maximum(-self.prices / unit, -_FAR), np.minimum((self.most - self.prices) / unit, _FAR)
        found = minimise(
            np.r_[np.zeros(len(unit)), 1.0],
            np.c_[slopes[near] / self.amount, -np.ones(int(near.sum()))],
            -height[near],
            np.c_[np.r_[least, -_FAR], np.r_[most, 0.0]],
        )
        if found is None:
            return np.zeros(len(unit)), 0.0
        return found.variables[:-1] * unit, -found.objective * gap


def near_prices(choice: LimitedChoice, starts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Prices close to the minimum of the Lagrangian dual, (limit,).

    Every look at prices q gives a plane below the dual,

        D(p) >= gain(q) + p (b - use(q))

    and the minimum of all planes so far is where to look next (Kelley, 1960, The cutting-plane method for solving convex
    programs, Journal of the SIAM 8). Looking only a part of the way from the best prices so far keeps it from jumping to
    and fro (Ben-Ameur and Neto, 2007, Acceleration of cutting-plane and column generation algorithms, Networks 49).

    Parameters
    ----------
    choice
        Several limits, each above 0, that cannot all be kept at prices of 0.
    starts
        Prices (limit,) to look at first.
    """
    amount, zero = choice.limits.amount, np.zeros(len(choice.limits))
    largest, _ = choice.taken(zero)
    # p b <= D(p) <= D(0) at the minimum: no limit is worth more than all that can be gained
    planes = _Planes(amount=amount, most=largest / amount, prices=zero)
    for prices in (zero, *starts):
        planes.look(choice, prices)
    gap, pull = largest, _PULL
    while len(planes.gains) < _MOST_PLANES:
        step, below = planes.lowest(gap)
        if below <= _CLOSE_ENOUGH * planes.bound:
            break
        expected = planes.bound - pull * below
        planes.look(choice, np.maximum(planes.prices + pull * step, 0.0))
        pull = 1.0 if planes.bound <= expected + _EXACT * below else _PULL
        gap = below
    return planes.prices
