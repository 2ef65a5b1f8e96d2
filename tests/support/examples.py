"""Data that each model is tried on: an example for contracts and twins, and a small design for calibration.

A model that is registered without an entry here gets those of its kind of outcome.
"""

import functools
import itertools
import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd

import bayesuplift as bu
from bayesuplift.data.cells import Cells
from bayesuplift.data.units import Units
from bayesuplift.dims import Kind
from bayesuplift.errors import DataWarning
from bayesuplift.inference.density import Data
from bayesuplift.inference.pooled_coordinates import POOLED
from bayesuplift.priors import (
    AmountPoolingPrior,
    BinaryPoolingPrior,
    CountPoolingPrior,
    HorseshoePrior,
    LogAmountPrior,
    NormalPoolingPrior,
    NormalPrior,
    RegressionPrior,
    RevenuePoolingPrior,
)
from bayesuplift.spec import registered
from tests.support.worlds import binary_cells, hillstrom_visits, seed_of

ARMS: Final = ("a", "b", "c")
UNITS: Final = (70, 90, 60)

LEVELS: Final = {"newbie": ("0", "1"), "channel": ("Multi", "Phone", "Web"), "visits": ("few", "many")}
SEGMENTS: Final = pd.DataFrame(itertools.product(*LEVELS.values()), columns=list(LEVELS))
"""Every combination of the levels, in the order that cells have them in: the segments of pooled models' examples."""

EMPTY: Final = (4, 1)
"""Segment and arm of an example's cell with nobody in it."""


@functools.cache
def units(name: str) -> pd.DataFrame:
    """Rows of the example; none where only cells were ever known.

    Columns are arm (position), outcome, and, where the model has them, segment (position), covariate or exposure.
    """
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
    optional: dict[str, Any] = {role: role for role in ("covariate", "exposure") if role in table}
    if "segment" in table:
        table = table.assign(**{factor: SEGMENTS[factor].to_numpy()[table["segment"]] for factor in LEVELS})
        table, optional = table.drop(columns="segment"), optional | {"segments": list(LEVELS)}
    return _read_units(table.assign(arm=np.array(ARMS)[table["arm"]]), registered()[name].outcome, optional)


