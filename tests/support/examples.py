"""Data that each model is tried on: an example for contracts and twins, and a small design for calibration.

A model that is registered without an entry here gets those of its kind of outcome.
"""

import functools
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd

import bayesuplift as bu
from bayesuplift.data.cells import Cells
from bayesuplift.inference.density import Data
from bayesuplift.priors import LogAmountPrior, NormalPrior, RegressionPrior
from bayesuplift.spec import registered
from tests.support.worlds import binary_cells, hillstrom_visits, seed_of

ARMS: Final = ("a", "b", "c")
UNITS: Final = (70, 90, 60)


@functools.cache
def units(name: str) -> pd.DataFrame:
    """Rows of the example: arm (position), outcome, and covariate or exposure; none where only cells were ever known."""
    spec = registered()[name]
    made = _UNITS.get(name, _UNITS_OF_KIND.get(spec.outcome))
    return made() if made is not None and spec.data == "cells" else pd.DataFrame()


@functools.cache
def example(name: str) -> Data:
    """Data on which the model is fitted by contracts and twins."""
    if name in _EXAMPLES:
        return _EXAMPLES[name]()
    if registered()[name].outcome == "binary":
        return hillstrom_visits()
    return cells_of_units(name, units(name))


def cells_of_units(name: str, table: pd.DataFrame) -> Cells:
    """Cells of rows of the model's example."""
    optional = {role: role for role in ("covariate", "exposure") if role in table}
    return bu.read_cells(
        table.assign(arm=np.array(ARMS)[table["arm"]]),
        arm="arm",
        control="a",
        outcome="outcome",
        kind=registered()[name].outcome,
        **optional,
    )


def _dealt(make: Callable[[np.random.Generator, np.ndarray], dict[str, Any]], name: str) -> pd.DataFrame:
    """Units of every arm, their columns made from the position of the arm."""
    arm = np.repeat(np.arange(len(ARMS)), UNITS)
    return pd.DataFrame({"arm": arm} | make(np.random.default_rng(seed_of(name)), arm))


def _continuous() -> pd.DataFrame:
    return _dealt(lambda rng, arm: {"outcome": rng.normal(20.0 + arm, 3.0 + arm)}, "continuous units")


def _with_covariate() -> pd.DataFrame:
    def make(rng: np.random.Generator, arm: np.ndarray) -> dict[str, Any]:
        before = rng.gamma(4.0, 5.0, len(arm))
        return {"covariate": before, "outcome": 5.0 + arm + 0.8 * before + rng.normal(0.0, 4.0, len(arm))}

    return _dealt(make, "units with a covariate")


def _count() -> pd.DataFrame:
    def make(rng: np.random.Generator, arm: np.ndarray) -> dict[str, Any]:
        exposure = rng.choice([0.5, 1.0, 2.0], len(arm))
        intensity = rng.gamma(1.5, (1.0 + 0.4 * arm) * exposure / 1.5)
        return {"exposure": exposure, "outcome": rng.poisson(intensity).astype(float)}

    return _dealt(make, "count units")


def _revenue() -> pd.DataFrame:
    def make(rng: np.random.Generator, arm: np.ndarray) -> dict[str, Any]:
        bought = rng.random(len(arm)) < 0.3 + 0.1 * arm
        return {"outcome": np.where(bought, np.exp(rng.normal(3.0 + 0.1 * arm, 0.8)), 0.0)}

    return _dealt(make, "revenue units")


def _rates_by_segment() -> Cells:
    rng = np.random.default_rng(seed_of("rates by segment"))
    n = rng.integers(20, 120, (7, 2))
    return binary_cells(n, rng.binomial(n, rng.beta(6.0, [24.0, 18.0], (7, 2))))


def _eight_schools() -> Data:
    """Rubin (1981), Estimation in parallel randomized experiments, Journal of Educational Statistics 6(4), table 1."""
    table = pd.DataFrame(
        {
            "school": list("ABCDEFGH"),
            "effect": [28.39, 7.94, -2.75, 6.82, -0.64, 0.63, 18.01, 12.16],
            "error": [14.9, 10.2, 16.3, 11.0, 9.4, 11.4, 10.4, 17.6],
        }
    )
    return bu.read_effects(
        table, estimate="effect", standard_error="error", experiment="school", scale="difference", outcome="score"
    )


_UNITS: Final[dict[str, Callable[[], pd.DataFrame]]] = {"normal_adjusted": _with_covariate}
_UNITS_OF_KIND: Final[dict[str, Callable[[], pd.DataFrame]]] = {
    "continuous": _continuous,
    "count": _count,
    "revenue": _revenue,
}
_EXAMPLES: Final[dict[str, Callable[[], Data]]] = {"exchangeable_rates": _rates_by_segment, "portfolio": _eight_schools}


# Calibration: few units, so that a wrong prior shows; unlike numbers, so that swapped arms do.
_FEW: Final = (4, 9, 15)


def design(name: str) -> Data:
    """Small data of the model's kind: what is given (units, exposures, covariates) is used, outcomes are dealt anew."""
    if name == "exchangeable_rates":
        n = np.array([[4, 8], [12, 5], [9, 20], [15, 6], [7, 10], [30, 12]])
        return binary_cells(n, np.zeros_like(n))
    if name == "portfolio":
        return _eight_schools()
    kind = registered()[name].outcome
    if kind == "binary":
        return binary_cells(_FEW, np.zeros(len(_FEW)))
    rng = np.random.default_rng(seed_of("design"))
    arm = np.repeat(np.arange(len(ARMS)), _FEW)
    # every unit a row of its own: exposures and covariates are all different
    table = pd.DataFrame({"arm": np.array(ARMS)[arm], "outcome": np.arange(1.0, len(arm) + 1)})
    optional: dict[str, str] = {}
    if name == "normal_adjusted":
        table["covariate"], optional = rng.normal(10.0, 2.0, len(arm)), {"covariate": "covariate"}
    if kind == "count":
        table["exposure"], optional = rng.uniform(0.5, 3.0, len(arm)), {"exposure": "exposure"}
    return bu.read_cells(table, arm="arm", control="a", outcome="outcome", kind=kind, **optional)


_STATED: Final[dict[str, Any]] = {
    "normal": NormalPrior(location=20.0, location_sd=5.0, scale=4.0, smallest_scale=0.01),
    "normal_adjusted": RegressionPrior(20.0, 5.0, 4.0, 0.01, slope_sd=1.0),
}
_AMOUNTS: Final = LogAmountPrior(location=3.0, location_sd=1.0, scale=0.7, smallest_scale=0.05)


def stated_prior(name: str) -> Any:
    """The prior that worlds are drawn from: the model's own, with numbers for what it would take from the data."""
    if name in _STATED:
        return _STATED[name]
    prior = registered()[name].default_prior
    if name == "hurdle_lognormal":
        return type(prior)(amount=_AMOUNTS)
    if name == "negative_binomial":
        return type(prior)(log_rate=0.5, log_rate_sd=1.0, overdispersion=1.0)
    return prior.resolved(design(name))
