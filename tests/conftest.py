"""Where the study files are, and what is deselected where they are not."""

import os
from pathlib import Path

import pytest

from tests.support.spark import spark_is_here

ROOT = Path(__file__).resolve().parent.parent


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
