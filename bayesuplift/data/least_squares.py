"""What the outcomes of any number of units say of a linear regression, in as many numbers as it has coefficients."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Triangular:
    """Regressions of one outcome on an intercept and the same columns, one for each arm's units.

    With A = Q R the rows of an arm, y = A theta + e and e ~ Normal(0, sigma^2 I), the two statistics

        z = Q'y ~ Normal(R theta, sigma^2 I),      |y - Q z|^2 ~ sigma^2 chi-square(n - rows of R)

    are independent and together sufficient, Golub and Van Loan (2013), Matrix Computations, section 5.3.2; that holds of
    any Q with orthonormal columns that span those of A, so also where columns are combinations of each other.

    Parameters
    ----------
    n
        Units (arm,).
    triangle
        R (arm, component, 1 + column); of an arm with fewer units than components the rows past its last unit are 0.
    projection
        z (arm, component), outcome units; 0 where there is no row.
    residual
        |y - Q z|^2 (arm,), outcome units squared.
    """

    n: NDArray[np.int64]
    triangle: NDArray[np.float64]
    projection: NDArray[np.float64]
    residual: NDArray[np.float64]


def triangular(
    columns: NDArray[np.float64], outcome: NDArray[np.float64], arm: NDArray[np.intp], arms: int
) -> Triangular:
    """Reduce units to what a regression by arm needs.

    Parameters
    ----------
    columns
        (unit, column), best about their means and of one scale.
    outcome, arm
        Outcome and position of the arm (unit,).
    arms
        How many arms there are.
    """
    width = columns.shape[1] + 1
    n = np.bincount(arm, minlength=arms)
    triangle, projection = np.zeros((arms, width, width)), np.zeros((arms, width))
    residual = np.zeros(arms)
    for k in range(arms):
        members = arm == k
        rows = np.column_stack([np.ones(n[k]), columns[members]])
        q, r = np.linalg.qr(rows)
        y = outcome[members]
        along = q.T @ y
        triangle[k, : len(r)], projection[k, : len(r)] = r, along
        residual[k] = ((y - q @ along) ** 2).sum()
    return Triangular(n.astype(np.int64), triangle, projection, residual)
