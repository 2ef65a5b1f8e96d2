"""How much effects differ, and what the data say of it beyond the prior."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.errors import ArgumentError
from tests.support.factored import UNITS, factored, rates
from tests.support.worlds import foreign, normal_draws, seed_of

WEIGHTS = np.array(UNITS).sum(axis=1) / np.sum(UNITS)
DRAWS = rates(seed=seed_of("heterogeneity"), draws=500)
TREE = factored(DRAWS)


def spread_of(draws: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted standard deviation, (chain, draw, arm), as E[x^2] - E[x]^2: another formula than the package's."""
    effect = draws[..., 1:] - draws[..., :1]
    mean, square = (np.einsum("cdsa,s->cda", one, weights) for one in (effect, effect**2))
    return np.sqrt(square - mean**2)


def spreads(sds: Any, *, seed: str) -> xr.DataTree:
    """Effects of two segments of the same size, c ± its draw of the spread, about 1."""
    rng = np.random.default_rng(seed_of(seed))
    half = np.abs(rng.standard_normal((4, 1000))) * sds
    draws = np.zeros((4, 1000, 2, 2))
    draws[..., 0, 1], draws[..., 1, 1] = 1.0 + half, 1.0 - half
    return foreign(draws, segments={"x": [5, 5], "y": [5, 5]})


def test_the_spread_is_the_weighted_standard_deviation_of_every_draw() -> None:
    found = bu.effect_spread(TREE)
    assert found.dims == ("chain", "draw", "arm")
    assert found["arm"].values.tolist() == ["men", "women"]
    np.testing.assert_allclose(found, spread_of(DRAWS, WEIGHTS), atol=1e-12)
    other = pd.DataFrame({"newbie": [0, 1], "channel": ["Web", "Web"], "people": [1, 3]})
    expected = spread_of(DRAWS, np.array([0, 0.25, 0, 0.75]))
    np.testing.assert_allclose(bu.effect_spread(TREE, population=other, weight="people"), expected, atol=1e-12)


def test_the_summary_is_that_of_the_draws() -> None:
    table, spread = bu.heterogeneity(TREE, prob=0.8), bu.effect_spread(TREE)
    summary = bu.summarize(spread, prob=0.8)
    for ours, theirs in (
        ("spread", "mean"),
        ("spread_mcse", "mcse"),
        ("spread_lower", "lower"),
        ("spread_upper", "upper"),
    ):
        np.testing.assert_array_equal(table[ours], summary[theirs])
    assert not [name for name in table if str(name).startswith(("prior", "bayes"))]
    average = bu.ate(TREE)
    np.testing.assert_array_equal(table["prob_negligible"], (spread < 0.1 * abs(average)).mean(("chain", "draw")))
    given = bu.heterogeneity(TREE, negligible=0.2)
    np.testing.assert_array_equal(given["prob_negligible"], (spread < 0.2).mean(("chain", "draw")))


def test_the_bayes_factor_is_the_ratio_of_odds_with_its_error() -> None:
    after, before = spreads(0.1, seed="after"), spreads(1.0, seed="before")
    table = bu.heterogeneity(after, prior=before, negligible=0.1)
    p, q = (float(table[f"{name}prob_negligible"][0]) for name in ("", "prior_"))
    assert float(table["bayes_factor"][0]) == pytest.approx(p / (1 - p) / (q / (1 - q)), rel=1e-12)
    # P(|z| < 1) = .68269 against P(|z| < .1) = .07966
    exact = 0.682689 / 0.317311 / (0.0796557 / 0.9203443)
    assert abs(float(table["bayes_factor"][0]) - exact) < 5 * float(table["bayes_factor_mcse"][0])
    assert float(table["bayes_factor_mcse"][0]) < 0.1 * exact
    assert table["bayes_factor_bound"].values.tolist() == [""]
    turned = bu.heterogeneity(before, prior=after, negligible=0.1)
    np.testing.assert_allclose(turned["bayes_factor"] * table["bayes_factor"], 1.0)


@pytest.mark.parametrize(
    ("after", "before", "bound", "side"),
    [(1e-6, 1.0, "at least", 1), (1e3, 1.0, "at most", -1), (1.0, 1e6, "at least", 1), (1e6, 1e6, "unknown", 0)],
)
def test_odds_that_no_draw_shows_are_a_bound(after: float, before: float, bound: str, side: int) -> None:
    table = bu.heterogeneity(spreads(after, seed="a"), prior=spreads(before, seed="b"), negligible=1e-2)
    assert table["bayes_factor_bound"].values.tolist() == [bound]
    assert np.isnan(table["bayes_factor_mcse"]).all()
    if side == 0:
        assert np.isnan(table["bayes_factor"]).all()
    else:
        assert side * np.log(float(table["bayes_factor"][0])) > 0
        assert np.isfinite(table["bayes_factor"]).all()


def test_the_same_draws_before_and_after_say_nothing() -> None:
    tree = spreads(0.1, seed="same")
    assert float(bu.heterogeneity(tree, prior=tree, negligible=0.1)["bayes_factor"][0]) == 1.0


def test_no_difference_in_any_draw_is_no_spread() -> None:
    one = normal_draws([1.0, 2.0], 0.1, seed=1)
    table = bu.heterogeneity(foreign(np.stack([one, one], axis=2), segments={"x": [1, 2], "y": [3, 4]}))
    assert float(table["spread"][0]) < 1e-15
    assert float(table["prob_negligible"][0]) == 1.0
    assert float(table["prob_negligible_mcse"][0]) > 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"negligible": 0.0}, "negligible = 0.0"),
        ({"prob": 2}, "prob = 2"),
        ({"prior": factored(DRAWS, arms=("control", "men", "kids"))}, "the prior has arms control, men, kids"),
        (
            {"prior": foreign(DRAWS[:, :, 0], arms=["control", "men", "women"])},
            "other segments than the posterior: no such",
        ),
        (
            {"prior": factored(DRAWS, factors={"newbie": "0011", "channel": ["Phone", "Web", "Phone", "Fax"]})},
            "other segments than the posterior: newbie=0, channel=Phone",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(options: Any, told: str) -> None:
    with pytest.raises(ArgumentError, match=told):
        bu.heterogeneity(TREE, **options)


def test_one_effect_an_arm_has_no_spread() -> None:
    with pytest.raises(ArgumentError, match="neither segments nor units"):
        bu.effect_spread(foreign(DRAWS[:, :, 0]))
