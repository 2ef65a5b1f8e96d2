"""Arms compared: the same table from a closed form and from draws."""

from typing import Any, TypedDict

import numpy as np
import xarray as xr
from scipy.special import betaincinv

from bayesuplift.decisions.proportions import compare_betas
from bayesuplift.dims import ARM, CHAIN, CLOSED_FORM, DRAW
from bayesuplift.posterior.closed_form import parameters
from bayesuplift.posterior.diagnostics import effective_draws, event_error, monte_carlo_error, quantile_error
from bayesuplift.posterior.schema import STATED


class Contrast(TypedDict):
    """How arms are compared: position of the control, direction, ROPE half-width, mass of the intervals."""

    control: int
    higher_is_better: bool
    rope: float | None
    prob: float


def compare_closed_form(
    tree: xr.DataTree, *, control: int, higher_is_better: bool, rope: float | None, prob: float, prior: str = STATED
) -> xr.Dataset:
    """Exact table over ([segment], arm) under one prior.

    Returns
    -------
    xarray.Dataset
        The variables of `proportions.compare_proportions`, and the arm's own `mean_outcome` with its interval.
    """
    alpha, beta = parameters(tree, prior)
    quantities = compare_betas(alpha, beta, control=control, higher_is_better=higher_is_better, rope=rope, prob=prob)
    tail = (1.0 - prob) / 2.0
    quantities["mean_outcome"] = alpha / (alpha + beta)
    quantities["mean_outcome_lower"] = betaincinv(alpha, beta, tail)
    quantities["mean_outcome_upper"] = betaincinv(alpha, beta, 1.0 - tail)
    labels = tree[CLOSED_FORM]["alpha"].sel(prior=prior, drop=True).transpose(..., ARM)
    return xr.Dataset(
        {name: (labels.dims[: values.ndim], values) for name, values in quantities.items()}, coords=labels.coords
    )


def compare_draws(
    draws: xr.DataArray, *, control: int, higher_is_better: bool, rope: float | None, prob: float
) -> xr.Dataset:
    """The same table from draws (chain, draw, [segment], arm), every variable with its Monte Carlo error `<name>_mcse`.

    Where some draw of the control's mean outcome is not positive, a relative lift has no meaning: it is left out, and
    the attribute `left_out` says so.
    """
    contrasts, left_out = _contrasts(draws, control)
    table = xr.Dataset(_means(draws, control, higher_is_better=higher_is_better, rope=rope), attrs=left_out)
    tail = (1.0 - prob) / 2.0
    for name, values in contrasts.items():
        table[name] = values.mean((CHAIN, DRAW))
        table[f"{name}_mcse"] = monte_carlo_error(values)
        for end, q in (("lower", tail), ("upper", 1.0 - tail)):
            table[f"{name}_{end}"] = values.quantile(q, (CHAIN, DRAW)).drop_vars("quantile")
            table[f"{name}_{end}_mcse"] = quantile_error(values, q)
    return table


def compare_weighted(
    draws: xr.DataArray, weights: xr.DataArray, *, control: int, higher_is_better: bool, rope: float | None, prob: float
) -> xr.Dataset:
    """The same table from draws with weights (chain, draw) that sum to one.

    Errors of means are sqrt(sum w^2 (x - mean)^2), widened by the draws' autocorrelation; those of quantiles are half the
    distance between the quantiles one such error of the probability below apart.
    """
    parts = _events(draws, control, higher_is_better=higher_is_better, rope=rope)
    contrasts, left_out = _contrasts(draws, control)
    table = xr.Dataset(attrs=left_out)
    widening = float(np.sqrt(weights.size / effective_draws(draws).min()))
    # an event that no draw shows is not known without error: see `_means`
    unseen = widening**2 * float((weights**2).sum())
    tail = (1.0 - prob) / 2.0
    for name, values in {**parts, **contrasts}.items():
        mean = (values * weights).sum((CHAIN, DRAW))
        error = widening * (weights**2 * (values - mean) ** 2).sum((CHAIN, DRAW)) ** 0.5
        table[name] = mean
        if name in parts:
            least = unseen * (float(draws.std((CHAIN, DRAW)).max()) if name == "expected_loss" else 1.0)
            error = error.where(values.max((CHAIN, DRAW)) > values.min((CHAIN, DRAW)), least)
        if name in ("prob_beats_control", "prob_rope"):
            error = error.where(error[ARM] != draws[ARM][control], 0.0)
        table[f"{name}_mcse"] = error
        if name in contrasts:
            for end, q in (("lower", tail), ("upper", 1.0 - tail)):
                low, middle, high = _weighted_quantiles(values, weights, q, widening)
                table[f"{name}_{end}"], table[f"{name}_{end}_mcse"] = middle, (high - low) / 2.0
    return table


