"""Analyses of units: models that see every unit with its covariates."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.errors import BayesupliftError, DataError
from bayesuplift.report.content import Report
from bayesuplift.report.render import to_html, to_markdown
from bayesuplift.workflow import check, write_results
from tests.support.over_units import over_units

FILE = """
[data]
path = "units.csv"
arm = "arm"
control = "none"
unit = "id"
segments = ["channel", "old"]
covariates = ["recency", "channel", "old"]
intended_split = {{ none = 1, men = 1, women = 1 }}
{data}
[[outcome]]
name = "spend"
kind = "continuous"
threshold_of_caring = 5.0
{outcome}
[[outcome]]
name = "visits"
column = "visit"
kind = "binary"
role = "secondary"
threshold_of_caring = 0.01

[model]
seed = 3
{model}
"""
HORSESHOE = 'model = "interaction_horseshoe"\nengine = "hmc"\nchains = 16\ndraws = 100\n'


def table() -> pd.DataFrame:
    """Men's e-mail is worth 4 to units of the channel Web and nothing to others, women's 1 to all."""
    rng = np.random.default_rng(8)
    arm = np.repeat(["none", "men", "women"], 200)
    channel, old = np.tile(["Web", "Phone"], 300), rng.integers(0, 2, 600)
    effect = np.where(arm == "men", 4.0 * (channel == "Web"), np.where(arm == "women", 1.0, 0.0))
    recency = rng.integers(1, 13, 600)
    spend = 10.0 + 0.3 * recency + effect + rng.normal(0.0, 1.0, 600)
    return pd.DataFrame(
        {
            "id": np.arange(600) + 1000,
            "arm": arm,
            "channel": channel,
            "old": old,
            "recency": recency,
            "spend": spend.round(3),
            "visit": rng.integers(0, 2, 600),
        }
    )


def written(
    folder: Path, frame: pd.DataFrame | None = None, *, outcome: str = HORSESHOE, data: str = "", model: str = ""
) -> Path:
    (table() if frame is None else frame).to_csv(folder / "units.csv", index=False)
    path = folder / "units.toml"
    path.write_text(FILE.format(outcome=outcome, data=data, model=model), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    folder = tmp_path_factory.mktemp("units")
    money = "\n[economics]\nvalue_per_outcome = { spend = 1.0 }\ncost_per_unit = { men = 2.0, women = 0.5 }\n"
    return folder, bu.analyze(written(folder, model=money))


def test_units_and_cells_are_decided_in_one_file(analysed: tuple[Path, Report]) -> None:
    spend, visits = analysed[1].outcomes
    assert (spend.posterior.attrs["model"], visits.posterior.attrs["model"]) == (
        "interaction_horseshoe",
        "beta_binomial",
    )
    assert spend.posterior["posterior/mean_outcome"].sizes == {"chain": 16, "draw": 100, "unit": 600, "arm": 3}
    assert [int(one) for one in spend.posterior["posterior/unit"].to_numpy()] == list(range(1000, 1600))
    assert spend.choice.verdict.name == "CHOOSE", spend.choice.verdict.sentence
    assert [check.name for check in analysed[1].checks] == ["sample_ratio", "missingness", "duplicates"]
    assert [check.name for check in visits.model_checks] == ["cell_rates", "spread_over_segments"]
    assert [check.name for check in spend.model_checks] == [
        *("means_by_prediction", "means_by_effect", "means_by_covariate"),
        *("spread_of_residuals", "shape_of_residuals", "largest_residuals"),
    ]
    assert all(check.passed for check in spend.model_checks), [check.sentence for check in spend.model_checks]


def test_effects_by_level_are_averages_of_the_units_and_stand_beside_raw_ones(analysed: tuple[Path, Report]) -> None:
    spend, frame = analysed[1].outcomes[0], table()
    (facts, _) = analysed[1].facts()["outcomes"]
    for factor in ("channel", "old"):
        expected = bu.summarize(bu.gate(spend.posterior, by=factor))
        (told,) = [one for one in facts["responders"]["factors"] if one["factor"] == factor]
        (segmentation,) = [one for one in facts["segmentations"] if one["factor"] == factor]
        for place, level in enumerate(told["levels"]):
            of_level = frame[frame[factor].astype(str) == level["levels"][0]]
            assert level["n"] == len(of_level)
            raw = of_level.groupby("arm")["spend"].mean()
            for row in level["effects"]:
                theirs = expected.isel(segment=place).sel(arm=row["arm"])
                assert row["difference"] == pytest.approx(float(theirs["mean"]), rel=1e-9)
                assert row["difference_lower"] == pytest.approx(float(theirs["lower"]), rel=1e-9)
                assert row["raw_difference"] == pytest.approx(raw[row["arm"]] - raw["none"], rel=1e-9)
                (same,) = [one for one in segmentation["levels"][place]["arms"] if one["arm"] == row["arm"]]
                assert same["difference"] == pytest.approx(row["difference"], rel=1e-9)
    web = next(one for one in facts["responders"]["factors"][0]["levels"] if one["levels"] == ["Web"])
    assert web["effects"][0]["difference"] == pytest.approx(4.0, abs=0.5)  # five standard errors of 100 units an arm
    assert facts["pooled"]


def test_the_report_says_for_whom_which_arm_is_best(analysed: tuple[Path, Report]) -> None:
    facts = analysed[1].facts()
    spend, visits = facts["outcomes"]
    assert visits["units"] is None
    best = {row["arm"]: row for row in spend["units"]["best"]}
    # men's is worth 4 - 2 on the Web and costs 2 elsewhere, women's 1 - 0.5 everywhere: half the units each
    assert best["men"]["likeliest"] == pytest.approx(0.5, abs=0.02)
    assert best["women"]["likeliest"] == pytest.approx(0.5, abs=0.02)
    rows = spend["units"]["covariates"]["rows"]
    assert (rows[0]["covariate"], rows[0]["arm"]) == ("channel=Web", "men")
    raw = table().groupby("arm")["spend"].mean()
    assert {row["arm"]: row["raw_mean"] for row in spend["arms"]} == pytest.approx(raw.to_dict(), rel=1e-9)
    for text in (to_markdown(facts), to_html(facts)):
        assert "Who responds" in text
        assert "Who responds, by level of each factor" in text
        assert "mean of units with like covariates is as the model predicts" in text
        assert "No predictive check" not in text
        assert "without pooling" not in text.split("visits (secondary)")[0]


def test_results_load_and_decide_again(analysed: tuple[Path, Report]) -> None:
    folder, report = analysed
    paths = write_results(folder / "out", report)
    again = bu.choose_arm(bu.load(paths[0], "spend"), threshold_of_caring=5.0)
    assert again.verdict.sentence == report.outcomes[0].choice.verdict.sentence
    assert bu.load(paths[0], "spend by channel")["posterior"].sizes["segment"] == 2
    assert json.loads(paths[1].read_text(encoding="utf-8")) == report.facts()


def test_data_are_checked_without_a_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> xr.DataTree:
        raise AssertionError

    monkeypatch.setattr("bayesuplift.workflow.fit", never)
    names = [one.name for one in check(written(tmp_path))]
    assert names == ["assignment", "sample_ratio", "missingness", "duplicates"]
    lopsided = table().iloc[:480]
    failed = [one.name for one in check(written(tmp_path, lopsided)) if not one.passed]
    assert failed == ["sample_ratio"]
    gappy = table().assign(recency=lambda frame: frame["recency"].where(frame["id"] != 1007))
    with pytest.raises(DataError, match="recency"):
        check(written(tmp_path, gappy))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"outcome": HORSESHOE, "swap": ('covariates = ["recency", "channel", "old"]\n', "")},
            r"\[data\] covariates =",
        ),
        (
            {"outcome": HORSESHOE, "swap": ('"continuous"', '"count"')},
            r"is count; model 'interaction_horseshoe' is for con",
        ),
        ({"outcome": 'model = "bayesian_causal_forest"\nengine = "nuts"'}, r"'bayesian_causal_forest' has gibbs"),
        ({"outcome": 'model = "interaction_horseshoe"\nengine = "gibbs"'}, r"'interaction_horseshoe' has hmc, nuts"),
        (
            {
                "outcome": HORSESHOE,
                "swap": (
                    'unit = "id"\nsegments = ["channel", "old"]\ncovariates = ["recency", "channel", "old"]',
                    'trials = "n"',
                ),
            },
            r"sees units one by one, and with \[data\] trials",
        ),
        ({"outcome": HORSESHOE + "prior = { slap = 1.0 }"}, r"HorseshoePrior has no 'slap'"),
        ({"outcome": HORSESHOE + 'covariate = "recency"'}, r"does not adjust for a covariate"),
    ],
)
def test_a_fit_that_does_not_exist_is_refused_before_the_data_are_read(
    tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    path = written(tmp_path, outcome=options["outcome"])
    old, new = options.get("swap", ("", ""))
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1) if old else text, encoding="utf-8")
    (tmp_path / "units.csv").unlink()
    for run in (bu.analyze, check):
        with pytest.raises(BayesupliftError, match=told):
            run(path)


def drawn(data: bu.Experiment) -> xr.DataTree:
    """A posterior as of a model of these units: draws about the means of the arms."""
    means = np.array([data.outcome[data.arm == place].mean() for place in range(len(data.design.arms))])
    draws = np.random.default_rng(2).normal(means, 0.1, (4, 100, len(data), len(means))).astype(np.float32)
    return over_units(
        draws, factors=data.segments, arms=data.design.arms, outcome=data.outcome_name, kind=data.kind, model="forest"
    )


def test_an_analysis_says_where_its_model_of_units_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws about the means of the arms: nothing of what differs by channel, which is where the report points."""

    def fit(_: str, data: bu.Experiment | bu.Cells, **options: Any) -> xr.DataTree:
        if isinstance(data, bu.Cells):
            return bu.fit("beta_binomial", data, **options)
        tree = drawn(data)
        tree["posterior/sd"] = xr.DataArray(np.full((4, 100), 2.0), dims=("chain", "draw"))
        return tree

    monkeypatch.setattr("bayesuplift.workflow.fit", fit)
    facts = bu.analyze(written(tmp_path)).facts()
    spend = facts["outcomes"][0]
    (by_covariate,) = [one for one in spend["model_checks"] if one["name"] == "means_by_covariate"]
    assert not by_covariate["passed"]
    assert "channel" in by_covariate["sentence"]
    assert "of such units the raw figures tell more" in spend["model_note"]
    for text in (to_markdown(facts), to_html(facts)):
        assert "NOT AS PREDICTED" in text


