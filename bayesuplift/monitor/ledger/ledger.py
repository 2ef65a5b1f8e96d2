"""Experiments in a ledger: started once, batches applied once, all of it read again."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, insert, select, update

from bayesuplift.errors import ArgumentError, LedgerConflictError, StateError, did_you_mean, listed
from bayesuplift.monitor.ledger.records import (
    Applied,
    Entry,
    Stored,
    Summary,
    check_experiment,
    checked_text,
    entry_of_row,
    entry_seal,
    experiment_seal,
    now,
    stored_of,
    summary_of,
    text_hash,
)
from bayesuplift.monitor.ledger.tables import entries, entry_of, experiments, page, row_locked, schema_locked, stored
from bayesuplift.monitor.ledger.transactions import reading, writing

Step = Callable[[str, str], tuple[str, str]]
"""From a state and a batch, both JSON, to the state after it and the look at it, both JSON; a pure function."""

Again = Callable[[str, Entry], tuple[str, str]]
"""The same from a state and an entry, whose look may hold what is not computed again, such as another model's word."""

_PAGE: Final = 256  # entries read at a time


@dataclass(frozen=True)
class Ledger:
    """A durable list of experiments, each with its plan, its batches in order, its looks, and its state.

    It knows nothing of what these texts mean. Every method is one transaction, or reads one; `open_ledger` makes one.

    Parameters
    ----------
    url
        The file, or the URL of the database without its password.
    engine
        How it is connected to.
    """

    url: str
    engine: Engine = field(repr=False, compare=False)

    def start(self, name: str, *, plan_json: str, plan_hash: str, state_json: str) -> bool:
        """Enter an experiment with its plan and its first state.

        Returns
        -------
        Whether it was entered: False where it was there with this plan, which changes nothing.

        Raises
        ------
        ArgumentError
            A text is empty, or cannot be kept.
        LedgerConflictError
            It is there with another plan.
        LedgerError
            The database refuses.
        """
        checked_text("name of the experiment", name)
        for what, text in (("plan", plan_json), ("hash of the plan", plan_hash), ("state", state_json)):
            checked_text(what, text)
        with writing(self.engine, self.url) as connection:
            connection.execute(schema_locked())
            row = connection.execute(stored().where(experiments.c.name == name)).one_or_none()
            if row is None:
                connection.execute(
                    insert(experiments).values(
                        name=name,
                        plan_json=plan_json,
                        plan_hash=plan_hash,
                        first_state_json=state_json,
                        seal=experiment_seal(name, plan_json, plan_hash, state_json),
                        state_json=state_json,
                        state_hash=text_hash(state_json),
                        started_at=now(),
                    )
                )
            elif row.plan_hash != plan_hash:
                raise LedgerConflictError(
                    f"experiment {name!r} was started with a plan of hash {row.plan_hash}, and this one has {plan_hash}. "
                    "A plan is frozen: start another experiment under another name"
                )
            return row is None

    def experiments(self) -> list[Summary]:
        """Every experiment, by name.

        Raises
        ------
        LedgerError
            The database refuses.
        """
        with reading(self.engine, self.url) as connection:
            return sorted((summary_of(row) for row in connection.execute(stored())), key=lambda one: one.name)

    def read(self, name: str) -> Stored:
        """An experiment as it stands; no writer is waited for.

        Raises
        ------
        ArgumentError
            There is no such experiment.
        StateError
            Plan or state are not what was written.
        LedgerError
            The database refuses.
        """
        with reading(self.engine, self.url) as connection:
            return stored_of(_row(connection, name))

    def entries(self, name: str) -> Iterator[Entry]:
        """The batches of an experiment in the order in which they were applied, read as they are asked for.

        Raises
        ------
        ArgumentError, StateError, LedgerError
            As `read`; or an entry is gone, or not what was written.
        """
        with reading(self.engine, self.url) as connection:
            row = _row(connection, name)
        after = 0
        while found := self._page(name, row.id, after):
            yield from found
            after = found[-1].number

    def last(self, name: str) -> Entry | None:
        """The last entry of an experiment; none before its first.

        Raises
        ------
        ArgumentError, StateError, LedgerError
            As `read`; or the entry is not what was written.
        """
        with reading(self.engine, self.url) as connection:
            row = _row(connection, name)
            return _entries(connection, name, row.id, row.last_number - 1)[-1] if row.last_number else None

    def apply(self, name: str, *, batch_id: str, batch_hash: str, batch_json: str, step: Step) -> Applied:
        """Apply a batch, once: whatever happens, all of it is there or nothing.

        The experiment is locked first, so that of several writers each sees the state that the one before it left. A batch
        that is there already, under its name and with its hash, is not applied again.

        Parameters
        ----------
        name
            The experiment.
        batch_id, batch_hash, batch_json
            The batch: its name within the experiment, a hash of its content, and itself.
        step
            What makes the new state and the look; an exception in it leaves the ledger as it was.

        Raises
        ------
        ArgumentError
            There is no such experiment, or a text is empty or cannot be kept.
        LedgerConflictError
            A batch of that name is there, with other content.
        StateError
            The state is not what was written.
        LedgerError
            The database refuses. If that happened while committing, the batch may be there: apply it again.
        """
        for what, text in (("batch_id", batch_id), ("batch_hash", batch_hash), ("batch", batch_json)):
            checked_text(what, text)
        with writing(self.engine, self.url) as connection:
            connection.execute(row_locked(name))
            row = _row(connection, name)
            before = stored_of(row)
            known = connection.execute(entry_of(row.id, batch_id)).one_or_none()
            if known is not None:
                entry = entry_of_row(known, name)
                _check_same(name, entry, batch_hash)
                return Applied(entry.number, entry.look_json, before.state_json, repeated=True)
            state_json, look_json = _checked(*step(before.state_json, batch_json))
            entry = Entry(
                number=before.entries + 1,
                batch_id=batch_id,
                batch_hash=batch_hash,
                batch_json=batch_json,
                look_json=look_json,
                state_hash=text_hash(state_json),
                recorded_at=now(),
            )
            connection.execute(
                insert(entries).values(experiment_id=row.id, seal=entry_seal(name, entry), **vars(entry))
            )
            _set_state(connection, row.id, state_json)
            return Applied(entry.number, look_json, state_json, repeated=False)

    def rebuild(self, name: str, step: Again) -> Stored:
        """Make an experiment's state again, from its first state and all its batches, and put it in its place.

        Raises
        ------
        ArgumentError
            There is no such experiment.
        StateError
            The first state or an entry are not what was written, or `step` tells another look or leads to another state
            than was recorded, which another version of the program may do. Nothing is changed.
        LedgerError
            The database refuses.
        """
        with writing(self.engine, self.url) as connection:
            connection.execute(row_locked(name))
            row = _row(connection, name)
            check_experiment(row)
            state_json, after = str(row.first_state_json), 0
            while found := _entries(connection, name, row.id, after):
                for entry in found:
                    state_json, look_json = _checked(*step(state_json, entry))
                    _check_again(name, entry, look_json, state_json)
                after = found[-1].number
            _set_state(connection, row.id, state_json)
            return stored_of(_row(connection, name))

    def _page(self, name: str, experiment_id: int, after: int) -> list[Entry]:
        # A transaction for each page: one left open while its entries are looked at would keep the log from shrinking.
        with reading(self.engine, self.url) as connection:
            return _entries(connection, name, experiment_id, after)


