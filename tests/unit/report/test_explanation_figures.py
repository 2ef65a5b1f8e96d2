"""Figures of who benefits, and why: what they draw is what the facts say."""

import json
from typing import Any

import numpy as np
import pytest

import bayesuplift as bu
from bayesuplift.report.explanation_facts import curve_facts, subgroup_facts, tree_facts
from bayesuplift.report.explanation_figures import MOST_CURVES, curve_figure, subgroup_figure, tree_figure
from tests.support.unit_worlds import customers, drawn, of_units
from tests.support.worlds import seed_of

FRAME = customers(200, seed=seed_of("explanation figures"))
NAMES = list(FRAME)
TRUTH = np.select([FRAME["channel"] == "Phone", FRAME["age"] < 40], [0.2, 0.1], 0.0)
EFFECTS = drawn(TRUTH, seed=seed_of("explained"), sd=0.01, common=0.01)
TREE = of_units(EFFECTS, kind="binary", outcome="visit")
OUTCOME = {
    "name": "visit",
    "kind": "binary",
    "unit": "",
    "control": "control",
    "arms": [{"arm": "control", "is_control": True}, {"arm": "offer", "is_control": False}],
}


def plain_values(value: Any) -> bool:
    return json.loads(json.dumps(value, allow_nan=False)) == value


def points(figure: Any) -> list[Any]:
    return [trace for trace in figure.data if trace.mode == "markers"]


def test_a_tree_is_drawn_leaf_by_leaf() -> None:
    tree = bu.effect_tree(TREE, FRAME, covariates=NAMES, prob=0.9)
    facts = tree_facts(tree)
    assert plain_values(facts)
    assert [row["leaf"] for row in facts["leaves"]] == tree.table["leaf"].values.tolist()
    assert [row["difference"] for row in facts["leaves"]] == tree.table["mean"].values.tolist()
    assert [row["n"] for row in facts["leaves"]] == tree.table["n"].values.tolist()
    assert facts["fidelity"]["r_squared"] == float(tree.table["r_squared"])
    inner = [node for node in facts["nodes"] if node["leaf"] is None]
    assert len(facts["nodes"]) == 2 * len(facts["leaves"]) - 1 == len(inner) + len(facts["leaves"])
    for node in inner:
        below = [one for one in facts["nodes"] if one["parent"] == node["node"]]
        assert sum(one["n"] for one in below) == node["n"]
    drawn_tree = tree_figure(OUTCOME, facts)
    (effects,) = points(drawn_tree.figure)
    assert list(effects.x) == [100.0 * row["difference"] for row in facts["leaves"]]
    assert list(effects.y) == sorted(effects.y, reverse=True)
    texts = [annotation.text for annotation in drawn_tree.figure.layout.annotations]
    for node in facts["nodes"][1:]:
        assert node["answer"].replace("<", "&lt;") in texts
    assert "90% credible intervals" in drawn_tree.caption
    assert facts["fidelity"]["shown"]["r_squared"] in drawn_tree.caption
    highest = max(facts["leaves"], key=lambda row: row["difference"])
    assert f"to {highest['shown']['amount']} ({highest['rule']})." in drawn_tree.alt
    assert "channel = Phone" in highest["rule"]


def test_a_tree_of_one_leaf_is_drawn() -> None:
    half = np.random.default_rng(1).standard_normal((4, 25, len(FRAME)))
    tree = bu.effect_tree(of_units(np.concatenate([half, -half], axis=1), kind="binary"), FRAME, covariates=NAMES)
    facts = tree_facts(tree)
    assert facts["nodes"] == [{"node": 0, "parent": None, "answer": "", "n": 200, "leaf": 1}]
    assert len(points(tree_figure(OUTCOME, facts).figure)) == 1


def test_a_leaf_stands_at_the_height_of_its_effect_and_a_question_between_its_answers() -> None:
    facts = tree_facts(bu.effect_tree(TREE, FRAME, covariates=NAMES, least_gain=0.0, least_units=10))
    figure = tree_figure(OUTCOME, facts).figure
    (effects,) = points(figure)
    ends = {(trace.x[1], trace.y[1]) for trace in figure.data if trace.line.dash == "dot"}
    assert {y for _, y in ends} == set(effects.y)
    branches = [
        trace for trace in figure.data if trace.mode == "lines" and len(trace.x) == 3 and trace.x[2] is not None
    ]
    assert len(branches) == len(facts["nodes"]) - 1
    for trace in branches:
        siblings = [one.y[2] for one in branches if (one.x[0], one.y[0]) == (trace.x[0], trace.y[0])]
        assert len(siblings) == 2
        assert trace.y[0] == pytest.approx(sum(siblings) / 2, abs=1e-12)


