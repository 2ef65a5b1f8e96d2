from pathlib import Path

import pytest

from bayesuplift.analysis_file import read_analysis
from bayesuplift.errors import AnalysisError, ArgumentError, MissingFileError
from bayesuplift.priors import RatePrior
from tests.support.analyses import ANALYSIS, written


def test_a_file_is_read_with_its_defaults(tmp_path: Path) -> None:
    analysis = read_analysis(written(tmp_path))
    assert analysis.name == "offer"
    assert analysis.data_path == tmp_path / "counts.csv"
    assert analysis.data.segments == ("channel",)
    assert analysis.data.intended_split == {"control": 1.0, "offer": 1.0}
    assert analysis.model.seed == 7
    assert analysis.model.prior == RatePrior(1, 1)
    (outcome,) = analysis.outcomes
    assert (outcome.role, outcome.higher_is_better, outcome.rope) == ("primary", True, None)


def test_primary_outcomes_come_first(tmp_path: Path) -> None:
    guardrail = ANALYSIS.replace("[[outcome]]", '[[outcome]]\nrole = "guardrail"')
    second = '\n[[outcome]]\nname = "visit"\nkind = "binary"\nthreshold_of_caring = 0.01\n'
    analysis = read_analysis(written(tmp_path, analysis=guardrail + second))
    assert [one.name for one in analysis.outcomes] == ["visit", "order"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[model]", "[modle]", r"unknown section 'modle'.*Did you mean 'model'"),
        ("control =", "contorl =", r"\[data\]: unknown key 'contorl'.*Did you mean 'control'"),
        ('path = "counts.csv"\n', "", r"\[data\]: path missing"),
        ("threshold_of_caring = 0.001", "", r"\[\[outcome\]\] 1: threshold_of_caring missing"),
        (
            "threshold_of_caring = 0.001",
            'threshold_of_caring = "low"',
            r"threshold_of_caring = 'low'; expected a number",
        ),
        ("threshold_of_caring = 0.001", "threshold_of_caring = true", r"threshold_of_caring = True; expected a number"),
        ('kind = "binary"', 'kind = "binery"', r"kind = 'binery'.*Did you mean 'binary'"),
        ('kind = "binary"', 'kind = "count"', r"'order' is count.*counts already made"),
        ("seed = 7", "seed = -1", r"seed = -1; expected a whole number from 0"),
        ("seed = 7", "seed = 7\nprior = { alpha = 1e300, beta = 1 }", r"alpha = 1e\+300; give a number"),
        ('name = "order"', 'name = ""', r"name is empty"),
        ('trials = "n"', 'trials = "n"\nunit = "u"', r"with trials, a row holds counts"),
        ("seed = 7", "seed = 7.5", r"seed = 7.5; expected a whole number"),
        ("seed = 7", "prior = { alpha = 1 }", r"prior = \{'alpha': 1\}; expected"),
        ('segments = ["channel"]', 'segments = "channel"', r"segments = 'channel'; expected a list"),
        ("{ control = 1, offer = 1 }", "[1, 1]", r"intended_split: expected a table"),
        ("{ control = 1, offer = 1 }", "{ control = 1", "is not TOML"),
    ],
)
def test_what_is_not_an_analysis_is_refused_by_name(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in ANALYSIS
    with pytest.raises((AnalysisError, ArgumentError), match=told):
        read_analysis(written(tmp_path, analysis=ANALYSIS.replace(old, new)))


def test_a_file_without_data_or_outcome_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=r"\[data\] is missing"):
        read_analysis(written(tmp_path, analysis="[model]\nseed = 1\n"))
    with pytest.raises(AnalysisError, match=r"no \[\[outcome\]\]"):
        read_analysis(written(tmp_path, analysis=ANALYSIS[: ANALYSIS.index("[[outcome]]")]))


def test_two_outcomes_of_one_name_are_refused(tmp_path: Path) -> None:
    section = ANALYSIS[ANALYSIS.index("[[outcome]]") : ANALYSIS.index("[model]")]
    with pytest.raises(AnalysisError, match="two outcomes share a name: order, order"):
        read_analysis(written(tmp_path, analysis=ANALYSIS + section))


def test_a_prior_out_of_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="alpha = -1"):
        read_analysis(
            written(tmp_path, analysis=ANALYSIS.replace("seed = 7", "seed = 7\nprior = { alpha = -1, beta = 1 }"))
        )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"nowhere\.toml"):
        read_analysis(tmp_path / "nowhere.toml")
