"""Whom to treat: facts that agree with the public functions."""

import numpy as np
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.estimands.grouped import grouped
from bayesuplift.estimands.places import Places
from bayesuplift.report.targeting_policies import FRONTIER, SHOWN, usual_rules, valued_policies
from bayesuplift.report.targeting_prices import FACTORS, price_grid
from bayesuplift.report.targeting_receivers import receivers
from bayesuplift.report.targeting_sections import parts
from bayesuplift.report.targeting_segments import actions, bounds
from tests.support.factored import FACTORS as LEVELS
from tests.support.factored import UNITS, factored
from tests.support.over_units import over_units
from tests.support.targeted import (
    BINARY,
    ECONOMICS,
    EVERY_TREE,
    RATES,
    RULES,
    SEGMENTS,
    TREES,
    close,
    facts_of,
    near,
    told_of,
    with_facts,
)

STATISTICS = (
    "profit",
    "profit_mcse",
    "profit_lower",
    "profit_upper",
    "prob_loss",
    "cvar",
    "cvar_mcse",
    "regret",
    "cost",
)


@EVERY_TREE
def test_rules_and_references_are_valued_as_the_public_functions_value_them(name: str) -> None:
    tree, facts = TREES[name], facts_of(name)
    policies = {rule: bu.target(tree, ECONOMICS, rule=RULES[rule]) for rule in RULES}
    policies |= {"nobody": bu.assign(tree, "control")}
    policies |= {f"everybody: {arm}": bu.assign(tree, arm) for arm in ("men", "women")}
    value = bu.policy_value(policies, tree, ECONOMICS)
    table = bu.summarize_value(value, prob=0.9)
    assert [row["name"] for row in facts["policies"]] == list(policies)
    assert [row["is_rule"] for row in facts["policies"]] == [True] * 3 + [False] * 3
    best = max(list(policies)[3:], key=lambda one: float(table["profit"].sel(policy=one)))
    assert facts["reference"] == best
    beyond = bu.summarize_value(value, prob=0.9, against=best)
    for row in facts["policies"]:
        expected = table.sel(policy=row["name"])
        for figure in (*STATISTICS, "roi", "number_treated", "share_treated"):
            close(row[figure], expected[figure])
        for part in ("", "_mcse", "_lower", "_upper"):
            close(row[f"beyond_reference{part}"], beyond[f"profit{part}"].sel(policy=row["name"]))
        of_arm = policies[row["name"]].units
        assert row["units"] == pytest.approx({arm: float(of_arm.sel(arm=arm)) for arm in ("men", "women")})
    few = facts["policies"][1]
    assert few["prices"].keys() == {"unit treated"}
    assert few["prices"]["unit treated"] > 0
    assert any(
        "'few' is held back by a limit: one more unit treated" in one for one in parts(with_facts(facts))[0].sentences
    )


