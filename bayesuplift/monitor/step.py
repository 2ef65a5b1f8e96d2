"""A batch counted, a look taken: the state after it and what a reader is told. No clock, no file, no randomness."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from bayesuplift.errors import BatchError, StateError
from bayesuplift.monitor.batch import Batch, moment, since
from bayesuplift.monitor.evaluation import Evaluated, evaluate
from bayesuplift.monitor.look_facts import look_facts
from bayesuplift.monitor.operating.threshold import Threshold, calibrate
from bayesuplift.monitor.plan import Plan
from bayesuplift.monitor.rules import CONTINUE, EQUIVALENT, bars_of, decide
from bayesuplift.monitor.safeguards import safeguards
from bayesuplift.monitor.schedule import Look, deviates, is_due, next_units, to_come
from bayesuplift.monitor.state import State, Stop
from bayesuplift.monitor.tally import Segment, Tally, nothing, pooled

Alarm = Callable[[Plan, Mapping[Segment, Tally]], list[dict[str, Any]]]
"""Says of which segments a treatment seems to harm: plain values, one for each segment; see `update`."""

INTERVAL = 0.95
"""Mass of the interval of the lift."""


def update(
    state: State, batch: Batch, *, alarm: Alarm | None = None, after_stop: bool = False
) -> tuple[State, dict[str, Any]]:
    """Count a batch and look.

    Parameters
    ----------
    state
        The state before.
    batch
        What came since, or everything so far.
    alarm
        Asked at every look about the sums by segment, where the plan has segments; what it says is told, and decides
        nothing.
    after_stop
        Whether a batch after the end is counted, as a deviation from the plan; it changes no verdict. Else it is refused.

    Returns
    -------
    State
        The state after.
    dict
        The look, plain values: see `look_facts`.

    Raises
    ------
    BatchError
        The batch was taken before the one before it, or before the experiment; a cumulative sum fell.
    StateError
        The experiment has ended.
    """
    plan = state.plan
    _check_order(state, batch, after_stop=after_stop)
    added = since(batch, state.tallies, plan)
    tallies = dict(state.tallies)
    for key, tally in added.tallies.items():
        tallies[key] = tallies.get(key, nothing(plan)) + tally
    everybody = pooled(plan, tallies.values())
    counted = replace(state, tallies=tallies, batches=state.batches + 1, at=batch.at)
    now = Look(sum(everybody.n), float((moment(batch.at).date() - plan.start).days + 1))
    evaluated = evaluate(plan, *everybody.statistics(plan.metric), prob=INTERVAL)
    guarded = safeguards(plan, everybody)
    code = CONTINUE
    if state.stop is not None:
        counted = replace(counted, deviations=(*counted.deviations, f"batch {batch.id}: counted after the end"))
    elif is_due(plan, state.taken, now.units):
        counted, code = _look(counted, evaluated, now, batch)
    if counted.stop is None and not all(one.passed for one in guarded):
        counted = replace(counted, stop=Stop("INVALID", None, batch.at))
    elif counted.stop is None and code != CONTINUE:
        counted = replace(counted, stop=_stop(plan, code, batch.at))
    alarms = [] if alarm is None or not plan.segments else alarm(plan, tallies)
    return counted, look_facts(state, counted, batch, now=now, evaluated=evaluated, guarded=guarded, alarms=alarms)


def _check_order(state: State, batch: Batch, *, after_stop: bool) -> None:
    plan = state.plan
    if state.stop is not None and not after_stop:
        end = state.stop.name + (f" {state.stop.arm}" if state.stop.arm else "")
        raise StateError(
            f"experiment {plan.name!r} ended on {state.stop.at} with {end}; a look after that breaks its promise. Count "
            "the batch as a deviation (after_stop), or start a new experiment."
        )
    if state.at is not None and moment(batch.at) < moment(state.at):
        raise BatchError(
            f"batch {batch.id!r} was taken at {batch.at}, before the last one ({state.at}); give batches in their order"
        )
    if moment(batch.at).date() < plan.start:
        raise BatchError(f"batch {batch.id!r} was taken at {batch.at}, before the experiment's start on {plan.start}")


def _look(state: State, evaluated: Evaluated, now: Look, batch: Batch) -> tuple[State, int]:
    """The look taken, its threshold simulated again where the plan's looks were missed."""
    plan = state.plan
    coming = to_come(plan, state.taken, now)
    threshold = state.threshold
    if threshold is not None and deviates(plan, state.taken, now.units):
        state, threshold = _deviated(state, now, coming, batch)
    held = None if threshold is None else threshold.value
    code = decide(
        bars_of(plan, held),
        evaluated.evidence,
        evaluated.contrary,
        evaluated.belief.relative_loss,
        float(evaluated.prob_equivalent),
        now.days,
        float(now.units),
        not coming,
    )
    return replace(state, taken=(*state.taken, replace(now, threshold=held))), int(code)


def _deviated(state: State, now: Look, coming: tuple[Look, ...], batch: Batch) -> tuple[State, Threshold]:
    plan = state.plan
    declared = next_units(plan, state.taken)
    threshold = calibrate(plan, taken=state.taken, coming=(now, *coming))
    told = (
        f"batch {batch.id}: {now.units:,} units where the plan declares a look at {declared:,}; the threshold of this look "
        f"and of {len(coming)} to come was simulated again: {threshold.value:.4g}"
    )
    return replace(state, threshold=threshold, deviations=(*state.deviations, told)), threshold


def _stop(plan: Plan, code: int, at: str) -> Stop:
    if code == EQUIVALENT:
        return Stop("EQUIVALENT", None, at)
    return Stop("CHOOSE", plan.design.arms[code], at)
