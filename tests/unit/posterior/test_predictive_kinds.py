"""Predictive checks of means, counts and revenue: each rejects its planted fault and passes what the model made."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayesuplift as bu
from bayesuplift.data.cells import Cells
from bayesuplift.dims import Kind
from bayesuplift.errors import PosteriorError
from bayesuplift.posterior.predictive_parts import mixed_binomial_tails
from tests.support.worlds import foreign, normal_draws, seed_of

ARMS = np.array(["a", "b"])
PLACES = np.array(["p0", "p1", "p2", "p3"])
MODELS = {"continuous": "normal", "count": "negative_binomial", "revenue": "hurdle_lognormal"}

Maker = Callable[[np.random.Generator, np.ndarray, np.ndarray], dict[str, Any]]


def world(kind: Kind, make: Maker, name: str, *, units: int = 400) -> Cells:
    """Cells of four places and two arms whose units a maker deals from (generator, place, arm)."""
    place, arm = (part.ravel() for part in np.indices((4, 2, units))[:2])
    table = pd.DataFrame(
        {"place": PLACES[place], "arm": ARMS[arm]} | make(np.random.default_rng(seed_of(name)), place, arm)
    )
    optional = {role: role for role in ("exposure", "covariate") if role in table}
    return bu.read_cells(table, arm="arm", control="a", outcome="y", kind=kind, segments=["place"], **optional)


def outcome(tree: xr.DataTree, cells: Cells) -> dict[str, bool]:
    return {check.name: check.passed for check in bu.predictive_check(tree, cells, seed=1)}


def failed(cells: Cells, model: str | None = None, *, by_segment: bool = False) -> set[str]:
    fitted = bu.fit(model or MODELS[cells.kind], cells if by_segment else cells.by(), seed=1, draws=250)
    return {name for name, passed in outcome(fitted, cells).items() if not passed}


def lognormal(rng: np.random.Generator, mean: Any, sd: Any = 0.8, buying: Any = 0.3) -> dict[str, Any]:
    mean = np.asarray(mean, dtype=float)
    return {"y": np.where(rng.random(len(mean)) < buying, np.exp(rng.normal(mean, sd)), 0.0)}


def negative_binomial(rng: np.random.Generator, mean: Any, dispersion: float = 0.8) -> dict[str, Any]:
    return {"y": rng.poisson(rng.gamma(dispersion**-2, np.asarray(mean) * dispersion**2)).astype(float)}


# What each model would have made, alike in every place.
TRUE: dict[str, tuple[Kind, Maker]] = {
    "normal": ("continuous", lambda rng, _, arm: {"y": rng.normal(5.0 + arm, 2.0)}),
    "negative_binomial": ("count", lambda rng, _, arm: negative_binomial(rng, 1.5 + 0.5 * arm)),
    "hurdle_lognormal": ("revenue", lambda rng, _, arm: lognormal(rng, 3.0 + 0.2 * arm)),
}


def exposed(rng: np.random.Generator, place: np.ndarray, arm: np.ndarray) -> dict[str, Any]:
    del place
    exposure = rng.uniform(0.2, 3.0, len(arm))
    return {"exposure": exposure, **negative_binomial(rng, exposure * (1.0 + arm))}


def with_covariate(rng: np.random.Generator, place: np.ndarray, arm: np.ndarray) -> dict[str, Any]:
    before = rng.normal(10.0 + 3.0 * place, 4.0)
    return {"covariate": before, "y": rng.normal(2.0 + arm + 0.7 * before, 1.5)}


@pytest.mark.parametrize("by_segment", [False, True])
@pytest.mark.parametrize("model", TRUE)
def test_what_a_model_made_is_as_it_predicts(model: str, by_segment: bool) -> None:
    kind, make = TRUE[model]
    assert failed(world(kind, make, f"made by {model}"), by_segment=by_segment) == set()


def test_unequal_exposures_and_a_covariate_that_differs_over_segments_are_as_predicted() -> None:
    assert failed(world("count", exposed, "exposed")) == set()
    cells = world("continuous", with_covariate, "covariate")
    assert failed(cells, "normal_adjusted") == set()
    assert failed(cells, "normal") >= {"cell_means", "spread_over_segments"}


def shifted(place: np.ndarray, size: float) -> np.ndarray:
    return size * (place - 1.5)


FAULTS: dict[str, tuple[Kind, Maker]] = {
    "cell_means": ("continuous", lambda rng, place, arm: {"y": rng.normal(5.0 + arm + 1.5 * (place == 2), 2.0)}),
    "spread_over_segments": ("continuous", lambda rng, place, _: {"y": rng.normal(5.0 + shifted(place, 0.25), 2.0)}),
    "spread_of_units": ("continuous", lambda rng, place, _: {"y": rng.normal(5.0, 2.0 + 0.5 * (place == 1))}),
    "cell_rates": ("count", lambda rng, place, _: negative_binomial(rng, 1.5 + 1.0 * (place == 3))),
    "spread_over_segments of counts": (
        "count",
        lambda rng, place, _: negative_binomial(rng, 1.5 * np.exp(shifted(place, 0.2))),
    ),
    "zeros": (
        "count",
        lambda rng, _, arm: {"y": np.where(rng.random(len(arm)) < 0.3, 0, 1 + rng.poisson(2.0, len(arm)))},
    ),
    "large_counts": (
        "count",
        lambda rng, _, arm: {"y": rng.poisson(1.5, len(arm)) + np.where(rng.random(len(arm)) < 0.05, 12, 0)},
    ),
    "buying_rates": (
        "revenue",
        lambda rng, place, arm: lognormal(rng, 3.0 + 0 * arm, buying=0.3 + 0.15 * (place == 0)),
    ),
    "buying_over_segments": (
        "revenue",
        lambda rng, place, arm: lognormal(rng, 3.0 + 0 * arm, buying=0.3 + shifted(place, 0.03)),
    ),
    "log_amounts": ("revenue", lambda rng, place, _: lognormal(rng, 3.0 + 0.8 * (place == 0))),
    "log_amounts_over_segments": ("revenue", lambda rng, place, _: lognormal(rng, 3.0 + shifted(place, 0.25))),
    "spread_of_log_amounts": (
        "revenue",
        lambda rng, place, arm: lognormal(rng, 3.0 + 0 * arm, 0.6 + 0.5 * (place == 1)),
    ),
    "mean_amounts": ("revenue", lambda rng, _, arm: {"y": 10.0 * rng.random(len(arm)) ** (-1 / 1.5)}),
    "amount_quantiles": (
        "revenue",
        lambda rng, _, arm: {"y": np.where(rng.random(len(arm)) < 0.35, 29.99, np.exp(rng.normal(4.0, 0.8, len(arm))))},
    ),
    "largest_amounts": (
        "revenue",
        lambda rng, _, arm: {"y": np.minimum(np.exp(rng.normal(4.0, 1.0, len(arm))), 400.0)},
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_by_its_check(fault: str) -> None:
    kind, make = FAULTS[fault]
    assert fault.removesuffix(" of counts") in failed(world(kind, make, fault))


@functools.cache
def alarms(model: str) -> tuple[int, int]:
    """Failures of single checks, and checks made, over 25 worlds that the model made and was fitted to by arm."""
    kind, make = TRUE[model]
    found = 0
    every = 0
    for k in range(25):
        cells = world(kind, make, f"{model} alarm {k}", units=60)
        checks = outcome(bu.fit(model, cells.by(), seed=k, draws=250), cells)
        found, every = found + sum(not passed for passed in checks.values()), every + len(checks)
    return found, every


@pytest.mark.parametrize("model", TRUE)
def test_true_models_fail_about_as_seldom_as_they_should(model: str) -> None:
    found, every = alarms(model)
    # at .01 a check, and .02 of the two-sided ones over segments: fails wrongly with p < 1e-3
    assert stats.binom.sf(found - 1, every, 0.015) > 1e-3


def test_a_posterior_of_another_model_is_checked_by_what_it_holds_or_told_what_is_missing() -> None:
    kind, make = TRUE["hurdle_lognormal"]
    spend = world(kind, make, "held")
    assert "cell_means" in outcome(bu.fit("normal", spend.by(), seed=1, draws=250), spend)
    draws = foreign(normal_draws([6.0, 7.0], 0.1, seed=1))
    with pytest.raises(PosteriorError, match=r"lacks buying_rate, log_mean, log_sd"):
        bu.predictive_check(draws, spend, seed=1)
    means = world(*TRUE["normal"], "held")
    with pytest.raises(PosteriorError, match="needs draws of mean_outcome, sd; it lacks sd"):
        bu.predictive_check(draws, means, seed=1)
    with pytest.raises(PosteriorError, match="lacks rate, overdispersion"):
        bu.predictive_check(draws, world(*TRUE["negative_binomial"], "held"), seed=1)


def test_cells_without_buyers_contradict_nothing() -> None:
    def some(rng: np.random.Generator, place: np.ndarray, arm: np.ndarray) -> dict[str, Any]:
        return {"y": np.where((place == 2) & (arm == 1), lognormal(rng, 3.0 + 0 * arm)["y"], 0.0)}

    with pytest.warns(bu.errors.DataWarning):
        cells = world("revenue", some, "some")
    assert "mean_amounts" in outcome(bu.fit("hurdle_lognormal", cells.by(), seed=1, draws=250), cells)
    with pytest.warns(bu.errors.DataWarning):
        nobody = world("revenue", lambda _, __, arm: {"y": 0.0 * arm}, "nobody")
    found = outcome(bu.fit("hurdle_lognormal", nobody.by(), seed=1, draws=250), nobody)
    assert set(found) == {"buying_rates", "buying_over_segments"}


def test_a_sum_of_unlike_binomial_counts_is_nearly_that_of_one_with_its_first_moments() -> None:
    rng = np.random.default_rng(seed_of("unlike"))
    trials, chance = np.array([50.0, 120.0, 30.0]), np.array([0.05, 0.2, 0.5])
    sums = rng.binomial(trials.astype(int), chance, (200_000, 3)).sum(axis=1)
    for observed in (25, 35, 42, 50, 58):
        below, above = mixed_binomial_tails(trials, chance, observed)
        # far inside the digits that a level of .01 needs; 4 standard errors of the shares
        np.testing.assert_allclose([below, above], [(sums < observed).mean(), (sums > observed).mean()], atol=0.006)
    exact = mixed_binomial_tails(trials, np.full(3, 0.2), 30)
    np.testing.assert_allclose(exact, [stats.binom.cdf(29, 200, 0.2), stats.binom.sf(30, 200, 0.2)], rtol=1e-10)
