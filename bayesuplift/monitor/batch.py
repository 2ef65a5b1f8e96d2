"""A batch of an experiment's data: rows checked one by one, and added up."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Final

from bayesuplift.errors import BatchError, did_you_mean, listed
from bayesuplift.monitor.batch_table import rows_of
from bayesuplift.monitor.plan import Metric, Plan, digest
from bayesuplift.monitor.tally import Number, Segment, Tally, is_exact, nothing

_ROUNDING: Final = 1e-9  # relative: squares of float sums may fall this far below their bound
_MOST_DIGITS: Final = 30  # before the point: beyond it stands no sum of an experiment
_ONE: Final = Fraction(1)


@dataclass(frozen=True)
class Batch:
    """Sums by segment and arm of what came since the last batch, or of everything so far.

    Parameters
    ----------
    id
        Name of the batch, its own within the experiment.
    at
        When it was taken, ISO 8601: a day, or a time.
    cumulative
        Whether it holds everything since the start.
    tallies
        By segment; the key is empty where the plan has no segments.
    """

    id: str
    at: str
    cumulative: bool
    tallies: Mapping[Segment, Tally]

    @property
    def hash(self) -> str:
        """SHA-256 of the content, whatever the batch is called and whenever it was taken: sent again, it is the same."""
        facts = {key: self.as_facts()[key] for key in ("cumulative", "tallies")}
        return digest(facts)

    def as_facts(self) -> dict[str, Any]:
        """Plain values."""
        told = [{"segment": list(key), **tally.as_facts()} for key, tally in sorted(self.tallies.items())]
        return {"id": self.id, "at": self.at, "cumulative": self.cumulative, "tallies": told}

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> "Batch":
        """The batch that `as_facts` told."""
        tallies = {tuple(one["segment"]): Tally.of_facts(one) for one in facts["tallies"]}
        return cls(id=facts["id"], at=facts["at"], cumulative=facts["cumulative"], tallies=tallies)


def batch_of(plan: Plan, table: Any, *, id: str, at: str, cumulative: bool = False) -> Batch:  # noqa: A002 -- the word of the command line
    """Check rows and add them up.

    Parameters
    ----------
    plan
        The plan, whose columns the table has: `arm`, `n` (units), `<metric>` (sum of its outcomes) of every metric,
        `<metric>_squares` (sum of their squares) of those that are not binary, the segments' columns, and `enrolled`
        (day) where the plan counts outcomes within a window. Other columns are left unread.
    table
        One row for each arm, or several, which are added up; see `rows_of` for what may hold them.
    id
        Name of the batch.
    at
        When it was taken: ISO 8601, a day or a time.
    cumulative
        Whether it holds everything since the start.

    Raises
    ------
    BatchError
        A row holds what cannot be: the row, what was found and what was expected. Nothing of the batch is kept.
    """
    if not isinstance(id, str) or not id.strip():
        raise BatchError(f"batch: id = {id!r}; give the batch a name of its own, such as its day")
    taken = moment(at)
    tallies: dict[Segment, Tally] = {}
    read = 0
    for read, row in enumerate(rows_of(table), start=1):
        key, tally = _row(plan, row, f"batch {id!r}, row {read}", taken.date())
        tallies[key] = tallies.get(key, nothing(plan)) + tally
    if not read:
        raise BatchError(f"batch {id!r} has no rows; give one an arm, of 0 units where none came")
    return Batch(id=id, at=at, cumulative=cumulative, tallies=tallies)


def moment(at: str) -> datetime:
    """The time that a text names; a day is its start. Times without a zone are taken as UTC.

    Raises
    ------
    BatchError
        It names none.
    """
    try:
        found = datetime.fromisoformat(at)
    except (TypeError, ValueError) as error:
        raise BatchError(f"at = {at!r}; give a day or a time, such as 2026-01-05 or 2026-01-05T12:00") from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def since(batch: Batch, before: Mapping[Segment, Tally], plan: Plan) -> Batch:
    """What a cumulative batch adds to tallies that are there; another batch as it is.

    Raises
    ------
    BatchError
        A sum that can only grow is smaller than it was, or a segment is gone.
    """
    if not batch.cumulative:
        return batch
    where = f"batch {batch.id!r}"
    gone = sorted(set(before) - set(batch.tallies))
    if gone:
        raise BatchError(
            f"{where} is cumulative and lacks {listed(map(_shown, gone))}, which had units before; give everything so far"
        )
    added = {key: tally - before.get(key, nothing(plan)) for key, tally in batch.tallies.items()}
    for key, tally in added.items():
        grows = {"n": tally.n} | {m.name: tally.totals[m.name] for m in plan.metrics if m.kind != "continuous"}
        grows |= {f"{name}_squares": sums for name, sums in tally.squares.items()}
        for column, sums in grows.items():
            for arm, change in zip(plan.design.arms, sums, strict=True):
                if change < 0 and -change > _ROUNDING * _size(before[key], column, plan.design.index(arm)):
                    raise BatchError(
                        f"{where} is cumulative, and {column} of arm {arm!r}{_in(key)} fell by {-change:g} since the last "
                        "batch; a sum of everything so far cannot: was a row lost, or is this one batch only?"
                    )
    return replace(batch, cumulative=False, tallies=added)


def _size(tally: Tally, column: str, arm: int) -> float:
    """The rounding's yardstick: 0 for whole numbers, which have none."""
    sums: Mapping[str, tuple[Number, ...]] = {f"{name}_squares": value for name, value in tally.squares.items()}
    value = ({"n": tally.n} | dict(tally.totals) | dict(sums))[column][arm]
    return abs(value) if isinstance(value, float) else 0.0


