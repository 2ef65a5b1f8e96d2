"""Many experiments under one plan, in one table: each is counted by itself, and a bad one stops no other."""

from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from bayesuplift.errors import (
    BatchError,
    BayesupliftError,
    LedgerConflictError,
    LedgerError,
    StateError,
    did_you_mean,
    listed,
)
from bayesuplift.monitor.batch import moment
from bayesuplift.monitor.batch_table import Rows, rows_of
from bayesuplift.monitor.ledger.ledger import Ledger
from bayesuplift.monitor.ledger.together import together
from bayesuplift.monitor.operating.threshold import Threshold, calibrate
from bayesuplift.monitor.plan import Plan, canonical
from bayesuplift.monitor.running import record, state_of
from bayesuplift.monitor.state import init

COLUMN: Final = "experiment"
"""Column of the table that names the experiment."""

_AT_ONCE: Final = 50  # experiments in a transaction: others wait for it, and it waits for the disk once


@dataclass(frozen=True)
class PortfolioRow:
    """What came of one experiment.

    Parameters
    ----------
    experiment
        Its name in the table.
    verdict, arm
        Its verdict, and the arm chosen; none where nothing could be counted.
    units
        Units of all arms so far.
    treatment
        The treatment of the least expected loss, of which the figures after it are.
    prob_best, lift, relative_loss
        P(best), posterior mean of the lift, and relative expected loss.
    ended
        Whether it had ended before; the verdict is the one that it ended with.
    error
        Why nothing was counted, or none.
    """

    experiment: str
    verdict: str | None = None
    arm: str | None = None
    units: int | None = None
    treatment: str | None = None
    prob_best: float | None = None
    lift: float | None = None
    relative_loss: float | None = None
    ended: bool = False
    error: str | None = None


@dataclass(frozen=True)
class Portfolio:
    """What came of all of them.

    Parameters
    ----------
    plan
        Name of the plan.
    at
        Time of the table.
    rows
        One for each experiment, in the table's order.
    false_ships
        Upper bound of the expected number of experiments that ship a treatment although none of theirs changes anything:
        alpha times the number counted; None of a promise that bounds no error rate.
    """

    plan: str
    at: str
    rows: tuple[PortfolioRow, ...]
    false_ships: float | None

    @property
    def counted(self) -> int:
        """Number of experiments counted."""
        return sum(row.error is None for row in self.rows)

    @property
    def ended(self) -> int:
        """Number of experiments that had ended before."""
        return sum(row.ended for row in self.rows)

    @property
    def refused(self) -> int:
        """Number of experiments of which nothing could be counted."""
        return len(self.rows) - self.counted - self.ended

    @property
    def remark(self) -> str:
        """What an error rate for each means for all."""
        if self.false_ships is None:
            return ""
        return (
            f"If no treatment of these {self.counted:,} experiments changes anything, at most {self.false_ships:,.4g} of "
            "them are expected to ship one."
        )

    def as_facts(self) -> dict[str, Any]:
        """Plain values."""
        numbers = {key: getattr(self, key) for key in ("counted", "ended", "refused", "false_ships", "remark")}
        return {"plan": self.plan, "at": self.at, **numbers, "rows": [asdict(row) for row in self.rows]}


def run_portfolio(
    ledger: Ledger, plan: Plan, table: Any, *, at: str, progress: Callable[[int, int], None] | None = None
) -> Portfolio:
    """Count a table of many experiments, each under the plan and the name `<name of the plan>/<experiment>`.

    The looks are those of `record`, one experiment after another. Experiments that are not in the ledger are started; the
    threshold of "calibrated" is simulated once for all of them. An experiment whose looks leave the declared ones has its
    own simulated again, as anywhere: for experiments of many sizes "anytime" or "decision" is the faster promise.

    Parameters
    ----------
    ledger
        Where the experiments are.
    plan
        The plan that all of them share, but for the name.
    table
        Rows as `rows_of` takes them: `experiment`, and the columns of a cumulative batch (see `batch_of`).
    at
        When the table was taken: ISO 8601, a day or a time. The same table sent again at the same time changes nothing.
    progress
        Told of the number of experiments done, and of all.

    Raises
    ------
    BatchError
        The table has no column `experiment`, or `at` is no time.
    LedgerError
        The ledger cannot be written; experiments told of as done are in it.
    """
    moment(at)
    groups, nameless = _by_experiment(rows_of(table))
    known = {one.name: one.plan_hash for one in ledger.experiments()}
    plans = {name: replace(plan, name=f"{plan.name}/{name}") for name in groups}
    begins = any(one.name not in known for one in plans.values())
    threshold = calibrate(plan) if begins and plan.rule.promise == "calibrated" else None
    done: dict[str, PortfolioRow] = {}
    names = list(groups)
    for first in range(0, len(names), _AT_ONCE):
        with together(ledger) as held:
            # By name, so that of two writers at once none holds what the other waits for.
            for name in sorted(names[first : first + _AT_ONCE]):
                own = plans[name]
                before = _Before(known.get(own.name), threshold)
                done[name] = _counted(held, own, name, groups[name], at=at, before=before)
        if progress is not None:
            progress(len(done), len(groups))
    rows = (*(done[name] for name in names), *nameless)
    counted = sum(row.error is None for row in rows)
    bounded = plan.rule.promise != "decision"
    return Portfolio(plan.name, at, rows, plan.rule.alpha * counted if bounded else None)


