"""Small experiments over crossed factors, for what partially pooled models do at the edges."""

from typing import Any

import numpy as np
import pandas as pd

import bayesuplift as bu
from bayesuplift.data.cells import Cells

ARMS = ("a", "b", "c")


def crossed(n: Any, successes: Any, *, factors: tuple[str, ...] = ("age", "place")) -> Cells:
    """Cells of a binary outcome over two factors (first, second, arm), or over one (first, arm); "a" is the control."""
    units, hits = np.asarray(n), np.asarray(successes)
    rows = [
        {
            **{factor: f"{factor[0]}{level}" for factor, level in zip(factors, index[:-1], strict=True)},
            "arm": ARMS[index[-1]],
            "n": int(units[index]),
            "y": int(hits[index]),
        }
        for index in np.ndindex(units.shape)
    ]
    return bu.read_counts(
        pd.DataFrame(rows), arm="arm", control="a", trials="n", successes="y", segments=list(factors), outcome="y"
    )


def dealt(shape: tuple[int, ...], *, seed: int, units: int = 400) -> Cells:
    """Units and successes dealt around a rate of 0.2, effects of some hundredths."""
    generator = np.random.default_rng(seed)
    n = generator.integers(units // 2, 2 * units, shape)
    rate = 0.2 + 0.05 * generator.standard_normal(shape[:-1])[..., None] + 0.03 * np.arange(shape[-1])
    return crossed(n, generator.binomial(n, np.clip(rate, 0.02, 0.9)), factors=("age", "place")[: len(shape) - 1])
