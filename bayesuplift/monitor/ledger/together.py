"""Many changes of a ledger in one transaction: one wait for the disk, where each alone would wait for its own."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Self, cast

from sqlalchemy import Connection, Engine

from bayesuplift.monitor.ledger.ledger import Ledger
from bayesuplift.monitor.ledger.transactions import writing


@contextmanager
def together(ledger: Ledger) -> Iterator[Ledger]:
    """Yield the ledger again; what is done to it is kept when the block ends well, else nothing of it.

    Each method stays whole by itself: one that is refused, with its exception caught inside the block, takes nothing of the
    others with it. Blocks may lie within one another. Other writers wait until the outermost ends.

    Raises
    ------
    LedgerError
        The database refuses.
    """
    with writing(ledger.engine, ledger.url) as connection:
        held: Any = connection
        yield Ledger(ledger.url, cast("Engine", _Held(held.connection if isinstance(held, _Held) else held)))


class _Held:
    """Stands where a ledger expects its engine: every transaction is a part, a savepoint, of one that is open."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the connection to the block that opened it."""

    def connect(self) -> "_Held":
        return self

    def execution_options(self, **_: object) -> "_Held":
        return self

    def begin(self) -> AbstractContextManager[Any]:
        return self.connection.begin_nested()

    def execute(self, *statement: Any) -> Any:
        return self.connection.execute(*statement)
