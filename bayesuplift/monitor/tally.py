"""Sums by segment and arm: whole numbers wherever the plan allows, so that any split into batches gives the same bits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.monitor.plan import Metric, Plan

Number = int | float
Segment = tuple[str, ...]
EVERYBODY: Final[Segment] = ()


@dataclass(frozen=True)
class Tally:
    """Sums of one segment, by arm in the design's order.

    Parameters
    ----------
    n
        Units.
    totals, squares
        By metric: sums of outcomes and of their squares. Where the metric has a resolution they are whole numbers, of
        that step and of its square; of a binary metric squares are left out, being the totals.
    """

    n: tuple[int, ...]
    totals: Mapping[str, tuple[Number, ...]]
    squares: Mapping[str, tuple[Number, ...]]

    def __add__(self, other: "Tally") -> "Tally":
        """The sums of both."""
        return Tally(
            n=_added(self.n, other.n),
            totals={name: _added(sums, other.totals[name]) for name, sums in self.totals.items()},
            squares={name: _added(sums, other.squares[name]) for name, sums in self.squares.items()},
        )

    def __sub__(self, other: "Tally") -> "Tally":
        """What is in this and not in the other."""
        return self + Tally(
            n=_turned(other.n),
            totals={name: _turned(sums) for name, sums in other.totals.items()},
            squares={name: _turned(sums) for name, sums in other.squares.items()},
        )

    def statistics(self, metric: Metric) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """`n`, `total` and `squares` (arm,) of a metric, in outcome units."""
        step = 1.0 if metric.resolution is None else metric.resolution
        totals = self.totals[metric.name]
        squares = self.squares.get(metric.name, totals)
        return (
            np.array(self.n, dtype=np.float64),
            np.array(totals, dtype=np.float64) * step,
            np.array(squares, dtype=np.float64) * step**2,
        )

    def as_facts(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "n": list(self.n),
            "totals": {name: list(sums) for name, sums in self.totals.items()},
            "squares": {name: list(sums) for name, sums in self.squares.items()},
        }

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> "Tally":
        """The tally that `as_facts` told."""
        return cls(
            n=tuple(facts["n"]),
            totals={name: tuple(sums) for name, sums in facts["totals"].items()},
            squares={name: tuple(sums) for name, sums in facts["squares"].items()},
        )


def nothing(plan: Plan) -> Tally:
    """The tally of no units."""
    zeros = (0,) * len(plan.design.arms)
    return Tally(
        n=zeros,
        totals={metric.name: _zeros(metric, zeros) for metric in plan.metrics},
        squares={metric.name: _zeros(metric, zeros) for metric in plan.metrics if metric.kind != "binary"},
    )


def pooled(plan: Plan, tallies: Iterable[Tally]) -> Tally:
    """The sum over segments."""
    return sum(tallies, start=nothing(plan))


def is_exact(metric: Metric) -> bool:
    """Whether the metric's sums are kept as whole numbers."""
    return metric.kind == "binary" or metric.resolution is not None


def _zeros(metric: Metric, zeros: tuple[int, ...]) -> tuple[Number, ...]:
    return zeros if is_exact(metric) else tuple(0.0 for _ in zeros)


def _added(left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(one + other for one, other in zip(left, right, strict=True))


def _turned(sums: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(-one for one in sums)
