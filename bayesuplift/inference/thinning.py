"""How many draws are kept where mean outcomes of all of them at all units would not fit."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.spec import Given

LARGEST: Final = 2**27
"""Numbers of `mean_outcome` that a group keeps, 1 GB of them; of more, one draw in so many."""

KEPT_ONE_IN: Final = "kept_one_in"
"""Attribute of `sample_stats`: of how many draws one was kept."""


def one_in(chains: int, draws: int, data: Given) -> int:
    """Of how many draws one is kept; 1 where all fit."""
    return -(-chains * draws * math.prod(data.sizes.values()) // LARGEST)


def thinned(values: NDArray[np.generic], every: int) -> NDArray[np.generic]:
    """One value (chain, draw) for each draw that is kept: the last of its steps; of truth values, whether any was true."""
    whole = values[:, : values.shape[1] // every * every].reshape(len(values), -1, every)
    return np.asarray(whole.any(-1) if values.dtype == np.bool_ else whole[..., -1])
