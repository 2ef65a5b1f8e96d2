from pathlib import Path
from typing import Any

import pytest

from bayesuplift.analysis_file import prior_of, read_analysis
from bayesuplift.analysis_sections import ModelSection
from bayesuplift.errors import AnalysisError, ArgumentError, MissingFileError
from bayesuplift.estimands.value import Economics
from bayesuplift.priors import HurdlePrior, LogAmountPrior, NormalPrior, RatePrior
from tests.support.analyses import ANALYSIS, written


def test_a_file_is_read_with_its_defaults(tmp_path: Path) -> None:
    analysis = read_analysis(written(tmp_path))
    assert analysis.name == "offer"
    assert analysis.data_path == tmp_path / "counts.csv"
    assert analysis.data.segments == ("channel",)
    assert analysis.data.intended_split == {"control": 1.0, "offer": 1.0}
    assert analysis.model.seed == 7
    assert analysis.model_of(analysis.outcomes[0]) == ModelSection(name="beta_binomial", seed=7)
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
        ('kind = "binary"', 'kind = "binary"\nexposure = "days"', r"exposure is given for a binary outcome"),
        (
            'kind = "binary"',
            'kind = "count"\nexposure = "days"',
            r"exposure is given for a count outcome; name its col",
        ),
        ('kind = "binary"', 'kind = "binary"\ncovariate = "before"', r"covariate is given for a binary outcome"),
        ('kind = "binary"', 'kind = "binary"\nstatistics = ["n"]', r"expected a table of statistic = column"),
        (
            'kind = "binary"',
            'kind = "binary"\nengine = "mcmc"',
            r"engine = 'mcmc'. Choices: closed_form, direct, gibbs, hmc, nuts",
        ),
        ("seed = 7", "seed = -1", r"seed = -1; expected a whole number from 0"),
        ('name = "order"', 'name = ""', r"name is empty"),
        ('trials = "n"', 'trials = "n"\nunit = "u"', r"with trials, a row holds statistics"),
        ('trials = "n"', 'trials = "n"\npropensity = "p"', r"propensity and covariates are columns of unit rows"),
        ("seed = 7", "seed = 7.5", r"seed = 7.5; expected a whole number"),
        ("seed = 7", "draws = 3", r"\[model\] draws = 3; expected a whole number from 4"),
        ("seed = 7", "chains = 0", r"\[model\] chains = 0; expected a whole number from 1"),
        ("seed = 7", "warmup = true", r"\[model\] warmup = True; expected a whole number"),
        ('kind = "binary"', 'kind = "binary"\ndraws = 2.5', r"draws = 2.5; expected a whole number"),
        ("seed = 7", "prior = 1", r"prior = 1; expected a table"),
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


def test_statistics_are_of_cells_made_elsewhere(tmp_path: Path) -> None:
    units = ANALYSIS.replace('trials = "n"\n', "").replace(
        'kind = "binary"', 'kind = "binary"\nstatistics = { sum_squared_deviations = "n" }'
    )
    with pytest.raises(AnalysisError, match=r"\[data\] trials then names the column of units"):
        read_analysis(written(tmp_path, analysis=units))


