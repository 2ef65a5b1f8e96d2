"""The best tree of two cuts on the way to a leaf, exactly: every root is tried, with the best cuts below it.

With a segment tree for each column and pair of actions, a move of the root's cut takes O(log n), and the search for p
columns and n rows O(p^2 n log n) a pair. The R package policytree (Sverdrup, Kanodia, Zhou, Athey and Wager, 2020, Journal
of Open Source Software 5(50), 2232), whose trees these are, takes O(p^2 n^2 (log n + actions)).
"""

import numpy as np
from numpy.typing import NDArray

from bayesuplift.decisions.trees.nodes import Node
from bayesuplift.decisions.trees.sweep import side_values
from bayesuplift.decisions.trees.task import Task, one_cut, value_of
from bayesuplift.decisions.trees.threads import side_by_side


def two_cuts(task: Task) -> Node:
    """The best tree of at most two cuts on the way to a leaf.

    Of roots that are as good it takes the first column's, and on it the lowest cut; where fewer cuts are as good, fewer.
    """
    fewer = one_cut(task)
    values = _by_column(task, task.least)
    best = max((float(one.max()) for one in values if one.size), default=-np.inf)
    if best <= value_of(task, fewer) + task.tie:
        return fewer
    aim = best - task.tie
    column = next(j for j, one in enumerate(values) if one.size and one.max() >= aim)
    return task.cut(column, int(np.argmax(values[column] >= aim)), one_cut)


def value_of_two_cuts(task: Task, least: float) -> float:
    """Value of the best tree of at most two cuts, with another least number of units; -inf where the rows are too few."""
    if task.total < least:
        return -np.inf
    roots = (float(one.max()) for one in _by_column(task, least) if one.size)
    return max(float(task.loss.sum(axis=0).max()), max(roots, default=-np.inf))


def steps_of(task: Task) -> float:
    """Nodes of segment trees that the search of two cuts visits: from 4 ns each."""
    actions = task.loss.shape[1]
    levels = float(np.ceil(np.log2(task.distinct) / 2.0).sum())
    opened = 2.0 if task.least > 0.0 else 1.0
    return opened * actions * (actions - 1) * len(task.code) * len(task) * levels


def _by_column(task: Task, least: float) -> list[NDArray[np.float64]]:
    """Value of the best tree with its root after each code of a column but the last (cut,); -inf where rows are too few."""
    return side_by_side(lambda code: _roots(task, code, least), task.code, len(task))


def _roots(task: Task, code: NDArray[np.int32], least: float) -> NDArray[np.float64]:
    order = np.argsort(code, kind="stable")
    ends = np.bincount(code).cumsum()
    given = (task.code, task.distinct, task.loss, task.units, least)
    left, right = np.empty(len(ends)), np.empty(len(ends))
    side_values(order, ends, *given, left)
    side_values(order[::-1].copy(), len(task) - np.append(ends[-2::-1], 0), *given, right)
    on_left = np.bincount(code, weights=task.units).cumsum()[:-1]
    allowed = (on_left >= least) & (task.total - on_left >= least)
    return np.where(allowed, left[:-1] + right[-2::-1], -np.inf)
