"""The negative_binomial card in PyMC, unit by unit: an independent second opinion, written from the card alone."""

import numpy as np
import pymc as pm
from numpy.typing import ArrayLike


def build(
    arm: ArrayLike,
    exposure: ArrayLike,
    outcome: ArrayLike,
    *,
    log_rate: float,
    log_rate_sd: float,
    overdispersion: float,
) -> pm.Model:
    """Build the card's model of the units' counts.

    Parameters
    ----------
    arm, exposure, outcome
        Position of each unit's arm, its exposure, and its count.
    log_rate, log_rate_sd
        Mean and standard deviation of the prior of every rate's logarithm.
    overdispersion
        Scale of the half-normal prior of every overdispersion.
    """
    position = np.asarray(arm)
    arms = int(position.max()) + 1
    with pm.Model() as model:
        rate = pm.LogNormal("rate", mu=log_rate, sigma=log_rate_sd, shape=arms)
        spread = pm.HalfNormal("overdispersion", sigma=overdispersion, shape=arms)
        mean = rate[position] * np.asarray(exposure)
        pm.NegativeBinomial("outcome", mu=mean, alpha=spread[position] ** -2, observed=np.asarray(outcome))
    return model
