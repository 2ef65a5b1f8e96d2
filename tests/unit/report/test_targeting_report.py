"""Whom to treat: facts that agree with the public functions, and three renderings that agree with the facts."""

import json
import re
from functools import cache
from typing import Any

import numpy as np
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.estimands.grouped import grouped
from bayesuplift.estimands.places import Places
from bayesuplift.report.content import Report
from bayesuplift.report.render import to_html, to_json, to_markdown
from bayesuplift.report.targeting import targeting
from bayesuplift.report.targeting_policies import FRONTIER, SHOWN, usual_rules, valued_policies
from bayesuplift.report.targeting_prices import FACTORS, price_grid
from bayesuplift.report.targeting_receivers import receivers
from bayesuplift.report.targeting_sections import parts, policies_text
from bayesuplift.report.targeting_segments import actions, bounds
from bayesuplift.report.targeting_words import called, sentences
from tests.support.factored import FACTORS as LEVELS
from tests.support.factored import UNITS, factored
from tests.support.over_units import noisy, over_units
from tests.support.worlds import seed_of

ECONOMICS = bu.Economics(2.0, {"men": 0.14, "women": 0.06})
# men's is best for one segment, women's for two, and little for the largest
RATES = np.array([[0.10, 0.20, 0.14], [0.12, 0.13, 0.20], [0.20, 0.23, 0.22], [0.2, 0.19, 0.3]])
BINARY: dict[str, Any] = {"kind": "binary", "outcome": "visit", "pooled": "segment"}
RULES = {
    "sure": bu.Threshold(0.8),
    "few": bu.BestArm().subject_to(bu.AtMost(share=0.05), bu.Never({"channel": "Web"}, arm="women")),
    "little": bu.Budget(5.0, by=bu.RiskAdjusted(0.3)),
}
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


def near(means: Any, *, sd: float = 0.02, draws: int = 250) -> np.ndarray:
    """Independent draws about means (segment, arm)."""
    return np.random.default_rng(seed_of("targeting report")).normal(means, sd, (2, draws, *np.shape(means)))


TREES = {
    "segments": factored(near(RATES), **BINARY),
    "units": over_units(
        noisy(
            0.3 + np.random.default_rng(7).normal(0.0, 0.05, (60, 3)),
            sd=0.03,
            seed=seed_of("people"),
            chains=2,
            draws=250,
        ),
        factors={"channel": ["Web", "Phone"] * 30},
        kind="binary",
        outcome="visit",
    ),
}
EVERY_TREE = pytest.mark.parametrize("name", list(TREES))
SEGMENTS = TREES["segments"]


def told_of(tree: xr.DataTree, economics: bu.Economics = ECONOMICS, **options: Any) -> dict[str, Any]:
    """Facts of whom to treat, as a report has them."""
    choice = bu.choose_arm(tree, threshold_of_caring=0.001, prob=0.9)
    return targeting(tree, choice, economics, **options).facts


@cache
def reported() -> dict[str, Any]:
    """Facts of a report of the segments."""
    choice = bu.choose_arm(SEGMENTS, threshold_of_caring=0.001, prob=0.9)
    return Report.of(SEGMENTS, choice, economics=ECONOMICS, rules=RULES).facts()


@cache
def facts_of(name: str, *, ruled: bool = True) -> dict[str, Any]:
    """Facts of whom to treat in one of the trees."""
    if name == "segments" and ruled:
        facts: dict[str, Any] = reported()["outcomes"][0]["targeting"]
        return facts
    return told_of(TREES[name], rules=RULES if ruled else None)


def with_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """An outcome whose other facts are those of the segments'."""
    return {**reported()["outcomes"][0], "targeting": facts}


def close(found: float | None, expected: Any) -> None:
    """Sums of the same draws in another order."""
    if found is None:
        assert np.isnan(float(expected))
    else:
        assert found == pytest.approx(float(expected), rel=1e-9, abs=1e-9)


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


