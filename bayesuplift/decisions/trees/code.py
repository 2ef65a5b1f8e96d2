"""A decision tree in other languages: a SQL expression, and the source of a Python function."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from bayesuplift.decisions.trees.questions import Branch, Leaf, Question, branches
from bayesuplift.errors import ArgumentError

_LARGEST: Final = "1.7976931348623157e+308"
_WHOLE_UP_TO: Final = 1e15  # within which every engine reads a whole number as it stands
_PYTHON_HEAD: Final = '''def arm(row):
    """Arm of a unit, from a mapping of its covariates; ValueError where one is missing."""

    def number(name):
        value = row[name]
        try:
            if isinstance(value, str) or value - value != 0:
                raise TypeError
            return float(value)
        except TypeError:
            raise ValueError(f"{name}: {value!r}; expected a finite number") from None

    def text(name):
        value = row[name]
        if not isinstance(value, str) or value == "":
            raise ValueError(f"{name}: {value!r}; expected text")
        return value
'''


def sql_of(root: Branch | Leaf) -> str:
    """A SQL expression: NULL where a covariate is missing."""
    if isinstance(root, Leaf):
        return _sql_text(root.arm)
    there = "\n  AND ".join(dict.fromkeys(_sql_there(branch.question) for branch in branches(root)))
    return "\n".join([f"CASE WHEN {there} THEN", *_sql_lines(root, "  "), "END"])


def _sql_lines(node: Branch | Leaf, indent: str) -> Iterator[str]:
    if isinstance(node, Leaf):
        yield f"{indent}{_sql_text(node.arm)}"
        return
    yield f"{indent}CASE WHEN {_sql_question(node.question)} THEN"
    yield from _sql_lines(node.yes, f"{indent}  ")
    yield f"{indent}ELSE"
    yield from _sql_lines(node.no, f"{indent}  ")
    yield f"{indent}END"


def _sql_there(question: Question) -> str:
    """Whether a covariate is known. NaN is above every number in some engines and beside all of them in others."""
    if question.level is not None:
        return f"{_sql_name(question.covariate)} <> ''"
    return f"{_sql_number(question.covariate)} BETWEEN -{_LARGEST} AND {_LARGEST}"


def _sql_question(question: Question) -> str:
    if question.below is None:
        assert question.level is not None
        return f"{_sql_name(question.covariate)} = {_sql_text(question.level)}"
    return f"{_sql_number(question.covariate)} < {_sql_threshold(question.below)}"


def _sql_number(name: str) -> str:
    return f"CAST({_sql_name(name)} AS DOUBLE PRECISION)"


def _sql_threshold(value: float) -> str:
    """A number to the last bit: 0.1 is a decimal number in SQL, and 1e-1 a double."""
    if value == int(value) and abs(value) < _WHOLE_UP_TO:
        return str(int(value))
    return f"CAST({Decimal(repr(value)).normalize():e} AS DOUBLE PRECISION)"


def _sql_name(name: str) -> str:
    return f'"{_without_zero(name).replace(chr(34), chr(34) * 2)}"'


def _sql_text(text: str) -> str:
    return f"'{_without_zero(text).replace(chr(39), chr(39) * 2)}'"


def _without_zero(text: str) -> str:
    if "\0" in text:
        raise ArgumentError(f"{text!r} holds a zero character, which SQL has no text for; rename it")
    return text


def python_of(root: Branch | Leaf) -> str:
    """Source of a function arm(row) that imports nothing."""
    asked = {branch.question.covariate: branch.question.level is not None for branch in branches(root)}
    variables = {name: f"x{i}" for i, name in enumerate(asked, start=1)}
    read = [f"    {variables[name]} = {'text' if is_text else 'number'}({name!r})" for name, is_text in asked.items()]
    return "\n".join([_PYTHON_HEAD, *read, *_python_lines(root, variables, "    "), ""])


def _python_lines(node: Branch | Leaf, variables: dict[str, str], indent: str) -> Iterator[str]:
    if isinstance(node, Leaf):
        yield f"{indent}return {node.arm!r}"
        return
    question = node.question
    asked = f"< {question.below!r}" if question.level is None else f"== {question.level!r}"
    yield f"{indent}if {variables[question.covariate]} {asked}:"
    yield from _python_lines(node.yes, variables, f"{indent}    ")
    yield from _python_lines(node.no, variables, indent)
