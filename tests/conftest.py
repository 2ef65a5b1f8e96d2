"""Where the study files are, and what is deselected where they are not."""

import os
from pathlib import Path

import pytest

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
    if study_files() is not None:
        return
    left_out = [item for item in items if "real_data" in item.keywords]
    if left_out:
        items[:] = [item for item in items if "real_data" not in item.keywords]
        config.hook.pytest_deselected(items=left_out)
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(
                f"{len(left_out)} tests on the study files deselected: no folder BAYESUPLIFT_DATA or ../shared/data"
            )
