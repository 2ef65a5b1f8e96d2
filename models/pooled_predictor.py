"""The pooled predictor of the partial_pooling cards in PyMC, for their twins: written from the cards alone."""

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import ArrayLike, NDArray

TREATMENTS = 2  # at most: the correlation of two effects is one number, whose prior is a beta distribution


def contrasts(labels: ArrayLike) -> NDArray[np.float64]:
    """Rows of the card's contrasts (segment, level - 1) for the levels of one factor, in the order of their names."""
    names = [str(label) for label in np.asarray(labels)]
    levels = sorted(set(names))
    rows = np.zeros((len(names), len(levels) - 1))
    for s, name in enumerate(names):
        level = levels.index(name)
        for k in range(1, len(levels)):
            if level < k:
                rows[s, k - 1] = -1.0 / np.sqrt(k * (k + 1))
            elif level == k:
                rows[s, k - 1] = np.sqrt(k / (k + 1))
    return rows


def away_from_mean(n: ArrayLike, log_odds_total: ArrayLike) -> NDArray[np.float64]:
    """Mean log odds of treatment of each segment's units, less that of all units; 0 for a segment with nobody.

    Parameters
    ----------
    n, log_odds_total
        Units of each segment, and the sum of their log odds, (segment,).
    """
    units, total = np.asarray(n, dtype=float), np.asarray(log_odds_total, dtype=float)
    return np.array([t / u - total.sum() / units.sum() if u else 0.0 for u, t in zip(units, total, strict=True)])


def pooled_predictor(
    factors: ArrayLike,
    arms: int,
    *,
    base: float,
    base_sd: float,
    average_effect: float,
    prognostic: float,
    effect: float,
    concentration: float,
    log_odds: ArrayLike | None = None,
    propensity: float | None = None,
    part: str = "",
    centred: bool = True,
) -> Any:
    """Linear predictor (segment, arm) on the link's scale; the first arm is the control.

    Parameters
    ----------
    factors
        Label of every segment's level of every factor, (segment, factor), two factors or more.
    arms
        How many there are: two or three.
    base, base_sd, average_effect, prognostic, effect, concentration
        The numbers of the card's prior, on the link's scale.
    log_odds, propensity
        Where the propensity is known: what the level of each segment follows, (segment,), as `away_from_mean` makes it; and
        the standard deviation of the slope, on the link's scale.
    part
        Put before the names of the variables.
    centred
        Whether levels and effects are variables themselves, or made of standardised ones; the model is the same, and the
        second is the one that NUTS can sample where a scale may be near 0.
    """
    treatments = arms - 1
    if not 1 <= treatments <= TREATMENTS:
        raise ValueError(f"{arms} arms; the twin is written for a control and at most {TREATMENTS} treatments")
    labels = np.asarray(factors)
    segments, crossed = labels.shape
    coded = [contrasts(labels[:, f]) for f in range(crossed)]
    columns = np.concatenate(coded, axis=1)
    term = np.repeat(np.arange(crossed), [one.shape[1] for one in coded])

    base_at = pm.Normal(f"{part}base", mu=base, sigma=base_sd)
    average = pm.Normal(f"{part}average_effect", mu=0.0, sigma=average_effect, shape=treatments)
    prognostic_scale = pm.HalfNormal(f"{part}prognostic_scale", sigma=prognostic, shape=crossed + 1)
    effect_scale = pm.HalfNormal(f"{part}effect_scale", sigma=effect, shape=crossed + 1)
    factor = np.ones((1, 1))
    if treatments > 1:
        factor = _correlation_factor(f"{part}effect_cholesky", concentration, centred=centred)

    def levels(name: str, scale: Any, count: int) -> Any:
        if centred:
            return pm.Normal(name, mu=0.0, sigma=scale, shape=count)
        standardised = pm.Normal(f"{name}_standardised", shape=count)
        return pm.Deterministic(name, scale * standardised)

    def effects(name: str, scale: Any, count: int) -> Any:
        if centred:
            spread = scale[:, None, None] * factor
            return pm.MvNormal(name, mu=np.zeros(treatments), chol=spread, shape=(count, treatments))
        standardised = pm.Normal(f"{name}_standardised", shape=(count, treatments))
        return pm.Deterministic(name, scale[:, None] * pt.dot(standardised, factor.T))

    prognosis = (
        base_at
        + pt.dot(columns, levels(f"{part}prognostic_contrast", prognostic_scale[term], len(term)))
        + levels(f"{part}prognostic_segment", pt.repeat(prognostic_scale[-1:], segments), segments)
    )
    if log_odds is not None:
        prognosis += pm.Normal(f"{part}propensity_slope", mu=0.0, sigma=propensity) * np.asarray(log_odds)
    treated = (
        average[None, :]
        + pt.dot(columns, effects(f"{part}effect_contrast", effect_scale[term], len(term)))
        + effects(f"{part}effect_segment", pt.repeat(effect_scale[-1:], segments), segments)
    )
    return pt.concatenate([prognosis[:, None], prognosis[:, None] + treated], axis=1)


def _correlation_factor(name: str, concentration: float, *, centred: bool) -> Any:
    """Cholesky factor [[1, 0], [r, sqrt(1 - r^2)]] of the correlation matrix of two effects, (r + 1) / 2 ~ Beta.

    Of the factor's elements only its lower left one is free, and it is r: no Jacobian lies between them.
    """
    half = pm.Beta.dist(alpha=concentration, beta=concentration)
    if centred:
        factor = pm.Flat(name, shape=(TREATMENTS, TREATMENTS))
        pm.Potential(f"{name}_density", pm.logp(half, 0.5 * (factor[1, 0] + 1.0)))
        return factor
    r = 2.0 * pm.Beta(f"{name}_share", alpha=concentration, beta=concentration) - 1.0
    below = pt.sqrt(1.0 - r**2)
    return pm.Deterministic(name, pt.stack([pt.stack([1.0, 0.0]), pt.stack([r, below])]))
