"""The design of an experiment: which arms there are and how units came to be in them."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import cast

from bayesuplift.data.labels import label_among, natural_order
from bayesuplift.dims import ASSIGNMENTS, Assignment
from bayesuplift.errors import ArgumentError, ArmNotFoundError, DataError, did_you_mean, is_finite_number, listed


@dataclass(frozen=True)
class Design:
    """Arms of an experiment and how units were assigned to them.

    Parameters
    ----------
    arms
        Labels of the arms, at least two, all different. Kept with the control first and the others in natural order.
    control
        The arm that the others are compared with.
    assignment
        "randomized" or "observational".
    intended_split
        Shares of units that the arms were meant to get, one for each of `arms` in the order given there, positive;
        kept normalised to 1 and in the order of the kept `arms`. None where nothing is known: then no sample-ratio
        check is claimed.

    Raises
    ------
    ArmNotFoundError
        The control is not among the arms.
    DataError
        There are fewer than two arms, or two with the same label.
    ArgumentError
        The assignment is not one of the two words, or the split does not fit the arms.
    """

    arms: tuple[str, ...]
    control: str
    assignment: Assignment = "randomized"
    intended_split: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Validate, and put the control first."""
        given = tuple(self.arms)
        if len(set(given)) != len(given):
            raise DataError(f"two arms have the same label: {listed(given)}. Give every arm its own.")
        if self.control not in given:
            raise _no_arm(self.control, given, "control")
        least = 2
        if len(given) < least:
            raise DataError(f"only one arm, '{given[0]}', is in the data; a comparison needs at least two.")
        if self.assignment not in ASSIGNMENTS:
            hint = did_you_mean(self.assignment, ASSIGNMENTS)
            raise ArgumentError(f"no assignment named '{self.assignment}'. Known: {listed(ASSIGNMENTS)}.{hint}")
        arms = (self.control, *natural_order(arm for arm in given if arm != self.control))
        if self.intended_split is not None:
            shares = _normalised(given, self.intended_split)
            object.__setattr__(self, "intended_split", tuple(shares[arm] for arm in arms))
        object.__setattr__(self, "arms", arms)

    @property
    def treatments(self) -> tuple[str, ...]:
        """The arms other than the control, in order."""
        return self.arms[1:]

    def index(self, arm: object) -> int:
        """Position of an arm in `arms`.

        Raises
        ------
        ArmNotFoundError
            There is no such arm.
        """
        text = label_among(arm, self.arms)
        if text not in self.arms:
            raise _no_arm(arm, self.arms)
        return self.arms.index(text)


def design_of(
    arms: Iterable[str],
    *,
    control: object,
    assignment: Assignment = "randomized",
    intended_split: Mapping[object, float] | None = None,
) -> Design:
    """Design from the labels found in the data and the words of the caller.

    Parameters
    ----------
    arms
        Labels of the arms, repeats allowed.
    control
        The control's value; its text is looked up among the labels.
    assignment
        "randomized" or "observational".
    intended_split
        Weight of each arm, e.g. ``{"control": 1, "offer": 2}``. A sequence is refused: its order could be misread.

    Raises
    ------
    ArmNotFoundError
        The control, or an arm of the split, is not in the data.
    ArgumentError
        The split is not a mapping, leaves an arm out, or has a weight that is not positive and finite.
    DataError
        There are fewer than two arms.
    """
    labels = natural_order(arms)
    split = None
    if intended_split is not None:
        if not isinstance(intended_split, Mapping):
            raise ArgumentError(
                f"intended_split is a {type(intended_split).__name__}; expected a mapping from arm to weight, such as "
                f"{dict.fromkeys(labels, 1)}."
            )
        weights: dict[str, float] = {}
        for arm, weight in intended_split.items():
            text = label_among(arm, labels)
            if text in weights:
                raise ArgumentError(f"intended_split names the arm '{text}' twice. Give every arm one weight.")
            weights[text] = weight
        for arm in weights:
            if arm not in labels:
                raise _no_arm(arm, labels, "intended_split")
        absent = [arm for arm in labels if arm not in weights]
        if absent:
            raise ArgumentError(f"intended_split leaves out {listed(absent)}. Give every arm a weight.")
        split = tuple(weights[arm] for arm in labels)
    return Design(arms=labels, control=label_among(control, labels), assignment=assignment, intended_split=split)


def _no_arm(arm: object, arms: Iterable[str], role: str = "") -> ArmNotFoundError:
    """Refusal that lists the arms there are."""
    arms = tuple(arms)
    of = f" ({role})" if role else ""
    return ArmNotFoundError(f"no arm named '{arm}'{of}. Arms: {listed(arms)}.{did_you_mean(arm, arms)}")


def _normalised(arms: tuple[str, ...], weights: tuple[float, ...]) -> dict[str, float]:
    """Weights of arms as shares that sum to one."""
    if len(weights) != len(arms):
        raise ArgumentError(f"intended_split has {len(weights)} weights; expected one for each of {listed(arms)}.")
    numbers = [_weight(arm, weight) for arm, weight in zip(arms, weights, strict=True)]
    try:
        whole = math.fsum(numbers)
    except OverflowError:
        whole = math.inf
    shares = {arm: number / whole for arm, number in zip(arms, numbers, strict=True)}
    if min(shares.values()) == 0:
        raise ArgumentError(
            f"intended_split has weights too large or too far apart to be shares: {listed(numbers)}. Give them as "
            f"shares of units, such as 0.5."
        )
    return shares


def _weight(arm: str, weight: object) -> float:
    """A weight as a float, whatever type of real number it came in."""
    if is_finite_number(weight) or (isinstance(weight, Decimal) and weight.is_finite()):
        number = float(cast("float", weight))
        if 0 < number < math.inf:
            return number
    raise ArgumentError(f"intended_split gives the arm '{arm}' the weight {weight!r}; expected more than 0.")
