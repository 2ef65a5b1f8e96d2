"""A table of texts, the same on a page, in Markdown and on a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows of texts under a head.

    Parameters
    ----------
    name
        What a page calls it where it is folded away.
    caption
        What it shows, and how to read it.
    head
        Names of the columns.
    rows
        One text a column.
    words
        Columns of words, aligned at the left, as the first column is.
    folded
        Whether a page folds it away at first.
    """

    name: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: frozenset[int] = frozenset()
    folded: bool = True

    @property
    def left(self) -> tuple[bool, ...]:
        """Whether each column is aligned at the left."""
        return tuple(column == 0 or column in self.words for column in range(len(self.head)))


def as_text(table: Table) -> str:
    """The table for a terminal: columns in line, no caption.

    >>> print(as_text(Table("", "", ("policy", "profit"), (("nobody", "0"), ("everybody", "12")))))
    policy     profit
    nobody          0
    everybody      12
    """
    lines = (table.head, *table.rows)
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.head))]
    return "\n".join(_aligned(line, widths, table.left) for line in lines)


def _aligned(line: Sequence[str], widths: Sequence[int], left: Sequence[bool]) -> str:
    parts = [
        text.ljust(width) if at_left else text.rjust(width)
        for text, width, at_left in zip(line, widths, left, strict=True)
    ]
    return "  ".join(parts).rstrip()
