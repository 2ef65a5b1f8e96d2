"""Levels of a factor as engines write them: which texts mean a level, in Python and in SQL alike."""

import re
from collections.abc import Iterable
from typing import Final

import narwhals.stable.v2 as nw

from bayesuplift.data.labels import label
from bayesuplift.errors import DataError

# up to 15 digits every engine writes a whole number held as a float without an exponent
_WHOLE: Final = re.compile(r"-?[1-9][0-9]{0,14}|0")
_WHOLE_FLOAT: Final = re.compile(r"(-?[1-9][0-9]{0,14}|0)\.0")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TRUTH: Final = {"true": ("true", "True", "TRUE"), "false": ("false", "False", "FALSE")}
_MIDNIGHT: Final = " 00:00:00"


def spellings(levels: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Every text that means each of the levels of one factor, the level itself first.

    A whole number is 1 in a column of integers and 1.0 in one of floats, and there are engines that write such floats as
    1; a truth value is True, true or TRUE; a day may be a moment at midnight. A text that is a level itself means nothing
    else.

    >>> spellings(["1", "Web"])
    {'1': ('1', '1.0'), 'Web': ('Web',)}
    >>> spellings(["True", "1", "1.0"])
    {'True': ('True', 'true', 'TRUE'), '1': ('1',), '1.0': ('1.0',)}
    """
    every = tuple(dict.fromkeys(levels))
    found = {level: (level, *(one for one in _others(level) if one not in every)) for level in every}
    meant = [text for texts in found.values() for text in texts]
    # "True" and "TRUE" beside each other: what is a third way to write both means neither
    return {level: (level, *(text for text in texts[1:] if meant.count(text) == 1)) for level, texts in found.items()}


def _others(level: str) -> list[str]:
    if _WHOLE.fullmatch(level):
        return [f"{level}.0"]
    if whole := _WHOLE_FLOAT.fullmatch(level):
        return [whole.group(1)]
    if _DATE.fullmatch(level):
        return [f"{level}{_MIDNIGHT}"]
    return [text for text in _TRUTH.get(level.lower(), ()) if text != level]


def check_type(column: str, dtype: nw.dtypes.DType) -> None:
    """Refuse a column of values that engines write as different texts.

    Raises
    ------
    DataError
        It holds single-precision numbers, moments in a time zone, times, durations or bytes.
    """
    told = dtype == nw.Float32 or getattr(dtype, "time_zone", None) is not None
    if told or dtype in (nw.Time, nw.Duration, nw.Binary):
        raise DataError(
            f"the column '{column}' holds {dtype}, which engines write as different texts, and levels are text; "
            f"expected text, whole numbers, truth values or dates. Cast it to text first."
        )


def as_texts(column: nw.Series) -> list[str]:
    """Values (unit,) as text; none of them is missing, and text with nothing in it is a level like any other."""
    values = column.to_list()
    texts = {value: label(value) for value in set(values)}
    return [texts[value] for value in values]
