"""econml's CausalForestDML for causal_forest.py, at its defaults, with its own intervals. In .venv-forests.

The propensity is a control (W) where units were not randomised. Chains and draws mean nothing to it.

Started by causal_forest.py: python -m benchmarks.rivals.forest_econml FILE TARGET --seed S --length 1 0 0
"""

from collections.abc import Callable

import numpy as np
from econml.dml import CausalForestDML  # type: ignore[import-not-found]

from benchmarks.rivals.forest_summary import Array, Given, contestant, found


def fit(given: Given) -> Callable[[], dict[str, Array]]:
    model = CausalForestDML(discrete_treatment=True, discrete_outcome=given.binary, random_state=given.seed)
    controls = None if given.propensity is None else given.propensity[:, None]
    model.fit(given.y, given.z.astype(int), X=given.x, W=controls)
    effect = np.ravel(model.effect(given.x))
    lower, upper = (np.ravel(bound) for bound in model.effect_interval(given.x, alpha=0.05))
    average = model.ate__inference()
    told = (average.point_estimate, *average.conf_int(alpha=0.05))
    return lambda: found(effect, lower, upper, np.ravel(told))


if __name__ == "__main__":
    contestant(fit, "econml", "scikit-learn")
