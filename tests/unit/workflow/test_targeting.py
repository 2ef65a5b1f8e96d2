"""Rules of an analysis file: read strictly, held against the data before anything is fitted, and told by the report."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.analysis_file import read_analysis
from bayesuplift.errors import AnalysisError
from bayesuplift.report.render import to_html, to_markdown
from bayesuplift.workflow import FILES, check, write_results
from tests.support.analyses import ANALYSIS, written
from tests.support.factored import factored

MONEY = "\n[economics]\nvalue_per_outcome = 4.0\ncost_per_unit = { offer = 0.1 }\n"
POOLED = ANALYSIS.replace('kind = "binary"', 'kind = "binary"\nmodel = "partial_pooling"') + MONEY
SEVERAL = """
[[rule]]
kind = "best_arm"

[[rule]]
name = "cautious"
kind = "risk_adjusted"
risk_aversion = 0.3
prob = 0.9
at_most = [{ share = 0.2 }, { units = 500, arm = "offer" }]
never = [{ where = { channel = ["Web", "Phone"], newbie = 1 } }, { where = { channel = "Web" }, arm = "offer" }]

[[rule]]
kind = "budget"
amount = 20
by = { kind = "top_share", share = 0.5, by = { kind = "cvar", alpha = 0.1 } }

[[rule]]
kind = "credible_bound"

