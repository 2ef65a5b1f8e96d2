"""A batch counted, a look taken: the same data give the same state, and the plan's word is kept."""

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesuplift import monitor
from bayesuplift.errors import BatchError, StateError
from bayesuplift.monitor.plan import Plan
from bayesuplift.monitor.state import State
from tests.support.monitored import SPEND, batch, day, planned

ANYTIME = planned(rule={"promise": "anytime"})
DECISION = planned()
CALIBRATED = planned(rule={"promise": "calibrated", "relative_loss": 0.05}, looks={"number": 3, "units": 4000})

Look = dict[str, Any]


def run(plan: Plan, counts: list[Any], state: State | None = None) -> tuple[State, list[Look]]:
    """The state and looks after one batch a day of ([n by arm], [y by arm])."""
    state = monitor.init(plan) if state is None else state
    looks = []
    for k, (n, y) in enumerate(counts, start=state.batches + 1):
        state, look = monitor.update(state, batch(plan, k, n, y))
        looks.append(look)
    return state, looks


@pytest.fixture(scope="module")
def begun() -> State:
    return monitor.init(CALIBRATED)


arrivals = st.lists(st.tuples(st.integers(0, 1), st.booleans()), min_size=1, max_size=200)


@settings(max_examples=25, deadline=None)
@given(arrivals, st.lists(st.integers(0, 200), max_size=5))
def test_any_split_into_batches_gives_the_same_bits(units: list[tuple[int, bool]], cuts: list[int]) -> None:
    def counts(part: list[tuple[int, bool]]) -> tuple[list[int], list[int]]:
        return [sum(arm == a for arm, _ in part) for a in (0, 1)], [
            sum(arm == a and y for arm, y in part) for a in (0, 1)
        ]

    edges = sorted({0, len(units), *(min(cut, len(units)) for cut in cuts)})
    split = [counts(units[start:end]) for start, end in pairwise(edges)]
    state, looks = run(ANYTIME, split)
    whole, (look,) = run(ANYTIME, [counts(units)])
    assert state.tallies == whole.tallies
    for key in ("arms", "sample_ratio", "sensitivity", "units"):
        assert json.dumps(looks[-1][key]) == json.dumps(look[key])


def test_float_sums_agree_to_rounding_and_the_look_says_so() -> None:
    metric = {"name": "minutes", "kind": "continuous", "baseline": 3.0, "sd": 2.0}
    plan = planned(metric=metric, prior={"kind": "normal", "sd": 0.2})
    generator = np.random.default_rng(4)
    y = generator.normal(3.0, 2.0, size=(2, 3, 500))

    def rows(part: np.ndarray) -> list[dict[str, Any]]:
        return [
            {"arm": arm, "n": own.size, "minutes": own.sum(), "minutes_squares": (own**2).sum()}
            for arm, own in zip("AB", part, strict=True)
        ]

    state = monitor.init(plan)
    for k in range(3):
        state, look = monitor.update(state, monitor.batch_of(plan, rows(y[:, k]), id=f"{k}", at=day(k + 1)))
    _, once = monitor.update(monitor.init(plan), monitor.batch_of(plan, rows(y.reshape(2, -1)), id="x", at=day(3)))
    assert not look["exact"]
    for own, other in zip(look["arms"], once["arms"], strict=True):
        assert own["prob_best"] == pytest.approx(other["prob_best"], rel=1e-12)
        assert own["mean"] == pytest.approx(other["mean"], rel=1e-12)


def test_a_state_comes_back_from_its_text_with_every_bit() -> None:
    plan = planned(metric=SPEND, segments=["channel"], prior={"kind": "normal", "sd": 0.1})
    rows = [
        {"arm": arm, "n": 900, "spend": spend, "spend_squares": squares, "channel": channel}
        for arm, spend, squares, channel in (("A", "1700.10", "90000", "web"), ("B", "1912.33", "110000.5", "phone"))
    ]
    one, _ = monitor.update(monitor.init(plan), monitor.batch_of(plan, rows, id="1", at=day(1)))
    again = monitor.state_from(one.as_json())
    assert again.as_json() == one.as_json()
    assert again.hash == one.hash
    later = monitor.batch_of(plan, rows, id="2", at=day(2))
    assert monitor.update(again, later)[1] == monitor.update(one, later)[1]


