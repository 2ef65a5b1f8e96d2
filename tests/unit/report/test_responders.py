"""Who responds: the facts of a pooled posterior, and their three renderings."""

import json
import re
from typing import Any

import numpy as np
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.report.content import Report
from bayesuplift.report.render import to_html, to_json, to_markdown
from bayesuplift.report.responders import MOST_ROWS, responders
from bayesuplift.report.segment_figures import segment_figures
from tests.support.factored import ARMS, UNITS, factored

STANDARDS = bu.Standards(threshold_of_caring=0.001)
# effects by (segment, treatment) over newbie x channel: newbies respond to men's, Phone to women's
EFFECTS = ((0.02, 0.10), (0.02, -0.02), (0.12, 0.10), (0.12, -0.02))


def pooled(
    *, effects: Any = EFFECTS, sd: float = 0.01, n: Any = UNITS, sign: float = 1.0, **options: Any
) -> xr.DataTree:
    """Draws around a control's rate of 0.3 and these effects; totals as the means say."""
    values = np.asarray(effects, dtype=np.float64)
    means = 0.3 + sign * np.column_stack([np.zeros(len(values)), values])
    draws = np.random.default_rng(7).normal(means, [0.0, sd, sd], (4, 250, *means.shape))
    observed = {"n": n, "total": np.round(np.asarray(n) * means)}
    attributes = {"pooled": "segment", "kind": "binary", "outcome": "visit"} | options.pop("attributes", {})
    return factored(draws, observed=observed, **options, **attributes)


def facts_of(
    tree: xr.DataTree, economics: bu.Economics | None = None, *, higher_is_better: bool = True, prob: float = 0.95
) -> dict[str, Any]:
    standards = bu.Standards(threshold_of_caring=0.001, higher_is_better=higher_is_better, prob=prob)
    found = responders(tree, standards, economics)
    assert found is not None
    return found


def row_of(rows: list[dict[str, Any]], arm: str) -> dict[str, Any]:
    return next(row for row in rows if row["arm"] == arm)


def outcome_of(tree: xr.DataTree, economics: bu.Economics | None = None) -> dict[str, Any]:
    report = Report.of(tree, bu.choose_arm(tree, threshold_of_caring=0.001), economics=economics)
    (outcome,) = report.facts()["outcomes"]
    return outcome


def test_only_pooled_posteriors_over_segments_say_who_responds() -> None:
    assert responders(pooled(attributes={"pooled": ""}), STANDARDS, None) is None
    one = pooled(effects=EFFECTS[:1], n=UNITS[:1], factors={"newbie": ("0",)})
    assert responders(one, STANDARDS, None) is None
    assert outcome_of(pooled(attributes={"pooled": ""}))["responders"] is None
    assert outcome_of(pooled())["responders"] is not None


def test_levels_are_the_gates_with_their_errors_and_stand_beside_raw_differences() -> None:
    tree = pooled()
    facts = facts_of(tree, prob=0.9)
    n, total = np.array(UNITS), tree["observed_data/total"].to_numpy()
    for factor, members in (("newbie", ([0, 1], [2, 3])), ("channel", ([0, 2], [1, 3]))):
        summary = bu.summarize(bu.gate(tree, by=factor), prob=0.9)
        (of_factor,) = [one for one in facts["factors"] if one["factor"] == factor]
        assert sum(level["share"] for level in of_factor["levels"]) == pytest.approx(1.0, abs=1e-15)
        for position, (level, rows) in enumerate(zip(of_factor["levels"], members, strict=True)):
            assert level["n"] == n[rows].sum()
            for arm in ("men", "women"):
                row, expected = row_of(level["effects"], arm), summary.isel(segment=position).sel(arm=arm)
                for ours, theirs in (
                    ("", "mean"),
                    ("_mcse", "mcse"),
                    ("_lower", "lower"),
                    ("_upper_mcse", "upper_mcse"),
                ):
                    assert row[f"difference{ours}"] == float(expected[theirs])
                assert (row["prob_gain"], row["prob_gain_mcse"]) == (
                    float(expected["prob_positive"]),
                    float(expected["prob_positive_mcse"]),
                )
                assert row["difference_lower"] < row["difference_half_lower"] < row["difference_half_upper"]
                column = ARMS.index(arm)
                raw = [total[rows, k].sum() / n[rows, k].sum() for k in (0, column)]
                assert row["raw_difference"] == pytest.approx(raw[1] - raw[0], rel=1e-14)
                assert "±" in row["shown"]["difference"]


def test_a_cell_with_nobody_has_an_effect_and_no_raw_difference() -> None:
    facts = facts_of(pooled())
    (empty,) = [one for one in facts["segments"]["rows"] if one["segment"] == "newbie=1, channel=Phone"]
    assert "raw_difference" not in row_of(empty["effects"], "women")
    assert row_of(empty["effects"], "women")["shown"]["raw_difference"] == "–"  # noqa: RUF001 -- as an empty cell
    assert row_of(empty["effects"], "men")["raw_difference"] == pytest.approx(0.12, abs=0.01)


