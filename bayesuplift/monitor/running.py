"""Experiments that run in a ledger: started, updated, looked up and replayed."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bayesuplift.errors import StateError
from bayesuplift.monitor.batch import Batch, batch_of
from bayesuplift.monitor.ledger.ledger import Ledger
from bayesuplift.monitor.plan import Plan, canonical
from bayesuplift.monitor.state import State, init, state_from
from bayesuplift.monitor.step import Alarm, update

Facts = dict[str, Any]


@dataclass(frozen=True)
class Recorded:
    """A look that stands in the ledger.

    Parameters
    ----------
    look
        Its facts.
    repeated
        Whether the batch had been counted before; nothing was written then, and the look is the one of that time.
    """

    look: Facts
    repeated: bool


def start(ledger: Ledger, plan: Plan) -> tuple[State, bool]:
    """Freeze a plan in the ledger; the state, and whether it is new.

    A plan that is there already changes nothing, and nothing is simulated for it.

    Raises
    ------
    LedgerConflictError
        An experiment of this name has another plan.
    """
    if any(one.name == plan.name and one.plan_hash == plan.hash for one in ledger.experiments()):
        return state_of(ledger, plan.name), False
    state = init(plan)
    new = ledger.start(plan.name, plan_json=canonical(plan.as_facts()), plan_hash=plan.hash, state_json=state.as_json())
    return (state if new else state_of(ledger, plan.name)), new


def record(
    ledger: Ledger,
    name: str,
    table: Any,
    *,
    id: str | None = None,  # noqa: A002 -- the word of the command line
    at: str | None = None,
    cumulative: bool = False,
    alarm: Alarm | None = None,
    after_stop: bool = False,
) -> Recorded:
    """Count a batch and look, in one transaction.

    Parameters
    ----------
    ledger
        Where the experiment is.
    name
        The experiment.
    table
        As in `batch_of`.
    id
        Name of the batch. A cumulative batch without one is called by its time.
    at
        When it was taken; now, if left out.
    cumulative
        Whether it holds everything since the start.
    alarm, after_stop
        As in `update`.

    Raises
    ------
    BatchError
        The batch holds a fault, or has no name.
    LedgerConflictError
        A batch of this name was counted, with other content.
    StateError
        The experiment has ended, or what is stored is not what was written.
    """
    plan = state_of(ledger, name).plan
    taken = at or datetime.now(UTC).isoformat(timespec="seconds")
    own = id if id is not None or not cumulative else f"everything up to {taken}"
    batch = batch_of(plan, table, id=own or "", at=taken, cumulative=cumulative)

    applied = ledger.apply(
        name,
        batch_id=batch.id,
        batch_hash=batch.hash,
        batch_json=canonical(batch.as_facts() | {"after_stop": after_stop}),
        step=lambda state_json, batch_json: _stepped(state_json, batch_json, alarm),
    )
    return Recorded(json.loads(applied.look_json), applied.repeated)


def state_of(ledger: Ledger, name: str) -> State:
    """The state of an experiment as it stands."""
    return state_from(ledger.read(name).state_json)


def looks_of(ledger: Ledger, name: str) -> list[Facts]:
    """Every look of an experiment, in order."""
    return [json.loads(entry.look_json) for entry in ledger.entries(name)]


def last_look(ledger: Ledger, name: str) -> Facts | None:
    """The last look of an experiment; none before its first batch."""
    entry = ledger.last(name)
    return None if entry is None else json.loads(entry.look_json)


def replay(ledger: Ledger, name: str) -> list[Facts]:
    """Every look again, from the plan and the batches alone.

    Raises
    ------
    StateError
        A look comes out different from the one that was recorded, but for the version that made it: the entry, and the
        facts that differ.
    """
    stored = ledger.read(name)
    state_json = init(state_from(stored.state_json).plan).as_json()
    looks = []
    for entry in ledger.entries(name):
        state_json, look_json = _stepped(state_json, entry.batch_json, _recorded_alarms(entry.look_json))
        told, now = json.loads(entry.look_json), json.loads(look_json)
        differ = sorted(key for key in told.keys() | now.keys() if told.get(key) != now.get(key) and key != "version")
        if differ:
            raise StateError(
                f"batch {entry.batch_id!r} of experiment {name!r} is replayed with other {', '.join(differ)} than version "
                f"{told.get('version')} recorded; this is version {now['version']}"
            )
        looks.append(now)
    return looks


def rebuild(ledger: Ledger, name: str) -> State:
    """Make the state again from the first one and the batches, where what is stored of it was cut off or altered.

    Raises
    ------
    StateError
        A look comes out different from the one that was recorded; nothing is changed then.
    """
    return state_from(
        ledger.rebuild(
            name, lambda state, entry: _stepped(state, entry.batch_json, _recorded_alarms(entry.look_json))
        ).state_json
    )


def _stepped(state_json: str, batch_json: str, alarm: Alarm | None) -> tuple[str, str]:
    facts = json.loads(batch_json)
    after, look = update(state_from(state_json), Batch.of_facts(facts), alarm=alarm, after_stop=facts["after_stop"])
    return after.as_json(), canonical(look)


def _recorded_alarms(look_json: str) -> Alarm | None:
    """What an alarm said is another model's word: a replay takes it as recorded."""
    told: list[Facts] = json.loads(look_json)["segment_alarms"]
    return lambda _, __: told
