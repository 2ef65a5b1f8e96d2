"""Where the values of a pooled predictor lie, roughly, and how much the data say of each: one weighted regression."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.cells import Cells
from bayesuplift.dims import SEGMENT
from bayesuplift.spec import Given

Array = NDArray[np.float64]
Observed = tuple[Array, Array, float]
"""Of every cell a value on the link's scale and its precision, (segment, arm), and what counts as a large difference."""

Told = tuple[dict[str, Observed], dict[str, tuple[Array, Array]]]
"""Observations of each predictor; and of each positive site the logarithm, roughly, with its precision."""

_SHRUNK: Final = 0.3  # of a large difference: the standard deviation that the regression gives every coefficient
_PRIOR_UNITS: Final = 5.0


def _rates(n: Array, total: Array) -> Observed:
    """Logits of rates: one step of Newton's method from a rate drawn towards that of all cells."""
    every = (total.sum() + 0.5) / (n.sum() + 1.0)
    rate = (total + _PRIOR_UNITS * every) / (n + _PRIOR_UNITS)
    slope = rate * (1.0 - rate)
    seen = np.where(n > 0, total / np.maximum(n, 1.0), rate)
    return np.log(rate / (1.0 - rate)) + (seen - rate) / slope, n * slope, 1.0


def _binary(cells: Cells) -> Told:
    return {"": _rates(cells.n.astype(np.float64), cells.total)}, {}


def _means(n: Array, total: Array, deviations: Array) -> tuple[Observed, tuple[Array, Array]]:
    """Means with the arms' pooled standard deviation within cells; and the logarithm of each arm's, with its precision."""
    mean = total / np.maximum(n, 1.0)
    left = np.maximum(n - 1.0, 0.0).sum(0)
    # half a unit of the variance of all, so that an arm without two units in a cell has one too
    every = (total.sum() / max(n.sum(), 1.0)), max(n.sum(), 1.0)
    whole = (deviations.sum() + (n * (mean - every[0]) ** 2).sum()) / every[1]
    variance = (deviations.sum(0) + 0.5 * whole) / (left + 0.5)
    sd = np.sqrt(np.where(variance > 0, variance, 1.0))
    return (mean, n / sd**2, 0.5 * float(np.sqrt(whole)) or 1.0), (np.log(sd), 2.0 * left)


def _normal(cells: Cells) -> Told:
    observed, spread = _means(cells.n.astype(np.float64), cells.total, cells.sum_squared_deviations)
    return {"": observed}, {"sd": spread}


def _revenue(cells: Cells) -> Told:
    positives = cells.positives.astype(np.float64)
    amounts, spread = _means(positives, cells.total_log, cells.sum_squared_log_deviations)
    buying = _rates(cells.n.astype(np.float64), positives)
    return {"buying_": buying, "amount_": amounts}, {"log_sd": spread}


def _count(cells: Cells) -> Told:
    """Logarithms of rates, one step of Newton's method; overdispersion by the moments of all units."""
    exposure, total, n = cells.exposure, cells.total, cells.n.astype(np.float64)
    every = (total.sum() + 0.5) / max(exposure.sum(), 1e-300)
    rate = (total + _PRIOR_UNITS) / (exposure + _PRIOR_UNITS / every)
    expected = rate * exposure
    per_unit = expected / np.maximum(n, 1.0)
    extra = (cells.sum_squared_deviations - expected).sum(0) / np.maximum((n * per_unit**2).sum(0), 1e-300)
    overdispersion = np.clip(extra, 0.01, 100.0)
    seen = np.where(exposure > 0, total / np.maximum(exposure, 1e-300), rate)
    value = np.log(rate) + (seen - rate) / rate
    known = (n * per_unit**2 / (1.0 + per_unit) ** 2).sum(0) * overdispersion
    return {"": (value, expected / (1.0 + overdispersion * per_unit), 1.0)}, {
        "overdispersion": (0.5 * np.log(overdispersion), known)
    }


POOLED: Final[Mapping[str, Callable[[Cells], Told]]] = {
    "partial_pooling_binary": _binary,
    "partial_pooling_count": _count,
    "partial_pooling_normal": _normal,
    "partial_pooling_revenue": _revenue,
}
"""By model: what each of its predictors is told by, by the part of the sites' names; and its positive sites."""


def coordinates(name: str, cells: Cells, design: Given) -> Given:
    """Estimate and information of every site of a pooled model that a chain moves in other coordinates."""
    predictors, found = POOLED[name](cells)
    for part, (value, precision, unit) in predictors.items():
        told = _regression(design, value, precision, _SHRUNK * unit)
        found = found | {f"{part}{site}": one for site, one in told.items()}
    return Given({site: Given(dict(zip(("estimate", "information"), one, strict=True))) for site, one in found.items()})


def _regression(design: Given, value: Array, precision: Array, shrunk: float) -> dict[str, tuple[Array, Array]]:
    """Coefficients of the contrasts by weighted ridge regression, those of segments from what it leaves.

    A coefficient's estimate is where its own derivative of the likelihood, the others held, is zero.
    """
    columns, treated = design.columns, design.treated
    ones = np.ones((len(columns), 1))
    shared = np.concatenate([ones, columns], axis=1)
    # what has no effect of its own stands last
    alone = design.propensity[:, None] if "propensity" in design.values else np.zeros((len(columns), 0))
    arms, treatments = treated.shape
    width = shared.shape[1]
    full = np.concatenate(
        [np.broadcast_to(shared[:, None, :], (len(columns), arms, width))]
        + [shared[:, None, :] * treated[None, :, [t]] for t in range(treatments)]
        + [np.broadcast_to(alone[:, None, :], (len(columns), arms, alone.shape[1]))],
        axis=2,
    ).reshape(len(columns) * arms, -1)
    weight = precision.reshape(-1, 1)
    informations = full.T @ (weight * full)
    penalty = np.full(len(informations), shrunk**-2.0)
    penalty[0] *= 1e-4
    coefficients = np.linalg.solve(informations + np.diag(penalty), full.T @ (weight[:, 0] * value.ravel()))
    left = value - (full @ coefficients).reshape(value.shape)
    own = np.diag(informations)
    gradient = full.T @ (weight[:, 0] * left.ravel())
    moved = coefficients + gradient / np.maximum(own, shrunk**-2.0)
    ends = width * (1 + treatments)
    estimates, known = (values[:ends].reshape(1 + treatments, width) for values in (moved, own))
    found = {
        "base": (estimates[0, 0], known[0, 0]),
        "average_effect": (estimates[1:, 0], known[1:, 0]),
    }
    if alone.size:
        found["propensity_slope"] = (moved[ends], own[ends])
    if design.sizes[SEGMENT]:
        of_segment = precision.sum(1)
        own_level = (precision * left).sum(1) / np.maximum(of_segment, shrunk**-2.0)
        found["prognostic_segment"] = (own_level, of_segment)
        found["effect_segment"] = (left @ treated, precision @ treated)
    if columns.shape[1]:
        found["prognostic_contrast"] = (estimates[0, 1:], known[0, 1:])
        found["effect_contrast"] = (estimates[1:, 1:].T, known[1:, 1:].T)
    return found
