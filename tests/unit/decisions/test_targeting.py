"""Whom to treat: rules, limits and the policies that come of them."""

import copy
import pickle
from itertools import product
from typing import Any

import numpy as np
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.decisions.targeting.gain_statistics import MEAN, PROB_POSITIVE, Statistic, gain_statistics, repriced
from bayesuplift.decisions.targeting.rules import Rule
from bayesuplift.errors import ArgumentError, ArmNotFoundError, FactorNotFoundError
from bayesuplift.estimands.places import Places
from tests.support.factored import factored, rates
from tests.support.over_units import noisy, over_units
from tests.support.worlds import foreign, seed_of

ECONOMICS = bu.Economics(2.0, {"men": 0.3, "women": 0.1, "control": 0.05})
MEANS = np.random.default_rng(seed_of("targeting")).normal(0.0, 0.5, (40, 3))
DRAWS = noisy(MEANS, sd=0.3, seed=seed_of("targeted draws"))
UNITS = over_units(DRAWS, factors={"channel": ["Web", "Phone"] * 20, "newbie": ["0"] * 30 + ["1"] * 10})
GAINS = 2.0 * (DRAWS[..., 1:] - DRAWS[..., :1]) - np.array([0.25, 0.05])  # (chain, draw, unit, treatment)
FLAT = GAINS.reshape(-1, 40, 2)


def chosen(score: np.ndarray) -> np.ndarray:
    """Arms by a score (unit, treatment), with plain code."""
    names = np.array(["men", "women"])
    return np.where(score.max(axis=1) > 0, names[score.argmax(axis=1)], "control")


RULES: tuple[tuple[Rule, np.ndarray], ...] = (
    (bu.BestArm(), FLAT.mean(axis=0)),
    (bu.RiskAdjusted(0.0), FLAT.mean(axis=0)),
    (bu.RiskAdjusted(0.4, prob=0.8), 0.6 * FLAT.mean(axis=0) + 0.4 * np.quantile(FLAT, 0.1, axis=0)),
    (bu.CredibleBound(0.5), np.quantile(FLAT, 0.25, axis=0)),
    (bu.CVaR(0.3), np.sort(FLAT, axis=0)[:120].mean(axis=0)),
    (bu.Threshold(0.8), np.where((FLAT > 0).mean(axis=0) >= 0.8, FLAT.mean(axis=0), -np.inf)),
)


@pytest.mark.parametrize(("rule", "score"), RULES, ids=[str(rule) for rule, _ in RULES])
def test_a_rule_scores_by_its_equation_and_the_highest_score_above_nothing_wins(rule: Rule, score: np.ndarray) -> None:
    policy = bu.target(UNITS, ECONOMICS, rule=rule)
    assert policy.score is not None
    np.testing.assert_allclose(policy.score.sel(arm=["men", "women"]), score, rtol=1e-12, atol=1e-12)
    assert (policy.score.sel(arm="control") == 0.0).all()
    assert policy.arm.values.tolist() == chosen(score).tolist()
    assert policy.is_whole
    np.testing.assert_array_equal(policy.share.sum("arm"), 1.0)


def test_statistics_are_those_of_numpy_for_shares_that_fall_between_draws() -> None:
    places = Places.of(UNITS)
    wanted = [Statistic("quantile", 0.0137), Statistic("tail_mean", 0.0137), Statistic("tail_mean", 0.001), MEAN]
    found = gain_statistics(places, ECONOMICS, [*wanted, PROB_POSITIVE])
    np.testing.assert_allclose(found[wanted[0]], np.quantile(FLAT, 0.0137, axis=0), rtol=1e-12)
    ordered = np.sort(FLAT, axis=0)
    part = 0.0137 * 400 - 5
    np.testing.assert_allclose(
        found[wanted[1]], (ordered[:5].sum(axis=0) + part * ordered[5]) / 5.48, rtol=1e-11, atol=1e-12
    )
    np.testing.assert_allclose(found[wanted[2]], ordered[0], rtol=1e-12)
    np.testing.assert_array_equal(found[PROB_POSITIVE], (FLAT > 0).mean(axis=0))


