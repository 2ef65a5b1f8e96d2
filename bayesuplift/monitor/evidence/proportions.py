"""Evidence from binary outcomes: an e-process for two rates that is exact whatever the common rate, now and later."""

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from bayesuplift.errors import ArgumentError
from bayesuplift.monitor.evidence.checks import (
    check_control,
    check_sign,
    refuse_where,
    share_of_treatment,
    shares_of,
    statistics_of,
)

Array = NDArray[np.float64]

BASELINE_STEPS: Final = (-1.5, -0.75, 0.0, 0.75, 1.5)
"""Logits from the declared baseline to the nodes of the mixture; their weights are those of a normal of sd 0.9.

A pair's factors depend on the difference of its rates far more than on where both lie: a declared baseline that is several
times too high costs some power, and a few nodes win part of it back; no node costs validity."""

_BASELINE_SD = 0.9
_LARGEST_EFFECT = 10.0  # odds 22,000 times as large: beyond, a rate's complement loses its digits
_SUM_ROUNDING = 1e-9
_BELOW_ROUNDING = -45.0  # exp of it is a thousandth of the last digit of 1, for any number of nodes we use


def log_e_proportions(
    n: ArrayLike,
    total: ArrayLike,
    *,
    control: int,
    split: ArrayLike,
    baseline: float,
    effects: ArrayLike,
    weights: ArrayLike,
    sign: float = 1.0,
) -> Array:
    """Log e-values (..., arm) of benefit of every treatment against the control; 0 for the control.

    For a pair of rates (p_0, p_a) with log odds ratio sign * e, and p = w_0 p_0 + w_a p_a, a unit of arm j in {0, a} with
    outcome y multiplies the evidence by

        f_j(y) = (p_j / p)^y ((1 - p_j) / (1 - p))^(1 - y),

    units of other arms by 1; the evidence is the mean over a grid of pairs. w_a = split_a / (split_a + split_0). Under
    rates theta_0 and theta_a, with units dealt by the split,

        E[factor] = 1 + w_a (theta_a - theta_0) (p_a - p) / (p (1 - p)),

    which is 1 where the treatment changes nothing, at any theta and however theta moves with time, and at most 1 where it
    does harm: a supermartingale, so that P(ever >= 1 / alpha) <= alpha (Ville). It depends on cumulative counts only.

    Parameters
    ----------
    n, total
        Units and successes (..., arm), cumulative.
    control
        Position of the control.
    split
        Intended shares (arm,), by which units are dealt at random.
    baseline
        The control's rate as declared beforehand, in (0, 1): being wrong costs power, never validity.
    effects, weights
        Log odds ratios in the favourable direction (effect,), above 0, and their weights, which sum to 1.
    sign
        1 where higher is better, -1 where lower is. For evidence of harm, turn it.

    Raises
    ------
    ArgumentError
        Counts that are none, or an argument out of its range.

    References
    ----------
    Turner, R., Ly, A. and Gruenwald, P. (2024). Generic E-variables for exact sequential k-sample tests that allow for
    optional stopping. Journal of Statistical Planning and Inference 230, 106116: the e-variable of two Bernoulli streams,
    there for blocks of fixed sizes, here for single units dealt at random.

    Examples
    --------
    >>> log_e = log_e_proportions(
    ...     [5000, 5000], [250, 340], control=0, split=[0.5, 0.5], baseline=0.05, effects=[0.1, 0.2], weights=[0.5, 0.5]
    ... )
    >>> log_e.round(1).tolist()
    [0.0, 5.5]
    """
    n, total = statistics_of(n=n, total=total)
    refuse_where((n < 0) | (n != np.floor(n)), n, "n is not a whole number from 0")
    refuse_where(
        (total < 0) | (total > n) | (total != np.floor(total)), total, "total is not a whole number from 0 to n"
    )
    arms = n.shape[-1]
    check_control(control, arms)
    check_sign(sign)
    if not 0.0 < baseline < 1.0:
        raise ArgumentError(f"baseline = {baseline!r}; give a rate between 0 and 1")
    shares = share_of_treatment(shares_of(split, arms), control)
    nodes, log_weight = _checked_effects(effects, weights)
    table, log_weights = _table(baseline, sign * nodes, log_weight, shares)
    counts = np.stack([n, total], axis=-1).reshape(-1, arms, 2)
    result = np.empty(counts.shape[:2])
    _fill(counts, int(control), table, log_weights, result)
    return result.reshape(n.shape)


