"""The partial_pooling_count card in PyMC, unit by unit: an independent second opinion, written from the card alone."""

import numpy as np
import pymc as pm
from numpy.typing import ArrayLike

from models.pooled_predictor import away_from_mean, pooled_predictor


def build(
    segment: ArrayLike,
    arm: ArrayLike,
    exposure: ArrayLike,
    outcome: ArrayLike,
    factors: ArrayLike,
    *,
    base: float,
    base_sd: float,
    average_effect: float,
    prognostic: float,
    effect: float,
    concentration: float,
    overdispersion: float,
    log_odds: ArrayLike | None = None,
    propensity: float | None = None,
    centred: bool = True,
) -> pm.Model:
    """Build the card's model of the units' counts.

    Parameters
    ----------
    segment, arm, exposure, outcome
        Positions of each unit's segment and arm, the control first, its exposure, and its count.
    factors
        Label of every segment's level of every factor, (segment, factor).
    base, base_sd, average_effect, prognostic, effect
        The prior's numbers as changes of the rate at the base.
    concentration
        Of the LKJ prior of the correlation of two arms' effects.
    overdispersion
        Scale of the half-normal prior of every arm's overdispersion.
    log_odds, propensity
        Where the propensity is known: each unit's log odds of treatment, and the prior's number of the slope, as a change
        of the rate at the base.
    centred
        See `pooled_predictor`.
    """
    place, position = np.asarray(segment), np.asarray(arm)
    arms = int(position.max()) + 1
    known = {}
    if log_odds is not None and propensity is not None:
        n, total = (np.bincount(place, weights, len(np.asarray(factors))) for weights in (None, log_odds))
        known = {"log_odds": away_from_mean(n, total), "propensity": propensity / base}
    with pm.Model() as model:
        predictor = pooled_predictor(
            factors,
            arms,
            base=np.log(base),
            base_sd=base_sd / base,
            average_effect=average_effect / base,
            prognostic=prognostic / base,
            effect=effect / base,
            concentration=concentration,
            centred=centred,
            **known,
        )
        rate = pm.Deterministic("mean_outcome", pm.math.exp(predictor))
        spread = pm.HalfNormal("overdispersion", sigma=overdispersion, shape=arms)
        mean = rate[place, position] * np.asarray(exposure)
        pm.NegativeBinomial("outcome", mu=mean, alpha=spread[position] ** -2, observed=np.asarray(outcome))
    return model