@EVERY_TREE
def test_the_frontier_the_curve_and_the_grid_are_those_of_the_public_functions(name: str) -> None:
    tree, facts = TREES[name], facts_of(name, ruled=False)
    # the interval of the rule stays at 95%, which a risk aversion goes with where nothing is said; that of profit is 90%
    policies = {f"{one:g}": bu.target(tree, ECONOMICS, rule=bu.RiskAdjusted(one)) for one in FRONTIER}
    table = bu.summarize_value(bu.policy_value(policies, tree), prob=0.9)
    assert len(facts["frontier"]["rows"]) == len(FRONTIER)
    for row in facts["frontier"]["rows"]:
        key = f"{row['risk_aversion']:g}"
        for figure in STATISTICS:
            close(row[figure], table[figure].sel(policy=key))
        of_arm = policies[key].units
        assert row["units"] == pytest.approx({arm: float(of_arm.sel(arm=arm)) for arm in ("men", "women")})
    along = bu.risk_frontier(tree, ECONOMICS, risk_aversions=FRONTIER)  # at 95% both
    np.testing.assert_allclose([row["profit"] for row in facts["frontier"]["rows"]], along["profit"], rtol=1e-9)
    curve = bu.profit_by_share(tree, ECONOMICS, prob=0.9)
    for figure in ("share", "profit", "lower", "upper", "band_lower", "band_upper", "number_treated"):
        np.testing.assert_array_equal(facts["curve"][figure], curve[figure])
    assert facts["curve"]["best_share"] == curve.attrs["best_share"]
    values = [2.0 * factor for factor in FACTORS]
    grid = bu.value_grid(tree, ECONOMICS, rule=bu.RiskAdjusted(0.0), values=values, cost_multipliers=FACTORS, prob=0.9)
    for row, cells in enumerate(facts["grid"]["cells"]):
        for column, cell in enumerate(cells):
            for figure in ("profit", "profit_lower", "prob_loss", "share_treated", "as_chosen"):
                close(cell[figure], grid[figure][row, column])
    row, column = facts["grid"]["stated"]
    for figure in ("profit", "profit_mcse"):
        close(facts["grid"]["cells"][row][column][figure], facts["policies"][0][figure])
    close(facts["grid"]["cells"][row][column]["as_chosen_mcse"], facts["policies"][0]["profit_mcse"])
    close(facts["grid"]["cells"][-1][column]["as_chosen_mcse"], 2.0 * facts["policies"][0]["profit_mcse"])


def test_segments_are_acted_on_and_bounded_as_the_public_functions_say() -> None:
    facts = facts_of("segments")
    assert [one["factor"] for one in facts["actions"]["factors"]] == list(LEVELS)
    for told, bounded in zip(facts["actions"]["factors"], facts["buckets"]["factors"], strict=True):
        factor = told["factor"]
        assert bounded["factor"] == factor
        actions = bu.segment_actions(SEGMENTS, ECONOMICS, by=factor, prob=0.9)
        bounds = bu.buckets(SEGMENTS, by=factor, prob=0.9)
        for row, limits in zip(told["rows"], bounded["rows"], strict=True):
            of_level = actions.isel(segment=actions[factor].values.tolist().index(row["level"])).sel(arm=row["arm"])
            for figure in ("effect", "effect_lower", "net_gain", "prob_gain", "share", "n"):
                close(row[figure], of_level[figure])
            assert (row["action"], row["reason"]) == (str(of_level["action"].item()), str(of_level["reason"].item()))
            of_bounds = bounds.isel(segment=bounds[factor].values.tolist().index(row["level"])).sel(arm=row["arm"])
            for bucket, values in limits["buckets"].items():
                for end in ("lower", "upper", "lower_lower", "upper_upper"):
                    close(values[end], of_bounds[end].sel(bucket=bucket))
    assert len({row["action"] for one in facts["actions"]["factors"] for row in one["rows"]}) > 1