def test_what_the_file_says_of_units_reaches_their_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fit(model: str, data: bu.Cells | bu.Experiment, **options: Any) -> xr.DataTree:
        asked.append((model, data, options))
        return drawn(data) if isinstance(data, bu.Experiment) else bu.fit(model, data, **options)

    monkeypatch.setattr("bayesuplift.workflow.fit", fit)
    two = table()[lambda frame: frame["arm"] != "women"].assign(p=0.4)
    path = written(
        tmp_path,
        two,
        outcome='model = "bayesian_causal_forest"\ndraws = 20\n',
        data='propensity = "p"',
        model="chains = 2",
    )
    text = path.read_text(encoding="utf-8").replace(", women = 1", "")
    path.write_text(text.replace('"bayesian_causal_forest"', '"bayesian_causal_forest"\nengine = "gibbs"'), "utf-8")
    report = bu.analyze(path)
    (model, units, options), (other, cells, shared), *_ = asked
    assert (model, other) == ("bayesian_causal_forest", "beta_binomial")
    assert isinstance(units, bu.Experiment)
    assert units.propensity is not None
    assert set(units.propensity) == {0.4}
    assert list(units.covariates) == ["recency", "channel", "old"]
    # a model of its own takes neither engine nor length from the shared one
    assert {name: options[name] for name in ("engine", "chains", "draws")} == {
        "engine": "gibbs",
        "chains": None,
        "draws": 20,
    }
    assert isinstance(cells, bu.Cells)
    assert cells.has_propensity
    assert (shared["chains"], shared["draws"]) == (2, None)
    # one fit of the units serves everybody and every level
    assert [name for name, *_ in asked].count("bayesian_causal_forest") == 1
    assert [one.factor for one in report.outcomes[0].segmentations] == ["channel", "old"]
    assert report.outcomes[0].choice.weights is None


