"""Groups of units that may differ in their effect: parts of one covariate, and what parts of two have in common."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.estimands.rules import Condition, Interval, Levels, between, rule_words
from bayesuplift.estimands.unit_covariates import Covariate

_CUTS: Final = ((1 / 2,), (1 / 3, 2 / 3))
_BLOCK: Final = 2**22  # truth values at a time that become float64
_DIGITS: Final = 9
_MOST_TRIED: Final = 5_000  # pairs that are compared with those kept, in order of their differences


@dataclass(frozen=True, eq=False)
class Group:
    """Some of the units.

    Parameters
    ----------
    conditions
        What holds for them, by covariate.
    members
        Whether each unit is one of them, (unit,).
    """

    conditions: dict[str, Condition]
    members: NDArray[np.bool_]

    @property
    def rule(self) -> str:
        """Which units these are, in words."""
        return rule_words(self.conditions)

    def __and__(self, other: "Group") -> "Group":
        return Group(self.conditions | other.conditions, self.members & other.members)


def parts_of(covariate: Covariate) -> Iterator[Group]:
    """Levels of text, each one; halves and thirds of a number, as near as values that many units share allow."""
    if covariate.is_text:
        every = frozenset(str(level) for level in covariate.values)
        for place, level in enumerate(covariate.values):
            yield Group({covariate.name: Levels(frozenset([str(level)]), every)}, covariate.code == place)
        return
    values, n = covariate.values.astype(np.float64), np.bincount(covariate.code)
    below = n.cumsum()[:-1] / n.sum()
    for shares in _CUTS:
        cuts = sorted({int(abs(below - share).argmin()) for share in shares})
        edges = [-np.inf, *(between(float(values[cut]), float(values[cut + 1])) for cut in cuts), np.inf]
        places = [0, *(cut + 1 for cut in cuts), len(values)]
        for i in range(len(cuts) + 1):
            inside = (covariate.code >= places[i]) & (covariate.code < places[i + 1])
            yield Group({covariate.name: Interval.among(values, float(edges[i]), float(edges[i + 1]))}, inside)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Groups that were kept, of all that had enough units.

    Parameters
    ----------
    groups
        The groups, in the order of the size of their mean differences.
    considered
        How many had enough units, themselves and outside.
    """

    groups: tuple[Group, ...]
    considered: int

    @classmethod
    def of(
        cls,
        covariates: Sequence[Covariate],
        effect: NDArray[np.float64],
        *,
        least_units: int,
        pairs: bool,
        overlap: float,
        most: int,
    ) -> "Candidates":
        """Find the groups whose mean effect differs most from the rest's, each told once.

        Two groups are nearly the same where the units in both are at least the share `overlap` of those in either
        (Jaccard), or where that holds of one and the rest of the other: then they are one contrast, with opposite signs.
        Of such the one that is told by fewer covariates is kept, then that with the larger difference. Of two conditions
        one alone tells as much where its own difference is as large: they are not kept together.
        """
        parts = [group for one in covariates for group in parts_of(one)]
        of_part = [name for group in parts for name in group.conditions]
        n, total = _crossed(parts, effect - effect.mean())
        units = len(effect)
        enough = (n >= least_units) & (units - n >= least_units)
        with np.errstate(divide="ignore", invalid="ignore"):
            difference = np.where(enough, total * (1.0 / n + 1.0 / (units - n)), 0.0)
        alone = [i for i in range(len(parts)) if enough[i, i]]
        apart = np.array([[a != b for b in of_part] for a in of_part], dtype=bool)
        both = np.argwhere(np.triu(enough & apart, 1)) if pairs else np.empty((0, 2), dtype=np.intp)
        of_pair = difference[tuple(both.T)]
        of_parts = np.stack([np.diag(difference)[side] for side in both.T])
        more = (np.abs(of_pair) > np.abs(of_parts)).all(axis=0)
        kept = _Kept(units, overlap)
        for place in _largest_first(np.diag(difference)[alone]):
            kept.add(parts[alone[place]], float(difference[alone[place], alone[place]]))
        order = _largest_first(of_pair)
        order = order[more[order]][:_MOST_TRIED]
        singles = len(kept.groups)
        for i, j in both[order].tolist():
            if len(kept.groups) - singles == most:
                break
            kept.add(parts[i] & parts[j], float(difference[i, j]))
        ranked = _largest_first(np.array(kept.differences))[:most]
        return cls(tuple(kept.groups[i] for i in ranked), len(alone) + len(both))


def _largest_first(differences: NDArray[np.float64]) -> NDArray[np.intp]:
    """Places by size; of two halves, whose differences are each other's negative, the one with more effect first."""
    size = np.abs(differences)
    # rounded, since sums in another order differ in their last digits
    near = np.round(size / max(float(size.max(initial=0.0)), np.finfo(np.float64).tiny), _DIGITS)
    return np.lexsort((differences < 0.0, -near))


class _Kept:
    """Groups that are kept, as bits, so that thousands are compared at once."""

    def __init__(self, units: int, overlap: float) -> None:
        self.units, self.overlap = units, overlap
        self.groups: list[Group] = []
        self.differences: list[float] = []
        self.bits = np.empty((0, -(-units // 8)), dtype=np.uint8)
        self.n = np.empty(0, dtype=np.intp)

    def add(self, group: Group, difference: float) -> None:
        """Keep a group, unless one that is nearly the same is there."""
        bits, n = np.packbits(group.members), int(group.members.sum())
        common = np.bitwise_count(self.bits & bits).sum(axis=1, dtype=np.intp)
        outside = n - common
        same = common >= self.overlap * (self.n + n - common)
        opposite = outside >= self.overlap * (self.units - self.n + n - outside)
        if (same | opposite).any():
            return
        self.groups.append(group)
        self.differences.append(difference)
        self.bits, self.n = np.vstack([self.bits, bits]), np.append(self.n, n)


def _crossed(parts: Sequence[Group], about: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Units in both of two parts, and the sum of their effects, (part, part)."""
    n, total = np.zeros((len(parts), len(parts))), np.zeros((len(parts), len(parts)))
    at_once = max(_BLOCK // len(parts), 1)
    for start in range(0, len(about), at_once):
        some = slice(start, start + at_once)
        members = np.stack([group.members[some] for group in parts]).astype(np.float64)
        n += members @ members.T
        total += (members * about[some]) @ members.T
    return n, total
