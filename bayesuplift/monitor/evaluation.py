"""What statistics say under a plan: beliefs and e-values, asked for in one place by live and simulated looks alike."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesuplift.monitor.belief.believe import Belief, believe
from bayesuplift.monitor.effect_law import EffectLaw
from bayesuplift.monitor.evidence.amounts import log_e_amounts
from bayesuplift.monitor.evidence.effect_grid import FLAT_SPREAD, effect_grid, favourable_scale
from bayesuplift.monitor.evidence.proportions import log_e_proportions
from bayesuplift.monitor.plan import Metric, Plan

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What `rules.decide` takes, for every look.

    Parameters
    ----------
    belief
        The posterior's answers.
    evidence, contrary
        (..., arm) for and against every treatment.
    prob_equivalent
        (...) P(all arms equivalent); 0 without a ROPE.
    """

    belief: Belief
    evidence: Values
    contrary: Values
    prob_equivalent: Values


def evaluate(plan: Plan, n: Values, total: Values, squares: Values, *, prob: float | None = None) -> Evaluated:
    """Belief about the deciding metric, and the evidence that the plan's promise rests on.

    Parameters
    ----------
    plan
        The plan.
    n, total, squares
        (..., arm) units, sums of outcomes and of their squares, outcome units.
    prob
        Mass of the intervals of the lift; none leaves them out.
    """
    belief = believed(plan, plan.metric, n, total, squares, law=plan.prior, prob=prob, rope=plan.rule.rope)
    if plan.rule.promise == "anytime":
        evidence = log_e_values(plan, plan.metric, n, total, squares)
        contrary = log_e_values(plan, plan.metric, n, total, squares, harm=True)
    else:
        evidence, contrary = belief.log_evidence, -belief.log_evidence
    together = np.zeros(n.shape[:-1]) if belief.prob_equivalent is None else belief.prob_equivalent
    return Evaluated(belief, evidence, contrary, together)


def believed(
    plan: Plan,
    metric: Metric,
    n: Values,
    total: Values,
    squares: Values,
    *,
    law: EffectLaw | None,
    prob: float | None = None,
    rope: float | None = None,
) -> Belief:
    """Belief about a metric of the plan under a law of effects; costs weigh on the deciding metric only."""
    breakeven = plan.breakeven if metric is plan.metric else np.zeros_like(plan.breakeven)
    return believe(
        n,
        total,
        squares,
        kind=metric.kind,
        law=law,
        control=0,
        sign=metric.sign,
        breakeven=breakeven,
        baseline=metric.baseline,
        rope=rope,
        prob=prob,
    )


def log_e_values(
    plan: Plan, metric: Metric, n: Values, total: Values, squares: Values, *, harm: bool = False
) -> Values:
    """Log e-values (..., arm) of benefit of every treatment, or of harm, against "it changes nothing"."""
    sign = -metric.sign if harm else metric.sign
    law = _sought(metric, plan.prior if metric is plan.metric else None, sign)
    if metric.kind == "binary":
        effects, weights = effect_grid(law, sign=sign)
        return log_e_proportions(
            n, total, control=0, split=plan.split, baseline=metric.baseline, effects=effects, weights=weights, sign=sign
        )
    # An effect's usual size in outcome units; a flat law's is a share of the mean, whatever the kind.
    relative = law is None or metric.kind != "continuous"
    size = favourable_scale(law, sign=sign) * (abs(metric.baseline) if relative else 1.0)
    return log_e_amounts(
        n,
        total,
        squares,
        control=0,
        split=plan.split,
        centre=metric.baseline,
        scale=size / metric.spread**2,
        sign=sign,
    )


def _sought(metric: Metric, law: EffectLaw | None, sign: float) -> EffectLaw | None:
    """The law of the effects that an e-value looks for; none, for the default, where the stated one is narrower.

    An e-value holds whatever it looks for. One that looks for tiny effects alone needs very long for all of them.
    """
    usual = FLAT_SPREAD * (abs(metric.baseline) if metric.kind == "continuous" else 1.0)
    return law if law is not None and favourable_scale(law, sign=sign) >= usual else None
