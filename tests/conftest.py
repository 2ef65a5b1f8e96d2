"""Where the study files are, what is deselected where they are not, and how programs are compiled for tests."""

import os
from pathlib import Path

import pytest

from tests.support.spark import spark_is_here

ROOT = Path(__file__).resolve().parent.parent

# XLA reads this when JAX is first asked for a device, later than here. Most programs of a test run once: to optimise them
# takes longer than they run. What they compute is the same program; `make calibrate` and the benchmarks optimise.
if "optimization_level" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=1".strip()


def study_files() -> Path | None:
    """The folder named by BAYESUPLIFT_DATA, else the one beside the checkout, else nothing."""
    named = os.environ.get("BAYESUPLIFT_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = study_files()
    assert folder is not None, "tests that ask for real_data must carry the marker real_data"
    return folder


def absent() -> dict[str, str]:
    """Markers of tests that cannot run here, each with the line that says so."""
    found = {}
    if study_files() is None:
        found["real_data"] = "tests on the study files deselected: no folder BAYESUPLIFT_DATA or ../shared/data"
    if not spark_is_here():
        found["spark"] = "tests on Spark deselected: PySpark and a Java (on PATH or JAVA_HOME) are not both here"
    if not os.environ.get("BAYESUPLIFT_POSTGRES"):
        found["postgres"] = "tests on PostgreSQL deselected: no BAYESUPLIFT_POSTGRES with the URL of a database"
    return found


def pytest_report_header() -> list[str]:
    """Say it where it is read, also when the tests are dealt to several processes."""
    return list(absent().values())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    markers = absent()
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        (left_out if any(marker in item.keywords for marker in markers) else kept).append(item)
    if left_out:
        items[:] = kept
        config.hook.pytest_deselected(items=left_out)
