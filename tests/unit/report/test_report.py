"""The three renderings say what the facts say, and the page needs nothing but itself."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.errors import ArgumentError, UnreadableFileError
from bayesuplift.report.content import Report
from bayesuplift.report.render import to_html, to_json, to_markdown
from tests.support.analyses import COUNTS, written


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return bu.analyze(written(tmp_path_factory.mktemp("report")))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The same counts, decided on from draws."""
    cells = bu.read_counts(
        written(tmp_path_factory.mktemp("drawn")).with_name("counts.csv"),
        arm="arm",
        control="control",
        trials="n",
        successes="orders",
        segments=["channel"],
    )
    posterior = bu.fit("beta_binomial", cells, seed=3)
    return Report.of(posterior, bu.choose_arm(posterior, threshold_of_caring=0.001))


def test_facts_hold_the_raw_figures_beside_the_posterior(report: Report) -> None:
    (outcome,) = report.facts()["outcomes"]
    control, offer = outcome["arms"]
    assert (control["n"], control["total"], control["is_control"]) == (2200, 190, True)
    assert offer["raw_mean"] == 290 / 2200
    assert offer["raw_relative_lift"] == pytest.approx(290 / 190 - 1, rel=1e-14)
    assert offer["mean_outcome"] == pytest.approx(291 / 2202, rel=1e-14)  # Beta(1, 1)
    assert outcome["exact"]
    assert "no Monte Carlo error" in outcome["method"]


def test_facts_survive_json_unchanged(report: Report, drawn: Report) -> None:
    for one in (report, drawn):
        facts = one.facts()
        assert json.loads(to_json(facts)) == facts


def test_figures_from_draws_are_shown_with_their_monte_carlo_error(drawn: Report) -> None:
    (outcome,) = drawn.facts()["outcomes"]
    assert not outcome["exact"]
    offer = outcome["arms"][1]
    assert "±" in offer["shown"]["mean_outcome"]
    assert offer["mean_outcome_mcse"] > 0
    assert "Monte Carlo standard error" in outcome["method"]


def test_markdown_opens_with_the_verdict(report: Report) -> None:
    text = to_markdown(report.facts())
    sentence = report.outcomes[0].choice.verdict.sentence
    assert text.index(sentence) < text.index("## Checks of the data") < text.index("## order")
    for part in ("| offer |", "By channel", "Priors and what they change", "data_fingerprint", "Beta(1, 1)"):
        assert part in text


def test_every_row_of_a_markdown_table_has_the_cells_of_its_head(report: Report) -> None:
    columns = 0
    for line in to_markdown(report.facts()).splitlines():
        if not line.startswith("|"):
            columns = 0
            continue
        found = line.count("|")
        columns = columns or found
        assert found == columns, line


def test_the_page_is_one_file_that_loads_nothing(report: Report) -> None:
    page = to_html(report.facts())
    program = page[page.index("<script>") : page.index("</script>")]
    rest = page.replace(program, "")
    assert not re.search(r"<(script|img|iframe)[^>]+src=|<link\b|@import|url\(", rest)
    assert page.index(report.outcomes[0].choice.verdict.sentence[:40]) < page.index("<h2")
    assert rest.count("Plotly.newPlot") == 5  # four figures and one factor
    assert '<meta name="viewport"' in page
    assert "@media print" in page


def test_labels_cannot_inject_markup_into_the_page(tmp_path: Path) -> None:
    hostile = COUNTS.replace("offer", "<script>alert(1)</script>")
    text = (written(tmp_path).read_text(encoding="utf-8")).replace("intended_split = { control = 1, offer = 1 }\n", "")
    page = to_html(bu.analyze(written(tmp_path, analysis=text, counts=hostile)).facts())
    assert "<script>alert(1)</script>" not in page


def test_labels_cannot_break_a_markdown_table(tmp_path: Path) -> None:
    odd = COUNTS.replace("offer", "of|fer <b>")
    text = written(tmp_path).read_text(encoding="utf-8").replace("intended_split = { control = 1, offer = 1 }\n", "")
    lines = to_markdown(bu.analyze(written(tmp_path, analysis=text, counts=odd)).facts()).splitlines()
    rows = [line.replace("\\|", "") for line in lines if line.startswith("| of")]
    assert rows
    assert all("<b>" not in row for row in rows)
    assert {row.count("|") for row in rows[:1]} == {11}


def test_the_interval_is_named_by_the_mass_that_was_asked_for(report: Report) -> None:
    tree = report.outcomes[0].posterior
    choice = bu.choose_arm(tree, threshold_of_caring=0.001, prob=0.975)
    (outcome,) = Report.of(tree, choice).facts()["outcomes"]
    assert outcome["interval"] == "97.5%"
    assert outcome["options"]["prob"] == 0.975


def test_known_means_are_reported_without_a_density() -> None:
    draws = xr.DataArray(
        np.full((2, 500, 2), 3.0), dims=("chain", "draw", "arm"), coords={"arm": ["old", "new"]}, name="mean_outcome"
    )
    tree = xr.DataTree.from_dict({"posterior": draws.to_dataset()})
    tree.attrs["control"] = "old"
    facts = Report.of(tree, bu.choose_arm(tree, threshold_of_caring=0.01)).facts()
    assert facts["outcomes"][0]["density"]["arms"] == {}
    assert to_json(facts)
    assert to_html(facts)


def test_a_foreign_posterior_of_plain_draws_is_reported() -> None:
    generator = np.random.default_rng(4)
    draws = xr.DataArray(
        generator.normal([10.0, 10.5], 0.1, size=(4, 500, 2)),
        dims=("chain", "draw", "arm"),
        coords={"arm": ["old", "new"]},
        name="mean_outcome",
    )
    tree = xr.DataTree.from_dict({"posterior": draws.to_dataset()})
    tree.attrs["control"] = "old"
    facts = Report.of(tree, bu.choose_arm(tree, threshold_of_caring=0.01)).facts()
    (outcome,) = facts["outcomes"]
    assert (outcome["verdict"]["name"], outcome["verdict"]["arm"]) == ("CHOOSE", "new")
    assert outcome["arms"][0]["shown"]["n"] == outcome["arms"][0]["shown"]["raw_mean"] == "\N{EN DASH}"
    assert "no alternative priors" in outcome["sensitivity"]["left_out"]
    assert to_html(facts)
    assert to_markdown(facts)


def test_an_unknown_ending_is_refused_and_a_report_is_written_whole(report: Report, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"report\.pdf; end it with \.html, \.md, \.json"):
        bu.write_report(tmp_path / "report.pdf", report)
    bu.write_report(tmp_path / "deep" / "report.md", report)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["report.md"]
    (tmp_path / "file").write_text("")
    with pytest.raises(UnreadableFileError, match="cannot write"):
        bu.write_report(tmp_path / "file" / "report.md", report)