@dataclass(frozen=True)
class _Before:
    """What is known before an experiment is counted: its plan's hash in the ledger, and the threshold of new ones."""

    plan_hash: str | None
    threshold: Threshold | None


def _by_experiment(table: Rows) -> tuple[dict[str, dict[int, Mapping[str, Any]]], list[PortfolioRow]]:
    """Rows of every experiment by their number in the table, and what is told of rows without a name."""
    groups: dict[str, dict[int, Mapping[str, Any]]] = {}
    nameless = []
    for number, row in enumerate(table, start=1):
        if COLUMN not in row:
            hint = did_you_mean(COLUMN, row)
            raise BatchError(f"row {number} of the table has no column {COLUMN!r}. Columns: {listed(row)}.{hint}")
        name = row[COLUMN]
        if name is None or not str(name).strip() or name != name:  # noqa: PLR0124 -- NaN of any library
            nameless.append(number)
        else:
            groups.setdefault(str(name), {})[number] = row
    told = f"{_rows_said(nameless)} of the table: {COLUMN} is missing; give its name"
    return groups, [PortfolioRow("", error=told)] if nameless else []


def _rows_said(numbers: Collection[int]) -> str:
    return f"{'row' if len(numbers) == 1 else 'rows'} {listed(numbers)}"


def _counted(
    ledger: Ledger, plan: Plan, experiment: str, rows: Mapping[int, Mapping[str, Any]], *, at: str, before: _Before
) -> PortfolioRow:
    """Count one experiment; what is wrong with it is told in its row."""
    try:
        # A new experiment is not started by a batch that is refused.
        with together(ledger) if before.plan_hash is None else nullcontext(ledger) as held:
            _start(held, plan, before)
            look = record(held, plan.name, list(rows.values()), at=at, cumulative=True).look
    except LedgerError:  # the database's refusal is nothing of this experiment's own
        raise
    except StateError as error:
        return _ended(ledger, plan.name, PortfolioRow(experiment, error=str(error)))
    except BayesupliftError as error:
        return PortfolioRow(experiment, error=f"{_rows_said(rows)} of the table: {error}")
    verdict = look["verdict"]
    best = min((row for row in look["arms"] if not row["is_control"]), key=lambda row: row["relative_loss"])
    return PortfolioRow(
        experiment,
        verdict=verdict["name"],
        arm=verdict["arm"],
        units=look["units"],
        treatment=best["arm"],
        prob_best=best["prob_best"],
        lift=best["lift"],
        relative_loss=best["relative_loss"],
    )


def _start(ledger: Ledger, plan: Plan, before: _Before) -> None:
    if before.plan_hash is None:
        state_json = init(plan, before.threshold).as_json()
        ledger.start(plan.name, plan_json=canonical(plan.as_facts()), plan_hash=plan.hash, state_json=state_json)
    elif before.plan_hash != plan.hash:
        raise LedgerConflictError(
            f"experiment {plan.name!r} was started with a plan of hash {before.plan_hash}, and this one has {plan.hash}. A "
            "plan is frozen: give a changed one another name"
        )


def _ended(ledger: Ledger, name: str, row: PortfolioRow) -> PortfolioRow:
    """The row of an experiment that refused its batch, with the verdict that it ended with, if that was why."""
    try:
        state = state_of(ledger, name)
    except StateError:
        return row
    if state.stop is None:
        return row
    return replace(row, verdict=state.stop.name, arm=state.stop.arm, units=sum(state.pooled.n), ended=True)
