"""Plain judges of policy trees: every tree tried, and what a tree gives to rows."""

import numpy as np
from numpy.typing import NDArray

from bayesuplift.decisions.trees.nodes import Node, Take


def best_of_all(
    x: NDArray[np.float64], reward: NDArray[np.float64], units: NDArray[np.float64], least: float, depth: int
) -> float:
    """Value of the best tree, by trying every cut and everything below it."""
    best = float(reward.sum(axis=0).max())
    if depth == 0:
        return best
    for column in x.T:
        for value in np.unique(column)[:-1]:
            left = column <= value
            if min(units[left].sum(), units[~left].sum()) >= least:
                sides = (best_of_all(x[at], reward[at], units[at], least, depth - 1) for at in (left, ~left))
                best = max(best, sum(sides))
    return best


def given(node: Node, x: NDArray[np.float64]) -> NDArray[np.intp]:
    """Action of each row (row,), a row at a time."""
    return np.array([_action(node, row) for row in x])


def _action(node: Node, row: NDArray[np.float64]) -> int:
    while not isinstance(node, Take):
        node = node.left if row[node.column] <= node.low else node.right
    return node.action


def worth(node: Node, x: NDArray[np.float64], reward: NDArray[np.float64]) -> float:
    """What the rows earn under a tree."""
    return float(reward[np.arange(len(x)), given(node, x)].sum())
