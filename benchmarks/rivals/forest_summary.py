"""What every contestant of the benchmark of causal forests reads and says; numpy alone, for it runs in any environment.

A contestant is a process: it reads a world without its truth from one file, writes what it found to another, and prints one
JSON object on stdout.
"""

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
BOUNDS = (0.025, 0.975)


@dataclass(frozen=True)
class Given:
    """Covariates (unit, covariate), treatment, outcome and propensity (unit,), and how long chains are.

    `propensity` is None where units were randomised.
    """

    x: Array
    z: Array
    y: Array
    propensity: Array | None
    binary: bool
    seed: int
    chains: int
    burn_in: int
    draws: int


def found(effect: Array, lower: Array, upper: Array, average: Array) -> dict[str, Array]:
    """Unit effects with 95% bounds (unit,), and the average one with its bounds."""
    return {"effect": effect, "lower": lower, "upper": upper, "average": average}


def found_by_draws(effect: Array) -> dict[str, Array]:
    """The same from draws of unit effects (draw, unit), with 95% equal-tailed bounds."""
    lower, upper = np.concatenate(
        [np.quantile(part, BOUNDS, axis=0) for part in np.array_split(effect, 16, axis=1)], axis=1
    )
    average = effect.mean(axis=1, dtype=np.float64)
    low, high = np.quantile(average, BOUNDS)
    return found(effect.mean(axis=0, dtype=np.float64), lower, upper, np.array([average.mean(), low, high]))


def contestant(fit: Callable[[Given], Callable[[], dict[str, Array]]], *packages: str) -> None:
    """Run one from the command line: `fit` makes draws, which is timed, and what it returns sums them up, which is not."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--length", type=int, nargs=3, required=True, metavar=("CHAINS", "BURN_IN", "DRAWS"))
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    with np.load(options.file) as file:
        data = {name: file[name] for name in ("x", "z", "y", "propensity")}
    if (data["propensity"] == data["propensity"][0]).all():
        data["propensity"] = None
    binary = bool(np.isin(data["y"], (0.0, 1.0)).all())
    chains, burn_in, draws = options.length
    starts, ends, cpu, peak, summed = [], [], [], [], None
    for run in range(options.runs):
        given = Given(**data, binary=binary, seed=options.seed + run, chains=chains, burn_in=burn_in, draws=draws)
        starts.append((time.monotonic(), sum(os.times()[:4])))
        sum_up = fit(given)
        ends.append(time.monotonic())
        cpu.append(sum(os.times()[:4]))
        peak.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2)
        if summed is None:
            summed = sum_up()
        del sum_up
    assert summed is not None
    np.savez(options.target, allow_pickle=False, **summed)
    said = {
        "ready": ends[0],
        "cpu": cpu[0],
        "seconds": ends[0] - starts[0][0],
        "peak": peak[0],
        "versions": {name: version(name) for name in packages},
    }
    if options.runs > 1:
        said |= {"warm": ends[-1] - starts[-1][0], "cpu_warm": cpu[-1] - starts[-1][1]}
    sys.stdout.write(f"\n{json.dumps(said)}\n")
