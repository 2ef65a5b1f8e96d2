"""What a ledger hands out, and whether it is what was written."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row

from bayesuplift.errors import ArgumentError, StateError


@dataclass(frozen=True)
class Summary:
    """An experiment in the list of all.

    Parameters
    ----------
    name
        Its name.
    plan_hash
        Hash of its plan.
    entries
        Number of batches applied.
    last_batch_id
        The last of them, or none.
    started_at, last_recorded_at
        When it was started, and when the last batch was recorded: UTC, ISO 8601, by the clock of the machine that wrote.
    """

    name: str
    plan_hash: str
    entries: int
    last_batch_id: str | None
    started_at: str
    last_recorded_at: str | None


@dataclass(frozen=True)
class Stored:
    """An experiment as it stands.

    Parameters
    ----------
    name
        Its name.
    plan_json, plan_hash
        Its plan, and the hash that it was started with.
    state_json, state_hash
        Its state after the last entry, and SHA-256 of that text.
    entries
        Number of batches applied.
    last_batch_id
        The last of them, or none.
    """

    name: str
    plan_json: str
    plan_hash: str
    state_json: str
    state_hash: str
    entries: int
    last_batch_id: str | None


@dataclass(frozen=True)
class Entry:
    """A batch that was applied.

    Parameters
    ----------
    number
        Its place, from 1.
    batch_id, batch_hash, batch_json
        Its name, the hash of its content, and itself.
    look_json
        What the look at it told.
    state_hash
        SHA-256 of the state after it.
    recorded_at
        When: UTC, ISO 8601, by the clock of the machine that wrote. For people: order is the number's.
    """

    number: int
    batch_id: str
    batch_hash: str
    batch_json: str
    look_json: str
    state_hash: str
    recorded_at: str


@dataclass(frozen=True)
class Applied:
    """What came of a batch.

    Parameters
    ----------
    number
        Its place, from 1.
    look_json
        What the look at it tells, or told when it was first applied.
    state_json
        The experiment's state after the last entry, which is another batch's where this one is repeated.
    repeated
        Whether it had been applied before; then nothing was written.
    """

    number: int
    look_json: str
    state_json: str
    repeated: bool


def text_hash(text: str) -> str:
    """SHA-256 of a text in UTF-8.

    >>> text_hash("{}")[:12]
    '44136fa355b3'
    """
    return hashlib.sha256(text.encode()).hexdigest()


def seal(*parts: object) -> str:
    """SHA-256 of several values, told apart: what of a row never changes."""
    return text_hash(json.dumps(parts, default=repr))  # an altered row may hold bytes


def now() -> str:
    """The time, for people."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def checked_text(what: str, value: object) -> str:
    """Return a text that both databases keep as it is.

    Raises
    ------
    ArgumentError
        It is empty or no text, or holds NUL or half of a surrogate pair, which PostgreSQL or UTF-8 has no place for.
    """
    if not isinstance(value, str) or not value.strip():
        raise ArgumentError(f"{what} = {value!r}; give a text that is not empty")
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ArgumentError(
            f"{what} holds NUL or half of a surrogate pair, which a database cannot keep: {value[:80]!r}"
        )
    return value


def check_experiment(row: Row[Any]) -> None:
    """Check what of an experiment never changes.

    Raises
    ------
    StateError
        Plan or first state are not those that it was started with.
    """
    if row.seal != experiment_seal(row.name, row.plan_json, row.plan_hash, row.first_state_json):
        raise StateError(
            f"the plan or the first state of experiment {row.name!r} is not what was written when it was started; "
            "take the ledger from a copy"
        )


def stored_of(row: Row[Any]) -> Stored:
    """An experiment's row and its last entry's.

    Raises
    ------
    StateError
        Plan or first state are not those that it was started with; or the state is not the one that was written, or not
        the one that the last entry led to.
    """
    check_experiment(row)
    _check_state(row)
    return Stored(
        name=row.name,
        plan_json=row.plan_json,
        plan_hash=row.plan_hash,
        state_json=row.state_json,
        state_hash=row.state_hash,
        entries=row.last_number or 0,
        last_batch_id=row.last_batch_id,
    )


def _check_state(row: Row[Any]) -> None:
    found = text_hash(row.state_json) if isinstance(row.state_json, str) else "of no text"
    expected = row.last_state_hash if row.last_number else text_hash(row.first_state_json)
    if not found == row.state_hash == expected:
        after = f"entry {row.last_number}" if row.last_number else "no entry"
        raise StateError(
            f"the state of experiment {row.name!r} was cut off or altered: it has hash {found[:12]}, {row.state_hash[:12]} "
            f"is recorded beside it, and after {after} it was {expected[:12]}. `rebuild` makes it again from the batches"
        )


def entry_of_row(row: Row[Any], name: str) -> Entry:
    """An entry from its row.

    Raises
    ------
    StateError
        It is not what was written.
    """
    entry = Entry(
        number=row.number,
        batch_id=row.batch_id,
        batch_hash=row.batch_hash,
        batch_json=row.batch_json,
        look_json=row.look_json,
        state_hash=row.state_hash,
        recorded_at=row.recorded_at,
    )
    if row.seal != entry_seal(name, entry):
        raise StateError(
            f"entry {row.number} of experiment {name!r} (batch {row.batch_id!r}) was cut off or altered; "
            "take the ledger from a copy"
        )
    return entry


def summary_of(row: Row[Any]) -> Summary:
    """An experiment in the list of all, from its row."""
    return Summary(
        name=row.name,
        plan_hash=row.plan_hash,
        entries=row.last_number or 0,
        last_batch_id=row.last_batch_id,
        started_at=row.started_at,
        last_recorded_at=row.last_recorded_at,
    )


def experiment_seal(name: str, plan_json: str, plan_hash: str, first_state_json: str) -> str:
    """Seal of what of an experiment never changes."""
    return seal(name, plan_json, plan_hash, first_state_json)


def entry_seal(name: str, entry: Entry) -> str:
    """Seal of an entry of an experiment; the time is left out."""
    return seal(
        name, entry.number, entry.batch_id, entry.batch_hash, entry.batch_json, entry.look_json, entry.state_hash
    )
