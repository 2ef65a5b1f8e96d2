"""bartz's own bcf for causal_forest.py, at its defaults, in the project's environment: bartz is a dependency.

Started by causal_forest.py: python -m benchmarks.rivals.forest_bartz FILE TARGET --seed S --length CHAINS BURN_IN DRAWS
"""

from collections.abc import Callable

import numpy as np
from bartz.bcf import bcf

from benchmarks.rivals.forest_summary import Array, Given, contestant, found_by_draws

BLOCK = 1000  # units whose effects are computed at once: all draws of all trees are in memory besides


def fit(given: Given) -> Callable[[], dict[str, Array]]:
    x, y, z = (one.astype(np.float32) for one in (given.x, given.y, given.z))
    propensity = None if given.propensity is None else given.propensity.astype(np.float32)
    model = bcf(
        x,
        y,
        z,
        pihat_train=propensity,
        ndpost=given.draws,
        nskip=given.burn_in,
        num_chains=given.chains,
        outcome_type="binary" if given.binary else "continuous",
        seed=given.seed,
    )
    blocks = []
    for start in range(0, len(x), BLOCK):
        part = slice(start, start + BLOCK)
        told = model.predict(x[part], pihat_test=None if propensity is None else propensity[part])
        blocks.append(np.asarray(told["tau_prob" if given.binary else "tau"]))
    effect = np.concatenate(blocks, axis=1)
    assert effect.shape == (given.chains * given.draws, len(x))
    return lambda: found_by_draws(effect)


if __name__ == "__main__":
    contestant(fit, "bartz", "jax")
