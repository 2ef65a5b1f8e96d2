"""The page of one monitored experiment: its verdict with its promise, and how it came to it."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from plotly.offline import get_plotlyjs

from bayesuplift.errors import ArgumentError, listed
from bayesuplift.files import whole_or_nothing
from bayesuplift.monitor.batch import Batch
from bayesuplift.monitor.ledger.ledger import Ledger
from bayesuplift.monitor.plan_file import plan_from
from bayesuplift.monitor.trend import trends
from bayesuplift.report.facets import Drawn
from bayesuplift.report.monitor_facts import monitor_facts
from bayesuplift.report.monitor_figures import (
    evidence_figure,
    guardrail_figure,
    lift_figure,
    loss_figure,
    sample_ratio_figure,
    trend_figure,
)
from bayesuplift.report.monitor_tables import (
    arm_table,
    deviation_table,
    guardrail_table,
    looks_table,
    plan_table,
    provenance_table,
    sensitivity_table,
    trend_table,
)
from bayesuplift.report.pages import Part, part_of_page, template

__all__ = ["monitor_facts", "monitor_parts", "write_monitor_page"]

Facts = Mapping[str, Any]

_FEWEST_LOOKS: Final = 2  # one look is no course of time: its table tells it
_MOST_SAID: Final = 3  # departures from the plan before a table takes them: every batch after the end is one


def write_monitor_page(path: str | os.PathLike[str], ledger: Ledger, experiment: str) -> None:
    """Write the page of an experiment; the ending of the path chooses HTML (.html), Markdown (.md) or JSON (.json).

    The HTML is one file that needs no network. The file appears under its name when it is complete.

    Raises
    ------
    ArgumentError
        Another ending, or no such experiment.
    StateError
        What is stored is not what was written.
    UnreadableFileError
        The file cannot be written.
    """
    target = Path(path)
    if target.suffix not in _RENDERERS:
        raise ArgumentError(f"cannot tell the format of {target}; end it with {listed(_RENDERERS)}")
    plan_facts = json.loads(ledger.read(experiment).plan_json)
    looks, batches = [], []
    for entry in ledger.entries(experiment):
        looks.append(json.loads(entry.look_json))
        batches.append(Batch.of_facts(json.loads(entry.batch_json)))
    facts = monitor_facts(looks, plan_facts, trends(plan_from(plan_facts), batches))
    text = _RENDERERS[target.suffix](facts)
    with whole_or_nothing(target) as partial:
        partial.write_text(text, encoding="utf-8")


def monitor_parts(facts: Facts) -> list[Part]:
    """Parts of the page after the verdict, in reading order."""
    return [part for make in _PARTS if (part := make(facts)) is not None]


def _to_json(facts: Facts) -> str:
    return json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _to_markdown(facts: Facts) -> str:
    return template("monitor.md.jinja", escape=False).render(**_told(facts), parts=monitor_parts(facts))


def _to_html(facts: Facts) -> str:
    shown = [part_of_page(part) for part in monitor_parts(facts)]
    page = template("monitor.html.jinja", escape=True)
    return page.render(**_told(facts), parts=shown, plotly_program=get_plotlyjs())


def _told(facts: Facts) -> dict[str, Any]:
    """What stands above the parts."""
    verdict, last = facts["verdict"], facts["last"]
    told = {key: facts[key] for key in ("experiment", "metric", "verdict")}
    if last is None:
        return told | {"heading": "No batch has been counted yet.", "conclusion": "no verdict yet"}
    of = f" of {last['looks']}" if last["looks"] is not None else ""
    look = "" if last["look"] is None else f", look {last['look']}{of}"
    heading = f"Batch {last['batch']}, {last['at']}: {last['units']:,} units until day {last['days']:g}{look}."
    return told | {"heading": heading, "conclusion": f"{verdict['name']} {verdict['arm'] or ''}".rstrip()}


def _attention(facts: Facts) -> Part | None:
    more = max(0, len(facts["deviations"]) - _MOST_SAID)
    sentences = (
        *(f"Warning: {one}" for one in facts["warnings"]),
        *(f"Departure from the plan: {one}." for one in facts["deviations"][:_MOST_SAID]),
        *([f"{more} more departures from the plan are in the table."] if more else []),
        *(one["sentence"] for one in facts["segment_alarms"]),
    )
    return Part("To be known", sentences, (deviation_table(facts),) if more else (), list) if sentences else None


def _last(facts: Facts) -> Part | None:
    if not facts["looks"]:
        return None
    gates = tuple(f"Not passed yet: {one}." for one in facts["verdict"]["gates"])
    sums = (
        "Sums are whole numbers: any split of the data into batches gives the same figures to the last bit."
        if facts["exact"]
        else "Sums came as decimal fractions: splits of the data into batches agree to 12 digits."
    )
    simulated = " Only the threshold is simulated; its error stands in the promise." if _calibrated(facts) else ""
    exact = f"The figures are computed from the sums of outcomes, not from random draws.{simulated} {sums}"
    return Part("The arms now", (*gates, exact), (arm_table(facts),), list)


def _calibrated(facts: Facts) -> bool:
    return bool(facts["promise"] == "calibrated")


def _course(facts: Facts) -> Part | None:
    if len(facts["looks"]) < _FEWEST_LOOKS:
        return None

    def draw() -> list[Drawn]:
        # Under "decision" the losses are the evidence.
        evidence = [] if facts["evidence"]["quantity"] == "relative_loss" else [evidence_figure(facts)]
        return [lift_figure(facts), *evidence, loss_figure(facts)]

    return Part("Look by look", (), (looks_table(facts),), draw)


def _safeguards(facts: Facts) -> Part | None:
    if not facts["looks"]:
        return None
    sentences = (facts["sample_ratio"]["sentence"], *(one["sentence"] for one in facts["guardrails"]))
    tables = (guardrail_table(facts),) if facts["guardrails"] else ()

    def draw() -> list[Drawn]:
        if len(facts["looks"]) < _FEWEST_LOOKS:
            return []
        return [sample_ratio_figure(facts), *([guardrail_figure(facts)] if facts["guardrails"] else [])]

    return Part("Split and guardrails", sentences, tables, draw)


def _trend(facts: Facts) -> Part | None:
    if len(facts["looks"]) < _FEWEST_LOOKS:
        return None
    told = facts["trend"]["arms"]
    fitted = any(one["slope"] is not None for one in told)
    left_out = tuple(
        f"{one['left_out']} periods tell no effect of {one['arm']} and are left out." for one in told if one["left_out"]
    )
    sentences = (*(one["sentence"] for one in told), *left_out, *([facts["trend"]["note"]] if fitted else []))
    tables = (trend_table(facts),) if fitted else ()
    return Part("Does the effect change with time?", sentences, tables, lambda: [trend_figure(facts)] if fitted else [])


def _priors(facts: Facts) -> Part | None:
    return Part("Priors and what they change", (), (sensitivity_table(facts),), list) if facts["looks"] else None


def _plan(facts: Facts) -> Part:
    tables = (plan_table(facts), *((provenance_table(facts),) if facts["provenance"] else ()))
    return Part("Plan", (), tables, list)


_RENDERERS: Final[dict[str, Callable[[Facts], str]]] = {".html": _to_html, ".md": _to_markdown, ".json": _to_json}
_PARTS: Final[tuple[Callable[[Facts], Part | None], ...]] = (
    _attention,
    _last,
    _course,
    _safeguards,
    _trend,
    _priors,
    _plan,
)
