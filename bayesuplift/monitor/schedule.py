"""Declared looks: which is due, how far the real ones are from them, and which are to come."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bayesuplift.monitor.plan import Plan

TOLERANCE: Final = 0.1
"""Share of a look's units by which a real look may differ from the declared one before its threshold is simulated again."""

_ROUNDING: Final = 1e-9


@dataclass(frozen=True)
class Look:
    """A look that was taken, or is to come.

    Parameters
    ----------
    units
        Units of all arms since the start.
    days
        Days since the start.
    threshold
        That it was, or will be, held against; None where it is to be found.
    """

    units: int
    days: float
    threshold: float | None = None


def declared(plan: Plan) -> tuple[Look, ...]:
    """All looks of the plan."""
    looks = plan.looks
    return tuple(Look(k * looks.units, k * looks.days) for k in range(1, looks.number + 1))


def is_due(plan: Plan, taken: Sequence[Look], units: int) -> bool:
    """Whether these units make a declared look; under the promises that hold for any looking every batch does."""
    return plan.rule.promise != "calibrated" or _arrived(plan, taken, units) >= 1.0 - TOLERANCE


def deviates(plan: Plan, taken: Sequence[Look], units: int) -> bool:
    """Whether more units came since the last look than the plan declares."""
    return plan.rule.promise == "calibrated" and _arrived(plan, taken, units) > 1.0 + TOLERANCE


def to_come(plan: Plan, taken: Sequence[Look], now: Look) -> tuple[Look, ...]:
    """Looks after this one: as many declared ones as the plan's units still hold, and its number of looks allows.

    The last may be smaller; a rest within the tolerance is no look.
    """
    looks = plan.looks
    room = looks.number - len(taken) - 1
    rest = looks.number * looks.units - now.units
    left = max(0, min(room, math.ceil(rest / looks.units - TOLERANCE - _ROUNDING)))
    return tuple(Look(now.units + min(k * looks.units, rest), now.days + k * looks.days) for k in range(1, left + 1))


def next_units(plan: Plan, taken: Sequence[Look]) -> int:
    """Units of the next declared look."""
    return (taken[-1].units if taken else 0) + _size(plan, taken)


def _arrived(plan: Plan, taken: Sequence[Look], units: int) -> float:
    """Units since the last look, as a share of those of the next."""
    return (units - (taken[-1].units if taken else 0)) / _size(plan, taken)


def _size(plan: Plan, taken: Sequence[Look]) -> int:
    """Units of the next look; the plan's last may be smaller."""
    looks = plan.looks
    rest = looks.number * looks.units - (taken[-1].units if taken else 0)
    return min(looks.units, rest) if rest > TOLERANCE * looks.units else looks.units
