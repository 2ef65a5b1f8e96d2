"""What makes an experiment invalid, at any look: a split that is not as intended, a guardrail broken."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesuplift.monitor.evaluation import believed, log_e_values
from bayesuplift.monitor.evidence.sample_ratio import log_e_split
from bayesuplift.monitor.plan import Guardrail, Plan
from bayesuplift.monitor.tally import Tally


@dataclass(frozen=True)
class Safeguard:
    """Answer of one safeguard.

    Parameters
    ----------
    name
        "sample_ratio", or the guardrail's metric.
    passed
        Whether the experiment may go on.
    log_e_value
        Evidence against "as intended", or against "no treatment changes this outcome" towards harm; the largest of the
        treatments.
    level
        Probability that it ever fails where all is well: it fails at log e-values of log(1 / level), times the number of
        treatments for a guardrail.
    facts
        More figures, plain values.
    sentence
        What a reader sees.
    """

    name: str
    passed: bool
    log_e_value: float
    level: float
    facts: dict[str, Any]
    sentence: str


def safeguards(plan: Plan, tally: Tally) -> tuple[Safeguard, ...]:
    """All safeguards of a plan, on the sums of everybody."""
    return (sample_ratio(plan, tally), *(_guarded(plan, one, tally) for one in plan.guardrails))


def sample_ratio(plan: Plan, tally: Tally) -> Safeguard:
    """Whether the counts are dealt as intended; valid at any time, however often it is asked."""
    n = np.array(tally.n, dtype=np.float64)
    log_e = float(log_e_split(n, plan.split))
    passed = log_e < math.log(1.0 / plan.sample_ratio_level)
    shares = {arm: float(part) for arm, part in zip(plan.design.arms, n / max(n.sum(), 1.0), strict=True)}
    pairs = ", ".join(
        f"{arm} {shares[arm]:.2%} (intended {share:.2%})"
        for arm, share in zip(plan.design.arms, plan.split, strict=True)
    )
    told = "The split is as intended" if passed else "Sample-ratio mismatch: the split is not as intended"
    advice = "" if passed else " Find the cause; no effect of this experiment can be read."
    return Safeguard(
        name="sample_ratio",
        passed=passed,
        log_e_value=log_e,
        level=plan.sample_ratio_level,
        facts={"shares": shares},
        sentence=f"{told}: {pairs}; fails at evidence of {1.0 / plan.sample_ratio_level:,.0f} to 1.{advice}",
    )


def _guarded(plan: Plan, guardrail: Guardrail, tally: Tally) -> Safeguard:
    """A guardrail fails where harm is proven at any time and is more likely than not worse than the margin.

    The e-value alone would stop for the smallest of harms once it is certain; the margin alone would stop by chance.
    """
    metric = guardrail.metric
    n, total, squares = tally.statistics(metric)
    log_e = log_e_values(plan, metric, n, total, squares, harm=True)[1:]
    belief = believed(plan, metric, n, total, squares, law=None, prob=0.5)
    assert belief.lift is not None
    worsening = -metric.sign * belief.lift[1:]
    bar = math.log(len(plan.design.treatments) / guardrail.level)
    broken = (log_e >= bar) & (worsening > guardrail.margin)
    worst = int(np.argmax(np.where(broken, worsening, -np.inf))) if broken.any() else int(np.argmax(log_e))
    arm = plan.design.treatments[worst]
    passed = not broken.any()
    margin = f"{guardrail.margin:.1%}"
    told = (
        f"Guardrail {metric.name}: no treatment is shown to be worse by more than {margin}"
        if passed
        else f"Guardrail {metric.name} is broken: {arm} is worse by {worsening[worst]:.1%}, more than {margin}"
    )
    return Safeguard(
        name=metric.name,
        passed=passed,
        log_e_value=float(log_e[worst]),
        level=guardrail.level,
        facts={
            "worsening": dict(zip(plan.design.treatments, worsening.tolist(), strict=True)),
            "margin": guardrail.margin,
        },
        sentence=f"{told}.",
    )
