"""Run every benchmark, write the tables into benchmarks/README.md and print them.

Started by `make bench`. Engines take turns, each repetition in a process of its own, so that a busy minute of the machine
falls on all of them; the tables hold medians and ratios.
"""

import argparse
import datetime as dt
import json
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.tables import put, table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
EXPERIMENTS = HERE / "files" / "experiments.json"
GOLDEN = ROOT / "tests" / "golden" / "beta_comparison.json"
RIVALS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
LOSSES_FROM = 1e-8

OURS = [sys.executable, str(HERE / "exact_comparison.py")]
ENGINES: dict[str, tuple[str, list[str]]] = {
    "bayesuplift, all intervals": (
        "P(best), loss, P(beats control), mean and 95% interval of difference and lift",
        [*OURS, "--with-intervals"],
    ),
    "bayesuplift, no intervals": ("the same without intervals", OURS),
    "gbstats": (
        "chance to win, risk and interval of each treatment against the control, by a normal approximation",
        [str(RIVALS_PYTHON), str(HERE / "rivals" / "gbstats_run.py"), str(EXPERIMENTS), "--count", "500"],
    ),
    "bayesian-testing": (
        "P(best), loss and interval of each arm's rate, by 20,000 draws",
        [str(RIVALS_PYTHON), str(HERE / "rivals" / "bayesian_testing_run.py"), str(EXPERIMENTS), "--count", "300"],
    ),
}
ANSWERING = {
    "bayesuplift": [*OURS, "--cases", str(GOLDEN)],
    "gbstats": [str(RIVALS_PYTHON), str(HERE / "rivals" / "gbstats_run.py"), str(GOLDEN)],
    "bayesian-testing": [str(RIVALS_PYTHON), str(HERE / "rivals" / "bayesian_testing_run.py"), str(GOLDEN)],
}


def asked(command: list[str]) -> Any:
    """What a script prints as JSON."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def speed(rounds: int) -> tuple[str, dict[str, str]]:
    asked(["/usr/bin/env", *OURS])  # compiles
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in ENGINES}
    for _ in range(rounds):
        for name, (_, command) in ENGINES.items():
            runs[name].append(asked(command))
    each = {name: [run["seconds"] / run["experiments"] for run in found] for name, found in runs.items()}
    reference = each["bayesuplift, all intervals"]
    rows = []
    for name, (what, _) in ENGINES.items():
        seconds = statistics.median(each[name])
        ratio = statistics.median(own / ours for own, ours in zip(each[name], reference, strict=True))
        timed = runs[name][0]["experiments"]
        rows.append([name, what, f"{timed:,}", f"{1 / seconds:,.0f}", f"{10_000 * seconds:.2f} s", f"{ratio:.2f}"])
    versions = {key: value for found in runs.values() for key, value in found[0]["versions"].items()}
    versions["numpy"] = "{}, the rivals' {}".format(
        runs["bayesuplift, no intervals"][0]["versions"]["numpy"], runs["gbstats"][0]["versions"]["numpy"]
    )
    header = ["engine", "answers", "experiments timed", "experiments a second", "10,000 take", "time, ours = 1"]
    return table(header, rows), versions


def error_of_probability(answer: dict[str, list[float]], case: dict[str, Any]) -> float | None:
    name = "prob_best" if "prob_best" in answer else "prob_beats_control"
    return max(abs(own - float(known)) for own, known in zip(answer[name], case[name], strict=True))


def error_of_loss(answer: dict[str, list[float]], case: dict[str, Any]) -> float | None:
    if "expected_loss" not in answer:
        return None
    pairs = [(own, float(known)) for own, known in zip(answer["expected_loss"], case["expected_loss"], strict=True)]
    return max(abs(own / known - 1) for own, known in pairs if known >= LOSSES_FROM)


def accuracy() -> str:
    cases = json.loads(GOLDEN.read_text())["cases"]
    found = {name: asked(command)["answers"] for name, command in ANSWERING.items()}

    def cell(error: float | None) -> str:
        return "not given" if error is None else f"{error:.0e}"

    rows = []
    for i, case in enumerate(cases):
        shown = [cell(error_of_probability(answers[i], case)) for answers in found.values()]
        shown += [cell(error_of_loss(answers[i], case)) for answers in found.values()]
        rows.append([case["name"], str(len(case["alpha"])), *shown])
    header = ["posteriors", "arms", *[f"P, {name}" for name in found], *[f"loss, {name}" for name in found]]
    return table(header, rows)


def cells() -> str | None:
    script = HERE / "cells.py"
    if not script.exists():
        return None
    rows = [
        [
            row["task"],
            row["engine"],
            f"{row['seconds_median']:.2f} s",
            f"{row['bare_seconds_median']:.2f} s",
            f"{row['ratio']:.2f}",
            f"{row['peak_memory_mb']:,.0f} MB",
        ]
        for row in asked([sys.executable, str(script)])
    ]
    return table(["task", "engine", "ours", "bare group-by", "ratio", "peak memory"], rows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--skip-cells", action="store_true")
    options = parser.parse_args()
    asked_for = [sys.executable, str(HERE / "exact_comparison.py"), "--make"]
    subprocess.run(asked_for, check=True, cwd=ROOT)
    speeds, versions = speed(options.rounds)
    today = dt.datetime.now(tz=dt.UTC).date()
    named = ", ".join(f"{name} {number}" for name, number in versions.items())
    opening = (
        f"Run on {today} by `make bench`: Python {platform.python_version()}, {named}. "
        f"Medians of {options.rounds} rounds in which the engines take turns."
    )
    parts = [
        opening,
        "### Three-arm experiments",
        speeds,
        "### Errors against 40-digit arithmetic",
        accuracy(),
    ]
    grouped = None if options.skip_cells else cells()
    if grouped:
        parts += ["### Rows to cells", grouped]
    text = "\n\n".join(parts)
    put("tables", text)
    print(text)


if __name__ == "__main__":
    main()