@pytest.mark.parametrize("value", [5.0, 0.3])
def test_other_prices_need_no_second_pass_over_the_draws(value: float) -> None:
    places, other = Places.of(UNITS), bu.Economics(value, {"men": 0.01, "women": 0.7})
    wanted = [MEAN, Statistic("quantile", 0.1), Statistic("tail_mean", 0.25)]
    follows = repriced(gain_statistics(places, ECONOMICS, wanted), places, ECONOMICS, other)
    assert follows is not None
    for one, values in gain_statistics(places, other, wanted).items():
        np.testing.assert_allclose(follows[one], values, rtol=1e-11, atol=1e-12)
    negative = bu.Economics(-1.0, 0.0)
    assert repriced(gain_statistics(places, ECONOMICS, wanted), places, ECONOMICS, negative) is None


def test_an_outcome_that_costs_is_treated_where_the_effect_is_below_its_breakeven() -> None:
    costs = bu.Economics(-2.0, {"men": 0.3, "women": 0.1, "control": 0.05})
    gains = -2.0 * (DRAWS[..., 1:] - DRAWS[..., :1]) - np.array([0.25, 0.05])
    flat = gains.reshape(-1, 40, 2)
    policy = bu.target(UNITS, costs, rule=bu.RiskAdjusted(1.0, prob=0.9))
    assert policy.arm.values.tolist() == chosen(np.quantile(flat, 0.05, axis=0)).tolist()


def test_more_risk_aversion_treats_no_more_and_nobody_new() -> None:
    before = np.ones(40, dtype=bool)
    numbers = []
    for risk_aversion in np.linspace(0.0, 1.0, 11):
        policy = bu.target(UNITS, ECONOMICS, rule=bu.RiskAdjusted(float(risk_aversion)))
        treated = policy.arm.values != "control"
        assert not (treated & ~before).any()
        before = treated
        numbers.append(policy.number_treated)
    assert numbers[0] > numbers[5] > numbers[-1]


def test_no_assignment_has_a_higher_mean_profit_than_the_best_arms() -> None:
    tree = over_units(DRAWS[:, :, :6])
    best = bu.policy_value(bu.target(tree, ECONOMICS), tree)["profit"].mean()
    worth = np.insert(FLAT.mean(axis=0)[:6], 0, 0.0, axis=1)
    every = [sum(worth[i, arm] for i, arm in enumerate(arms)) for arms in product(range(3), repeat=6)]
    assert float(best) == pytest.approx(max(every), rel=1e-12)


def world_profits(seed: int, *, shrink: bool) -> np.ndarray:
    """True profit of the best arms in many worlds drawn from the prior, (rule, world), with effects ~ N(-.3, .5^2)."""
    rng = np.random.default_rng(seed)
    worlds, units, noise = 400, 30, 0.6
    truth = rng.normal(-0.3, 0.5, (worlds, units))
    seen = truth + rng.normal(0.0, noise, truth.shape)
    weight = 0.5**2 / (0.5**2 + noise**2) if shrink else 1.0
    mean = weight * seen + (1 - weight) * -0.3
    sd = np.sqrt(0.5**2 * (1 - 0.5**2 / (0.5**2 + noise**2))) if shrink else noise
    effect = rng.normal(mean, sd, (4, 250, worlds, units))
    draws = np.stack([np.zeros_like(effect), effect], axis=-1).reshape(4, 250, worlds * units, 2)
    tree = over_units(draws, arms=("control", "offer"))
    rules = (bu.BestArm(), bu.RiskAdjusted(0.3), bu.RiskAdjusted(1.0), bu.TopShare(0.9))
    treated = [bu.target(tree, bu.Economics(1.0, 0.05), rule=rule).arm.values == "offer" for rule in rules]
    return np.stack([(one.reshape(worlds, units) * (truth - 0.05)).sum(axis=1) for one in treated])