def test_a_text_that_is_no_state_is_refused() -> None:
    text = monitor.init(DECISION).as_json()
    with pytest.raises(StateError, match="the state is not whole"):
        monitor.state_from(text[:-20])
    with pytest.raises(StateError, match="has format 9"):
        monitor.state_from(text.replace('"format":1', '"format":9'))
    with pytest.raises(StateError, match="it was altered"):
        monitor.state_from(text.replace('"relative_loss":0.002', '"relative_loss":0.02'))


def test_nothing_is_looked_at_after_the_end() -> None:
    state, looks = run(DECISION, [([2000, 2000], [100, 160])])
    assert looks[-1]["verdict"]["name"] == "CHOOSE"
    assert looks[-1]["verdict"]["arm"] == "B"
    late = batch(DECISION, 2, [2000, 2000], [160, 100])
    with pytest.raises(StateError, match="ended on 2026-01-05 with CHOOSE B; a look after that breaks its promise"):
        monitor.update(state, late)
    after, look = monitor.update(state, late, after_stop=True)
    assert look["verdict"]["arm"] == "B"
    assert "came after that and changes nothing" in look["verdict"]["sentence"]
    assert look["deviations"] == ["batch day 2: counted after the end"]
    assert after.pooled.n == (4000, 4000)
    assert look["look"] is None


def test_time_goes_forward() -> None:
    state, _ = run(DECISION, [([500, 500], [25, 25])])
    with pytest.raises(BatchError, match=r"before the last one \(2026-01-05\); give batches in their order"):
        monitor.update(state, batch(DECISION, 2, [1, 1], [0, 0], at="2026-01-04T23:00"))
    with pytest.raises(BatchError, match="before the experiment's start"):
        monitor.update(monitor.init(DECISION), batch(DECISION, 1, [1, 1], [0, 0], at="2026-01-04"))
    same_day, _ = monitor.update(state, batch(DECISION, 2, [1, 1], [0, 0], at="2026-01-05T08:00+00:00"))
    assert same_day.batches == 2


def test_a_split_that_is_not_intended_makes_it_invalid() -> None:
    state, looks = run(DECISION, [([2300, 1700], [115, 300])])
    verdict = looks[-1]["verdict"]
    assert (verdict["name"], verdict["arm"]) == ("INVALID", None)
    assert "Sample-ratio mismatch" in verdict["sentence"]
    assert state.stop is not None


def test_a_guardrail_stops_what_the_metric_would_ship() -> None:
    rail = {"name": "unsubscribed", "kind": "binary", "baseline": 0.02, "lower_is_better": True, "margin": 0.1}
    plan = planned(guardrail=[rail])

    def look(unsubscribed: int) -> Look:
        rows = [
            {"arm": "A", "n": 4000, "conversion": 200, "unsubscribed": 80},
            {"arm": "B", "n": 4000, "conversion": 300, "unsubscribed": unsubscribed},
        ]
        return monitor.update(monitor.init(plan), monitor.batch_of(plan, rows, id="1", at=day(1)))[1]

    assert look(81)["verdict"]["name"] == "CHOOSE"
    broken = look(200)
    assert broken["verdict"]["name"] == "INVALID"
    assert "Guardrail unsubscribed is broken: B is worse by" in broken["verdict"]["sentence"]
    assert look(20)["guardrails"][0]["passed"]  # fewer are better


def test_fewer_is_better_mirrors(begun: State) -> None:
    del begun
    plan = planned(metric={"lower_is_better": True})
    _, (mirrored,) = run(plan, [([2000, 2000], [160, 100])])
    assert mirrored["verdict"]["arm"] == "B"
    assert mirrored["arms"][1]["lift"] < 0


def test_a_treatment_must_pay_for_itself() -> None:
    dear = planned(costs={"value_per_outcome": 1.0, "cost_per_unit": {"B": 0.02}})
    _, (look,) = run(dear, [([20_000, 20_000], [1000, 1200])])
    _, (free,) = run(DECISION, [([20_000, 20_000], [1000, 1200])])
    assert free["verdict"]["arm"] == "B"
    assert look["verdict"]["arm"] == "A"  # 20% more of 5% is worth .01
    assert look["arms"][1]["lift"] == pytest.approx(free["arms"][1]["lift"], rel=1e-6)  # another quadrature


