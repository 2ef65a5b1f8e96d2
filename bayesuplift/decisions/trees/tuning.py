"""A tree made better cut by cut: each in turn is set to the best for the trees below it, over all columns and values."""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.decisions.trees.nodes import Cut, Node, Take, depth_of, leaves, merged
from bayesuplift.decisions.trees.task import Task, constant, loss_of, one_cut, value_of

_ROUNDS: Final = 8  # two or three are usual


def tuned(task: Task, node: Node) -> Node:
    """The tree after rounds of such changes, until none makes it better; never worse than before.

    With the trees L and R below a cut as they are, a row is worth v_L on one side and v_R on the other: the best cut is
    then that of one cut for the two actions "as L says" and "as R says". The last cuts on every way have to be the best
    for their rows already.
    """
    for _ in range(_ROUNDS):
        before, node = node, _round(task, node, new=False)
        if node is before:
            break
    return node


def _round(task: Task, node: Node, *, new: bool) -> Node:
    """One round over these rows, the node itself where nothing changes; `new` where other rows came here before."""
    if isinstance(node, Take):
        return constant(task) if new else node
    if isinstance(node.left, Take) and isinstance(node.right, Take):
        return one_cut(task) if new else node
    losses = np.column_stack([loss_of(task, side) for side in (node.left, node.right)])
    better = _settled(task, _filled(one_cut(replace(task, loss=losses)), node), np.ones(len(task), dtype=np.bool_))
    if value_of(task, better) > value_of(task, node) + task.tie and all(
        at.units >= task.least for at in leaves(better)
    ):
        node, new = better, True
    if isinstance(node, Take):
        return node
    left = task.left_of(node)
    sides = [
        _round(task.among(there), below, new=new) if new or depth_of(below) > 1 else below
        for there, below in ((left, node.left), (~left, node.right))
    ]
    if sides[0] is node.left and sides[1] is node.right:
        return node
    return merged(replace(node, left=sides[0], right=sides[1]))


def _filled(cut: Node, node: Cut) -> Node:
    """The trees below a node in place of leaves that name its left one 0 and its right one 1."""
    if isinstance(cut, Take):
        return node.right if cut.action else node.left
    return replace(cut, left=_filled(cut.left, node), right=_filled(cut.right, node))


def _settled(task: Task, node: Node, there: NDArray[np.bool_]) -> Node:
    """The same actions for some rows: units counted anew, ends of cuts at values that are there, no empty leaf."""
    if isinstance(node, Take):
        return replace(node, units=float(task.units[there].sum()))
    left = task.left_of(node)
    sides = [there & left, there & ~left]
    for side, below in zip(sides, (node.right, node.left), strict=True):
        if not side.any():
            return _settled(task, below, there)
    code, values = task.code[node.column], task.values[node.column]
    low, high = values[code[sides[0]].max()], values[code[sides[1]].min()]
    below_it = [_settled(task, below, side) for side, below in zip(sides, (node.left, node.right), strict=True)]
    return Cut(node.column, float(low), float(high), below_it[0], below_it[1])