def test_who_gets_what_is_weighed_by_units() -> None:
    facts = facts_of("segments", ruled=False)["frontier"]["who"]
    assert [one["name"] for one in facts["policies"]] == [f"λ = {one:g}" for one in SHOWN]
    weight = np.array(UNITS).sum(axis=1)
    assert [one["n"] for one in facts["groups"]] == sorted(weight.tolist(), reverse=True)
    policy = bu.target(SEGMENTS, ECONOMICS, rule=bu.RiskAdjusted(0.7))
    (told,) = [one for one in facts["policies"] if one["name"] == "λ = 0.7"]
    np.testing.assert_allclose(told["shares"], policy.share.values[np.argsort(-weight)], atol=1e-12)
    # many segments are told by level of each factor, which is an average by units and not of segments
    many = 48
    levels = {"channel": ["Web", "Phone"] * (many // 2), "place": [str(place) for place in np.arange(many) // 2]}
    units = np.arange(1, many * 3 + 1).reshape(many, 3)
    rates = near(np.random.default_rng(1).uniform(0.1, 0.3, (many, 3)), draws=20)
    tree = factored(rates, factors=levels, observed={"n": units}, pooled="segment")
    policy = bu.target(tree, ECONOMICS)
    facts = receivers({"best": policy}, Places.of(tree))
    assert facts is not None
    assert [one["label"] for one in facts["groups"]][:2] == ["channel: Phone", "channel: Web"]
    assert len(facts["groups"]) == 2 + 20
    weights = xr.DataArray(units.sum(axis=1), dims="segment")
    share, web = policy.share, (policy.share["channel"] == "Web").values
    expected = (share * weights)[web].sum("segment") / weights[web].sum()
    np.testing.assert_allclose(facts["policies"][0]["shares"][1], expected, rtol=1e-12)
    assert not np.allclose(expected, share[web].mean("segment"), rtol=1e-3)


def test_without_rules_four_risk_aversions_are_shown() -> None:
    facts = facts_of("segments", ruled=False)
    assert [row["name"] for row in facts["policies"] if row["is_rule"]] == list(usual_rules())
    assert list(usual_rules()) == [f"risk aversion {one:g}" for one in SHOWN]
    assert facts["who"] is None  # it is told along the frontier
    assert facts_of("segments")["who"] is not None


def test_outcomes_that_cost_or_are_amounts_have_no_buckets_and_costs_pay_below_their_breakeven() -> None:
    costs = bu.Economics(-2.0, {"men": 0.01})
    assert bounds(SEGMENTS, costs, prob=0.9) is None
    assert bounds(factored(near(RATES), **{**BINARY, "kind": "revenue"}), ECONOMICS, prob=0.9) is None
    told = actions(SEGMENTS, costs, prob=0.9)
    assert told is not None
    assert told["question"] == "P(effect < breakeven)"


def test_what_costs_nothing_has_no_return_and_no_costs_to_vary() -> None:
    free = bu.Economics(2.0, {})
    assert price_grid(SEGMENTS, free, {}, prob=0.9)["cost_multipliers"] == [1.0]
    rows = valued_policies(Places.of(SEGMENTS), free, {}, prob=0.9).rows
    assert all(row["roi"] is None for row in rows)
    assert all(row["shown"]["roi"] == "\N{EN DASH}" for row in rows)
    nobody = next(row for row in rows if row["name"] == "nobody")
    assert (nobody["shown"]["profit"], nobody["shown"]["prob_loss"]) == ("0", "0%")


def test_a_rule_without_meaning_for_the_draws_is_left_out_and_said() -> None:
    skewed = np.random.default_rng(5).exponential(1.0, (2, 250, 30))
    tree = over_units(np.stack([np.zeros_like(skewed), 10.0 - skewed], axis=-1), arms=("control", "offer"), outcome="y")
    rules = {"odd": bu.RiskAdjusted(0.5, prob=0.05), "plain": bu.BestArm()}
    places = Places.of(tree)
    found = valued_policies(places, bu.Economics(1.0, 1.0), rules, prob=0.9)
    assert [row["name"] for row in found.rows if row["is_rule"]] == ["plain"]
    assert "'risk aversion 0.5 with 5% intervals' is left out" in found.left_out[0]
    assert "risk would count as gain" in found.left_out[0]
    who = receivers(found.rules, places)
    assert who is not None
    assert [one["label"] for one in who["groups"]] == ["everybody"]
    # and it is said where the policies are
    outcome = with_facts({**facts_of("segments"), "left_out": found.left_out})
    assert found.left_out[0] in parts(outcome)[0].sentences


def test_of_units_levels_are_those_of_their_averages() -> None:
    tree = TREES["units"]
    observed = xr.Dataset(
        {name: (("segment", "arm"), np.full((2, 3), n)) for name, n in (("n", 10), ("total", 3))},
        coords={"segment": ["channel=Web", "channel=Phone"], "arm": ["control", "men", "women"]},
    )
    told = told_of(tree, by_segment=grouped(tree, by="channel", observed=observed))
    expected = bu.segment_actions(tree, ECONOMICS, by="channel", prob=0.9)
    for row in told["actions"]["factors"][0]["rows"]:
        of_level = expected.isel(segment=expected["channel"].values.tolist().index(row["level"])).sel(arm=row["arm"])
        close(row["effect"], of_level["effect"])
        assert row["action"] == str(of_level["action"].item())
