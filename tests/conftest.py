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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if study_files() is None:
        leave_out(config, items, "real_data", "on the study files", "no folder BAYESUPLIFT_DATA or ../shared/data")
    if any("spark" in item.keywords for item in items) and not spark_is_here():
        leave_out(config, items, "spark", "on Spark", "PySpark and a Java (on PATH or JAVA_HOME) are not both here")


def leave_out(config: pytest.Config, items: list[pytest.Item], marker: str, what: str, reason: str) -> None:
    """Deselect the tests of a marker, and say so in one line."""
    left_out = [item for item in items if marker in item.keywords]
    if left_out:
        items[:] = [item for item in items if marker not in item.keywords]
        config.hook.pytest_deselected(items=left_out)
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(f"{len(left_out)} tests {what} deselected: {reason}")
