"""The exchangeable_rates card in PyMC: an independent second opinion, written from the card alone."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import ArrayLike


def build(
    n: ArrayLike, total: ArrayLike, alpha: float, beta: float, largest_spread: float, *, centred: bool = True
) -> pm.Model:
    """Build the card's model of `total` conversions out of `n` units.

    Parameters
    ----------
    n, total
        Units and conversions, (segment, arm) or (arm,); the groups of a population are along the first dimension.
    alpha, beta
        The prior Beta(alpha, beta) of the mean of each population.
    largest_spread
        Upper end of the uniform prior of its spread.
    centred
        Whether the sampler moves the rates themselves. As the spread goes to 0 they close in on their mean, a funnel that
        no step size fits; if not centred, it moves each rate's logit in units of its own width about its own middle given
        mean and spread. The model is the same: the density of the rates is carried over with its Jacobian, and a middle or
        width that were wrong would cost speed, not truth.
    """
    units, converted = np.asarray(n), np.asarray(total)
    with pm.Model() as model:
        mean = pm.Beta("mean", alpha=alpha, beta=beta, shape=units.shape[1:])
        spread = pm.Uniform("spread", lower=0.0, upper=largest_spread, shape=units.shape[1:])
        size = spread**-2
        if centred:
            rate = pm.Beta("rate", alpha=mean * size, beta=(1.0 - mean) * size, shape=units.shape)
        else:
            middle = (mean * size + converted) / (size + units)
            width = 1.0 / pt.sqrt(middle * (1.0 - middle) * (size + units + 1.0))
            standardised = pm.Flat("standardised_rate", shape=units.shape)
            rate = pm.Deterministic("rate", pm.math.sigmoid(pm.math.logit(middle) + width * standardised))
            density = pm.logp(pm.Beta.dist(alpha=mean * size, beta=(1.0 - mean) * size, shape=units.shape), rate)
            pm.Potential("rate_density", pt.sum(density + pt.log(width) + pt.log(rate) + pt.log1p(-rate)))
        pm.Binomial("total", n=units, p=rate, observed=converted)
    return model
