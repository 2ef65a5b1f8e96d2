"""Sums of squares turned into sums of squared deviations, where enough digits are left."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.moments import CODEVIATIONS, DEVIATIONS
from bayesuplift.errors import DataError, listed

SQUARES: Final = {
    "sum_squared_deviations": "total_squares",
    "sum_squared_log_deviations": "total_squared_logs",
    "covariate_sum_squared_deviations": "covariate_total_squares",
    "sum_codeviations": "total_products",
}
"""What may stand in the place of deviations: the sum of squares, or of products, about 0. Products come last."""

_EXACT: Final = 2.0**53
_LOST: Final = 1e-10
"""Deviations' share in the sum of squares below which, of a float's 16 digits, fewer than six are left of them."""
_SIX_DIGITS: Final = 1e-6
_SHOWN: Final = 3


def deviations_of(statistics: Mapping[str, NDArray[np.float64]], rows: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """S = Q - T²/n in the place of every sum of squares Q, and C = P - T·U/n in that of a sum of products P.

    Sums of whole numbers up to 2^53 are exact, and so is what is left of them; other sums were rounded, and where
    T²/n takes all but a 10^-10th of Q, fewer than six digits of S are true.

    Parameters
    ----------
    statistics
        Arrays (row,) by name.
    rows
        Name (row,) of each row, for the message.

    Raises
    ------
    DataError
        Fewer than six digits are left of a row's deviations, or they are below 0.
    """
    result = {name: np.array(values) for name, values in statistics.items() if name not in SQUARES.values()}
    for name, squares in SQUARES.items():
        if squares not in statistics:
            continue
        if name in CODEVIATIONS:
            count, left, right = CODEVIATIONS[name]
            bound = np.sqrt(result["sum_squared_deviations"]) * np.sqrt(result["covariate_sum_squared_deviations"])
        else:
            (count, left), bound = DEVIATIONS[name], None
            right = left
        lost = []
        result[name] = np.zeros(len(rows))
        for i, row in enumerate(rows):
            n, t, u, q = (float(statistics[part][i]) for part in (count, left, right, squares))
            if n <= 1 or (bound is not None and bound[i] == 0):
                continue  # One value is its own mean, and what does not vary does not vary together.
            taken = Fraction(t) * Fraction(u) / Fraction(n)
            deviations = float(Fraction(q) - taken)
            result[name][i] = deviations
            whole = all(value.is_integer() and abs(value) <= _EXACT for value in (t, u, q))
            of, scale = (deviations, q) if bound is None else (bound[i], abs(float(taken)))
            if of < 0 or (not whole and of < _LOST * scale):
                lost.append(f"{row} ({squares} {q:.17g}, {left}·{right}/{count} {float(taken):.17g})")
        if lost:
            raise DataError(
                f"fewer than six digits of {name} are left in {len(lost):,} of {len(rows):,} rows: "
                f"{listed(lost, _SHOWN)}. A sum of squares loses them where the mean is large against the spread: make "
                f"{name} in the query, about the row's own mean (in SQL, n times var_pop or covar_pop)."
            )
        if bound is not None:
            # Six digits of a correlation of one may lie above it.
            near = np.abs(result[name]) <= bound * (1 + _SIX_DIGITS)
            result[name] = np.where(near, np.clip(result[name], -bound, bound), result[name])
    return result