def test_without_factors_there_are_units_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bayesuplift.workflow.fit", lambda _, data, **__: drawn(data))
    path = written(tmp_path)
    text = path.read_text(encoding="utf-8").replace('segments = ["channel", "old"]\n', "")
    text = text[: text.index('[[outcome]]\nname = "visits"')] + "[model]\nseed = 3\n[checks]\npredictive = false\n"
    path.write_text(text, encoding="utf-8")
    report = bu.analyze(path)
    (outcome,) = report.facts()["outcomes"]
    assert outcome["model_checks"] == []
    assert outcome["model_note"].startswith("No predictive check of this model of units was made.")
    assert not any("predictive" in note for note in report.notes)
    assert outcome["responders"] is None
    assert outcome["segmentations"] == []
    assert outcome["units"]["units"] == 600
    assert outcome["arms"][0]["n"] == 200
    assert to_html(report.facts())


def test_too_many_segments_are_told_by_level_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bayesuplift.workflow.fit", lambda _, data, **__: drawn(data))
    monkeypatch.setattr("bayesuplift.workflow._MOST_SEGMENTS", 3)
    path = written(tmp_path)
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: text.index('[[outcome]]\nname = "visits"')] + "[model]\nseed = 3\n", encoding="utf-8")
    report = bu.analyze(path)
    (outcome,) = report.facts()["outcomes"]
    assert "4 segments are too many to be told one by one" in report.notes[0]
    # these draws are of no noise that the outcomes could be held against
    assert report.outcomes[0].model_checks == ()
    assert any("spend: predictive checks are left out: to be checked against units" in one for one in report.notes)
    assert outcome["responders"] is None
    channel = bu.gate(report.outcomes[0].posterior, by="channel").mean(("chain", "draw"))
    for place, level in enumerate(outcome["segmentations"][0]["levels"]):
        row = next(one for one in level["arms"] if one["arm"] == "men")
        assert row["difference"] == pytest.approx(float(channel.isel(segment=place).sel(arm="men")), rel=1e-9)
    assert to_html(report.facts())


