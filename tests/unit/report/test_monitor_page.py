"""The page of a monitored experiment: its facts are those of the looks, and its three forms tell the same."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bayesuplift.errors import ArgumentError
from bayesuplift.monitor.ledger.ledger import Ledger
from bayesuplift.monitor.ledger.opening import open_ledger
from bayesuplift.monitor.plan import Plan
from bayesuplift.monitor.running import looks_of, record, start
from bayesuplift.report.monitor_page import monitor_facts, monitor_parts, write_monitor_page
from tests.support.monitored import day, planned

GUARDRAIL = {"name": "left", "kind": "binary", "baseline": 0.02, "lower_is_better": True, "margin": 0.05}
THREE = planned(
    name="three <b>arms</b>|",
    arms=["A", "B", "C"],
    rule={"promise": "anytime", "minimum_days": 2.0, "rope": 0.01},
    guardrail=[GUARDRAIL],
)
CALIBRATED = planned(
    name="declared", rule={"promise": "calibrated", "experiments": 1000}, looks={"number": 4, "units": 2000}
)
LOSSES = planned(name="losses", prior={"kind": "flat"}, rule={"promise": "decision"})


def counted(ledger: Ledger, plan: Plan, days: int, **options: Any) -> None:
    start(ledger, plan)
    rng = np.random.default_rng(9)
    for k in range(1, days + 1):
        rows = []
        for i, arm in enumerate(plan.design.arms):
            rows.append({"arm": arm, "n": 1000, "conversion": int(rng.binomial(1000, 0.05 + 0.02 * (i == 1)))})
            rows[-1] |= {"left": int(rng.binomial(1000, 0.02))} if plan.guardrails else {}
        record(ledger, plan.name, rows, id=f"day {k}", at=day(k), **options)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """Experiments under the three promises, one of one batch and one without any; looks after the end are counted."""
    opened = open_ledger(tmp_path_factory.mktemp("page") / "runs.db")
    counted(opened, THREE, 8, after_stop=True)
    counted(opened, CALIBRATED, 4, after_stop=True)
    counted(opened, LOSSES, 3, after_stop=True)
    counted(opened, planned(name="one"), 1)
    counted(opened, planned(name="none"), 0)
    return opened


def pages(ledger: Ledger, name: str, folder: Path) -> tuple[dict[str, Any], str, str]:
    """The facts, the Markdown and the page."""
    texts = []
    for ending in (".json", ".md", ".html"):
        write_monitor_page(folder / f"page{ending}", ledger, name)
        texts.append((folder / f"page{ending}").read_text(encoding="utf-8"))
    assert sorted(one.name for one in folder.iterdir()) == ["page.html", "page.json", "page.md"]
    return json.loads(texts[0]), texts[1], texts[2]


def test_facts_are_those_of_the_looks(ledger: Ledger, tmp_path: Path) -> None:
    facts, _, _ = pages(ledger, THREE.name, tmp_path)
    looks = looks_of(ledger, THREE.name)
    last = looks[-1]
    for key in ("verdict", "arms", "sensitivity", "deviations", "warnings", "exact", "segment_alarms"):
        assert facts[key] == last[key]
    assert facts["axis"] == {"name": "days since the start", "values": [float(k) for k in range(1, 9)]}
    assert list(facts["lift"]) == ["B", "C"]
    for place, arm in ((1, "B"), (2, "C")):
        rows = [look["arms"][place] for look in looks]
        assert facts["evidence"]["arms"][arm] == [row["log10_e_value"] for row in rows]
        assert facts["evidence"]["harm"][arm] == [row["log10_e_value_harm"] for row in rows]
        assert facts["loss"]["arms"][arm] == [row["relative_loss"] for row in rows]
        for name in ("lift", "lift_lower", "lift_upper", "raw_lift"):
            assert facts["lift"][arm][name] == [row[name] for row in rows]
    assert facts["evidence"]["threshold"] == pytest.approx([math.log10(2 / 0.05)] * 8)
    assert facts["sample_ratio"]["log10_e_value"] == [look["sample_ratio"]["log10_e_value"] for look in looks]
    assert facts["sample_ratio"]["bar"] == pytest.approx(3.0)
    (guardrail,) = facts["guardrails"]
    assert guardrail["log10_e_value"] == [look["guardrails"][0]["log10_e_value"] for look in looks]
    assert guardrail["bar"] == pytest.approx(math.log10(2 / 0.01))  # two treatments at the level of 1%
    assert facts["plan"] == json.loads(ledger.read(THREE.name).plan_json)
    assert facts["provenance"] == {key: last[key] for key in ("batch_hash", "plan_hash", "state_hash", "version")}
    assert [one["arm"] for one in facts["trend"]["arms"]] == ["B", "C"]


@pytest.mark.parametrize(
    ("plan", "quantity"),
    [(THREE, "log10_e_value"), (CALIBRATED, "log_evidence"), (LOSSES, "relative_loss")],
    ids=["anytime", "calibrated", "decision"],
)
def test_evidence_is_that_of_the_promise(ledger: Ledger, plan: Plan, quantity: str) -> None:
    looks = looks_of(ledger, plan.name)
    facts = monitor_facts(looks, plan.as_facts(), ())
    assert facts["evidence"]["quantity"] == quantity
    assert facts["evidence"]["threshold"] == [look["threshold"][quantity] for look in looks]
    headings = [part.heading for part in monitor_parts(facts)]
    assert headings[-4:] == [
        "Split and guardrails",
        "Does the effect change with time?",
        "Priors and what they change",
        "Plan",
    ]


@pytest.mark.parametrize("name", [THREE.name, "declared", "losses", "one", "none"])
def test_the_three_forms_tell_the_same(ledger: Ledger, tmp_path: Path, name: str) -> None:
    facts, text, page = pages(ledger, name, tmp_path)
    body = page[page.index("<body>") :]
    shown = [sentence for part in monitor_parts(facts) for sentence in part.sentences]
    shown += [cell for part in monitor_parts(facts) for table in part.tables for row in table.rows for cell in row]
    if facts["verdict"]:
        shown += [facts["verdict"]["sentence"], facts["verdict"]["promise_sentence"]]
        top = body[: body.index("<h3>")]
        assert _in_page(facts["verdict"]["promise_sentence"]) in top
    for one in shown:
        assert one.replace("|", "\\|").replace("<", "&lt;") in text
        for piece in one.split(" ["):  # a value stands over its interval
            assert _in_page(piece) in body
    assert "<b>arms</b>" not in body
    assert "NaN" not in text
    assert "None" not in text


def _in_page(text: str) -> str:
    return (
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#39;").replace('"', "&#34;")
    )


def test_thresholds_lie_within_the_figures(ledger: Ledger) -> None:
    for plan, lines in ((THREE, {"threshold"}), (CALIBRATED, {"threshold", "contrary"})):
        facts = monitor_facts(looks_of(ledger, plan.name), plan.as_facts(), ())
        course = next(part for part in monitor_parts(facts) if part.heading == "Look by look")
        _, evidence, loss = course.draw()
        drawn = {trace.name: list(trace.y) for trace in evidence.figure.data}
        assert lines <= set(drawn)  # drawn as lines of data, which the axis reaches
        assert drawn["threshold"] == facts["evidence"]["threshold"]
        assert drawn["B"] == facts["evidence"]["arms"]["B"]
        assert evidence.figure.layout.yaxis.range is None
        floors = [100.0 * max(value, 1e-6) for value in facts["loss"]["arms"]["B"]]
        assert list(next(trace for trace in loss.figure.data if trace.name == "B").y) == floors
        assert ("drawn there" in loss.caption) == any(
            value < 1e-6 for values in facts["loss"]["arms"].values() for value in values
        )


def test_under_the_promise_of_losses_they_are_drawn_once(ledger: Ledger) -> None:
    facts = monitor_facts(looks_of(ledger, "losses"), LOSSES.as_facts(), ())
    course = next(part for part in monitor_parts(facts) if part.heading == "Look by look")
    assert len(course.draw()) == 2
    attention = monitor_parts(facts)[0]
    assert attention.heading == "To be known"
    assert attention.sentences[0].startswith("Warning: The prior is flat")


@pytest.mark.parametrize("name", ["one", "none"])
def test_one_look_and_none_have_no_empty_figures(ledger: Ledger, tmp_path: Path, name: str) -> None:
    facts, text, page = pages(ledger, name, tmp_path)
    assert "<figure" not in page
    assert ("No batch has been counted yet." in text) == (name == "none")
    assert all(not part.draw() for part in monitor_parts(facts))


def test_many_departures_go_into_a_table(ledger: Ledger) -> None:
    looks = looks_of(ledger, "losses")
    told = [f"batch {k}: counted after the end" for k in range(5)]
    facts = monitor_facts([*looks[:-1], looks[-1] | {"deviations": told, "warnings": []}], LOSSES.as_facts(), ())
    attention = monitor_parts(facts)[0]
    assert attention.sentences == (
        *(f"Departure from the plan: {one}." for one in told[:3]),
        "2 more departures from the plan are in the table.",
    )
    assert attention.tables[0].rows == tuple((one,) for one in told)
    few = monitor_facts([*looks[:-1], looks[-1] | {"deviations": told[:3]}], LOSSES.as_facts(), ())
    assert monitor_parts(few)[0].tables == ()


def test_batches_of_one_time_are_drawn_by_their_number(tmp_path: Path) -> None:
    opened, plan = open_ledger(tmp_path / "runs.db"), planned(name="hours")
    start(opened, plan)
    rows = [{"arm": arm, "n": 500, "conversion": 25} for arm in "AB"]
    for k, at in enumerate(("2026-01-05T06:00", "2026-01-05T18:00", "2026-01-06T06:00+00:00")):
        record(opened, "hours", rows, id=str(k), at=at)
    facts = monitor_facts(looks_of(opened, "hours"), plan.as_facts(), ())
    assert facts["axis"] == {"name": "days since the start", "values": [0.25, 0.75, 1.25]}
    record(opened, "hours", rows, id="again", at="2026-01-06T06:00")
    facts = monitor_facts(looks_of(opened, "hours"), plan.as_facts(), ())
    assert facts["axis"] == {"name": "number of the batch", "values": [1.0, 2.0, 3.0, 4.0]}


def test_refusals_leave_no_file(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"end it with \.html, \.md, \.json"):
        write_monitor_page(tmp_path / "page.pdf", ledger, "one")
    with pytest.raises(ArgumentError, match="no experiment 'other'"):
        write_monitor_page(tmp_path / "page.html", ledger, "other")
    assert list(tmp_path.iterdir()) == []
