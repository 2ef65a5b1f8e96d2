"""Where the study files are, and what is deselected where they are not."""

import gc
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.spark import spark_is_here

# A process of tests has one core to itself, and threads for more of them would wait for each other in loops. Libraries read
# these when they are loaded: by the processes that xdist starts, and by programs that tests start. The last is XLA's.
os.environ.update({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "NPROC": "1"})

# Tests compile more than they run. What the package does not say of a program, XLA is told here: of what tests evaluate on
# their own, and of the forests' kernel, which is compiled sooner and runs slower for it: a loss in long runs, which are
# not made here. Users, `make calibrate` and the benchmarks compile it without these.
_QUICKLY = ("backend_optimization_level=1", "cpu_use_fusion_emitters=false", "cpu_parallel_codegen_split_count=1")
os.environ["XLA_FLAGS"] = " ".join([*(f"--xla_{flag}" for flag in _QUICKLY), os.environ.get("XLA_FLAGS", "")])

# Traced programs are many small objects that stay: it does not pay to look through them as often as Python does.
gc.set_threshold(50_000, 20, 100)

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
    items.sort(key=_turn)


# Whole files go to one process each (`--dist loadfile`), since tests of a file share what they compiled. Those that take
# the most processor time go first, so that no process is left alone with one of them at the end; two files that share
# fits, or what they compiled, are one.
_FIRST = (
    "tests/contracts/test_posteriors.py",
    "tests/twins/test_reference.py",
    "tests/calibration/test_models.py",
    "tests/interface/test_notebooks.py",
    "tests/unit/models/test_forest_doses.py",
    "tests/interface/test_command_line.py",
    "tests/unit/inference/test_many_chains.py",
    "tests/unit/inference/test_forest_sampler.py",
    "tests/interface/test_readme.py",
    "tests/twins/test_log_density.py",
    "tests/unit/models/test_bayesian_causal_forest.py",
    "tests/unit/data/test_faults.py",
    "tests/unit/models/test_prior_effects.py",
    "tests/unit/models/test_portfolio.py",
    "tests/unit/models/test_pooling_priors.py",
    "tests/unit/posterior/test_predictive_kinds.py",
    "tests/unit/models/test_forest_stores.py",
    "tests/unit/models/test_forest_rates.py",
    "tests/properties/test_cells.py",
    "tests/unit/inference/test_forest_steps.py",
    "tests/unit/models/test_forest_propensities.py",
)
_SPARK = "pyspark"  # tests in this scope, and tests with it in their names: a Java is started once
_TOGETHER = {
    "tests/unit/data/test_distributed.py": _SPARK,
    "tests/twins/test_reference.py": "tests/contracts/test_posteriors.py",
    "tests/unit/models/test_forest_doses.py": "tests/unit/models/test_forest_refusals.py",
    "tests/unit/models/test_forest_predictions.py": "tests/unit/models/test_forest_refusals.py",
    "tests/unit/models/test_forest_sensitivity.py": "tests/unit/models/test_forest_refusals.py",
}


def _turn(item: pytest.Item) -> int:
    """The file's place among those that go first; others keep the order they were found in."""
    file = item.nodeid.split("::", 1)[0]
    return _FIRST.index(file) if file in _FIRST else len(_FIRST)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deal files out in the order above, whatever number of tests they hold."""
    from xdist.scheduler import LoadFileScheduling  # noqa: PLC0415 -- a run in one process needs no xdist

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return _SPARK if _SPARK in nodeid else _TOGETHER.get(file, file)

    if config.option.dist != "loadfile":
        return None
    config.option.loadscopereorder = False
    return Files(config, log)