def test_shares_under_an_assumption_are_told_with_how_often_it_may_hold_or_not_at_all() -> None:
    by_newbie = facts_of("segments")["buckets"]["factors"][0]
    closed = bu.buckets(SEGMENTS, by="newbie", monotone=True, prob=0.9)
    for row in by_newbie["rows"]:
        of_level = closed.isel(segment=closed["newbie"].values.tolist().index(row["level"])).sel(arm=row["arm"])
        close(row["prob_assumption"], of_level["prob_assumption"])
        for bucket, values in row["closed"].items():
            close(values["lower"], of_level["lower"].sel(bucket=bucket))
    # planted: an e-mail that does harm contradicts it
    harmful = RATES.copy()
    harmful[:, 1] = 0.05
    found = bounds(factored(near(harmful, sd=0.01), **BINARY), ECONOMICS, prob=0.9)
    assert found is not None
    assert all(row["closed"] is None for one in found["factors"] for row in one["rows"])
    outcome = with_facts({**facts_of("segments"), "buckets": found})
    (told,) = [part for part in parts(outcome) if part.heading == "Who would respond in any case"]
    assert "the data speak against the assumption" in told.sentences[0]
    assert "Diamonds" not in told.draw()[0].caption


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


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (bu.BestArm(), "highest mean gain"),
        (bu.RiskAdjusted(0.3, prob=0.8), "risk aversion 0.3 with 80% intervals"),
        (bu.CredibleBound(0.9), "90% lower bound"),
        (bu.CVaR(0.1), "mean of the worst 10%"),
        (bu.Threshold(0.8), "P(gain) at least 80%"),
        (bu.TopShare(0.2), "top 20%"),
        (bu.TopShare(0.2, by=bu.CVaR(0.1)), "top 20% by mean of the worst 10%"),
        (bu.Budget(2500.0).subject_to(bu.AtMost(units=7)), "budget of 2,500, at most 7 units are treated"),
    ],
)
def test_rules_have_names(rule: Any, name: str) -> None:
    assert called(rule) == name


def test_the_page_says_whose_profit_it_is_and_what_it_rests_on() -> None:
    facts = facts_of("segments")
    said = " ".join(facts["sentences"])
    assert "the 880 units analysed, beyond treating nobody" in said
    assert "chosen and valued on the same posterior" in said
    assert "No units were held out" in said
    best = max((row for row in facts["policies"] if row["is_rule"]), key=lambda row: row["profit"])
    assert best["shown"]["profit"] in said
    assert best["shown"]["beyond_reference"] in said
    assert "large by chance" not in said
    unpooled = sentences(facts, outcome="visit", pooled=False, doubt=None)
    assert "large by chance" in " ".join(unpooled)


def test_where_a_check_failed_no_policy_is_shown() -> None:
    tree = factored(near(RATES), **BINARY, assignment="observational")
    choice = bu.choose_arm(tree, threshold_of_caring=0.001)
    report = Report.of(tree, choice, economics=ECONOMICS, rules=RULES)
    facts = report.facts()
    told = facts["outcomes"][0]["targeting"]
    assert set(told) == {"refused", "checks"}
    assert [check["name"] for check in told["checks"]] == ["assignment"]
    assert report.outcomes[0].targeting is not None
    assert report.outcomes[0].targeting.policies == {}
    for text in (to_json(facts), to_markdown(facts), to_html(facts), policies_text(facts["outcomes"][0])):
        assert "No policy for visit, because a check failed." in text
        assert told["checks"][0]["sentence"] in text
        for name in (*RULES, "everybody: men", "risk aversion", "regret"):
            assert f'"{name}"' not in text
            assert f"| {name} |" not in text
            assert f">{name}<" not in text
    assert parts(facts["outcomes"][0]) == []
    # planted: the same draws of a randomized study do show them
    assert '"everybody: men"' in to_json(reported())
    assert "| everybody: men |" in to_markdown(reported())


def test_without_economics_there_is_none() -> None:
    choice = bu.choose_arm(SEGMENTS, threshold_of_caring=0.001)
    assert Report.of(SEGMENTS, choice).outcomes[0].targeting is None
    outcome = {**reported()["outcomes"][0], "targeting": None}
    assert policies_text(outcome) == ""
    assert parts(outcome) == []
    assert "Whom to treat" not in to_markdown({**reported(), "outcomes": [outcome]})


def test_three_renderings_hold_the_same_numbers() -> None:
    facts = reported()
    (outcome,) = facts["outcomes"]
    told = outcome["targeting"]
    assert json.loads(to_json(facts)) == facts
    markdown, page = to_markdown(facts), to_html(facts)
    whom = page[page.index("<h3>Whom to treat") : page.index("<h3>Priors and what")]
    for row in (
        *told["policies"],
        *told["curve"]["rows"],
        *(cell for cells in told["grid"]["cells"] for cell in cells),
    ):
        value, _, interval = row["shown"]["profit"].partition(" [")
        assert value in whom
        assert interval in whom
        assert row["shown"]["profit"] in markdown
    for part in parts(outcome):
        assert f"### {part.heading}" in markdown
        assert f">{part.heading}</h" in whom
    for sentence in told["sentences"]:
        assert sentence in markdown
    # policies, who gets what, the frontier and who along it, the curve, buckets, prices
    assert len(re.findall(r'<figure role="group" aria-label="[^"]{40,}"><figcaption>[^<]{40,}', whom)) == 7
    terminal = policies_text(outcome)
    assert all(row["shown"]["profit"] in terminal for row in told["policies"])
    columns = 0
    for line in markdown.splitlines():
        columns = (columns or line.count("|")) if line.startswith("|") else 0
        assert not line.startswith("|") or line.count("|") == columns, line