def _row(plan: Plan, row: Mapping[str, Any], where: str, day: date) -> tuple[Segment, Tally]:
    """The segment of a row and its tally, other arms 0."""
    arms = plan.design.arms
    arm = str(_cell(row, "arm", where))
    if arm not in arms:
        raise BatchError(f"{where}: no arm named {arm!r}. Arms: {listed(arms)}.{did_you_mean(arm, arms)}")
    place = arms.index(arm)
    n = _steps(row, "n", _ONE, where)
    if n < 0:
        raise BatchError(f"{where}: n = {n}; expected units, 0 or more")
    _check_window(plan, row, where, day)
    totals: dict[str, tuple[Number, ...]] = {}
    squares: dict[str, tuple[Number, ...]] = {}
    for metric in plan.metrics:
        total, square = _sums(metric, row, n, where)
        totals[metric.name] = _placed(total, place, len(arms))
        if metric.kind != "binary":
            squares[metric.name] = _placed(square, place, len(arms))
    key = tuple(str(_cell(row, column, where)) for column in plan.segments)
    return key, Tally(n=_placed(n, place, len(arms)), totals=totals, squares=squares)


def _sums(metric: Metric, row: Mapping[str, Any], n: int, where: str) -> tuple[Number, Number]:
    """Total and sum of squares of a metric in a row, in steps of its resolution, checked against each other."""
    name, column = metric.name, f"{metric.name}_squares"
    total: Number
    square: Number
    if metric.kind == "binary":
        total = _steps(row, name, _ONE, where)
        if not 0 <= total <= n:
            raise BatchError(f"{where}: {name} = {total} of n = {n} units; expected 0 to n")
        return total, total
    if metric.resolution is None:
        total, square = _amount(row, name, where), _amount(row, column, where)
    else:
        step = Fraction(str(metric.resolution))
        total, square = _steps(row, name, step, where), _steps(row, column, step**2, where)
    if metric.kind != "continuous" and total < 0:
        raise BatchError(f"{where}: {name} = {row[name]}; a {metric.kind} outcome is 0 or more")
    short = square * n * (1.0 + _ROUNDING) < total * total
    if short or square < 0 or (is_exact(metric) and square < abs(total)) or (n == 0 and square > 0):
        raise BatchError(
            f"{where}: no {n} units have {name} = {row[name]} and {column} = {row[column]}; give the sum of their outcomes "
            "and that of the squares"
        )
    return total, square


def _check_window(plan: Plan, row: Mapping[str, Any], where: str, day: date) -> None:
    """Refuse units whose window of attribution is still open."""
    if not plan.attribution_days:
        return
    found = str(_cell(row, "enrolled", where))
    try:
        enrolled = date.fromisoformat(found)
    except ValueError as error:
        raise BatchError(f"{where}: enrolled = {found!r}; expected a day, such as 2026-01-05") from error
    closes = enrolled + timedelta(days=plan.attribution_days)
    if closes > day:
        raise BatchError(
            f"{where}: units enrolled on {enrolled} count when their {plan.attribution_days} days are over, on {closes}; "
            f"the batch was taken on {day}: send them then"
        )


def _cell(row: Mapping[str, Any], column: str, where: str) -> Any:
    if column not in row:
        raise BatchError(f"{where}: no column {column!r}. Columns: {listed(row)}.{did_you_mean(column, row)}")
    value = row[column]
    if value is None or value == "" or value != value:  # noqa: PLR0124 -- NaN of any library is the value that differs from itself
        raise BatchError(f"{where}: {column} is missing")
    return value


def _decimal(row: Mapping[str, Any], column: str, where: str) -> Decimal:
    value = _cell(row, column, where)
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation as error:
        raise BatchError(f"{where}: {column} = {value!r}; expected a number") from error
    if isinstance(value, bool) or not number.is_finite():
        raise BatchError(f"{where}: {column} = {value!r}; expected a finite number")
    return number


def _steps(row: Mapping[str, Any], column: str, step: Fraction, where: str) -> int:
    """A number as whole steps of its resolution."""
    number = _decimal(row, column, where)
    if number.adjusted() > _MOST_DIGITS:
        raise BatchError(f"{where}: {column} = {number}; expected a number of at most {_MOST_DIGITS} digits")
    steps = Fraction(number) / step
    if steps.denominator != 1:
        of = "a whole number" if step == 1 else f"a whole number of steps of {float(step):g}"
        raise BatchError(f"{where}: {column} = {number}; expected {of}")
    return int(steps)


def _amount(row: Mapping[str, Any], column: str, where: str) -> float:
    value = float(_decimal(row, column, where))
    if not math.isfinite(value):
        raise BatchError(f"{where}: {column} = {row[column]!r}; expected a finite number")
    return value


def _placed(value: Any, place: int, size: int) -> tuple[Any, ...]:
    return tuple(value if i == place else type(value)(0) for i in range(size))


def _shown(key: Segment) -> str:
    return "/".join(key) or "all units"


def _in(key: Segment) -> str:
    return f" in {_shown(key)}" if key else ""