def test_an_effect_pays_above_its_breakeven_and_money_is_linear_in_it() -> None:
    tree, economics = pooled(), bu.Economics(4.0, {"men": 0.08})
    facts = facts_of(tree, economics)
    assert facts["question"] == "P(effect > breakeven)"
    assert facts["breakeven"] == {"men": 0.02, "women": 0.0}
    gain = bu.summarize(economics.net_gain(bu.cate(tree)))
    for one in facts["segments"]["rows"]:
        for row in one["effects"]:
            expected = gain.sel(segment=one["segment"], arm=row["arm"])
            for ours, theirs in (("net_gain", "mean"), ("net_gain_mcse", "mcse"), ("prob_gain", "prob_positive")):
                assert row[ours] == pytest.approx(float(expected[theirs]), rel=1e-9)
            for end in ("lower", "upper", "lower_mcse", "upper_mcse"):
                assert row[f"net_gain_{end}"] == pytest.approx(float(expected[end]), rel=1e-9)


def test_where_less_is_better_an_effect_pays_below() -> None:
    up, down = pooled(), pooled(sign=-1.0)
    economics = bu.Economics(-4.0, {"men": 0.08, "women": 0.08})
    found = facts_of(down, economics, higher_is_better=False)
    assert found["question"] == "P(effect < breakeven)"
    assert found["breakeven"] == {"men": -0.02, "women": -0.02}
    gain = bu.summarize(economics.net_gain(bu.ate(down)))
    for row in found["average"]:
        for end in ("lower", "lower_mcse", "upper", "upper_mcse"):
            assert row[f"net_gain_{end}"] == pytest.approx(float(gain[end].sel(arm=row["arm"])), rel=1e-9)
        assert row["prob_gain"] == float(gain["prob_positive"].sel(arm=row["arm"]))
    assert facts_of(down, higher_is_better=False)["question"] == "P(effect < 0)"
    worse = row_of(facts_of(up, higher_is_better=False)["average"], "men")
    assert worse["prob_gain"] == 0.0
    assert worse["shown"]["prob_gain"].startswith("<")  # no event among the draws is not certainty


def test_the_levels_furthest_apart_come_first_and_the_larger_effect_is_named_first() -> None:
    facts = facts_of(pooled())
    first, second = facts["apart"][:2]
    assert (first["factor"], first["arm"], first["higher"], first["lower"]) == ("channel", "women", "Phone", "Web")
    assert (second["factor"], second["arm"], second["higher"], second["lower"]) == ("newbie", "men", "1", "0")
    assert first["difference"] == pytest.approx(0.12, abs=0.005)
    assert first["prob_greater"] == 1.0
    assert first["shown"]["prob_greater"].startswith(">")
    assert all("±" in one["shown"]["difference"] for one in facts["apart"])
    assert all(one["difference"] >= 0 for one in facts["apart"])


def test_the_two_factors_that_tell_effects_apart_are_crossed() -> None:
    factors = {"a": tuple("00001111"), "b": tuple("00110011"), "c": tuple("01010101")}
    differ = [(0.1 * int(a != b), 0.05) for a, b in zip(factors["a"], factors["b"], strict=True)]
    facts = facts_of(pooled(effects=differ, n=np.full((8, 3), 50), factors=factors))
    crossed = facts["interaction"]
    assert crossed["factors"] == ["a", "b"]
    found = {tuple(one["levels"]): row_of(one["effects"], "men")["difference"] for one in crossed["cells"]}
    assert found == {
        pair: pytest.approx(0.1 * (pair[0] != pair[1]), abs=0.005)
        for pair in (("0", "0"), ("0", "1"), ("1", "0"), ("1", "1"))
    }


def test_a_single_factor_has_nothing_to_be_crossed_with() -> None:
    tree = pooled(factors={"place": ("a", "b", "c", "d")})
    assert facts_of(tree)["interaction"] is None
    assert len(segment_figures(outcome_of(tree))) == 4


def many(count: int) -> xr.DataTree:
    rng = np.random.default_rng(2)
    n = np.repeat(rng.integers(5, 500, (count, 1)), 3, axis=1)
    return pooled(
        effects=rng.normal(0.05, 0.03, (count, 2)), n=n, factors={"shop": tuple(f"s{i}" for i in range(count))}
    )


def test_the_largest_segments_come_first_and_the_rest_is_counted() -> None:
    tree = many(60)
    outcome = outcome_of(tree)
    held = outcome["responders"]["segments"]
    sizes = [one["n"] for one in held["rows"]]
    assert sizes == sorted(sizes, reverse=True)
    assert held["left_out"]["segments"] == 60 - MOST_ROWS
    assert held["left_out"]["share"] == pytest.approx(sum(sizes[MOST_ROWS:]) / sum(sizes), rel=1e-12)
    forest = next(one for one in segment_figures(outcome) if "largest segments" in one.caption)
    assert f"{60 - MOST_ROWS} smaller segments" in forest.caption
    means = [value for trace in forest.figure.data if trace.mode == "markers" for value in trace.x]
    assert len(means) == 2 * MOST_ROWS
    assert f"The {MOST_ROWS} largest segments of 60" in to_markdown(Report.of(tree, choice(tree)).facts())


