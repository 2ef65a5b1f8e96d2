"""PyMC's own sampler, or nutpie, on the partially pooled model of partial_pooling.py: four chains on both cores.

The model is the catalogue's twin, in its non-centred form. Prints one JSON object on stdout: when the draws were there, on
the machine's monotonic clock, and how long a second run took in the same process. Draws of the effects, (run, chain, draw,
effect), go to a file. Runs in .venv-nutpie, started by partial_pooling.py.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm

from models.partial_pooling_binary import twin

CHAINS, CORES = 4, 2


def of_pymc(model: pm.Model, draws: int, warmup: int) -> Callable[[int], Any]:
    def run(seed: int) -> Any:
        with model:
            return pm.sample(
                draws,
                tune=warmup,
                chains=CHAINS,
                cores=CORES,
                random_seed=seed,
                progressbar=False,
                compute_convergence_checks=False,
            )

    return run


def of_nutpie(model: pm.Model, draws: int, warmup: int) -> Callable[[int], Any]:
    import nutpie  # type: ignore[import-not-found]  # noqa: PLC0415 - not timed where PyMC samples

    compiled = nutpie.compile_pymc_model(model, backend="numba")

    def run(seed: int) -> Any:
        return nutpie.sample(
            compiled, draws=draws, tune=warmup, chains=CHAINS, cores=CORES, seed=seed, progress_bar=False
        )

    return run


ENGINES = {"pymc": of_pymc, "nutpie": of_nutpie}


def effects(tree: Any, given: dict[str, Any]) -> np.ndarray:
    rates = tree["posterior"]["mean_outcome"].to_numpy()
    arms = given["arms"]
    control = arms.index(given["control"])
    others = [k for k in range(len(arms)) if k != control]
    return np.asarray((rates[..., others] - rates[..., [control]]).reshape(*rates.shape[:2], -1))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("file", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--draws", type=int, required=True)
    parser.add_argument("--warmup", type=int, required=True)
    parser.add_argument("--runs", type=int, default=2)
    options = parser.parse_args()
    given = json.loads(options.file.read_text())
    factors = np.array(list(given["factors"].values())).T
    model = twin.build(given["n"], given["total"], factors, **given["prior"], centred=False)
    run = ENGINES[options.engine](model, options.draws, options.warmup)
    trees, ends, starts, cpu = [], [], [], []
    for k in range(options.runs):
        starts.append(time.monotonic())
        trees.append(run(options.seed + k))
        ends.append(time.monotonic())
        cpu.append(sum(os.times()[:4]))
    np.save(options.target, np.stack([effects(tree, given) for tree in trees]))
    divergences = [int(tree["sample_stats"]["diverging"].sum()) for tree in trees]
    versions = {name: version(name) for name in ("pymc", "nutpie", "pytensor", "numba", "numpy")}
    said = {
        "ready": ends[0],
        "cpu": cpu[0],
        "cpu_warm": cpu[-1] - cpu[0],
        "seconds": [end - start for start, end in zip(starts, ends, strict=True)],
        "divergences": divergences,
        "versions": versions,
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
