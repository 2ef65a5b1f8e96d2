"""Shares of the next batch from P(best): Thompson and top-two, in closed form, without draws or seeds."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesuplift.errors import ArgumentError, is_finite_number

Array = NDArray[np.float64]

_SUM_ERROR = 1e-6  # an integrated P(best) sums to 1 far better; what does not is no P(best)
_FEWEST_ARMS = 2


def thompson_weights(prob_best: ArrayLike, *, at_least: float = 0.0) -> Array:
    """Shares (..., arm) w_i = P_i: every arm as often as it is the best, which is what Thompson sampling draws.

    Parameters
    ----------
    prob_best
        P(best) (..., arm), in [0, 1] and summing to 1.
    at_least
        Share that every arm keeps, at most 1 / arms: arms below it are brought to it, the others share the rest in their
        proportions.

    Raises
    ------
    ArgumentError
        `prob_best` is no probability over arms, or `at_least` more than all arms can have.

    References
    ----------
    Thompson, W. R. (1933). On the likelihood that one unknown probability exceeds another. Biometrika 25, 285-294.

    Examples
    --------
    >>> thompson_weights([0.01, 0.19, 0.8], at_least=0.1).round(4).tolist()
    [0.1, 0.1727, 0.7273]
    """
    return _with_floor(_probabilities(prob_best), at_least)


def top_two_weights(prob_best: ArrayLike, beta: float = 0.5, *, at_least: float = 0.0) -> Array:
    """Shares (..., arm) of top-two Thompson sampling: the leader with probability beta, else a challenger.

    w_i = P_i (beta + (1 - beta) sum_{j != i} P_j / (1 - P_j)).

    1 - P_j is summed from the other arms' probabilities, so that challengers of a leader with P = 1 to the last digit still
    share by theirs. Where these are 0 as well, the limit depends on how they went there; the challengers share 1 - beta
    equally, which is the limit where they are alike.

    Parameters
    ----------
    prob_best
        P(best) (..., arm), in [0, 1] and summing to 1.
    beta
        Share for the leader, in (0, 1].
    at_least
        Share that every arm keeps, as in `thompson_weights`.

    Raises
    ------
    ArgumentError
        `prob_best` is no probability over arms, `beta` out of its range, or `at_least` more than all arms can have.

    References
    ----------
    Russo, D. (2020). Simple Bayesian algorithms for best-arm identification. Operations Research 68, 1625-1647: top-two
    Thompson sampling.

    Examples
    --------
    >>> top_two_weights([0.1, 0.2, 0.7]).round(4).tolist()
    [0.1792, 0.3444, 0.4764]
    """
    if not is_finite_number(beta) or not 0.0 < beta <= 1.0:
        raise ArgumentError(f"beta = {beta!r}; give the leader's share, above 0 and at most 1")
    best = _probabilities(prob_best)
    arms = best.shape[-1]
    others = _sum_of_others(best)
    certain = others == 0.0
    weights = beta * best
    for leader in range(arms):
        rivals = np.where(np.arange(arms) == leader, 0.0, best)
        # their shares first: these are at most 1, where P_j / (1 - P_j) may be beyond every float
        follow = rivals / np.where(certain, 1.0, others)[..., leader, None]
        weights = weights + (1.0 - beta) * best[..., leader, None] * follow
    limit = np.where(certain, beta, (1.0 - beta) / (arms - 1))
    return _with_floor(np.where(certain.any(axis=-1, keepdims=True), limit, weights), at_least)


def _probabilities(prob_best: ArrayLike) -> Array:
    """P(best) as floats whose sum is 1 to rounding."""
    best = np.asarray(prob_best, dtype=np.float64)
    if best.ndim == 0 or best.shape[-1] < _FEWEST_ARMS:
        raise ArgumentError(f"prob_best has shape {best.shape}; expected (..., arm) with at least two arms")
    sums = _sum_of_others(best)[..., 0] + best[..., 0]
    bad = ~((best >= 0.0).all(axis=-1) & (np.abs(sums - 1.0) <= _SUM_ERROR))  # NaN compares as False, and is refused
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ArgumentError(
            f"prob_best at {int(bad.sum())} place(s), first {place}: {best[place].tolist()}; expected probabilities from 0 "
            "that sum to 1"
        )
    return np.asarray(best / sums[..., None], dtype=np.float64)


def _sum_of_others(values: Array) -> Array:
    """Sum over all arms but one, for each (..., arm), without taking anything away from a total."""
    before, after = np.zeros(values.shape), np.zeros(values.shape)
    arms = values.shape[-1]
    for arm in range(1, arms):
        before[..., arm] = before[..., arm - 1] + values[..., arm - 1]
        after[..., arms - 1 - arm] = after[..., arms - arm] + values[..., arms - arm]
    return before + after


def _with_floor(weights: Array, at_least: float) -> Array:
    """Bring shares below the floor to it, and let the others keep their proportions."""
    arms = weights.shape[-1]
    if not is_finite_number(at_least) or not 0.0 <= at_least * arms <= 1.0:
        raise ArgumentError(
            f"at_least = {at_least!r}; give a share from 0 to 1 / {arms}, the most that {arms} arms can all have"
        )
    held = np.zeros(weights.shape, dtype=np.bool_)
    result = weights
    for _ in range(arms):  # scaling down can bring another arm below; each pass holds one more arm or is the last
        below = ~held & (result < at_least)
        if not below.any():
            break
        held |= below
        left = np.where(held, 0.0, weights)
        free = _sum_of_others(left)[..., :1] + left[..., :1]
        rest = 1.0 - at_least * held.sum(axis=-1, keepdims=True)
        scaled = weights * (rest / np.where(free > 0.0, free, 1.0))
        result = np.where(held, at_least, scaled)
    return result
