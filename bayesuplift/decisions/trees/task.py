"""What a tree is searched for: rows with covariates, a reward for each action, and the order of every column."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.decisions.trees.kernels import best_cut, recode
from bayesuplift.decisions.trees.nodes import Cut, Node, Take
from bayesuplift.decisions.trees.threads import side_by_side
from bayesuplift.errors import ArgumentError, is_finite_number

_TIE: Final = 1e-11  # of all that actions can differ by: what two orders of one sum may differ by at a million rows
_ROUNDING: Final = 1e-9  # of the least units: by how much a sum of fractional units may miss them
_FEWEST_ACTIONS: Final = 2


@dataclass(frozen=True, eq=False)
class Task:
    """Rows, and what each action earns on them.

    Parameters
    ----------
    values
        Distinct values of each column (value,), ascending.
    code
        Place (column, row) of each row's value among these.
    loss
        Reward less the row's best reward (row, action): not above 0. Its best trees are the reward's, and more rows never
        lose less.
    units
        Weight of each row (row,).
    least
        Units that each leaf needs.
    tie
        Values closer than this are equal.
    """

    values: tuple[NDArray[np.float64], ...]
    code: NDArray[np.int32]
    loss: NDArray[np.float64]
    units: NDArray[np.float64]
    least: float
    tie: float

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.loss)

    @property
    def total(self) -> float:
        """Units of all rows."""
        return float(self.units.sum())

    @property
    def distinct(self) -> NDArray[np.int64]:
        """Number of values of each column (column,)."""
        return np.array([len(values) for values in self.values])

    def among(self, member: NDArray[np.bool_]) -> "Task":
        """The same for some rows."""
        code = np.empty((len(self.code), int(member.sum())), dtype=np.int32)
        values = []
        for column, (old, had) in enumerate(zip(self.code, self.values, strict=True)):
            code[column], kept = recode(old, member, len(had))
            values.append(had[kept])
        return replace(self, values=tuple(values), code=code, loss=self.loss[member], units=self.units[member])

    def cut(self, column: int, last: int, below: Callable[["Task"], Node]) -> Cut:
        """A cut after a code of a column, with the trees that `below` finds on both of its sides."""
        left = self.code[column] <= last
        low, high = (float(value) for value in self.values[column][last : last + 2])
        return Cut(column, low, high, below(self.among(left)), below(self.among(~left)))

    def left_of(self, cut: Cut) -> NDArray[np.bool_]:
        """Whether each row goes left at a cut (row,)."""
        return self.code[cut.column] < np.searchsorted(self.values[cut.column], cut.low, side="right")


def task_of(
    x: NDArray[np.float64],
    reward: NDArray[np.float64],
    units: NDArray[np.float64] | None = None,
    least_units: float = 0.0,
) -> Task:
    """Validate rows, and sort them by every column.

    Raises
    ------
    ArgumentError
        Shapes that do not fit, fewer than two actions, no row or no column, a value that is missing or infinite, units
        that are not above 0, or a number of least units below 0.
    """
    x, reward = (np.ascontiguousarray(one, dtype=np.float64) for one in (x, reward))
    if x.ndim != 2 or reward.ndim != 2 or len(x) != len(reward) or not len(x):  # noqa: PLR2004 -- tables
        raise ArgumentError(
            f"covariates of shape {x.shape} and rewards of shape {reward.shape}; give (row, column) and (row, action) of "
            f"the same rows, at least one"
        )
    if reward.shape[1] < _FEWEST_ACTIONS:
        raise ArgumentError("one action leaves nothing to choose; give the reward of the control as a column, too")
    weight = np.ones(len(x)) if units is None else np.ascontiguousarray(units, dtype=np.float64)
    if weight.shape != (len(x),):
        raise ArgumentError(f"units of shape {weight.shape} for {len(x):,} rows; give one weight a row")
    for name, values in (("covariates", x), ("reward", reward), ("units", weight)):
        bad = ~np.isfinite(values) | ((values <= 0.0) if name == "units" else False)
        if bad.any():
            where = tuple(int(at) for at in np.argwhere(bad)[0])
            expected = "finite weights above 0" if name == "units" else "finite numbers"
            raise ArgumentError(f"{name}: {values[where]:g} at {where}, and {int(bad.sum()) - 1} more; give {expected}")
    if not is_finite_number(least_units) or least_units < 0:
        raise ArgumentError(f"least_units = {least_units!r}; give the units that a leaf needs, from 0")
    loss = reward - reward.max(axis=1, keepdims=True)
    code = np.empty((x.shape[1], len(x)), dtype=np.int32)
    distinct = side_by_side(lambda column: _coded(x[:, column], code[column]), range(x.shape[1]), len(x))
    least = float(least_units) * (1.0 - _ROUNDING)
    return Task(tuple(distinct), code, loss, weight, least, _TIE * -float(loss.min(axis=1).sum()))


def _coded(given: NDArray[np.float64], code: NDArray[np.int32]) -> NDArray[np.float64]:
    """Distinct values of a column, and in `code` the place of each row's value among them."""
    order = np.argsort(given, kind="stable")
    ordered = given[order]
    first = np.append(True, ordered[1:] != ordered[:-1])
    code[order] = first.cumsum() - 1
    return ordered[first]


def loss_of(task: Task, node: Node) -> NDArray[np.float64]:
    """What each row loses under a tree (row,)."""
    return task.loss[np.arange(len(task)), actions_of(task, node)]


def value_of(task: Task, node: Node) -> float:
    """Value of a tree."""
    return float(loss_of(task, node).sum())


def actions_of(task: Task, node: Node) -> NDArray[np.intp]:
    """Action of each row under a tree (row,)."""
    found = np.empty(len(task), dtype=np.intp)
    waiting = [(node, np.arange(len(task)))]
    while waiting:
        here, rows = waiting.pop()
        if isinstance(here, Take):
            found[rows] = here.action
            continue
        left = task.left_of(here)[rows]
        waiting += [(here.left, rows[left]), (here.right, rows[~left])]
    return found


def constant(task: Task) -> Take:
    """The best single action, the first of equals."""
    return _take(task, np.ones(len(task), dtype=np.bool_))


def one_cut(task: Task) -> Node:
    """The best tree of at most one cut: the first column, and on it the lowest cut, of those that are as good."""
    leaf = constant(task)
    enough = value_of(task, leaf) + task.tie
    columns = list(zip(task.code, map(len, task.values), strict=True))
    given = (task.loss, task.units, task.least)
    best, most = np.empty(len(columns)), enough
    for j, column in enumerate(columns):
        # a column may hide cuts worth less than the best so far, by more than a tie
        best[j] = best_cut(*column, *given, most - 2.0 * task.tie, np.inf)[0]
        most = max(most, best[j])
    if most <= enough:
        return leaf
    aim = most - task.tie
    j = int(np.argmax(best >= aim))
    _, last = best_cut(*columns[j], *given, aim - task.tie, aim)
    low, high = (float(value) for value in task.values[j][last : last + 2])
    left = task.code[j] <= last
    return Cut(j, low, high, _take(task, left), _take(task, ~left))


def _take(task: Task, there: NDArray[np.bool_]) -> Take:
    values = task.loss[there].sum(axis=0)
    return Take(int(np.argmax(values >= values.max() - task.tie)), float(task.units[there].sum()))
