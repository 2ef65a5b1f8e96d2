"""What deciding after a test earns: its outcomes are simulated, and a rule that sees nothing else chooses the arm."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from bayesuplift.decisions.information.planned_test import Counts, PlannedTest

_SIMULATED: Final = 2**17  # outcomes of a test, over all draws
_ALIKE: Final = 1e-9  # standard deviations within which two predictions are one: a count's, summed in another order

Values = NDArray[np.float64]


def worth_of_tests(
    test: PlannedTest, sizes: Sequence[int], *, means: Values, gain: Values, now: int, generator: np.random.Generator
) -> Values:
    """What deciding after tests of rising sizes earns more than deciding now, each test holding the units of the last.

    Of every draw a few tests are simulated. The gain g_a of each arm is predicted from the observed averages x, once by the
    best linear prediction

        mean(g_a) + Cov(g_a, x) Var(x)^-1 (x - mean(x)),     Var(x) = Var(mu) + diag(E[sd_a^2] / n_a),

    and once by the isotonic regression of the draws' gains on that. The arm of the highest prediction is chosen, and earns
    what the draw says that it earns: so the value is that of a rule which can be followed, and a lower bound of that of the
    best one. Of both rules, and of heeding the smaller test only, or none, the best counts.

    Parameters
    ----------
    test
        Whose outcomes are simulated.
    sizes
        Units in each arm, rising.
    means, gain
        Mean outcomes, and net gains per unit against the control's, of every draw, (draw, arm).
    now
        Position of the arm that would be chosen now.
    generator
        Of the outcomes.

    Returns
    -------
    numpy.ndarray
        Means over the outcomes of each test if this draw is the truth, (size, draw), money per unit. Their means over the
        draws are the values of the tests, and their spread tells the error: that of the rule's choice, which is near its
        best, is of second order.

    Notes
    -----
    The linear prediction is the posterior mean itself under normal and under independent conjugate posteriors (Diaconis and
    Ylvisaker, 1979, Conjugate priors for exponential families, Annals of Statistics 7, section 2); elsewhere, as where most
    effects are nil and few are large, the second rule bends it. Regressing gains on simulated summaries is the way of
    Strong, Oakley, Brennan and Breeze (2015), Estimating the expected value of sample information using the probabilistic
    sensitivity analysis sample, Medical Decision Making 35; scoring the decision by the draw's own gain instead of the
    fitted one keeps an overfitted regression from promising too much.
    """
    draws = len(means)
    replicates = max(_SIMULATED // draws, 1)
    variance = (means * (1.0 - means)).mean(axis=0) if test.sd is None else test.sd**2
    truth = np.broadcast_to(means[:, None, :], (draws, replicates, means.shape[1]))
    earned = gain - gain[:, [now]]
    totals, before = np.zeros(truth.shape), np.zeros(means.shape[1], dtype=np.int64)
    worth = np.empty((len(sizes), draws))
    heeded = np.zeros(draws)  # whoever may pay a test, or a part of it, no heed loses nothing by it
    for place, size in enumerate(sizes):
        units = test.units(size)
        totals = totals + test.totals(truth, units - before, generator)
        before = units
        linear = _linear(means, gain, units, totals, variance)
        bent = np.stack([_bent(linear[..., k], gain[:, k]) for k in range(gain.shape[1])], axis=-1)
        rules = [heeded, *(_followed(predicted, earned) for predicted in (linear, bent))]
        heeded = max(rules, key=lambda rule: float(rule.mean()))
        worth[place] = heeded
    return worth


def _followed(predicted: Values, earned: Values) -> Values:
    """What choosing the highest prediction (draw, replicate, arm) earns more than deciding now, (draw,)."""
    return np.take_along_axis(earned, predicted.argmax(axis=-1), axis=1).mean(axis=1)


def _linear(means: Values, gain: Values, units: Counts, totals: Values, variance: Values) -> Values:
    """Best linear prediction of every arm's gain from the averages of the tested arms, (draw, replicate, arm)."""
    tested = np.flatnonzero(units)
    seen = totals[..., tested] / units[tested]
    middle = means[:, tested].mean(axis=0)
    apart = means[:, tested] - middle
    spread = apart.T @ apart / (len(means) - 1) + np.diag(variance[tested] / units[tested])
    with_gain = apart.T @ (gain - gain.mean(axis=0)) / (len(means) - 1)
    # an arm whose outcome is 0 in every draw and unit has no spread at all
    slope = np.linalg.pinv(spread, hermitian=True) @ with_gain
    return gain.mean(axis=0) + (seen - middle) @ slope


def _bent(predicted: Values, gain: Values) -> Values:
    """Isotonic regression of the draws' gains (draw,) on their predictions, (draw, replicate)."""
    scale = _ALIKE * float(predicted.std())
    if scale == 0.0:
        return np.full(predicted.shape, gain.mean())
    keys = np.round((predicted - predicted.mean()) / scale).ravel()
    _, place, count = np.unique(keys, return_inverse=True, return_counts=True)
    total = np.bincount(place, weights=np.repeat(gain, predicted.shape[1]), minlength=len(count))
    fitted = isotonic_regression(total / count, weights=count.astype(np.float64)).x
    return np.asarray(fitted[place]).reshape(predicted.shape)
