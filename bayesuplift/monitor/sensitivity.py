"""Priors that a look is also told under."""

import math
from typing import Final

from bayesuplift.monitor.effect_law import EffectLaw
from bayesuplift.monitor.plan import Plan

_APART: Final = 3.0  # times the stated standard deviations, either way
_USUAL_SD: Final = 0.05  # of the log ratio, or relative difference: effects of ten percent lie two of these out


def alternatives(plan: Plan) -> dict[str, EffectLaw | None]:
    """`stated`; `weak`: effects three times as far apart; `strong`: a third as far, about none.

    Beside a flat prior stands only `strong`: effects with a standard deviation of five percent. With costs no flat prior
    is weighed.
    """
    law = plan.prior
    if law is None:
        size = _USUAL_SD * (abs(plan.metric.baseline) if plan.metric.kind == "continuous" else 1.0)
        return {"stated": None, "strong": EffectLaw.normal(0.0, size)}
    spread = math.hypot(law.mean, law.sd)
    return {
        "stated": law,
        "weak": EffectLaw(law.weights, law.means, law.sds * _APART),
        "strong": EffectLaw.normal(0.0, spread / _APART),
    }
