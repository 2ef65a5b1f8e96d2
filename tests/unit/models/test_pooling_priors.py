"""Priors of pooled models: in outcome units, exact on the link's scale, learned where past experiments taught them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.errors import ArgumentError
from bayesuplift.posterior.schema import mean_outcome
from bayesuplift.predictor import linked
from bayesuplift.spec import Given
from tests.support.mcse import assert_within_mcse
from tests.support.pooled import dealt
from tests.support.worlds import seed_of

CELLS = dealt((2, 3, 3), seed=seed_of("priors"))
FAMILIES = (
    bu.BinaryPoolingPrior,
    bu.CountPoolingPrior,
    bu.NormalPoolingPrior,
    bu.AmountPoolingPrior,
)


def learned(scale: str) -> bu.EffectPrior:
    generator = np.random.default_rng(seed_of("learned"))
    draws = generator.normal(0.1, 0.02, 1000), generator.uniform(0.2, 0.3, 1000), generator.uniform(5.0, 50.0, 1000)
    return bu.EffectPrior(*draws, effect_scale=scale, outcome="y", experiments=30, fingerprint="0")


def test_what_is_left_open_is_a_share_of_the_slope_at_the_pooled_rate() -> None:
    rate = (CELLS.total.sum() + 0.5) / (CELLS.n.sum() + 1)
    prior = bu.BinaryPoolingPrior().resolved(CELLS)
    slope = rate * (1 - rate)
    assert (prior.base, prior.base_sd) == pytest.approx((rate, slope), rel=1e-12)
    assert (prior.average_effect, prior.prognostic, prior.effect) == pytest.approx((slope / 2, slope / 2, slope / 4))


def test_a_stated_base_decides_what_a_unit_is() -> None:
    prior = bu.BinaryPoolingPrior(base=0.5, effect=0.01).resolved(CELLS)
    assert (prior.base, prior.average_effect, prior.effect) == (0.5, 0.125, 0.01)


@pytest.mark.parametrize(
    ("link", "at", "slope"), [("logit", np.log(0.2 / 0.8), 0.16), ("log", np.log(0.2), 0.2), ("identity", 0.2, 1.0)]
)
def test_a_small_change_of_the_mean_is_the_same_on_the_link(link: Any, at: float, slope: float) -> None:
    prior = Given.of_prior(bu.BinaryPoolingPrior(0.2, 0.02, 0.01, 0.03, 0.005))
    found = linked(prior, link)
    assert float(found.base) == pytest.approx(at, rel=1e-6)
    for name, value in {"base_sd": 0.02, "average_effect": 0.01, "prognostic": 0.03, "effect": 0.005}.items():
        assert float(getattr(found, name)) == pytest.approx(value / slope, rel=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["base_sd", "average_effect", "prognostic", "effect", "concentration"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), "a"])
def test_what_is_no_distribution_is_refused(family: Any, name: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=f"{family.__name__}: {name} = "):
        family(**{name: value})


def test_a_rate_outside_0_and_1_is_refused() -> None:
    for base in (0.0, 1.0, 1.2):
        with pytest.raises(ArgumentError, match="base = "):
            bu.BinaryPoolingPrior(base=base)


def test_the_sceptic_never_believes_more_than_was_stated() -> None:
    for stated in (bu.BinaryPoolingPrior(), bu.BinaryPoolingPrior(average_effect=1e-4, effect=1e-5)):
        prior = stated.resolved(CELLS)
        others = prior.alternatives(CELLS)
        assert list(others) == ["stated", "weak", "strong"]
        assert others["strong"].average_effect <= prior.average_effect <= others["weak"].average_effect
        assert others["strong"].effect <= prior.effect <= others["weak"].effect


@pytest.mark.parametrize(
    ("family", "adds_on"),
    [*zip(FAMILIES, ("log_odds", "log_ratio", "difference", "log_ratio"), strict=True)],
)
def test_a_learned_effect_must_be_on_the_scale_that_the_model_adds_on(family: Any, adds_on: str) -> None:
    assert family(average_effect=learned(adds_on)).learned is not None
    assert "learned" in str(family(average_effect=learned(adds_on)))
    for other in {"log_odds", "log_ratio", "difference"} - {adds_on}:
        with pytest.raises(ArgumentError, match=f"scale '{other}'; this model adds on '{adds_on}'"):
            family(average_effect=learned(other))


@pytest.fixture(scope="module")
def drawn() -> xr.DataTree:
    return bu.draw_prior("partial_pooling", CELLS, seed=1, draws=2000)


def test_draws_of_the_prior_are_the_priors(drawn: xr.DataTree) -> None:
    prior = Given.of_prior(bu.BinaryPoolingPrior().resolved(CELLS))
    numbers, sites = linked(prior, "logit"), drawn["posterior"].to_dataset()
    base, average = sites["base"].values, sites["average_effect"].values
    assert_within_mcse(base, float(numbers.base), comparisons=4)
    assert_within_mcse(average**2, float(numbers.average_effect) ** 2, comparisons=4)
    assert_within_mcse(sites["effect_scale"].values, float(numbers.effect) * np.sqrt(2 / np.pi), comparisons=4)
    assert_within_mcse(sites["prognostic_scale"].values ** 2, float(numbers.prognostic) ** 2, comparisons=4)
    with pytest.raises(AssertionError, match="Monte Carlo errors apart"):
        assert_within_mcse(average**2, 2 * float(numbers.average_effect) ** 2)
    assert drawn.attrs["method"] == "draws from the prior"
    assert "observed_data" not in drawn.children


def test_the_prior_of_a_cell_does_not_know_its_outcome(drawn: xr.DataTree) -> None:
    prior = bu.BinaryPoolingPrior().resolved(CELLS)
    other = dealt((2, 3, 3), seed=seed_of("other outcomes"))
    again = bu.draw_prior("partial_pooling", other, seed=1, draws=2000, prior=prior)
    np.testing.assert_array_equal(mean_outcome(again).values, mean_outcome(drawn).values)


def test_draws_of_a_learned_effect_are_the_mixture() -> None:
    past = learned("log_odds")
    found = bu.draw_prior(
        "partial_pooling", CELLS, seed=2, draws=2000, prior=bu.BinaryPoolingPrior(average_effect=past)
    )
    effect = found["posterior"].to_dataset()["average_effect"].values
    place = np.unique(np.linspace(0, 999, 256).round().astype(int))
    assert_within_mcse(effect, past.mean[place].mean(), comparisons=2)
    below = (effect < 0.0).astype(float)
    from scipy.stats import t  # noqa: PLC0415 -- here only

    expected = t(past.df[place], past.mean[place], past.scale[place]).cdf(0.0).mean()
    assert_within_mcse(below, float(expected), comparisons=2)


def test_a_learned_prior_draws_the_effect_towards_what_past_effects_were() -> None:
    wide = bu.fit("partial_pooling", CELLS, seed=3, sensitivity=False, progress=False)
    past = learned("log_odds")
    narrow = bu.EffectPrior(past.mean - 0.1, past.scale / 20, past.df + 50, "log_odds", "y", 30, "0")
    prior = bu.BinaryPoolingPrior(average_effect=narrow)
    close = bu.fit("partial_pooling", CELLS, seed=3, prior=prior, sensitivity=False, progress=False)
    effects = [abs(bu.ate(one).mean(("chain", "draw"))).values for one in (wide, close)]
    assert (effects[1] < 0.6 * effects[0]).all()
    assert "learned" in close.attrs["prior"]


def test_heterogeneity_is_set_beside_its_prior(drawn: xr.DataTree) -> None:
    posterior = bu.fit("partial_pooling", CELLS, seed=4, sensitivity=False, progress=False)
    found = bu.heterogeneity(posterior, prior=drawn, negligible=0.01)
    assert set(found["arm"].values) == {"b", "c"}
    assert bool((found["prior_spread_upper"] > found["spread_upper"]).all())


def test_draws_of_a_prior_for_another_model_are_refused() -> None:
    with pytest.raises(ArgumentError, match="BinaryPoolingPrior"):
        bu.draw_prior("partial_pooling", CELLS, seed=1, prior=bu.RatePrior())
    with pytest.raises(ArgumentError, match="draws = 0"):
        bu.draw_prior("partial_pooling", CELLS, seed=1, draws=0)
    table = pd.DataFrame({"experiment": ["x", "y"], "estimate": [0.1, 0.2], "error": [0.1, 0.1]})
    effects = bu.read_effects(table, estimate="estimate", standard_error="error", scale="difference")
    with pytest.raises(ArgumentError, match="partial_pooling_binary"):
        bu.draw_prior("partial_pooling_binary", effects, seed=1)
