"""Questions to a unit about its covariates, and the tree that they and the arms at their ends make."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesuplift.errors import ArgumentError, is_finite_number
from bayesuplift.estimands.rules import Interval


@dataclass(frozen=True)
class Question:
    """A question to a unit: whether a number is below a threshold, or text of a level.

    Parameters
    ----------
    covariate
        The covariate that is asked for.
    below
        The threshold t of x < t, finite.
    level
        The level; any other, also one that was never seen, answers no.

    Raises
    ------
    ArgumentError
        Neither or both are given, or the threshold is not finite.
    """

    covariate: str
    below: float | None = None
    level: str | None = None

    def __post_init__(self) -> None:
        """Validate once."""
        if (self.below is None) == (self.level is None):
            raise ArgumentError(
                f"a question to '{self.covariate}' needs a threshold (below) or a level, and one of them"
            )
        if self.below is not None:
            if not is_finite_number(self.below):
                raise ArgumentError(f"below = {self.below!r}; give a finite threshold of '{self.covariate}'")
            object.__setattr__(self, "below", float(self.below))

    def yes(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether each unit answers yes (unit,), from its number or text."""
        return np.asarray(values < self.below if self.level is None else values == self.level)

    def words(self, *, answer: bool) -> str:
        """What a unit with this answer is.

        >>> Question("age", below=40.0).words(answer=False), Question("channel", level="Web").words(answer=False)
        ('age ≥ 40', 'channel ≠ Web')
        """
        if self.below is None:
            return f"{self.covariate} {'=' if answer else '≠'} {self.level}"
        return (Interval(high=self.below) if answer else Interval(low=self.below)).words(self.covariate)


@dataclass(frozen=True)
class Leaf:
    """Where no more is asked.

    Parameters
    ----------
    arm
        What units here get.
    units
        How many came here when the tree was made, if that is known.
    """

    arm: str
    units: float | None = None


@dataclass(frozen=True)
class Branch:
    """A question, and where its answers lead."""

    question: Question
    yes: "Branch | Leaf"
    no: "Branch | Leaf"


def branches(node: Branch | Leaf) -> Iterator[Branch]:
    """All questions, from above and the left."""
    if isinstance(node, Branch):
        yield node
        yield from branches(node.yes)
        yield from branches(node.no)


Answers = tuple[tuple[Question, bool], ...]


def ways(node: Branch | Leaf, answers: Answers) -> Iterator[tuple[Answers, Leaf]]:
    """Leaves, with the answers that lead to each."""
    if isinstance(node, Leaf):
        yield answers, node
        return
    yield from ways(node.yes, (*answers, (node.question, True)))
    yield from ways(node.no, (*answers, (node.question, False)))


def words_of(answers: Answers) -> str:
    """All answers in words, those to one covariate together."""
    told = []
    for name in dict.fromkeys(question.covariate for question, _ in answers):
        mine = [(question, answer) for question, answer in answers if question.covariate == name]
        low = max((one.below for one, yes in mine if one.below is not None and not yes), default=-math.inf)
        high = min((one.below for one, yes in mine if one.below is not None and yes), default=math.inf)
        is_level = [one.level for one, yes in mine if one.level is not None and yes]
        no_level = [one.level for one, yes in mine if one.level is not None and not yes]
        if is_level:
            told.append(f"{name} = {is_level[0]}")
        elif no_level:
            told.append(f"{name} ≠ {no_level[0]}" if len(no_level) == 1 else f"{name} not in {{{', '.join(no_level)}}}")
        else:
            told.append(Interval(low, high).words(name))
    return " and ".join(told) or "every unit"


def told(branch: Branch, every: float | None, indent: str) -> Iterator[str]:
    """Lines of a printed tree."""
    for answer, below in ((True, branch.yes), (False, branch.no)):
        words = f"{indent}{branch.question.words(answer=answer)}"
        if isinstance(below, Leaf):
            yield f"{words}: {figure(below, every)}"
        else:
            yield words
            yield from told(below, every, f"{indent}    ")


def figure(leaf: Leaf, every: float | None) -> str:
    """What a printed leaf says; `every` is the units of all leaves."""
    if leaf.units is None:
        return leaf.arm
    share = f" ({leaf.units / every:.0%})" if every else ""
    return f"{leaf.arm}, {leaf.units:,.0f} units{share}"