def choice(tree: xr.DataTree) -> bu.Choice:
    return bu.choose_arm(tree, threshold_of_caring=0.001)


def test_words_give_the_share_of_units_for_whom_it_surely_pays() -> None:
    facts = facts_of(pooled(sd=0.002))
    n = np.array(UNITS).sum(axis=1) / np.sum(UNITS)
    (sentence,) = [one for one in facts["sentences"] if one.startswith("Under women, P(effect > 0)")]
    assert f"at least 95% in segments with {100 * (n[0] + n[2]):.2g}% of the units" in sentence
    assert f"at most 5% in segments with {100 * (n[1] + n[3]):.2g}% of the units" in sentence
    (sentence,) = [one for one in facts["sentences"] if one.startswith("Under men, P(effect > 0)")]
    assert "at least 95% in every segment, and at most 5% in no segment" in sentence


def test_the_spread_is_that_of_the_effects_over_the_units() -> None:
    tree = pooled()
    expected = bu.heterogeneity(tree)
    for row in facts_of(tree)["spread"]:
        assert row["spread"] == float(expected["spread"].sel(arm=row["arm"]))
        assert "±" in row["shown"]["spread"]


def test_three_renderings_say_the_same() -> None:
    tree = pooled()
    facts = Report.of(tree, choice(tree), economics=bu.Economics(4.0, {"men": 0.08})).facts()
    who = facts["outcomes"][0]["responders"]
    assert json.loads(to_json(facts)) == facts
    markdown, page = to_markdown(facts), to_html(facts)
    for sentence in who["sentences"]:
        assert sentence in markdown
    for factor in who["factors"]:
        for level in factor["levels"]:
            for row in level["effects"]:
                for text in (row["shown"]["difference"], row["shown"]["net_gain"]):
                    assert text in markdown
                    assert text.split(" [")[0] in page
    assert "an outcome is worth 4" in markdown
    assert "an outcome is worth 4" in page
    columns = 0
    for line in markdown.splitlines():
        columns = (columns or line.count("|")) if line.startswith("|") else 0
        assert not line.startswith("|") or line.count("|") == columns, line


def test_every_figure_has_a_name_and_words_for_who_cannot_see_it() -> None:
    tree = pooled()
    drawn = segment_figures(outcome_of(tree))
    assert len(drawn) == 5  # levels, two factors, for how many it pays, segments, what pooling does
    assert len({one.caption for one in drawn}) == 5
    page = to_html(Report.of(tree, choice(tree)).facts())
    assert page.count("Plotly.newPlot(") == 4 + 5
    assert len(re.findall(r'<figure role="group" aria-label="[^"]{40,}"', page)) == 5
    forest = drawn[0]
    assert "women: from -1.99 pp" in forest.alt
    assert "channel: Phone" in forest.alt


def test_four_treatments_are_drawn_in_two_rows_of_figures() -> None:
    arms = ("a", "b", "c", "d", "e")
    draws = np.random.default_rng(1).normal(0.3, 0.01, (4, 250, 4, 5))
    tree = factored(draws, arms=arms, observed={"n": np.full((4, 5), 90)}, pooled="segment", kind="binary", outcome="y")
    drawn = segment_figures(outcome_of(tree))
    assert len(drawn) == 2 * 3 + 1  # without totals there is nothing raw to be pooled from


def test_names_cannot_inject_markup() -> None:
    hostile = "<script>alert(1)</script>"
    tree = pooled(factors={"place|": (hostile, "b", "c", "d"), "x": ("0", "1", "0", "1")})
    facts = Report.of(tree, choice(tree)).facts()
    assert hostile not in to_html(facts)
    rows = [line for line in to_markdown(facts).splitlines() if line.startswith("|")]
    assert not any("<script>" in line for line in rows)
    assert any("place\\|" in line for line in rows)


def test_where_a_check_failed_who_responds_is_no_decision() -> None:
    tree = pooled(n=((100, 60, 0), (10, 20, 0), (300, 300, 0), (7, 5, 0)))
    page = to_html(Report.of(tree, choice(tree)).facts())
    assert "no decision may rest on these figures" in page


def test_a_posterior_without_factors_shows_its_segments() -> None:
    tree = pooled()
    for group in ("posterior", "observed_data"):
        tree[group] = xr.DataTree(tree[group].to_dataset().drop_vars(["newbie", "channel"]))
    outcome = outcome_of(tree)
    assert outcome["responders"]["factors"] == []
    assert len(segment_figures(outcome)) == 3
    facts = Report.of(tree, choice(tree)).facts()
    assert "newbie=0, channel=Web" in to_markdown(facts)
    assert to_html(facts)
