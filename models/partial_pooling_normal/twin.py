"""The partial_pooling_normal card in PyMC, unit by unit: an independent second opinion, written from the card alone."""

import numpy as np
import pymc as pm
from numpy.typing import ArrayLike

from models.pooled_predictor import away_from_mean, pooled_predictor


def build(
    segment: ArrayLike,
    arm: ArrayLike,
    outcome: ArrayLike,
    factors: ArrayLike,
    *,
    base: float,
    base_sd: float,
    average_effect: float,
    prognostic: float,
    effect: float,
    concentration: float,
    scale: float,
    smallest_scale: float,
    log_odds: ArrayLike | None = None,
    propensity: float | None = None,
    centred: bool = True,
) -> pm.Model:
    """Build the card's model of the units' outcomes.

    Parameters
    ----------
    segment, arm, outcome
        Positions of each unit's segment and arm, the control first, and its outcome.
    factors
        Label of every segment's level of every factor, (segment, factor).
    base, base_sd, average_effect, prognostic, effect
        The prior's numbers, in the outcome's units.
    concentration
        Of the LKJ prior of the correlation of two arms' effects.
    scale, smallest_scale
        Scale of the half-normal prior of every standard deviation, and the value it is cut below.
    log_odds, propensity
        Where the propensity is known: each unit's log odds of treatment, and the prior's number of the slope, in the
        outcome's units.
    centred
        See `pooled_predictor`.
    """
    place, position = np.asarray(segment), np.asarray(arm)
    arms = int(position.max()) + 1
    known = {}
    if log_odds is not None and propensity is not None:
        n, total = (np.bincount(place, weights, len(np.asarray(factors))) for weights in (None, log_odds))
        known = {"log_odds": away_from_mean(n, total), "propensity": propensity}
    with pm.Model() as model:
        mean = pooled_predictor(
            factors,
            arms,
            base=base,
            base_sd=base_sd,
            average_effect=average_effect,
            prognostic=prognostic,
            effect=effect,
            concentration=concentration,
            centred=centred,
            **known,
        )
        pm.Deterministic("mean_outcome", mean)
        sd = pm.TruncatedNormal("sd", mu=0.0, sigma=scale, lower=smallest_scale, shape=arms)
        pm.Normal("outcome", mu=mean[place, position], sigma=sd[position], observed=np.asarray(outcome))
    return model
