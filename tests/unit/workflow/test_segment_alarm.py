"""The alarm tells of segments that a treatment harms, and of no others."""

from typing import Any

import numpy as np
import pytest

from bayesuplift import monitor, segment_alarm
from bayesuplift.inference.fit import fit
from tests.support.monitored import day, planned

MINUTES = {"name": "minutes", "kind": "continuous", "baseline": 3.0, "sd": 2.0}


@pytest.fixture(autouse=True)
def _unpooled(monkeypatch: pytest.MonkeyPatch) -> None:
    """One model a segment, in closed form or drawn from directly: the pooled ones have tests of their own."""

    def fitted(_: str, cells: Any, **options: Any) -> Any:
        return fit("beta_binomial" if cells.kind == "binary" else "normal", cells, **options)

    monkeypatch.setattr(segment_alarm, "fit", fitted)


def alarms(metric: dict[str, Any] | None = None, *, harmed: str = "it") -> list[dict[str, Any]]:
    plan = planned(arms=["A", "B", "C"], segments=["country"], metric=metric or {}, prior={"kind": "normal", "sd": 0.1})
    generator = np.random.default_rng(9)
    rows = []
    for country in ("de", "fr", "it"):
        for arm in plan.design.arms:
            worse = arm == "C" and country == harmed
            row: dict[str, Any] = {"arm": arm, "country": country, "n": 3000}
            if plan.metric.kind == "binary":
                row["conversion"] = 150 - 60 * worse
            else:
                y = generator.normal(3.0 - 0.6 * worse, 2.0, 3000)
                row |= {"minutes": y.sum(), "minutes_squares": (y**2).sum()}
            rows.append(row)
    batch = monitor.batch_of(plan, rows, id="1", at=day(1))
    told: list[dict[str, Any]] = monitor.update(monitor.init(plan), batch, alarm=segment_alarm.segment_alarm)[1][
        "segment_alarms"
    ]
    return told


@pytest.mark.parametrize("metric", [None, MINUTES])
def test_the_harmed_segment_and_its_arm_are_told_of(metric: dict[str, Any] | None) -> None:
    (one,) = alarms(metric)
    assert (one["segment"], one["arm"]) == ("country=it", "C")
    assert one["prob_harm"] > 0.99
    assert one["upper"] < 0.0
    assert "C seems to harm" in one["sentence"]
    assert alarms(metric, harmed="nowhere") == []


def test_more_is_harm_where_less_is_better() -> None:
    assert alarms(MINUTES | {"lower_is_better": True}) == []


def test_few_segments_say_nothing() -> None:
    plan = planned(segments=["country"])
    rows = [{"arm": arm, "country": "de", "n": 900, "conversion": 90 - 80 * (arm == "B")} for arm in "AB"]
    batch = monitor.batch_of(plan, rows, id="1", at=day(1))
    assert segment_alarm.segment_alarm(plan, batch.tallies) == []
