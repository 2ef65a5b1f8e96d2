"""The whole path, on a small table and on the real e-mail test."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.errors import (
    ArgumentError,
    ArmNotFoundError,
    BayesupliftError,
    MissingFileError,
    UnreadableFileError,
)
from bayesuplift.report.render import to_html, to_markdown
from bayesuplift.workflow import FILES, check, output_folder, write_results
from tests.support.analyses import ANALYSIS, COUNTS, written
from tests.support.factored import factored


def test_an_analysis_decides_as_the_functions_it_calls(tmp_path: Path) -> None:
    report = bu.analyze(written(tmp_path))
    (result,) = report.outcomes
    exact = bu.compare_proportions([190, 290], [2200, 2200])
    np.testing.assert_array_equal(result.choice.prob_best.values, exact["prob_best"].values)
    np.testing.assert_array_equal(result.choice.expected_loss.values, exact["expected_loss"].values)
    assert (result.choice.verdict.name, result.choice.verdict.arm) == ("CHOOSE", "offer")
    (by_channel,) = result.segmentations
    phone = bu.compare_proportions([100, 150], [1000, 1010])
    np.testing.assert_array_equal(
        by_channel.choice.prob_best.sel(segment="channel=Phone").values, phone["prob_best"].values
    )


def test_results_are_four_files_and_the_posteriors_load_by_name(tmp_path: Path) -> None:
    report = bu.analyze(written(tmp_path))
    paths = write_results(tmp_path / "out", report)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(FILES)
    posterior = bu.load(paths[0], "order")
    again = bu.choose_arm(posterior, threshold_of_caring=0.001)
    assert again.verdict.sentence == report.outcomes[0].choice.verdict.sentence
    assert bu.load(paths[0], "order by channel")["posterior"].sizes["segment"] == 2
    facts = json.loads(paths[1].read_text(encoding="utf-8"))
    assert facts == report.facts()


def test_the_same_seed_gives_the_same_draws_and_another_gives_others(tmp_path: Path) -> None:
    def draws(text: str) -> np.ndarray:
        report = bu.analyze(written(tmp_path, analysis=text))
        return np.asarray(report.outcomes[0].posterior["posterior/mean_outcome"].values)

    first, second, third = draws(ANALYSIS), draws(ANALYSIS), draws(ANALYSIS.replace("seed = 7", "seed = 8"))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)


def test_a_sample_ratio_mismatch_makes_every_verdict_invalid(tmp_path: Path) -> None:
    lopsided = ANALYSIS.replace("{ control = 1, offer = 1 }", "{ control = 2, offer = 1 }")
    report = bu.analyze(written(tmp_path, analysis=lopsided))
    verdict = report.outcomes[0].choice.verdict
    assert (verdict.name, verdict.arm) == ("INVALID", None)
    assert "Sample-ratio mismatch" in verdict.sentence


def test_segments_that_differ_fail_the_predictive_check_and_leave_the_verdict(tmp_path: Path) -> None:
    apart = COUNTS.replace("control,Web,1200,90", "control,Web,1200,300").replace(
        "offer,Web,1190,140", "offer,Web,1190,420"
    )
    result = bu.analyze(written(tmp_path, counts=apart)).outcomes[0]
    assert [check.passed for check in result.model_checks] == [False, False]
    assert result.choice.verdict.name == "CHOOSE"


def test_a_folder_never_holds_the_results_of_two_runs(tmp_path: Path) -> None:
    report = bu.analyze(written(tmp_path))
    folder = tmp_path / "out"
    write_results(folder, report)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "report.html").unlink()
    (folder / "report.html").mkdir()
    other = bu.analyze(written(tmp_path, analysis=ANALYSIS.replace("seed = 7", "seed = 8")))
    with pytest.raises(UnreadableFileError, match=r"report\.html: it is a folder"):
        write_results(folder, other)
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert all((folder / name).read_bytes() == before[name] for name in FILES if name != "report.html")


def test_where_a_check_failed_no_arm_is_named_in_any_verdict(tmp_path: Path) -> None:
    lopsided = ANALYSIS.replace("{ control = 1, offer = 1 }", "{ control = 2, offer = 1 }")
    report = bu.analyze(written(tmp_path, analysis=lopsided))
    (outcome,) = report.facts()["outcomes"]
    assert [(row["verdict"], row["best"]) for row in outcome["sensitivity"]["rows"]] == [("INVALID", "")] * 3
    assert "no decision may rest on them" in outcome["method"]
    for text in (to_markdown(report.facts()), to_html(report.facts())):
        assert "CHOOSE offer" not in text
        assert "The verdict is the same" not in text


@pytest.mark.parametrize(
    ("old", "new", "error", "told"),
    [
        ('control = "control"', 'control = "contol"', ArmNotFoundError, "Did you mean 'control'"),
        ('path = "counts.csv"', 'path = "cuonts.csv"', MissingFileError, "cuonts.csv"),
        ('column = "orders"', 'column = "n"', ArgumentError, "named as trials and as successes"),
    ],
)
def test_bad_data_are_refused_before_anything_is_written(
    tmp_path: Path, old: str, new: str, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        bu.analyze(written(tmp_path, analysis=ANALYSIS.replace(old, new)))


def test_an_outcome_that_no_model_describes_is_refused(tmp_path: Path) -> None:
    spend = ANALYSIS.replace('trials = "n"\n', "").replace('kind = "binary"', 'kind = "revenue"')
    with pytest.raises(ArgumentError, match=r"'beta_binomial' is for binary outcomes; 'order' is revenue"):
        bu.analyze(written(tmp_path, analysis=spend.replace("[model]", '[model]\nname = "beta_binomial"')))


def test_results_go_to_the_folder_named_or_to_the_name_of_the_analysis(tmp_path: Path) -> None:
    assert output_folder(written(tmp_path)) == Path("out/offer")
    assert output_folder(written(tmp_path, analysis=ANALYSIS + '\n[output]\nfolder = "here"\n')) == Path("here")


REAL = """
[data]
path = "{path}"
arm = "segment"
control = "No E-Mail"
segments = ["newbie", "channel"]
covariates = ["recency", "history"]
intended_split = {{ "No E-Mail" = 1, "Mens E-Mail" = 1, "Womens E-Mail" = 1 }}

