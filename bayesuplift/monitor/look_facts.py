"""What a look tells: plain values, the same for JSON, the terminal and the report."""

import math
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any, Final

import numpy as np

from bayesuplift.monitor.batch import Batch
from bayesuplift.monitor.evaluation import Evaluated, believed, log_e_values
from bayesuplift.monitor.look_words import promise_words, verdict_sentence
from bayesuplift.monitor.plan import Metric, Plan
from bayesuplift.monitor.rules import bars_of
from bayesuplift.monitor.safeguards import Safeguard
from bayesuplift.monitor.schedule import Look, next_units
from bayesuplift.monitor.sensitivity import alternatives
from bayesuplift.monitor.state import State
from bayesuplift.monitor.tally import Tally, is_exact

_PER_TEN: Final = math.log(10.0)


def look_facts(
    before: State,
    after: State,
    batch: Batch,
    *,
    now: Look,
    evaluated: Evaluated,
    guarded: Sequence[Safeguard],
    alarms: list[dict[str, Any]],
) -> dict[str, Any]:
    """The facts of a look.

    Returns
    -------
    dict
        `experiment`, `metric`, `kind`, `batch`, `at`, `units`, `days`; `look` (its number, None where no declared look was
        due) and `looks`; `arms` (one for each: `n`, `mean`, `prob_best`, `prob_beats_control`, `relative_loss`,
        `raw_lift`, `lift` with bounds, `log_evidence`, `log10_e_value` of benefit, `log10_e_value_harm`); `threshold`;
        `verdict` (`name`, `arm`, `sentence`, `promise`, `promise_sentence`, `gates`: what stands between the leading
        treatment and its being shipped); `sample_ratio`, `guardrails`, `segment_alarms`; `prior` and `sensitivity`;
        `deviations`, `warnings`; `exact` (whether any split into batches gives the same bits); `plan_hash`, `state_hash`,
        `batch_hash`, `version`.
    """
    plan = after.plan
    tally = after.pooled
    taken = len(after.taken) > len(before.taken)
    verdict = _verdict(before, after, now, evaluated, guarded, taken=taken)
    return {
        "format": 1,
        "experiment": plan.name,
        "metric": plan.metric.name,
        "kind": plan.metric.kind,
        "batch": batch.id,
        "at": batch.at,
        "units": now.units,
        "days": now.days,
        "look": len(after.taken) if taken else None,
        "looks": plan.looks.number if plan.rule.promise == "calibrated" else None,
        "arms": _arms(plan, tally, evaluated),
        "threshold": _threshold(after),
        "verdict": verdict,
        "sample_ratio": _safeguard(guarded[0]),
        "guardrails": [_safeguard(one) for one in guarded[1:]],
        "segment_alarms": alarms,
        "prior": plan.prior_text,
        "sensitivity": _sensitivity(plan, tally),
        "deviations": list(after.deviations),
        "warnings": _warnings(plan, tally),
        "exact": all(is_exact(metric) for metric in plan.metrics),
        "plan_hash": plan.hash,
        "batch_hash": batch.hash,
        "state_hash": after.hash,
        "version": _version(),
    }


@cache
def _version() -> str:
    return version("bayesuplift")


def _arms(plan: Plan, tally: Tally, evaluated: Evaluated) -> list[dict[str, Any]]:
    n, total, squares = tally.statistics(plan.metric)
    belief = evaluated.belief
    benefit = log_e_values(plan, plan.metric, n, total, squares)
    harm = log_e_values(plan, plan.metric, n, total, squares, harm=True)
    assert belief.lift is not None
    assert belief.lift_lower is not None
    assert belief.lift_upper is not None
    reference = abs(plan.metric.baseline) if plan.metric.kind == "continuous" else None
    rows = []
    for a, arm in enumerate(plan.design.arms):
        mean = total[a] / n[a] if n[a] else None
        rows.append(
            {
                "arm": arm,
                "is_control": a == 0,
                "n": int(n[a]),
                "total": float(total[a]),
                "mean": None if mean is None else float(mean),
                "prob_best": float(belief.prob_best[a]),
                "prob_beats_control": None if a == 0 else float(belief.prob_beats_control[a]),
                "relative_loss": float(belief.relative_loss[a]),
                "raw_lift": None if a == 0 else _raw_lift(n, total, a, reference),
                "lift": None if a == 0 else _finite(belief.lift[a]),
                "lift_lower": None if a == 0 else _finite(belief.lift_lower[a]),
                "lift_upper": None if a == 0 else _finite(belief.lift_upper[a]),
                "log_evidence": None if a == 0 else float(belief.log_evidence[a]),
                "log10_e_value": None if a == 0 else float(benefit[a]) / _PER_TEN,
                "log10_e_value_harm": None if a == 0 else float(harm[a]) / _PER_TEN,
            }
        )
    return rows


