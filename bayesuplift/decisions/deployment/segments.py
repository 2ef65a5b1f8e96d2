"""Arms by segment, for rows: levels of factors lead to an arm, or to shares of arms that a hash of the unit deals out."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.labels import segment_label
from bayesuplift.decisions.deployment.levels import spellings
from bayesuplift.decisions.deployment.rows import Asked, Decided, Rows
from bayesuplift.decisions.deployment.sql import any_missing, case, is_one_of, name_in_sql, text_in_sql
from bayesuplift.decisions.targeting.policy import Policy
from bayesuplift.dims import ARM, SEGMENT
from bayesuplift.errors import ArgumentError, is_finite_number, listed
from bayesuplift.estimands.places import EVERYBODY
from bayesuplift.posterior.factors import as_called, factors_of, levels_of

Unknown = Literal["control", "refuse"]

_ROUNDING: Final = 1e-9  # of a share: what a sum of shares may be off by
_DIGITS: Final = 8  # of the hash, in base 16: shares are met to 2^-32
_PARTS: Final = 16**_DIGITS


@dataclass(frozen=True)
class SegmentArms:
    """An arm for every segment.

    Of a segment of which only a part gets an arm, it is the units with

        (first 8 digits of md5(salt || unit), in base 16) / 16^8 < share

    so that a unit has the same arm wherever and whenever it is asked for, and another one under another salt. Treatments
    take the hashes in their order, each from where the last one ended, and the control takes what is left. A share is met
    on average, as it would be by coins.

    Parameters
    ----------
    arms
        Labels, the control's included.
    control
        Label of the control.
    factors
        Columns that tell the segments apart; none where everybody is one segment.
    levels
        (segment, factor): as text.
    share
        (segment, arm): rows sum to 1.
    salt
        What the hash begins with.
    unknown
        What a unit of a segment that is not here gets: the control, or no arm ("refuse").
    """

    arms: tuple[str, ...]
    control: str
    factors: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    share: tuple[tuple[float, ...], ...]
    salt: str
    unknown: Unknown = "control"

    kind: ClassVar[str] = "segments"

    def __post_init__(self) -> None:
        """Refuse what is no table of segments."""
        if self.unknown not in get_args(Unknown):
            raise ArgumentError(f"unknown = {self.unknown!r}; expected one of {listed(get_args(Unknown))}")
        if not isinstance(self.salt, str):
            raise ArgumentError(f"salt = {self.salt!r}; give a text")
        if len(set(self.factors)) < len(self.factors):
            raise ArgumentError(f"a factor comes twice among {listed(self.factors)}; name each once")
        if not self.levels or len(self.levels) != len(self.share) or len(set(self.levels)) < len(self.levels):
            raise ArgumentError(
                f"{len(self.levels):,} segments, {len(set(self.levels)):,} of them different, and {len(self.share):,} rows "
                f"of shares; give as many of each, at least one"
            )
        for levels, row in zip(self.levels, self.share, strict=True):
            if len(levels) != len(self.factors):
                raise ArgumentError(f"levels {levels!r} of the factors {listed(self.factors)}; give one of each")
            proper = len(row) == len(self.arms) and all(is_finite_number(one) and one >= 0 for one in row)
            if not proper or abs(sum(row) - 1.0) > _ROUNDING:
                raise ArgumentError(
                    f"shares {row!r} of the segment {self._called(levels)}; give one of each arm, 0 or more, that sum to 1"
                )

    @classmethod
    def of(cls, policy: Policy, *, salt: str | None = None, unknown: Unknown = "control") -> "SegmentArms":
        """Arms of a policy over segments, or of one for everybody.

        Parameters
        ----------
        policy
            Over segments.
        salt
            None for one that is made of the segments and their shares: the same policy deals the same arms again.
        unknown
            As above.
        """
        spelt = factors_of(policy.share)
        labels = [str(one) for one in policy.share[SEGMENT].to_numpy().tolist()]
        columns: Mapping[str, Sequence[str]] = levels_of(policy.share, spelt)
        if not spelt and labels != [EVERYBODY]:
            columns = {SEGMENT: labels}
        arms = tuple(str(one) for one in policy.share[ARM].to_numpy().tolist())
        factors = tuple(as_called(one) for one in columns)
        levels = tuple(zip(*columns.values(), strict=True)) if columns else ((),)
        values = policy.share.to_numpy()
        values = np.where(values < _ROUNDING, 0.0, np.where(values > 1.0 - _ROUNDING, 1.0, values))
        share = tuple(map(tuple, values.tolist()))
        if salt is None:
            salt = hashlib.md5(repr((arms, factors, levels, share)).encode(), usedforsecurity=False).hexdigest()
        return cls(arms, policy.control, factors, levels, share, salt, unknown)

    @property
    def splits(self) -> bool:
        """Whether units of one segment get different arms, so that they need names."""
        return any(max(row) < 1.0 for row in self.share)

    def asked(self, unit: str | None) -> Asked:
        """What is asked of every unit.

        Raises
        ------
        ArgumentError
            Units need names and no column is given.
        """
        if self.splits and unit is None:
            raise ArgumentError(
                "of some segments a part is treated, and which units these are follows from their names: give the column "
                "that names the unit, unit=..."
            )
        return Asked(texts=self.factors, unit=unit if self.splits else None)

    def decide(self, rows: Rows) -> Decided:
        """Position of each unit's arm, and the segments that are not known."""
        columns = []
        for factor, every in zip(self.factors, self._spellings(), strict=True):
            meant = {text: level for level, texts in every.items() for text in texts}
            columns.append([meant.get(text, text) for text in rows.texts[factor]])
        keys = list(zip(*columns, strict=True)) if columns else [()] * len(rows)
        place = {levels: i for i, levels in enumerate(self.levels)}
        segment = np.array([place.get(key, -1) for key in keys], dtype=np.intp)
        new = np.flatnonzero(segment < 0)
        arm = np.array([max(range(len(row)), key=row.__getitem__) for row in self.share], dtype=np.intp)[segment]
        arm[new] = self.arms.index(self.control) if self.unknown == "control" else -1
        for i, row in enumerate(self.share):
            if max(row) < 1.0:
                members = np.flatnonzero(segment == i)
                arm[members] = self._dealt(row, [rows.names[member] for member in members.tolist()])
        return Decided(arm, tuple(self._called(keys[i]) for i in new))

    def in_sql(self, unit: str | None) -> str:
        """A CASE expression: NULL where a column is, and where a segment that is not known gets no arm."""
        asked = self.asked(unit)
        missing = any_missing(asked.columns)
        known = self._spellings()
        whens = [] if missing is None else [(missing, "NULL")]
        for levels, row in zip(self.levels, self.share, strict=True):
            every = zip(self.factors, known, levels, strict=True)
            parts = [is_one_of(factor, texts[level]) for factor, texts, level in every]
            whens.append((" AND ".join(parts) or "TRUE", self._choice(row, asked.unit)))
        return case(whens, text_in_sql(self.control) if self.unknown == "control" else "NULL")

    def _spellings(self) -> list[dict[str, tuple[str, ...]]]:
        """Of every factor, the texts that mean each level."""
        return [spellings(row[i] for row in self.levels) for i in range(len(self.factors))]

    def _called(self, levels: Sequence[str]) -> str:
        return segment_label(dict(zip(self.factors, levels, strict=True))) or EVERYBODY

    def _ends(self, row: Sequence[float]) -> list[tuple[int, int]]:
        """Position of every arm that some get, and where its hashes end: treatments first, so that more of one keep it."""
        order = sorted(np.flatnonzero(row).tolist(), key=lambda arm: self.arms[arm] == self.control)
        ends = [min(round(end * _PARTS), _PARTS - 1) for end in np.cumsum([row[arm] for arm in order]).tolist()]
        return list(zip(order, [*ends[:-1], _PARTS], strict=True))

    def _dealt(self, row: Sequence[float], names: Sequence[str]) -> NDArray[np.intp]:
        arms, ends = zip(*self._ends(row), strict=True)
        hashes = [hashlib.md5(f"{self.salt}{name}".encode(), usedforsecurity=False).hexdigest() for name in names]
        numbers = [int(digits[:_DIGITS], 16) for digits in hashes]
        return np.array(arms, dtype=np.intp)[np.searchsorted(ends, numbers, side="right")]

    def _choice(self, row: Sequence[float], unit: str | None) -> str:
        ends = [(text_in_sql(self.arms[arm]), end) for arm, end in self._ends(row)]
        if unit is None or len(ends) == 1:
            return ends[0][0]
        hashed = f"md5({text_in_sql(self.salt)} || CAST({name_in_sql(unit)} AS VARCHAR))"
        whens = [(f"SUBSTR({hashed}, 1, {_DIGITS}) < '{end:0{_DIGITS}x}'", arm) for arm, end in ends[:-1]]
        return case(whens, ends[-1][0], between=" ")
