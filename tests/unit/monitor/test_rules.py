"""The rule of every promise, case by case, and the first stop of many experiments."""

import numpy as np
import pytest

from bayesuplift.monitor.rules import CONTINUE, EQUIVALENT, bars_of, decide, first_stops
from tests.support.monitored import planned

RULE = {"relative_loss": 0.002, "control_loss": 0.001, "minimum_days": 7.0, "minimum_units": 100, "rope": 0.01}


def code(promise: str, *, evidence: list[float], loss: list[float], days: float = 8.0, **given: float) -> int:
    plan = planned(arms=["A", "B", "C"], rule=RULE | {"promise": promise})
    held = bars_of(plan, 2.0 if promise == "calibrated" else None)
    contrary = np.array(evidence) * -1.0
    return decide(
        held,
        np.array(evidence),
        contrary,
        np.array(loss),
        given.get("equivalent", 0.0),
        days,
        given.get("units", 1000.0),
        bool(given.get("last", 0)),
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"evidence": [0, 2.0, 1.9], "loss": [0.03, 0.002, 0.001]}, 1),  # C has the smaller loss, B alone the evidence
        ({"evidence": [0, 3.0, 3.0], "loss": [0.03, 0.002, 0.001]}, 2),
        ({"evidence": [0, 3.0, 0.0], "loss": [0.03, 0.0021, 0.1]}, CONTINUE),
        ({"evidence": [0, 3.0, 0.0], "loss": [0.03, 0.001, 0.1], "days": 6.0}, CONTINUE),
        ({"evidence": [0, 3.0, 0.0], "loss": [0.03, 0.001, 0.1], "units": 99}, CONTINUE),
        ({"evidence": [0, -3.0, -5.0], "loss": [0.01, 0.1, 0.1], "days": 1.0}, 0),  # harm, on any day
        ({"evidence": [0, -2.9, -5.0], "loss": [0.01, 0.1, 0.1], "days": 1.0}, CONTINUE),  # log 19 = 2.94
        ({"evidence": [0, -3.0, 0.0], "loss": [0.01, 0.1, 0.1]}, CONTINUE),
        ({"evidence": [0, 0.0, 0.0], "loss": [0.001, 0.1, 0.1]}, 0),
        ({"evidence": [0, 0.0, 0.0], "loss": [0.001, 0.1, 0.1], "days": 6.0}, CONTINUE),
        ({"evidence": [0, 0.0, 0.0], "loss": [0.01, 0.1, 0.1], "equivalent": 0.95}, EQUIVALENT),
        ({"evidence": [0, 0.0, 0.0], "loss": [0.01, 0.1, 0.1], "equivalent": 0.94}, CONTINUE),
        ({"evidence": [0, 1.9, 0.0], "loss": [0.01, 0.1, 0.1], "last": 1}, 0),
        ({"evidence": [0, 3.0, 3.0], "loss": [0.1, 0.01, 0.011]}, CONTINUE),  # two good ones keep each other waiting
        ({"evidence": [0, 3.0, 3.0], "loss": [0.1, 0.01, 0.011], "last": 1}, 1),
    ],
)
def test_calibrated(given: dict[str, object], expected: int) -> None:
    assert code("calibrated", **given) == expected  # type: ignore[arg-type]


def test_anytime_asks_for_the_e_value_of_every_treatment_and_not_for_a_loss() -> None:
    bar = float(np.log(2 / 0.05))
    assert code("anytime", evidence=[0, bar, 0], loss=[0.1, 0.05, 0.2]) == 1
    assert code("anytime", evidence=[0, bar - 1e-9, 0], loss=[0.1, 0.05, 0.2]) == CONTINUE
    assert code("anytime", evidence=[0, -bar, -bar], loss=[0.1, 0.05, 0.2], days=1.0) == 0
    assert code("anytime", evidence=[0, 0, 0], loss=[0.1, 0.05, 0.2], last=1) == CONTINUE


def test_decision_asks_for_the_loss_alone() -> None:
    assert code("decision", evidence=[0, -9.0, -9.0], loss=[0.1, 0.002, 0.2]) == 1
    assert code("decision", evidence=[0, 9.0, 9.0], loss=[0.1, 0.0021, 0.2]) == CONTINUE
    assert code("decision", evidence=[0, -9.0, -9.0], loss=[0.01, 0.1, 0.2], days=1.0) == CONTINUE


def test_the_first_decision_of_every_experiment_counts() -> None:
    held = bars_of(planned(rule=RULE | {"promise": "calibrated", "minimum_days": 0.0, "minimum_units": 0}), 2.0)
    evidence = np.zeros((3, 4, 2))
    evidence[0, 1:, 1] = 2.5
    evidence[1, 2, 1] = -3.5
    loss = np.zeros((3, 4, 2))
    loss[..., 0] = 1.0
    look, stop = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
    ones = np.ones(4)
    first_stops(held, np.full(4, 2.0), evidence, -evidence, loss, np.zeros((3, 4)), ones, ones, look, stop)
    assert look.tolist() == [1, 2, 3]
    assert stop.tolist() == [1, 0, 0]  # the third: its last look
    higher = np.array([2.0, 3.0, 2.0, 2.0])  # of a plan whose second look was held against more
    first_stops(held, higher, evidence, -evidence, loss, np.zeros((3, 4)), ones, ones, look, stop)
    assert look.tolist() == [2, 2, 3]
