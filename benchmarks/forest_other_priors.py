"""Short draws of a causal forest under other priors beside long fits that state them: what they miss, and what they cost.

Started from the project's root: python -m benchmarks.forest_other_priors [--fits N]
"""

import argparse
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

import bayesuplift as bu
from bayesuplift.data.units import Units
from bayesuplift.posterior.diagnostics import r_hat
from benchmarks.tables import table

MODEL: Final = "bayesian_causal_forest"
LONG: Final[dict[str, Any]] = {"chains": 8, "draws": 4000, "warmup": 1000, "sensitivity": False, "progress": False}
HEADER: Final = (
    "world",
    "prior",
    "fits",
    "average effect apart, posterior sd",
    "P(best) apart, root mean square in Monte Carlo errors",
    "R-hat of averages, median and largest",
    "processor time more, %",
)

Made = tuple[np.ndarray, np.ndarray, np.ndarray]


def one_effect(rng: np.random.Generator) -> Made:
    x, arm = rng.normal(size=(80, 3)), np.arange(80) % 2
    return x, arm, x[:, 0] + 0.3 * arm + rng.normal(size=80)


def of_both_signs(rng: np.random.Generator) -> Made:
    x, arm = rng.normal(size=(250, 5)), rng.integers(0, 2, 250)
    return x, arm, np.abs(x[:, 1]) + x[:, 2] + arm * (0.3 + 1.5 * np.sign(x[:, 0])) + rng.normal(size=250)


def of_a_rate(rng: np.random.Generator) -> Made:
    x, arm = rng.normal(size=(600, 4)), rng.integers(0, 2, 600)
    rate = 0.2 + 0.1 * (x[:, 0] > 0) + arm * np.where(x[:, 1] > 0, 0.08, -0.02)
    return x, arm, (rng.random(600) < rate).astype(int)


WORLDS: Final[dict[str, Callable[[np.random.Generator], Made]]] = {
    "80 units, one effect of .3 sd of the noise": one_effect,
    "250 units, effects of 1.8 and -1.2 sd": of_both_signs,
    "600 units, a rate, effects of 8 and -2 points": of_a_rate,
}


def units_of(made: Made) -> bu.Experiment:
    x, arm, outcome = made
    names = [f"x{k}" for k in range(x.shape[1])]
    frame = pd.DataFrame(x, columns=names).assign(arm=arm, y=outcome)
    kind: Any = "binary" if outcome.dtype.kind == "i" else "continuous"
    return bu.read_experiment(frame, arm="arm", control=0, outcome="y", kind=kind, covariates=names)


def effect(means: xr.DataArray) -> xr.DataArray:
    return means.isel(arm=1, drop=True) - means.isel(arm=0, drop=True)


def rows_of(label: str, fits: int) -> list[list[str]]:
    units = units_of(WORLDS[label](np.random.default_rng(11)))
    told_of = Units.of(units)
    priors = bu.ForestPrior().resolved(told_of).alternatives(told_of)
    found: dict[str, list[list[Any]]] = {name: [] for name in priors if name != "stated"}
    cost: list[float] = []
    # a seed gives the same random numbers in every world: each has its own
    seeds = 1000 * (1 + list(WORLDS).index(label)) + np.arange(fits)
    for seed in seeds.tolist():
        seconds = []
        for sensitivity in (False, True):
            began = time.process_time()
            posterior = bu.fit(MODEL, units, seed=seed, draws=500, sensitivity=sensitivity, progress=False)
            seconds.append(time.process_time() - began)
        cost += [] if seed == seeds[0] else [seconds[1] / seconds[0] - 1.0]  # the first compiles
        told = bu.choose_arm(posterior, threshold_of_caring=0.0).sensitivity
        for name, several in found.items():
            drawn = posterior["alternatives"].to_dataset()["mean_outcome"].sel(prior=name)
            best = told.sel(prior=name).isel(arm=1)
            several.append([effect(drawn).mean(), best["prob_best"], best["prob_best_mcse"], r_hat(drawn).max()])
    rows = []
    for name, several in found.items():
        alone = bu.fit(MODEL, units, seed=99, prior=priors[name], **LONG)["posterior"].to_dataset()["mean_outcome"]
        long = effect(alone.mean("unit", dtype=np.float64))
        means, best, error, rhat = np.array(several, dtype=np.float64).T
        apart = (means - float(long.mean())) / float(long.std())
        missed = (best - float((long > 0.0).mean())) / error
        rows.append(
            [
                label,
                name,
                str(fits),
                f"{apart.mean():+.3f} ± {apart.std(ddof=1) / np.sqrt(fits):.3f}",
                f"{np.sqrt((missed**2).mean()):.2f}",
                f"{np.median(rhat):.3f}, {rhat.max():.3f}",
                f"{100.0 * np.mean(cost):.0f} ± {100.0 * np.std(cost, ddof=1) / np.sqrt(len(cost)):.0f}",
            ]
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Draws of a causal forest under other priors, beside long fits.")
    parser.add_argument("--fits", type=int, default=20)
    options = parser.parse_args()
    print(table(HEADER, [row for label in WORLDS for row in rows_of(label, options.fits)]))


if __name__ == "__main__":
    main()
