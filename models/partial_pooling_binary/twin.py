"""The partial_pooling_binary card in PyMC: an independent second opinion, written from the card alone."""

import numpy as np
import pymc as pm
from numpy.typing import ArrayLike

from models.pooled_predictor import away_from_mean, pooled_predictor


def build(
    n: ArrayLike,
    total: ArrayLike,
    factors: ArrayLike,
    *,
    base: float,
    base_sd: float,
    average_effect: float,
    prognostic: float,
    effect: float,
    concentration: float,
    propensity_log_odds_total: ArrayLike | None = None,
    propensity: float | None = None,
    centred: bool = True,
) -> pm.Model:
    """Build the card's model of `total` conversions out of `n` units.

    Parameters
    ----------
    n, total
        Units and conversions, (segment, arm), the control first.
    factors
        Label of every segment's level of every factor, (segment, factor).
    base, base_sd, average_effect, prognostic, effect
        The prior's numbers as changes of the rate at the base.
    concentration
        Of the LKJ prior of the correlation of two arms' effects.
    propensity_log_odds_total, propensity
        Where the propensity is known: the sum of the units' log odds of treatment, (segment, arm), and the prior's number
        of the slope, as a change of the rate at the base.
    centred
        See `pooled_predictor`.
    """
    units = np.asarray(n)
    slope = base * (1.0 - base)
    known = {}
    if propensity_log_odds_total is not None and propensity is not None:
        away = away_from_mean(units.sum(1), np.asarray(propensity_log_odds_total).sum(1))
        known = {"log_odds": away, "propensity": propensity / slope}
    with pm.Model() as model:
        predictor = pooled_predictor(
            factors,
            units.shape[1],
            base=np.log(base / (1.0 - base)),
            base_sd=base_sd / slope,
            average_effect=average_effect / slope,
            prognostic=prognostic / slope,
            effect=effect / slope,
            concentration=concentration,
            centred=centred,
            **known,
        )
        pm.Deterministic("mean_outcome", pm.math.sigmoid(predictor))
        pm.Binomial("total", n=units, logit_p=predictor, observed=np.asarray(total))
    return model
