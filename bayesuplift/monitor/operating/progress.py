"""How far a simulation is, told by experiments done of all that are to be."""

from collections.abc import Callable
from threading import Lock

Progress = Callable[[int, int], object]
"""Called with the number of simulated experiments done, and of all."""


class Counter:
    """Counts the experiments of several parts, which may run side by side, as one.

    Parameters
    ----------
    progress
        Told after every count; none: nobody is.
    of
        Number of all experiments.
    """

    def __init__(self, progress: Progress | None, of: int) -> None:
        """Begin at none."""
        self._progress, self._of = progress, of
        self._done = 0
        self._lock = Lock()

    def add(self, more: int) -> None:
        """Count more experiments as done."""
        with self._lock:
            self._done += more
            if self._progress is not None:
                self._progress(self._done, self._of)

    def part(self) -> Progress:
        """The progress of one part, counted here."""
        before = 0

        def told(done: int, _: int) -> None:
            nonlocal before
            self.add(done - before)
            before = done

        return told
