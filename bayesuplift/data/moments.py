"""Merging sufficient statistics: counts add, deviations merge about the new mean."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesuplift.dims import LOG_ODDS_TOTAL

Statistics = Mapping[str, NDArray[np.generic]]

ADDED: Final = ("n", "total", "exposure", "positives", "total_log", "covariate_total", LOG_ODDS_TOTAL)
"""Statistics that add up over disjoint groups of units."""

DEVIATIONS: Final = {
    "sum_squared_deviations": ("n", "total"),
    "sum_squared_log_deviations": ("positives", "total_log"),
    "covariate_sum_squared_deviations": ("n", "covariate_total"),
}
"""Sums of squared deviations, each with the count and the total of what deviates."""

CODEVIATIONS: Final = {"sum_codeviations": ("n", "total", "covariate_total")}
"""Sums of products of two deviations, each with the count and the two totals."""


def merge_deviations(
    left: tuple[ArrayLike, ArrayLike, ArrayLike], right: tuple[ArrayLike, ArrayLike, ArrayLike]
) -> NDArray[np.float64]:
    """S = S1 + S2 + n1·n2/(n1 + n2)·(T2/n2 - T1/n1)², the squared deviations of two groups about their common mean.

    Parameters
    ----------
    left, right
        (n, T, S) of each group: number of values, their total, and the sum of their squared deviations about their own
        mean; arrays of one shape. A group of nobody adds nothing.

    References
    ----------
    Chan, Golub and LeVeque (1983), Algorithms for computing the sample variance, The American Statistician 37(3),
    equation 2.1b.
    """
    (n1, t1, s1), (n2, t2, s2) = left, right
    return merge_codeviations((n1, t1, t1, s1), (n2, t2, t2, s2))


def merge_codeviations(
    left: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike], right: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike]
) -> NDArray[np.float64]:
    """C = C1 + C2 + n1·n2/(n1 + n2)·(T2/n2 - T1/n1)·(U2/n2 - U1/n1), the co-deviations about the common means.

    Parameters
    ----------
    left, right
        (n, T, U, C) of each group: number of pairs, the totals of their two members, and the sum of the products of
        the members' deviations from their own means; arrays of one shape. A group of nobody adds nothing.

    References
    ----------
    Chan, Golub and LeVeque (1983), equation 2.1b as in `merge_deviations`, polarised: the square of the difference of
    two means becomes the product of two such differences.
    """
    n1, t1, u1, c1 = (np.asarray(part, dtype=np.float64) for part in left)
    n2, t2, u2, c2 = (np.asarray(part, dtype=np.float64) for part in right)
    both = (n1 > 0) & (n2 > 0)
    of1, of2 = np.where(both, n1, 1.0), np.where(both, n2, 1.0)
    # Totals are divided before they are subtracted: n1·T2 - n2·T1 of the paper would lose the digits of a large mean.
    between = (t2 / of2 - t1 / of1) * (u2 / of2 - u1 / of1)
    weight = np.where(both, n1 / np.where(both, n1 + n2, 1.0) * n2, 0.0)
    return c1 + c2 + np.where(both, weight * between, 0.0)


def merge(left: Statistics, right: Statistics) -> dict[str, NDArray[np.generic]]:
    """Statistics of the union of two disjoint groups of units.

    Parameters
    ----------
    left, right
        The same statistics of each group, arrays of one shape. `maximum` is that of amounts, which are never negative.
    """
    merged: dict[str, NDArray[np.generic]] = {}
    for name in left:
        if name in ADDED:
            merged[name] = np.add(left[name], right[name])
        elif name == "maximum":
            merged[name] = np.maximum(left[name], right[name])
        elif name in CODEVIATIONS:
            merged[name] = merge_codeviations(
                *((part["n"], part["total"], part["covariate_total"], part[name]) for part in (left, right))
            )
        else:
            count, total = DEVIATIONS[name]
            merged[name] = merge_deviations(
                (left[count], left[total], left[name]), (right[count], right[total], right[name])
            )
    return merged


def merge_groups(statistics: Statistics, group: NDArray[np.intp], size: int) -> dict[str, NDArray[np.generic]]:
    """Merge rows that belong to one group, two by two, so that rounding grows with the logarithm of their number.

    Parameters
    ----------
    statistics
        Arrays (row, ...).
    group
        Group of each row (row,), from 0 to `size` - 1. A group without rows comes out as zeros.
    size
        Number of groups.

    Returns
    -------
    dict
        The same statistics, arrays (group, ...).
    """
    order = np.argsort(group, kind="stable")
    members = np.bincount(group, minlength=size)
    rank = np.empty(len(group), dtype=np.intp)
    rank[order] = np.arange(len(group)) - np.repeat(np.cumsum(members) - members, members)
    width = 1 << int(max(int(members.max(initial=1)) - 1, 0)).bit_length()
    table: dict[str, NDArray[np.generic]] = {}
    for name, values in statistics.items():
        # Zeros are neutral: nobody, nothing, no deviation, and no amount is below them.
        table[name] = np.zeros((size, width, *values.shape[1:]), dtype=values.dtype)
        table[name][group, rank] = values
    while width > 1:
        table = merge(
            {name: values[:, 0::2] for name, values in table.items()},
            {name: values[:, 1::2] for name, values in table.items()},
        )
        width //= 2
    return {name: values[:, 0] for name, values in table.items()}