def test_figures_draw_the_facts() -> None:
    outcome = reported()["outcomes"][0]
    told = outcome["targeting"]
    policies, who, frontier, _, curve, _, _, grid = [one for part in parts(outcome) for one in part.draw()]
    of_rules = next(trace for trace in policies.figure.data if trace.mode == "markers")
    assert list(of_rules.x) == [row["profit"] for row in told["policies"] if row["is_rule"]]
    assert {trace.name for trace in who.figure.data} == {"control", "men", "women"}
    for axis, policy in zip(("x", "x2", "x3"), told["who"]["policies"], strict=True):
        bars = {trace.name: trace.x for trace in who.figure.data if trace.xaxis == axis}
        drawn = np.array([bars[arm] for arm in told["who"]["arms"]]).T
        np.testing.assert_allclose(drawn, policy["shares"])
        np.testing.assert_allclose(drawn.sum(axis=1), 1.0, atol=1e-12)
    (men,) = [trace for trace in frontier.figure.data if trace.name == "men"]
    np.testing.assert_allclose(men.y, [row["units"]["men"] / 880 for row in told["frontier"]["rows"]])
    (line,) = [trace for trace in curve.figure.data if trace.mode == "lines" and trace.fill is None]
    assert list(line.y) == told["curve"]["profit"]
    assert grid.figure.data[0].z[2][2] == told["grid"]["cells"][2][2]["profit"]
    assert (grid.figure.layout.shapes[0].x0, grid.figure.layout.shapes[0].y1) == (1.5, 2.5)


def test_many_policies_are_drawn_in_figures_alike_in_size() -> None:
    told = facts_of("segments")
    several = [*told["who"]["policies"], *told["who"]["policies"]]
    drawn = parts(with_facts({**told, "who": {**told["who"], "policies": several}}))[0].draw()
    assert [len(one.figure.layout.annotations) for one in drawn[1:]] == [3, 3]


def test_one_place_has_policies_and_prices_and_nobody_to_tell_apart() -> None:
    draws = np.random.default_rng(3).normal([0.1, 0.15, 0.2], 0.01, (2, 250, 3))
    array = xr.DataArray(
        draws, dims=("chain", "draw", "arm"), coords={"arm": ["control", "men", "women"]}, name="mean_outcome"
    )
    tree = xr.DataTree.from_dict({"posterior": array.to_dataset()})
    tree.attrs = {"control": "control", "outcome": "visit", "kind": "binary"}
    told = told_of(tree, bu.Economics(1.0, 0.05))
    assert (told["curve"], told["frontier"]["who"], told["actions"]) == (None, None, None)
    assert (told["places"], told["counted"]) == (1, False)
    assert "one unit, on average" in told["sentences"][0]
    assert told["policies"][0]["profit"] == pytest.approx(0.05, abs=0.005)
    assert told["policies"][0]["as_reference"]
    assert "is no other policy than 'everybody: women'" in told["sentences"][-1]
    assert [one["factor"] for one in told["buckets"]["factors"]] == [None]
    headings = [part.heading for part in parts(with_facts(told)) if part.draw() or part.tables]
    assert headings == ["Whom to treat", "What caution earns", "Who would respond in any case", "If prices were others"]


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


def test_what_chains_say_against_single_units_is_said_of_their_policies() -> None:
    draws = noisy(np.tile([0.3, 0.35, 0.4], (50, 1)), sd=0.01, seed=2, chains=2, draws=250)
    draws[0, :, 0] += 0.2  # one chain holds more of the first unit, and as much less of the second
    draws[0, :, 1] -= 0.2
    tree = over_units(draws, kind="binary", outcome="visit")
    report = Report.of(tree, bu.choose_arm(tree, threshold_of_caring=0.001), economics=ECONOMICS)
    told = report.outcomes[0].targeting
    assert told is not None
    assert "draw longer before deciding on single units" in told.facts["sentences"][0]
    assert "draw longer" not in " ".join(facts_of("units")["sentences"])


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


def test_names_cannot_inject_markup() -> None:
    hostile = "<script>alert(1)</script>"
    tree = factored(
        near(RATES),
        arms=("control", f"{hostile}|", "women"),
        factors={"<b>a": LEVELS["channel"], "newbie": LEVELS["newbie"]},
        **BINARY,
    )
    rules = {f"{hostile} rule | with a long name": bu.BestArm()}
    choice = bu.choose_arm(tree, threshold_of_caring=0.001)
    facts = Report.of(tree, choice, economics=bu.Economics(2.0, 0.06), rules=rules).facts()
    assert hostile not in to_html(facts)
    rows = [line for line in to_markdown(facts).splitlines() if line.startswith("|")]
    assert not any("<script>" in line or "<b>" in line for line in rows)
    assert sum("rule \\| with a long name" in line for line in rows) == 2
