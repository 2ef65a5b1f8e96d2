"""Independent draws of means and standard deviations: of normal outcomes, of a regression, and of log-normal amounts.

The standard deviation is drawn from its own posterior, the coefficients being integrated out; they follow given it. Gelman
et al. (2013), BDA3, section 3.2 (equation 3.3 with its two factors) and 14.2, here under independent proper priors.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.cells import Cells
from bayesuplift.inference import one_dimensional
from bayesuplift.priors import HurdlePrior, NormalPrior, RegressionPrior

Array = NDArray[np.float64]

_WIDEST: Final = 9.0  # standard deviations of the half-normal prior


def normal(cells: Cells, prior: NormalPrior, generator: np.random.Generator, size: int) -> dict[str, Array]:
    """Draw `mean` and `sd` of every cell, (size, [segment], arm)."""
    mean, sd = _means((cells.n, cells.total, cells.sum_squared_deviations), prior, generator, size)
    return {"mean": mean, "sd": sd, "mean_outcome": mean}


def hurdle_lognormal(cells: Cells, prior: HurdlePrior, generator: np.random.Generator, size: int) -> dict[str, Array]:
    """Draw `buying_rate`, `log_mean` and `log_sd` of every cell, (size, [segment], arm)."""
    k = cells.positives
    buying = generator.beta(prior.buying.alpha + k, prior.buying.beta + cells.n - k, size=(size, *k.shape))
    log_mean, log_sd = _means((k, cells.total_log, cells.sum_squared_log_deviations), prior.amount, generator, size)
    mean_outcome = buying * np.exp(log_mean + log_sd**2 / 2.0)
    return {"buying_rate": buying, "log_mean": log_mean, "log_sd": log_sd, "mean_outcome": mean_outcome}


def normal_adjusted(
    cells: Cells, prior: RegressionPrior, generator: np.random.Generator, size: int
) -> dict[str, Array]:
    """Draw `mean`, `slope` and `sd` of every cell, (size, [segment], arm)."""
    slope_sd = _number(prior.slope_sd)
    shape = cells.n.shape
    n = cells.n.ravel().astype(np.float64)
    total, deviations = cells.total.ravel(), cells.sum_squared_deviations.ravel()
    x_total, x_spread, together = (
        cells.statistics[name].to_numpy().ravel()
        for name in ("covariate_total", "covariate_sum_squared_deviations", "sum_codeviations")
    )
    known = np.maximum(n, 1.0)
    y_mean, away = total / known, np.where(n > 0, x_total / known - _covariate_mean(cells).ravel(), 0.0)
    fitted = np.where(x_spread > 0, together / np.where(x_spread > 0, x_spread, 1.0), 0.0)
    # residuals of the cell's own line never leave more than all deviations, up to rounding
    residual = np.maximum(deviations - fitted * together, 0.0)
    location_sd = _number(prior.location_sd)

    varies = x_spread > 0
    safe_spread = np.where(varies, x_spread, 1.0)
    gap = np.where(n > 0, y_mean - _number(prior.location), 0.0)
    degrees = np.maximum(n - 1.0 - varies, 0.0)

    def log_density(log_sd: Array) -> Array:
        """Of the cell's own line: its height at the cell's mean covariate, its slope, and what is left over."""
        variance = np.exp(2.0 * log_sd)
        of_height = location_sd**2 + variance / known[:, None]
        of_slope = variance / safe_spread[:, None]
        shared = (away * slope_sd**2)[:, None]
        tilt = (away**2 * slope_sd**2)[:, None]
        with_slope = of_height * (slope_sd**2 + of_slope) + tilt * of_slope
        height = of_height + tilt
        rest = fitted[:, None] - shared / height * gap[:, None]
        lines = -0.5 * np.log(height) - 0.5 * gap[:, None] ** 2 / height
        slopes = -0.5 * np.log(with_slope / height) - 0.5 * rest**2 * height / with_slope
        # the residuals' density, and the Jacobian-free rest of the units' likelihood
        likelihood = -degrees[:, None] * log_sd - 0.5 * residual[:, None] / variance + lines
        likelihood = likelihood + np.where(varies[:, None], slopes, 0.0)
        return np.where(n[:, None] > 0, likelihood, 0.0) + _log_prior_of_log_sd(log_sd, prior)

    sd = _draw_sd(log_density, prior, (n, gap, deviations), generator, size)
    weight = sd**-2
    p11 = location_sd**-2 + weight * n
    p12 = weight * n * away
    p22 = slope_sd**-2 + weight * (n * away**2 + x_spread)
    b1 = weight * n * gap
    b2 = weight * (n * away * gap + together)
    slope_precision = p22 - p12**2 / p11
    slope_mean = (b2 - p12 * b1 / p11) / slope_precision
    slope = slope_mean + generator.standard_normal(sd.shape) / np.sqrt(slope_precision)
    mean = (b1 - p12 * slope) / p11 + generator.standard_normal(sd.shape) / np.sqrt(p11) + _number(prior.location)
    found = {"mean": mean, "slope": slope, "sd": sd, "mean_outcome": mean}
    return {name: values.reshape(size, *shape) for name, values in found.items()}


def _covariate_mean(cells: Cells) -> Array:
    """Mean covariate over all arms, of every segment, as ([segment], arm): where arms are compared."""
    total, n = cells.covariate_total.sum(axis=-1, keepdims=True), cells.n.sum(axis=-1, keepdims=True)
    return np.broadcast_to(total / np.maximum(n, 1), cells.n.shape)


def _means(
    moments: tuple[Any, Any, Any], prior: NormalPrior, generator: np.random.Generator, size: int
) -> tuple[Array, Array]:
    """Mean and sd of every cell, (size, ...), from how many values it has, their total and squared deviations."""
    shape = np.shape(moments[0])
    n, total, squares = (np.asarray(part, dtype=np.float64).ravel() for part in moments)
    location, location_sd = _number(prior.location), _number(prior.location_sd)
    gap = np.where(n > 0, total / np.maximum(n, 1.0) - location, 0.0)

    def log_density(log_sd: Array) -> Array:
        variance = np.exp(2.0 * log_sd)
        known = np.maximum(n, 1.0)[:, None]
        of_mean = location_sd**2 + variance / known
        middle = -0.5 * np.log(of_mean) - 0.5 * gap[:, None] ** 2 / of_mean
        rest = -(known - 1.0) * log_sd - 0.5 * squares[:, None] / variance
        return np.where(n[:, None] > 0, middle + rest, 0.0) + _log_prior_of_log_sd(log_sd, prior)

    sd = _draw_sd(log_density, prior, (n, gap, squares), generator, size)
    precision = location_sd**-2 + n / sd**2
    mean = location + (n * gap / sd**2) / precision + generator.standard_normal(sd.shape) / np.sqrt(precision)
    return mean.reshape(size, *shape), sd.reshape(size, *shape)


def _draw_sd(
    log_density: Any, prior: NormalPrior, moments: tuple[Array, Array, Array], generator: np.random.Generator, size: int
) -> Array:
    """Draws (size, cell) of the standard deviations, from the density of their logarithms."""
    n, gap, squares = moments
    smallest = _number(prior.smallest_scale)
    # a prior that the data contradict leaves the posterior between the two: the grid reaches to both
    seen = np.sqrt((squares + n * gap**2) / np.maximum(n, 1.0))
    high = _WIDEST * np.maximum(seen, max(_number(prior.scale), smallest))
    low = np.full(len(n), np.log(smallest))
    return np.exp(one_dimensional.draw(log_density, low, np.log(high), generator, size))


def _log_prior_of_log_sd(log_sd: Array, prior: NormalPrior) -> Array:
    return log_sd - 0.5 * (np.exp(log_sd) / _number(prior.scale)) ** 2


def _number(value: float | None) -> float:
    assert value is not None, "a prior is resolved before it is used"
    return value
