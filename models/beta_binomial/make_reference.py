"""Make reference.json: a long, plain NUTS run of the twin on the visits of the MineThatData e-mail test.

Run from the project's root; PyMC comes with the extra `pymc`:

    .venv/bin/python models/beta_binomial/make_reference.py
"""

import json
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pymc as pm
from arviz_stats.base import array_stats
from twin import build

SEED = 20080320
CHAINS, TUNE, DRAWS = 4, 2000, 25000
ARMS = ("No E-Mail", "Mens E-Mail", "Womens E-Mail")
DATA = {"n": (21306, 21307, 21387), "total": (2262, 3894, 3238)}
SOURCE = (
    "Hillstrom, K. (2008), The MineThatData E-Mail Analytics and Data Mining Challenge: "
    "customers and visits within two weeks, by arm"
)


def main() -> None:
    """Sample, summarise and write."""
    with build(**DATA):
        trace = pm.sample(draws=DRAWS, tune=TUNE, chains=CHAINS, cores=1, random_seed=SEED, progressbar=False)
    divergences = int(trace["sample_stats"]["diverging"].sum())
    assert divergences == 0, f"{divergences} divergent transitions: no reference"
    rate = np.asarray(trace["posterior"]["rate"].transpose("chain", "draw", ...))
    axes = {"chain_axis": 0, "draw_axis": 1}
    summary = {
        "mean": rate.mean((0, 1)),
        "sd": rate.std((0, 1), ddof=1),
        "mcse_mean": array_stats.mcse(rate, method="mean", **axes),
        "mcse_sd": array_stats.mcse(rate, method="sd", **axes),
        "r_hat": array_stats.rhat(rate, **axes),
        "ess_bulk": array_stats.ess(rate, method="bulk", **axes),
        "ess_tail": array_stats.ess(rate, method="tail", prob=(0.05, 0.95), **axes),
    }
    reference = {
        "model": "beta_binomial",
        "prior": "Beta(1, 1)",
        "data": {"arm": ARMS, **DATA, "source": SOURCE},
        "sampler": {"name": "PyMC NUTS", "chains": CHAINS, "tune": TUNE, "draws": DRAWS, "divergences": divergences},
        "seed": SEED,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("pymc", "pytensor", "numpy", "arviz-stats")},
        },
        "sites": {"rate": {name: np.asarray(values).tolist() for name, values in summary.items()}},
    }
    target = Path(__file__).with_name("reference.json")
    target.write_text(json.dumps(reference, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
