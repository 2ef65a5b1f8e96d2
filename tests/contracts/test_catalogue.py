"""Every model has its folder of evidence, every folder its model, and the card says what the program does."""

import subprocess
import sys

import pytest

from bayesuplift.models import questions as models
from bayesuplift.spec import registered
from tests.support.catalogue import (
    CATALOGUE,
    NAMES,
    PROGRAMS,
    card,
    card_priors,
    program_priors,
    reference,
    tables,
)
from tests.support.worlds import example


def test_models_programs_and_folders_of_evidence_are_one_to_one() -> None:
    programs = {path.stem for path in PROGRAMS.glob("*.py")} - {"__init__"}
    folders = {path.name for path in CATALOGUE.iterdir() if path.is_dir() and not path.name.startswith(("_", "."))}
    assert programs == set(NAMES) == folders == set(models())


def test_the_public_list_of_models_is_there_before_and_after_the_programs_are_imported() -> None:
    script = "import bayesuplift as bu; bu.models(); bu.fit; print(*bu.models())"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.split() == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_holds_the_card_the_twin_and_the_reference(name: str) -> None:
    assert {"README.md", "twin.py", "reference.json"} <= {path.name for path in (CATALOGUE / name).iterdir()}


@pytest.mark.parametrize("name", NAMES)
def test_the_index_tells_of_every_model_what_its_program_tells(name: str) -> None:
    spec = registered()[name]
    index, *_ = tables((CATALOGUE / "README.md").read_text(encoding="utf-8"))
    (row,) = [one for one in index if one["model"] == f"[{name}]({name}/README.md)"]
    assert (row["question"], row["outcome"], row["data"]) == (spec.question, spec.outcome, spec.data)


def test_the_index_has_no_other_rows() -> None:
    index, *_ = tables((CATALOGUE / "README.md").read_text(encoding="utf-8"))
    assert len(index) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_card_asks_the_question_of_the_program(name: str) -> None:
    assert f"**Question.** {registered()[name].question}" in " ".join(card(name).split())


@pytest.mark.parametrize("name", NAMES)
def test_the_card_lists_the_latent_sites_with_their_priors(name: str) -> None:
    spec = registered()[name]
    assert card_priors(card(name)) == program_priors(spec, example(spec.outcome))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("| Beta(1, 1) |", "| Beta(2, 1) |"), ("| Beta(1, 1) |", "| Beta(1, 2) |"), ("| rate |", "| level |")],
)
def test_a_card_with_another_prior_or_site_is_caught(right: str, wrong: str) -> None:
    spec = registered()["beta_binomial"]
    text = card("beta_binomial")
    assert right in text
    assert card_priors(text.replace(right, wrong)) != program_priors(spec, example(spec.outcome))


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_names_its_data_seed_versions_and_every_latent_site(name: str) -> None:
    spec, found = registered()[name], reference(name)
    assert found["model"] == name
    assert found["prior"] == str(spec.default_prior)
    assert isinstance(found["seed"], int)
    assert {"python", "pymc", "pytensor", "numpy"} <= set(found["versions"])
    assert found["data"]["source"]
    assert set(found["sites"]) == set(program_priors(spec, example(spec.outcome)))


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_was_made_by_chains_that_converged(name: str) -> None:
    found = reference(name)
    assert found["sampler"]["divergences"] == 0
    for site in found["sites"].values():
        assert max(site["r_hat"]) < 1.001
        assert min(site["ess_bulk"] + site["ess_tail"]) > 10_000
