"""An allocation for units that cannot be divided: parts of them become whole options, and what that costs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesuplift.decisions.allocation.allocate import KEPT_TO, Allocation
from bayesuplift.decisions.allocation.limited_choice import posed


@dataclass(frozen=True, eq=False)
class WholeAllocation:
    """An allocation that gives every place one treatment, or the control.

    Parameters
    ----------
    share
        (place, arm), 0 or 1.
    gain
        Money gained over the control by everybody.
    lost
        Money, less than the allocation in parts gains: no allocation of whole places gains more than this on top.
    """

    share: NDArray[np.float64]
    gain: float
    lost: float


def whole(
    allocation: Allocation,
    reward: NDArray[np.float64],
    cost: NDArray[np.float64],
    weight: NDArray[np.float64],
    *,
    budget: float | None = None,
    cap: float | None = None,
    caps: NDArray[np.float64] | None = None,
) -> WholeAllocation:
    """Give each place that is between two options the best one that the limits still allow.

    The place with most at stake chooses first. All other places keep what they have, so that the loss is at most what the
    few divided places gain.

    Parameters
    ----------
    allocation
        Of `allocate`, with the same arguments.
    reward, cost, weight, budget, cap, caps
        As there.
    """
    choice, _ = posed(reward, cost, weight, budget=budget, cap=cap, caps=caps)
    limits, share = choice.limits, allocation.share.copy()
    (divided,) = np.nonzero(((share > 0) & (share < 1)).any(axis=1))
    part = share[divided]
    stake = choice.weight[divided] * (part * np.where(part > 0, choice.reward[divided], 0.0)).sum(axis=1)
    share[divided] = 0.0
    _, used = choice.totals(share)
    left = limits.amount * (1.0 + KEPT_TO) - used
    uses = [np.broadcast_to(limits.use(limit, choice.cost), share.shape) for limit in range(len(limits))]
    for place in divided[np.argsort(-stake, kind="stable")]:
        needs = choice.weight[place] * np.array([use[place] for use in uses])
        worth = np.where((needs <= left[:, None]).all(axis=0), choice.reward[place], -np.inf)
        arm = int(worth.argmax())
        if worth[arm] > 0:
            share[place, arm] = 1.0
            left -= needs[:, arm]
    gain, _ = choice.totals(share)
    return WholeAllocation(share, gain, allocation.bound - gain)
