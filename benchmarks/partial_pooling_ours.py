"""Our side of the comparison of samplers of the partially pooled model; makes the file that the rivals read, too.

Prints one JSON object on stdout. Run from the project's root:

    python -m benchmarks.partial_pooling_ours --make FILE
    python -m benchmarks.partial_pooling_ours --engine hmc FILE TARGET    draws of the effects go to TARGET
    python -m benchmarks.partial_pooling_ours --scale                     1,000 segments of four arms
"""

import argparse
import json
import os
import resource
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import bayesuplift as bu
from bayesuplift.data.cells import Cells
from bayesuplift.priors import BinaryPoolingPrior

MODEL = "partial_pooling_binary"
PRIOR = ("base", "base_sd", "average_effect", "prognostic", "effect", "concentration")
SCALE_SEED, UNITS = 20250301, 200


def make(file: Path) -> None:
    """Cells, and the prior's numbers as the model's twin takes them."""
    from benchmarks.hillstrom import visits  # noqa: PLC0415 - reads with engines that are not timed

    cells = visits()
    prior = BinaryPoolingPrior().resolved(cells)
    file.parent.mkdir(exist_ok=True)
    written = {
        "arms": cells.design.arms,
        "control": cells.design.control,
        "factors": {name: cells.statistics[name].to_numpy().tolist() for name in cells.factors},
        "n": cells.n.tolist(),
        "total": cells.total.astype(int).tolist(),
        "prior": {name: getattr(prior, name) for name in PRIOR},
    }
    file.write_text(json.dumps(written))


def counted(factors: dict[str, list[str]], arms: list[str], n: Any, total: Any) -> Cells:
    table = pd.DataFrame({name: np.repeat(levels, len(arms)) for name, levels in factors.items()})
    table = table.assign(arm=arms * len(n), n=np.ravel(n), visit=np.ravel(total))
    return bu.read_counts(
        table, arm="arm", control=arms[0], trials="n", successes="visit", segments=list(factors), outcome="visit"
    )


def timed(
    file: Path, target: Path, engine: Any, *, seed: int, runs: int, length: dict[str, int | None]
) -> dict[str, Any]:
    given = json.loads(file.read_text())
    assert given["arms"][0] == given["control"]
    cells = counted(given["factors"], given["arms"], given["n"], given["total"])
    assert cells.n.tolist() == given["n"]
    trees, starts, ends, cpu = [], [], [], []
    for k in range(runs):
        starts.append(time.monotonic())
        trees.append(bu.fit(MODEL, cells, seed=seed + k, engine=engine, progress=False, **length))
        ends.append(time.monotonic())
        cpu.append(sum(os.times()[:4]))
    np.save(target, np.stack([effects(tree) for tree in trees]))
    return {
        "ready": ends[0],
        "cpu": cpu[0],
        "cpu_warm": cpu[-1] - cpu[0],
        "seconds": [end - start for start, end in zip(starts, ends, strict=True)],
        "divergences": [int(tree["sample_stats"]["diverging"].sum()) for tree in trees],
        "versions": {name: version(name) for name in ("bayesuplift", "jax", "numpyro")},
    }


def effects(tree: xr.DataTree) -> np.ndarray:
    """Differences of mean outcomes to the first arm, the control: (chain, draw, segment and treatment)."""
    rates = tree["posterior"]["mean_outcome"].to_numpy()
    return np.asarray((rates[..., 1:] - rates[..., :1]).reshape(*rates.shape[:2], -1))


def scale() -> dict[str, Any]:
    """One fit, by whatever engine the default comes to, of 1,000 segments made of three factors of ten levels."""
    generator = np.random.default_rng(SCALE_SEED)
    codes = np.stack(np.meshgrid(*[np.arange(10)] * 3, indexing="ij")).reshape(3, -1)
    logit = -1.7 + sum(generator.normal(0.0, 0.2, 10)[code] for code in codes) + generator.normal(0.0, 0.1, 1000)
    effect = np.array([0.3, 0.2, 0.1]) + generator.normal(0.0, 0.15, (1000, 3))
    effect = effect + sum(generator.normal(0.0, 0.1, (10, 3))[code] for code in codes)
    rates = 1.0 / (1.0 + np.exp(-np.concatenate([logit[:, None], logit[:, None] + effect], axis=1)))
    n = generator.poisson(UNITS, rates.shape)
    factors = {name: [str(level) for level in code] for name, code in zip(("a", "b", "c"), codes, strict=True)}
    cells = counted(factors, ["control", "x", "y", "z"], n, generator.binomial(n, rates))
    tree = bu.fit(MODEL, cells, seed=1, progress=False)
    found = {
        "ready": time.monotonic(),
        "cpu": sum(os.times()[:4]),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2,
    }
    checks = bu.diagnose(tree)
    facts = {check.name: check.facts for check in checks}
    return found | {
        "method": tree.attrs["method"],
        "fallback": tree.attrs.get("fallback"),
        "failed": [check.sentence for check in checks if not check.passed],
        "r_hat": facts["r_hat"]["largest"],
        "ess": facts["effective_draws_bulk"]["smallest"],
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("target", type=Path, nargs="?")
    parser.add_argument("--make", action="store_true")
    parser.add_argument("--scale", action="store_true")
    parser.add_argument("--engine")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--draws", type=int)
    parser.add_argument("--warmup", type=int)
    options = parser.parse_args()
    if options.make:
        make(options.file)
    elif options.scale:
        print(json.dumps(scale()))
    else:
        length = {"draws": options.draws, "warmup": options.warmup}
        said = timed(options.file, options.target, options.engine, seed=options.seed, runs=options.runs, length=length)
        print(json.dumps(said))


if __name__ == "__main__":
    main()
