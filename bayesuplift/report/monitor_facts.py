"""What the page of a monitored experiment shows: plain values, from its looks and its plan."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from itertools import pairwise
from typing import Any, Final

from bayesuplift.monitor.batch import moment
from bayesuplift.monitor.plan_file import plan_from
from bayesuplift.monitor.trend import NOTE, Trend

Facts = Mapping[str, Any]

_OF_PROMISE: Final = {"calibrated": "log_evidence", "anytime": "log10_e_value", "decision": "relative_loss"}
_NAMES: Final = {
    "log_evidence": "log Bayes factor of benefit against harm",
    "log10_e_value": "log10 of the e-value",
    "relative_loss": "relative expected loss",
}
_PROVENANCE: Final = ("batch_hash", "plan_hash", "state_hash", "version")
_DAY_SECONDS: Final = 86_400.0


def monitor_facts(looks: Sequence[Facts], plan: Facts, trend: Iterable[Trend]) -> dict[str, Any]:
    """The facts of the page.

    Parameters
    ----------
    looks
        Facts of every look, in order; see `look_facts`.
    plan
        The plan: `Plan.as_facts`.
    trend
        Trend of every treatment's effect.

    Returns
    -------
    dict
        `experiment`, `metric`, `kind`, `control`, `prior`, `promise`, `plan`; `verdict`, `arms`, `sensitivity`,
        `segment_alarms`, `deviations`, `warnings`, `exact`, `provenance` of the last look; `axis` (name and value of each
        look); `looks` (one row each); by arm and look `lift`, `evidence` (that of the plan's promise, with its threshold)
        and `loss`; `sample_ratio` and `guardrails` by look, each with the bar at which it fails; `trend`. Everything by
        look is in the order of the looks.
    """
    metric, rule, last = plan["metric"], plan["rule"], looks[-1] if looks else None
    treatments = [arm for arm in plan["arms"] if arm != plan["control"]]
    return {
        "format": 1,
        "experiment": plan["name"],
        "metric": metric["name"],
        "kind": metric["kind"],
        "lower_is_better": metric["lower_is_better"],
        "control": plan["control"],
        "prior": plan_from(plan).prior_text,
        "promise": rule["promise"],
        "last": None if last is None else {key: last[key] for key in ("batch", "at", "units", "days", "look", "looks")},
        "verdict": None if last is None else last["verdict"],
        "arms": _no_looks(plan) if last is None else last["arms"],
        "exact": None if last is None else last["exact"],
        "axis": _axis(looks, date.fromisoformat(plan["start"])),
        "looks": [_row(look, rule["promise"]) for look in looks],
        "lift": {arm: _lift(looks, arm) for arm in treatments},
        "evidence": _evidence(looks, treatments, rule["promise"]),
        "loss": {
            "arms": {arm: _series(looks, arm, "relative_loss") for arm in plan["arms"]},
            "relative_loss": None if rule["promise"] == "anytime" else rule["relative_loss"],
            "control_loss": rule["control_loss"],
        },
        "sample_ratio": _sample_ratio(looks),
        "guardrails": [_guardrail(looks, i, len(treatments)) for i in range(len(plan["guardrail"]) if looks else 0)],
        "segment_alarms": [] if last is None else last["segment_alarms"],
        "sensitivity": [] if last is None else last["sensitivity"],
        "deviations": [] if last is None else last["deviations"],
        "warnings": [] if last is None else last["warnings"],
        "trend": {"arms": [one.as_facts() for one in trend], "note": NOTE},
        "plan": plan,
        "provenance": {} if last is None else {key: last[key] for key in _PROVENANCE},
    }


def _no_looks(plan: Facts) -> list[dict[str, Any]]:
    return [{"arm": arm, "is_control": arm == plan["control"]} for arm in plan["arms"]]


def _axis(looks: Sequence[Facts], start: date) -> dict[str, Any]:
    """Days since the start at which each look was taken; its number where two were taken at one time.

    Where all were taken at a day, and no time of it is told, the day counts as over.
    """
    began = datetime.combine(start, time(), tzinfo=UTC)
    days = [(moment(look["at"]) - began).total_seconds() / _DAY_SECONDS for look in looks]
    if all(day.is_integer() for day in days):
        days = [day + 1.0 for day in days]
    if all(later > earlier for earlier, later in pairwise(days)):
        return {"name": "days since the start", "values": days}
    return {"name": "number of the batch", "values": [float(k) for k in range(1, len(looks) + 1)]}


def _of(look: Facts, arm: str) -> Facts:
    return next(row for row in look["arms"] if row["arm"] == arm)


def _series(looks: Sequence[Facts], arm: str, name: str) -> list[float | None]:
    return [_of(look, arm)[name] for look in looks]


def _lift(looks: Sequence[Facts], arm: str) -> dict[str, list[float | None]]:
    return {name: _series(looks, arm, name) for name in ("lift", "lift_lower", "lift_upper", "raw_lift")}


def _evidence(looks: Sequence[Facts], treatments: Sequence[str], promise: str) -> dict[str, Any]:
    """By treatment, what the promise rests on, beside the threshold that each look was held against."""
    quantity = _OF_PROMISE[promise]
    harm = "log10_e_value_harm"
    return {
        "quantity": quantity,
        "name": _NAMES[quantity],
        "arms": {arm: _series(looks, arm, quantity) for arm in treatments},
        "harm": {arm: _series(looks, arm, harm) for arm in treatments} if promise == "anytime" else None,
        "threshold": [look["threshold"][quantity] for look in looks],
    }


def _sample_ratio(looks: Sequence[Facts]) -> dict[str, Any] | None:
    if not looks:
        return None
    last = looks[-1]["sample_ratio"]
    return dict(last) | {
        "log10_e_value": [look["sample_ratio"]["log10_e_value"] for look in looks],
        "bar": -math.log10(last["level"]),
    }


def _guardrail(looks: Sequence[Facts], place: int, treatments: int) -> dict[str, Any]:
    """A guardrail fails at the evidence that its level asks of each of several treatments."""
    of_looks = [look["guardrails"][place] for look in looks]
    last = of_looks[-1]
    return dict(last) | {
        "log10_e_value": [one["log10_e_value"] for one in of_looks],
        "bar": math.log10(treatments / last["level"]),
    }


def _row(look: Facts, promise: str) -> dict[str, Any]:
    """A look in one row: of the treatments that of the least loss."""
    best = min((row for row in look["arms"] if not row["is_control"]), key=lambda row: row["relative_loss"])
    quantity = _OF_PROMISE[promise]
    return {
        "batch": look["batch"],
        "at": look["at"],
        "look": look["look"],
        "units": look["units"],
        "treatment": best["arm"],
        **{key: best[key] for key in ("lift", "lift_lower", "lift_upper", "prob_best", "relative_loss")},
        "evidence": best[quantity],
        "threshold": look["threshold"][quantity],
        "verdict": look["verdict"]["name"],
        "chosen": look["verdict"]["arm"],
    }
