import dataclasses

import pytest

from bayesuplift.data.design import Design, design_of
from bayesuplift.errors import ArgumentError, ArmNotFoundError, DataError


def test_control_comes_first_and_the_others_in_order() -> None:
    design = Design(arms=("b", "c", "a"), control="c")
    assert design.arms == ("c", "a", "b")
    assert design.treatments == ("a", "b")
    assert design.index("b") == 2


def test_numbered_arms_are_in_numeric_order() -> None:
    assert design_of(["10", "2", "0"], control=0).arms == ("0", "2", "10")


def test_split_is_normalised_and_follows_its_arms() -> None:
    design = design_of(["a", "b", "c"], control="c", intended_split={"a": 1, "b": 2, "c": 5})
    assert design.intended_split == (0.625, 0.125, 0.25)
    assert dataclasses.replace(design, assignment="observational").intended_split == design.intended_split


def test_an_unknown_arm_is_told_with_the_arms_and_the_closest() -> None:
    design = Design(arms=("control", "offer"), control="control")
    with pytest.raises(ArmNotFoundError, match=r"no arm named 'ofer'\. Arms: control, offer\. Did you mean 'offer'\?"):
        design.index("ofer")


def test_an_unknown_control_is_refused() -> None:
    with pytest.raises(ArmNotFoundError, match=r"'contol' \(control\).*Did you mean 'control'\?"):
        design_of(["control", "offer"], control="contol")


def test_fewer_than_two_arms_are_refused() -> None:
    with pytest.raises(DataError, match="only one arm, 'control'"):
        design_of(["control"], control="control")


def test_two_arms_with_one_label_are_refused() -> None:
    with pytest.raises(DataError, match="same label"):
        Design(arms=("a", "a"), control="a")


def test_an_unknown_assignment_is_refused() -> None:
    with pytest.raises(ArgumentError, match="Did you mean 'randomized'"):
        Design(arms=("a", "b"), control="a", assignment="randomised")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("split", "error", "words"),
    [
        ({"a": 1, "x": 1}, ArmNotFoundError, r"'x' \(intended_split\)"),
        ({"a": 1}, ArgumentError, "leaves out b"),
        ({"a": 1, "b": 0}, ArgumentError, "'b' the weight 0"),
        ({"a": 1, "b": -1.0}, ArgumentError, "'b' the weight -1.0"),
        ({"a": 1, "b": float("nan")}, ArgumentError, "'b' the weight nan"),
        ({"a": 1, "b": "2"}, ArgumentError, "'b' the weight '2'"),
        ((0.5, 0.5), ArgumentError, "expected a mapping from arm to weight"),
    ],
)
def test_a_split_that_does_not_fit_is_refused(split: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        design_of(["a", "b"], control="a", intended_split=split)  # type: ignore[arg-type]


def test_a_split_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ArgumentError, match="1 weights; expected one for each of a, b"):
        Design(arms=("a", "b"), control="a", intended_split=(1.0,))
