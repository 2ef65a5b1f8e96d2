"""Targeting: policy trees beside econml's greedy one, the path of a budget, and a million units by a thousand draws.

Started by `make bench-targeting`, from the project's root:
    python -m benchmarks.targeting [--rounds N] [--no-million] [--write]
"""

import argparse
import datetime as dt
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import h5netcdf
import numpy as np
from numpy.typing import NDArray

import bayesuplift as bu
from bayesuplift.decisions.allocation.budget_path import budget_path
from bayesuplift.decisions.trees.search import search_tree
from benchmarks.tables import put, table

ROOT: Final = Path(__file__).resolve().parents[1]
RIVALS: Final = str(ROOT / ".venv-forests" / "bin" / "python")
FILES: Final = ROOT / "benchmarks" / "files"
MILLION: Final = (1_000_000, 4, 250)  # units, chains, draws of each
SEED: Final = 20261122
REPEATS: Final = 3

Array = NDArray[np.float64]


def steps(n: int, actions: int, seed: int) -> tuple[Array, Array]:
    """Ten normal covariates; each action but the first earns a smooth function of two of them, with noise (row, action)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 10))
    reward = np.zeros((n, actions))
    for action in range(1, actions):
        reward[:, action] = np.tanh(x[:, action]) + 0.5 * x[:, action + 3] + rng.normal(0.0, 1.0, n)
    return x, reward


def crossed(n: int, seed: int) -> tuple[Array, Array]:
    """An action that gains where two covariates have the same sign and loses elsewhere, of ten; little noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 10))
    gain = np.where((x[:, 0] > 0) == (x[:, 1] > 0), 1.0, -1.0) + rng.normal(0.0, 0.1, n)
    return x, np.column_stack([np.zeros(n), gain])


def best_time(call: Callable[[], Any], repeats: int = REPEATS) -> tuple[float, Any]:
    """Seconds of the fastest of a few calls, and what the last returned."""
    seconds, found = [], None
    for _ in range(repeats):
        began = time.perf_counter()
        found = call()
        seconds.append(time.perf_counter() - began)
    return min(seconds), found


