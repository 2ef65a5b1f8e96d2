"""The partial_pooling_binary card in PyMC: an independent second opinion, written from the card alone."""

import numpy as np
import pymc as pm
from numpy.typing import ArrayLike

from models.pooled_predictor import pooled_predictor


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
    centred
        See `pooled_predictor`.
    """
    units = np.asarray(n)
    slope = base * (1.0 - base)
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
        )
        pm.Deterministic("mean_outcome", pm.math.sigmoid(predictor))
        pm.Binomial("total", n=units, logit_p=predictor, observed=np.asarray(total))
    return model
