"""Columns of a search side by side: its kernels and NumPy's sorts let other threads run meanwhile."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

One = TypeVar("One")
Made = TypeVar("Made")

_WORTH_A_THREAD: Final = 5000  # rows, below which a column is done in less time than a thread starts in


def side_by_side(make: Callable[[One], Made], given: Iterable[One], rows: int) -> list[Made]:
    """What `make` makes of each, in their order, on all processors that this process may use where it has many rows."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if rows < _WORTH_A_THREAD or threads == 1:
        return list(map(make, given))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(make, given))
