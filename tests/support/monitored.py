"""A small monitored experiment: its plan with changes, and batches of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from bayesuplift.monitor import batch_of, plan_from
from bayesuplift.monitor.batch import Batch
from bayesuplift.monitor.plan import Plan

CONTENT: dict[str, Any] = {
    "name": "button",
    "arms": ["A", "B"],
    "control": "A",
    "start": "2026-01-05",
    "metric": {"name": "conversion", "kind": "binary", "baseline": 0.05},
    "prior": {"kind": "normal", "sd": 0.05},
    "looks": {"number": 5, "units": 4000},
    "rule": {"promise": "decision", "minimum_days": 0.0, "experiments": 2000},
}
SPEND = {"name": "spend", "kind": "revenue", "baseline": 2.0, "sd": 15.0, "buyers": 0.05, "resolution": 0.01}


def content(**changes: Any) -> dict[str, Any]:
    """The plan's content: a mapping changes keys of its section, None leaves a key out, anything else replaces."""
    made: dict[str, Any] = {}
    for key, value in (CONTENT | changes).items():
        if isinstance(value, Mapping) and isinstance(CONTENT.get(key), Mapping) and key != "prior":
            made[key] = {**CONTENT[key], **value}
        elif value is not None:
            made[key] = value
    return made


def planned(**changes: Any) -> Plan:
    """The plan with changes."""
    return plan_from(content(**changes))


def day(k: int) -> str:
    """The k-th day of the experiment, from 1."""
    return f"2026-01-{4 + k:02d}"


def batch(plan: Plan, k: int, n: Sequence[int], y: Sequence[Any], **options: Any) -> Batch:
    """The batch of the k-th day of a plan of one binary metric, by arm in the design's order."""
    rows = [
        {"arm": arm, "n": units, plan.metric.name: total}
        for arm, units, total in zip(plan.design.arms, n, y, strict=True)
    ]
    return batch_of(plan, rows, **({"id": f"day {k}", "at": day(k)} | options))
