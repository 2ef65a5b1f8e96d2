"""Levels that follow the propensity: the prior of their slope, where it enters, and what it is for."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from numpyro import handlers
from scipy.special import expit

import bayesuplift as bu
from bayesuplift.data.cells import Cells
from bayesuplift.errors import ArgumentError
from bayesuplift.inference.density import conditioned, given, sites_of
from bayesuplift.inference.fit import model_of
from bayesuplift.inference.pooled_coordinates import coordinates
from bayesuplift.inference.session import jax_session
from bayesuplift.predictor import linked
from bayesuplift.spec import Given
from tests.support.examples import SEGMENTS
from tests.support.worlds import seed_of

KINDS = {"binary": bu.BinaryPoolingPrior, "count": bu.CountPoolingPrior, "continuous": bu.NormalPoolingPrior}
_MEANS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "binary": ("mean_outcome", expit),
    "count": ("mean_outcome", np.exp),
    "continuous": ("mean_outcome", np.asarray),
    "buying_revenue": ("buying_rate", expit),
    "amount_revenue": ("log_mean", np.asarray),
}
PARTS = {"binary": ("",), "count": ("",), "continuous": ("",), "revenue": ("buying_", "amount_")}


def units(kind: str) -> pd.DataFrame:
    """Some units in each segment of three factors; the log odds of treatment differ within segments and between them."""
    generator = np.random.default_rng(seed_of("units with a propensity"))
    segment = np.repeat(np.arange(len(SEGMENTS)), generator.integers(10, 30, len(SEGMENTS)))
    log_odds = generator.normal(0.0, 1.0, len(SEGMENTS))[segment] + generator.normal(0.0, 0.5, len(segment))
    chance = 1.0 / (1.0 + np.exp(-log_odds))
    level = 0.5 * log_odds
    outcomes: dict[str, Any] = {
        "binary": generator.random(len(segment)) < 1.0 / (1.0 + np.exp(1.0 - level)),
        "count": generator.poisson(np.exp(level)),
        "continuous": 20.0 + level + generator.normal(0.0, 2.0, len(segment)),
        "revenue": np.where(generator.random(len(segment)) < 0.5, np.exp(level), 0.0),
    }
    arm = np.where(generator.random(len(segment)) < chance, "b", "a")
    return SEGMENTS.iloc[segment].assign(arm=arm, chance=chance, y=outcomes[kind])


def cells_of(kind: str, **options: Any) -> Cells:
    roles: dict[str, Any] = {"segments": list(SEGMENTS), "propensity": "chance", "control": "a"} | options
    return bu.read_cells(units(kind), arm="arm", outcome="y", kind=kind, **roles)


@pytest.mark.parametrize("kind", KINDS)
def test_a_slope_left_open_is_as_wide_as_levels_are(kind: str) -> None:
    family, cells, without = KINDS[kind], cells_of(kind), cells_of(kind, propensity=None)
    prior, plain = family().resolved(cells), family().resolved(without)
    assert prior.propensity == prior.prognostic
    assert plain.propensity is None
    assert {name: vars(prior)[name] for name in vars(plain) if name != "propensity"} == {
        name: value for name, value in vars(plain).items() if name != "propensity"
    }
    assert "slope" not in str(plain)
    assert f"slope of the propensity ~ Normal(0, {prior.propensity:.4g})" in str(prior)
    assert {one.propensity for one in prior.alternatives(cells).values()} == {prior.propensity}
    assert family(propensity=0.25).resolved(cells).propensity == 0.25
    with pytest.raises(ArgumentError, match=r"propensity = 0.25 is stated, and the cells hold none; read them with"):
        family(propensity=0.25).resolved(without)
    for value in (0.0, -1.0, float("nan"), "a"):
        with pytest.raises(ArgumentError, match="propensity = "):
            family(propensity=value)


def test_revenue_has_a_slope_in_either_part() -> None:
    prior = bu.RevenuePoolingPrior().resolved(cells_of("revenue"))
    assert (prior.buying.propensity, prior.amount.propensity) == (prior.buying.prognostic, prior.amount.prognostic)


@pytest.mark.parametrize(("link", "slope"), [("logit", 0.16), ("log", 0.2), ("identity", 1.0)])
def test_a_slope_is_a_change_of_the_mean_on_the_link(link: Any, slope: float) -> None:
    numbers = (0.2, 0.02, 0.01, 0.03, 0.005)
    found = linked(Given.of_prior(bu.BinaryPoolingPrior(*numbers, propensity=0.04)), link)
    assert float(found.propensity) == pytest.approx(0.04 / slope, rel=1e-12)
    assert "propensity" not in linked(Given.of_prior(bu.BinaryPoolingPrior(*numbers)), link).values


def away_of(table: pd.DataFrame) -> np.ndarray:
    """Each segment's mean log odds less the mean of all units, from the units."""
    log_odds = np.log(table["chance"]) - np.log1p(-table["chance"])
    means = log_odds.groupby([table[factor] for factor in SEGMENTS], sort=True).mean() - log_odds.mean()
    return means.to_numpy()


