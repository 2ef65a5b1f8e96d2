"""Labels of arms and of segment levels: text that every engine agrees on."""

import datetime as dt
import math
from collections.abc import Collection, Iterable, Mapping
from typing import Literal

import numpy as np

from bayesuplift.errors import ArgumentError


def is_missing(value: object) -> bool:
    """Whether a group key is null, NaN, or text with nothing in it."""
    if isinstance(value, str):
        return not value.strip()
    import pandas as pd  # noqa: PLC0415 -- running experiments have labels, and loading it is a third of a look

    return bool(pd.isna(value))  # type: ignore[call-overload]


def label(value: object) -> str:
    """Text of a key, the same whichever engine handed it over.

    A date comes back from one engine as a date and from another as a timestamp at midnight, a whole number from one
    as an integer and from another as a NumPy scalar.

    >>> label(1), label(dt.datetime(2008, 3, 20)), label(0.5)
    ('1', '2008-03-20', '0.5')
    """
    if isinstance(value, np.datetime64):
        import pandas as pd  # noqa: PLC0415 -- as above

        value = pd.Timestamp(value)
    if isinstance(value, dt.datetime) and value.time() == dt.time(0) and value.tzinfo is None:
        return value.date().isoformat()
    return str(value.item() if isinstance(value, np.generic) else value)


def label_among(value: object, labels: Collection[str]) -> str:
    """Label of a value that a caller gives, as it stands in the data: a file writes True as true or TRUE.

    >>> label_among(True, ["false", "true"]), label_among("b", ["a"])
    ('true', 'b')
    """
    text = label(value)
    if text in labels or not isinstance(value, bool | np.bool_):
        return text
    alike = [candidate for candidate in labels if candidate.lower() == text.lower()]
    return alike[0] if len(alike) == 1 else text


def _number(text: str) -> float | None:
    """The finite number that a label spells, or None: asking float() is the only complete test."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def natural_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Distinct labels in order: by number where every one of them is a number, else by alphabet.

    >>> natural_order(["10", "9", "10"]), natural_order(["b", "10", "a"])
    (('9', '10'), ('10', 'a', 'b'))
    """
    distinct = set(labels)
    numbers = {text: _number(text) for text in distinct}
    if any(value is None for value in numbers.values()):
        return tuple(sorted(distinct))
    return tuple(sorted(distinct, key=lambda text: (numbers[text], text)))


def kind_of_labels(labels: Iterable[str]) -> Literal["numbers", "dates"] | None:
    """What labels spell where all of them spell it: numbers, or dates written as ISO 8601 has them; else None.

    >>> kind_of_labels(["10", "9.5"]), kind_of_labels(["2008-03-20"]), kind_of_labels(["10", "a"])
    ('numbers', 'dates', None)
    """
    distinct = list(labels)
    if all(_number(text) is not None for text in distinct):
        return "numbers"
    return "dates" if all(_is_date(text) for text in distinct) else None


def _is_date(text: str) -> bool:
    try:
        dt.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def segment_label(levels: Mapping[str, str]) -> str:
    """Name of one segment in words.

    >>> segment_label({"channel": "Phone", "newbie": "0"})
    'channel=Phone, newbie=0'
    """
    return ", ".join(f"{factor}={level}" for factor, level in levels.items())


def names_of(columns: str | Iterable[str], role: str) -> tuple[str, ...]:
    """Column names handed in for a role that takes several: one name alone means that one.

    Raises
    ------
    ArgumentError
        A name is not text, or is given twice.
    """
    if not isinstance(columns, Iterable):
        raise ArgumentError(f"{role} is {columns!r}; expected names of columns, or none as ().")
    names = (columns,) if isinstance(columns, str) else tuple(columns)
    for name in names:
        if not isinstance(name, str):
            raise ArgumentError(f"{role} holds {name!r}; expected names of columns as text.")
        if names.count(name) > 1:
            raise ArgumentError(f"{role} names the column '{name}' twice. Name it once.")
    return names
