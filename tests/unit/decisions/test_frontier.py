"""What a rule earns as risk aversion, the share treated or prices change."""

import numpy as np
import pytest

import bayesuplift as bu
from bayesuplift.errors import ArgumentError
from tests.support.factored import UNITS as SEGMENT_UNITS
from tests.support.factored import factored, rates
from tests.support.over_units import noisy, over_units
from tests.support.worlds import seed_of

ECONOMICS = bu.Economics(2.0, {"men": 0.3, "women": 0.1})
TREE = over_units(
    noisy(np.random.default_rng(17).normal(0.0, 0.3, (50, 3)), sd=0.3, seed=seed_of("frontier")),
    factors={"channel": ["Web", "Phone"] * 25},
)


def test_a_frontier_is_the_policies_of_its_rules() -> None:
    limit = bu.AtMost(share=0.7)
    table = bu.risk_frontier(TREE, ECONOMICS, risk_aversions=(0.0, 0.5, 1.0), prob=0.8, limits=(limit,))
    for risk_aversion in (0.0, 0.5, 1.0):
        policy = bu.target(TREE, ECONOMICS, rule=bu.RiskAdjusted(risk_aversion, 0.8).subject_to(limit))
        alone = bu.summarize_value(bu.policy_value(policy, TREE), prob=0.8)
        row = table.sel(risk_aversion=risk_aversion)
        for name in ("profit", "profit_lower", "prob_loss", "cvar", "regret"):
            assert float(row[name]) == pytest.approx(float(alone[name]), rel=1e-10), name
        np.testing.assert_array_equal(row["units"], policy.units)
    assert (table["number_treated"].diff("risk_aversion") <= 0).all()
    assert (table["profit"].diff("risk_aversion") <= 1e-12).all()  # the mean decides best of the mean


def test_the_curve_by_share_is_the_sum_over_the_first_units() -> None:
    curve = bu.profit_by_share(TREE, ECONOMICS, shares=np.linspace(0, 1, 11), prob=0.9)
    for share in (0.2, 0.5, 1.0):
        policy = bu.target(TREE, ECONOMICS, rule=bu.TopShare(share))
        profit = bu.policy_value(policy, TREE)["profit"]
        row = curve.sel(share=share, method="nearest")
        assert float(row["profit"]) == pytest.approx(float(profit.mean()), rel=1e-10)
        assert float(row["upper"]) == pytest.approx(float(profit.quantile(0.95)), rel=1e-10)
    assert float(curve["profit"].sel(share=0.0)) == 0.0
    assert (curve["band_lower"] <= curve["lower"] + 1e-12).all()
    assert (curve["band_upper"] >= curve["upper"] - 1e-12).all()
    best = bu.policy_value(bu.target(TREE, ECONOMICS), TREE)["profit"].mean()
    assert float(curve["profit"].max()) <= float(best) + 1e-12
    slope = np.diff(curve["profit"].values)
    assert (np.diff(slope) <= 1e-9).all()  # the best units first: what a further share adds never grows


def test_the_band_holds_whole_curves_as_often_as_it_says() -> None:
    curve = bu.profit_by_share(TREE, ECONOMICS, shares=np.linspace(0, 1, 26), prob=0.8)
    order = np.argsort(-_gains().mean((0, 1)).max(axis=1), kind="stable")
    best = _gains().mean((0, 1)).argmax(axis=1)
    of_best = np.take_along_axis(_gains(), best[None, None, :, None], axis=3)[..., 0][..., order]
    paths = np.concatenate([np.zeros((*of_best.shape[:2], 1)), of_best.cumsum(axis=2)[..., 1::2]], axis=2)
    inside = ((paths >= curve["band_lower"].values - 1e-9) & (paths <= curve["band_upper"].values + 1e-9)).all(axis=2)
    assert inside.mean() == pytest.approx(0.8, abs=0.5 / inside.size + 1e-9)
    pointwise = ((paths >= curve["lower"].values - 1e-9) & (paths <= curve["upper"].values + 1e-9)).all(axis=2)
    assert pointwise.mean() < 0.75  # the fault that a band is there for


def _gains() -> np.ndarray:
    draws = TREE["posterior"].to_dataset()["mean_outcome"].values
    return 2.0 * (draws[..., 1:] - draws[..., :1]) - np.array([0.3, 0.1])


def test_segments_are_passed_through_in_part() -> None:
    tree = factored(rates(seed=seed_of("share of segments")))
    curve = bu.profit_by_share(tree, bu.Economics(5.0, 0.1), shares=(0.0, 0.13, 0.6, 1.0))
    total = np.array(SEGMENT_UNITS).sum()
    for share in (0.13, 0.6):
        policy = bu.target(tree, bu.Economics(5.0, 0.1), rule=bu.TopShare(share))
        profit = bu.policy_value(policy, tree)["profit"].mean()
        assert float(curve["profit"].sel(share=share)) == pytest.approx(float(profit), rel=1e-9)
    np.testing.assert_allclose(curve["number_treated"], curve["share"] * total)


@pytest.mark.parametrize("rule", [bu.RiskAdjusted(0.4), bu.Threshold(0.7), bu.Budget(5.0)], ids=str)
def test_a_grid_is_the_rule_applied_at_each_price(rule: bu.BestArm) -> None:
    grid = bu.value_grid(TREE, ECONOMICS, rule=rule, values=(-1.0, 1.0, 3.0), cost_multipliers=(0.5, 2.0))
    stated = bu.target(TREE, ECONOMICS, rule=rule)
    for value in (-1.0, 1.0, 3.0):
        for multiplier in (0.5, 2.0):
            own = bu.Economics(value, {"men": 0.3 * multiplier, "women": 0.1 * multiplier})
            profit = bu.policy_value(bu.target(TREE, own, rule=rule), TREE)["profit"]
            cell = grid.sel(value_per_outcome=value, cost_multiplier=multiplier)
            assert float(cell["profit"]) == pytest.approx(float(profit.mean()), rel=1e-9, abs=1e-12)
            held = bu.policy_value(stated, TREE, own)["profit"].mean()
            assert float(cell["as_chosen"]) == pytest.approx(float(held), rel=1e-9, abs=1e-12)


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match="without limits"):
        bu.profit_by_share(TREE, ECONOMICS, by=bu.TopShare(0.1))
    with pytest.raises(ArgumentError, match="rise from 0 to 1"):
        bu.profit_by_share(TREE, ECONOMICS, shares=(0.5, 0.2))
    with pytest.raises(ArgumentError, match="rules out every treatment"):
        bu.profit_by_share(TREE, ECONOMICS, by=bu.Threshold(0.99))
    with pytest.raises(ArgumentError, match="risk_aversions is empty"):
        bu.risk_frontier(TREE, ECONOMICS, risk_aversions=())
    with pytest.raises(ArgumentError, match="multipliers of costs"):
        bu.value_grid(TREE, ECONOMICS, values=(1.0,), cost_multipliers=(-1.0,))