def test_calibrated_looks_are_the_declared_ones(begun: State) -> None:
    assert begun.threshold is not None
    assert begun.threshold.attained <= CALIBRATED.rule.alpha
    state, looks = run(CALIBRATED, [([1000, 1000], [50, 90])], begun)
    assert looks[0]["look"] is None  # half of what a look needs: data, and no look
    assert looks[0]["verdict"]["gates"][0] == "the next declared look is at 4,000 units"
    state, looks = run(CALIBRATED, [([900, 900], [45, 80])], state)
    assert looks[0]["look"] == 1
    assert state.taken[0].units == 3800
    assert looks[0]["deviations"] == []
    assert looks[0]["verdict"]["arm"] == "B"


def test_a_look_far_from_the_declared_one_has_its_threshold_simulated_again(begun: State) -> None:
    state, (look,) = run(CALIBRATED, [([3000, 3000], [150, 160])], begun)
    assert begun.threshold is not None
    assert state.threshold is not None
    assert "6,000 units where the plan declares a look at 4,000" in look["deviations"][0]
    assert state.threshold != begun.threshold
    assert state.taken[0].threshold == state.threshold.value
    again, (second,) = run(CALIBRATED, [([2000, 2000], [100, 101])], state)
    assert second["look"] == 2
    assert len(second["deviations"]) == 1
    assert again.taken[1].threshold == state.threshold.value
    assert second["verdict"]["name"] == "CONTINUE"
    _, (third,) = run(CALIBRATED, [([1000, 1000], [50, 51])], again)
    assert third["look"] == 3  # of 2,000 units, those that the plan has left
    assert third["deviations"] == second["deviations"]
    assert third["verdict"]["arm"] == "A"


def test_after_the_last_look_the_control_stays(begun: State) -> None:
    state, looks = run(CALIBRATED, [([2000, 2000], [100, 108])] * 3, begun)
    assert [one["look"] for one in looks] == [1, 2, 3]
    assert looks[1]["verdict"]["name"] == "CONTINUE"
    assert (looks[2]["verdict"]["name"], looks[2]["verdict"]["arm"]) == ("CHOOSE", "A")
    assert "the last declared look has passed" in looks[2]["verdict"]["sentence"]
    assert state.stop is not None


def test_a_flat_prior_is_warned_of_under_decision() -> None:
    plan = planned(prior={"kind": "flat"})
    _, (look,) = run(plan, [([200, 200], [10, 11])])
    assert "The prior is flat" in look["warnings"][0]
    assert [one["prior"] for one in look["sensitivity"]] == ["stated", "strong"]
    exact = 0.58  # of Beta(11, 191) and Beta(12, 190); checked to its digits by the tests of `compare_proportions`
    assert look["arms"][1]["prob_best"] == pytest.approx(exact, abs=0.02)


def test_an_arm_without_units_says_nothing() -> None:
    _, (look,) = run(DECISION, [([0, 0], [0, 0])])
    assert look["arms"][1]["prob_best"] == pytest.approx(0.5)
    assert look["arms"][1]["mean"] is None
    assert look["verdict"]["name"] == "CONTINUE"
    json.dumps(look, allow_nan=False)


def test_segments_are_told_to_the_alarm_and_decide_nothing() -> None:
    plan = planned(segments=["channel"])
    asked: list[Any] = []

    def alarm(given: Plan, tallies: Any) -> list[dict[str, Any]]:
        asked.append((given, dict(tallies)))
        return [{"segment": "phone", "arm": "B", "sentence": "B seems to harm phone."}]

    rows = [
        {"arm": arm, "n": 300, "conversion": 15, "channel": channel} for arm in "AB" for channel in ("web", "phone")
    ]
    one = monitor.batch_of(plan, rows, id="1", at=day(1))
    _, told = monitor.update(monitor.init(plan), one, alarm=alarm)
    _, silent = monitor.update(monitor.init(plan), one)
    assert set(asked[0][1]) == {("web",), ("phone",)}
    assert told["segment_alarms"][0]["sentence"] == "B seems to harm phone."
    assert told["verdict"] == silent["verdict"]


def test_states_and_plans_are_values() -> None:
    state = monitor.init(DECISION)
    before = state.as_json()
    monitor.update(state, batch(DECISION, 1, [10, 10], [1, 1]))
    assert state.as_json() == before
    assert replace(state, batches=3).hash != state.hash