def _raw_lift(n: Any, total: Any, a: int, reference: float | None) -> float | None:
    """Relative difference of plain means; none where one of them is not known, or the control's is 0."""
    if not (n[0] and n[a]):
        return None
    control, own = total[0] / n[0], total[a] / n[a]
    scale = control if reference is None else reference
    return None if scale == 0.0 else float((own - control) / scale)


def _verdict(
    before: State, after: State, now: Look, evaluated: Evaluated, guarded: Sequence[Safeguard], *, taken: bool
) -> dict[str, Any]:
    plan = after.plan
    stop = after.stop
    gates = [] if stop is not None else _gates(before, after, now, evaluated, taken=taken)
    name, arm = ("CONTINUE", None) if stop is None else (stop.name, stop.arm)
    return {
        "name": name,
        "arm": arm,
        "sentence": verdict_sentence(after, evaluated, guarded, gates, before=before),
        "promise": plan.rule.promise,
        "promise_sentence": promise_words(after),
        "gates": gates,
    }


def _gates(before: State, after: State, now: Look, evaluated: Evaluated, *, taken: bool) -> list[str]:
    """What keeps the leading treatment from being shipped, in words."""
    plan, rule = after.plan, after.plan.rule
    belief = evaluated.belief
    leading = 1 + int(np.argmin(belief.relative_loss[1:]))
    bars = bars_of(plan, None if after.threshold is None else after.threshold.value)
    found = []
    if not taken:
        found.append(f"the next declared look is at {next_units(plan, before.taken):,} units")
    if rule.promise != "decision" and evaluated.evidence[leading] < bars.threshold:
        what = "log e-value" if rule.promise == "anytime" else "log Bayes factor of benefit against harm"
        found.append(f"{what} {evaluated.evidence[leading]:.3g}, threshold {bars.threshold:.3g}")
    if rule.promise != "anytime" and belief.relative_loss[leading] > rule.relative_loss:
        found.append(f"relative expected loss {belief.relative_loss[leading]:.2%}, threshold {rule.relative_loss:.2%}")
    if now.days < rule.minimum_days:
        found.append(f"{now.days:g} of {rule.minimum_days:g} days")
    if now.units < rule.minimum_units:
        found.append(f"{now.units:,} of {rule.minimum_units:,} units")
    return found


def _threshold(state: State) -> dict[str, Any] | None:
    rule = state.plan.rule
    if rule.promise == "decision":
        return {"relative_loss": rule.relative_loss}
    if rule.promise == "anytime":
        return {"log10_e_value": bars_of(state.plan).threshold / _PER_TEN}
    assert state.threshold is not None
    return {
        "log_evidence": state.threshold.value,
        "attained": state.threshold.attained,
        "attained_mcse": state.threshold.mcse,
        "experiments": state.threshold.experiments,
        "binding": state.threshold.binding,
    }


def _safeguard(one: Safeguard) -> dict[str, Any]:
    return {
        "name": one.name,
        "passed": one.passed,
        "log10_e_value": one.log_e_value / _PER_TEN,
        "level": one.level,
        "sentence": one.sentence,
        **one.facts,
    }


def _sensitivity(plan: Plan, tally: Tally) -> list[dict[str, Any]]:
    """P(best) and losses under other priors, and what the plan's thresholds of loss would say of them."""
    told = []
    statistics = tally.statistics(plan.metric)
    for name, law in alternatives(plan).items():
        belief = believed(plan, plan.metric, *statistics, law=law)
        told.append(
            {
                "prior": name,
                "description": "flat" if law is None else f"effect ~ {law}",
                "prob_best": dict(zip(plan.design.arms, belief.prob_best.tolist(), strict=True)),
                "relative_loss": dict(zip(plan.design.arms, belief.relative_loss.tolist(), strict=True)),
            }
        )
    return told


def _warnings(plan: Plan, tally: Tally) -> list[str]:
    told = [_far_off(metric, tally) for metric in plan.metrics]
    if plan.rule.promise == "decision" and plan.prior is None:
        told.append(
            "The prior is flat: it believes effects of any size, so that stated losses at a stop are far below real ones. "
            "State what effects are expected, or learn it from past experiments."
        )
    return [one for one in told if one]


def _far_off(metric: Metric, tally: Tally) -> str:
    """Whether a mean lies so far from what was declared that e-values, which hold all the same, have lost their edge."""
    n, total, _ = tally.statistics(metric)
    if metric.kind == "binary" or not n.sum():
        return ""
    mean = float(total.sum() / n.sum())
    if abs(mean - metric.baseline) <= metric.spread / 2.0:
        return ""
    return (
        f"The mean of {metric.name} is {mean:.4g}, and the plan expects {metric.baseline:.4g}: that is more than half a "
        "standard deviation off, and e-values need far longer for the same effect. Give the next plan the right baseline."
    )


def _finite(value: Any) -> float | None:
    """JSON has no infinity: a mean lift that is none is not told."""
    return float(value) if np.isfinite(value) else None
