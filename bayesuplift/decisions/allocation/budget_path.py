"""Who is treated with what under every budget at once: the whole solution path of one linear programme."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesuplift.decisions.allocation.hull import hull_increments, running_total
from bayesuplift.errors import ArgumentError


@dataclass(frozen=True, eq=False)
class BudgetPath:
    """The steps by which a growing budget is spent best, from nothing to everything worth buying.

    Step j moves one place from one treatment, or the control, to a dearer one. Steps have falling returns, so the first
    few are the best use of what they cost, and the first few and a part of the next are the best use of any budget.

    Parameters
    ----------
    spend, gain
        (step,), money: spent, and gained over the control, after each step; places weighted.
    unit, arm, instead
        (step,): the place, the treatment that it gets, and the one that it had (-1 the control).
    ratio
        (step,): reward for one more of money, falling.
    start
        (place,): the treatment of cost 0 that a place begins with, -1 the control.
    begin
        Money: gained without spending anything.
    arms
        Number of treatments, the control not counted.
    """

    spend: NDArray[np.float64]
    gain: NDArray[np.float64]
    unit: NDArray[np.intp]
    arm: NDArray[np.intp]
    instead: NDArray[np.intp]
    ratio: NDArray[np.float64]
    start: NDArray[np.intp]
    begin: float
    arms: int

    def at(self, budget: float) -> tuple[float, float]:
        """Gain, in money, and shadow price of a budget: what the next unit of money earns, 0 once everything is bought."""
        bought, part = self._bought(budget)
        before = self.begin if bought == 0 else float(self.gain[bought - 1])
        if bought == len(self.spend):
            return before, 0.0
        return before + part * (float(self.gain[bought]) - before), float(self.ratio[bought])

    def shares(self, budget: float) -> NDArray[np.float64]:
        """Share of every place under every treatment, (place, arm): at most one place is between two of its options."""
        bought, part = self._bought(budget)
        held = self.start.copy()
        held[self.unit[:bought]] = self.arm[:bought]  # of a place that occurs twice the last step stays
        share = np.zeros((len(held), self.arms))
        (treated,) = np.nonzero(held >= 0)
        share[treated, held[treated]] = 1.0
        if part > 0:
            place, before = self.unit[bought], self.instead[bought]
            if before >= 0:
                share[place, before] = 1.0 - part
            share[place, self.arm[bought]] = part
        return share

    def _bought(self, budget: float) -> tuple[int, float]:
        """How many steps a budget pays for, and the part of the next one."""
        if not budget >= 0:
            raise ArgumentError(f"budget = {budget!r}; give an amount of money of 0 or more")
        bought = int(np.searchsorted(self.spend, budget, side="right"))
        if bought == len(self.spend):
            return bought, 0.0
        before = 0.0 if bought == 0 else float(self.spend[bought - 1])
        return bought, (budget - before) / (float(self.spend[bought]) - before)


def budget_path(reward: NDArray[np.float64], cost: NDArray[np.float64], weight: NDArray[np.float64]) -> BudgetPath:
    """Find the best use of every budget at once.

        max sum_i w_i sum_a r_ia x_ia   over  x_ia >= 0,  sum_a x_ia <= 1,  sum_i w_i sum_a c_ia x_ia <= budget

    Within a place only treatments on the upper concave hull of (cost, reward) from the control at (0, 0) are ever used,
    in the order of their costs; of all hull increments those with the largest reward for their cost are bought first.

    Parameters
    ----------
    reward
        (place, arm), money per unit against the control; -inf where a treatment is not allowed.
    cost
        (arm,) or (place, arm), money per unit more than the control, 0 or more. Treatments of cost 0 are where a place
        begins.
    weight
        (place,), units, above 0.

    Returns
    -------
    BudgetPath
        Steps of equal return are in the order of the places. Exact but for the rounding of sums, which are compensated.

    Raises
    ------
    ArgumentError
        An allowed treatment costs less than the control.

    References
    ----------
    Kellerer, Pferschy and Pisinger (2004), Knapsack problems, chapter 11 (the multiple-choice knapsack problem); Sverdrup,
    Wu, Athey and Wager (2023), Qini curves for multi-armed treatment rules, arXiv:2306.11979.

    Examples
    --------
    >>> import numpy as np
    >>> path = budget_path(np.array([[3.0, 4.0], [1.0, 5.0]]), np.array([1.0, 2.0]), np.ones(2))
    >>> path.spend, path.gain, path.unit, path.arm
    (array([1., 3., 4.]), array([3., 8., 9.]), array([0, 1, 0]), array([0, 1, 1]))
    >>> path.at(2.0)
    (5.5, 2.5)
    """
    reward = np.ascontiguousarray(reward, dtype=np.float64)
    cost = np.ascontiguousarray(np.atleast_2d(cost), dtype=np.float64)
    weight = np.ascontiguousarray(weight, dtype=np.float64)
    refuse_savings(reward, cost)
    start, unit, arm, instead, rise, run, ratio = hull_increments(reward, cost)
    order = np.argsort(-ratio, kind="stable")
    (free,) = np.nonzero(start >= 0)
    begin = float((weight[free] * reward[free, start[free]]).sum())
    return BudgetPath(
        spend=running_total(run, weight, unit, order, 0.0),
        gain=running_total(rise, weight, unit, order, begin),
        unit=unit[order],
        arm=arm[order],
        instead=instead[order],
        ratio=ratio[order],
        start=start,
        begin=begin,
        arms=reward.shape[1],
    )


def refuse_savings(reward: NDArray[np.float64], cost: NDArray[np.float64]) -> None:
    """Refuse allowed treatments that cost less than the control: they would pay for others.

    Raises
    ------
    ArgumentError
        There is one.
    """
    if not (cost < 0).any():
        return
    saves = (cost < 0) & (reward > -np.inf)
    if saves.any():
        place, arm = np.argwhere(saves)[0]
        found = float(np.broadcast_to(cost, reward.shape)[place, arm])
        raise ArgumentError(
            f"treatment {arm} at place {place} costs {found:g} more than the control: an arm that saves money would pay "
            "for others, and a budget needs costs of 0 or more; leave the budget out, or put the saving into the reward "
            "and give a cost of 0"
        )