[[outcome]]
name = "visit"
kind = "binary"
threshold_of_caring = 0.001

[[outcome]]
name = "conversion"
kind = "binary"
role = "secondary"
threshold_of_caring = 0.0002

[[outcome]]
name = "spend"
kind = "revenue"
role = "secondary"
threshold_of_caring = 0.05
"""


@pytest.mark.real_data
def test_the_real_e_mail_test_from_its_rows(tmp_path: Path, real_data: Path) -> None:
    path = tmp_path / "emails.toml"
    path.write_text(REAL.format(path=real_data / "hillstrom.parquet"), encoding="utf-8")
    facts = bu.analyze(path).facts()
    assert [check["name"] for check in facts["checks"]] == ["sample_ratio", "missingness"]
    assert all(check["passed"] for check in facts["checks"])
    visit, conversion, spend = facts["outcomes"]
    assert (visit["verdict"]["name"], visit["verdict"]["arm"]) == ("CHOOSE", "Mens E-Mail")
    # the publisher's figures, in percent (MineThatData 2008)
    published = {"No E-Mail": (10.617, 0.573), "Mens E-Mail": (18.276, 1.253), "Womens E-Mail": (15.140, 0.884)}
    for outcome, place in ((visit, 0), (conversion, 1)):
        for row in outcome["arms"]:
            assert round(100 * row["raw_mean"], 3) == pytest.approx(published[row["arm"]][place], abs=5e-4 + 1e-9)
    assert (spend["verdict"]["name"], spend["verdict"]["arm"]) == ("CHOOSE", "Mens E-Mail")
    # lifts in dollars a customer, published with the data; log-normal amounts move them by less than a tenth
    for row, lift in zip(spend["arms"], (None, 0.770, 0.424), strict=True):
        if lift is not None:
            assert row["raw_difference"] == pytest.approx(lift, abs=5e-4)
            assert row["difference"] == pytest.approx(lift, rel=0.1)
    assert {one["name"] for one in spend["model_checks"] if not one["passed"]} == {
        "buying_over_segments",
        "amount_quantiles",  # a spike at 29.99
    }


UNITS = """
[data]
path = "units.csv"
arm = "arm"
control = "a"
segments = ["place"]
{data}
[[outcome]]
name = "spend"
kind = "revenue"
threshold_of_caring = 0.5
{outcome}
[model]
seed = 3
"""


def units(folder: Path, frame: pd.DataFrame, *, outcome: str = "", data: str = "") -> Path:
    """Write rows and their analysis file; return the latter's path."""
    frame.to_csv(folder / "units.csv", index=False)
    path = folder / "units.toml"
    path.write_text(UNITS.format(outcome=outcome, data=data), encoding="utf-8")
    return path


