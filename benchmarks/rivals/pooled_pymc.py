"""The partially pooled binary model in PyMC, non-centred, as one writes it there for samplers of one chain at a time."""

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt


def build(given: dict[str, Any]) -> pm.Model:
    """Model of the cells, contrasts and prior's numbers that `partial_pooling_ours.py --make` writes; two treatments."""
    n, total = np.array(given["n"]), np.array(given["total"])
    columns, treated, term = np.array(given["columns"]), np.array(given["treated"]), np.array(given["term"])
    prior, terms, treatments = given["prior"], given["terms"], treated.shape[1]
    assert treatments == 2
    assert prior["concentration"] == 2.0
    with pm.Model() as model:
        base = pm.Normal("base", prior["base"], prior["base_sd"])
        average_effect = pm.Normal("average_effect", 0.0, prior["average_effect"], shape=treatments)
        prognostic_scale = pm.HalfNormal("prognostic_scale", prior["prognostic"], shape=terms)
        effect_scale = pm.HalfNormal("effect_scale", prior["effect"], shape=terms)
        # of two treatments LKJ(2) is a Beta(2, 2) on (-1, 1)
        correlation = 2.0 * pm.Beta("half_correlation", 2.0, 2.0) - 1.0
        left = pt.sqrt(1.0 - correlation**2)

        def correlated(name: str, rows: int) -> Any:
            z = pm.Normal(name, 0.0, 1.0, shape=(rows, 2))
            return pt.stack([z[:, 0], correlation * z[:, 0] + left * z[:, 1]], axis=1)

        prognostic = pm.Normal("prognostic_contrast", 0.0, 1.0, shape=len(term)) * prognostic_scale[term]
        effects = correlated("effect_contrast", len(term)) * effect_scale[term][:, None]
        of_segment = pm.Normal("prognostic_segment", 0.0, 1.0, shape=len(n)) * prognostic_scale[-1]
        effects_of_segment = correlated("effect_segment", len(n)) * effect_scale[-1]
        prognosis = base + columns @ prognostic + of_segment
        effect = average_effect + columns @ effects + effects_of_segment
        eta = prognosis[:, None] + effect @ treated.T
        pm.Deterministic("mean_outcome", pm.math.sigmoid(eta))
        pm.Binomial("total", n=n, logit_p=eta, observed=total)
    return model
