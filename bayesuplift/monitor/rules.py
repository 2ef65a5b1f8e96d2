"""Which look stops an experiment, and how: one kernel for the live look and for every simulated one."""

from typing import Final, NamedTuple

import numpy as np
from numba import njit

from bayesuplift.monitor.plan import PROMISES, Plan

CONTINUE: Final = -1
"""No decision yet. A code of 0 or more chooses the arm in that place; the control is in place 0."""
EQUIVALENT: Final = -2
EQUIVALENT_ABOVE: Final = 0.95
"""P(all arms within the ROPE of the best) from which arms are equivalent."""

_CALIBRATED: Final = PROMISES.index("calibrated")
_ANYTIME: Final = PROMISES.index("anytime")
_PAIR: Final = 2
_DECISION: Final = PROMISES.index("decision")


class Bars(NamedTuple):
    """Numbers that a look is held against.

    Attributes
    ----------
    promise
        Place of the promise in `PROMISES`.
    threshold
        Of the evidence ("calibrated"), or of the log e-value ("anytime").
    least_contrary
        What contrary evidence must reach beside the threshold, which may be next to nothing where another gate keeps error
        rates down.
    relative_loss, control_loss, minimum_days, minimum_units
        As in the plan's rule.
    equivalence
        P(all arms equivalent) that ends the experiment; above 1 without a ROPE.
    """

    promise: int
    threshold: float
    least_contrary: float
    relative_loss: float
    control_loss: float
    minimum_days: float
    minimum_units: float
    equivalence: float


def bars_of(plan: Plan, threshold: float | None = None) -> Bars:
    """The bars of a plan.

    Parameters
    ----------
    plan
        The plan.
    threshold
        Of "calibrated", the simulated threshold of evidence; that of the other promises follows from the plan:
        log((K - 1) / alpha) for e-values of K - 1 treatments (Bonferroni), and none for "decision".
    """
    rule = plan.rule
    if rule.promise == "anytime":
        threshold = float(np.log(len(plan.design.treatments) / rule.alpha))
    elif rule.promise == "decision":
        threshold = -np.inf
    assert threshold is not None
    return Bars(
        promise=PROMISES.index(rule.promise),
        threshold=threshold,
        least_contrary=float(np.log((1.0 - rule.alpha) / rule.alpha)) if rule.promise == "calibrated" else -np.inf,
        relative_loss=rule.relative_loss,
        control_loss=rule.control_loss,
        minimum_days=rule.minimum_days,
        minimum_units=float(rule.minimum_units),
        equivalence=2.0 if rule.rope is None else EQUIVALENT_ABOVE,
    )


@njit(cache=True, nogil=True)
def decide(  # noqa: PLR0917 -- numba takes no keywords
    bars: Bars,
    evidence: np.ndarray,
    contrary: np.ndarray,
    loss: np.ndarray,
    prob_equivalent: float,
    days: float,
    units: float,
    last: bool,
) -> int:
    """The code of one look.

    Parameters
    ----------
    bars
        What it is held against.
    evidence, contrary
        (arm,) for and against every treatment: log Bayes factors of benefit ("calibrated", where contrary is the same with
        its sign turned), or log e-values of benefit and of harm ("anytime").
    loss
        (arm,) relative expected losses.
    prob_equivalent
        P(all arms equivalent).
    days, units
        Since the start.
    last
        Whether it is the last declared look, of "calibrated".

    Notes
    -----
    In this order: the treatment of least loss among those with the evidence, if days, units and its loss allow ("anytime"
    asks for no loss, nor does the last look of "calibrated" where there are several treatments); the control on contrary
    evidence against every treatment, on any day ("calibrated": odds of (1 - alpha) to alpha at least); the control if its
    own loss is small, after the minimum days; equivalence, after the minimum days; the control at the last look of
    "calibrated".
    """
    arms = loss.size
    old_enough = days >= bars.minimum_days
    best = -1
    against = bars.promise != _DECISION
    bar_against = max(bars.threshold, bars.least_contrary)
    for a in range(1, arms):
        if evidence[a] >= bars.threshold and (best < 0 or loss[a] < loss[best]):
            best = a
        against = against and contrary[a] >= bar_against
    ripe = old_enough and units >= bars.minimum_units
    # Several good treatments keep each other's losses up: at the last look the best of them is better than none.
    spared = bars.promise == _ANYTIME or (bars.promise == _CALIBRATED and last and arms > _PAIR)
    if best > 0 and ripe and (spared or loss[best] <= bars.relative_loss):
        return best
    if against:
        return 0
    if old_enough and loss[0] <= bars.control_loss:
        return 0
    if old_enough and prob_equivalent >= bars.equivalence:
        return EQUIVALENT
    if last and bars.promise == _CALIBRATED:
        return 0
    return CONTINUE


@njit(cache=True, nogil=True)
def first_stops(  # noqa: PLR0917 -- the same
    bars: Bars,
    thresholds: np.ndarray,
    evidence: np.ndarray,
    contrary: np.ndarray,
    loss: np.ndarray,
    prob_equivalent: np.ndarray,
    days: np.ndarray,
    units: np.ndarray,
    look: np.ndarray,
    code: np.ndarray,
) -> None:
    """Fill look[i] and code[i] with each experiment's first decision; the number of looks and CONTINUE where none falls.

    Parameters
    ----------
    bars
        What looks are held against, but for the threshold.
    thresholds
        (look,) thresholds, which may differ where a deviation made it necessary.
    evidence, contrary, loss
        (experiment, look, arm).
    prob_equivalent
        (experiment, look).
    days, units
        (look,) since the start.
    look, code
        (experiment,), filled.
    """
    looks = units.size
    for i in range(look.size):
        look[i] = looks
        code[i] = CONTINUE
        for k in range(looks):
            held = Bars(
                bars.promise,
                thresholds[k],
                bars.least_contrary,
                bars.relative_loss,
                bars.control_loss,
                bars.minimum_days,
                bars.minimum_units,
                bars.equivalence,
            )
            found = decide(
                held,
                evidence[i, k],
                contrary[i, k],
                loss[i, k],
                prob_equivalent[i, k],
                days[k],
                units[k],
                k == looks - 1,
            )
            if found != CONTINUE:
                look[i] = k
                code[i] = found
                break
