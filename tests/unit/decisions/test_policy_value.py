"""What a policy is worth, as draws, and what a reader is told of it."""

import numpy as np
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.decisions.targeting.evaluation import tail_mean
from bayesuplift.errors import ArgumentError
from tests.support.factored import UNITS as SEGMENT_UNITS
from tests.support.factored import factored, rates
from tests.support.mcse import assert_within_mcse
from tests.support.over_units import noisy, over_units
from tests.support.worlds import seed_of

ECONOMICS = bu.Economics(2.0, {"men": 0.3, "women": 0.1, "control": 0.05})
DRAWS = noisy(np.random.default_rng(7).normal(0.0, 0.5, (30, 3)), sd=0.3, seed=seed_of("valued"))
TREE = over_units(DRAWS)
GAINS = 2.0 * (DRAWS[..., 1:] - DRAWS[..., :1]) - np.array([0.25, 0.05])


def test_profit_regret_and_cost_are_their_equations() -> None:
    policy = bu.target(TREE, ECONOMICS, rule=bu.RiskAdjusted(0.3))
    value = bu.policy_value(policy, TREE)
    arms = policy.arm.values
    earned = sum(GAINS[..., i, ("men", "women").index(arm)] for i, arm in enumerate(arms.tolist()) if arm != "control")
    np.testing.assert_allclose(value["profit"], earned, rtol=1e-12, atol=1e-12)
    best = np.maximum(GAINS.max(axis=-1), 0.0).sum(axis=-1)
    np.testing.assert_allclose(value["regret"], best - earned, rtol=1e-11, atol=1e-12)
    cost = 0.25 * (arms == "men").sum() + 0.05 * (arms == "women").sum()
    assert float(value["cost"]) == pytest.approx(cost, rel=1e-14)
    np.testing.assert_allclose(value["roi"], value["profit"] / cost)
    assert float(value["number_treated"]) == (arms != "control").sum()
    assert value["profit"].dims == ("chain", "draw")


def test_segments_count_by_their_units_and_parts_of_them_in_part() -> None:
    draws = rates(seed=seed_of("segments valued"))
    tree = factored(draws)
    policy = bu.target(tree, bu.Economics(10.0, 0.5), rule=bu.TopShare(0.41))
    n = np.array(SEGMENT_UNITS).sum(axis=1)
    share = policy.share.sel(arm=["men", "women"]).values
    expected = np.einsum("cdsk,sk,s->cd", 10.0 * (draws[..., 1:] - draws[..., :1]) - 0.5, share, n)
    np.testing.assert_allclose(bu.policy_value(policy, tree)["profit"], expected, rtol=1e-12)
    table = {"newbie": ["0", "0", "1", "1"], "channel": ["Phone", "Web", "Phone", "Web"], "n": [1, 2, 3, 4]}
    other = xr.Dataset(table and {k: ("row", v) for k, v in table.items()}).to_dataframe()
    value = bu.policy_value(policy, tree, population=other)
    again = np.einsum("cdsk,sk,s->cd", 10.0 * (draws[..., 1:] - draws[..., :1]) - 0.5, share, [1, 2, 3, 4])
    np.testing.assert_allclose(value["profit"], again, rtol=1e-12)


# profit of so many units treated at so much each, and their return, from a published targeting study
ROI = ((2426, 152, 125), (2259, 97, 183), (188, 3, 492), (1603, 54, 233), (-4659, 486, -75))


@pytest.mark.parametrize(("profit", "treated", "percent"), ROI)
def test_returns_are_those_of_the_study(profit: float, treated: int, percent: int) -> None:
    cost = 12.73
    effect = (profit + cost * treated) / treated
    draws = np.zeros((2, 4, 500, 2))
    draws[..., :treated, 1] = effect
    tree = over_units(draws, arms=("control", "campaign"))
    arms = ["campaign"] * treated + ["control"] * (500 - treated)
    value = bu.policy_value(bu.assign(tree, arms), tree, bu.Economics(1.0, cost))
    np.testing.assert_allclose(value["profit"], profit, rtol=1e-9)
    np.testing.assert_array_equal((100 * value["roi"]).round(), percent)


def test_a_return_that_does_not_exist_is_missing_with_its_reason() -> None:
    several = {name: bu.assign(TREE, arm) for name, arm in (("nobody", "control"), ("all", "men"), ("free", "women"))}
    free = bu.Economics(2.0, {"men": 0.3})
    value = bu.policy_value(several, TREE, free)
    missing = value["roi"].isnull().all(("chain", "draw"))
    assert missing.to_series().to_dict() == {"nobody": True, "all": False, "free": True}
    assert value["roi"].attrs["missing"] == "nobody: nobody is treated; free: treating costs nothing"
    assert "missing" not in bu.policy_value(several["all"], TREE, free)["roi"].attrs
    assert (value["profit"].sel(policy="nobody") == 0.0).all()


