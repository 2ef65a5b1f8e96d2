"""causalml's X-learner on gradient-boosted trees for causal_forest.py, with bootstrap intervals. In .venv-forests.

causalml names no learner; XGBoost at its defaults is what its documentation shows. Its bootstraps are 1,000 of 10,000 rows
by default: 100 of as many rows as there are here, for they are fits anew. Chains and draws mean nothing to it.

Started by causal_forest.py: python -m benchmarks.rivals.forest_causalml FILE TARGET --seed S --length 1 0 0
"""

from collections.abc import Callable

import numpy as np
from causalml.inference.meta import BaseXClassifier, BaseXRegressor  # type: ignore[import-not-found]
from xgboost import XGBClassifier, XGBRegressor  # type: ignore[import-not-found]

from benchmarks.rivals.forest_summary import Array, Given, contestant, found

BOOTSTRAPS = 100


def fit(given: Given) -> Callable[[], dict[str, Array]]:
    np.random.seed(given.seed % 2**32)  # noqa: NPY002 - causalml draws its bootstraps from numpy's global generator
    learning = {"random_state": given.seed, "n_jobs": 1}  # on small data threads of a busy machine wait for each other
    effects = XGBRegressor(**learning)
    learner = (
        BaseXClassifier(outcome_learner=XGBClassifier(**learning), effect_learner=effects)
        if given.binary
        else BaseXRegressor(effects)
    )
    propensity = np.full(len(given.y), 0.5) if given.propensity is None else given.propensity
    rows = {"X": given.x, "treatment": given.z.astype(int), "y": given.y, "p": propensity}
    # Before the bootstraps, for they leave their own residual variances behind.
    average = np.ravel(learner.estimate_ate(**rows))
    told = learner.fit_predict(
        **rows, return_ci=True, n_bootstraps=BOOTSTRAPS, bootstrap_size=len(given.y), verbose=False
    )
    effect, lower, upper = (np.asarray(one)[:, 0] for one in told)
    return lambda: found(effect, lower, upper, average)


if __name__ == "__main__":
    contestant(fit, "causalml", "xgboost")
