"""The shallow tree that gives every row an action and earns most: exactly where that is quick, else nearly."""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.decisions.trees.binned import MOST_BINS, binned
from bayesuplift.decisions.trees.nodes import Cut, FoundTree, Node
from bayesuplift.decisions.trees.task import Task, actions_of, constant, one_cut, task_of, value_of
from bayesuplift.decisions.trees.three_cuts import three_cuts
from bayesuplift.decisions.trees.tuning import tuned
from bayesuplift.decisions.trees.two_cuts import steps_of, two_cuts
from bayesuplift.errors import ArgumentError, check_whole, is_finite_number

DEEPEST: Final = 3
_BINS: Final = {2: 64, 3: 32}  # by depth; of three cuts the time goes with the cube of their number


def search_tree(
    x: NDArray[np.float64],
    reward: NDArray[np.float64],
    *,
    depth: int = 2,
    units: NDArray[np.float64] | None = None,
    least_units: float = 0.0,
    bins: int | None = None,
    most_steps: float = 5e8,
) -> FoundTree:
    """Find the tree of at most `depth` cuts on the way to a leaf that maximises sum_i reward[i, action of i's leaf].

    Parameters
    ----------
    x
        Covariates (row, column), finite. A cut lies between two distinct values of a column.
    reward
        What each action earns on each row (row, action), in any unit; the control is an action, too. Where rows stand for
        several units, their sum.
    depth
        From 0, one action for all, to 3.
    units
        Units that each row stands for (row,), above 0; 1 by default.
    least_units
        Units that every leaf needs.
    bins
        Bins of each column, 2 to 256, where the search is not exact: of depth 2 by default 64, of depth 3 32.
    most_steps
        Work that the exact search may take, in nodes of segment trees visited: some 4 ns each. Depths 0 and 1 are always
        exact. Depth 2 is exact where its search, of 2 p^2 n log_4(n) steps for two actions, takes no more. Depth 3 goes
        on until it is sure or has taken them, and then says what it may have missed.

    Returns
    -------
    FoundTree
        Cuts that earn nothing are left out. Of trees that earn the same, to 1e-11 of all that is at stake, it is one of
        fewest cuts on the way to a leaf; then the first column, the lowest cut, the first action. Depth 3 keeps the first
        root that its search meets, which is the same on every run.

    Raises
    ------
    ArgumentError
        Arrays that do not fit each other, hold anything but finite numbers, or an option outside its range.

    Examples
    --------
    >>> x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> reward = np.array([[0.0, 1.0], [0.0, -1.0], [0.0, -1.0], [0.0, 1.0]])
    >>> [search_tree(x, reward, depth=depth).value for depth in range(3)]
    [0.0, 0.0, 2.0]
    """
    check_whole("depth", depth, 0)
    if depth > DEEPEST:
        raise ArgumentError(
            f"depth = {depth}; trees of more than {DEEPEST} cuts on the way to a leaf are not searched for"
        )
    if bins is not None:
        check_whole("bins", bins, 2)
        if bins > MOST_BINS:
            raise ArgumentError(f"bins = {bins}; give a whole number from 2 to {MOST_BINS}")
    if not is_finite_number(most_steps) or most_steps < 0:
        raise ArgumentError(f"most_steps = {most_steps!r}; give the nodes that the search may visit, from 0")
    task = task_of(x, reward, units, least_units)
    root, spare, method = _searched(task, int(depth), bins or _BINS.get(depth, 2), float(most_steps))
    given = np.asarray(reward, dtype=np.float64)
    value = float(given[np.arange(len(task)), actions_of(task, root)].sum())
    return FoundTree(root, value, None if spare is None else value + spare, method)


def _searched(task: Task, depth: int, bins: int, most_steps: float) -> tuple[Node, float | None, str]:
    """A tree, what another may earn above it, and how it was found."""
    if depth <= 1:
        return one_cut(task) if depth == 1 else constant(task), 0.0, "exact"
    affordable = steps_of(task) <= most_steps
    if depth == 2 and affordable:  # noqa: PLR2004 -- the depth
        return two_cuts(task), 0.0, "exact"
    rough = f"cuts between {bins} bins, then moved one by one"
    if not affordable:
        return tuned(task, binned(task, depth, bins)), None, rough
    node, spare = three_cuts(task, most_steps)
    if spare == 0.0:
        return node, 0.0, "exact"
    other = _below_exactly(task, tuned(task, binned(task, depth, bins)))
    more = value_of(task, other) - value_of(task, node)
    if more > task.tie:
        node, spare = other, max(spare - more, 0.0)
    return node, spare, f"branch and bound, stopped, or {rough}"


def _below_exactly(task: Task, node: Node) -> Node:
    """The tree with its root as it is and the best trees of two cuts below it."""
    if not isinstance(node, Cut):
        return node
    left = task.left_of(node)
    return replace(node, left=two_cuts(task.among(left)), right=two_cuts(task.among(~left)))
