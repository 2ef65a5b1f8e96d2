"""Simulated experiments: cumulative statistics at every look, as the plan's units would arrive."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from bayesuplift.errors import ArgumentError, PlanError, is_finite_number
from bayesuplift.monitor.operating.sums import amount_sums, count_sums, ladder_of
from bayesuplift.monitor.plan import Metric, Plan
from bayesuplift.monitor.schedule import Look

Values = NDArray[np.float64]
Statistics = tuple[Values, Values, Values]

_POISSON_WITHIN: Final = 0.01  # relative: a variance this near to the mean was rounded, and is Poisson's


def draw(
    plan: Plan,
    looks: Sequence[Look],
    relative_effects: ArrayLike,
    generator: np.random.Generator,
    *,
    baseline: float | None = None,
) -> Statistics:
    """Cumulative statistics of simulated experiments.

    Parameters
    ----------
    plan
        Of which the arms, the split and the metric are taken.
    looks
        When they are looked at, in order.
    relative_effects
        (..., arm) true mean of the arm over the control's, less 1; of a continuous outcome their difference as a share of
        the plan's baseline. 0 for the control.
    generator
        NumPy's.
    baseline
        True mean of the control, where it is not the plan's.

    Returns
    -------
    n, total, squares
        (..., look, arm) units, sums of outcomes and of their squares, outcome units.

    Notes
    -----
    The units of every look are dealt to the arms at random, by the intended split. Their outcomes are

    - binary: Bernoulli;
    - continuous: normal of the plan's sd;
    - count: Poisson where the plan's sd^2 is its baseline (within 1%), else negative binomial whose size gives that sd at
      the plan's baseline and stays: an effect moves mean and variance;
    - revenue: 0, or with the plan's share of buyers a log-normal amount that gives the plan's baseline and sd. An effect,
      and another baseline, multiply the amounts and leave the share of buyers as it is.

    All are exactly distributed but for revenue at more than 256 buyers a look and arm: see `amount_sums`.

    Raises
    ------
    ArgumentError
        An effect that leaves no mean that the outcome can have, or that the control is given, or looks out of order.
    PlanError
        A count whose sd is below Poisson's.
    """
    metric, effects = plan.metric, np.asarray(relative_effects, dtype=np.float64)
    means = _means(metric, plan.design.arms, effects, metric.baseline if baseline is None else baseline)
    arriving = np.diff([0, *(look.units for look in looks)])
    if arriving.size == 0 or (arriving < 0).any():
        raise ArgumentError(f"looks at {[look.units for look in looks]} units; give at least one, in order")
    n = generator.multinomial(arriving, plan.split, size=(*effects.shape[:-1], arriving.size))
    total, squares = _outcomes(metric, n, np.broadcast_to(means[..., None, :], n.shape), generator)
    each = n.astype(np.float64), total, squares
    n_so_far, total_so_far, squares_so_far = (np.cumsum(one, axis=-2) for one in each)
    return n_so_far, total_so_far, squares_so_far


def effects_of_prior(
    plan: Plan, generator: np.random.Generator, experiments: int, *, baseline: float | None = None
) -> Values:
    """Relative effects (experiment, arm) drawn from the plan's prior; 0 for the control.

    Raises
    ------
    PlanError
        The prior is flat.
    """
    law, metric = plan.prior, plan.metric
    if law is None:
        raise PlanError("effects cannot be drawn from a flat prior; state a prior in the plan")
    mean = metric.baseline if baseline is None else baseline
    component = generator.choice(law.weights.size, size=experiments, p=law.weights)[:, None]
    shape = (experiments, len(plan.design.treatments))
    effect = law.means[component] + law.sds[component] * generator.standard_normal(shape)
    relative = np.zeros((experiments, len(plan.design.arms)))
    if metric.kind == "binary":
        relative[:, 1:] = expit(logit(mean) + effect) / mean - 1.0
    elif metric.kind == "continuous":
        relative[:, 1:] = effect / abs(metric.baseline)
    else:
        relative[:, 1:] = np.expm1(effect)
    return relative


def gains(plan: Plan, relative_effects: Values) -> Values:
    """Net relative gains (..., arm): effects in the better direction, less what pays for the arm."""
    return plan.metric.sign * relative_effects - plan.breakeven


def _means(metric: Metric, arms: tuple[str, ...], effects: Values, baseline: float) -> Values:
    """Mean outcomes (..., arm), checked."""
    if effects.ndim == 0 or effects.shape[-1] != len(arms) or not np.isfinite(effects).all() or effects[..., 0].any():
        raise ArgumentError(
            f"relative_effects of shape {effects.shape}; give a finite number for each of {len(arms)} arms, 0 for "
            "the control"
        )
    if not is_finite_number(baseline):
        raise ArgumentError(f"baseline = {baseline!r}; give a number")
    if metric.kind == "continuous":
        return np.asarray(baseline + effects * abs(metric.baseline))
    means = np.asarray(baseline * (1.0 + effects))
    highest = 1.0 if metric.kind == "binary" else math.inf
    wrong = (means <= 0.0) | (means >= highest)
    if wrong.any():
        bound = "between 0 and 1" if metric.kind == "binary" else "above 0"
        worst = float(effects[wrong][0])
        raise ArgumentError(
            f"a relative effect of {worst:+.3g} on {baseline:g} gives {metric.name} a mean of {means[wrong][0]:g}; "
            f"expected one {bound}"
        )
    return means


def _outcomes(
    metric: Metric, n: NDArray[np.int64], means: Values, generator: np.random.Generator
) -> tuple[Values, Values]:
    """Sums, and sums of squares, over n units of such means."""
    if metric.kind == "binary":
        total = generator.binomial(n, means).astype(np.float64)
        return total, total
    assert metric.sd is not None
    if metric.kind == "continuous":
        # The mean of normal outcomes and their squared deviations are independent, the latter chi-square of n - 1.
        total = n * means + metric.sd * np.sqrt(n) * generator.standard_normal(n.shape)
        apart = 2.0 * metric.sd**2 * generator.standard_gamma(0.5 * np.maximum(n - 1, 0))
        return total, apart + total**2 / np.maximum(n, 1)
    total, squares = np.empty(n.shape), np.empty(n.shape)
    if metric.kind == "count":
        mean = np.ascontiguousarray(means).ravel()
        count_sums(generator, n.ravel(), mean, _size(metric), total.ravel(), squares.ravel())
        return total, squares
    assert metric.buyers is not None
    spread = math.sqrt(math.log(metric.buyers * (1.0 + (metric.sd / metric.baseline) ** 2)))
    buyers = generator.binomial(n, metric.buyers)
    amount_sums(generator, buyers.ravel(), spread, ladder_of(spread), total.ravel(), squares.ravel())
    amount = means / metric.buyers
    return total * amount, squares * amount**2


def _size(metric: Metric) -> float:
    """Size of the negative binomial that has the plan's sd at its baseline; infinite for Poisson's."""
    assert metric.sd is not None
    beyond = metric.sd**2 - metric.baseline
    if abs(beyond) <= _POISSON_WITHIN * metric.baseline:
        return math.inf
    if beyond < 0.0:
        raise PlanError(
            f"metric {metric.name!r}: sd = {metric.sd:g} is below that of a Poisson count of mean {metric.baseline:g} "
            f"({math.sqrt(metric.baseline):.4g}), from which counts are simulated; give such an sd, or "
            "declare it continuous"
        )
    return metric.baseline**2 / beyond