def test_every_kind_has_its_model_and_an_outcome_its_own_word(tmp_path: Path) -> None:
    rest = ANALYSIS[: ANALYSIS.index("[[outcome]]")].replace('trials = "n"\n', "")
    outcomes = "".join(
        f'[[outcome]]\nname = "{name}"\nkind = "{kind}"\nthreshold_of_caring = 1\n{more}'
        for name, kind, more in (
            ("a", "binary", ""),
            ("b", "continuous", ""),
            ("c", "count", 'exposure = "days"\n'),
            ("d", "revenue", "prior = { amount = { scale = 0.5 } }\n"),
            ("e", "revenue", 'model = "normal"\nengine = "nuts"\n'),
        )
    )
    analysis = read_analysis(written(tmp_path, analysis=rest + outcomes))
    found = [analysis.model_of(one) for one in analysis.outcomes]
    assert [one.name for one in found] == [
        "beta_binomial",
        "normal",
        "negative_binomial",
        "hurdle_lognormal",
        "normal",
    ]
    assert [one.prior for one in found] == [None, None, None, {"amount": {"scale": 0.5}}, None]
    assert [one.engine for one in found] == [None, None, None, None, "nuts"]
    shared = read_analysis(
        written(tmp_path, analysis=rest + outcomes + '[model]\nengine = "direct"\nprior = { scale = 1 }\n')
    )
    found = [shared.model_of(one) for one in shared.outcomes]
    # a prior belongs to a model: an outcome with a model of its own does not take the shared one's
    assert [one.prior for one in found] == [{"scale": 1}] * 3 + [{"amount": {"scale": 0.5}}, None]
    assert [one.engine for one in found] == ["direct"] * 4 + ["nuts"]


def test_the_length_of_a_run_is_the_outcomes_own_or_that_of_its_shared_model(tmp_path: Path) -> None:
    rest = ANALYSIS[: ANALYSIS.index("[[outcome]]")]
    outcomes = "".join(
        f'[[outcome]]\nname = "{name}"\nkind = "binary"\nthreshold_of_caring = 1\n{more}'
        for name, more in (
            ("a", ""),
            ("b", "draws = 50\n"),
            ("c", 'model = "exchangeable_rates"\n'),
            ("d", 'model = "exchangeable_rates"\nchains = 3\n'),
        )
    )
    shared = '[model]\nname = "beta_binomial"\nchains = 2\ndraws = 40\nwarmup = 30\n'
    analysis = read_analysis(written(tmp_path, analysis=rest + outcomes + shared))
    found = [tuple(analysis.model_of(one).length.values()) for one in analysis.outcomes]
    # a length belongs to a model, as its engine does
    assert found == [(2, 40, 30), (2, 50, 30), (None, None, None), (3, None, None)]
    assert tuple(read_analysis(written(tmp_path)).model.length) == ("chains", "draws", "warmup")


@pytest.mark.parametrize(
    "shared", ['name = "beta_binomial"', "draws = 300", 'engine = "direct"', "prior = { alpha = 2.0 }"]
)
def test_what_the_shared_model_says_to_nobody_is_refused(tmp_path: Path, shared: str) -> None:
    """Where every outcome names its own model a length beside the seed would be without effect, and the run another."""
    key = shared.split(maxsplit=1)[0]
    file = ANALYSIS.replace("seed = 7", f"seed = 7\n{shared}")
    assert read_analysis(written(tmp_path, analysis=file)).model.seed == 7
    with pytest.raises(AnalysisError, match=rf"\[model\] {key} = .* counts for no outcome: each has its own model"):
        read_analysis(written(tmp_path, analysis=file.replace("[[outcome]]", '[[outcome]]\nmodel = "beta_binomial"')))
    if key == "draws":
        with pytest.raises(AnalysisError, match=r"each has its own model, draws\. Say it under \[\[outcome\]\]"):
            read_analysis(written(tmp_path, analysis=file.replace("[[outcome]]", "[[outcome]]\ndraws = 200")))


def test_a_prior_is_made_from_its_table() -> None:
    assert prior_of(RatePrior, {"alpha": 2, "beta": 3.0}, "prior") == RatePrior(2, 3)
    assert prior_of(NormalPrior, {"location": 5}, "prior") == NormalPrior(location=5.0)
    assert prior_of(HurdlePrior, None, "prior") == HurdlePrior()
    nested = prior_of(HurdlePrior, {"buying": {"alpha": 2}, "amount": {"scale": 0.5}}, "prior")
    assert nested == HurdlePrior(RatePrior(2, 1), LogAmountPrior(scale=0.5))


