"""Rows as causal forests take them: an outcome, who was treated, and what each forest may ask for."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.errors import ArgumentError, is_finite_number

Array = NDArray[np.float64]

_DIMENSIONS: Final = {"outcome": 1, "arm": 1, "prognostic": 2, "moderators": 2, "weight": 1}


@dataclass(frozen=True)
class CausalRows:
    """What a sampler of causal forests is given; checked once, here.

    Attributes
    ----------
    outcome
        (n,): y; 0 or 1 where it is binary.
    arm
        (n,): position of each row's arm, from 0, the control; every arm has rows.
    prognostic
        (n, p): covariates of mu, the estimated propensities among them where assignment was not randomized.
    moderators
        (n, q): covariates of the effect.
    weight
        (n,): row i's noise has variance sigma^2 / weight[i]; 1 where not given.
    binary
        Whether the outcome is binary: 1 where a normal value of variance 1 behind it is above 0. Rows are units then.
    within_degrees, within_squares
        Where rows are means of `weight` units each: units less rows, and the sum of squares of units about the row's
        mean. The noise is then learned from the units, and cells of identical rows stand for them exactly.
    groups
        (n,) of each term of groups: position of each row's level, from 0.
    doses
        (arm,): dose of each arm, all different; None where arms are no doses of one treatment.
    """

    outcome: Array
    arm: NDArray[np.intp]
    prognostic: Array
    moderators: Array
    weight: Array | None = None
    binary: bool = False
    within_degrees: float = 0.0
    within_squares: float = 0.0
    groups: tuple[NDArray[np.intp], ...] = ()
    doses: Array | None = None

    @property
    def units(self) -> Array | None:
        """Units that each row (n,) stands for; None where that is one: its weight is a precision, and counts nobody."""
        return self.weight if self.within_degrees else None

    def __post_init__(self) -> None:
        n = len(np.atleast_1d(self.outcome))
        for name, dimensions in _DIMENSIONS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _checked(name, value, n, dimensions))
        object.__setattr__(self, "arm", _positions("arm", self.arm))
        if not self.arm.size or (np.bincount(self.arm) == 0).any() or not self.arm.max():
            raise ArgumentError("arms must count from 0, the control, with rows of each of at least two")
        object.__setattr__(self, "groups", tuple(_positions("groups", one, n) for one in self.groups))
        if self.doses is not None:
            object.__setattr__(self, "doses", _doses(self.doses, int(self.arm.max()) + 1))
        if self.weight is not None and (self.weight <= 0.0).any():
            raise ArgumentError("a weight is 0 or negative; drop these rows, or give weights above 0")
        if self.binary and (not np.isin(self.outcome, (0.0, 1.0)).all() or self.weight is not None):
            raise ArgumentError("a binary outcome must be 0 or 1, of one unit a row: without weights")
        for name in ("within_degrees", "within_squares"):
            value = getattr(self, name)
            if not is_finite_number(value) or value < 0.0:
                raise ArgumentError(f"{name} = {value!r}; give a number from 0")


def _checked(name: str, value: Any, n: int, dimensions: int) -> Array:
    found = np.ascontiguousarray(value, dtype=np.float64)
    if found.ndim != dimensions or len(found) != n:
        raise ArgumentError(f"{name} has shape {found.shape}; expected {(n,) if dimensions == 1 else (n, 'columns')}")
    if not np.isfinite(found).all():
        raise ArgumentError(f"{name} holds missing or infinite values; fill or drop these rows first")
    return found


def _doses(value: Any, arms: int) -> Array:
    found = np.ascontiguousarray(value, dtype=np.float64)
    if found.shape != (arms,) or not np.isfinite(found).all() or len(np.unique(found)) < arms:
        raise ArgumentError(f"doses = {found}; give a finite number for each of {arms} arms, all different")
    return found


def _positions(name: str, value: Any, n: int | None = None) -> NDArray[np.intp]:
    found = np.asarray(value)
    if found.ndim != 1 or (n is not None and len(found) != n) or (found != np.floor(found)).any() or (found < 0).any():
        raise ArgumentError(f"{name} of shape {found.shape}: expected a whole number from 0 for every row")
    return np.ascontiguousarray(found, dtype=np.intp)
