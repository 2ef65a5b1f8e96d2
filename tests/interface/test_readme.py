"""What the README shows is what happens."""

import re
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from click.testing import CliRunner

import bayesuplift as bu
from bayesuplift.analysis_file import read_analysis
from bayesuplift.cli import main

# A forest of a few trees and short chains: its example is here to be run. Trees, chains and units are as many as in
# tests/unit/models/test_forest_refusals.py, and columns too, so that one compiled program serves both.
UNITS = 240
SHORT = {
    "prior": bu.ForestPrior(
        prognostic=bu.ForestShape(trees=10, depth=4, base=0.95, power=2.0),
        effect=bu.ForestShape(trees=5, depth=3, base=0.25, power=3.0),
    ),
    "chains": 2,
    "draws": 100,
    "warmup": 100,
}
README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def quickly(fit: Callable[..., xr.DataTree]) -> Callable[..., xr.DataTree]:
    """The same fits, without draws under other priors, and with a short run of forests."""

    def fitted(model: str, data: object, **options: object) -> xr.DataTree:
        short = SHORT if model == "bayesian_causal_forest" else {}
        return fit(model, data, **{"sensitivity": False, **short, **options})

    return fitted


def test_the_python_examples_run_and_choose_the_mens_e_mail(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(20080320)
    before = rng.gamma(4.0, 10.0, UNITS)
    arm = rng.permutation(np.repeat(["A", "B"], UNITS // 2))
    spend = np.maximum(before + rng.normal(10.0 + (arm == "B"), 5.0), 0.0)
    errors = rng.uniform(0.01, 0.03, 60)
    past = pd.DataFrame({"log_lift": rng.normal(rng.normal(0.0, 0.02, 60), errors), "error": errors})
    monkeypatch.chdir(tmp_path)
    past.to_csv("past.csv", index=False)
    target = {"merchandise": "womens", "newbie": "1", "channel": ["Web", "App"], "zip_area": "Urban", "n": [80.0, 20.0]}
    pd.DataFrame(target).to_csv("target.csv", index=False)
    known = {"recency": rng.integers(1, 13, UNITS), "history": before, "channel": rng.choice(["Phone", "Web"], UNITS)}
    score = rng.normal(3.0 * (arm == "B") * (known["recency"] < 5), 1.0)
    pd.DataFrame(known).assign(customer=np.arange(UNITS)).head(50).to_csv("new_customers.csv", index=False)
    frame = pd.DataFrame({"arm": arm, "spend": spend, "spend_before": before, "score": score, **known})
    names: dict[str, object] = {"frame": frame}
    monkeypatch.setattr(bu, "fit", quickly(bu.fit))
    examples = blocks("python")
    assert len(examples) == 9
    _, plan = blocks("toml")
    Path("plan.toml").write_text(plan.replace("alpha = 0.05", "alpha = 0.05\nexperiments = 1000"), encoding="utf-8")
    for example in examples:
        exec(compile(example, "README.md", "exec"), names)  # noqa: S102 -- our own README
    printed = capsys.readouterr().out
    assert printed.startswith("Choose Mens E-Mail on visit")
    assert "recency" in printed  # the rule of the effects' tree
    assert "Deciding now, everybody gets Mens E-Mail." in printed
    assert "CONTINUE Go on. B leads with P(best) = " in printed
    policy = names["policy"]
    assert isinstance(policy, bu.Policy)
    assert 0.0 < policy.number_treated <= 32_000.0
    both = pd.DataFrame(target).assign(merchandise="both")
    assert set(bu.load_policy("policy.json").arm_of(both)) == {"Mens E-Mail"}
    choice = names["choice"]
    assert isinstance(choice, bu.Choice)
    assert "60 past experiments" in str(choice.sensitivity["description"].sel(prior="stated").item())


def test_the_analysis_file_shown_is_one(tmp_path: Path) -> None:
    shown, _ = blocks("toml")
    (tmp_path / "emails.toml").write_text(shown, encoding="utf-8")
    assert read_analysis(tmp_path / "emails.toml").outcomes[0].name == "visit"
    uncommented = re.sub(r"^# (?!trials)(\w+ = )", r"\1", shown, flags=re.MULTILINE)
    (tmp_path / "all.toml").write_text(uncommented, encoding="utf-8")
    analysis = read_analysis(tmp_path / "all.toml")
    assert (analysis.model.engine, analysis.data.unit) == ("nuts", "customer")


def test_the_plan_shown_is_one(tmp_path: Path) -> None:
    _, shown = blocks("toml")
    (tmp_path / "plan.toml").write_text(shown, encoding="utf-8")
    plan = bu.Plan.read(tmp_path / "plan.toml")
    assert (plan.rule.promise, plan.guardrails[0].metric.name) == ("calibrated", "unsubscribed")
    uncommented = re.sub(r"^# (\[?\w+\]?( = |$))", r"\1", shown, flags=re.MULTILINE)
    (tmp_path / "all.toml").write_text(
        re.sub(r"^# (\[costs\])", r"\1", uncommented, flags=re.MULTILINE), encoding="utf-8"
    )
    every = bu.Plan.read(tmp_path / "all.toml")
    assert every.costs is not None
    assert (every.metric.sign, every.rule.rope, every.attribution_days) == (-1.0, 0.01, 7)


def test_the_commands_shown_exist() -> None:
    listed = {line.split()[1] for line in README.splitlines() if line.startswith("bayesuplift ")}
    assert listed == set(main.commands)
    of_running_tests = main.commands["monitor"]
    assert isinstance(of_running_tests, click.Group)
    shown = {line.split()[3] for line in README.splitlines() if line.startswith("$ bayesuplift monitor ")}
    assert shown == set(of_running_tests.commands)


def test_the_demo_names_the_mens_e_mail_on_visits(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["demo", "--output", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "visit (primary): CHOOSE Mens E-Mail" in done.output
    assert "conversion (secondary): CHOOSE Mens E-Mail" in done.output
    assert "spend (secondary): CHOOSE Mens E-Mail" in done.output


def test_a_verdict_at_every_look_claims_winners_far_too_often() -> None:
    """The README's warning: 14 daily looks, 2,000 units an arm a day, both arms at 5%, P(best) > .95 under a flat prior."""
    days, experiments = 14, 1000
    daily = np.random.default_rng(20150601).binomial(2000, 0.05, size=(experiments, days, 2))
    successes = daily.cumsum(axis=1)
    trials = np.broadcast_to(2000 * np.arange(1, days + 1)[:, None], successes.shape)
    best = bu.compare_proportions(successes, trials, prob=None)["prob_best"].max("arm").to_numpy()
    claimed = (best > 0.95).any(axis=1).mean()
    at_the_end = (best[:, -1] > 0.95).mean()
    # an independent simulation of the same rule found 38%, and one look has the nominal 10% (either arm may be claimed)
    assert claimed == pytest.approx(0.38, abs=4 * np.sqrt(0.38 * 0.62 / experiments))
    assert at_the_end == pytest.approx(0.10, abs=4 * np.sqrt(0.10 * 0.90 / experiments))
