"""A tree that says which arm a unit gets, from its covariates: asked in Python, printed, stored, or written as SQL."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.decisions.trees.code import python_of, sql_of
from bayesuplift.decisions.trees.nodes import Node, Take
from bayesuplift.decisions.trees.questions import Branch, Leaf, Question, branches, figure, told, ways, words_of
from bayesuplift.decisions.trees.split_columns import SplitColumn, column_named, numbers_in, rows_in, texts_in
from bayesuplift.errors import ArgumentError, is_finite_number
from bayesuplift.estimands.rules import between

_FORMAT: Final = "bayesuplift decision tree 1"


@dataclass(frozen=True)
class Rule:
    """A leaf in words: the units that come to it, the arm that they get, and how many they were."""

    words: str
    arm: str
    units: float | None


@dataclass(frozen=True)
class DecisionTree:
    """Which arm a unit gets.

    Every covariate that the tree asks anywhere has to be known of every unit: where one is missing, a number is infinite or
    text empty, `arm_of` refuses, SQL answers NULL and the Python function raises ValueError. On all other units the three
    agree.

    Parameters
    ----------
    root
        The first question, or the only leaf.

    Raises
    ------
    ArgumentError
        One covariate is asked for a number and for text.

    Examples
    --------
    >>> tree = DecisionTree(Branch(Question("age", below=40.0), Leaf("call", 120), Leaf("control", 280)))
    >>> print(tree)
    age < 40: call, 120 units (30%)
    age ≥ 40: control, 280 units (70%)
    >>> tree.arm_of({"age": np.array([39.5, 40.0])})
    array(['call', 'control'], dtype='<U7')
    """

    root: Branch | Leaf

    def __post_init__(self) -> None:
        """Validate once."""
        for branch in branches(self.root):
            if self.asked[branch.question.covariate] != (branch.question.level is not None):
                raise ArgumentError(
                    f"'{branch.question.covariate}' is asked for a number and for text; it can be one of them"
                )

    @property
    def asked(self) -> dict[str, bool]:
        """Covariates that the tree asks, and whether each is text."""
        found: dict[str, bool] = {}
        for branch in branches(self.root):
            found.setdefault(branch.question.covariate, branch.question.level is not None)
        return found

    @property
    def arms(self) -> tuple[str, ...]:
        """Arms that some units get, in the order of the leaves."""
        return tuple(dict.fromkeys(rule.arm for rule in self.rules()))

    def arm_of(self, columns: Mapping[str, NDArray[np.generic]]) -> NDArray[np.str_]:
        """Arm of each unit (unit,), from columns of the covariates that the tree asks; other columns are ignored.

        Raises
        ------
        ColumnNotFoundError
            A covariate is not there.
        DataError
            A covariate misses a value, or holds text where numbers were or the other way about; it names the rows.
        ArgumentError
            Columns of several lengths, or none.
        """
        count = rows_in({name: columns[name] for name in self.asked if name in columns} or columns)
        values = {
            name: (texts_in if is_text else numbers_in)(name, column_named(name, columns))
            for name, is_text in self.asked.items()
        }
        found = np.empty(count, dtype=np.array(self.arms).dtype)
        waiting = [(self.root, np.arange(count))]
        while waiting:
            node, units = waiting.pop()
            if isinstance(node, Leaf):
                found[units] = node.arm
                continue
            yes = node.question.yes(values[node.question.covariate][units])
            waiting += [(node.yes, units[yes]), (node.no, units[~yes])]
        return found

    def rules(self) -> tuple[Rule, ...]:
        """The leaves in words, in the order in which the tree is printed."""
        return tuple(Rule(words_of(answers), leaf.arm, leaf.units) for answers, leaf in ways(self.root, ()))

    def __str__(self) -> str:
        units = [rule.units for rule in self.rules()]
        every = None if None in units else sum(one for one in units if one is not None)
        if isinstance(self.root, Leaf):
            return f"every unit: {figure(self.root, every)}"
        return "\n".join(told(self.root, every, ""))

    def to_json(self) -> str:
        """The tree as JSON text, with thresholds to the last bit."""
        return json.dumps({"format": _FORMAT, "root": _plain(self.root)}, ensure_ascii=False, allow_nan=False, indent=2)

    @classmethod
    def from_json(cls, text: str) -> "DecisionTree":
        """Read what `to_json` wrote.

        Raises
        ------
        ArgumentError
            It is not that.
        """
        try:
            given = json.loads(text)
        except ValueError as error:
            raise ArgumentError(f"not JSON: {error}; give what DecisionTree.to_json wrote") from error
        if not isinstance(given, dict) or given.get("format") != _FORMAT:
            raise ArgumentError(
                f"not a decision tree; expected JSON with the format '{_FORMAT}', as DecisionTree.to_json"
            )
        return cls(_node(given.get("root")))

    def sql(self) -> str:
        """The tree as one SQL expression, of standard SQL: names in double quotes, and no escapes within text.

        Numbers are compared as DOUBLE PRECISION, as in Python. Columns of text have to be text. Put it into a query as a
        column, and mind that a driver may read a % as a placeholder.

        Raises
        ------
        ArgumentError
            A name or a level holds a zero character, which SQL has no text for.
        """
        return sql_of(self.root)

    def python(self) -> str:
        """The tree as source of a function arm(row), of a mapping of covariates, that imports nothing."""
        return python_of(self.root)


def decision_tree(found: Node, columns: Sequence[SplitColumn], arms: Sequence[str]) -> DecisionTree:
    """A tree over columns, as questions to covariates.

    Parameters
    ----------
    found
        Root of what a search found.
    columns
        What each column of the search stands for.
    arms
        Label of each action.
    """
    return DecisionTree(_asked(found, columns, arms))


def _asked(node: Node, columns: Sequence[SplitColumn], arms: Sequence[str]) -> Branch | Leaf:
    if isinstance(node, Take):
        return Leaf(str(arms[node.action]), node.units)
    left, right = (_asked(side, columns, arms) for side in (node.left, node.right))
    column = columns[node.column]
    if column.level is None:
        return Branch(Question(column.covariate, below=between(node.low, node.high)), left, right)
    return Branch(Question(column.covariate, level=column.level), right, left)  # a level is 1 in its column


def _plain(node: Branch | Leaf) -> dict[str, Any]:
    if isinstance(node, Leaf):
        return {"arm": node.arm} | ({} if node.units is None else {"units": node.units})
    asked = {"below": node.question.below} if node.question.level is None else {"level": node.question.level}
    return {"covariate": node.question.covariate, **asked, "yes": _plain(node.yes), "no": _plain(node.no)}


def _node(given: object) -> Branch | Leaf:
    """A node of what `_plain` made."""
    if not isinstance(given, dict):
        raise ArgumentError(f"a node of the tree is {given!r}; expected an object")
    if isinstance(given.get("arm"), str) and (given.get("units") is None or is_finite_number(given["units"])):
        return Leaf(given["arm"], given.get("units"))
    covariate, level = given.get("covariate"), given.get("level")
    if not isinstance(covariate, str) or not (level is None or isinstance(level, str)):
        raise ArgumentError(
            f"a node of the tree has {sorted(given)}; expected an arm, or a covariate with below or level"
        )
    return Branch(Question(covariate, given.get("below"), level), _node(given.get("yes")), _node(given.get("no")))