def spenders() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    arm, place = np.repeat(["a", "b"], 300), np.tile(["x", "y", "z"], 200)
    spend = np.where(rng.random(600) < 0.4, np.exp(rng.normal(3.0, 0.5, 600)).round(2), 0.0)
    before, orders = rng.gamma(2.0, 10.0, 600), rng.poisson(1.5, 600)
    return pd.DataFrame(
        {"arm": arm, "place": place, "spend": spend, "before": before, "orders": orders, "days": rng.uniform(1, 3, 600)}
    )


@pytest.mark.parametrize(
    "more",
    [
        "",
        'model = "normal"',
        'model = "normal_adjusted"\ncovariate = "before"',
        "prior = { buying = { alpha = 2.0 }, amount = { scale = 0.5 } }",
    ],
)
def test_revenue_is_decided_checked_and_reported(tmp_path: Path, more: str) -> None:
    report = bu.analyze(units(tmp_path, spenders(), outcome=more))
    (outcome,) = report.facts()["outcomes"]
    assert outcome["verdict"]["name"] in {"CHOOSE", "CONTINUE"}
    assert len(outcome["sensitivity"]["rows"]) == 3
    assert outcome["model_checks"]
    assert ("amount_tail" in {check["name"] for check in outcome["checks"]}) == ("normal" not in more)
    assert len(write_results(tmp_path / "out", report)) == 4


@pytest.mark.parametrize("kind", ["count", "continuous"])
def test_counts_and_continuous_outcomes_take_their_kinds_model(tmp_path: Path, kind: str) -> None:
    path = units(tmp_path, spenders(), outcome='column = "orders"' + ('\nexposure = "days"' if kind == "count" else ""))
    path.write_text(path.read_text(encoding="utf-8").replace('"revenue"', f'"{kind}"'), encoding="utf-8")
    report = bu.analyze(path)
    (outcome,) = report.facts()["outcomes"]
    assert outcome["name"] == "spend"
    assert outcome["provenance"]["model"] == {"count": "negative_binomial", "continuous": "normal"}[kind]
    assert outcome["model_checks"]
    assert to_html(report.facts())
    assert to_markdown(report.facts())


def few(case: str) -> pd.DataFrame:
    """Revenue that leaves a segment, an arm or everything with little to learn from."""
    frame = spenders()
    of_segment, of_arm = frame["place"] == "z", frame["arm"] == "b"
    if case == "equal amounts":
        frame["spend"] = np.where(frame["spend"] > 0, 29.99, 0.0)
    elif case == "equal amounts in a segment":
        frame.loc[of_segment & (frame["spend"] > 0), "spend"] = 29.99
    elif case == "no buyer in a segment":
        frame.loc[of_segment, "spend"] = 0.0
    elif case == "one buyer in an arm":
        frame.loc[of_arm, "spend"] = 0.0
        frame.loc[frame.index[of_arm][0], "spend"] = 12.5
    elif case == "no buyer in an arm":
        frame.loc[of_arm, "spend"] = 0.0
    elif case == "no buyer":
        frame["spend"] = 0.0
    return frame


