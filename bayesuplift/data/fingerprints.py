"""Numbers as text for a fingerprint: to the digits that every engine agrees on."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

_TILT: Final = math.pi / 3


def ten_digits(value: float) -> str:
    """Ten significant digits of a number."""
    # Amounts in cents and their squares lie exactly half-way between two roundings again and again, where the last bit
    # decides; times an irrational number they do not. Adding 0.0 turns a negative zero into zero.
    return f"{value * _TILT + 0.0:.9e}"


def ten_digits_of(values: NDArray[np.generic]) -> list[object]:
    """Whole numbers as they are, others to ten significant digits."""
    if np.issubdtype(values.dtype, np.integer):
        return values.ravel().tolist()
    return [ten_digits(value) for value in values.ravel().tolist()]


def mean_digits(total: NDArray[np.float64], n: NDArray[np.int64]) -> list[str]:
    """Totals as ten decimals of the mean, for what has a scale of its own, as log odds have.

    Significant digits of a total would be noise where positive and negative values cancel.
    """
    return [f"{round(value * _TILT, 10) + 0.0:.10f}" for value in (total / np.maximum(n, 1)).ravel().tolist()]


def correlation_digits(
    codeviations: NDArray[np.float64], left: NDArray[np.float64], right: NDArray[np.float64]
) -> list[str]:
    """Co-deviations as ten decimals of the correlation r = C / √(S·S').

    Significant digits of C itself would be noise where the correlation is nought: C is then what rounding left over.
    """
    bound = np.sqrt(left) * np.sqrt(right)
    correlation = np.where(bound > 0, codeviations / np.where(bound > 0, bound, 1.0), 0.0)
    return [f"{round(value * _TILT, 10) + 0.0:.10f}" for value in correlation.ravel().tolist()]
