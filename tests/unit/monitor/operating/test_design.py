"""Sizes side by side: more units, more power; each with its own threshold."""

import json

import pytest

from bayesuplift.errors import ArgumentError
from bayesuplift.monitor.operating.characteristics import simulate
from bayesuplift.monitor.operating.design import design
from bayesuplift.monitor.operating.threshold import calibrate
from tests.support.monitored import planned

TIME = {"name": "time", "kind": "continuous", "baseline": 10.0, "sd": 20.0}
RULE = {"promise": "calibrated", "relative_loss": 0.05}
PLAN = planned(metric=TIME, prior={"kind": "normal", "sd": 0.5}, rule=RULE)


def test_power_and_assurance_grow_with_the_size_and_the_loss_falls() -> None:
    told: list[tuple[int, int]] = []
    found = design(
        PLAN,
        units_per_look=[500, 4000],
        relative_effects=(0.0, 0.05),
        experiments=1000,
        progress=lambda *one: told.append(one),
    )
    assert told[-1] == (2 * (2000 + 3 * 1000), 2 * (2000 + 3 * 1000))
    assert told == sorted(told)
    small, large = found.sizes
    assert small.threshold is not None
    assert large.threshold is not None
    assert small.threshold.value != large.threshold.value
    assert small.power[1][1].ships.value < large.power[1][1].ships.value
    assert small.prior is not None
    assert large.prior is not None
    assert small.prior.ships.value < large.prior.ships.value
    assert small.prior.loss.value > large.prior.loss.value
    for word in ("units a look", "ships at +5.0%", "assurance", "4,000", large.prior.ships.percent()):
        assert word in str(found)
    facts = json.loads(json.dumps(found.as_facts()))
    assert facts["sizes"][1]["power"][1]["relative_effect"] == 0.05
    assert facts["sizes"][1]["prior"]["ships"]["value"] == large.prior.ships.value


def test_a_size_is_the_plan_at_that_size() -> None:
    found = design(PLAN, units_per_look=[PLAN.looks.units], relative_effects=(0.03,), experiments=600, seed=4)
    threshold = calibrate(PLAN)
    assert found.sizes[0].threshold == threshold
    own = simulate(PLAN, relative_effect=0.03, experiments=600, seed=4, threshold=threshold.value)
    assert found.sizes[0].power == ((0.03, own),)


def test_a_flat_prior_has_no_assurance() -> None:
    flat = planned(metric=TIME, prior={"kind": "flat"})
    found = design(flat, units_per_look=[1000], relative_effects=(0.0,), experiments=100)
    assert found.sizes[0].prior is None
    assert found.sizes[0].threshold is None
    assert str(found).endswith("-")
    assert found.as_facts()["sizes"][0]["prior"] is None


@pytest.mark.parametrize("sizes", [[], [1], [2.5]])
def test_sizes_that_are_none_are_refused(sizes: list[int]) -> None:
    with pytest.raises(ArgumentError, match="units_per_look"):
        design(PLAN, units_per_look=sizes)
