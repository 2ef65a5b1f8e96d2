"""Arms by scores, for rows: the treatment whose score is most above its threshold, if any is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.decisions.deployment.charges import charges
from bayesuplift.decisions.deployment.levels import spellings
from bayesuplift.decisions.deployment.rows import Asked, Decided, Rows
from bayesuplift.decisions.deployment.sql import any_missing, case, is_one_of, name_in_sql, number_in_sql, text_in_sql
from bayesuplift.decisions.targeting.limits import Never
from bayesuplift.decisions.targeting.policy import Policy
from bayesuplift.dims import ARM
from bayesuplift.errors import ArgumentError, is_finite_number, listed
from bayesuplift.posterior.factors import as_called

_LARGEST: Final = float(np.finfo(np.float64).max)
_RULED_OUT: Final = -1.0  # any number below 0: only what is above it is ever chosen


@dataclass(frozen=True)
class Ban:
    """Units that do not get some treatments.

    Parameters
    ----------
    where
        Levels by column; a unit is meant where all columns have one of their levels. Everybody, where there is none.
    arms
        The treatments.
    """

    where: tuple[tuple[str, tuple[str, ...]], ...]
    arms: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse a column without levels."""
        if not self.arms or not all(levels for _, levels in self.where):
            raise ArgumentError(
                f"where = {self.where!r}, arms = {self.arms!r}; give levels of each column, and treatments"
            )

    def meant(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether each unit is meant, (unit,)."""
        inside = np.ones(len(rows), dtype=bool)
        for column, levels in self.where:
            known = {text for texts in spellings(levels).values() for text in texts}
            inside &= np.fromiter((text in known for text in rows.texts[column]), dtype=bool, count=len(rows))
        return inside

    def in_sql(self) -> str:
        """The condition."""
        parts = [
            is_one_of(column, [text for texts in spellings(levels).values() for text in texts])
            for column, levels in self.where
        ]
        return " AND ".join(parts) or "TRUE"


@dataclass(frozen=True)
class ScoreThresholds:
    """The arm argmax_a score_a - threshold_a, if that is above 0, and else the control: the first of equals.

    Parameters
    ----------
    arms
        Labels, the control's included.
    control
        Label of the control.
    columns
        (treatment,): columns of the scores, money per unit; minus infinity rules a treatment out.
    thresholds
        (treatment,): what the score has to exceed, money per unit. The prices of limits, all that is left of them: of other
        units than those that the policy was made for, another share may be above.
    bans
        Who does not get what.
    """

    arms: tuple[str, ...]
    control: str
    columns: tuple[str, ...]
    thresholds: tuple[float, ...]
    bans: tuple[Ban, ...] = ()

    kind: ClassVar[str] = "scores"

    def __post_init__(self) -> None:
        """Refuse what is no threshold for each treatment."""
        count = len(self.treatments)
        if len(self.columns) != count or len(set(self.columns)) < count or len(self.thresholds) != count:
            raise ArgumentError(
                f"columns {listed(self.columns)} and thresholds {listed(self.thresholds)}; give a column of its own and a "
                f"threshold for each of {listed(self.treatments)}"
            )
        if not all(is_finite_number(one) for one in self.thresholds):
            raise ArgumentError(f"thresholds {listed(self.thresholds)}; give finite numbers, money per unit")
        strangers = {arm for ban in self.bans for arm in ban.arms} - set(self.treatments)
        if strangers:
            raise ArgumentError(f"{listed(strangers)}: banned, and no treatment. Treatments: {listed(self.treatments)}")

    @classmethod
    def of(cls, policy: Policy, columns: Mapping[str, str]) -> "ScoreThresholds":
        """Thresholds of a policy over units that a rule chose.

        Parameters
        ----------
        policy
            Over units.
        columns
            Names of the columns of scores, by treatment; "score_" and its label for those left out.

        Raises
        ------
        ArgumentError
            A name is given for what is no treatment.
        """
        arms = tuple(str(arm) for arm in policy.share[ARM].to_numpy().tolist())
        treatments = tuple(arm for arm in arms if arm != policy.control)
        strangers = set(columns) - set(treatments)
        if strangers:
            raise ArgumentError(f"columns names {listed(strangers)}; the treatments are {listed(treatments)}")
        named = tuple(columns.get(arm, f"score_{arm}") for arm in treatments)
        charged, closed = charges(policy)
        bans = [Ban((), closed)] if closed else []
        for limit in () if policy.rule is None else policy.rule.limits:
            if isinstance(limit, Never):
                where = tuple((as_called(factor), tuple(levels)) for factor, levels in limit.where.items())
                bans.append(Ban(where, treatments if limit.arm is None else (limit.arm,)))
        return cls(arms, policy.control, named, tuple(charged.tolist()), tuple(bans))

    @property
    def treatments(self) -> tuple[str, ...]:
        """Labels of the arms but the control."""
        return tuple(arm for arm in self.arms if arm != self.control)

    def asked(self, unit: str | None) -> Asked:  # noqa: ARG002 -- nobody's arm depends on a name
        """What is asked of every unit."""
        texts = dict.fromkeys(column for ban in self.bans for column, _ in ban.where)
        numbers = {f"score of {arm}": column for arm, column in zip(self.treatments, self.columns, strict=True)}
        return Asked(texts=tuple(texts), numbers=numbers, unbounded=True)

    def decide(self, rows: Rows) -> Decided:
        """Position of each unit's arm."""
        if not len(rows):
            return Decided(np.empty(0, dtype=np.intp))
        margin = np.stack([rows.numbers[column] for column in self.columns], axis=1) - np.array(self.thresholds)
        for ban in self.bans:
            meant = ban.meant(rows)
            for arm in ban.arms:
                margin[meant, self.treatments.index(arm)] = _RULED_OUT
        best = margin.argmax(axis=1)
        places = np.array([self.arms.index(arm) for arm in self.treatments], dtype=np.intp)
        above = margin[np.arange(len(rows)), best] > 0.0
        return Decided(np.where(above, places[best], self.arms.index(self.control)))

    def in_sql(self, unit: str | None) -> str:  # noqa: ARG002 -- as above
        """A CASE expression: NULL where a column is, or a score is NaN or plus infinity."""
        finite = [f"{name_in_sql(column)} <= {number_in_sql(_LARGEST)}" for column in self.columns]
        margins = [self._margin(*one) for one in zip(self.treatments, self.columns, self.thresholds, strict=True)]
        whens = []
        for k, arm in enumerate(self.treatments):
            others = [f"{margins[k]} >= {one}" for place, one in enumerate(margins) if place != k]
            whens.append((" AND ".join([f"{margins[k]} > 0", *others]), text_in_sql(arm)))
        missing = any_missing(self.asked(None).texts)
        refused = f"NOT ({' AND '.join(finite)})"  # of NaN: greater than all numbers, or than none
        nothing = [f"{name_in_sql(column)} IS NULL" for column in self.columns]
        conditions = [*([missing] if missing else []), *nothing, refused]
        return case([(" OR ".join(conditions), "NULL"), *whens], text_in_sql(self.control))

    def _margin(self, arm: str, column: str, threshold: float) -> str:
        margin = f"{name_in_sql(column)} - {number_in_sql(threshold)}"
        bans = [(ban.in_sql(), number_in_sql(_RULED_OUT)) for ban in self.bans if arm in ban.arms]
        return f"({case(bans, margin, between=' ')})"
