"""Our samplers of the partially pooled model against PyMC's and nutpie's: seconds to effective draws, on Hillstrom's cells.

Engines take turns, every run in a process of its own, with empty caches of compiled code and then once more with what the
first run left there. Writes its table into benchmarks/README.md and prints it.

Started by `make bench-pooling`, from the project's root: python -m benchmarks.partial_pooling [--rounds N] [--no-scale]
"""

import argparse
import datetime as dt
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats
from numpy.typing import NDArray

from bayesuplift.dims import CHAIN, DRAW
from bayesuplift.inference.vectorised import SUPERCHAINS
from bayesuplift.posterior.diagnostics import r_hat
from benchmarks.tables import put, table

ROOT = Path(__file__).resolve().parents[1]
CELLS = ROOT / "benchmarks" / "files" / "pooled_cells.json"
NUTPIE = str(ROOT / ".venv-nutpie" / "bin" / "python")
RIVAL = [NUTPIE, "-m", "benchmarks.rivals.pooled_run"]
OURS = [sys.executable, "-m", "benchmarks.partial_pooling_ours"]
LEAST_ESS = 1500.0
OUR_NAME = "bayesuplift, hmc"


@dataclass
class Engine:
    """A command, whether its second start is timed, whether it has rounds of its own number, and what its runs said."""

    name: str
    length: str
    command: list[str]
    again: bool = True
    slow: bool = False
    cold: list[float] = field(default_factory=list)
    second: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    cpu_cold: list[float] = field(default_factory=list)
    cpu_second: list[float] = field(default_factory=list)
    cpu_warm: list[float] = field(default_factory=list)
    ess_cold: list[float] = field(default_factory=list)
    ess_warm: list[float] = field(default_factory=list)
    r_hat: list[float] = field(default_factory=list)
    divergences: int = 0
    means: list[NDArray[np.float64]] = field(default_factory=list)
    errors: list[NDArray[np.float64]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def least_ess(self) -> float:
        return min(self.ess_cold + self.ess_warm)


ENGINES = [
    Engine(OUR_NAME, "32 x (150 + 150)", [*OURS, "--engine", "hmc", "--draws", "150"]),
    Engine(
        "nutpie (numba)",
        "4 x (400 + 3,000)",
        [*RIVAL, "nutpie", "--draws", "3000", "--warmup", "400"],
    ),
    Engine(
        "PyMC NUTS",
        "4 x (1,000 + 1,000)",
        [*RIVAL, "pymc", "--draws", "1000", "--warmup", "1000"],
        again=False,
        slow=True,
    ),
    Engine("bayesuplift, nuts", "4 x (1,000 + 1,000)", [*OURS, "--engine", "nuts"], again=False, slow=True),
]


def started(command: list[str], caches: Path) -> dict[str, Any]:
    """What a process says, with the seconds from its start to its draws."""
    environment = os.environ | {
        "XDG_CACHE_HOME": str(caches / "user"),
        "NUMBA_CACHE_DIR": str(caches / "numba"),
        "PYTENSOR_FLAGS": f"base_compiledir={caches / 'pytensor'}",
    }
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said | {"total": said["ready"] - start}


def turn(engine: Engine, seed: int) -> None:
    """One round of one engine: cold, warm, and a second start."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "effects.npy"
        command = [*engine.command, str(CELLS), str(target), "--seed", str(seed)]
        said = started(command, Path(folder))
        effects = np.load(target)
        if engine.again:
            again = started([*command, "--runs", "1"], Path(folder))
            engine.second.append(again["total"])
            engine.cpu_second.append(again["cpu"])
    engine.cold.append(said["total"])
    engine.warm.append(said["seconds"][1])
    engine.cpu_cold.append(said["cpu"])
    engine.cpu_warm.append(said["cpu_warm"])
    engine.divergences += sum(said["divergences"])
    engine.versions |= said["versions"]
    for run, found in zip(effects, (engine.ess_cold, engine.ess_warm), strict=True):
        values = np.moveaxis(run, -1, 0)
        superchains = SUPERCHAINS if run.shape[0] > SUPERCHAINS else 0
        found.append(float(array_stats.ess(values, chain_axis=-2, draw_axis=-1, method="bulk").min()))
        engine.r_hat.append(float(r_hat(xr.DataArray(run, dims=(CHAIN, DRAW, "effect")), superchains).max()))
        engine.means.append(values.mean((1, 2)))
        engine.errors.append(array_stats.mcse(values, chain_axis=-2, draw_axis=-1, method="mean"))


def agreement(one: Engine, other: Engine) -> float:
    """Largest difference of two engines' means of an effect, all runs together, in Monte Carlo standard errors."""

    def pooled(engine: Engine) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        variance = np.mean(np.square(engine.errors), axis=0) / len(engine.errors)
        return np.mean(engine.means, axis=0), variance

    (mean, variance), (other_mean, other_variance) = pooled(one), pooled(other)
    return float((np.abs(mean - other_mean) / np.sqrt(variance + other_variance)).max())


def row(engine: Engine, ours: Engine) -> list[str]:
    def ratio(theirs: list[float], own: list[float]) -> str:
        return f"{statistics.median(a / b for a, b in zip(theirs, own, strict=False)):.2f}"

    per_cold = statistics.median(ess / seconds for ess, seconds in zip(engine.ess_cold, engine.cold, strict=True))
    per_warm = statistics.median(ess / seconds for ess, seconds in zip(engine.ess_warm, engine.warm, strict=True))
    return [
        engine.name,
        engine.length,
        f"{statistics.median(engine.cold):.1f} s",
        f"{statistics.median(engine.second):.1f} s" if engine.second else "not timed",
        f"{statistics.median(engine.warm):.1f} s",
        " / ".join(
            f"{statistics.median(found):.1f}" if found else "not timed"
            for found in (engine.cpu_cold, engine.cpu_second, engine.cpu_warm)
        ),
        f"{engine.least_ess:,.0f}",
        f"{max(engine.r_hat):.4f}",
        str(engine.divergences),
        f"{per_cold:,.0f}",
        f"{per_warm:,.0f}",
        ratio(engine.cold, ours.cold),
        ratio(engine.warm, ours.warm),
        "" if engine is ours else f"{agreement(engine, ours):.1f}",
    ]


HEADER = [
    "engine",
    "chains x (warm-up + draws)",
    "cold start to draws",
    "second start",
    "warm",
    "processor seconds of the three",
    "smallest ESS",
    "largest R-hat",
    "divergent",
    "ESS a cold second",
    "ESS a warm second",
    "cold, ours = 1",
    "warm, ours = 1",
    "largest difference of a mean, Monte Carlo errors",
]


def scaled() -> str:
    """One row: 1,000 segments of four arms."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*OURS, "--scale"]
        cold, second = started(command, Path(folder)), started(command, Path(folder))
    trusted = "; ".join(cold["failed"]) or "all passed"
    cells = [
        "1,000 segments (10 x 10 x 10) x 4 arms, 200 units a cell",
        cold["method"] + (f" ({cold['fallback']})" if cold["fallback"] else ""),
        f"{cold['total']:.1f} s",
        f"{second['total']:.1f} s",
        f"{cold['cpu']:.1f} / {second['cpu']:.1f}",
        f"{max(cold['peak'], second['peak']):.2f} GB",
        f"{cold['ess']:,.0f}",
        f"{cold['r_hat']:.4f}",
        trusted,
    ]
    header = ["cells", "engine", "cold start to draws", "second start", "processor seconds of the two", "peak memory"]
    return table([*header, "smallest ESS of a rate", "largest R-hat", "diagnostics"], [cells])


def main() -> None:
    parser = argparse.ArgumentParser(description="Samplers of the partially pooled model, side by side.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slow-rounds", type=int, default=1, help="rounds of engines that take minutes")
    parser.add_argument("--only", nargs="+", choices=[engine.name for engine in ENGINES])
    parser.add_argument("--no-scale", action="store_true")
    options = parser.parse_args()
    engines = [engine for engine in ENGINES if not options.only or engine.name in options.only]
    subprocess.run([*OURS, "--make", str(CELLS)], check=True, cwd=ROOT)
    loads = []
    for k in range(options.rounds):
        for engine in engines:
            if engine.slow and k >= options.slow_rounds:
                continue
            loads.append(os.getloadavg()[0])
            turn(engine, seed=10 * k + 1)
            seconds = [round(found[-1], 2) for found in (engine.cold, engine.second, engine.warm) if found]
            seconds += [round(found[-1], 1) for found in (engine.cpu_cold, engine.cpu_second, engine.cpu_warm) if found]
            ess = [round(engine.ess_cold[-1]), round(engine.ess_warm[-1])]
            print(
                f"{engine.name}: {seconds} s (wall, then processor), ESS {ess}, load {loads[-1]:.2f}",
                file=sys.stderr,
                flush=True,
            )
    versions = {key: value for engine in engines for key, value in engine.versions.items()}
    named = ", ".join(f"{name} {number}" for name, number in versions.items())
    slow = [engine.name for engine in engines if engine.slow]
    opening = (
        f"Run on {dt.datetime.now(tz=dt.UTC).date()} by `make bench-pooling`: Python {platform.python_version()}, {named}. "
        f"Medians of {options.rounds} rounds, of {options.slow_rounds} for {' and '.join(slow) or 'none'}; "
        f"load average before a run {min(loads):.1f} to {max(loads):.1f}, the engine before it included."
    )
    short = [engine.name for engine in engines if engine.least_ess < LEAST_ESS]
    if short:
        opening += f" Smallest ESS below {LEAST_ESS:,.0f}: {', '.join(short)}; read its times by ESS a second."
    parts = [opening, table(HEADER, [row(engine, engines[0]) for engine in engines])]
    if not options.no_scale:
        parts.append(scaled())
    text = "\n\n".join(parts)
    print(text)
    if not options.only and not options.no_scale:
        put("pooled samplers", text)


if __name__ == "__main__":
    main()