@pytest.mark.filterwarnings("ignore::bayesuplift.errors.DataWarning")
@pytest.mark.parametrize(
    "case",
    [
        "equal amounts",
        "equal amounts in a segment",
        "no buyer in a segment",
        "one buyer in an arm",
        "no buyer in an arm",
        "no buyer",
    ],
)
def test_few_buyers_are_decided_on_and_never_crash(tmp_path: Path, case: str) -> None:
    report = bu.analyze(units(tmp_path, few(case)))
    (outcome,) = report.facts()["outcomes"]
    assert all(np.isfinite(row["mean_outcome"]) and row["mean_outcome"] >= 0 for row in outcome["arms"])
    means = {row["arm"]: row["mean_outcome"] for row in outcome["arms"]}
    if case in {"one buyer in an arm", "no buyer in an arm"}:
        assert means["b"] < means["a"] / 5
    assert len(outcome["segmentations"]) == 1
    assert to_html(report.facts())


@pytest.mark.filterwarnings("ignore::bayesuplift.errors.DataWarning")
def test_segments_that_cannot_be_fitted_are_left_out_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stubborn(model: str, cells: bu.Cells, **options: Any) -> xr.DataTree:
        if cells.factors:
            raise ArgumentError("nothing to learn from")
        return bu.fit(model, cells, **options)

    monkeypatch.setattr("bayesuplift.workflow.fit", stubborn)
    report = bu.analyze(units(tmp_path, spenders()))
    assert report.outcomes[0].segmentations == ()
    assert report.notes == ("spend by place is left out: nothing to learn from",)


TERMS = ANALYSIS.replace('kind = "binary"', 'kind = "binary"\nmodel = "partial_pooling"')


def with_terms(model: str, cells: bu.Cells, **options: Any) -> xr.DataTree:
    """A posterior as of a model with a term for every factor: rates around the raw ones."""
    del options
    observed = cells.statistics
    assert "segment" in observed.dims, f"{model} is fitted to all factors at once"
    raw = (observed["total"] / observed["n"]).to_numpy()
    draws = np.random.default_rng(11).normal(raw, 0.005, (4, 250, *raw.shape))
    tree = factored(
        draws,
        factors={name: list(map(str, observed[name].to_numpy())) for name in cells.factors},
        arms=cells.design.arms,
        observed={str(name): values for name, values in observed.data_vars.items()},
        model=model,
        kind="binary",
        outcome=cells.outcome,
        pooled="segment",
    )
    posterior = tree["posterior"].to_dataset()
    tree["posterior"] = xr.DataTree(posterior.assign(effect_scale=("term", np.ones(len(cells.factors) + 1))))
    return tree


def test_a_posterior_with_a_term_for_every_factor_is_fitted_once_and_speaks_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = []

    def once(model: str, cells: bu.Cells, **options: Any) -> xr.DataTree:
        fitted.append(model)
        return with_terms(model, cells, **options)

    monkeypatch.setattr("bayesuplift.workflow.fit", once)
    (result,) = bu.analyze(written(tmp_path, analysis=TERMS)).outcomes
    assert fitted == ["partial_pooling_binary"]
    (by_channel,) = result.segmentations
    # the same draws, averaged: what is said of the levels and of everybody agrees to rounding
    for name in ("prob_best", "expected_loss", "difference"):
        np.testing.assert_allclose(by_channel.choice.overall[name], result.choice.overall[name], rtol=1e-12, atol=1e-15)
    assert by_channel.posterior.attrs["grouped_by"] == "channel"
    assert len(write_results(tmp_path / "out", bu.analyze(written(tmp_path, analysis=TERMS)))) == 4
    assert bu.load(tmp_path / "out" / "posterior.nc", "order by channel").attrs["pooled"] == "segment"


