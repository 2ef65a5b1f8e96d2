"""The best tree of three cuts on the way to a leaf: by branch and bound, exactly or with a bound on what is missed.

In losses (reward less the row's best reward) more rows never lose less. Roots between two cuts s < t of one column have at
least the rows up to s on their left and those above t on their right, so that for all of them

    value <= V(rows up to s) + V(rows above t),

V being the value of the best tree of two cuts. Such intervals are halved, the most promising one first, until none can beat
the best root found. A leaf of at least m units keeps m - d of them where rows of d units are taken away: with a least
number of units the bound asks for that many.
"""

import heapq
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bayesuplift.decisions.trees.nodes import Node
from bayesuplift.decisions.trees.task import Task, value_of
from bayesuplift.decisions.trees.two_cuts import steps_of, two_cuts, value_of_two_cuts


def three_cuts(task: Task, most_steps: float) -> tuple[Node, float]:
    """The best tree of at most three cuts on the way to a leaf, and what another may at most be worth above it.

    Parameters
    ----------
    task
        Rows and losses.
    most_steps
        Nodes of segment trees to visit, as `steps_of` counts them; where they do not suffice, the best tree so far is
        returned. Of roots that are as good it keeps the one that it came to first.
    """
    fewer = two_cuts(task)
    search = _Search(task, most_steps, value_of(task, fewer))
    upper = search.run()
    return fewer if search.root is None else task.cut(*search.root, two_cuts), max(upper - search.best, 0.0)


@dataclass
class _Search:
    """A search in progress.

    Parameters
    ----------
    task
        Rows and losses.
    steps
        Steps that are left.
    best
        Value of the best tree so far.
    root
        Its column and cut, where the search itself found it.
    """

    task: Task
    steps: float
    best: float
    root: tuple[int, int] | None = None
    known: dict[tuple[int, int, bool, float], float] = field(default_factory=dict)

    def run(self) -> float:
        """Search until nothing is left to find or no step is left; return what no tree exceeds."""
        open_: list[tuple[float, int, int, int]] = []
        units = [
            np.concatenate([[0.0], np.bincount(code, weights=self.task.units).cumsum()]) for code in self.task.code
        ]
        for column, values in enumerate(self.task.values):
            if len(values) > 1:
                heapq.heappush(open_, (0.0, column, -1, len(values) - 1))
        while open_:
            negative, column, low, high = heapq.heappop(open_)
            if -negative <= self.best + self.task.tie:
                return self.best
            if self.steps <= 0.0:
                return -negative
            middle = (low + high) // 2
            self._try(column, middle, units[column])
            for ends in ((low, middle), (middle, high)):
                if ends[1] - ends[0] > 1:
                    bound = min(-negative, self._bound(column, *ends, units[column]))
                    if bound > self.best + self.task.tie:
                        heapq.heappush(open_, (-bound, column, *ends))
        return self.best

    def _try(self, column: int, cut: int, units: NDArray[np.float64]) -> None:
        """See what the best tree with this root is worth."""
        least = self.task.least
        if units[cut + 1] < least or units[-1] - units[cut + 1] < least:
            return
        value = self._value(column, cut, least, left=True) + self._value(column, cut, least, left=False)
        if value > self.best + self.task.tie:
            self.best, self.root = value, (column, cut)

    def _bound(self, column: int, low: int, high: int, units: NDArray[np.float64]) -> float:
        """What no tree with its root between two cuts exceeds."""
        least = max(self.task.least - (units[high + 1] - units[low + 1]), 0.0)
        return self._value(column, low, least, left=True) + self._value(column, high, least, left=False)

    def _value(self, column: int, cut: int, least: float, *, left: bool) -> float:
        """Value of the best tree of two cuts on one side of a cut; -1 and the last code are beyond all rows."""
        if cut == (-1 if left else len(self.task.values[column]) - 1):
            return 0.0
        key = (column, cut, left, least)
        if key not in self.known:
            here = self.task.code[column] <= cut
            side = self.task.among(here if left else ~here)
            self.steps -= steps_of(side)
            self.known[key] = value_of_two_cuts(side, least)
        return self.known[key]