def _weighted_quantiles(
    values: xr.DataArray, weights: xr.DataArray, q: float, widening: float
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """The q-quantile of weighted draws, between those one standard error of its probability below and above."""

    def apply(one: np.ndarray, weight: np.ndarray) -> np.ndarray:
        flat, of = one.reshape(*one.shape[:-2], -1), weight.ravel()
        order = flat.argsort(axis=-1)
        ordered, below = np.take_along_axis(flat, order, axis=-1), of[order].cumsum(axis=-1)
        square = (of**2)[order].cumsum(axis=-1)
        place = np.minimum((below < q).sum(axis=-1, keepdims=True), flat.shape[-1] - 1)
        through = np.take_along_axis(square, place, axis=-1)
        error = widening * np.sqrt((1.0 - q) ** 2 * through + q**2 * (square[..., -1:] - through))
        levels = np.concatenate([q - error, np.full_like(error, q), q + error], axis=-1)
        found = np.minimum((below[..., None, :] < levels[..., None]).sum(axis=-1), flat.shape[-1] - 1)
        return np.take_along_axis(ordered, found, axis=-1)

    found = xr.apply_ufunc(
        apply,
        values.transpose(..., CHAIN, DRAW),
        weights.transpose(CHAIN, DRAW),
        input_core_dims=[[CHAIN, DRAW], [CHAIN, DRAW]],
        output_core_dims=[["place"]],
    )
    return tuple(found.isel(place=k) for k in range(3))


def _means(draws: xr.DataArray, control: int, *, higher_is_better: bool, rope: float | None) -> dict[str, Any]:
    """Probabilities and losses with their Monte Carlo errors."""
    parts = _events(draws, control, higher_is_better=higher_is_better, rope=rope)
    effective = effective_draws(draws).min(ARM)
    spread = draws.std((CHAIN, DRAW)).max(ARM)
    result = {}
    for name, values in parts.items():
        result[name] = values.mean((CHAIN, DRAW))
        # one draw that is still missing would weigh about a standard deviation in a loss
        unseen = (spread if name == "expected_loss" else 1.0) / effective
        result[f"{name}_mcse"] = event_error(values, unseen)
    for name in ("prob_beats_control", "prob_rope"):
        if name in result:  # what the control is to itself is known
            error = result[f"{name}_mcse"]
            result[f"{name}_mcse"] = error.where(error[ARM] != draws[ARM][control], 0.0)
    return result


def _contrasts(draws: xr.DataArray, control: int) -> tuple[dict[str, xr.DataArray], dict[str, str]]:
    """Mean outcomes, differences and, where they have a meaning, relative lifts of every draw; and what was left out."""
    reference = draws.isel({ARM: control}, drop=True)
    contrasts = {"mean_outcome": draws, "difference": draws - reference}
    not_positive = int((reference <= 0).sum())
    if not_positive == 0:
        return contrasts | {"relative_lift": draws / reference - 1.0}, {}
    why = f"relative lift: the control's mean outcome is not positive in {not_positive} of {reference.size} draws"
    return contrasts, {"left_out": why}


def _events(
    draws: xr.DataArray, control: int, *, higher_is_better: bool, rope: float | None
) -> dict[str, xr.DataArray]:
    """What is averaged into a probability or a loss, of every draw."""
    reference = draws.isel({ARM: control}, drop=True)
    better = draws > reference if higher_is_better else draws < reference
    events = per_draw(draws, higher_is_better=higher_is_better) | {"prob_beats_control": better.astype(float)}
    if rope is not None:
        events["prob_rope"] = (abs(draws - reference) <= rope).astype(float)
        events["prob_all_equivalent"] = (draws.max(ARM) - draws.min(ARM) <= rope).astype(float)
    return events


def per_draw(draws: xr.DataArray, *, higher_is_better: bool) -> dict[str, xr.DataArray]:
    """`prob_best` (1 for the draw's best arm, shared where arms tie) and `expected_loss` (regret), before averaging."""
    signed = draws if higher_is_better else -draws
    highest = signed.max(ARM)
    best = (signed == highest).astype(float)
    return {"prob_best": best / best.sum(ARM), "expected_loss": highest - signed}
