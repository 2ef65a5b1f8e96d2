"""Arms by a decision tree, for rows: the arm of the leaf that a row's covariates lead to."""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from bayesuplift.decisions.deployment.levels import spellings
from bayesuplift.decisions.deployment.rows import Asked, Decided, Rows
from bayesuplift.decisions.deployment.sql import any_missing, case, is_one_of, name_in_sql, number_in_sql, text_in_sql
from bayesuplift.decisions.trees.decision_tree import DecisionTree
from bayesuplift.decisions.trees.questions import Branch, Leaf, Question, branches
from bayesuplift.errors import ArgumentError, listed

_LARGEST: Final = float(np.finfo(np.float64).max)


@dataclass(frozen=True)
class TreeArms:
    """The arm of a row's leaf.

    Levels are compared as text, as those of segments are: a tree that was made of segments asks for the level "1" where a
    table has the number 1. In a column of text that is the answer of the tree itself.

    Parameters
    ----------
    arms
        Labels, the control's included.
    control
        Label of the control.
    tree
        The tree.
    """

    arms: tuple[str, ...]
    control: str
    tree: DecisionTree

    kind: ClassVar[str] = "tree"

    def __post_init__(self) -> None:
        """Refuse a tree of other arms."""
        strangers = [arm for arm in self.tree.arms if arm not in self.arms]
        if strangers:
            raise ArgumentError(f"the tree gives the arms {listed(strangers)}; there are {listed(self.arms)}")

    def asked(self, unit: str | None) -> Asked:  # noqa: ARG002 -- nobody's arm depends on a name
        """What is asked of every unit."""
        asked = self.tree.asked
        numbers = {f"covariate {i}": name for i, name in enumerate(asked, start=1) if not asked[name]}
        return Asked(texts=tuple(name for name in asked if asked[name]), numbers=numbers)

    def decide(self, rows: Rows) -> Decided:
        """Position of each unit's arm.

        Raises
        ------
        DataError
            A text is empty.
        """
        if not len(rows):
            return Decided(np.empty(0, dtype=np.intp))
        if isinstance(self.tree.root, Leaf):
            return Decided(np.full(len(rows), self.arms.index(self.tree.root.arm)))
        texts = {}
        for name, values in rows.texts.items():
            meant = {text: level for level, every in self._spellings(name).items() for text in every}
            texts[name] = np.array([meant.get(value, value) for value in values], dtype=np.str_)
        found, place = np.unique(self.tree.arm_of({**rows.numbers, **texts}), return_inverse=True)
        return Decided(np.array([self.arms.index(str(one)) for one in found], dtype=np.intp)[place])

    def in_sql(self, unit: str | None) -> str:
        """A CASE expression: NULL where a covariate is, a number is not finite, or a text is empty."""
        asked = self.asked(unit)
        missing = any_missing(asked.columns)
        if missing is None:
            return self._nested(self.tree.root)
        within = f"BETWEEN {number_in_sql(-_LARGEST)} AND {number_in_sql(_LARGEST)}"
        refused = [missing, *(is_one_of(name, [""]) for name in asked.texts)]
        refused += [f"NOT ({_number(name)} {within})" for name in asked.numbers.values()]
        return case([(" OR ".join(refused), "NULL")], self._nested(self.tree.root))

    def _nested(self, node: Branch | Leaf) -> str:
        if isinstance(node, Leaf):
            return text_in_sql(node.arm)
        return case([(self._condition(node.question), self._nested(node.yes))], self._nested(node.no), between=" ")

    def _condition(self, question: Question) -> str:
        if question.level is not None:
            return is_one_of(question.covariate, self._spellings(question.covariate)[question.level])
        assert question.below is not None
        return f"{_number(question.covariate)} < {number_in_sql(question.below)}"

    def _spellings(self, covariate: str) -> dict[str, tuple[str, ...]]:
        """Every text that means each of the levels that are asked for."""
        asked = [branch.question for branch in branches(self.tree.root) if branch.question.covariate == covariate]
        return spellings(question.level for question in asked if question.level is not None)


def _number(column: str) -> str:
    return f"CAST({name_in_sql(column)} AS DOUBLE PRECISION)"
