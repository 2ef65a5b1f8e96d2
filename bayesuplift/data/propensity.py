"""The propensity of units: read as log odds, kept as their sum by cell, and told by segment."""

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesuplift.data.validation import Fault, number_faults, number_of


def log_odds_of(column: str, dtype: nw.dtypes.DType) -> nw.Expr:
    """logit(p) of a column of propensities; null where one is not strictly between 0 and 1."""
    p = number_of(column, dtype)
    # Not log(p) - log(1 - p): 1 - p is exact where p is near 1. The odds are taken of what is inside only, because an
    # engine may refuse the logarithm of any other number, or a division by 0.
    inside = nw.when((p > 0) & (p < 1)).then(p)
    return (inside / (1.0 - inside)).log()


def propensity_faults(column: str, dtype: nw.dtypes.DType) -> list[Fault]:
    """Faults of a column of propensities: no numbers, or none strictly between 0 and 1."""
    p = number_of(column, dtype)
    advice = "Such units have no counterpart: trim them first."
    outside = Fault(column, "propensity", ~((p > 0) & (p < 1)), "is not strictly between 0 and 1", advice)
    return [*number_faults(column, "propensity", dtype), outside]


def by_segment(n: ArrayLike, log_odds_total: ArrayLike) -> tuple[NDArray[np.float64], float]:
    """Each segment's mean log odds of treatment less that of all units, and that mean.

    Parameters
    ----------
    n, log_odds_total
        Units of the cells, and the sums of their log odds (segment, arm). All arms count: the propensity says who was to
        be treated, whoever was.

    Returns
    -------
    away
        Differences (segment,), 0 where a segment has nobody.
    centre
        Mean log odds of all units.
    """
    units, total = (np.asarray(values, dtype=np.float64).sum(axis=-1) for values in (n, log_odds_total))
    centre = float(total.sum() / units.sum())
    return np.where(units > 0, total / np.maximum(units, 1.0) - centre, 0.0), centre
