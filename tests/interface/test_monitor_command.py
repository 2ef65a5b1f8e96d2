"""`bayesuplift monitor` as a shell meets it: every exit code is a verdict."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bayesuplift.cli import main

PLAN = """
name = "button"
arms = ["A", "B"]
control = "A"
start = 2026-01-05

[metric]
name = "conversion"
kind = "binary"
baseline = 0.05

[prior]
kind = "normal"
sd = 0.05

[looks]
number = 5
units = 4000

[rule]
promise = "decision"
minimum_days = 0
rope = 0.05
"""


def monitor(*arguments: str | Path, command: str = "monitor", **options: Any) -> Result:
    words = [command] if command else []
    return CliRunner().invoke(main, [*words, *map(str, arguments)], **options)


def table(folder: Path, name: str, a: tuple[int, int], b: tuple[int, int]) -> Path:
    path = folder / f"{name}.csv"
    path.write_text(f"arm,n,conversion\nA,{a[0]},{a[1]}\nB,{b[0]},{b[1]}\n")
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BAYESUPLIFT_LEDGER", str(tmp_path / "runs.db"))
    (tmp_path / "plan.toml").write_text(PLAN)
    done = monitor("start", tmp_path / "plan.toml")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("button: started; plan ")
    return tmp_path


@pytest.mark.parametrize(
    ("a", "b", "code", "told"),
    [
        ((500, 25), (500, 26), 0, "CONTINUE"),
        ((9000, 450), (9000, 600), 10, "CHOOSE B"),
        ((9000, 600), (9000, 450), 11, "CHOOSE A"),
        ((90_000, 4500), (90_000, 4500), 12, "EQUIVALENT"),
        ((9000, 450), (6000, 600), 20, "INVALID"),
    ],
)
def test_the_exit_code_is_the_verdict(folder: Path, a: Any, b: Any, code: int, told: str) -> None:
    done = monitor("update", "button", table(folder, "one", a, b), "--batch-id", "1", "--at", "2026-01-05")
    assert done.exit_code == code, done.output
    assert done.stdout.startswith(f"button, look 1: {told}\n")
    assert "Promise: decision: if effects are drawn from the stated prior" in done.stdout
    asked = monitor("status", "button", "--json")
    assert asked.exit_code == code
    look = json.loads(asked.stdout)
    assert f"{look['verdict']['name']} {look['verdict']['arm'] or ''}".rstrip() == told
    again = monitor("replay", "button")
    assert again.exit_code == code
    assert "1 looks replayed" in again.stdout
    if code:
        after = monitor("update", "button", table(folder, "two", a, b), "--batch-id", "2", "--at", "2026-01-06")
        assert after.exit_code == 3
        assert "a look after that breaks its promise" in after.stderr


def test_bad_input_exits_with_2_and_a_conflict_with_3(folder: Path) -> None:
    good = table(folder, "good", (100, 5), (100, 6))
    first = monitor("update", "button", good, "--batch-id", "1", "--at", "2026-01-05")
    repeated = monitor("update", "button", good, "--batch-id", "1")
    assert (repeated.exit_code, repeated.stdout) == (0, first.stdout)
    assert "this batch was counted before" in repeated.stderr
    changed = monitor("update", "button", table(folder, "other", (100, 5), (100, 7)), "--batch-id", "1")
    assert changed.exit_code == 3
    bad = monitor("update", "button", table(folder, "bad", (100, 5), (100, 107)), "--batch-id", "2")
    assert bad.exit_code == 2
    assert "row 2: conversion = 107 of n = 100 units" in bad.stderr
    assert monitor("update", "button", good).exit_code == 2
    assert monitor("update", "buttn", good, "--batch-id", "1").exit_code == 2
    assert monitor("status", "button", "--ledger", folder / "none.db").exit_code == 2
    other = folder / "other.toml"
    other.write_text(PLAN.replace("4000", "5000"))
    assert monitor("start", other).exit_code == 3
    assert monitor("start", folder / "plan.toml").stdout.startswith("button: was started before")
    listed = monitor("status")
    assert [line.split() for line in listed.stdout.splitlines()] == [
        ["experiment", "batches", "last"],
        ["button", "1", "1"],
    ]


def test_batches_come_through_pipes_and_cumulatively(folder: Path) -> None:
    text = table(folder, "one", (100, 5), (100, 6)).read_text()
    piped = monitor("update", "button", "-", "--cumulative", "--at", "2026-01-05", "--json", input=text)
    assert piped.exit_code == 0, piped.output
    assert json.loads(piped.stdout)["units"] == 200
    more = table(folder, "more", (300, 15), (290, 16))
    assert json.loads(monitor("update", "button", more, "--cumulative", "--json").stdout)["units"] == 590


def test_plans_are_simulated_and_sized_before_they_start(folder: Path) -> None:
    told = monitor("simulate", folder / "plan.toml", "--experiments", "400", "--effect", "0.1", "--json")
    assert told.exit_code == 0, told.stderr
    assert "seed 1" in told.stderr
    (at_ten,) = json.loads(told.stdout)["results"]
    assert at_ten["ships"]["value"] > 0.3
    sizes = monitor(
        folder / "plan.toml", "--units", "2000", "--units", "8000", "--experiments", "400", command="design"
    )
    assert sizes.exit_code == 0, sizes.stderr
    rows = sizes.stdout.splitlines()
    assert rows[1].split()[:3] == ["units", "a", "look"]
    assert [row.split()[0] for row in rows[2:]] == ["2,000", "8,000"]


def test_a_shell_sees_the_code(folder: Path) -> None:
    words = ["monitor", "update", "button", "-", "--batch-id", "1", "--at", "2026-01-05"]
    done = subprocess.run(
        [sys.executable, "-m", "bayesuplift", *words],
        input="arm,n,conversion\nA,9000,450\nB,9000,600\n",
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 10, done.stderr
    assert done.stdout.startswith("button, look 1: CHOOSE B")
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.argv[1:] = {['monitor', 'status', 'button']!r}\n{_PROBE}"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert loaded.stdout.splitlines()[-1] == "[]", loaded.stdout + loaded.stderr
    assert folder.exists()


_PROBE = """
from bayesuplift.cli import main
try:
    main()
except SystemExit:
    print(sorted({"jax", "numpyro", "xarray", "plotly"} & set(sys.modules)))
"""
