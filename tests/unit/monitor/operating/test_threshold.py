"""The simulated threshold keeps its rate on experiments that it has not seen, and names the gate that binds."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bayesuplift.errors import ArgumentError, PlanError
from bayesuplift.monitor.operating.characteristics import simulate
from bayesuplift.monitor.operating.threshold import BINDS_BELOW, CONTRARY, calibrate
from bayesuplift.monitor.plan import Plan
from bayesuplift.monitor.schedule import Look, declared
from tests.support.monitored import planned

EXPERIMENTS = 4000
ALPHA = 0.05
TIME = {"name": "time", "kind": "continuous", "baseline": 10.0, "sd": 20.0}


def plan_of(**changes: Any) -> Plan:
    rule = {"promise": "calibrated", "minimum_days": 2.0, "relative_loss": 0.05, **changes.pop("rule", {})}
    return planned(**({"metric": TIME, "prior": {"kind": "normal", "sd": 0.5}, "rule": rule} | changes))


PLANS = {
    "continuous": plan_of(),
    "binary": plan_of(metric={"name": "y", "kind": "binary", "baseline": 0.05}, prior={"kind": "normal", "sd": 0.1}),
    "three arms": plan_of(arms=["A", "B", "C"], split={"A": 2, "B": 1, "C": 1}, looks={"number": 3, "units": 4000}),
    "less is better, at a cost": plan_of(
        metric=TIME | {"lower_is_better": True}, costs={"value_per_outcome": 1.0, "cost_per_unit": {"B": 0.3}}
    ),
}


def margin(found: float, experiments: int = EXPERIMENTS) -> float:
    """Three standard errors of a share and of the one that it is held against, from as many experiments each."""
    return 3.0 * math.sqrt(2.0 * found * (1.0 - found) / experiments)


def fresh(plan: Plan, threshold: float, experiments: int = EXPERIMENTS, **options: Any) -> float:
    """Share of experiments of another seed, in which every treatment is worth the control, that ship one."""
    effects = {arm: plan.metric.sign * gain for arm, gain in zip(plan.design.arms, plan.breakeven, strict=True)}
    found = simulate(plan, relative_effect=effects, threshold=threshold, experiments=experiments, seed=2, **options)
    assert found.ships_wrong.value == 0.0
    return found.ships.value


@pytest.mark.parametrize("name", PLANS)
def test_fresh_experiments_without_effect_ship_at_most_alpha_and_nearly_so_many(name: str) -> None:
    plan = PLANS[name]
    experiments = 600 if name == "three arms" else EXPERIMENTS
    found = calibrate(plan, experiments=experiments)
    assert found.binding is None
    assert found.experiments == experiments
    assert 0.8 * ALPHA <= found.attained <= ALPHA
    assert found.mcse == pytest.approx(math.sqrt(found.attained * (1.0 - found.attained) / experiments), abs=1e-15)
    assert abs(fresh(plan, found.value, experiments) - ALPHA) < margin(ALPHA, experiments)


def test_it_is_the_smallest_that_keeps_the_rate_on_its_own_experiments() -> None:
    plan = PLANS["continuous"]
    found = calibrate(plan, experiments=EXPERIMENTS)
    at, below = (
        simulate(plan, threshold=one, seed=plan.rule.seed, experiments=EXPERIMENTS).ships.value
        for one in (found.value, found.value - 2e-6)
    )
    assert at == found.attained
    assert below > ALPHA


def test_peeking_ignored_breaks_the_rate() -> None:
    plan = PLANS["continuous"]
    once = calibrate(plan, coming=declared(plan)[-1:], experiments=EXPERIMENTS)
    assert fresh(plan, once.value) > ALPHA + 2.0 * margin(ALPHA)


def test_a_flat_prior_at_95_percent_breaks_the_rate() -> None:
    plan = plan_of(prior={"kind": "flat"})
    assert fresh(plan, math.log(0.95 / 0.05)) > ALPHA + 2.0 * margin(ALPHA)


def test_looks_counted_twice_break_the_rate() -> None:
    """The threshold of looks at which half of the units are not new is wrong for looks whose units are."""
    plan = PLANS["continuous"]
    stale = [Look(one.units // 2, one.days) for one in declared(plan)]
    found = calibrate(plan, coming=[*stale[:1] * 4, declared(plan)[-1]], experiments=EXPERIMENTS)
    assert fresh(plan, found.value) > ALPHA + margin(ALPHA)


def test_another_baseline_is_simulated_at_that_baseline() -> None:
    plan = PLANS["binary"]
    found = calibrate(plan, experiments=EXPERIMENTS, baseline=0.2)
    assert abs(fresh(plan, found.value, baseline=0.2) - ALPHA) < margin(ALPHA)
    assert found.value > calibrate(plan, experiments=EXPERIMENTS).value


def test_looks_taken_keep_their_thresholds_and_count_towards_the_rate() -> None:
    plan = PLANS["continuous"]
    looks = declared(plan)
    whole = calibrate(plan, experiments=EXPERIMENTS)
    kept = [replace(one, threshold=whole.value) for one in looks[:2]]
    assert calibrate(plan, taken=kept, coming=looks[2:], experiments=EXPERIMENTS).value == pytest.approx(
        whole.value, abs=1e-5
    )
    strict = [replace(one, threshold=50.0) for one in looks[:2]]
    lax = [replace(one, threshold=whole.value - 0.5) for one in looks[:2]]
    after_strict, after_lax = (
        calibrate(plan, taken=taken, coming=looks[2:], experiments=EXPERIMENTS).value for taken in (strict, lax)
    )
    assert after_strict < whole.value < after_lax


def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = PLANS["binary"]
    many = calibrate(plan, experiments=1200)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert calibrate(plan, experiments=1200) == many
    assert calibrate(plan, experiments=1200, seed=3) != many


@pytest.mark.parametrize(
    ("rule", "gates"),
    [
        ({"relative_loss": 1e-5}, "relative_loss"),
        ({"minimum_days": 6.0}, "minimum_days"),
        ({"minimum_units": 10**6}, "minimum_units"),
        ({"minimum_units": 20_000, "control_loss": 10.0}, "control_loss, minimum_units"),
        ({"minimum_units": 20_000, "rope": 5.0}, "minimum_units, rope"),
    ],
)
def test_the_gates_that_bind_are_named(rule: dict[str, Any], gates: str) -> None:
    found = calibrate(plan_of(rule=rule), experiments=1000)
    assert found.attained < BINDS_BELOW * ALPHA
    assert found.binding == gates


def test_contrary_evidence_is_named_where_it_ends_nearly_everything() -> None:
    often = {"number": 40, "units": 100}
    found = calibrate(plan_of(looks=often, rule={"alpha": 0.49, "minimum_days": 40.0}), experiments=1000)
    assert found.binding is not None
    assert CONTRARY in found.binding


def test_every_experiment_is_told_to_the_progress_bar() -> None:
    told: list[tuple[int, int]] = []
    calibrate(PLANS["continuous"], experiments=1100, progress=lambda *one: told.append(one))
    assert told[-1] == (1100, 1100)
    assert len(told) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"coming": ()}, "no look is to come"),
        ({"taken": [Look(4000, 1.0)]}, "without a threshold"),
        ({"experiments": 0}, "whole number from 1"),
    ],
)
def test_what_has_no_threshold_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        calibrate(PLANS["continuous"], **options)


def test_other_promises_have_no_simulated_threshold() -> None:
    with pytest.raises(PlanError, match="'decision' has no threshold"):
        calibrate(planned())


def test_where_looks_taken_ship_too_many_no_look_to_come_ships() -> None:
    plan = PLANS["continuous"]
    looks = declared(plan)
    lax = [replace(one, threshold=0.5) for one in looks[:4]]
    found = calibrate(plan, taken=lax, coming=looks[4:], experiments=1000)
    assert found.attained > ALPHA
    assert np.isfinite(found.value)