@pytest.mark.parametrize(
    ("family", "table", "told"),
    [
        (RatePrior, {"alfa": 1}, r"RatePrior has no 'alfa'. Keys: alpha, beta. Did you mean 'alpha'"),
        (RatePrior, {"alpha": -1}, r"alpha = -1; give a number"),
        (RatePrior, {"alpha": 1e300}, r"alpha = 1e\+300; give a number"),
        (RatePrior, {"alpha": {"beta": 1}}, r"prior alpha = \{'beta': 1\}; expected a number"),
        (HurdlePrior, {"alpha": 1}, r"HurdlePrior has no 'alpha'. Keys: buying, amount"),
        (HurdlePrior, {"amount": 0.7}, r"prior amount = 0.7; expected a table of its numbers"),
        (HurdlePrior, {"amount": {"scla": 1}}, r"prior amount: LogAmountPrior has no 'scla'.*Did you mean 'scale'"),
        (HurdlePrior, {"amount": {"scale": 1.5}}, r"scale = 1.5; the mean amount is infinite"),
    ],
)
def test_what_is_no_prior_of_the_family_is_refused(family: type, table: dict[str, Any], told: str) -> None:
    with pytest.raises((AnalysisError, ArgumentError), match=told):
        prior_of(family, table, "prior")


MONEY = "\n[economics]\nvalue_per_outcome = { order = 4.0 }\ncost_per_unit = { offer = 0.1 }\n"
REFUND = '\n[[outcome]]\nname = "refund"\nkind = "binary"\nthreshold_of_caring = 0.01\nhigher_is_better = false\n'


def test_economics_are_of_the_outcomes_that_they_name(tmp_path: Path) -> None:
    analysis = read_analysis(written(tmp_path, analysis=ANALYSIS + REFUND + MONEY))
    found = {one.name: analysis.economics_of(one) for one in analysis.outcomes}
    assert found == {"order": Economics(4.0, {"offer": 0.1}), "refund": None}
    assert read_analysis(written(tmp_path)).economics_of(analysis.outcomes[0]) is None


def test_one_outcome_takes_one_number(tmp_path: Path) -> None:
    text = ANALYSIS + "\n[economics]\nvalue_per_outcome = 4\ncost_per_unit = 0.1\n"
    analysis = read_analysis(written(tmp_path, analysis=text))
    assert analysis.economics_of(analysis.outcomes[0]) == Economics(4.0, 0.1)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("order = 4.0", "ordr = 4.0", r"no outcome named 'ordr'. Outcomes: order, refund. Did you mean 'order'"),
        ("offer = 0.1", "ofer = 0.1", r"no arm named 'ofer'. Arms: control, offer. Did you mean 'offer'"),
        ("{ order = 4.0 }", "4.0", r"value_per_outcome = 4, and there are 2 outcomes"),
        ("{ order = 4.0 }", '"much"', r"value_per_outcome = 'much'; expected a table of outcome = money"),
        ("{ offer = 0.1 }", '{ offer = "dear" }', r"expected a table of arm = money, or a number"),
        ("order = 4.0", "order = 0", r"order: value_per_outcome = 0"),
        ("order = 4.0", "refund = 4.0", r"'refund' is 4, and its higher_is_better is false"),
        ("order = 4.0", "order = -4.0", r"'order' is -4, and its higher_is_better is true"),
        (
            "cost_per_unit",
            "cost_per_units",
            r"\[economics\]: unknown key .cost_per_units.*Did you mean 'cost_per_unit'",
        ),
        ("\ncost_per_unit = { offer = 0.1 }", "", r"\[economics\]: cost_per_unit missing"),
    ],
)
def test_money_for_what_there_is_not_is_refused_by_name(tmp_path: Path, old: str, new: str, told: str) -> None:
    text = ANALYSIS + REFUND + MONEY
    assert old in MONEY
    with pytest.raises(AnalysisError, match=told):
        read_analysis(written(tmp_path, analysis=text.replace(old, new)))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"nowhere\.toml"):
        read_analysis(tmp_path / "nowhere.toml")
