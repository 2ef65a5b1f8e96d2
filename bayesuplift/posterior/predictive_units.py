"""Predictive checks of models of units: levels of units that are alike, the spread of what is left, and its shape."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import chdtr, chdtrc, ndtr, ndtri

from bayesuplift.data.checks import Check
from bayesuplift.data.experiment import Experiment
from bayesuplift.dims import ARM
from bayesuplift.errors import PosteriorError
from bayesuplift.posterior.predictive_parts import SAMPLE, bernoulli_sum_tails, binomial_tails, cellwise
from bayesuplift.posterior.unit_cells import Sides, UnitCells
from bayesuplift.posterior.unit_draws import OwnDraws

Array = NDArray[np.float64]

_RANGE: Final = "range"
_NEAR, _FAR, _FARTHEST = 0.5, 2.0, 3.0
_RANGES: Final = {
    f"less than {_NEAR:g} sd away": 1.0 - 2.0 * ndtr(-_NEAR),
    f"more than {_FAR:g} sd below": ndtr(-_FAR),
    f"more than {_FAR:g} sd above": ndtr(-_FAR),
    f"more than {_FARTHEST:g} sd away": 2.0 * ndtr(-_FARTHEST),
}
_ALIKE: Final = {
    "prediction": "of units with like predictions",
    "effect": "of units with like predicted effects",
    "covariate": "of units with like covariates",
}
_ADVICE: Final = {
    "prediction": "Effects of such units are not to be relied on: give the model what they differ by.",
    "effect": "Effects of such units are not to be relied on: compare the arms among them by their raw means.",
    "covariate": "Give the model that covariate where it lacks it, and compare the arms among such units by their raw "
    "means.",
}


def unit_checks(posterior: xr.DataTree, experiment: Experiment) -> list[Check | None]:
    """Check a posterior over units against their outcomes; see `predictive_check`."""
    draws = OwnDraws.of(posterior, experiment)
    if experiment.kind == "binary":
        return _rate_checks(UnitCells.of(draws))
    if draws.sd is None:
        raise PosteriorError(
            f"to be checked against units with {experiment.kind} outcomes, the posterior needs draws of sd, the standard "
            f"deviation of normal noise, over (chain, draw, [arm]), beside mean_outcome. What single outcomes are like "
            f"under another law is not known here."
        )
    return _normal_checks(UnitCells.of(draws))


def _rate_checks(cells: UnitCells) -> list[Check | None]:
    """Sums of Bernoulli outcomes with a chance each."""
    powers = np.empty((3, *cells.n.shape, cells.draws.count))
    for where, chance in cells.draws.blocks():
        if not bool(((chance >= 0.0) & (chance <= 1.0)).all()):
            raise PosteriorError(
                "mean_outcome holds draws below 0 or above 1; a binary outcome's mean is a probability"
            )
        for power in range(3):
            powers[power, ..., where] = cells.sums(chance ** (power + 1))
    tails = bernoulli_sum_tails(cells.n[..., None], powers, cells.sums(cells.draws.experiment.outcome)[..., None])
    return _level_checks(cells, tails, "rates", "rate")


def _normal_checks(cells: UnitCells) -> list[Check | None]:
    """Residuals in units of the noise, which are standard normal at every draw."""
    experiment = cells.draws.experiment
    sums = np.empty((2, *cells.n.shape, cells.draws.count))
    within = np.empty((len(_RANGES), len(cells.arms), cells.draws.count))
    largest = np.empty((len(cells.arms), cells.draws.count))
    of_arm = [experiment.arm == place for place in range(len(cells.arms) - 1)]
    units = np.array([*(int(one.sum()) for one in of_arm), len(experiment)], dtype=np.float64)
    for where, means in cells.draws.blocks():
        residual = np.subtract(experiment.outcome[:, None], means, out=means)
        residual /= cells.draws.noise(where)[experiment.arm]
        if experiment.precision is not None:
            residual *= np.sqrt(experiment.precision)[:, None]
        for power in range(2):
            sums[power, ..., where] = cells.sums(residual ** (power + 1))
        for place, inside in enumerate(of_arm):
            own = residual[inside]
            within[:, place, where] = _counts(own)
            largest[place, where] = np.abs(own).max(axis=0, initial=0.0)
    within[:, -1], largest[-1] = within[:, :-1].sum(axis=1), largest[:-1].max(axis=0)
    known = np.maximum(cells.n, 1.0)[..., None]
    score = sums[0] / np.sqrt(known)
    return [
        *_level_checks(cells, (ndtr(score), ndtr(-score)), "means", "mean"),
        _spread_check(cells, (chdtr(known, sums[1]), chdtrc(known, sums[1])), sums[1] / known),
        _shape_check(within, units, cells.arms, experiment.kind),
        _largest_check(largest, units, cells.arms),
    ]


def _level_checks(cells: UnitCells, sides: Sides, plural: str, noun: str) -> list[Check | None]:
    """Totals of cells, and differences between arms, a check a family."""
    found: list[Check | None] = []
    for family in dict.fromkeys(one.family for one in cells.parts):
        about = f"{noun} {_ALIKE[family]}"
        of_family = cells.check(f"{plural}_by_{family}", sides, noun=about, families=[family], effects=True)
        if of_family is None:
            continue
        facts: dict[str, float] = {}
        where = f"Parts lie {of_family.times:.1f} times as far from what is predicted as chance would put them."
        if of_family.cell is not None and of_family.check.facts["adjusted_p"] < 1.0:  # else nobody may be there
            units, seen, told = _levels(cells, *of_family.cell)
            facts = {"units": units, "observed": seen, "predicted": told}
            what = noun if of_family.cell[1] < len(cells.arms) else f"difference in {noun}"
            where = f"The {units:,} units there have a {what} of {seen:.4g}, where {told:.4g} is predicted."
        found.append(_told(of_family.check, f"{where} {_ADVICE[family]}", **facts))
    return found


def _levels(cells: UnitCells, part: int, column: int) -> tuple[int, float, float]:
    """Units of a cell, and their mean outcome, observed and predicted; of two arms the differences between them."""
    if column < len(cells.arms):
        n, seen, told = (float(one[part, column]) for one in (cells.n, cells.observed, cells.predicted))
        return int(n), seen, told
    pair = cells.pairs[column - len(cells.arms)]
    (seen, base), (told, told_base) = (one[part, list(pair)].tolist() for one in (cells.observed, cells.predicted))
    return int(cells.n[part, list(pair)].sum()), seen - base, told - told_base


def _spread_check(cells: UnitCells, sides: Sides, squares: Array) -> Check | None:
    """Sums of squared residuals of all cells; squares (part, arm, sample) are their means in units of the noise."""
    found = cells.check("spread_of_residuals", sides, noun="spread of outcomes")
    if found is None:
        return None
    known = cells.draws.experiment.precision is not None
    alike = "the same for all units of an arm" + (" but for their stated precision" if known else "")
    if found.cell is None:
        return _told(
            found.check,
            f"Spreads there differ from the noise of the model {found.times:.1f} times as much as chance would make them: "
            f"it is {alike}, so that intervals of effects are too narrow where outcomes vary "
            f"more, and too wide where they vary less.",
        )
    ratio = float(np.sqrt(squares[found.cell].mean()))
    return _told(
        found.check,
        f"Outcomes there lie {ratio:.2f} times as far from their prediction as the noise of the model, which is "
        f"{alike}: intervals of effects are too {'narrow' if ratio > 1.0 else 'wide'} among them.",
        ratio=ratio,
    )


def _shape_check(within: Array, units: Array, arms: Sequence[str], kind: str) -> Check | None:
    """Numbers of units (range, arm, sample) so far from their prediction: binomial at every draw."""
    chance = np.array([*_RANGES.values()])
    coords = {_RANGE: [*_RANGES], ARM: list(arms)}
    below, above = (
        xr.DataArray(side, dims=(_RANGE, ARM, SAMPLE), coords=coords).transpose(SAMPLE, _RANGE, ARM)
        for side in binomial_tails(units[:, None], chance[:, None, None], within)
    )
    counted = xr.DataArray(np.broadcast_to(units > 0, within.shape[:2]), dims=(_RANGE, ARM), coords=coords)
    noun = "share of outcomes so far from their prediction"
    check = cellwise("shape_of_residuals", (below, above), counted, noun=noun, unit="range")
    if check is None:
        return None
    at, arm = (coords[dim].index(check.facts["worst"][dim]) for dim in (_RANGE, ARM))
    seen, normal = float(within[at, arm].mean() / max(units[arm], 1.0)), float(chance[at])
    other = (
        "model amounts by hurdle_lognormal" if kind == "revenue" else "fit a transformed or capped outcome beside it"
    )
    more = (
        f"It is {seen:.2%}, and {normal:.2%} of normal noise: intervals of effects of units and of small segments may be "
        f"too narrow or too wide; {other}."
    )
    return _told(check, more, observed=seen, predicted=normal)


def _largest_check(largest: Array, units: Array, arms: Sequence[str]) -> Check | None:
    """Largest residuals (arm, sample): P(max |Z| <= x) = (2 Phi(x) - 1)^n at every draw."""
    # one that is 0 has no logarithm
    log_below = units[:, None] * np.log1p(-np.minimum(2.0 * ndtr(-largest), 1.0 - 1e-16))
    coords = {ARM: list(arms)}
    below, above = (
        xr.DataArray(side, dims=(ARM, SAMPLE), coords=coords).transpose(SAMPLE, ARM)
        for side in (np.exp(log_below), -np.expm1(log_below))
    )
    counted = xr.DataArray(units > 0, dims=ARM, coords=coords)
    check = cellwise("largest_residuals", (below, above), counted, noun="largest residual", unit="arm")
    if check is None:
        return None
    arm = list(arms).index(check.facts["worst"][ARM])
    chance = -np.expm1(-np.log(2.0) / max(units[arm], 1.0))
    seen, normal = float(largest[arm].mean()), float(-ndtri(chance / 2.0))
    advice = (
        "Single outcomes may decide the effects of units like theirs: look at those farthest from the rest, and at what "
        "capping them changes."
        if seen > normal
        else "Outcomes end sooner than normal noise does, as where they are bounded or were capped: nothing about single "
        "ones may be read from the model."
    )
    more = f"It is {seen:.1f} standard deviations of the noise, and {normal:.1f} in half of all cases of normal noise."
    return _told(check, f"{more} {advice}", observed=seen, predicted=normal)


def _counts(residual: Array) -> Array:
    """Numbers (range, sample) of residuals (unit, sample) in each of the ranges, in their order."""
    away = np.abs(residual)
    ranges = (away < _NEAR, residual < -_FAR, residual > _FAR, away > _FARTHEST)
    return np.stack([one.sum(axis=0) for one in ranges]).astype(np.float64)


def _told(check: Check, more: str, **facts: float) -> Check:
    """The check with what else is known of it; the words are for one that failed."""
    sentence = check.sentence if check.passed else f"{check.sentence} {more}"
    return replace(check, facts=check.facts | facts, sentence=sentence)
