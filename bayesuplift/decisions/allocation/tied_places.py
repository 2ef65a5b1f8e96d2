"""Places that the prices of limits leave undecided: a small linear programme completes the allocation."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from bayesuplift.decisions.allocation.limited_choice import LimitedChoice, whole_shares
from bayesuplift.decisions.allocation.linear_programme import TOLERANCE, minimise

_ROUNDING: Final = 1e-12  # of a limit: what decided places may seem to use beyond it
_BITS: Final = 34  # of rewards and costs: as much as 6e-11 of them may be lost
_DUST: Final = 4e-16  # of the units of a group: where one treatment ends and the next begins is known no better


@dataclass(frozen=True, eq=False)
class _Groups:
    """Places with the same rewards and costs, solved for as one of their summed weight."""

    place: NDArray[np.intp]  # (member,)
    of: NDArray[np.intp]  # (member,): the group that a place belongs to
    choice: LimitedChoice  # rewards and costs (group, arm), summed weights (group,), all limits


def complete(
    choice: LimitedChoice, prices: NDArray[np.float64], undecided: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Allocate to the undecided places what the decided ones leave of the limits; None where that has no solution.

    Parameters
    ----------
    choice
        All places, and all limits, each above 0.
    prices
        (limit,): prices at which decided places take what is best for them.
    undecided
        (place,): which places are solved for.

    Returns
    -------
    tuple
        Shares (place, arm), and the prices (limit,) at which the undecided agree with them. At most as many places are
        between two of their options as there are limits: a basic solution has no more, and of a group of equal places the
        first get one treatment until it is used up, the next ones another.
    """
    chosen, _ = choice.choices(prices)
    share = whole_shares(np.where(undecided, -1, chosen), choice.reward.shape[1])
    _, used = choice.totals(share)
    left = choice.limits.amount - used
    groups = _grouped(choice, np.flatnonzero(undecided))
    if (left < -_ROUNDING * choice.limits.amount).any() or not (groups.choice.reward > 0).any():
        return None
    solved = _solved(groups.choice, np.maximum(left, 0.0))
    if solved is None:
        return None
    grouped, agreed = solved
    share[groups.place] = _dealt(groups, grouped, choice.weight[groups.place])
    return share, agreed


def _grouped(choice: LimitedChoice, place: NDArray[np.intp]) -> _Groups:
    """Places whose rewards and costs are equal to some ten digits as one, with their mean.

    Thousands of ties that differ by the order of a sum would stall the simplex.
    """
    arms = choice.reward.shape[1]
    table = np.c_[choice.reward[place], np.broadcast_to(choice.cost, choice.reward.shape)[place]]
    digits, exponent = np.frexp(table)
    kinds, of = np.unique(np.c_[np.round(np.ldexp(digits, _BITS)), exponent], axis=0, return_inverse=True)
    of, units = of.reshape(-1), choice.weight[place]

    def total(value: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(of, weights=value, minlength=len(kinds)).astype(np.float64)

    weight = total(units)
    mean = np.stack([total(units * column) / weight for column in table.T], axis=1)
    return _Groups(place, of, LimitedChoice(mean[:, :arms], mean[:, arms:], weight, choice.limits))


def _solved(choice: LimitedChoice, left: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Shares (group, arm) and prices (limit,) of what is left, by the dual simplex.

    A variable is the units of a group under a treatment, in units of an average group, or of what the scarcest limit is
    enough for; rewards are in parts of the largest, uses of the middle of their range, since the solver drops entries below
    1e-9. Its tolerances are then small against every limit.
    """
    groups, limits = len(choice.weight), len(choice.limits)
    group, arm = np.nonzero(choice.reward > 0)
    reward = choice.reward[group, arm]
    uses = np.array([choice.limits.use(limit, choice.cost)[group, arm] for limit in range(limits)])
    money = reward.max()
    middle = np.array([_middle(use[use > 0]) for use in uses])
    unit = min(choice.weight.mean(), (choice.limits.amount / middle).min())
    limit, variable = np.nonzero(uses)
    rows, columns = np.r_[group, groups + limit], np.r_[np.arange(len(group)), variable]
    entries = np.r_[np.ones(len(group)), uses[limit, variable] / middle[limit]]
    found = minimise(
        -reward / money,
        csr_array((entries, (rows, columns)), shape=(groups + limits, len(group))),
        np.r_[choice.weight, left / middle] / unit,
        (0.0, None),
    )
    if found is None:
        return None
    whole, units = choice.weight[group] / unit, found.variables
    units = np.where(units < TOLERANCE, 0.0, np.where(units > whole - TOLERANCE, whole, units))
    share = np.zeros_like(choice.reward)
    share[group, arm] = units / whole
    share /= np.maximum(share.sum(axis=1, keepdims=True), 1.0)
    return share, found.prices[groups:] * money / middle


def _middle(uses: NDArray[np.float64]) -> float:
    """Geometric mean of the least and the most, 1 of none."""
    return float(np.sqrt(uses.min()) * np.sqrt(uses.max())) if len(uses) else 1.0


def _dealt(groups: _Groups, share: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares of the members, (member, arm), from those of their groups, (group, arm).

    Of a group with several treatments its members, in the order of the places, lie end to end, and so do its units under
    each treatment; a member's share is the overlap.
    """
    dealt = share[groups.of]
    for group in np.flatnonzero(((share > 0) & (share < 1)).any(axis=1)):
        (members,) = np.nonzero(groups.of == group)
        end = np.cumsum(weight[members])[:, None]
        begin = end - weight[members, None]
        until = np.cumsum(share[group]) * groups.choice.weight[group]
        overlap = np.minimum(end, until) - np.maximum(begin, np.r_[0.0, until[:-1]])
        dust = _DUST * float(end[-1, 0])
        part = np.where(overlap >= end - begin - dust, 1.0, overlap / weight[members, None])
        dealt[members] = np.where(overlap <= dust, 0.0, part)
    return dealt
