"""The normal card in PyMC, unit by unit: an independent second opinion, written from the card alone."""

import numpy as np
import pymc as pm
from numpy.typing import ArrayLike


def build(
    arm: ArrayLike, outcome: ArrayLike, *, location: float, location_sd: float, scale: float, smallest_scale: float
) -> pm.Model:
    """Build the card's model of the units' outcomes.

    Parameters
    ----------
    arm, outcome
        Position of each unit's arm, and its outcome.
    location, location_sd
        Mean and standard deviation of the prior of every mean.
    scale, smallest_scale
        Scale of the half-normal prior of every standard deviation, and the value it is cut below.
    """
    position = np.asarray(arm)
    arms = int(position.max()) + 1
    with pm.Model() as model:
        mean = pm.Normal("mean", mu=location, sigma=location_sd, shape=arms)
        sd = pm.TruncatedNormal("sd", mu=0.0, sigma=scale, lower=smallest_scale, shape=arms)
        pm.Normal("outcome", mu=mean[position], sigma=sd[position], observed=np.asarray(outcome))
    return model
