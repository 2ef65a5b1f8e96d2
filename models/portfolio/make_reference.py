"""Make reference.json: a long, plain NUTS run of the twin on the eight schools.

Run from the project's root; PyMC comes with the extra `pymc`:

    .venv/bin/python models/portfolio/make_reference.py
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

SEED = 19810801
CHAINS, TUNE, DRAWS = 4, 4000, 50000
ACCEPTANCE = 0.98
DATA = {
    "estimate": (28.39, 7.94, -2.75, 6.82, -0.64, 0.63, 18.01, 12.16),
    "standard_error": (14.9, 10.2, 16.3, 11.0, 9.4, 11.4, 10.4, 17.6),
}
SCALE = float(np.median(DATA["standard_error"]))
ARMS = ("control", "treatment")
SOURCE = "Rubin, D. B. (1981), Estimation in parallel randomized experiments, J. Educational Statistics 6(4), table 1"


def summary(draws: np.ndarray) -> dict[str, np.ndarray]:
    """Mean, sd, their Monte Carlo errors, R-hat and effective draws of draws (chain, draw, ...)."""
    axes = {"chain_axis": 0, "draw_axis": 1}
    return {
        "mean": draws.mean((0, 1)),
        "sd": draws.std((0, 1), ddof=1),
        "mcse_mean": array_stats.mcse(draws, method="mean", **axes),
        "mcse_sd": array_stats.mcse(draws, method="sd", **axes),
        "r_hat": array_stats.rhat(draws, **axes),
        "ess_bulk": array_stats.ess(draws, method="bulk", **axes),
        "ess_tail": array_stats.ess(draws, method="tail", prob=(0.05, 0.95), **axes),
    }


def main() -> None:
    """Sample, summarise and write."""
    with build(**DATA, typical_scale=SCALE, centred=False):
        trace = pm.sample(
            draws=DRAWS,
            tune=TUNE,
            chains=CHAINS,
            cores=1,
            random_seed=SEED,
            target_accept=ACCEPTANCE,
            progressbar=False,
        )
    divergences = int(trace["sample_stats"]["diverging"].sum())
    assert divergences == 0, f"{divergences} divergent transitions: no reference"
    sites = {
        name: summary(np.asarray(trace["posterior"][name].transpose("chain", "draw", ...)))
        for name in ("scale", "drift", "inverse_df", "effect")
    }
    # the mean outcome is the effect under treatment and 0, without error, under control; no draw says how well 0 mixes
    control = {"r_hat": 1.0, "ess_bulk": CHAINS * DRAWS, "ess_tail": CHAINS * DRAWS}
    sites["mean_outcome"] = {
        name: np.stack([np.full(values.shape, control.get(name, 0.0)), values], axis=-1)
        for name, values in sites["effect"].items()
    }
    reference = {
        "model": "portfolio",
        "prior": f"mean ~ Normal(0, 0.5) scale, scale ~ HalfCauchy({SCALE:g}), 1/df ~ Uniform(0, 1)",
        "data": {"arm": ARMS, **DATA, "source": SOURCE},
        "sampler": {
            "name": "PyMC NUTS",
            "chains": CHAINS,
            "tune": TUNE,
            "draws": DRAWS,
            "target_accept": ACCEPTANCE,
            "divergences": divergences,
        },
        "seed": SEED,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("pymc", "pytensor", "numpy", "arviz-stats")},
        },
        "sites": {
            site: {name: np.asarray(values).tolist() for name, values in found.items()} for site, found in sites.items()
        },
    }
    target = Path(__file__).with_name("reference.json")
    target.write_text(json.dumps(reference, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
