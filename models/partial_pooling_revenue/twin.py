"""The partial_pooling_revenue card in PyMC, unit by unit: an independent second opinion, written from the card alone."""

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
    buying_base: float,
    buying_base_sd: float,
    buying_average_effect: float,
    buying_prognostic: float,
    buying_effect: float,
    buying_concentration: float,
    amount_base: float,
    amount_base_sd: float,
    amount_average_effect: float,
    amount_prognostic: float,
    amount_effect: float,
    amount_concentration: float,
    amount_scale: float,
    amount_smallest_scale: float,
    log_odds: ArrayLike | None = None,
    buying_propensity: float | None = None,
    amount_propensity: float | None = None,
    centred: bool = True,
) -> pm.Model:
    """Build the card's model of who bought, and of the amounts of those who did.

    Parameters
    ----------
    segment, arm, outcome
        Positions of each unit's segment and arm, the control first, and its revenue.
    factors
        Label of every segment's level of every factor, (segment, factor).
    buying_base, buying_base_sd, buying_average_effect, buying_prognostic, buying_effect
        The numbers of the prior of buying, as changes of the rate at the base.
    amount_base, amount_base_sd, amount_average_effect, amount_prognostic, amount_effect
        The numbers of the prior of the logarithms of amounts.
    buying_concentration, amount_concentration
        Of the LKJ priors of the correlations of two arms' effects.
    amount_scale, amount_smallest_scale
        Scale of the half-normal prior of every standard deviation of log amounts, and the value it is cut below.
    log_odds, buying_propensity, amount_propensity
        Where the propensity is known: each unit's log odds of treatment, and the priors' numbers of the two slopes.
    centred
        See `pooled_predictor`.
    """
    place, position, revenue = np.asarray(segment), np.asarray(arm), np.asarray(outcome)
    arms = int(position.max()) + 1
    bought = revenue > 0
    slope = buying_base * (1.0 - buying_base)
    of_buying, of_amounts = {}, {}
    if log_odds is not None and buying_propensity is not None and amount_propensity is not None:
        n, total = (np.bincount(place, weights, len(np.asarray(factors))) for weights in (None, log_odds))
        away = away_from_mean(n, total)
        of_buying = {"log_odds": away, "propensity": buying_propensity / slope}
        of_amounts = {"log_odds": away, "propensity": amount_propensity}
    with pm.Model() as model:
        buying = pooled_predictor(
            factors,
            arms,
            base=np.log(buying_base / (1.0 - buying_base)),
            base_sd=buying_base_sd / slope,
            average_effect=buying_average_effect / slope,
            prognostic=buying_prognostic / slope,
            effect=buying_effect / slope,
            concentration=buying_concentration,
            part="buying_",
            centred=centred,
            **of_buying,
        )
        log_mean = pooled_predictor(
            factors,
            arms,
            base=amount_base,
            base_sd=amount_base_sd,
            average_effect=amount_average_effect,
            prognostic=amount_prognostic,
            effect=amount_effect,
            concentration=amount_concentration,
            part="amount_",
            centred=centred,
            **of_amounts,
        )
        log_sd = pm.TruncatedNormal("log_sd", mu=0.0, sigma=amount_scale, lower=amount_smallest_scale, shape=arms)
        pm.Deterministic("mean_outcome", pm.math.sigmoid(buying) * pm.math.exp(log_mean + log_sd[None, :] ** 2 / 2.0))
        pm.Bernoulli("bought", logit_p=buying[place, position], observed=bought.astype(int))
        pm.LogNormal(
            "amount",
            mu=log_mean[place[bought], position[bought]],
            sigma=log_sd[position[bought]],
            observed=revenue[bought],
        )
    return model
