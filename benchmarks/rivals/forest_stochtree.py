"""stochtree's BCFModel for causal_forest.py: its defaults, chains begin at ten sweeps of grow-from-root. In .venv-forests.

Started by causal_forest.py: python -m benchmarks.rivals.forest_stochtree FILE TARGET --seed S --length CHAINS BURN_IN DRAWS
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import norm
from stochtree import BCFModel, OutcomeModel  # type: ignore[import-not-found]

from benchmarks.rivals.forest_summary import Array, Given, contestant, found_by_draws

SWEEPS = 10  # as in stochtree's vignettes


def fit(given: Given) -> Callable[[], dict[str, Array]]:
    general: dict[str, Any] = {"num_chains": given.chains, "random_seed": given.seed, "num_threads": 1}
    if given.binary:
        general["outcome_model"] = OutcomeModel(outcome="binary", link="probit")
    if given.propensity is None:
        general["propensity_covariate"] = "none"
    model = BCFModel()
    model.sample(
        X_train=given.x,
        Z_train=given.z,
        y_train=given.y,
        propensity_train=given.propensity,
        num_gfr=SWEEPS,
        num_burnin=given.burn_in,
        num_mcmc=given.draws,
        general_params=general,
    )
    effect = model.tau_hat_train
    if given.binary:
        level = model.mu_hat_train
        effect = norm.cdf(level + effect) - norm.cdf(level)
    assert effect.shape == (len(given.y), given.chains * given.draws)
    return lambda: found_by_draws(np.ascontiguousarray(effect.T))


if __name__ == "__main__":
    contestant(fit, "stochtree")