def rival(x: Array, reward: Array, least: int) -> dict[str, Any]:
    """econml's answer on the same rows, from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.npz"
        np.savez(file, x=x, reward=reward)
        command = [RIVALS, "-m", "benchmarks.rivals.tree_econml", str(file), "--depth", "2"]
        command += ["--least", str(least), "--repeats", str(REPEATS)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def trees(rounds: int) -> tuple[str, dict[str, str]]:
    """Exact trees of depth two beside greedy ones, on the same rows in the same minutes."""
    search_tree(*steps(200, 2, 0), least_units=2.0)  # compiled before any clock runs
    search_tree(*steps(200, 3, 0), least_units=2.0)
    worlds: dict[str, tuple[Callable[[int], tuple[Array, Array]], int]] = {
        "10,000 rows, 10 covariates, 2 actions": (lambda k: steps(10_000, 2, SEED + k), 0),
        "the same, 3 actions, leaves of 50 and more": (lambda k: steps(10_000, 3, SEED + k), 50),
        "10,000 rows, gains on two crossed signs": (lambda k: crossed(10_000, SEED + k), 0),
    }
    rows, versions = [], {}
    for name, (world, least) in worlds.items():
        ours, theirs, worth = [], [], []
        for k in range(rounds):
            x, reward = world(k)
            seconds, tree = best_time(partial(search_tree, x, reward, least_units=float(least)))
            other = rival(x, reward, least)
            oracle = float(reward.max(axis=1).sum())
            ours.append(seconds)
            theirs.append(other["seconds"])
            worth.append((tree.value / oracle, other["value"] / oracle))
            versions = other["versions"]
        ratio = statistics.median(one / two for one, two in zip(ours, theirs, strict=True))
        mine, its = (statistics.median(pair[side] for pair in worth) for side in (0, 1))
        rows.append(
            [
                name,
                *(f"{statistics.median(one):.3f} s" for one in (ours, theirs)),
                f"{ratio:.1f}",
                f"{mine:.3f}",
                f"{its:.3f}",
            ]
        )
    x, reward = steps(1_000_000, 2, SEED)
    seconds, tree = best_time(lambda: search_tree(x, reward, most_steps=0.0), 1)
    oracle = float(reward.max(axis=1).sum())
    rows.append(["1,000,000 rows, 2 actions, 64 bins", f"{seconds:.2f} s", "", "", f"{tree.value / oracle:.3f}", ""])
    header = ["rows", "exact", "econml's greedy tree", "time, econml = 1", "of the per-row optimum", "econml's"]
    return table(header, rows), versions


def budget() -> str:
    """The whole path of a budget over 100,000 units and three treatments."""
    rng = np.random.default_rng(SEED)
    reward, cost = rng.normal(0.3, 1.0, (100_000, 3)), rng.uniform(0.5, 3.0, (100_000, 3))
    weight = np.ones(100_000)
    budget_path(reward[:100], cost[:100], weight[:100])
    seconds, path = best_time(lambda: budget_path(reward, cost, weight), 10)
    return f"100,000 units x 3 treatments, whole path ({len(path.spend):,} steps): {seconds:.3f} s, the fastest of ten."


def million(folder: Path) -> str:
    """Target a million units of three arms by a thousand draws in a file, value the policy, and say time and memory."""
    file = folder / "million.nc"
    if not file.exists():
        write_draws(file)
    command = [sys.executable, "-m", "benchmarks.targeting", "--one-million", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    return (
        f"1,000,000 units x 1,000 draws x 3 arms, read in blocks from a file of {file.stat().st_size / 2**30:.1f} GB: "
        f"`target` by `RiskAdjusted(0.3)` {told['target']:.0f} s, `policy_value` {told['value']:.0f} s, peak memory "
        f"{told['peak']:.2f} GB; load of the machine before it {told['load']:.1f}."
    )


def write_draws(file: Path) -> None:
    """Draws of mean outcomes in single precision, written by blocks of units."""
    units, chains, draws = MILLION
    rng = np.random.default_rng(SEED)
    block = 20_000
    with h5netcdf.File(file, "w") as held:
        held.attrs["control"] = "control"
        held.attrs["outcome"] = "spend"
        group = held.create_group("posterior")
        group.dimensions = {"chain": chains, "draw": draws, "unit": units, "arm": 3}
        arm = group.create_variable("arm", ("arm",), dtype=h5netcdf.core.h5py.string_dtype())
        arm[:] = np.array(["control", "men", "women"], dtype=object)
        means = group.create_variable("mean_outcome", ("chain", "draw", "unit", "arm"), dtype="f4")
        for start in range(0, units, block):
            centre = rng.normal([0.0, 0.05, 0.0], 0.2, (block, 3)).astype("f4")
            noise = rng.standard_normal((chains, draws, block, 3), dtype=np.float32)
            means[:, :, start : start + block, :] = centre + np.float32(0.15) * noise


def one_million(file: Path) -> None:
    """What the process does that is measured."""
    load, began = os.getloadavg()[0], time.perf_counter()
    posterior = bu.load(file, in_memory=False)
    economics = bu.Economics(1.0, {"men": 0.1, "women": 0.05})
    policy = bu.target(posterior, economics, rule=bu.RiskAdjusted(0.3))
    targeted = time.perf_counter()
    bu.summarize_value(bu.policy_value(policy, posterior))
    ended = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"target": targeted - began, "value": ended - targeted, "peak": peak, "load": load}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-million", action="store_true", help="leave out the file of 12 GB")
    parser.add_argument("--one-million", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    options = parser.parse_args()
    if options.one_million:
        one_million(options.one_million)
        return
    text, versions = trees(options.rounds)
    parts = [text, budget()]
    if not options.no_million:
        FILES.mkdir(exist_ok=True)
        parts.append(million(FILES))
    ours = f"bayesuplift {bu.__version__}, numba {version('numba')}, numpy {np.__version__}"
    where = f"Python {platform.python_version()}, {os.cpu_count()} cores, {dt.datetime.now(dt.UTC):%Y-%m-%d}"
    parts.append(f"{ours}, econml {versions['econml']}; {where}; command: `make bench-targeting`.")
    told = "\n\n".join(parts)
    print(told)
    if options.write:
        put("targeting", told)


if __name__ == "__main__":
    main()
