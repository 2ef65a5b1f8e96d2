"""Plans: read, frozen, hashed, and refused where they do not fit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bayesuplift import EffectLaw, Plan
from bayesuplift.errors import MissingFileError, PlanError
from bayesuplift.monitor import plan_from
from bayesuplift.monitor.plan import canonical
from tests.support.monitored import SPEND, content, planned

TEXT = """
name = "button"
arms = ["A", "B", "C"]
control = "B"
split = { A = 1, B = 2, C = 3 }
start = 2026-01-05

[metric]
name = "conversion"
kind = "binary"
baseline = 0.05

[prior]
kind = "normal"
sd = 0.05

[looks]
number = 30
units = 4000

[rule]
promise = "anytime"
rope = 0.01

[[guardrail]]
name = "latency"
kind = "continuous"
baseline = 200
sd = 80.0
lower_is_better = true
margin = 0.02
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_plan_is_read_with_the_control_first(tmp_path: Path) -> None:
    plan = Plan.read(written(tmp_path, TEXT))
    assert plan.design.arms == ("B", "A", "C")
    np.testing.assert_allclose(plan.split, [2 / 6, 1 / 6, 3 / 6], rtol=1e-14)  # 15 digits
    assert plan.metric.sign == 1.0
    assert plan.guardrails[0].metric.sign == -1.0
    assert str(plan.start) == "2026-01-05"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"arms": ["A", "B", "C"], "split": {"A": 0.1, "B": 0.2, "C": 0.7}},
        {"metric": SPEND, "costs": {"value_per_outcome": 3, "cost_per_unit": {"B": 0.1}}},
        {"prior": {"kind": "mixture", "weights": [0.1, 0.2, 0.7], "means": [0, 0, 0.01], "sds": [0.01, 0.1, 0.02]}},
        {"prior": {"kind": "flat"}},
    ],
)
def test_a_stored_plan_comes_back_with_every_bit(changes: dict[str, Any]) -> None:
    plan = planned(**changes)
    again = plan_from(plan.as_facts())
    assert canonical(again.as_facts()) == canonical(plan.as_facts())
    assert again.hash == plan.hash
    assert again.split.tobytes() == plan.split.tobytes()
    assert again.breakeven.tobytes() == plan.breakeven.tobytes()


def test_the_hash_is_of_the_meaning() -> None:
    assert planned(looks={"days": 1}).hash == planned(looks={"days": 1.0}).hash == planned().hash
    assert planned(looks={"units": 4001}).hash != planned().hash


def test_a_learned_prior_is_taken_into_the_plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from bayesuplift.decisions import learned_prior  # noqa: PLC0415 -- patched where the reader looks it up
    from bayesuplift.posterior import storage  # noqa: PLC0415 -- the same

    taught = learned_prior.EffectPrior(
        mean=np.full(8, 0.01),
        scale=np.linspace(0.02, 0.04, 8),
        df=np.full(8, 30.0),
        effect_scale="log_odds",
        outcome="conversion",
        experiments=120,
        fingerprint="0",
    )
    monkeypatch.setattr(storage, "load", lambda *_: None)
    monkeypatch.setattr(learned_prior.EffectPrior, "learned_from", lambda _: taught)
    plan = plan_from(content(prior={"kind": "learned", "posterior": "past.nc"}), folder=tmp_path)
    assert plan.prior is not None
    np.testing.assert_allclose(plan.prior.weights @ plan.prior.means, 0.01, rtol=1e-6)
    assert "120 past experiments" in plan.prior_text
    assert plan_from(plan.as_facts()).hash == plan.hash
    with pytest.raises(PlanError, match="a count outcome is decided on 'log_ratio'"):
        plan_from(
            content(prior={"kind": "learned", "posterior": "past.nc"}, metric={"kind": "count", "sd": 1.0}),
            folder=tmp_path,
        )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"prior": None}, "plan: prior missing"),
        ({"priors": {}}, "unknown key 'priors'.*Did you mean 'prior'"),
        ({"prior": {"kind": "normal"}}, "sd missing, of a prior of kind 'normal'"),
        ({"prior": {"kind": "normal", "sd": -1}}, "sd = -1"),
        ({"prior": {"kind": "informed"}}, "state one of flat, normal"),
        ({"arms": ["A"]}, "only one arm"),
        ({"arms": ["A", "A", "B"]}, "an arm stands twice"),
        ({"arms": "AB"}, "expected a list of texts"),
        ({"control": "X"}, "no arm named 'X'"),
        ({"split": {"A": 1}}, "leaves out B"),
        ({"start": "soon"}, "expected a day"),
        ({"start": 5}, "expected a day"),
        ({"metric": {"kind": "ratio"}}, "Kinds: binary"),
        ({"metric": {"baseline": 0.0}}, "baseline = 0"),
        ({"metric": {"baseline": 1.5}}, "below 1"),
        ({"metric": {"baseline": float("nan")}}, "baseline = nan"),
        ({"metric": {"sd": 1.0}}, "which a binary outcome does not have"),
        ({"metric": {"kind": "continuous"}}, "sd is missing"),
        ({"metric": SPEND | {"sd": 3.0}}, "no more than 0.05 buyers"),
        ({"metric": SPEND | {"buyers": None}}, "buyers is missing"),
        ({"metric": {"lower_is_better": 1}}, "expected true or false"),
        ({"metric": {"nam": "x"}}, "unknown key 'nam'.*'name'"),
        ({"looks": {"number": 0}}, "number = 0"),
        ({"looks": {"units": 4000.0}}, "units = 4000.0; expected a whole number"),
        ({"rule": {"promise": "always"}}, "Promises: calibrated, anytime, decision"),
        ({"rule": {"alpha": 0.7}}, "alpha = 0.7"),
        ({"rule": {"experiments": 10}}, "experiments = 10"),
        ({"segments": ["n"]}, "the column n of a batch would have two meanings"),
        ({"guardrail": [{"name": "x", "kind": "binary", "baseline": 0.1}]}, "margin missing"),
        ({"attribution_days": -1}, "attribution_days = -1"),
        ({"costs": {"value_per_outcome": 1, "cost_per_unit": {"X": 1}}}, "costs: no arm named 'X'"),
        (
            {"costs": {"value_per_outcome": 1, "cost_per_unit": {"B": 1}}, "prior": {"kind": "flat"}},
            "with a flat prior they are not weighed",
        ),
        (
            {"costs": {"value_per_outcome": 1, "cost_per_unit": {"B": 1}}, "rule": {"promise": "anytime"}},
            "not that it is worth its cost",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_do(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(PlanError, match=told):
        planned(**changes)


def test_a_file_that_is_no_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no plan"):
        Plan.read(tmp_path / "none.toml")
    with pytest.raises(PlanError, match="is not TOML"):
        Plan.read(written(tmp_path, "name ="))
    with pytest.raises(PlanError, match="a plan is a table"):
        plan_from([])


def test_costs_are_a_relative_effect_to_be_reached() -> None:
    plan = planned(costs={"value_per_outcome": 4.0, "cost_per_unit": {"A": 0.01, "B": 0.03}})
    np.testing.assert_allclose(plan.breakeven, [0.0, 0.02 / (4.0 * 0.05)])
    assert isinstance(plan.prior, EffectLaw)
