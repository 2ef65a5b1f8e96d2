"""CHOOSE, EQUIVALENT, CONTINUE, INVALID: each reached by data made for it, each with its sentence."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.data.checks import Check
from tests.support.worlds import binary_cells, foreign, normal_draws, seed_of

ONE_LOOK = "This holds for one planned look at the data; a test that is looked at repeatedly needs a monitor"
ARMS = ["control", "letter", "voucher"]
CLEAR = binary_cells([5000, 5000, 5000], [500, 510, 700], arms=ARMS)
ALIKE = binary_cells([200_000, 200_000, 200_000], [20_000, 20_010, 20_020], arms=ARMS)
OPEN = binary_cells([300, 300, 300], [30, 33, 36], arms=ARMS)


def verdict(cells: Any, threshold: float = 0.001, **options: Any) -> Any:
    return bu.choose_arm(bu.fit("beta_binomial", cells, seed=1), threshold_of_caring=threshold, **options).verdict


def test_an_arm_that_is_clearly_best_is_chosen() -> None:
    found = verdict(CLEAR, rope=0.005)
    assert (found.name, found.arm) == ("CHOOSE", "voucher")
    assert found.sentence.startswith("Choose voucher on visit: it is the best arm with probability > 99.99%")
    assert "(0.1 pp)" in found.sentence
    assert ONE_LOOK in found.sentence


def test_arms_that_are_practically_the_same_are_equivalent() -> None:
    found = verdict(ALIKE, rope=0.005)
    assert (found.name, found.arm) == ("EQUIVALENT", None)
    assert found.sentence.startswith("Any arm will do on visit: with probability ")
    assert "every arm lies within 0.5 pp of the best" in found.sentence
    assert ONE_LOOK in found.sentence


def test_equivalence_goes_before_the_threshold_and_needs_a_rope() -> None:
    assert verdict(ALIKE, threshold=0.1, rope=0.005).name == "EQUIVALENT"
    assert verdict(ALIKE, threshold=0.1).name == "CHOOSE"


def test_data_that_do_not_decide_say_continue_and_name_the_leader() -> None:
    found = verdict(OPEN, rope=0.001)
    assert (found.name, found.arm) == ("CONTINUE", None)
    assert found.sentence.startswith("The data do not decide on visit yet: voucher leads, best with probability ")
    assert "is above the threshold of caring (0.1 pp)" in found.sentence
    assert ONE_LOOK in found.sentence


def test_the_threshold_of_caring_is_what_decides() -> None:
    tree = bu.fit("beta_binomial", OPEN, seed=1)
    loss = float(bu.choose_arm(tree, threshold_of_caring=0.0).expected_loss.min())
    assert bu.choose_arm(tree, threshold_of_caring=loss * (1 + 1e-12)).verdict.name == "CHOOSE"
    assert bu.choose_arm(tree, threshold_of_caring=loss * (1 - 1e-12)).verdict.name == "CONTINUE"


def names_no_arm(found: Any) -> bool:
    return found.name == "INVALID" and found.arm is None and "Choose" not in found.sentence


def test_a_sample_ratio_mismatch_is_invalid() -> None:
    split = dict.fromkeys(ARMS, 1.0)
    cells = binary_cells([5000, 5000, 5600], [500, 510, 800], arms=ARMS, intended_split=split)
    found = verdict(cells, rope=0.5)
    assert names_no_arm(found)
    assert "because a check failed. Sample-ratio mismatch" in found.sentence
    fine = binary_cells([5000, 5010, 4990], [500, 510, 700], arms=ARMS, intended_split=split)
    assert verdict(fine).name == "CHOOSE"


def test_a_mismatch_hidden_in_segments_is_seen_in_their_sum() -> None:
    units = [[500, 560], [500, 560], [500, 560], [500, 560]]
    cells = binary_cells(units, np.array(units) // 10, intended_split={"a": 1, "b": 1})
    assert names_no_arm(verdict(cells))


def test_observational_data_are_invalid() -> None:
    cells = binary_cells([5000, 5000], [500, 700], assignment="observational")
    found = verdict(cells)
    assert names_no_arm(found)
    assert "not assigned to arms at random" in found.sentence


def test_chains_that_do_not_agree_are_invalid() -> None:
    draws = normal_draws([1.0, 2.0], 0.1, seed=seed_of("invalid chains"))
    draws[0] += 0.5
    found = bu.choose_arm(foreign(draws), threshold_of_caring=0.1).verdict
    assert names_no_arm(found)
    assert "Largest R-hat" in found.sentence


def test_divergences_are_invalid() -> None:
    tree = foreign(normal_draws([1.0, 2.0], 0.1, seed=seed_of("diverging")))
    diverging = np.zeros((4, 1000), dtype=bool)
    diverging[2, 5] = True
    tree["sample_stats"] = xr.DataTree(xr.Dataset({"diverging": (("chain", "draw"), diverging)}))
    found = bu.choose_arm(tree, threshold_of_caring=0.1).verdict
    assert names_no_arm(found)
    assert "1 divergent transitions of 4000" in found.sentence


def test_a_check_handed_in_that_failed_is_invalid_with_its_sentence_and_without_a_word_on_priors() -> None:
    failed = Check(name="duplicates", passed=False, facts={}, sentence="12 rows repeat a unit.")
    found = verdict(CLEAR, checks=[failed], rope=0.5)
    assert names_no_arm(found)
    assert found.sentence == "No verdict on visit, because a check failed. 12 rows repeat a unit."


def test_every_failed_check_is_told() -> None:
    cells = binary_cells([5000, 5600], [500, 700], assignment="observational", intended_split={"a": 1, "b": 1})
    found = verdict(cells)
    assert "at random" in found.sentence
    assert "Sample-ratio mismatch" in found.sentence


def test_plain_draws_made_elsewhere_are_decided_on_by_the_same_rules() -> None:
    tree = foreign(normal_draws([10.0, 12.0], 0.2, seed=seed_of("foreign")), arms=["old", "new"])
    choice = bu.choose_arm(tree, threshold_of_caring=0.05, rope=0.5)
    assert (choice.verdict.name, choice.verdict.arm) == ("CHOOSE", "new")
    assert choice.verdict.sentence.startswith("Choose new on the outcome: ")
    assert "(0.05)" in choice.verdict.sentence
    assert " pp" not in choice.verdict.sentence
    assert choice.sensitivity["prior"].values.tolist() == ["stated"]
    assert "carries no alternative priors" in choice.sensitivity.attrs["left_out"]
    assert "Prior sensitivity is incomplete" in choice.verdict.sentence


def test_a_sentence_from_draws_claims_no_more_than_the_draws_say() -> None:
    tree = foreign(normal_draws([0.1, 0.2], 0.001, seed=seed_of("all agree"), draws=250), kind="binary")
    sentence = bu.choose_arm(tree, threshold_of_caring=0.01).verdict.sentence
    assert "> 99%" in sentence


@pytest.mark.parametrize("threshold", [0.0001, 0.01])
def test_arms_that_tie_have_one_verdict(threshold: float) -> None:
    found = verdict(binary_cells([1000, 1000], [100, 100]), threshold)
    assert found.name in {"CHOOSE", "CONTINUE"}
    assert (found.name == "CHOOSE") == (threshold == 0.01)
