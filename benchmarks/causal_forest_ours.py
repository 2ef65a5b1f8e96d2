"""Our side of the benchmark of causal forests: `bayesian_causal_forest` on a world, a second time in the same process.

Started by causal_forest.py: python -m benchmarks.causal_forest_ours FILE TARGET --seed S --length CHAINS BURN_IN DRAWS
Levels of the effect's trees are BAYESUPLIFT_EFFECT_DEPTH, where that is set; where BAYESUPLIFT_FEW_SPLITS is, there are
50 of them that split with probability 0.25 / (1 + d)^3, as in the papers of BCF. Where BAYESUPLIFT_OPEN_DRAWS is, the
number of draws is left to the fit, which then draws again, with more sweeps from one to the next, while diagnostics fail.
Where BAYESUPLIFT_ONE_LEAF is set, chains begin at trees of one leaf.
"""

import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from unittest.mock import patch

import pandas as pd

import bayesuplift as bu
from bayesuplift.inference import causal_forest
from benchmarks.rivals.forest_summary import Array, Given, contestant, found_by_draws


def prior() -> bu.ForestPrior:
    default = bu.ForestPrior()
    effect = replace(default.effect, depth=int(os.environ.get("BAYESUPLIFT_EFFECT_DEPTH", default.effect.depth)))
    if "BAYESUPLIFT_FEW_SPLITS" in os.environ:
        effect = replace(effect, trees=50, base=0.25, power=3.0)
    return replace(default, effect=effect)


def fit(given: Given) -> Callable[[], dict[str, Array]]:
    names = [f"x{k}" for k in range(given.x.shape[1])]
    frame = pd.DataFrame(given.x, columns=names).assign(arm=given.z.astype(int), y=given.y)
    if given.propensity is not None:
        frame["propensity"] = given.propensity
    units = bu.read_experiment(
        frame,
        arm="arm",
        control=0,
        outcome="y",
        kind="binary" if given.binary else "continuous",
        covariates=names,
        propensity=None if given.propensity is None else "propensity",
        assignment="randomized" if given.propensity is None else "observational",
    )
    with patch.object(causal_forest, "GROWN", 0) if "BAYESUPLIFT_ONE_LEAF" in os.environ else nullcontext():
        posterior = bu.fit(
            "bayesian_causal_forest",
            units,
            seed=given.seed,
            prior=prior(),
            chains=given.chains,
            warmup=given.burn_in,
            draws=None if "BAYESUPLIFT_OPEN_DRAWS" in os.environ else given.draws,
            progress=False,
            sensitivity=False,  # no decision is made, and no rival draws under other priors
        )

    def sum_up() -> dict[str, Array]:
        means = posterior["posterior"]["mean_outcome"].transpose("arm", "chain", "draw", "unit")
        effect = means[1].to_numpy() - means[0].to_numpy()
        return found_by_draws(effect.reshape(-1, effect.shape[-1]))

    return sum_up


if __name__ == "__main__":
    contestant(fit, "bayesuplift", "jax", "bartz")
