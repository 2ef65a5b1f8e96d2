"""How many draws are kept, and of how many units, where mean outcomes of all would not fit."""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.dims import ARM
from bayesuplift.errors import ArgumentError

LARGEST: Final = 2**27
"""Numbers of `mean_outcome` that a fit keeps, 1 GB of them in float64; of more, one draw in so many."""

LARGEST_PREDICTION: Final = 2**28
"""Numbers of mean outcomes that a prediction makes at once."""

_FEWEST: Final = 4  # draws of a chain
_MANY_ARMS: Final = 50

KEPT_ONE_IN: Final = "kept_one_in"
"""Attribute of `sample_stats`: of how many draws one was kept."""


def one_in(chains: int, draws: int, sizes: Mapping[str, int]) -> int:
    """Of how many draws one is kept, for mean outcomes of these sizes; 1 where all fit.

    Raises
    ------
    ArgumentError
        So few would be left of each chain that none could be judged.
    """
    each = math.prod(sizes.values())
    every = -(-chains * draws * each // LARGEST)
    if every > 1 and draws // every < _FEWEST:
        many = "; doses may be rounded to a few dozen" if sizes.get(ARM, 0) > _MANY_ARMS else ""
        raise ArgumentError(
            f"mean outcomes of {' x '.join(f'{size:,} {name}s' for name, size in sizes.items())} leave room for "
            f"{LARGEST // each:,} draws, too few for {chains} chains; fit a random sample of the units, and predict the "
            f"rest{many}"
        )
    return every


def thinned(values: NDArray[np.generic], every: int) -> NDArray[np.generic]:
    """One value (chain, draw) for each draw that is kept: the last of its steps; of truth values, whether any was true."""
    whole = values[:, : values.shape[1] // every * every].reshape(len(values), -1, every)
    return np.asarray(whole.any(-1) if values.dtype == np.bool_ else whole[..., -1])


def check_fits(units: int, each: int) -> None:
    """Refuse to predict so many units at once that their draws, so many numbers `each`, would not fit.

    Raises
    ------
    ArgumentError
        They would not; it says how many do.
    """
    if units * each > LARGEST_PREDICTION:
        raise ArgumentError(
            f"{units:,} units are too many for {each:,} numbers each; predict at most {LARGEST_PREDICTION // each:,} at a "
            f"time"
        )
