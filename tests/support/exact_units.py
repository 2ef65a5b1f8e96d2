"""Posteriors over units that are drawn exactly: a regression with normal noise, and rates of levels."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayesuplift.data.design import Design
from bayesuplift.data.experiment import Experiment
from bayesuplift.dims import Kind
from tests.support.over_units import over_units

ARMS = ("control", "offer")


def experiment_of(
    outcome: np.ndarray,
    arm: np.ndarray,
    covariates: Mapping[str, np.ndarray],
    *,
    kind: Kind = "continuous",
    segments: Mapping[str, np.ndarray] | None = None,
    propensity: np.ndarray | None = None,
) -> Experiment:
    """Units of two arms."""
    return Experiment(
        design=Design(arms=ARMS, control="control"),
        kind=kind,
        outcome_name="spend",
        arm=arm,
        outcome=outcome,
        covariates=covariates,
        segments=segments or {},
        propensity=propensity,
    )


def regression(
    experiment: Experiment, *names: str, seed: int, draws: int = 200, effects: tuple[str, ...] | None = None
) -> xr.DataTree:
    """Draws under a flat prior of a line in some covariates, whose slopes differ by arm for `effects`, by default all.

    sigma^2 = |y - fit|^2 / chi-square(n - k), and coefficients ~ Normal(least squares, sigma^2 (X'X)^-1).
    """
    rng = np.random.default_rng(seed)
    changing = names if effects is None else effects
    base = np.column_stack([np.ones(len(experiment)), *(experiment.covariates[name] for name in names)])
    changed = np.column_stack([np.ones(len(experiment)), *(experiment.covariates[name] for name in changing)])
    rows = [np.hstack([base, treated * changed]) for treated in (0.0, 1.0)]
    design = np.where(experiment.arm[:, None] == 1, rows[1], rows[0])
    q, r = np.linalg.qr(design)
    fitted = q.T @ experiment.outcome
    squares = float(((experiment.outcome - q @ fitted) ** 2).sum())
    sd = np.sqrt(squares / rng.chisquare(len(design) - design.shape[1], draws))
    rotated = fitted + sd[:, None] * rng.standard_normal((draws, len(fitted)))
    coefficients = np.linalg.solve(r, rotated.T)
    means = np.stack([(one @ coefficients).T for one in rows], axis=-1)
    return tree_of(means, experiment, sd=sd)


def rates(experiment: Experiment, code: np.ndarray, *, seed: int, draws: int = 200) -> xr.DataTree:
    """Draws of a rate for every level, coded from 0, and arm, each with the prior Beta(1, 1)."""
    rng = np.random.default_rng(seed)
    cell = 2 * code + experiment.arm
    count = 2 * (int(code.max()) + 1)
    n, total = np.bincount(cell, minlength=count), np.bincount(cell, experiment.outcome, minlength=count)
    found = rng.beta(1.0 + total, 1.0 + n - total, (draws, count))
    return tree_of(found.reshape(draws, -1, 2)[:, code], experiment)


def tree_of(means: np.ndarray, experiment: Experiment, sd: Any = None) -> xr.DataTree:
    """A tree of two chains from mean outcomes (draw, unit, arm) and standard deviations (draw,) of the noise."""
    shape = (2, len(means) // 2)
    more = {} if sd is None else {"sd": (("chain", "draw"), np.reshape(sd, shape))}
    return over_units(
        means.reshape(*shape, *means.shape[1:]), arms=ARMS, more=more, outcome="spend", kind=experiment.kind
    )
