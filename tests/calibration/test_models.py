"""Every model keeps its promises by its own engine, over worlds drawn from its own prior; and faults are seen.

Few worlds, for every run of the tests; `make calibrate` takes more of them, and every engine.
"""

import functools

import pytest

from bayesuplift.inference.fit import engines
from tests.support.calibration import FAULTS, Sites, Worlds, coverage, fitted_worlds, off, rejected, simulated
from tests.support.catalogue import NAMES
from tests.support.worlds import seed_of

WORLDS = 80
HELD = tuple(name for name in NAMES if not name.startswith("partial_pooling_") or name == "partial_pooling_binary")
"""Of the pooled models one: the others have its predictor and engine, and `make calibrate` takes them."""


@functools.cache
def calibrated(name: str) -> tuple[Worlds, Sites]:
    worlds = simulated(name, WORLDS, seed_of(f"worlds of {name}"))
    return worlds, fitted_worlds(name, worlds, engines(name)[0])


@pytest.mark.parametrize("name", HELD)
def test_ranks_of_the_truth_are_uniform(name: str) -> None:
    assert rejected(*calibrated(name)) == {}


@pytest.mark.parametrize("name", HELD)
def test_intervals_hold_the_truth_as_often_as_they_say(name: str) -> None:
    assert off(coverage(*calibrated(name))) == []


@pytest.mark.parametrize("name", HELD)
def test_intervals_of_half_the_width_are_caught(name: str) -> None:
    worlds, draws = calibrated(name)
    assert off(coverage(worlds, FAULTS["too sure"](name, worlds, engines(name)[0], draws)))


@pytest.mark.parametrize("name", HELD)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_posterior_with_a_fault_is_rejected(name: str, fault: str) -> None:
    worlds, draws = calibrated(name)
    found = rejected(worlds, FAULTS[fault](name, worlds, engines(name)[0], draws))
    assert found
    if fault == "data ignored":  # ranks of prior draws are uniform: nothing else can tell
        assert list(found) == ["log likelihood"]