def test_pooled_conclusions_are_worded_as_pooled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bayesuplift.workflow.fit", with_terms)
    facts = bu.analyze(written(tmp_path, analysis=TERMS)).facts()
    for text in (to_markdown(facts), to_html(facts)):
        assert "Who responds" in text
        assert "are pooled" in text
        assert "without pooling" not in text


def test_economics_reach_the_report_of_their_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bayesuplift.workflow.fit", with_terms)
    money = "\n[economics]\nvalue_per_outcome = 4.0\ncost_per_unit = { offer = 0.1 }\n"
    (outcome,) = bu.analyze(written(tmp_path, analysis=TERMS + money)).facts()["outcomes"]
    assert outcome["responders"]["breakeven"] == {"offer": 0.025}
    assert outcome["responders"]["question"] == "P(effect > breakeven)"


def test_a_cost_of_an_arm_that_is_not_in_the_data_is_refused_before_anything_is_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> xr.DataTree:
        raise AssertionError

    monkeypatch.setattr("bayesuplift.workflow.fit", never)
    money = "\n[economics]\nvalue_per_outcome = 4.0\ncost_per_unit = { ofer = 0.1 }\n"
    unnamed = TERMS.replace("intended_split = { control = 1, offer = 1 }\n", "")
    for run in (bu.analyze, check):
        with pytest.raises(ArmNotFoundError, match="Did you mean 'offer'"):
            run(written(tmp_path, analysis=unnamed + money))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('model = "normal_adjusted"', "adjusts for a covariate; name its column"),
        ('model = "normall"', "Did you mean 'normal'"),
        ('engine = "closed_form"', "engine = 'closed_form'; model 'hurdle_lognormal' has direct, "),
        ("prior = { alpha = 1 }", "HurdlePrior has no 'alpha'"),
    ],
)
def test_a_fit_that_does_not_exist_is_refused_before_the_data_are_read(tmp_path: Path, more: str, told: str) -> None:
    path = units(tmp_path, spenders(), outcome=more)
    (tmp_path / "units.csv").unlink()
    for run in (bu.analyze, check):
        with pytest.raises(BayesupliftError, match=told):
            run(path)


def test_a_table_of_cells_gives_the_posterior_of_its_rows(tmp_path: Path) -> None:
    rows = spenders()
    from_rows = bu.analyze(units(tmp_path, rows)).outcomes[0]
    logs = np.log(rows["spend"].where(rows["spend"] > 0))
    grouped = rows.assign(logs=logs, bought=rows["spend"] > 0).groupby(["arm", "place"])
    cells = grouped.agg(
        n=("spend", "size"),
        spend=("spend", "sum"),
        buyers=("bought", "sum"),
        logs=("logs", "sum"),
        most=("spend", "max"),
    )
    cells["squares"] = grouped["spend"].apply(lambda y: ((y - y.mean()) ** 2).sum())
    cells["log_squares"] = grouped["logs"].apply(lambda y: ((y - y.mean()) ** 2).sum())
    named = (
        'statistics = { total = "spend", sum_squared_deviations = "squares", positives = "buyers", total_log = "logs", '
        'sum_squared_log_deviations = "log_squares", maximum = "most" }'
    )
    from_cells = bu.analyze(units(tmp_path, cells.reset_index(), outcome=named, data='trials = "n"')).outcomes[0]
    np.testing.assert_allclose(
        from_cells.choice.overall["mean_outcome"], from_rows.choice.overall["mean_outcome"], rtol=1e-9
    )
    # a table of cells has no quantiles, and all else is checked alike
    names = [check.name for check in from_rows.model_checks]
    assert [one.name for one in from_cells.model_checks] == [name for name in names if name != "amount_quantiles"]
