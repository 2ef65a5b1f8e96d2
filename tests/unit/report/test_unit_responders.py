"""Who responds, unit by unit: the facts of a posterior over units, and their three renderings."""

import json
import re
from typing import Any

import numpy as np
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.report.content import OutcomeResult, Report
from bayesuplift.report.render import to_html, to_json, to_markdown
from bayesuplift.report.unit_figures import unit_figures
from bayesuplift.report.unit_responders import BINS, unit_responders
from tests.support.over_units import noisy, over_units

STANDARDS = bu.Standards(threshold_of_caring=0.001)
UNITS = 300
# men's e-mail does good to the first third and harm to the last, women's the same to all
EFFECTS = np.column_stack([np.repeat([0.10, 0.02, -0.05], UNITS // 3), np.full(UNITS, 0.04)])
ECONOMICS = bu.Economics(4.0, {"men": 0.12})
INCLUSION = np.array([3.0, 1.0, 0.0])


def regularised(*, sd: float = 0.01, sign: float = 1.0, **attributes: Any) -> xr.DataTree:
    """Draws around a control's rate of 0.3 and these effects, and decisions of trees by covariate."""
    means = 0.3 + sign * np.column_stack([np.zeros(UNITS), EFFECTS])
    counts = np.random.default_rng(2).poisson(INCLUSION, (4, 100, 3))
    counts[0, 0] = 0  # trees that decide nothing
    more = {"effect_inclusion": (("chain", "draw", "covariate"), counts), "covariate": ["age", "spend", "noise"]}
    return over_units(noisy(means, sd=sd, seed=5), more=more, **({"kind": "binary", "outcome": "visit"} | attributes))


def facts_of(tree: xr.DataTree, economics: bu.Economics | None = None, **options: Any) -> dict[str, Any]:
    found = unit_responders(tree, bu.Standards(threshold_of_caring=0.001, **options), economics)
    assert found is not None
    return found


def report_of(tree: xr.DataTree, economics: bu.Economics | None = None) -> Report:
    return Report.of(tree, bu.choose_arm(tree, threshold_of_caring=0.001), economics=economics)


def row_of(rows: list[dict[str, Any]], arm: str) -> dict[str, Any]:
    return next(row for row in rows if row["arm"] == arm)


def test_only_regularised_posteriors_over_units_say_who_responds() -> None:
    assert unit_responders(regularised(pooled=""), STANDARDS, None) is None
    (outcome,) = report_of(regularised(pooled="")).facts()["outcomes"]
    assert outcome["units"] is None
    tree = regularised()
    by_arm = xr.DataTree.from_dict({"posterior": tree["posterior"].to_dataset()[["mean_outcome"]].mean("unit")})
    by_arm.attrs = tree.attrs
    assert unit_responders(by_arm, STANDARDS, None) is None


def test_chains_that_differ_about_a_unit_are_told_where_units_are_and_leave_the_verdict_alone() -> None:
    means = 0.3 + np.column_stack([np.zeros(UNITS), EFFECTS])
    tree = over_units(noisy(means, sd=0.01, seed=6, draws=500), kind="binary", outcome="visit")
    draws = tree["posterior"].to_dataset()["mean_outcome"].copy(deep=True)
    draws[0, :, 0] += 0.2  # one chain holds more of the first unit, and as much less of the second
    draws[0, :, 1] -= 0.2
    apart = xr.DataTree.from_dict({"posterior": tree["posterior"].to_dataset().assign(mean_outcome=draws)})
    apart.attrs = tree.attrs
    failed = [check.name for check in bu.diagnose(apart) if not check.passed]
    assert failed == ["r_hat_of_units"]
    options = {"threshold_of_caring": 0.001}
    assert bu.choose_arm(apart, **options).verdict == bu.choose_arm(tree, **options).verdict
    assert bu.choose_arm(apart, **options).verdict.name != "INVALID"
    assert "draw longer before deciding on single units" in facts_of(apart)["sentences"][0]
    assert facts_of(tree)["doubt"] is None
    # planted: chains that differ about everybody
    draws[0] += 0.2
    apart["posterior"] = xr.DataTree(tree["posterior"].to_dataset().assign(mean_outcome=draws))
    assert bu.choose_arm(apart, **options).verdict.name == "INVALID"


def test_shares_spread_and_average_are_those_of_the_draws() -> None:
    tree = regularised()
    facts = facts_of(tree, ECONOMICS, prob=0.9)
    assert facts["question"] == "P(effect > breakeven)"
    assert facts["breakeven"] == {"men": 0.03, "women": 0.0}
    effect = bu.cate(tree)
    for arm, breakeven in (("men", 0.03), ("women", 0.0)):
        row, of_arm = row_of(facts["arms"], arm), effect.sel(arm=arm)
        shares = bu.summarize((of_arm > breakeven).mean("unit"), prob=0.9)
        spread = bu.summarize(of_arm.std("unit"), prob=0.9)
        for name, expected in (("share_gaining", shares), ("spread", spread)):
            for ours, theirs in (("", "mean"), ("_mcse", "mcse"), ("_lower", "lower"), ("_upper", "upper")):
                assert row[name + ours] == pytest.approx(float(expected[theirs]), rel=1e-9)
        average = row_of(facts["average"], arm)
        assert average["difference"] == pytest.approx(float(effect.sel(arm=arm).mean()), rel=1e-12)
        negligible = float((of_arm.std("unit") < abs(of_arm.mean("unit")) / 10).mean())
        assert row["prob_negligible"] == pytest.approx(negligible, abs=1e-12)


def test_surely_is_told_with_two_errors_to_spare() -> None:
    facts = facts_of(regularised(sd=0.004))
    men, women = (row_of(facts["arms"], arm) for arm in ("men", "women"))
    # an effect of .02 is 3.5 standard deviations above 0
    assert men["surely"] == pytest.approx(2 / 3, abs=0.01)
    assert men["hardly"] == pytest.approx(1 / 3, abs=1e-12)
    assert (women["surely"], women["hardly"]) == (1.0, 0.0)
    # planted: an effect that is above 0 in 96% of the draws is no longer sure once its error is spared
    means = np.column_stack([np.zeros(UNITS), np.full(UNITS, 1.75 * np.sqrt(2.0)), np.zeros(UNITS)])
    near = facts_of(over_units(noisy(means, sd=1.0, seed=1)))
    chance = np.mean(row_of(near["arms"], "men")["bins"]["prob_gain"])
    assert chance > 0.95
    assert row_of(near["arms"], "men")["surely"] < 0.35


def test_bins_fall_and_hold_the_units_in_between() -> None:
    tree = regularised()
    men = row_of(facts_of(tree)["arms"], "men")["bins"]
    assert {name: len(values) for name, values in men.items()} == dict.fromkeys(men, BINS)
    assert np.all(np.diff(men["mean"]) <= 0)
    assert np.all(np.diff(men["prob_gain"]) <= 0)
    for outer, inner in (
        ("lower", "half_lower"),
        ("half_lower", "mean"),
        ("mean", "half_upper"),
        ("half_upper", "upper"),
    ):
        assert np.all(np.array(men[outer]) < men[inner])
    expected = np.sort(bu.cate(tree).sel(arm="men").mean(("chain", "draw")))[::-1]
    np.testing.assert_allclose(men["mean"], np.median(expected.reshape(BINS, -1), axis=1), rtol=1e-10)


def test_the_best_arm_by_unit_is_the_best_in_money() -> None:
    tree = regularised(sd=0.002)
    plain, money = facts_of(tree), facts_of(tree, bu.Economics(1.0, {"men": 0.08, "women": 0.05}))
    # by outcome men's is best for the first third, women's for the rest; by money nobody's but men's for the first third
    assert [row["likeliest"] for row in plain["best"]] == pytest.approx([0.0, 1 / 3, 2 / 3])
    assert [row["likeliest"] for row in money["best"]] == pytest.approx([2 / 3, 1 / 3, 0.0])
    assert [row["is_control"] for row in plain["best"]] == [True, False, False]
    assert sum(row["share_best"] for row in plain["best"]) == pytest.approx(1.0, abs=1e-12)
    assert "The best arm by mean outcome is control for 0%" in plain["sentences"][-2]
    assert "The best arm by money is control for 66.7%" in money["sentences"][-2]


def test_groups_stand_with_intervals_and_money() -> None:
    facts = facts_of(regularised(), ECONOMICS)
    groups = row_of(facts["arms"], "men")["groups"]
    assert len(groups) == 10
    assert groups[0]["difference"] == pytest.approx(0.10, abs=0.005)
    assert groups[-1]["difference"] == pytest.approx(-0.05, abs=0.005)
    for one in groups:
        assert one["net_gain"] == pytest.approx(4.0 * one["difference"] - 0.12, rel=1e-9)
        assert "±" in one["shown"]["difference"]
    (sentence,) = [one for one in facts["sentences"] if one.startswith("Sorted by their expected effect of men")]
    assert groups[0]["shown"]["difference"] in sentence
    assert groups[-1]["shown"]["difference"] in sentence


def test_covariates_are_those_that_trees_ask_for() -> None:
    tree = regularised()
    covariates = facts_of(tree)["covariates"]
    assert [row["covariate"] for row in covariates["rows"]] == ["age", "spend", "noise"]
    counts = tree["posterior/effect_inclusion"].to_numpy().reshape(-1, 3)
    total = counts.sum(1, keepdims=True)
    share = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    assert [row["value"] for row in covariates["rows"]] == pytest.approx(share.mean(0).tolist(), rel=1e-12)
    assert covariates["rows"][-1]["shown"]["value"] == "0% [0%, 0%]"
    assert facts_of(over_units(noisy(np.zeros((5, 3)), sd=1.0, seed=1)))["covariates"] is None


def test_several_treatments_have_trees_or_slopes_of_their_own() -> None:
    rng = np.random.default_rng(6)
    names = {"covariate": ["age", "spend"], "treatment": ["men", "women"]}
    draws = noisy(np.zeros((5, 3)), sd=1.0, seed=1)
    slopes = rng.normal([[0.0, 2.0], [-3.0, 1.0]], 0.1, (4, 100, 2, 2))
    linear = {"interaction": (("chain", "draw", "covariate", "treatment"), slopes), **names}
    rows = facts_of(over_units(draws, more=linear))["covariates"]["rows"]
    assert [(row["covariate"], row["arm"]) for row in rows] == [
        ("spend", "men"),
        ("age", "women"),
        ("spend", "women"),
        ("age", "men"),
    ]
    assert rows[0]["value"] == pytest.approx(-3.0, abs=0.05)
    trees = {
        "effect_inclusion": (("chain", "draw", "treatment", "covariate"), rng.poisson(4.0, (4, 100, 2, 2))),
        **names,
    }
    found = facts_of(over_units(draws, more=trees))["covariates"]
    assert found["by_arm"]
    assert sum(row["value"] for row in found["rows"] if row["arm"] == "men") == pytest.approx(1.0)


def test_three_renderings_say_the_same() -> None:
    facts = report_of(regularised(), ECONOMICS).facts()
    every = facts["outcomes"][0]["units"]
    assert json.loads(to_json(facts)) == facts
    markdown, page = to_markdown(facts), to_html(facts)
    for sentence in every["sentences"]:
        assert sentence in markdown
    for text in (markdown, page):
        assert "Who responds" in text
        assert "an outcome is worth 4" in text
        assert "No predictive check of this model of units was made" in text
        for row in every["best"]:
            assert row["shown"]["share_best"].split(" [")[0] in text
        for row in every["covariates"]["rows"]:
            assert row["shown"]["value"].split(" [")[0] in text
        for arm in every["arms"]:
            assert all(row["shown"]["net_gain"].split(" [")[0] in text for row in arm["groups"])
    columns = 0
    for line in markdown.splitlines():
        columns = (columns or line.count("|")) if line.startswith("|") else 0
        assert not line.startswith("|") or line.count("|") == columns, line


def test_every_figure_has_a_name_and_words_for_who_cannot_see_it() -> None:
    report = report_of(regularised())
    (outcome,) = report.facts()["outcomes"]
    drawn = unit_figures(outcome)
    assert len(drawn) == 3  # units sorted, for how many it pays, which arm is best
    page = to_html(report.facts())
    assert page.count("Plotly.newPlot(") == 4 + 3
    assert len(re.findall(r'<figure role="group" aria-label="[^"]{40,}"', page)) == 3
    assert "men: from 10" in drawn[0].alt
    lines = [trace for trace in drawn[0].figure.data if trace.mode == "lines" and trace.fill is None]
    assert [len(trace.x) for trace in lines] == [BINS, BINS]


def test_four_treatments_are_drawn_in_two_rows_of_figures() -> None:
    tree = over_units(noisy(np.zeros((40, 5)), sd=1.0, seed=1), arms=("a", "b", "c", "d", "e"), outcome="y")
    (outcome,) = report_of(tree).facts()["outcomes"]
    assert len(unit_figures(outcome)) == 2 + 2


def test_names_cannot_inject_markup() -> None:
    hostile = "<script>alert(1)</script>"
    more = {
        "effect_inclusion": (("chain", "draw", "covariate"), np.ones((4, 100, 2))),
        "covariate": [hostile, "a|b"],
    }
    tree = over_units(noisy(np.zeros((5, 2)), sd=1.0, seed=1), arms=("control", f"{hostile}|"), more=more)
    facts = report_of(tree).facts()
    assert hostile not in to_html(facts)
    rows = [line for line in to_markdown(facts).splitlines() if line.startswith("|")]
    assert not any("<script>" in line for line in rows)
    assert any("a\\|b" in line for line in rows)


def test_where_a_check_failed_who_responds_is_no_decision() -> None:
    tree = regularised(assignment="observational")
    assert "no decision may rest on these figures" in to_html(report_of(tree).facts())


def test_raw_figures_may_stand_beside_a_posterior_that_does_not_hold_them() -> None:
    tree = regularised()
    observed = xr.Dataset(
        {"n": ("arm", [100, 100, 200]), "total": ("arm", [30, 33, 80])}, coords={"arm": ["control", "men", "women"]}
    )
    result = OutcomeResult(tree, bu.choose_arm(tree, threshold_of_caring=0.001), observed=observed)
    (outcome,) = Report(title="visits", outcomes=(result,)).facts()["outcomes"]
    assert [row["raw_mean"] for row in outcome["arms"]] == [0.3, 0.33, 0.4]


def test_draws_that_were_left_out_are_told() -> None:
    tree = regularised()
    (outcome,) = report_of(tree).facts()["outcomes"]
    assert "kept" not in outcome["method"]
    tree["sample_stats"] = xr.DataTree(xr.Dataset(attrs={"kept_one_in": 3}))
    (outcome,) = report_of(tree).facts()["outcomes"]
    assert "one draw in 3 kept" in outcome["method"]
