"""The whole path, on a small table and on the real e-mail test."""

import json
from pathlib import Path

import numpy as np
import pytest

import bayesuplift as bu
from bayesuplift.errors import ArgumentError, ArmNotFoundError, MissingFileError, UnreadableFileError
from bayesuplift.report.render import to_html, to_markdown
from bayesuplift.workflow import FILES, output_folder, write_results
from tests.support.analyses import ANALYSIS, COUNTS, written


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
    units = ANALYSIS.replace('trials = "n"\n', "").replace('kind = "binary"', 'kind = "revenue"')
    with pytest.raises(ArgumentError, match=r"'beta_binomial' is for binary outcomes; 'order' is revenue"):
        bu.analyze(written(tmp_path, analysis=units))


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
"""


@pytest.mark.real_data
def test_the_real_e_mail_test_from_its_rows(tmp_path: Path, real_data: Path) -> None:
    path = tmp_path / "emails.toml"
    path.write_text(REAL.format(path=real_data / "hillstrom.parquet"), encoding="utf-8")
    facts = bu.analyze(path).facts()
    assert [check["name"] for check in facts["checks"]] == ["sample_ratio", "missingness"]
    assert all(check["passed"] for check in facts["checks"])
    visit, conversion = facts["outcomes"]
    assert (visit["verdict"]["name"], visit["verdict"]["arm"]) == ("CHOOSE", "Mens E-Mail")
    # the publisher's figures, in percent (MineThatData 2008)
    published = {"No E-Mail": (10.617, 0.573), "Mens E-Mail": (18.276, 1.253), "Womens E-Mail": (15.140, 0.884)}
    for outcome, place in ((visit, 0), (conversion, 1)):
        for row in outcome["arms"]:
            assert round(100 * row["raw_mean"], 3) == pytest.approx(published[row["arm"]][place], abs=5e-4 + 1e-9)
