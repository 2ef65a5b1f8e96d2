"""What simulated plans say of themselves holds, and a live experiment on the same data ends alike."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from bayesuplift import monitor
from bayesuplift.errors import ArgumentError, ArmNotFoundError, PlanError
from bayesuplift.monitor.evaluation import evaluate
from bayesuplift.monitor.operating.blocks import BLOCK, always
from bayesuplift.monitor.operating.characteristics import simulate, simulate_all
from bayesuplift.monitor.operating.ends import Ends, Estimate, estimated, run
from bayesuplift.monitor.operating.summary import calibration_of
from bayesuplift.monitor.operating.threshold import calibrate
from bayesuplift.monitor.operating.worlds import draw, effects_of_prior
from bayesuplift.monitor.plan import Plan
from bayesuplift.monitor.rules import CONTINUE
from bayesuplift.monitor.schedule import declared
from tests.support.monitored import batch, planned

EXPERIMENTS = 6000
TIME = {"name": "time", "kind": "continuous", "baseline": 10.0, "sd": 20.0}
PRIOR = {"kind": "normal", "sd": 0.5}
DECISION = planned(metric=TIME, prior=PRIOR, rule={"relative_loss": 0.005, "control_loss": 0.005})
ENOUGH = 3.0  # Monte Carlo errors


def stated_and_real(ends: Ends) -> tuple[Estimate, Estimate, Estimate, Estimate]:
    found = calibration_of(ends)
    parts = found.wrong_sign_stated, found.wrong_sign_real, found.loss_stated, found.loss_real
    assert None not in parts
    return parts  # type: ignore[return-value]


def of_prior(plan: Plan, informed: Plan) -> Ends:
    return run(plan, lambda generator, size: effects_of_prior(informed, generator, size), EXPERIMENTS, 1)


@pytest.mark.parametrize("kind", ["continuous", "binary"])
def test_under_the_matched_prior_what_is_stated_at_the_stop_is_so(kind: str) -> None:
    plan = DECISION
    if kind == "binary":
        plan = planned(rule={"relative_loss": 0.01, "control_loss": 0.01}, prior={"kind": "normal", "sd": 0.1})
    sign_stated, sign_real, loss_stated, loss_real = stated_and_real(of_prior(plan, plan))
    assert abs(sign_stated.value - sign_real.value) < 0.01 + ENOUGH * sign_real.mcse
    assert abs(loss_stated.value - loss_real.value) < ENOUGH * math.hypot(loss_stated.mcse, loss_real.mcse)
    assert loss_real.mcse < 0.1 * loss_real.value


def test_a_flat_prior_breaks_both() -> None:
    sign_stated, sign_real, loss_stated, loss_real = stated_and_real(of_prior(replace(DECISION, prior=None), DECISION))
    assert sign_real.value - sign_stated.value > 0.01 + ENOUGH * sign_real.mcse
    assert loss_real.value - loss_stated.value > 0.1 * loss_stated.value + ENOUGH * loss_real.mcse


def test_e_values_ship_at_most_alpha_and_their_level_ignored_ships_more() -> None:
    plan = planned(rule={"promise": "anytime"}, looks={"number": 20, "units": 400})
    found = simulate(plan, experiments=2000)
    assert found.ships.value <= 0.05 + ENOUGH * found.ships.mcse
    ignored = replace(plan, rule=replace(plan.rule, alpha=0.4999))
    assert simulate(ignored, experiments=2000, relative_effect=0.1).ships.value > found.ships.value


def test_shares_sum_to_one_and_the_table_tells_them() -> None:
    plan = planned(rule={"promise": "calibrated", "rope": 0.2, "relative_loss": 0.05})
    threshold = calibrate(plan, experiments=2000).value
    found = simulate(plan, relative_effect={"B": 0.1}, experiments=1300, threshold=threshold)
    parts = [found.ships, found.control, found.equivalent, found.undecided]
    assert sum(part.value for part in parts) == pytest.approx(1.0, abs=1e-12)
    assert found.equivalent.value > 0.0
    for word in (
        "1,300 simulated experiments, effect B +10.0%",
        "equivalent",
        found.ships.percent(),
        "threshold of evidence",
    ):
        assert word in str(found)
    drawn = simulate(plan, from_prior=True, experiments=1300, threshold=threshold)
    assert "stated" in str(drawn)
    assert drawn.calibration is not None


def test_a_plan_is_calibrated_where_no_threshold_is_given() -> None:
    plan = planned(metric=TIME, prior=PRIOR, rule={"promise": "calibrated", "relative_loss": 0.05})
    found = simulate(plan, experiments=500)
    assert found.threshold == calibrate(plan).value


def test_several_effects_share_one_threshold_and_say_so_in_words_and_facts() -> None:
    plan = planned(metric=TIME, prior=PRIOR, rule={"promise": "calibrated", "relative_loss": 0.05})
    told: list[tuple[int, int]] = []
    found = simulate_all(plan, experiments=500, progress=lambda *one: told.append(one))
    assert told[-1] == (2000 + 4 * 500, 2000 + 4 * 500)
    assert found.threshold == calibrate(plan)
    assert [one.threshold for one in found.results] == [found.threshold.value] * 4
    assert found.results[1] == simulate(plan, relative_effect=0.05, experiments=500, threshold=found.threshold.value)
    assert [one.calibration is None for one in found.results] == [True, True, True, False]
    assert "of 2,000 simulated experiments without effect" in str(found)
    assert str(found.results[3]) in str(found)
    facts = json.loads(json.dumps(found.as_facts()))
    assert facts["results"][2]["days"]["mcse"] == found.results[2].days.mcse
    held = simulate_all(replace(plan, rule=replace(plan.rule, relative_loss=1e-5)), effects=[0.02], experiments=500)
    assert len(held.results) == 1
    assert "held below 80% of that by: relative_loss" in str(held)
    assert simulate_all(replace(DECISION, prior=None), experiments=100).threshold is None


def test_a_harmful_treatment_is_worse_and_a_helpful_one_is_missed_at_its_worth() -> None:
    plan = planned(metric=TIME, prior=PRIOR, rule={"promise": "calibrated", "relative_loss": 0.05})
    harmful = simulate(plan, relative_effect=-0.01, experiments=1000, threshold=1.0)
    assert harmful.ships.value == harmful.ships_wrong.value > 0.0
    assert harmful.loss.value == pytest.approx(0.01 * harmful.ships.value, rel=1e-12)
    helpful = simulate(plan, relative_effect=0.02, experiments=1000, threshold=1.0)
    assert helpful.ships_wrong.value == 0.0
    assert helpful.loss.value == pytest.approx(0.02 * (1.0 - helpful.ships.value), rel=1e-12)


@pytest.mark.parametrize("promise", ["calibrated", "anytime", "decision"])
def test_a_live_experiment_on_the_same_data_ends_alike(promise: str) -> None:
    plan = planned(rule={"promise": promise, "relative_loss": 0.005, "control_loss": 0.005, "minimum_days": 2.0})
    begun = monitor.init(plan)
    threshold = None if begun.threshold is None else begun.threshold.value
    experiments = 25
    effects = np.array([0.0, 0.15])
    ends = run(plan, always(effects), experiments, 5, threshold=threshold)
    # The block's own draws, once more.
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(5).spawn(1)[0]))
    n, total, _ = draw(plan, declared(plan), np.broadcast_to(effects, (experiments, 2)), generator)
    each_n, each_total = (np.diff(one, axis=1, prepend=0.0).astype(int) for one in (n, total))
    stops = []
    for i in range(experiments):
        state = begun
        for k in range(plan.looks.number):
            state, _ = monitor.update(state, batch(plan, k + 1, each_n[i, k].tolist(), each_total[i, k].tolist()))
            if state.stop is not None:
                break
        code = CONTINUE if state.stop is None else plan.design.index(state.stop.arm)
        stops.append((code, state.batches))
    assert stops == list(zip(ends.code.tolist(), ends.days.astype(int).tolist(), strict=True))
    assert len(set(stops)) > 3


def test_what_is_stated_at_the_stop_is_what_was_believed_there() -> None:
    ends = of_prior(DECISION, DECISION)
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(1).spawn(EXPERIMENTS // BLOCK)[0]))
    effects = effects_of_prior(DECISION, generator, BLOCK)
    statistics = draw(DECISION, declared(DECISION), effects, generator)
    belief = evaluate(DECISION, *statistics).belief
    for i in range(50):
        at, arm = int(ends.days[i]) - 1, max(int(ends.code[i]), 0)
        assert ends.loss[i] == belief.relative_loss[i, at, arm]
        assert ends.wrong_sign[i] == 1.0 - belief.prob_beats_control[i, at, arm]
        assert ends.units[i] == statistics[0][i, at].sum()
        assert ends.best[i] - ends.gain[i] == pytest.approx(max(effects[i].max(), 0.0) - effects[i, arm], abs=1e-15)


def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    several = simulate(DECISION, experiments=2 * BLOCK + 100, from_prior=True)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert simulate(DECISION, experiments=2 * BLOCK + 100, from_prior=True) == several


def test_the_error_is_that_of_a_mean() -> None:
    found = estimated([1.0, 2.0, 6.0])
    assert found.value == 3.0
    assert found.mcse == pytest.approx(math.sqrt(7.0 / 3.0), abs=1e-15)


def test_what_cannot_be_simulated_is_refused() -> None:
    with pytest.raises(ArgumentError, match="relative_effect = 'much'"):
        simulate(DECISION, relative_effect="much")  # type: ignore[arg-type]
    with pytest.raises(ArmNotFoundError, match="no arm named 'C'"):
        simulate(DECISION, relative_effect={"C": 0.1})
    with pytest.raises(ArgumentError, match="0 for the control"):
        simulate(DECISION, relative_effect={"A": 0.1})
    with pytest.raises(PlanError, match="flat prior"):
        simulate(replace(DECISION, prior=None), from_prior=True)
    with pytest.raises(ArgumentError, match="whole number from 2"):
        simulate(DECISION, experiments=1)
