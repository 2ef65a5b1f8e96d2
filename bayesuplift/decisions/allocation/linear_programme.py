"""HiGHS, asked with its smallest tolerances: the one place that knows it."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

TOLERANCE: Final = 1e-10  # HiGHS allows no less; absolute, so that a programme should be posed in numbers of about one


@dataclass(frozen=True, eq=False)
class Solution:
    """A corner of what the rows allow, where the objective is least.

    Parameters
    ----------
    variables
        (variable,).
    objective
        Its value there.
    prices
        (row,): how much the objective would fall for one more of the row's amount, 0 or more.
    """

    variables: NDArray[np.float64]
    objective: float
    prices: NDArray[np.float64]


def minimise(objective: NDArray[np.float64], rows: Any, amounts: NDArray[np.float64], bounds: Any) -> Solution | None:
    """Minimise a linear objective over rows x <= amounts and bounds, by the dual simplex.

    Parameters
    ----------
    objective
        (variable,).
    rows
        (row, variable), an array or a sparse one. Entries below 1e-9 count as 0.
    amounts
        (row,).
    bounds
        Of every variable, (variable, 2), or of all alike (least, most).

    Returns
    -------
    Solution or None
        None where no solution was found within the tolerance.
    """
    options: Any = {"primal_feasibility_tolerance": TOLERANCE, "dual_feasibility_tolerance": TOLERANCE}
    found: Any = linprog(objective, A_ub=rows, b_ub=amounts, bounds=bounds, method="highs-ds", options=options)
    if found.status != 0:
        return None
    return Solution(found.x, float(found.fun), np.maximum(-found.ineqlin.marginals, 0.0))