def test_the_mean_decides_best_in_worlds_drawn_from_the_prior() -> None:
    """Bayes-optimal: no other rule earns more on average; each difference is judged by its own standard error."""
    profits = world_profits(seed_of("bayes optimal"), shrink=True)
    ahead = profits[0] - profits[1:]
    assert (ahead.mean(axis=1) > 3 * ahead.std(axis=1, ddof=1) / np.sqrt(ahead.shape[1])).all()
    # a posterior that ignores its prior treats by noise: caution then beats its mean, and the test would say so
    flat = world_profits(seed_of("bayes optimal"), shrink=False)
    behind = flat[0] - flat[1]
    assert behind.mean() < -3 * behind.std(ddof=1) / np.sqrt(len(behind))


def test_limits_hold_and_bind_where_they_should() -> None:
    free = bu.target(UNITS, ECONOMICS)
    assert free.number_treated > 20
    few = bu.target(UNITS, ECONOMICS, rule=bu.BestArm().subject_to(bu.AtMost(share=0.2)))
    best = FLAT.mean(axis=0).max(axis=1)
    assert few.number_treated == 8
    assert set(np.flatnonzero(few.arm.values != "control")) == set(np.argsort(-best)[:8])
    capped = bu.target(UNITS, ECONOMICS, rule=bu.BestArm().subject_to(bu.AtMost(units=5, arm="men")))
    assert float(capped.units.sel(arm="men")) == 5
    both = bu.target(
        UNITS, ECONOMICS, rule=bu.BestArm().subject_to(bu.AtMost(units=5, arm="men"), bu.AtMost(share=0.25))
    )
    assert both.number_treated <= 10
    assert float(both.units.sel(arm="men")) <= 5
    never = bu.target(UNITS, ECONOMICS, rule=bu.BestArm().subject_to(bu.Never({"channel": "Web", "newbie": 1})))
    factors = UNITS["posterior"].to_dataset()
    outside = (factors["channel"] == "Web").values & (factors["newbie"] == "1").values
    assert (never.arm.values[outside] == "control").all()
    assert (never.arm.values[~outside] == free.arm.values[~outside]).all()
    one = bu.target(UNITS, ECONOMICS, rule=bu.BestArm().subject_to(bu.Never({"channel": ["Phone"]}, arm="men")))
    assert "men" not in one.arm.values[1::2]
    assert "women" in one.arm.values[1::2]
    assert "at most 20% of the units are treated" in few.why


def test_limits_can_be_put_on_a_rule_one_after_the_other() -> None:
    rule = bu.RiskAdjusted(0.2).subject_to(bu.AtMost(share=0.5)).subject_to(bu.Never({"channel": "Web"}))
    together = bu.RiskAdjusted(0.2).subject_to(bu.AtMost(share=0.5), bu.Never({"channel": "Web"}))
    assert rule.limits == together.limits
    np.testing.assert_array_equal(
        bu.target(UNITS, ECONOMICS, rule=rule).share, bu.target(UNITS, ECONOMICS, rule=together).share
    )
    assert bu.BestArm().subject_to() == bu.BestArm()


def test_the_top_share_is_treated_also_where_that_loses() -> None:
    dear = bu.Economics(2.0, 5.0)
    assert bu.target(UNITS, dear).number_treated == 0
    policy = bu.target(UNITS, dear, rule=bu.TopShare(0.3))
    assert policy.number_treated == 12
    best = (2.0 * (DRAWS[..., 1:] - DRAWS[..., :1])).mean((0, 1)).max(axis=1)
    assert set(np.flatnonzero(policy.arm.values != "control")) == set(np.argsort(-best)[:12])
    everyone = bu.target(UNITS, dear, rule=bu.TopShare(1.0))
    assert everyone.number_treated == 40
    fewer = bu.target(UNITS, dear, rule=bu.TopShare(0.9).subject_to(bu.Never({"channel": "Web"})))
    assert fewer.number_treated == 20


