"""Units without a counterpart in another arm: estimated propensities that are certain, or nearly, or tell arms apart."""

import math
import warnings
from collections.abc import Sequence
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.errors import DataError, DataWarning, listed

FLOOR: Final = 1e-6
"""A propensity nearer than this to 0 or 1 is refused: no number of units that is met here could tell it from certainty."""

_NEAR: Final = 0.01
_ARMS: Final = 2  # of which one number a unit tells both probabilities
_ADVICE: Final = (
    "Leave out a covariate that is only known after treatment or that names the arm; else restrict the data to units that "
    "could have got "
)


def by_arm(estimates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities (unit, arm) from those of the treatments, (unit,) or (unit, treatment): what is left is the control's.

    >>> by_arm(np.array([0.25])).tolist(), by_arm(np.array([[0.25, 0.5]])).tolist()
    ([[0.75, 0.25]], [[0.25, 0.25, 0.5]])
    """
    treatments = estimates.reshape(len(estimates), -1)
    return np.column_stack([1.0 - treatments.sum(axis=1), treatments])


def check_overlap(chances: NDArray[np.float64], arms: Sequence[str]) -> None:
    """Refuse estimates (unit, arm) that are certain, and warn of those that nearly are."""
    certain, near = ~(chances >= FLOOR), chances < _NEAR
    if certain.any():
        raise DataError(_of_two(certain) if len(arms) == _ARMS else _of_several(certain, arms))
    if near.any():
        found = f"the estimated propensity of {int(near.any(axis=1).sum()):,} of {len(near):,} units is below {_NEAR}"
        rare = "and their effects rest on the model"
        if len(arms) == _ARMS:
            low, high = as_chance(chances[:, 1].min()), as_chance(chances[:, 1].max())
            found += f" or above {1 - _NEAR} ({low} to {high}): units like them are rare in one arm, {rare}. "
            found += f"{_ADVICE}either."
        else:
            found += f" for an arm ({listed(_counts(near, arms))}): units like them are rare there, {rare}. "
            found += f"{_ADVICE}any of the arms."
        warnings.warn(found, DataWarning, stacklevel=3)


def check_told_apart(chances: NDArray[np.float64], arm: NDArray[np.intp], arms: Sequence[str]) -> None:
    """Refuse covariates that tell all units of two arms apart, however far from 0 and 1 the shrunken estimates lie.

    Parameters
    ----------
    chances
        Estimates (unit, arm).
    arm
        Position (unit,) of each unit's arm.
    arms
        Their labels.
    """
    for one, other in combinations(range(len(arms)), 2):
        share = chances[:, other] / (chances[:, one] + chances[:, other])
        if share[arm == other].min() <= share[arm == one].max():
            continue
        if len(arms) == _ARMS:
            raise DataError(
                f"covariates tell the arm of every unit: each of {arms[other]} has a larger estimated propensity than any "
                f"of {arms[one]}, so no unit has a counterpart. {_ADVICE}either."
            )
        raise DataError(
            f"covariates tell every unit of {arms[other]} from every unit of {arms[one]}: of these two arms, each of "
            f"{arms[other]} has a larger estimated propensity for {arms[other]} than any of {arms[one]}, so none has a "
            f"counterpart in the other. {_ADVICE}any of the arms."
        )


def as_chance(chance: float) -> str:
    """A probability to two digits of its distance from 0 or 1, whichever is nearer; three decimals at least.

    >>> as_chance(0.25), as_chance(0.00123456), as_chance(0.99990123)
    ('0.250', '0.0012', '0.999901')
    """
    return f"{chance:.{max(3, 1 - math.floor(math.log10(min(chance, 1.0 - chance))))}f}"


def _of_two(certain: NDArray[np.bool_]) -> str:
    units = certain.any(axis=1)
    return (
        f"the estimated propensity of {int(units.sum()):,} of {len(certain):,} units is nearer than {FLOOR:g} to 0 or 1, "
        f"first in data row {int(np.flatnonzero(units)[0]) + 1}: covariates tell who is treated, and such units have no "
        f"counterpart in the other arm. {_ADVICE}either."
    )


def _of_several(certain: NDArray[np.bool_], arms: Sequence[str]) -> str:
    units = certain.any(axis=1)
    return (
        f"the estimated propensity of {int(units.sum()):,} of {len(certain):,} units is below {FLOOR:g} for an arm "
        f"({listed(_counts(certain, arms))}), first in data row {int(np.flatnonzero(units)[0]) + 1}: covariates tell who "
        f"is not in it, and such units have no counterpart there. {_ADVICE}any of the arms."
    )


def _counts(flags: NDArray[np.bool_], arms: Sequence[str]) -> list[str]:
    """Arms that are flagged of some unit, with the number of these."""
    return [f"{arm}: {int(n):,}" for arm, n in zip(arms, flags.sum(axis=0), strict=True) if n]
