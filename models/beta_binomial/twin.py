"""The beta_binomial card in PyMC: an independent second opinion, written from the card alone."""

import numpy as np
import pymc as pm
from numpy.typing import ArrayLike


def build(n: ArrayLike, total: ArrayLike, alpha: float = 1.0, beta: float = 1.0) -> pm.Model:
    """Build the card's model of `total` conversions out of `n` units, one rate a cell.

    Parameters
    ----------
    n, total
        Units and conversions, ([segment], arm).
    alpha, beta
        The prior Beta(alpha, beta) of every rate.
    """
    with pm.Model() as model:
        rate = pm.Beta("rate", alpha=alpha, beta=beta, shape=np.shape(n))
        pm.Binomial("total", n=np.asarray(n), p=rate, observed=np.asarray(total))
    return model
