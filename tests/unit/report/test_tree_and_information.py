"""The policy as a tree, and whether to test first: facts that agree with the public functions, and what is said of them."""

from typing import Any

import numpy as np
import pytest

import bayesuplift as bu
from bayesuplift.report.content import Report
from bayesuplift.report.information_part import information_facts, information_sentences, information_table
from bayesuplift.report.policy_tree_part import (
    policy_tree_facts,
    policy_tree_figure,
    policy_tree_sentences,
    policy_tree_table,
)
from bayesuplift.report.render import to_html, to_markdown
from tests.support.factored import factored
from tests.support.worlds import seed_of

ECONOMICS = bu.Economics(2.0, {"men": 0.14, "women": 0.06})
RATES = np.array([[0.10, 0.20, 0.14], [0.12, 0.13, 0.20], [0.20, 0.23, 0.22], [0.2, 0.19, 0.3]])
DRAWS = np.random.default_rng(seed_of("tree and information")).normal(RATES, 0.02, (2, 200, 4, 3))
TREE = factored(DRAWS, kind="binary", outcome="visit", pooled="segment", seed=7)


@pytest.fixture(scope="module")
def outcome() -> dict[str, Any]:
    choice = bu.choose_arm(TREE, threshold_of_caring=0.01)
    return dict(Report.of(TREE, choice, economics=ECONOMICS).facts()["outcomes"][0])


def test_the_tree_told_is_the_one_that_the_public_function_grows(outcome: dict[str, Any]) -> None:
    facts = outcome["targeting"]["tree"]
    found = bu.policy_tree(TREE, ECONOMICS, seed=7)
    assert facts == policy_tree_facts(found, prob=0.95)
    assert [row["rule"] for row in facts["leaves"]] == [rule.words for rule in found.tree.rules()]
    assert [row["arm"] for row in facts["leaves"]] == [rule.arm for rule in found.tree.rules()]
    assert sum(row["share"] for row in facts["leaves"]) == pytest.approx(1.0)
    value = bu.summarize_value(found.value)
    assert facts["profit"]["tree"]["profit"] == float(value["profit"].sel(policy="tree"))
    assert 0.5 < facts["part"] <= 1.0
    # every leaf hangs on the diagram once, and every other node has two below it
    below = [one["parent"] for one in facts["nodes"]]
    for node in facts["nodes"]:
        assert below.count(node["node"]) == (0 if node["leaf"] is not None else 2)


def test_a_page_says_what_the_tree_earns_and_how_sure_its_shape_is(outcome: dict[str, Any]) -> None:
    earned, grown, roots = policy_tree_sentences(outcome)
    facts = outcome["targeting"]["tree"]
    assert facts["profit"]["tree"]["shown"]["profit"] in earned
    assert "half of the draws" in grown
    assert facts["chosen"] in grown
    assert all(name in roots for name, share in facts["roots"].items() if share and name != "none")
    figure = policy_tree_figure(outcome)
    assert all(row["arm"] in str(figure.figure.layout.annotations) for row in facts["leaves"])
    assert len(policy_tree_table(outcome).rows) == len(facts["leaves"])


def test_what_tests_are_worth_is_what_the_public_functions_say(outcome: dict[str, Any]) -> None:
    facts = outcome["targeting"]["information"]
    assert facts["everybody"]["evpi"] == float(bu.perfect_information(TREE, ECONOMICS)["evpi"])
    assert facts["place"]["evpi"] == float(bu.perfect_information(TREE, ECONOMICS, by="place")["evpi"])
    sizes = [row["units_per_arm"] for row in facts["tests"]]
    table = bu.sample_information(
        TREE, ECONOMICS, units_per_arm=sizes, population_size=facts["population"], seed=facts["seed"]
    )
    assert [row["net_value"] for row in facts["tests"]] == table["net_value"].values.tolist()
    assert facts["sentence"] == table.attrs["sentence"]
    assert facts["everybody"]["shown"]["evpi"] in information_sentences(outcome)[0]
    assert len(information_table(outcome).rows) == len(sizes)


def test_few_units_leave_no_room_for_a_test() -> None:
    observed = {"n": [[2, 1, 1]] * 4}
    few = factored(DRAWS, observed=observed, kind="binary", outcome="visit")
    assert information_facts(few, ECONOMICS, seed=1) is None


def test_both_stand_on_the_page(outcome: dict[str, Any]) -> None:
    choice = bu.choose_arm(TREE, threshold_of_caring=0.01)
    facts = Report.of(TREE, choice, economics=ECONOMICS).facts()
    page, text = to_html(facts), to_markdown(facts)
    for heading in ("A tree to treat by", "Whether to test first"):
        assert heading in page
        assert heading in text
    for row in outcome["targeting"]["tree"]["leaves"]:
        assert row["rule"] in text
    for row in outcome["targeting"]["information"]["tests"]:
        assert row["shown"]["net_value"] in text