def test_a_budget_is_not_overspent_and_buys_the_most() -> None:
    policy = bu.target(UNITS, ECONOMICS, rule=bu.Budget(2.0))
    assert policy.cost(ECONOMICS) <= 2.0
    worth = FLAT.mean(axis=0)
    ratio_greedy = 0.0  # by plain code: one treatment after the other by gain per money, each unit once
    spent, left = 0.0, set(range(40))
    for i, k in sorted(product(range(40), range(2)), key=lambda at: -worth[at] / (0.25, 0.05)[at[1]]):
        cost = (0.25, 0.05)[k]
        if i in left and worth[i, k] > 0 and spent + cost <= 2.0:
            left.remove(i)
            spent += cost
            ratio_greedy += worth[i, k]
    assert policy.score is not None
    earned = float((policy.share * policy.score.where(policy.share > 0, 0.0)).sum())
    assert earned >= ratio_greedy - 1e-12
    assert "Budget(2)" in policy.why
    free = bu.target(UNITS, ECONOMICS, rule=bu.Budget(1e6))
    np.testing.assert_array_equal(free.share, bu.target(UNITS, ECONOMICS).share)


def test_the_path_of_budgets_holds_the_policy_of_each() -> None:
    rule = bu.RiskAdjusted(0.2).subject_to(bu.Never({"channel": "Web"}, arm="men"))
    path = bu.budget_path(UNITS, ECONOMICS, by=rule)
    assert (path["spend"].diff("step") > 0).all()
    assert (path["price"].diff("step") <= 0).all()  # concave
    for step in (0, 3, len(path["step"]) - 1):
        policy = bu.target(UNITS, ECONOMICS, rule=bu.Budget(float(path["spend"][step]), by=rule))
        held: dict[int, str] = dict(zip(path["place"].values[: step + 1], path["arm"].values[: step + 1], strict=True))
        assert [held.get(unit, "control") for unit in range(40)] == policy.arm.values.tolist()  # nested
        assert policy.score is not None
        total = float((policy.share * policy.score.where(policy.share > 0, 0.0)).sum())
        assert float(path["score"][step]) == pytest.approx(total, rel=1e-12)
    with pytest.raises(ArgumentError, match="the budget is the limit here"):
        bu.budget_path(UNITS, ECONOMICS, by=bu.BestArm().subject_to(bu.AtMost(share=0.1)))


def test_of_a_segment_a_part_is_treated_where_a_limit_cuts_through_it() -> None:
    tree = factored(rates(seed=seed_of("parts")))
    economics = bu.Economics(10.0, 0.01)
    policy = bu.target(tree, economics, rule=bu.TopShare(0.37))
    total = float(policy.share["n"].sum())
    assert policy.number_treated == pytest.approx(0.37 * total, rel=1e-12)
    assert not policy.is_whole
    inside = policy.share.sel(arm="control").values
    assert ((inside > 0) & (inside < 1)).sum() == 1


def test_a_posterior_by_arm_alone_has_one_place() -> None:
    draws = np.random.default_rng(3).normal([0.0, 0.5], 0.1, (2, 100, 2))
    policy = bu.target(foreign(draws), bu.Economics(1.0, 0.1))
    assert policy.arm.values.tolist() == ["b"]
    assert policy.number_treated == 1


def test_relabelling_arms_permutes_the_policy() -> None:
    order = [2, 0, 1]
    other = over_units(DRAWS[..., order], arms=("women", "control", "men"))
    other.attrs["control"] = "control"
    for rule in (bu.RiskAdjusted(0.3), bu.Budget(2.0), bu.TopShare(0.4)):
        one, two = (bu.target(tree, ECONOMICS, rule=rule) for tree in (UNITS, other))
        assert one.arm.values.tolist() == two.arm.values.tolist()


def test_rules_and_limits_are_values() -> None:
    never = bu.Never({"channel": ["Web"]}, arm="men")
    for one in (bu.RiskAdjusted(0.3), bu.Budget(5, by=bu.CVaR(0.1)), never, bu.BestArm().subject_to(never)):
        assert one == copy.deepcopy(one) == pickle.loads(pickle.dumps(one))  # noqa: S301 -- made one line above
        assert hash(one) == hash(copy.copy(one))
    assert bu.RiskAdjusted(0.3) != bu.RiskAdjusted(0.4)
    assert bu.CredibleBound(0.9) != bu.RiskAdjusted(1.0, 0.9)


