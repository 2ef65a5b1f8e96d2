"""Every model has its folder of evidence, every folder its model, and the card says what the program does."""

import subprocess
import sys

import numpy as np
import pytest

from bayesuplift.models import questions as models
from bayesuplift.spec import registered
from tests.support.catalogue import (
    CATALOGUE,
    EVERY,
    NAMES,
    PROGRAMS,
    agrees,
    card,
    card_priors,
    program_priors,
    reference,
    resolved_prior,
)
from tests.support.index import index_text


def test_models_programs_and_folders_of_evidence_are_one_to_one() -> None:
    programs = {path.stem for path in PROGRAMS.glob("*.py")} - {"__init__"}
    folders = {path.name for path in CATALOGUE.iterdir() if path.is_dir() and not path.name.startswith(("_", "."))}
    assert programs == set(EVERY) == folders == set(models())


def test_the_public_list_of_models_is_there_before_and_after_the_programs_are_imported() -> None:
    script = "import bayesuplift as bu; bu.models(); bu.fit; print(*bu.models())"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.split() == list(EVERY)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_holds_the_card_the_twin_and_the_reference(name: str) -> None:
    assert {"README.md", "twin.py", "reference.json"} <= {path.name for path in (CATALOGUE / name).iterdir()}


def test_the_index_is_the_one_that_is_generated() -> None:
    assert (CATALOGUE / "README.md").read_text(encoding="utf-8") == index_text()


@pytest.mark.parametrize("name", EVERY)
def test_the_card_asks_the_question_of_the_program(name: str) -> None:
    assert f"**Question.** {registered()[name].question}" in " ".join(card(name).split())


def differing(name: str, text: str) -> list[str]:
    """Sites of which a card and its program tell different things."""
    told, programmed = card_priors(text), program_priors(name)
    both = set(told) & set(programmed)
    return sorted(set(told) ^ set(programmed)) + [site for site in both if not agrees(told[site], programmed[site])]


@pytest.mark.parametrize("name", NAMES)
def test_the_card_lists_the_latent_sites_with_their_priors(name: str) -> None:
    assert differing(name, card(name)) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_card_with_another_family_or_site_is_caught(name: str) -> None:
    text = card(name)
    for site, prior in card_priors(text).items():
        assert differing(name, text.replace(f"| {prior} |", "| Cauchy(0, 1) |"))
        assert set(differing(name, text.replace(f"| {site} | {prior}", f"| other | {prior}"))) == {"other", site}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("| Beta(1, 1) |", "| Beta(2, 1) |"), ("| Beta(1, 1) |", "| Beta(1, 2) |"), ("| rate |", "| level |")],
)
def test_a_card_with_another_prior_or_site_is_caught(right: str, wrong: str) -> None:
    text = card("beta_binomial")
    assert right in text
    assert differing("beta_binomial", text.replace(right, wrong))


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_names_its_data_seed_versions_and_every_latent_site(name: str) -> None:
    found = reference(name)
    assert found["model"] == name
    assert found["prior"] == str(resolved_prior(name))
    assert isinstance(found["seed"], int)
    assert {"python", "pymc", "pytensor", "numpy"} <= set(found["versions"])
    assert found["data"]["source"]
    assert set(found["sites"]) == {*program_priors(name), "mean_outcome"}


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_was_made_by_chains_that_converged(name: str) -> None:
    found = reference(name)
    assert found["sampler"]["divergences"] == 0
    for site in found["sites"].values():
        assert np.max(site["r_hat"]) < 1.001
        assert min(np.min(site["ess_bulk"]), np.min(site["ess_tail"])) > 10_000
