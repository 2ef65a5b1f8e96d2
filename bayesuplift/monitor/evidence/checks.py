"""What the e-values refuse."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesuplift.errors import ArgumentError, is_finite_number, listed

Array = NDArray[np.float64]

_SUM_ROUNDING = 1e-9  # shares and weights typed by hand add up to 1 no better than this
_FEWEST_ARMS = 2


def statistics_of(**given: ArrayLike) -> tuple[Array, ...]:
    """Return statistics as float arrays of one shape (..., arm).

    Raises
    ------
    ArgumentError
        Shapes differ, there are fewer than two arms, or a number is missing or infinite.
    """
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in given.items()}
    shapes = {array.shape for array in arrays.values()}
    shape = next(iter(shapes))
    if len(shapes) > 1 or not shape or shape[-1] < _FEWEST_ARMS:
        found = listed(f"{name} {array.shape}" for name, array in arrays.items())
        raise ArgumentError(f"shapes: {found}; expected one shape (..., arm) for all, with at least two arms")
    for name, array in arrays.items():
        refuse_where(~np.isfinite(array), array, f"{name} is missing or infinite")
    return tuple(arrays.values())


def refuse_where(bad: NDArray[np.bool_], values: Array, fault: str) -> None:
    """Refuse an array with a fault anywhere, and name the first place.

    Raises
    ------
    ArgumentError
        `bad` holds True.
    """
    if bad.any():
        first = np.unravel_index(int(np.argmax(bad)), bad.shape)
        place = tuple(int(i) for i in first)
        raise ArgumentError(f"{fault} at {int(bad.sum())} place(s); first {place}: {values[place]:g}")


def shares_of(split: ArrayLike, arms: int) -> Array:
    """Return the intended split as shares (arm,) that sum to 1 exactly as far as floats can.

    Raises
    ------
    ArgumentError
        It is not one positive share an arm with sum 1.
    """
    shares = np.asarray(split, dtype=np.float64)
    # summed exactly, so that the order of the arms moves no bit
    total = math.fsum(shares.ravel())
    good = shares.shape == (arms,) and bool(np.all(shares > 0.0)) and abs(total - 1.0) <= _SUM_ROUNDING
    if not good:
        raise ArgumentError(f"split = {shares.tolist()}; expected {arms} shares above 0 that sum to 1, one an arm")
    return np.asarray(shares / total, dtype=np.float64)


def check_control(control: int, arms: int) -> None:
    """Refuse a position that no arm has.

    Raises
    ------
    ArgumentError
        It is not a whole number from 0 to one less than the number of arms.
    """
    whole = isinstance(control, int | np.integer) and not isinstance(control, bool)
    if not whole or not 0 <= control < arms:
        raise ArgumentError(f"control = {control!r}; expected the position of an arm, 0 to {arms - 1}")


def check_sign(sign: float) -> None:
    """Refuse a direction that is neither up nor down.

    Raises
    ------
    ArgumentError
        It is neither 1 nor -1.
    """
    if sign not in {1.0, -1.0}:
        raise ArgumentError(f"sign = {sign!r}; give 1 where higher is better, -1 where lower is")


def check_above_zero(name: str, value: float) -> None:
    """Refuse what is no finite number above 0.

    Raises
    ------
    ArgumentError
        It is not.
    """
    if not is_finite_number(value) or value <= 0.0:
        raise ArgumentError(f"{name} = {value!r}; give a finite number above 0")


def share_of_treatment(shares: Array, control: int) -> Array:
    """Share (arm,) of each arm's units among its own and the control's; one half for the control itself."""
    return np.asarray(shares / (shares + shares[control]), dtype=np.float64)