[[rule]]
kind = "threshold"
prob = 0.8
"""


def rules_of(folder: Path, rules: str, *, money: str = MONEY) -> dict[str, Any]:
    return dict(read_analysis(written(folder, analysis=ANALYSIS + money + rules)).rules)


def with_segments(model: str, cells: bu.Cells, **options: Any) -> xr.DataTree:
    """A posterior as of a model that pools its segments: rates about the raw ones."""
    del model, options
    observed = cells.statistics
    assert "segment" in observed.dims, "everybody's figures are averages of the segments'"
    raw = (observed["total"] / observed["n"]).to_numpy()
    tree = factored(
        np.random.default_rng(11).normal(raw, 0.01, (4, 250, *raw.shape)),
        factors={name: list(map(str, observed[name].to_numpy())) for name in cells.factors},
        arms=cells.design.arms,
        observed={str(name): values for name, values in observed.data_vars.items()},
        kind="binary",
        outcome=cells.outcome,
        pooled="segment",
    )
    posterior = tree["posterior"].to_dataset()
    tree["posterior"] = xr.DataTree(posterior.assign(effect_scale=("term", np.ones(len(cells.factors) + 1))))
    return tree


def never_fitted(*_: Any, **__: Any) -> xr.DataTree:
    raise AssertionError


def test_rules_are_those_of_the_package(tmp_path: Path) -> None:
    limits = (
        bu.AtMost(share=0.2),
        bu.AtMost(units=500, arm="offer"),
        bu.Never({"channel": ["Web", "Phone"], "newbie": 1}),
        bu.Never({"channel": "Web"}, arm="offer"),
    )
    assert rules_of(tmp_path, SEVERAL) == {
        "highest mean gain": bu.BestArm(),
        "cautious": bu.RiskAdjusted(0.3, prob=0.9).subject_to(*limits),
        "budget of 20 by top 50% by mean of the worst 10%": bu.Budget(20, by=bu.TopShare(0.5, by=bu.CVaR(0.1))),
        "95% lower bound": bu.CredibleBound(0.95),
        "P(gain) at least 80%": bu.Threshold(0.8),
    }
    assert list(rules_of(tmp_path, SEVERAL))[1] == "cautious"
    assert rules_of(tmp_path, "") == {}


REFUSED = (
    ('kind = "bestarm"', r"\[\[rule\]\] 1: kind = 'bestarm'\. Kinds: best_arm, .*Did you mean 'best_arm'"),
    ("share = 0.2", r"kind is missing\. Kinds"),
    ("kind = 3", r"kind = 3\. Kinds"),
    ('kind = "cvar"\nalfa = 0.1', r"cvar has no 'alfa'\. Keys: kind, name, at_most, never, alpha\..*mean 'alpha'"),
    ('kind = "cvar"\nalpha = "low"', r"alpha = 'low'; expected a number"),
    ('kind = "cvar"\nalpha = 2', r"\[\[rule\]\] 1: alpha = 2; give the share"),
    ('kind = "cvar"\nname = ""', r"name = ''; expected text"),
    ('kind = "risk_adjusted"', r"\[\[rule\]\] 1: risk_aversion missing"),
    ('kind = "credible_bound"\nrisk_aversion = 1', r"credible_bound has no 'risk_aversion'"),
    ('kind = "budget"\namount = 5\nby = "cvar"', r"by = 'cvar'; expected a table such as"),
    ('kind = "budget"\namount = 5\nby = { kind = "cvra" }', r"1 by: kind = 'cvra'.*Did you mean 'cvar'"),
    (
        'kind = "budget"\namount = 5\nby = { kind = "cvar", at_most = [] }',
        r"limits belong to the rule itself, not to the one within",
    ),
    ('kind = "best_arm"\nat_most = { share = 0.2 }', r"at_most = .*expected a list of tables such as \[\{ share"),
    ('kind = "best_arm"\nat_most = [{ shore = 0.2 }]', r"at_most: unknown key 'shore'.*Did you mean 'share'"),
    ('kind = "best_arm"\nat_most = [{ arm = "offer" }]', r"at_most: give share=, of all units, or units="),
    ('kind = "best_arm"\nat_most = [{ share = 0.2, arm = 3 }]', r"arm = 3; expected the label"),
    ('kind = "best_arm"\nnever = [{ channel = "Web" }]', r"unknown key 'channel'.*A level stands within where"),
    ('kind = "best_arm"\nnever = [{ where = "Web" }]', r"where = 'Web'; expected levels by factor"),
    ('kind = "best_arm"\nnever = [{ arm = "offer" }]', r"where = None; expected levels by factor"),
    ('kind = "best_arm"\nnever = [{ where = { channel = [] } }]', r"never: where = .*give levels by factor"),
    ('kind = "best_arm"\n[[rule]]\nkind = "best_arm"', r"\[\[rule\]\] 2: another rule is named 'highest mean gain'"),
)


@pytest.mark.parametrize(("rule", "told"), REFUSED, ids=[told for _, told in REFUSED])
def test_what_is_no_rule_is_refused_by_name(tmp_path: Path, rule: str, told: str) -> None:
    with pytest.raises(AnalysisError, match=told):
        rules_of(tmp_path, f"\n[[rule]]\n{rule}\n")


def test_rules_need_economics_and_two_brackets(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=r"add \[economics\]"):
        rules_of(tmp_path, '\n[[rule]]\nkind = "best_arm"\n', money="")
    with pytest.raises(AnalysisError, match=r"write \[\[rule\]\]"):
        rules_of(tmp_path, '\n[rule]\nkind = "best_arm"\n')
    with pytest.raises(AnalysisError, match=r"\[\[rule\]\] 1 is int"):
        read_analysis(written(tmp_path, analysis=f"rule = [3]\n{ANALYSIS}{MONEY}"))


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ('at_most = [{ share = 0.2, arm = "ofer" }]', r"'cautious': no treatment named 'ofer'.*Did you mean 'offer'"),
        ('at_most = [{ share = 0.2, arm = "control" }]', r"which is the control"),
        ('never = [{ where = { chanel = "Web" } }]', r"no factor named 'chanel'.*Did you mean 'channel'"),
        ('never = [{ where = { channel = "Wep" } }]', r"channel = 'Wep'.*Did you mean 'Web'"),
    ],
)
def test_limits_are_held_against_the_data_before_anything_is_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: str, told: str
) -> None:
    monkeypatch.setattr("bayesuplift.workflow.fit", never_fitted)
    rule = f'\n[[rule]]\nname = "cautious"\nkind = "best_arm"\n{limits}\n'
    for run in (bu.analyze, check):
        with pytest.raises(AnalysisError, match=told):
            run(written(tmp_path, analysis=POOLED + rule))


def test_a_model_that_tells_no_segments_apart_has_no_place_for_their_limits(tmp_path: Path) -> None:
    rule = '\n[[rule]]\nkind = "best_arm"\nnever = [{ where = { channel = "Web" } }]\n'
    with pytest.raises(AnalysisError, match=r"tells no segments apart; one that pools them, does"):
        check(written(tmp_path, analysis=ANALYSIS + MONEY + rule))
    assert check(written(tmp_path, analysis=POOLED + rule))


def test_a_budget_for_what_saves_money_is_refused_before_anything_is_fitted(tmp_path: Path) -> None:
    saves = POOLED.replace("offer = 0.1", "control = 0.2")
    with pytest.raises(AnalysisError, match=r"'budget of 5': .*0 or more"):
        check(written(tmp_path, analysis=saves + '\n[[rule]]\nkind = "budget"\namount = 5\n'))


def test_rules_reach_the_report_of_every_outcome_with_economics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bayesuplift.workflow.fit", with_segments)
    rules = '\n[[rule]]\nname = "few"\nkind = "top_share"\nshare = 0.1\n[[rule]]\nkind = "best_arm"\n'
    report = bu.analyze(written(tmp_path, analysis=POOLED + rules))
    (result,) = report.outcomes
    (outcome,) = report.facts()["outcomes"]
    told = outcome["targeting"]["policies"]
    assert [row["name"] for row in told] == ["few", "highest mean gain", "nobody", "everybody: offer"]
    assert result.economics is not None
    policy = bu.target(result.posterior, result.economics, rule=bu.TopShare(0.1))
    value = bu.summarize_value(bu.policy_value(policy, result.posterior))
    assert told[0]["number_treated"] == pytest.approx(440.0)
    assert told[0]["profit"] == pytest.approx(float(value["profit"]), rel=1e-9)
    assert result.targeting is not None
    np.testing.assert_array_equal(result.targeting.policies["few"].share, policy.share)
    # of the first rule, ready for new units
    written_to = write_results(tmp_path / "out", report)
    assert written_to[-1] == tmp_path / "out" / "policy.json"
    saved = bu.load_policy(written_to[-1])
    assert saved.rule == bu.TopShare(0.1)
    assert dict(saved.origin.units) == pytest.approx({"control": 3960.0, "offer": 440.0})
    for text in (to_markdown(report.facts()), to_html(report.facts())):
        assert "Whom to treat" in text
        assert told[0]["shown"]["profit"].split(" [")[0] in text


def test_a_model_of_arms_alone_has_one_decision_for_everybody(tmp_path: Path) -> None:
    (outcome,) = bu.analyze(written(tmp_path, analysis=ANALYSIS + MONEY)).facts()["outcomes"]
    told = outcome["targeting"]
    assert (told["places"], told["units"]) == (1, 4400.0)
    everybody = next(row for row in told["policies"] if row["name"] == "everybody: offer")
    # Beta(1, 1) and 290 of 2,200 against 190 of 2,200
    exact = 4400 * (4.0 * (291 - 191) / 2202 - 0.1)
    assert abs(everybody["profit"] - exact) <= 4.0 * everybody["profit_mcse"]


def test_where_a_check_failed_no_policy_is_shown(tmp_path: Path) -> None:
    lopsided = (ANALYSIS + MONEY).replace("{ control = 1, offer = 1 }", "{ control = 2, offer = 1 }")
    report = bu.analyze(written(tmp_path, analysis=lopsided))
    (outcome,) = report.facts()["outcomes"]
    assert "Sample-ratio mismatch" in outcome["targeting"]["refused"]
    for text in (to_markdown(report.facts()), to_html(report.facts())):
        assert "No policy for order, because a check failed" in text
        assert "everybody: offer" not in text
        assert "risk aversion" not in text
    # nor is one left that an earlier run wrote
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "policy.json").write_text("{}")
    assert [path.name for path in write_results(folder, report)] == list(FILES)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
