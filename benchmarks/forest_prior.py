"""What the prior of effects costs a causal forest of a binary outcome: error and coverage over its `effect_sd`.

Started from the project's root: python -m benchmarks.forest_prior [--worlds N]
"""

import argparse
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.stats import norm

import bayesuplift as bu
from benchmarks.tables import table

UNITS: Final = 2000
SHARES: Final = (0.15, 0.3, 0.5, 0.707)
EFFECTS: Final = {"25 or 5 points": (0.25, 0.05), "6 or 4 points": (0.06, 0.04)}
HEADER: Final = ("true effects", "effect_sd, slopes", "worlds", "RMSE of units' effects, points", "95% bounds hold, %")


def world(effects: tuple[float, float], share: float, number: int) -> tuple[float, float]:
    """Root mean squared error of units' effects, and the share of them that their 95% bounds hold."""
    rng = np.random.default_rng([20261122, number])
    recency, history = rng.integers(1, 13, UNITS), rng.gamma(2.0, 1.0, UNITS)
    treated = rng.integers(0, 2, UNITS)
    truth = np.where(recency <= 4, *effects)
    rate = 0.2 + 0.02 * np.minimum(history, 5.0) + treated * truth
    units = bu.read_experiment(
        pd.DataFrame({"arm": treated, "visit": rng.random(UNITS) < rate, "recency": recency, "history": history}),
        arm="arm",
        control=0,
        outcome="visit",
        kind="binary",
        covariates=["recency", "history"],
    )
    slope = norm.pdf(norm.ppf(units.outcome.mean()))
    prior = bu.ForestPrior(effect_sd=share * slope)
    # no decision is made: draws under other priors are left out
    options: dict[str, Any] = {"chains": 4, "draws": 300, "warmup": 300, "sensitivity": False, "progress": False}
    posterior = bu.fit("bayesian_causal_forest", units, seed=number, prior=prior, **options)
    drawn = bu.cate(posterior).transpose("unit", "arm", "chain", "draw").to_numpy().reshape(UNITS, -1)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=1)
    return float(np.sqrt(((drawn.mean(1) - truth) ** 2).mean())), float(((low < truth) & (truth < high)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description="Priors of effects for a causal forest of a binary outcome.")
    parser.add_argument("--worlds", type=int, default=5)
    options = parser.parse_args()
    rows = []
    for label, effects in EFFECTS.items():
        for share in SHARES:
            found = 100.0 * np.array([world(effects, share, k) for k in range(options.worlds)])
            mean, error = found.mean(0), found.std(0, ddof=1) / np.sqrt(options.worlds)
            told = [f"{one:.1f} ± {spread:.1f}" for one, spread in zip(mean, error, strict=True)]
            rows.append([label, f"{share:g}", str(options.worlds), *told])
    print(table(HEADER, rows))


if __name__ == "__main__":
    main()