def one_draw(cells: Cells) -> tuple[Given, dict[str, np.ndarray]]:
    """The design of the cells, and every site of the program in one draw from its prior."""
    spec = model_of("partial_pooling", cells)
    data, prior = given(spec, cells), Given.of_prior(spec.default_prior.resolved(cells))
    with jax_session():
        seeded = handlers.seed(conditioned(spec), jax.random.key(seed_of("slope")))
        trace = handlers.trace(seeded).get_trace(data, prior=prior)
        return data.design, {name: np.asarray(site["value"]) for name, site in trace.items() if "value" in site}


@pytest.mark.parametrize("control", ["a", "b"])
@pytest.mark.parametrize("kind", PARTS)
def test_the_slope_moves_the_levels_of_both_arms_and_nothing_else(kind: str, control: str) -> None:
    cells = cells_of(kind, control=control)
    design, sites = one_draw(cells)
    for part in PARTS[kind]:
        level = sites[f"{part}base"] + design.columns @ sites[f"{part}prognostic_contrast"]
        level = level + sites[f"{part}prognostic_segment"] + sites[f"{part}propensity_slope"] * away_of(units(kind))
        effect = sites[f"{part}average_effect"] + design.columns @ sites[f"{part}effect_contrast"]
        effect = effect + sites[f"{part}effect_segment"]
        predictor = np.stack([level if arm == control else level + effect[:, 0] for arm in cells.design.arms], axis=-1)
        site, mean = _MEANS[f"{part}{kind}"]
        # of a few sums near 20
        np.testing.assert_allclose(sites[site], mean(predictor), rtol=1e-12)


@pytest.mark.parametrize("kind", PARTS)
def test_without_a_propensity_there_is_no_slope(kind: str) -> None:
    cells = cells_of(kind, propensity=None)
    spec = model_of("partial_pooling", cells)
    prior = Given.of_prior(spec.default_prior.resolved(cells))
    with jax_session():
        found = sites_of(spec, given(spec, cells), prior)
    assert found.latent
    assert not [name for name in found.latent if "slope" in name]


@pytest.mark.parametrize("kind", PARTS)
def test_chains_move_the_slope_by_what_the_data_say_of_it(kind: str) -> None:
    cells = cells_of(kind)
    spec = model_of("partial_pooling", cells)
    found = coordinates(spec.name, cells, given(spec, cells).design).values
    assert {f"{part}propensity_slope" for part in PARTS[kind]} <= set(found)
    without = cells_of(kind, propensity=None)
    plain = coordinates(spec.name, without, given(spec, without).design).values
    assert set(plain) == {site for site in found if "slope" not in site}
    for site in plain:
        assert np.shape(found[site].estimate) == np.shape(plain[site].estimate)
        np.testing.assert_allclose(found[site].information, plain[site].information)
    for part in PARTS[kind]:
        assert np.shape(found[f"{part}propensity_slope"].estimate) == ()
        assert found[f"{part}propensity_slope"].information > 0
