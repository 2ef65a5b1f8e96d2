"""The interaction_horseshoe card in PyMC, unit by unit: an independent second opinion, written from the card alone."""

import numpy as np
import pymc as pm
from numpy.typing import ArrayLike


def build(
    arm: ArrayLike,
    outcome: ArrayLike,
    covariates: ArrayLike,
    *,
    location: float,
    location_sd: float,
    average_effect: float,
    prognostic: float,
    global_scale: float,
    slab: float,
    scale: float,
    smallest_scale: float,
    centred: bool = True,
) -> pm.Model:
    """Build the card's model of the units' outcomes given their covariates.

    Parameters
    ----------
    arm, outcome
        Position of each unit's arm, the first being the control, and its outcome.
    covariates
        Columns of numbers (unit, covariate), as they were read.
    location, location_sd, average_effect, prognostic, global_scale, slab, scale, smallest_scale
        The prior's numbers, outcome units.
    centred
        Whether coefficients are variables themselves, as on the card, or their scale times standard normal ones.
    """
    position, raw = np.asarray(arm), np.asarray(covariates)
    spread = raw.std(axis=0)
    columns = (raw - raw.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    treatments, count = int(position.max()), columns.shape[1]
    with pm.Model() as model:
        base = pm.Normal("base", location, location_sd)
        own_scale = pm.HalfNormal("prognostic_scale", prognostic)
        tau = pm.HalfCauchy("global_scale", global_scale)
        slab_squared = pm.InverseGamma("slab_squared", alpha=2.0, beta=2.0 * slab**2)
        average = pm.Normal("average_effect", 0.0, average_effect, shape=treatments)
        local = pm.HalfCauchy("local_scale", 1.0, shape=count)
        variance = (tau * local) ** 2
        width = pm.math.sqrt(slab_squared * variance / (slab_squared + variance))[:, None]
        if centred:
            own = pm.Normal("prognostic", 0.0, own_scale, shape=count)
            interaction = pm.Normal("interaction", 0.0, width, shape=(count, treatments))
        else:
            own = pm.Deterministic("prognostic", own_scale * pm.Normal("prognostic_unit", shape=count))
            interaction = pm.Deterministic(
                "interaction", width * pm.Normal("interaction_unit", shape=(count, treatments))
            )
        under_control = base + pm.math.dot(columns, own)
        effect = average + pm.math.dot(columns, interaction)
        every = pm.math.concatenate([under_control[:, None], under_control[:, None] + effect], axis=1)
        pm.Deterministic("mean_outcome", every)
        sd = pm.TruncatedNormal("sd", mu=0.0, sigma=scale, lower=smallest_scale, shape=treatments + 1)
        rows = np.arange(len(position))
        pm.Normal("outcome", mu=every[rows, position], sigma=sd[position], observed=np.asarray(outcome))
    return model
