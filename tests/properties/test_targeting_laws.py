"""Laws of targeting: what scale, names, caution and tighter limits may and may not change."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import bayesuplift as bu
from tests.support.over_units import over_units

ARMS = ("control", "men", "women")


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Any, bu.Economics]:
    """A posterior over a few units, and economics of either sign."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    units = draw(st.integers(1, 12))
    means = rng.normal(0.0, 1.0, (units, 3)).round(draw(st.sampled_from([1, 6])))  # rounded ones have ties
    draws = rng.normal(means, draw(st.sampled_from([0.1, 1.0])), (2, 40, units, 3))
    value = draw(st.sampled_from([-2.0, 0.5, 3.0]))
    costs = {arm: draw(st.integers(0, 200)) / 100 for arm in ARMS[1:]}
    return draws, bu.Economics(value, costs)


@given(world=worlds(), caution=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=2), share=st.floats(0.0, 1.0))
@settings(max_examples=40, deadline=None)
def test_more_caution_never_treats_more(world: tuple[Any, bu.Economics], caution: list[float], share: float) -> None:
    draws, economics = world
    tree = over_units(draws)
    less, more = sorted(caution)
    policies = [bu.target(tree, economics, rule=bu.RiskAdjusted(one)) for one in (less, more)]
    treated = [one.arm.values != "control" for one in policies]
    assert not (treated[1] & ~treated[0]).any()
    capped = [
        bu.target(tree, economics, rule=bu.RiskAdjusted(one).subject_to(bu.AtMost(share=share))) for one in (less, more)
    ]
    assert capped[1].number_treated <= capped[0].number_treated
    assert capped[0].number_treated <= share * len(treated[0]) * (1 + 1e-9)


@given(world=worlds(), scale=st.sampled_from([0.25, 4.0, 1024.0]))
@settings(max_examples=30, deadline=None)
def test_money_of_another_currency_changes_no_arm(world: tuple[Any, bu.Economics], scale: float) -> None:
    draws, economics = world
    tree = over_units(draws)
    costs = {arm: scale * cost for arm, cost in dict(economics.cost_per_unit).items()}
    other = bu.Economics(scale * economics.value_per_outcome, costs)
    for rule in (bu.BestArm(), bu.CVaR(0.2), bu.TopShare(0.5)):
        one, two = bu.target(tree, economics, rule=rule), bu.target(tree, other, rule=rule)
        np.testing.assert_array_equal(one.share, two.share)  # powers of two: nothing rounds otherwise
        profits = [bu.policy_value(policy, tree)["profit"].values for policy in (one, two)]
        np.testing.assert_allclose(profits[1], scale * profits[0], rtol=1e-12, atol=1e-12)


@given(world=worlds(), order=st.permutations([0, 1, 2]))
@settings(max_examples=30, deadline=None)
def test_an_effect_belongs_to_its_arm_wherever_that_stands(world: tuple[Any, bu.Economics], order: list[int]) -> None:
    draws, economics = world
    one = over_units(draws)
    two = over_units(draws[..., order], arms=tuple(ARMS[k] for k in order))
    two.attrs["control"] = "control"
    for rule in (bu.RiskAdjusted(0.4), bu.Threshold(0.6)):
        policies = [bu.target(tree, economics, rule=rule) for tree in (one, two)]
        np.testing.assert_array_equal(policies[0].share, policies[1].share.sel(arm=list(ARMS)))


@given(world=worlds(), limits=st.lists(st.floats(0.0, 12.0), min_size=2, max_size=2))
@settings(max_examples=30, deadline=None)
def test_a_wider_limit_never_gains_less(world: tuple[Any, bu.Economics], limits: list[float]) -> None:
    draws, economics = world
    tree = over_units(draws)

    def total(rule: Any) -> float:
        policy = bu.target(tree, economics, rule=rule)
        assert policy.score is not None
        return float((policy.share * policy.score.where(policy.share > 0, 0.0)).sum())

    few, many = sorted(limits)
    gains = [total(bu.BestArm().subject_to(bu.AtMost(units=units))) for units in (np.floor(few), np.floor(many))]
    assert gains[0] <= gains[1] + 1e-9
    assert gains[1] <= total(bu.BestArm()) + 1e-9
