"""The ledger's tables, and the statements that are put to them."""

from functools import cache
from typing import Any, Final

from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    UniqueConstraint,
    and_,
    func,
    select,
)

SCHEMA_VERSION: Final = 1

metadata: Final = MetaData()

schema: Final = Table(
    "bayesuplift_ledger",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("created_at", Text, nullable=False),
)

experiments: Final = Table(
    "experiments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("plan_json", Text, nullable=False),
    Column("plan_hash", Text, nullable=False),
    Column("first_state_json", Text, nullable=False),
    Column("seal", Text, nullable=False),  # of what is above, which never changes
    Column("state_json", Text, nullable=False),
    Column("state_hash", Text, nullable=False),
    Column("started_at", Text, nullable=False),
)

entries: Final = Table(
    "entries",
    metadata,
    Column("experiment_id", ForeignKey(experiments.c.id), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("batch_id", Text, nullable=False),
    Column("batch_hash", Text, nullable=False),
    Column("batch_json", Text, nullable=False),
    Column("look_json", Text, nullable=False),
    Column("state_hash", Text, nullable=False),
    Column("seal", Text, nullable=False),  # of what is above
    Column("recorded_at", Text, nullable=False),
    UniqueConstraint("experiment_id", "batch_id"),
)


def row_locked(name: str) -> Select[Any]:
    """The key of an experiment, held until the transaction ends; SQLite has no locks of rows, and none are asked for."""
    return select(experiments.c.id).where(experiments.c.name == name).with_for_update()


def schema_locked() -> Select[Any]:
    """The schema's version, held until the transaction ends: what two may not do at once although no row is there yet."""
    return select(schema.c.version).with_for_update()


@cache  # built anew, it took longer than the database
def stored() -> Select[Any]:
    """Every experiment with its last entry, in one statement: it sees one moment, in either database."""
    among = entries.alias("among")
    last = select(func.max(among.c.number)).where(among.c.experiment_id == experiments.c.id)
    return (
        select(
            experiments,
            entries.c.number.label("last_number"),
            entries.c.batch_id.label("last_batch_id"),
            entries.c.state_hash.label("last_state_hash"),
            entries.c.recorded_at.label("last_recorded_at"),
        )
        .select_from(experiments)
        .outerjoin(
            entries,
            and_(
                entries.c.experiment_id == experiments.c.id,
                entries.c.number == last.correlate(experiments).scalar_subquery(),
            ),
        )
    )


def entry_of(experiment_id: int, batch_id: str) -> Select[Any]:
    """The entry of a batch."""
    return select(entries).where(entries.c.experiment_id == experiment_id, entries.c.batch_id == batch_id)


def page(experiment_id: int, after: int, limit: int) -> Select[Any]:
    """Entries from number `after` + 1 on, in order, at most `limit`."""
    return (
        select(entries)
        .where(entries.c.experiment_id == experiment_id, entries.c.number > after)
        .order_by(entries.c.number)
        .limit(limit)
    )
