"""Which units a rule of covariates means, in words: "30 ≤ age < 40 and channel = Phone"."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.labels import natural_order

_MOST_LEVELS: Final = 6  # named in a rule; of more it says how many
_MOST_DIGITS: Final = 17  # of which every float64 is made


@dataclass(frozen=True)
class Interval:
    """Values low ≤ x < high of a covariate of numbers.

    Parameters
    ----------
    low, high
        The ends.
    only
        The one value between them that units have, where they have one there.
    """

    low: float = -math.inf
    high: float = math.inf
    only: float | None = None

    @classmethod
    def among(cls, values: NDArray[np.float64], low: float, high: float) -> "Interval":
        """The interval of a covariate that has these distinct values."""
        inside = values[(values >= low) & (values < high)]
        return cls(low, high, float(inside[0]) if len(inside) == 1 else None)

    def words(self, name: str) -> str:
        """The condition in words.

        >>> Interval(30.0, 40.0).words("age"), Interval(high=40.0).words("age"), Interval(low=0.5).words("x")
        ('30 ≤ age < 40', 'age < 40', 'x ≥ 0.5')
        >>> Interval.among(np.array([0.0, 1.0]), 1.0, math.inf).words("newbie")
        'newbie = 1'
        """
        if self.only is not None:
            return f"{name} = {number(self.only)}"
        if self.low == -math.inf:
            return f"{name} < {number(self.high)}"
        if self.high == math.inf:
            return f"{name} ≥ {number(self.low)}"
        return f"{number(self.low)} ≤ {name} < {number(self.high)}"


@dataclass(frozen=True)
class Levels:
    """Some levels of a covariate of text, of all that there are."""

    held: frozenset[str]
    every: frozenset[str]

    def words(self, name: str) -> str:
        """The condition in words: those that are held, or those that are not, whichever are fewer.

        >>> Levels(frozenset("a"), frozenset("abc")).words("x"), Levels(frozenset("ab"), frozenset("abc")).words("x")
        ('x = a', 'x ≠ c')
        >>> Levels(frozenset("ab"), frozenset("abcd")).words("x")
        'x in {a, b}'
        """
        rest = self.every - self.held
        few, one, several = (self.held, "=", "in") if len(self.held) <= len(rest) else (rest, "≠", "not in")
        named = natural_order(few)
        if len(named) == 1:
            return f"{name} {one} {named[0]}"
        more = f" and {len(named) - _MOST_LEVELS} more" if len(named) > _MOST_LEVELS else ""
        return f"{name} {several} {{{', '.join(named[:_MOST_LEVELS])}{more}}}"


Condition = Interval | Levels


def rule_words(conditions: Mapping[str, Condition]) -> str:
    """A rule in words: units for which all these conditions on covariates hold."""
    return " and ".join(one.words(name) for name, one in conditions.items()) or "every unit"


def number(value: float) -> str:
    """A number with no digit more than it takes to tell it from every other.

    >>> number(40.0), number(0.125), number(1e-9), number(2e6)
    ('40', '0.125', '1e-09', '2000000')
    """
    return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)  # noqa: PLR2004 -- digits kept


def between(low: float, high: float) -> float:
    """The number of fewest digits in (low, high], and of these the one nearest the middle: a threshold fit to be told.

    >>> between(31.7, 48.2), between(3.0, 4.0), between(0.1234, 0.1239), between(-2.0, -1.0)
    (40.0, 4.0, 0.1236, -1.0)
    """
    below, above = Decimal(low), Decimal(high)
    middle = (below + above) / 2
    first = -max(above.adjusted(), below.adjusted()) - 1
    for digits in range(first, first + _MOST_DIGITS + 1):
        step = Decimal(1).scaleb(-digits)
        found = ((middle / step + Decimal("0.5")).to_integral_value(rounding=ROUND_FLOOR)) * step
        if below < found <= above and low < float(found) <= high:
            return float(found)
    return high