REFUSED: tuple[tuple[Any, type[Exception], str], ...] = (
    (lambda: bu.RiskAdjusted(1.2), ArgumentError, "risk_aversion = 1.2"),
    (lambda: bu.RiskAdjusted(0.5, prob=1.0), ArgumentError, "prob = 1.0"),
    (lambda: bu.CVaR(0.0), ArgumentError, "alpha = 0.0"),
    (lambda: bu.Threshold(1.0), ArgumentError, "prob = 1.0"),
    (lambda: bu.TopShare(0.0), ArgumentError, "share = 0.0"),
    (lambda: bu.Budget(-1), ArgumentError, "amount = -1"),
    (bu.AtMost, ArgumentError, "one of the two"),
    (lambda: bu.AtMost(share=1.5), ArgumentError, "share = 1.5"),
    (lambda: bu.Never({}), ArgumentError, "names no place"),
    (lambda: bu.target(UNITS, ECONOMICS, rule="best"), ArgumentError, "rule = 'best'"),
    (lambda: bu.target(UNITS, {"men": 1}), ArgumentError, "economics is dict"),
    (lambda: bu.target(UNITS, bu.Economics(1.0, {"mens": 0.1})), ArmNotFoundError, "Did you mean 'men'"),
    (
        lambda: bu.target(UNITS, ECONOMICS, rule=bu.BestArm().subject_to(bu.AtMost(share=0.1, arm="womens"))),
        ArmNotFoundError,
        "Did you mean 'women'",
    ),
    (
        lambda: bu.target(UNITS, ECONOMICS, rule=bu.BestArm().subject_to(bu.AtMost(share=0.1, arm="control"))),
        ArmNotFoundError,
        "which is the control",
    ),
    (
        lambda: bu.target(UNITS, ECONOMICS, rule=bu.BestArm().subject_to(bu.Never({"chanel": "Web"}))),
        FactorNotFoundError,
        "Did you mean 'channel'",
    ),
    (
        lambda: bu.target(UNITS, ECONOMICS, rule=bu.BestArm().subject_to(bu.Never({"channel": "Wep"}))),
        ArgumentError,
        "Did you mean 'Web'",
    ),
    (lambda: bu.target(UNITS, bu.Economics(1.0, {"men": -1.0}), rule=bu.Budget(3)), ArgumentError, "0 or more"),
    (lambda: bu.assign(UNITS, "womens"), ArmNotFoundError, "Did you mean 'women'"),
    (lambda: bu.assign(UNITS, ["men"] * 39), ArgumentError, "39 arms for 40 units"),
)


@pytest.mark.parametrize(("call", "error", "words"), REFUSED, ids=[words for _, _, words in REFUSED])
def test_what_is_refused_says_what_to_do(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words.replace("(", "\\(").replace(")", "\\)")):
        call()


def test_a_quantile_above_the_mean_is_no_caution_and_is_refused() -> None:
    skewed = np.random.default_rng(5).exponential(1.0, (2, 200, 3))
    draws = np.stack([np.zeros_like(skewed), 10.0 - skewed], axis=-1)
    tree = over_units(draws, arms=("control", "offer"))
    bu.target(tree, bu.Economics(1.0, 0.0), rule=bu.RiskAdjusted(0.5, prob=0.9))
    with pytest.raises(ArgumentError, match="risk would count as gain"):
        bu.target(tree, bu.Economics(1.0, 0.0), rule=bu.RiskAdjusted(0.5, prob=0.05))


def test_current_practice_can_be_given_as_a_column() -> None:
    column = xr.DataArray(["men", "control"] * 20, dims="unit")
    policy = bu.assign(UNITS, column.values)
    assert policy.arm.values.tolist() == ["men", "control"] * 20
    assert policy.why == "Given, not chosen."
    assert bu.assign(UNITS, "control").number_treated == 0
