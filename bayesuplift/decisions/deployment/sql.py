"""Names, texts and numbers as SQL has them, the same in every engine that follows the standard."""

import math
from collections.abc import Iterable, Sequence

from bayesuplift.errors import ArgumentError


def name_in_sql(name: str) -> str:
    """A column's name, quoted.

    >>> print(name_in_sql('the "best" arm'))
    "the ""best"" arm"

    Raises
    ------
    ArgumentError
        It is empty, or holds the character NUL.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise ArgumentError(f"{name!r} is no name that SQL can hold; rename the column or the table")
    return '"' + name.replace('"', '""') + '"'


def table_in_sql(table: str | Sequence[str]) -> str:
    """A table's name, quoted: "analytics.units" is the table units of the schema analytics, ("a.b",) the table a.b.

    >>> print(table_in_sql("analytics.units"), table_in_sql(("a.b",)))
    "analytics"."units" "a.b"

    Raises
    ------
    ArgumentError
        It is empty, or no name.
    """
    parts = table.split(".") if isinstance(table, str) else table
    if not isinstance(parts, Sequence) or not parts:
        raise ArgumentError("table names nothing; give the name of a table, such as 'analytics.units'")
    return ".".join(map(name_in_sql, parts))


def text_in_sql(text: str) -> str:
    """A text, quoted.

    >>> print(text_in_sql("it's"))
    'it''s'

    Raises
    ------
    ArgumentError
        It holds the character NUL.
    """
    if "\0" in text:
        raise ArgumentError(f"{text!r} holds the character NUL, which SQL cannot; rename the arm or level")
    return "'" + text.replace("'", "''") + "'"


def number_in_sql(value: float) -> str:
    """A number in double precision, to its last bit: with an exponent, since engines take 0.1 for a decimal.

    >>> number_in_sql(0.1), number_in_sql(1e-07), number_in_sql(3.0)
    ('0.1e0', '1e-07', '3.0e0')
    """
    assert math.isfinite(value), "no engine writes infinity as another does"
    written = repr(float(value))
    return written if "e" in written else f"{written}e0"


def is_one_of(column: str, texts: Iterable[str]) -> str:
    """Whether a column's value, as text, is one of some texts."""
    every = [text_in_sql(text) for text in texts]
    held = f"CAST({name_in_sql(column)} AS VARCHAR)"
    return f"{held} = {every[0]}" if len(every) == 1 else f"{held} IN ({', '.join(every)})"


def any_missing(columns: Iterable[str]) -> str | None:
    """Whether one of some columns is NULL; None where there are none."""
    return " OR ".join(f"{name_in_sql(column)} IS NULL" for column in columns) or None


def case(whens: Iterable[tuple[str, str]], otherwise: str, *, between: str = "\n") -> str:
    """A CASE expression, of conditions and what holds where the first of them is true.

    >>> case([("x > 0", "'a'")], "'b'", between=" ")
    "CASE WHEN x > 0 THEN 'a' ELSE 'b' END"
    """
    parts = [f"WHEN {condition} THEN {result}" for condition, result in whens]
    return between.join(["CASE", *parts, f"ELSE {otherwise}", "END"]) if parts else otherwise
