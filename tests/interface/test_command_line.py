"""The command line: exit codes, streams, files; as a shell meets it where a shell can tell.

A program that is started imports for seconds what this process has: where only its words are looked at, it runs here.
"""

import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bayesuplift.cli import main
from tests.support.analyses import ANALYSIS, COUNTS, written

PROGRAM = [sys.executable, "-m", "bayesuplift"]


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)], check=False, capture_output=True, text=True, cwd=cwd, env=os.environ
    )


def run_here(*arguments: str | Path) -> Result:
    with warnings.catch_warnings():  # they are lines of the program here, which sets how they are shown
        warnings.simplefilter("default")
        return CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("shell")
    return folder, run("analyze", written(folder), cwd=folder)


def test_analyze_decides_writes_and_exits_with_0(analysed: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = analysed
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("order (primary): CHOOSE offer\nChoose offer on order")
    assert "bayesuplift: seed 7" in done.stderr
    assert "fitting" not in done.stderr  # the progress bar is for terminals
    names = sorted(path.name for path in (folder / "out" / "offer").iterdir())
    assert names == ["posterior.nc", "report.html", "report.md", "result.json"]


def test_choose_reads_what_analyze_wrote(analysed: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = analysed
    stored = folder / "out" / "offer" / "posterior.nc"
    wanted = ("--name", "order", "--threshold", "0.001", "--json", "--report", folder / "again.md")
    done = run_here("choose", stored, *wanted)
    assert done.exit_code == 0, done.stderr
    (outcome,) = json.loads(done.stdout)["outcomes"]
    assert outcome["verdict"]["arm"] == "offer"
    assert (folder / "again.md").read_text(encoding="utf-8").startswith("# Which arm for order?")
    refused = run_here("choose", stored, "--threshold", "0.001")
    assert refused.exit_code == 2
    assert "holds 2 posteriors: order, order by channel; name one of them" in refused.stderr


def test_failed_checks_exit_with_3(tmp_path: Path) -> None:
    path = written(tmp_path, analysis=ANALYSIS.replace("offer = 1", "offer = 3"))
    done = run_here("analyze", path, "-o", tmp_path / "results")
    assert done.exit_code == 3
    assert "order (primary): INVALID" in done.stdout
    checked = run("check", path)
    assert checked.returncode == 3
    assert "FAILED  Sample-ratio mismatch" in checked.stdout


def test_check_says_that_an_observational_table_cannot_decide(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        analysis=ANALYSIS.replace("[[outcome]]", "[[outcome]]", 1).replace(
            'trials = "n"', 'trials = "n"\nassignment = "observational"'
        ),
    )
    done = run_here("check", path)
    assert done.exit_code == 3
    assert "FAILED  Units were not assigned to arms at random" in done.stdout


def test_bad_input_exits_with_2_in_one_line_and_writes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, counts=COUNTS.replace("offer,Web,1190,140", "offer,Web,1190,1400"))
    done = run("analyze", path, cwd=tmp_path)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("bayesuplift: seed")]
    assert len(lines) == 1
    assert "1400" in lines[0]
    assert not (tmp_path / "out").exists()
    assert run_here("analyze", tmp_path / "none.toml").exit_code == 2
    assert run_here("analyse").exit_code == 2


def test_warnings_are_one_line_each_and_stand_in_the_report(tmp_path: Path) -> None:
    path = written(tmp_path, counts=COUNTS.replace("offer,Web,1190,140\n", ""))
    path.write_text(path.read_text(encoding="utf-8").replace("intended_split", "# intended_split"), encoding="utf-8")
    done = run_here("analyze", path, "-o", tmp_path / "results")
    assert done.exit_code == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("bayesuplift: warning: ")]
    assert "Web" in line
    assert line.removeprefix("bayesuplift: warning: ") in (tmp_path / "results" / "report.md").read_text(
        encoding="utf-8"
    )


def test_models_are_listed_with_their_questions() -> None:
    done = run_here("models", "--json")
    assert "rate" in json.loads(done.stdout)["beta_binomial"]


def test_help_names_every_command_and_answers_at_once() -> None:
    fastest = float("inf")
    for _ in range(3):  # the best of three: a shared machine may be busy once
        start = time.perf_counter()
        done = run("--help")
        fastest = min(fastest, time.perf_counter() - start)
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("analyze", "check", "choose", "demo", "models", "target"))
    assert fastest < 0.5


def test_importing_the_package_loads_neither_jax_nor_pandas() -> None:
    script = (
        "import sys, time; t = time.perf_counter(); import bayesuplift; s = time.perf_counter() - t;"
        "heavy = {'jax', 'numpyro', 'pandas', 'xarray', 'numba', 'plotly', 'duckdb'} & set(sys.modules);"
        "print(s); assert not heavy, heavy; assert 'fit' in dir(bayesuplift)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.3


def test_every_public_name_can_be_loaded() -> None:
    import bayesuplift  # noqa: PLC0415 -- the lazy names are what is tested

    for name in bayesuplift.__all__:
        assert getattr(bayesuplift, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'fti'"):
        bayesuplift.fti  # noqa: B018
