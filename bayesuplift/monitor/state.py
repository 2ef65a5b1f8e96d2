"""The state of a monitored experiment: its plan, its sums, the looks taken, and what was decided."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from bayesuplift.errors import StateError
from bayesuplift.monitor.operating.threshold import Threshold, calibrate
from bayesuplift.monitor.plan import Plan, canonical, digest
from bayesuplift.monitor.plan_file import plan_from
from bayesuplift.monitor.schedule import Look
from bayesuplift.monitor.tally import Segment, Tally, pooled

FORMAT: Final = 1


@dataclass(frozen=True)
class Stop:
    """What ended the experiment.

    Parameters
    ----------
    name
        "CHOOSE", "EQUIVALENT" or "INVALID".
    arm
        The arm chosen.
    at
        Time of the batch.
    """

    name: str
    arm: str | None
    at: str


@dataclass(frozen=True)
class State:
    """Everything that the next update needs; a value, never changed.

    Parameters
    ----------
    plan
        The plan.
    threshold
        Of the looks to come, simulated; none but under the promise "calibrated".
    tallies
        Sums by segment.
    batches
        Number of batches counted.
    at
        Time of the last batch.
    taken
        Looks so far, with the thresholds that they were held against.
    stop
        What ended the experiment, or none.
    deviations
        Where the experiment left its plan, in words.
    """

    plan: Plan
    threshold: Threshold | None
    tallies: Mapping[Segment, Tally] = field(default_factory=dict)
    batches: int = 0
    at: str | None = None
    taken: tuple[Look, ...] = ()
    stop: Stop | None = None
    deviations: tuple[str, ...] = ()

    @property
    def pooled(self) -> Tally:
        """Sums over segments."""
        return pooled(self.plan, self.tallies.values())

    def as_facts(self) -> dict[str, Any]:
        """Plain values that `state_from` takes back."""
        return {
            "format": FORMAT,
            "plan": self.plan.as_facts(),
            "plan_hash": self.plan.hash,
            "threshold": None if self.threshold is None else asdict(self.threshold),
            "tallies": [{"segment": list(key), **one.as_facts()} for key, one in sorted(self.tallies.items())],
            "batches": self.batches,
            "at": self.at,
            "taken": [asdict(one) for one in self.taken],
            "stop": None if self.stop is None else asdict(self.stop),
            "deviations": list(self.deviations),
        }

    def as_json(self) -> str:
        """The facts as JSON in one form."""
        return canonical(self.as_facts())

    @property
    def hash(self) -> str:
        """SHA-256 of `as_json`."""
        return digest(self.as_facts())


def init(plan: Plan, threshold: Threshold | None = None) -> State:
    """The state of an experiment that begins: no data, and under "calibrated" the threshold of its looks.

    Parameters
    ----------
    plan
        The plan.
    threshold
        That of a plan which differs in its name only, simulated before; simulated here where none is given. The other
        promises have none.
    """
    if plan.rule.promise != "calibrated":
        return State(plan=plan, threshold=None)
    return State(plan=plan, threshold=calibrate(plan) if threshold is None else threshold)


def state_from(text: str) -> State:
    """The state that `as_json` told.

    Raises
    ------
    StateError
        The text is cut off, of another format, or its plan is not the one that was hashed.
    """
    try:
        facts = json.loads(text)
        if facts["format"] != FORMAT:
            raise StateError(
                f"the state has format {facts['format']!r}, and this version reads {FORMAT}: use the version that wrote it"
            )
        plan = plan_from(facts["plan"])
        state = State(
            plan=plan,
            threshold=None if facts["threshold"] is None else Threshold(**facts["threshold"]),
            tallies={tuple(one["segment"]): Tally.of_facts(one) for one in facts["tallies"]},
            batches=facts["batches"],
            at=facts["at"],
            taken=tuple(Look(**one) for one in facts["taken"]),
            stop=None if facts["stop"] is None else Stop(**facts["stop"]),
            deviations=tuple(facts["deviations"]),
        )
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise StateError(f"the state is not whole: {error}. Rebuild it from the ledger's batches.") from error
    if plan.hash != facts["plan_hash"]:
        raise StateError(
            f"the plan in the state has hash {plan.hash[:12]}, and it was started with {facts['plan_hash'][:12]}: "
            "it was altered"
        )
    return state
