"""Make shapley.json: exact Shapley values of a function of four covariates, by shap's exact explainer.

Run from the project's root, where the extra shap is installed:

    .venv/bin/python tests/golden/make_shapley.py
"""

import json
from pathlib import Path

import numpy as np


def effect(x: np.ndarray) -> np.ndarray:
    """tau(x): a product of three covariates, a wave and a step that moves with another."""
    return x[:, 0] * x[:, 1] * x[:, 3] + np.sin(2.0 * x[:, 2]) + np.where(x[:, 3] > 0.0, x[:, 0], 0.0)


def main() -> None:
    import shap  # noqa: PLC0415 -- its import warns, and doctests are looked for in this file, too

    rng = np.random.default_rng(20261123)
    background, units = rng.normal(size=(12, 4)).round(2), rng.normal(size=(3, 4)).round(2)
    found = shap.explainers.Exact(effect, shap.maskers.Independent(background, max_samples=len(background)))(units)
    told = {
        "source": f"shap {shap.__version__}, explainers.Exact with maskers.Independent",
        "effect": "x0 x1 x3 + sin(2 x2) + x0 1[x3 > 0]",
        "background": background.tolist(),
        "units": units.tolist(),
        "base": float(np.ravel(found.base_values)[0]),
        "values": found.values.tolist(),
    }
    Path(__file__).with_name("shapley.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
