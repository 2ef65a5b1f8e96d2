"""Small experiments over one factor or two crossed ones, for what partially pooled models do at the edges."""

from typing import Any

import numpy as np
import pandas as pd

from bayesuplift.data.cells import Cells
from tests.support.examples import crossed_cells

FACTORS = ("age", "place")


def crossed(n: Any, successes: Any) -> Cells:
    """Cells over two factors (first, second, arm), or over one (first, arm); levels are "a0", "a1", ..., "p0", ..."""
    units = np.asarray(n)
    factors = FACTORS[: units.ndim - 1]
    segments = pd.DataFrame(
        [
            [f"{factor[0]}{level}" for factor, level in zip(factors, index, strict=True)]
            for index in np.ndindex(units.shape[:-1])
        ],
        columns=list(factors),
    )
    return crossed_cells(segments, units.reshape(len(segments), -1), np.asarray(successes).reshape(len(segments), -1))


def dealt(shape: tuple[int, ...], *, seed: int, units: int = 400) -> Cells:
    """Units and successes dealt around a rate of 0.2, effects of some hundredths."""
    generator = np.random.default_rng(seed)
    n = generator.integers(units // 2, 2 * units, shape)
    rate = 0.2 + 0.05 * generator.standard_normal(shape[:-1])[..., None] + 0.03 * np.arange(shape[-1])
    return crossed(n, generator.binomial(n, np.clip(rate, 0.02, 0.9)))
