"""The hurdle_lognormal card in PyMC, unit by unit: an independent second opinion, written from the card alone."""

import numpy as np
import pymc as pm
from numpy.typing import ArrayLike


def build(
    arm: ArrayLike,
    outcome: ArrayLike,
    *,
    buying_alpha: float,
    buying_beta: float,
    amount_location: float,
    amount_location_sd: float,
    amount_scale: float,
    amount_smallest_scale: float,
) -> pm.Model:
    """Build the card's model of who bought, and of the amounts of those who did.

    Parameters
    ----------
    arm, outcome
        Position of each unit's arm, and its revenue.
    buying_alpha, buying_beta
        The prior Beta(alpha, beta) of every rate of buying.
    amount_location, amount_location_sd
        Mean and standard deviation of the prior of every mean log amount.
    amount_scale, amount_smallest_scale
        Scale of the half-normal prior of every standard deviation of log amounts, and the value it is cut below.
    """
    position, revenue = np.asarray(arm), np.asarray(outcome)
    bought = revenue > 0
    buyer = position[bought]
    arms = int(position.max()) + 1
    with pm.Model() as model:
        rate = pm.Beta("buying_rate", alpha=buying_alpha, beta=buying_beta, shape=arms)
        log_mean = pm.Normal("log_mean", mu=amount_location, sigma=amount_location_sd, shape=arms)
        log_sd = pm.TruncatedNormal("log_sd", mu=0.0, sigma=amount_scale, lower=amount_smallest_scale, shape=arms)
        pm.Bernoulli("bought", p=rate[position], observed=bought.astype(int))
        pm.LogNormal("amount", mu=log_mean[buyer], sigma=log_sd[buyer], observed=revenue[bought])
    return model