def _read_units(table: pd.DataFrame, kind: Kind, optional: dict[str, Any]) -> Cells:
    """Cells of units, through the public reader."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # cells with nobody are put on purpose
        return bu.read_cells(table, arm="arm", control="a", outcome="outcome", kind=kind, **optional)


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


def _crossed(
    make: Callable[[np.random.Generator, np.ndarray, np.ndarray], dict[str, Any]],
    predictor: tuple[float, float],
    fewest: int,
    most: int,
) -> pd.DataFrame:
    """Units of crossed segments, their columns made from the position of the arm and from a linear predictor.

    Parameters
    ----------
    predictor
        Its mean, and the standard deviation of levels between segments; effects differ half as much.
    fewest, most
        Units of a cell.
    """
    rng = np.random.default_rng(seed_of("crossed segments"))
    arms, segments = len(ARMS), len(SEGMENTS)
    of_cells = _predictor_of_cells(rng, *predictor)
    n = rng.integers(fewest, most + 1, (segments, arms))
    n[EMPTY] = 0
    cell = np.repeat(np.arange(n.size), n.ravel())
    table = {"segment": cell // arms, "arm": cell % arms}
    return pd.DataFrame(table | make(rng, table["arm"], of_cells.ravel()[cell]))


def _predictor_of_cells(rng: np.random.Generator, mean: float, sd: float) -> np.ndarray:
    """A linear predictor (segment, arm) in which every factor, and the segment itself, has a part."""
    treated = np.array([0.0, 1.0, 1.0])
    found = mean + sd * np.array([0.0, 0.3, 0.8]) + np.zeros((len(SEGMENTS), len(ARMS)))
    terms = [*(pd.factorize(SEGMENTS[factor])[0] for factor in LEVELS), np.arange(len(SEGMENTS))]
    for code, share in zip(terms, (0.8, 0.6, 0.3, 0.3), strict=True):
        level = rng.normal(0.0, share * sd, code.max() + 1)
        effect = rng.normal(0.0, 0.5 * share * sd, (code.max() + 1, len(ARMS)))
        found += level[code][:, None] + treated * effect[code]
    return found


def _crossed_rates() -> Cells:
    rng = np.random.default_rng(seed_of("crossed rates"))
    rate = 1.0 / (1.0 + np.exp(-_predictor_of_cells(rng, -1.5, 0.6)))
    n = rng.integers(20, 120, rate.shape)
    n[EMPTY] = 0
    return crossed_cells(SEGMENTS, n, rng.binomial(n, rate))


def crossed_cells(segments: pd.DataFrame, n: Any, total: Any) -> Cells:
    """Cells of a binary outcome of these segments, a row each, from counts (segment, arm) of the first so many arms."""
    arms = ARMS[: np.shape(n)[1]]
    rows = segments.loc[segments.index.repeat(len(arms))].reset_index(drop=True)
    table = rows.assign(arm=np.tile(arms, len(segments)), n=np.ravel(n), visit=np.ravel(total))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # cells with nobody are put on purpose
        return bu.read_counts(
            table, arm="arm", control="a", trials="n", successes="visit", segments=list(segments), outcome="visit"
        )


def _crossed_continuous() -> pd.DataFrame:
    return _crossed(
        lambda rng, arm, mean: {"outcome": rng.normal(mean, 3.0 + arm)}, predictor=(20.0, 2.0), fewest=4, most=12
    )


def _crossed_count() -> pd.DataFrame:
    def make(rng: np.random.Generator, arm: np.ndarray, predictor: np.ndarray) -> dict[str, Any]:
        exposure = rng.choice([0.5, 1.0, 2.0], len(arm))
        intensity = rng.gamma(1.5, np.exp(predictor) * exposure / 1.5)
        return {"exposure": exposure, "outcome": rng.poisson(intensity).astype(float)}

    return _crossed(make, predictor=(0.5, 0.4), fewest=4, most=12)


def _crossed_revenue() -> pd.DataFrame:
    def make(rng: np.random.Generator, arm: np.ndarray, predictor: np.ndarray) -> dict[str, Any]:
        bought = rng.random(len(arm)) < 1.0 / (1.0 + np.exp(-predictor))
        return {"outcome": np.where(bought, np.exp(rng.normal(3.0 + 0.5 * predictor, 0.8)), 0.0)}

    return _crossed(make, predictor=(-0.3, 0.5), fewest=8, most=20)


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


def _experiment(per_arm: tuple[int, ...], name: str) -> Units:
    """Units with four covariates, one of them text; only the first and the last change effects."""
    rng = np.random.default_rng(seed_of(name))
    arm = np.repeat(np.arange(len(ARMS)), per_arm)
    table = pd.DataFrame(
        {
            "arm": np.array(ARMS)[arm],
            "recency": rng.integers(1, 13, len(arm)),
            "history": rng.gamma(2.0, 120.0, len(arm)),
            "channel": rng.choice(["Multichannel", "Phone", "Web"], len(arm)),
            "newbie": rng.integers(0, 2, len(arm)),
        }
    )
    effect = np.array([0.0, 1.0, 2.0])[arm] * (1.0 + 0.2 * (table["recency"] - 6.5) + 1.5 * (table["newbie"] - 0.5))
    level = 20.0 + 0.01 * table["history"] - 0.2 * table["recency"] + effect
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # of few units a segment may lack an arm
        experiment = bu.read_experiment(
            table.assign(outcome=level + rng.normal(0.0, 2.0 + arm)),
            arm="arm",
            control="a",
            outcome="outcome",
            kind="continuous",
            covariates=["recency", "history", "channel", "newbie"],
            segments=["channel"],
        )
    return Units.of(experiment)


_UNITS: Final[dict[str, Callable[[], pd.DataFrame]]] = {
    "normal_adjusted": _with_covariate,
    "partial_pooling_binary": pd.DataFrame,
    "partial_pooling_count": _crossed_count,
    "partial_pooling_normal": _crossed_continuous,
    "partial_pooling_revenue": _crossed_revenue,
}
_UNITS_OF_KIND: Final[dict[str, Callable[[], pd.DataFrame]]] = {
    "continuous": _continuous,
    "count": _count,
    "revenue": _revenue,
}
_EXAMPLES: Final[dict[str, Callable[[], Data]]] = {
    "exchangeable_rates": _rates_by_segment,
    "interaction_horseshoe": lambda: _experiment((30, 40, 25), "units with covariates"),
    "partial_pooling_binary": _crossed_rates,
    "portfolio": _eight_schools,
}


# Calibration: few units, so that a wrong prior shows; unlike numbers, so that swapped arms do.
_FEW: Final = (4, 9, 15)


def design(name: str) -> Data:
    """Small data of the model's kind: what is given (units, exposures, covariates) is used, outcomes are dealt anew."""
    if name == "exchangeable_rates":
        n = np.array([[4, 8], [12, 5], [9, 20], [15, 6], [7, 10], [30, 12]])
        return binary_cells(n, np.zeros_like(n))
    if name == "portfolio":
        return _eight_schools()
    if name == "interaction_horseshoe":
        return _experiment(_FEW, "few units with covariates")
    kind = registered()[name].outcome
    if name in POOLED:
        return _crossed_design(kind)
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
    return _read_units(table, kind, optional)