def _row(connection: Connection, name: str) -> Row[Any]:
    row = connection.execute(stored().where(experiments.c.name == name)).one_or_none()
    if row is None:
        there = sorted(connection.execute(select(experiments.c.name)).scalars())
        known = f"it holds {listed(there)}." if there else "it holds none."
        raise ArgumentError(f"no experiment {name!r} in the ledger; {known}{did_you_mean(name, there)}")
    return row


def _entries(connection: Connection, name: str, experiment_id: int, after: int) -> list[Entry]:
    """The next entries, each of them what was written, none left out."""
    found = [entry_of_row(row, name) for row in connection.execute(page(experiment_id, after, _PAGE))]
    for expected, entry in enumerate(found, start=after + 1):
        if entry.number != expected:
            raise StateError(
                f"entry {expected} of experiment {name!r} is gone: {entry.number} follows; take the ledger from a copy"
            )
    return found


def _check_same(name: str, entry: Entry, batch_hash: str) -> None:
    if entry.batch_hash != batch_hash:
        raise LedgerConflictError(
            f"batch {entry.batch_id!r} of experiment {name!r} was applied at {entry.recorded_at} as entry {entry.number}, "
            f"with content of hash {entry.batch_hash}, and this one has {batch_hash}. A batch is never counted twice, nor "
            "changed: give what is new an id of its own"
        )


def _check_again(name: str, entry: Entry, look_json: str, state_json: str) -> None:
    differs = [
        what
        for what, same in (
            ("the look", look_json == entry.look_json),
            ("the state", text_hash(state_json) == entry.state_hash),
        )
        if not same
    ]
    if differs:
        raise StateError(
            f"entry {entry.number} of experiment {name!r} (batch {entry.batch_id!r}), made again, is not what was "
            f"recorded: {' and '.join(differs)} differs. Nothing was changed; rebuild with the version that wrote it"
        )


def _checked(state_json: str, look_json: str) -> tuple[str, str]:
    return checked_text("state", state_json), checked_text("look", look_json)


def _set_state(connection: Connection, experiment_id: int, state_json: str) -> None:
    connection.execute(
        update(experiments)
        .where(experiments.c.id == experiment_id)
        .values(state_json=state_json, state_hash=text_hash(state_json))
    )