def test_effects_are_explained_by_the_covariates_that_they_depend_on(analysed: tuple[Path, Report]) -> None:
    facts = analysed[1].facts()["outcomes"][0]["units"]["explanation"]
    assert [one["arm"] for one in facts] == ["men", "women"]
    leaves = sorted(facts[0]["tree"]["leaves"], key=lambda row: -row["difference"])
    assert "channel = Web" in leaves[0]["rule"]
    assert leaves[0]["difference"] == pytest.approx(4.0, abs=0.5)
    assert "channel" in facts[0]["subgroups"]["rows"][0]["rule"]
    assert facts[0]["curves"]["curves"][0]["covariate"] == "channel"


def test_summaries_that_there_cannot_be_are_left_out_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def alike(_: str, data: bu.Experiment | bu.Cells, **options: Any) -> xr.DataTree:
        if isinstance(data, bu.Cells):
            return bu.fit("beta_binomial", data, **options)
        draws = np.random.default_rng(2).normal([1.0, 2.0, 3.0], 0.1, (4, 100, 1, 3))
        values = np.repeat(draws, len(data), axis=2)  # one effect for all
        return over_units(values, factors=data.segments, arms=data.design.arms, outcome="spend", kind="continuous")

    monkeypatch.setattr("bayesuplift.workflow.fit", alike)
    report = bu.analyze(written(tmp_path))
    assert any(note.startswith("spend, tree of the effects of men are left out") for note in report.notes)
    assert report.outcomes[0].explanations == ()