def _checked_effects(effects: ArrayLike, weights: ArrayLike) -> tuple[Array, Array]:
    """Effects and log weights of those that have any."""
    nodes, mass = np.asarray(effects, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if nodes.ndim != 1 or nodes.size == 0 or not ((nodes > 0.0) & (nodes <= _LARGEST_EFFECT)).all():
        raise ArgumentError(
            f"effects = {nodes.tolist()}; give log odds ratios in the favourable direction, above 0 and at most "
            f"{_LARGEST_EFFECT:g}; the direction is given by sign"
        )
    if mass.shape != nodes.shape or not (mass >= 0.0).all() or abs(float(mass.sum()) - 1.0) > _SUM_ROUNDING:
        raise ArgumentError(f"weights = {mass.tolist()}; expected {nodes.size} weights from 0 that sum to 1")
    kept = mass > 0.0
    return nodes[kept], np.log(mass[kept] / mass.sum())


def _table(baseline: float, effects: Array, log_weight: Array, share: Array) -> tuple[Array, Array]:
    """Log factors (arm, 4, node) of a control's success and failure and a treatment's, and the nodes' log weights.

    With d = p_a - p_0 = p_0 (1 - p_0) g / (1 + p_0 g), g = exp(effect) - 1, every factor is 1 + a ratio of d: small
    effects keep their digits.
    """
    steps = np.array(BASELINE_STEPS)
    log_mass = -0.5 * (steps / _BASELINE_SD) ** 2
    log_mass -= np.log(np.exp(log_mass).sum())
    p0, q0 = (expit(x)[None, :, None] for x in (logit(baseline) + steps, -logit(baseline) - steps))
    gained = np.expm1(effects)[None, None, :]
    apart = p0 * q0 * gained / (1.0 + p0 * gained)
    to_treatment, to_control = share[:, None, None], 1.0 - share[:, None, None]
    p, q = p0 + to_treatment * apart, q0 - to_treatment * apart
    factors = (
        -np.log1p(to_treatment * apart / p0),
        -np.log1p(-to_treatment * apart / q0),
        np.log1p(to_control * apart / p),
        np.log1p(-to_control * apart / q),
    )
    table = np.stack([factor.reshape(share.size, -1) for factor in factors], axis=1)
    return np.ascontiguousarray(table), (log_mass[:, None] + log_weight[None, :]).ravel()


@njit(cache=True, nogil=True)
def _fill(counts: np.ndarray, control: int, table: np.ndarray, log_weights: np.ndarray, out: np.ndarray) -> None:
    """Log of the mean of the nodes' products, (row, arm), from counts (row, arm, [units, successes])."""
    nodes = log_weights.size
    log_products = np.empty(nodes)
    for row in range(counts.shape[0]):
        control_hits = counts[row, control, 1]
        control_misses = counts[row, control, 0] - control_hits
        for arm in range(counts.shape[1]):
            hits = counts[row, arm, 1]
            misses = counts[row, arm, 0] - hits
            # without units the mean is 1, where the weights' logs would give it to rounding only
            if arm == control or hits + misses + control_hits + control_misses == 0.0:
                out[row, arm] = 0.0
                continue
            largest = -np.inf
            for k in range(nodes):
                log_products[k] = log_weights[k] + (
                    (control_hits * table[arm, 0, k] + control_misses * table[arm, 1, k])
                    + (hits * table[arm, 2, k] + misses * table[arm, 3, k])
                )
                largest = max(largest, log_products[k])
            mass = 0.0
            for k in range(nodes):
                gap = log_products[k] - largest
                if gap > _BELOW_ROUNDING:
                    mass += np.exp(gap)
            out[row, arm] = largest + np.log(mass)
