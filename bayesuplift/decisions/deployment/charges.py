"""What limits charge a unit for each treatment: the prices of a policy as thresholds of its scores."""

import numpy as np
from numpy.typing import NDArray

from bayesuplift.decisions.allocation.linear_programme import minimise
from bayesuplift.decisions.targeting.limits import AtMost
from bayesuplift.decisions.targeting.policy import Policy
from bayesuplift.dims import ARM

Values = NDArray[np.float64]


def charges(policy: Policy) -> tuple[Values, tuple[str, ...]]:
    """What the score of each treatment has to exceed (treatment,), and the treatments that a limit of 0 closes.

        threshold_a = p_budget (cost_a - cost_0) + p_cap + p_a

    of the limits' prices p, money per money and money per unit. Between the last unit that is treated and the first that is
    not, any price is one; taken are those in the middle, so that rounding turns neither of the two over.

    Parameters
    ----------
    policy
        Over units.
    """
    treatments = [str(arm) for arm in policy.share[ARM].to_numpy() if arm != policy.control]
    if policy.rule is None or policy.prices is None:
        return np.zeros(len(treatments)), ()
    more = np.zeros(len(treatments))
    if policy.economics is not None:
        costs = policy.economics.costs([*treatments, policy.control], policy.control)
        more = (costs.sel({ARM: treatments}) - float(costs.sel({ARM: policy.control}))).to_numpy()
    closed = np.full(len(treatments), policy.rule.budget == 0) & (more > 0)
    for limit in policy.rule.limits:
        if isinstance(limit, AtMost) and 0 in (limit.share, limit.units):
            closed |= np.array([limit.arm in (None, arm) for arm in treatments])
    price = np.r_[policy.prices.budget, policy.prices.cap, policy.prices.caps]
    use = np.vstack([more, np.ones(len(treatments)), np.eye(len(treatments))])  # (limit, treatment)
    binding = price != 0
    charged = (price[:, None] * use)[binding]
    # a limit makes treating dearer, never cheaper; but a share that is to be filled is filled at a loss, too
    least = np.r_[0.0, 0.0 if policy.rule.fills is None else -np.inf, np.zeros(len(treatments))]
    middle = _middle(policy, treatments, charged, closed, least[binding])
    return middle @ charged, tuple(np.array(treatments, dtype=object)[closed].tolist())


def _middle(policy: Policy, treatments: list[str], charged: Values, closed: NDArray[np.bool_], least: Values) -> Values:
    """By how much to multiply each price (limit,) to stand in the middle of those at which units choose what they have.

    Units with arm k want no arm j at prices q where, of what limits charge c and the control for nothing,

        sum_l q_l (c_lk - c_lj) <= D_kj = min_i s_ik - s_ij     over units i with arm k

    and the middle is the centre of the largest ball within (Boyd and Vandenberghe, 2004, Convex Optimization, section
    4.3.1). Where there is no such ball, or none that is largest, prices stay as they are.
    """
    assert policy.score is not None, "a rule's policy has scores"
    stay = np.ones(len(charged))
    if not len(charged):
        return stay
    score = policy.score.sel({ARM: [policy.control, *treatments]}).to_numpy()
    score = np.where(np.r_[False, closed], -np.inf, score)
    chosen = policy.share.sel({ARM: [policy.control, *treatments]}).to_numpy().argmax(axis=1)
    cost = np.c_[np.zeros(len(charged)), charged]
    rows, bounds = [], []
    for k in np.unique(chosen):
        of_k = score[chosen == k]
        rows.append((cost[:, [k]] - cost).T)
        bounds.append((of_k[:, [k]] - of_k).min(axis=0))
    row, bound = np.concatenate(rows), np.concatenate(bounds)
    told = (row != 0).any(axis=1) & np.isfinite(bound)
    size = np.linalg.norm(row[told], axis=1)
    away = (bound[told] - row[told].sum(axis=1)) / size  # of each bound from the prices as they are
    if not (away > 0).any():
        return stay
    unit = away[away > 0].min()  # of a million units the next may be so near that a solver's tolerance would hide it
    found = minimise(
        np.r_[np.zeros(len(stay)), -1.0],
        np.c_[row[told] / size[:, None], np.ones(len(size))],
        away / unit,
        np.c_[np.r_[(least - 1.0) / unit, 0.0], np.full(len(stay) + 1, np.inf)],
    )
    if found is None or found.variables[-1] <= 0:
        return stay
    return 1.0 + unit * found.variables[:-1]
