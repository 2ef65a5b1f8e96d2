"""The portfolio card in PyMC: an independent second opinion, written from the card alone."""

import numpy as np
import pymc as pm
from numpy.typing import ArrayLike


def build(
    estimate: ArrayLike, standard_error: ArrayLike, typical_scale: float, drift_sd: float = 0.5, *, centred: bool = True
) -> pm.Model:
    """Build the card's model of effect estimates with known standard errors.

    Parameters
    ----------
    estimate, standard_error
        Estimates and their standard errors, (segment,).
    typical_scale
        Prior median of the effects' scale.
    drift_sd
        Prior standard deviation of mean / scale.
    centred
        Whether the effects are variables themselves, or made of standardised ones: the same model, and the second is the
        one that NUTS can sample where few experiments leave the scale near 0.
    """
    errors = np.asarray(standard_error)
    with pm.Model() as model:
        scale = pm.HalfCauchy("scale", beta=typical_scale)
        drift = pm.Normal("drift", mu=0.0, sigma=drift_sd)
        inverse_df = pm.Uniform("inverse_df", lower=0.0, upper=1.0)
        if centred:
            effect = pm.StudentT("effect", nu=1.0 / inverse_df, mu=drift * scale, sigma=scale, shape=errors.shape)
        else:
            deviate = pm.StudentT("deviate", nu=1.0 / inverse_df, mu=0.0, sigma=1.0, shape=errors.shape)
            effect = pm.Deterministic("effect", drift * scale + scale * deviate)
        pm.Normal("estimate", mu=effect, sigma=errors, observed=np.asarray(estimate))
    return model
