"""stochtree's single tree beside the posterior that an enumeration of all trees gives. In .venv-forests.

Started from the project's root: .venv-forests/bin/python -m benchmarks.rivals.forest_one_tree
"""

import numpy as np
from stochtree import BARTModel  # type: ignore[import-not-found]

from benchmarks.tables import table
from tests.support.one_tree import BASE, LEAF_SD, LEVELS, NOISE, POWER, ROWS_OF_A_KIND, VALUES, exactly, outcome

CHAINS, BEFORE, DRAWS = 8, 200, 5000


def measured(seed: int) -> list[float]:
    """Means over one chain of what `exactly` names, but for the covariate asked first."""
    model = BARTModel()
    model.sample(
        X_train=np.repeat(VALUES, ROWS_OF_A_KIND, axis=0).astype(float),
        y_train=outcome(),
        num_gfr=0,
        num_burnin=BEFORE,
        num_mcmc=DRAWS,
        general_params={
            "num_chains": 1,
            "random_seed": seed,
            "num_threads": 1,
            "standardize": False,
            "sample_sigma2_global": False,
            "sigma2_global_init": NOISE**2,
        },
        mean_forest_params={
            "num_trees": 1,
            "alpha": BASE,
            "beta": POWER,
            "min_samples_leaf": 1,
            "max_depth": LEVELS - 1,
            "sample_sigma2_leaf": False,
            "sigma2_leaf_init": LEAF_SD**2,
        },
    )
    forest = model.forest_container_mean
    leaves = np.array([forest.num_forest_leaves(draw) for draw in range(DRAWS)], dtype=float)
    means = model.y_hat_train.mean(axis=1)
    return [leaves.mean(), (leaves**2).mean(), means[0], means[-1]]


def main() -> None:
    """Print both."""
    found = np.array([measured(seed) for seed in range(CHAINS)])
    means, errors = found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(CHAINS)
    expected = {name: value for name, value in exactly(outcome()).items() if name != "asks the second"}
    rows = [
        [name, f"{value:.3f}", f"{mean:.3f} ± {error:.3f}"]
        for (name, value), mean, error in zip(expected.items(), means, errors, strict=True)
    ]
    print(table(["quantity", "all trees", "stochtree"], rows))


if __name__ == "__main__":
    main()