def _crossed_design(kind: Kind) -> Cells:
    """Six segments of two factors, and a few units in each cell; in one of them nobody."""
    segments = SEGMENTS[["newbie", "channel"]].drop_duplicates().reset_index(drop=True)
    n = np.array([[2, 5, 9], [8, 3, 4], [6, 12, 2], [3, 0, 7], [15, 4, 6], [5, 8, 1]])
    if kind == "binary":
        return crossed_cells(segments, n, np.zeros_like(n))
    cell = np.repeat(np.arange(n.size), n.ravel())
    arm, rng = cell % len(ARMS), np.random.default_rng(seed_of("crossed design"))
    table = segments.iloc[cell // len(ARMS)].assign(arm=np.array(ARMS)[arm], outcome=np.arange(1.0, len(cell) + 1))
    # counts are few: a table of sums as long as the largest is made for each, the same for all worlds
    more = {"exposure": rng.uniform(0.5, 1.5, len(cell))} if kind == "count" else {}
    return _read_units(table.assign(**more), kind, {"segments": list(segments)} | {role: role for role in more})


_STATED: Final[dict[str, Any]] = {
    "interaction_horseshoe": HorseshoePrior(20.0, 5.0, 1.5, 1.0, 0.5, 1.5, scale=3.0, smallest_scale=0.1),
    "normal": NormalPrior(location=20.0, location_sd=5.0, scale=4.0, smallest_scale=0.01),
    "normal_adjusted": RegressionPrior(20.0, 5.0, 4.0, 0.01, slope_sd=1.0),
    "partial_pooling_binary": BinaryPoolingPrior(base=0.3),
    "partial_pooling_count": CountPoolingPrior(0.8, 0.3, 0.3, 0.25, 0.15, overdispersion=0.5),
    "partial_pooling_normal": NormalPoolingPrior(20.0, 2.0, 1.5, 1.5, 0.8, scale=4.0, smallest_scale=0.01),
    "partial_pooling_revenue": RevenuePoolingPrior(
        buying=BinaryPoolingPrior(base=0.4),
        amount=AmountPoolingPrior(3.0, 0.5, 0.4, 0.4, 0.2, scale=0.7, smallest_scale=0.05),
    ),
}
_AMOUNTS: Final = LogAmountPrior(location=3.0, location_sd=1.0, scale=0.7, smallest_scale=0.05)


def stated_prior(name: str) -> Any:
    """The prior that worlds are drawn from: the model's own, with numbers for what it would take from the data."""
    if name in _STATED:
        return _STATED[name].resolved(design(name))
    prior = registered()[name].default_prior
    if name == "hurdle_lognormal":
        return type(prior)(amount=_AMOUNTS)
    if name == "negative_binomial":
        return type(prior)(log_rate=0.5, log_rate_sd=1.0, overdispersion=1.0)
    return prior.resolved(design(name))
