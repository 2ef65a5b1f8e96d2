"""How long the monitor takes from a shell: a simulated plan, and one batch. For monitoring.py."""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.tables import table

PROGRAM: Final = [sys.executable, "-m", "bayesuplift", "monitor"]
EXPERIMENTS: Final = 10_000
THRESHOLD: Final = 50_000  # experiments behind the threshold of "calibrated", by default
LOOKS: Final = 30
METRICS: Final = {
    "binary": ("baseline = 0.05", 0.05),
    "continuous": ("baseline = 10.0\nsd = 20.0", 0.5),
    "revenue": ("baseline = 2.5\nsd = 20.0\nbuyers = 0.05", 0.05),
}
"""What is expected of an outcome, and the sd of the prior of effects: 5% of the mean."""
START: Final = date(2026, 1, 5)


@dataclass(frozen=True)
class Took:
    """Wall and processor seconds of a process, start to exit, and what it printed."""

    wall: float
    processor: float
    stdout: str


def took(*arguments: str | Path) -> Took:
    """Run the monitor once."""
    before, began = used(), time.perf_counter()
    done = subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False)
    wall, processor = time.perf_counter() - began, used() - before
    if done.returncode not in {0, 10, 11, 12}:
        sys.exit(f"{arguments} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return Took(wall, processor, done.stdout)


def used() -> float:
    """Processor seconds of the processes that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def times(rounds: int) -> str:
    """The table of times: medians of the rounds; every command is run once before, which compiles what it needs."""
    rows = []
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plans = {
            f"{promise}, {kind}": plan(folder, promise, kind)
            for promise in ("decision", "anytime", "calibrated")
            for kind in METRICS
        }
        for what, path in plans.items():
            rows.append(simulated(what, path, rounds))
            print(f"{what}: done", file=sys.stderr, flush=True)
        rows += [updated(folder, f"{promise}, binary", plans, rounds) for promise in ("decision", "calibrated")]
    header = [
        "command",
        "plan",
        "simulated experiments x looks",
        "seconds",
        "processor seconds",
        "seconds of 10,000 x 30",
    ]
    told = f"Medians of {rounds} rounds, each a process from start to exit; load of the machine before: {load:.1f}."
    return f"{table(header, rows)}\n\n{told}"


def plan(folder: Path, promise: str, kind: str) -> Path:
    """Two arms, 2,000 units an arm a day, 30 daily looks."""
    path = folder / f"{promise} {kind}.toml"
    expected, sd = METRICS[kind]
    path.write_text(
        f"""
name = "{path.stem}"
arms = ["A", "B"]
control = "A"
start = {START}
[metric]
name = "y"
kind = "{kind}"
{expected}
[prior]
kind = "normal"
sd = {sd}
[looks]
number = {LOOKS}
units = 4000
[rule]
promise = "{promise}"
experiments = {THRESHOLD}
""",
        encoding="utf-8",
    )
    return path


def simulated(what: str, path: Path, rounds: int) -> list[str]:
    """`monitor simulate` at one effect."""
    command = ("simulate", path, "--effect", "0.05", "--experiments", str(EXPERIMENTS), "--json")
    results = answers(json.loads(took(*command).stdout))
    runs = [took(*command) for _ in range(rounds)]
    wall = statistics.median(run.wall for run in runs)
    processor = statistics.median(run.processor for run in runs)
    # One result for each effect, that of effects from the prior too, and the experiments behind a threshold.
    parts = results + what.startswith("calibrated") * THRESHOLD // EXPERIMENTS
    shown = f"{parts} x {EXPERIMENTS:,} x {LOOKS}" if parts > 1 else f"{EXPERIMENTS:,} x {LOOKS}"
    return ["monitor simulate", what, shown, f"{wall:.1f}", f"{processor:.1f}", f"{wall / parts:.1f}"]


def answers(told: Any) -> int:
    """How many effects were simulated."""
    return len(told["results"] if isinstance(told, dict) else told)


def updated(folder: Path, what: str, plans: dict[str, Path], rounds: int) -> list[str]:
    """`monitor update` with one day's counts."""
    ledger = folder / f"{what}.db"
    took("start", plans[what], "--ledger", ledger)
    generator = np.random.default_rng(1)
    runs = []
    for k in range(rounds + 1):
        day = START + timedelta(days=k)
        batch = folder / f"{day}.csv"
        rows = [f"{arm},2000,{generator.binomial(2000, 0.05)}" for arm in "AB"]
        batch.write_text("\n".join(["arm,n,y", *rows, ""]), encoding="utf-8")
        runs.append(
            took("update", plans[what].stem, batch, "--ledger", ledger, "--batch-id", str(day), "--at", str(day))
        )
    wall = statistics.median(run.wall for run in runs[1:])
    processor = statistics.median(run.processor for run in runs[1:])
    return ["monitor update", what, "", f"{wall:.2f}", f"{processor:.2f}", ""]