def test_value_is_linear_in_reward() -> None:
    policy = bu.target(TREE, ECONOMICS)
    one = bu.policy_value(policy, TREE)["profit"]
    thrice = bu.policy_value(policy, TREE, bu.Economics(6.0, {"men": 0.9, "women": 0.3, "control": 0.15}))["profit"]
    np.testing.assert_allclose(thrice, 3 * one, rtol=1e-12)
    halves = [bu.Economics(2.0, 0.0), bu.Economics(1e-300, ECONOMICS.cost_per_unit)]
    parts = sum(bu.policy_value(policy, TREE, half)["profit"] for half in halves)
    np.testing.assert_allclose(parts, one, rtol=1e-11, atol=1e-12)


def test_what_is_told_agrees_with_the_law_that_the_draws_are_of() -> None:
    """Profit ~ N(3, 2^2): P(loss), CVaR and interval in closed form, each within its own Monte Carlo error."""
    sd, mean, seed = 2.0, 3.0, seed_of("law of profit")
    rng = np.random.default_rng(seed)
    treated = rng.normal(mean, sd, (4, 5000, 1, 1))
    tree = over_units(np.concatenate([np.zeros_like(treated), treated], axis=-1), arms=("control", "offer"))
    value = bu.policy_value(bu.assign(tree, "offer"), tree, bu.Economics(1.0, 0.0))
    table = bu.summarize_value(value, prob=0.9, alpha=0.1)
    expected = {
        "profit": 3.0,
        "profit_lower": 3.0 - 1.6448536269514722 * sd,
        "profit_upper": 3.0 + 1.6448536269514722 * sd,
        "prob_loss": 0.06680720126885807,
        "cvar": 3.0 - sd * 1.7549833193248681,  # phi(1.2815...) / .1
        "regret": sd * 0.02930679105438417 * 1.0,  # E[(-x)+] = sd (phi(1.5) - 1.5 (1 - Phi(1.5)))
    }
    for name, right in expected.items():
        found, error = float(table[name]), float(table[f"{name}_mcse"])
        assert abs(found - right) <= 5 * error, name
        assert 0 < error < 0.1, name
    # an error that forgets the tail's size would be five times too small
    assert float(table["cvar_mcse"]) > 1.5 * float(table["profit_mcse"])


def test_the_worst_draws_are_averaged_with_an_honest_error() -> None:
    draws = xr.DataArray(np.random.default_rng(11).normal(size=(200, 4, 100)), dims=("replication", "chain", "draw"))
    found = tail_mean(draws, 0.05)
    spread = float(found["tail_mean"].std(ddof=1))
    stated = float(found["tail_mean_mcse"].mean())
    assert (
        0.7 < stated / spread < 1.4
    )  # of 200 replications, whose sd is known to a twentieth; biases of 20 draws remain


def test_policies_are_told_against_each_other_draw_by_draw() -> None:
    several = {"rule": bu.target(TREE, ECONOMICS), "all": bu.assign(TREE, "men")}
    value = bu.policy_value(several, TREE)
    table = bu.summarize_value(value, against="all")
    apart = value["profit"].sel(policy="rule") - value["profit"].sel(policy="all")
    assert float(table["profit"].sel(policy="rule")) == pytest.approx(float(apart.mean()), rel=1e-12)
    assert float(table["profit"].sel(policy="all")) == 0.0
    assert table.attrs["against"] == "all"
    assert_within_mcse(apart.values, table["profit"].sel(policy="rule").values, least_ess=100)
    assert (value["regret"] >= -1e-12).all()


def test_refusals() -> None:
    policy = bu.target(TREE, ECONOMICS)
    with pytest.raises(ArgumentError, match="give a policy"):
        bu.policy_value("rule", TREE)
    with pytest.raises(ArgumentError, match="none has economics of its own"):
        bu.policy_value(bu.assign(TREE, "men"), TREE)
    with pytest.raises(ArgumentError, match="30 units, and the posterior has 4 segments"):
        bu.policy_value(policy, factored(rates(seed=1)))
    with pytest.raises(ArgumentError, match="has the arms"):
        bu.policy_value(policy, over_units(DRAWS[..., :2], arms=("control", "men")))
    with pytest.raises(ArgumentError, match="no policy named 'other'"):
        bu.summarize_value(bu.policy_value({"rule": policy}, TREE), against="other")
    with pytest.raises(ArgumentError, match="dataset that policy_value returns"):
        bu.summarize_value(xr.Dataset())
    with pytest.raises(ArgumentError, match="alpha = 1"):
        bu.summarize_value(bu.policy_value(policy, TREE), alpha=1.0)
