"""Whom to treat, on a page: three renderings, figures and sentences that agree with the facts."""

import json
import re
from typing import Any

import numpy as np
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.report.content import Report
from bayesuplift.report.render import to_html, to_json, to_markdown
from bayesuplift.report.targeting_sections import parts, policies_text
from bayesuplift.report.targeting_segments import bounds
from bayesuplift.report.targeting_words import called, sentences
from tests.support.factored import FACTORS as LEVELS
from tests.support.factored import factored
from tests.support.over_units import noisy, over_units
from tests.support.targeted import (
    BINARY,
    ECONOMICS,
    RATES,
    RULES,
    SEGMENTS,
    close,
    facts_of,
    near,
    reported,
    told_of,
    with_facts,
)


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
