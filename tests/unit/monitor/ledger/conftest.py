"""A ledger in either database: in a file, and on a server where BAYESUPLIFT_POSTGRES names one."""

import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, make_url

from bayesuplift.monitor.ledger.ledger import Ledger
from bayesuplift.monitor.ledger.opening import open_ledger
from tests.calibration.ledger_faults import start

MEMORY = Path("/dev/shm")  # noqa: S108 -- its folders are tempfile's


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder in memory where the system has such: a commit waits for the disk, and these tests commit by the hundred."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None, prefix="bayesuplift.") as folder:
        yield Path(folder)


def own_schema(server: str) -> Iterator[str]:
    """URL of an empty schema of its own, which is dropped afterwards."""
    url = make_url(server).set(drivername="postgresql+psycopg")
    name = f"ledger_{uuid.uuid4().hex}"
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {name}")
    yield url.update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(hide_password=False)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP SCHEMA {name} CASCADE")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a ledger may be made."""
    if request.param == "sqlite":
        yield str(tmp_path / "runs.db")
    else:
        yield from own_schema(os.environ["BAYESUPLIFT_POSTGRES"])


@pytest.fixture
def ledger(place: str) -> Ledger:
    """A ledger that has one experiment, `ledger_faults.NAME`, and no batch."""
    return start(place)


@pytest.fixture
def impatient(ledger: Ledger, place: str) -> Ledger:
    """The same ledger, for a writer who waits a tenth of a second."""
    assert ledger.read("checkout").entries == 0
    return open_ledger(place, timeout=0.1)
