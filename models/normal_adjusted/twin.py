"""The normal_adjusted card in PyMC, unit by unit: an independent second opinion, written from the card alone."""

import numpy as np
import pymc as pm
from numpy.typing import ArrayLike


def build(
    arm: ArrayLike,
    covariate: ArrayLike,
    outcome: ArrayLike,
    *,
    location: float,
    location_sd: float,
    slope_sd: float,
    scale: float,
    smallest_scale: float,
) -> pm.Model:
    """Build the card's model of the units' outcomes given their covariates.

    Parameters
    ----------
    arm, covariate, outcome
        Position of each unit's arm, what was known of it before, and its outcome.
    location, location_sd
        Mean and standard deviation of the prior of every arm's line at the mean covariate of all units.
    slope_sd
        Standard deviation of the prior of every slope, about 0.
    scale, smallest_scale
        Scale of the half-normal prior of every standard deviation about the line, and the value it is cut below.
    """
    position, away = np.asarray(arm), np.asarray(covariate) - np.mean(covariate)
    arms = int(position.max()) + 1
    with pm.Model() as model:
        mean = pm.Normal("mean", mu=location, sigma=location_sd, shape=arms)
        slope = pm.Normal("slope", mu=0.0, sigma=slope_sd, shape=arms)
        sd = pm.TruncatedNormal("sd", mu=0.0, sigma=scale, lower=smallest_scale, shape=arms)
        line = mean[position] + slope[position] * away
        pm.Normal("outcome", mu=line, sigma=sd[position], observed=np.asarray(outcome))
    return model
