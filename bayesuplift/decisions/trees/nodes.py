"""A tree over the columns of an array, as the searches find it: cuts between two values, and an action in every leaf."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Take:
    """A leaf.

    Parameters
    ----------
    action
        Column of the reward that its rows get.
    units
        Weight of its rows.
    """

    action: int
    units: float


@dataclass(frozen=True)
class Cut:
    """Rows in two by one column: those with x <= low go left, those with x >= high go right, and no row here is between.

    Parameters
    ----------
    column
        The column that is asked.
    low, high
        The largest value that goes left and the smallest that goes right, of the rows that come here.
    left, right
        What lies below.
    """

    column: int
    low: float
    high: float
    left: "Cut | Take"
    right: "Cut | Take"


Node = Cut | Take


@dataclass(frozen=True)
class FoundTree:
    """What a search found.

    Parameters
    ----------
    root
        The tree.
    value
        Sum over rows of the reward of their leaf's action.
    upper
        What no tree of this depth and these leaves exceeds, but for rounding: the value itself where the search was
        exact; None where it cannot say.
    method
        How it was found, in words.
    """

    root: Node
    value: float
    upper: float | None
    method: str

    @property
    def exact(self) -> bool:
        """Whether no tree of this depth is better."""
        return self.upper is not None and self.upper <= self.value


def merged(cut: Cut) -> Node:
    """The cut, or one leaf where both of its sides are leaves of the same action."""
    left, right = cut.left, cut.right
    if isinstance(left, Take) and isinstance(right, Take) and left.action == right.action:
        return Take(left.action, left.units + right.units)
    return cut


def leaves(node: Node) -> Iterator[Take]:
    """Leaves from left to right."""
    if isinstance(node, Take):
        yield node
    else:
        yield from leaves(node.left)
        yield from leaves(node.right)


def depth_of(node: Node) -> int:
    """Cuts on the longest way from the root to a leaf."""
    return 0 if isinstance(node, Take) else 1 + max(depth_of(node.left), depth_of(node.right))