def test_curves_are_drawn_with_their_bands() -> None:
    curves = bu.effect_curves(TREE, FRAME, covariates=NAMES)
    facts = curve_facts(curves)
    assert plain_values(facts)
    shares = [one["share"] for one in facts["curves"]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(facts["fidelity"]["r_squared"], abs=1e-12)
    assert {one["covariate"]: one["is_number"] for one in facts["curves"]} == {
        "age": True,
        "spend": True,
        "newbie": True,
        "channel": False,
    }
    shown = curve_figure(OUTCOME, facts)
    lines = {trace.customdata[0][0]: trace for trace in shown.figure.data if trace.mode == "lines+markers"}
    age = next(one for one in facts["curves"] if one["covariate"] == "age")
    line = lines[age["points"][0]["value"]]
    assert list(line.x) == [one["position"] for one in age["points"]]
    assert list(line.y) == [100.0 * one["difference"] for one in age["points"]]
    band = next(trace for trace in shown.figure.data if trace.fill == "toself" and trace.x[0] == line.x[0])
    assert list(band.y) == [100.0 * one["difference_upper"] for one in age["points"]] + [
        100.0 * one["difference_lower"] for one in reversed(age["points"])
    ]
    (levels,) = points(shown.figure)
    channel = next(one for one in facts["curves"] if one["covariate"] == "channel")
    assert list(levels.x) == [one["value"] for one in channel["points"]]
    assert "pointwise 95% credible bands" in shown.caption
    assert shown.figure.layout.annotations[0].text.startswith("channel (")
    # one ordinate: a curve that says little is not blown up to the height of its panel
    layout = shown.figure.layout
    ordinates = [layout[name].matches for name in ("yaxis", "yaxis2", "yaxis3", "yaxis4")]
    assert len(set(ordinates) - {None}) == 1
    assert ordinates.count(None) == 1


def test_more_curves_than_a_figure_has_room_for_are_said_to_be_left_out() -> None:
    frame = FRAME.assign(**{f"x{k}": np.random.default_rng(k).normal(size=200) for k in range(8)})
    facts = curve_facts(bu.effect_curves(TREE, frame, covariates=list(frame), knots=3))
    shown = curve_figure(OUTCOME, facts)
    assert len(facts["curves"]) == 12
    assert len([trace for trace in shown.figure.data if trace.mode in ("lines+markers", "markers")]) == MOST_CURVES
    assert "3 curves that tell less are left out" in shown.caption


def test_subgroups_are_a_forest_that_names_the_search() -> None:
    found = bu.subgroups(TREE, FRAME, covariates=NAMES, most=6)
    facts = subgroup_facts(found)
    assert plain_values(facts)
    assert [row["rule"] for row in facts["rows"]] == found.table["rule"].values.tolist()
    assert [row["prob_beyond"] for row in facts["rows"]] == found.table["prob_beyond"].values.tolist()
    shown = subgroup_figure(OUTCOME, facts)
    (effects,) = points(shown.figure)
    assert list(effects.x) == [100.0 * row["difference"] for row in facts["rows"]]
    assert f"of {facts['considered']:,} that were looked at" in shown.caption
    assert facts["rows"][0]["shown"]["prob_largest"] in shown.caption


def test_draws_without_differences_are_told() -> None:
    effects = EFFECTS.copy()
    effects[0, :3] = 0.05
    facts = tree_facts(bu.effect_tree(of_units(effects, kind="binary"), FRAME, covariates=NAMES))
    assert facts["fidelity"]["undefined_draws"] == 3
    assert plain_values(facts)
    assert "(of 197 draws; in 3 others all effects are equal)" in tree_figure(OUTCOME, facts).caption


def test_markup_in_labels_is_text() -> None:
    frame = FRAME.assign(channel=FRAME["channel"].map({"Phone": "<b>Phone</b>", "Web": "Web", "Mail": "Mail"}))
    facts = tree_facts(bu.effect_tree(TREE, frame, covariates=["channel"]))
    figure = tree_figure(OUTCOME, facts).figure
    assert not any("<b>" in (annotation.text or "") for annotation in figure.layout.annotations)
