"""What it costs to compile a program for the time to its draws: first and second fits, beside JAX's own options.

Every run is a process of its own, which finds no compiled program. Levels are those of `inference/compilation.py`.

Started from the project's root: python -m benchmarks.compilation
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

import bayesuplift as bu
from bayesuplift.inference import compilation
from benchmarks.tables import table

ROOT: Final = Path(__file__).resolve().parents[1]
MODELS: Final[dict[str, dict[str, Any]]] = {
    "hurdle_lognormal": {"engine": "nuts"},
    "partial_pooling_revenue": {"engine": "hmc"},
    "bayesian_causal_forest": {"engine": "gibbs", "draws": 500},
}
AGAIN: Final = 3  # second fits, of which the median is told
OURS, JAX = "ours", "JAX's own"


def units(kind: Any) -> bu.Experiment:
    rng = np.random.default_rng(1)
    n = 2000
    x, arm, group = rng.normal(size=n), rng.integers(0, 2, n), rng.integers(0, 6, n)
    amount = np.exp(2.0 + 0.3 * x + 0.1 * arm + rng.normal(0.0, 0.5, n)) * (rng.random(n) < 0.4)
    outcome = amount if kind == "revenue" else x + 0.5 * arm + rng.normal(size=n)
    frame = pd.DataFrame({"arm": arm, "x": x, "group": group.astype(str), "y": outcome})
    return bu.read_experiment(frame, arm="arm", control=0, outcome="y", kind=kind, covariates=["x"], segments=["group"])


def timed(model: str) -> None:
    """Print the processor seconds of first and second fits in this process."""
    data = units("continuous" if model == "bayesian_causal_forest" else "revenue")
    given = data.cells().by() if model == "hurdle_lognormal" else data
    seconds = []
    for seed in range(1 + AGAIN):
        began = time.process_time()
        bu.fit(model, given, seed=seed, progress=False, **MODELS[model])
        seconds.append(time.process_time() - began)
    print(seconds[0], statistics.median(seconds[1:]))


def measured(model: str, options: str) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.compilation", "--fit", model, "--options", options]
        environment = os.environ | {"XDG_CACHE_HOME": folder}
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    first, second = map(float, done.stdout.splitlines()[-1].split())
    return first, second


def main() -> None:
    parser = argparse.ArgumentParser(description="First and second fits by how programs are compiled.")
    parser.add_argument("--fit", choices=MODELS)
    parser.add_argument("--options", choices=(OURS, JAX), default=OURS)
    asked = parser.parse_args()
    if asked.fit:
        if asked.options == JAX:
            for options in (compilation.MANY_CALLS, compilation.ONE_CALL, compilation.SMALL_PARTS):
                options.clear()
        timed(asked.fit)
        return
    rows = []
    for model, how in MODELS.items():
        ours, theirs = (measured(model, options) for options in (OURS, JAX))
        shown = [f"{one:.1f} s" for one in (ours[0], theirs[0])] + [f"{ours[0] / theirs[0]:.2f}"]
        shown += [f"{one:.2f} s" for one in (ours[1], theirs[1])] + [f"{ours[1] / theirs[1]:.2f}"]
        rows.append([f"{model}, {how['engine']}", *shown])
    header = ["model, engine", "first fit, ours", "JAX's own options", "ratio", "second fit, ours"]
    print(table([*header, "JAX's own options", "ratio"], rows))


if __name__ == "__main__":
    main()
