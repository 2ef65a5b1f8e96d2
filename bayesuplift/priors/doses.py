"""Doses of arms: the numbers that their labels spell."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.errors import ArgumentError

_LARGEST: Final = 1e9
_SMALLEST: Final = 1e-9


def doses_of(arms: Sequence[str]) -> NDArray[np.float64]:
    """Dose (arm,) of each arm, by its label.

    Parameters
    ----------
    arms
        Labels, the control's first.

    Raises
    ------
    ArgumentError
        A label is not a finite number, two are the same one, or the farthest from the control's is nearer than 1e-9 or
        farther than 1e9: effects per unit of dose are kept in single precision.

    >>> doses_of(["0", "5", "12.5"])
    array([ 0. ,  5. , 12.5])
    """
    found: dict[float, str] = {}
    for arm in arms:
        dose = _dose(arm)
        if dose in found:
            raise ArgumentError(
                f"ForestPrior: coding = 'dose', and the arms '{found[dose]}' and '{arm}' are the same dose, {dose:g}; give "
                f"them one label, or coding='treated', where every arm has an effect of its own"
            )
        found[dose] = arm
    doses = list(found)
    reach = max(abs(dose - doses[0]) for dose in doses)
    if not _SMALLEST <= reach <= _LARGEST:
        raise ArgumentError(
            f"ForestPrior: coding = 'dose', and the doses reach {reach:g} from the control's, '{arms[0]}'; expected from "
            f"{_SMALLEST:g} to {_LARGEST:g}: label the arms in {'larger' if reach > 1.0 else 'smaller'} units"
        )
    return np.array(doses)


def _dose(arm: str) -> float:
    """The number that a label spells."""
    try:
        dose = math.nan if "_" in arm else float(arm)  # Python reads 2024_01 as a number
    except ValueError:
        dose = math.nan
    if math.isfinite(dose):
        return dose
    raise ArgumentError(
        f"ForestPrior: coding = 'dose' takes labels of arms as doses, and '{arm}' is not a finite number; label the arms "
        f"by numbers, such as 0, 5 and 10, or give coding='treated', where every arm has an effect of its own"
    )
