"""Evidence, good at any time, that units were not dealt by the intended split."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from bayesuplift.monitor.evidence.checks import check_above_zero, refuse_where, shares_of, statistics_of

Array = NDArray[np.float64]

CONCENTRATION: Final = 3_000.0
"""Units that the intended split counts for: shares of one half are looked for within .009.

Fewer look for gross mismatches, which are found at once anyway; more look for ever finer ones, and see gross ones late."""


def log_e_split(n: ArrayLike, split: ArrayLike, *, concentration: float = CONCENTRATION) -> Array:
    """Log e-values (...) against the intended split: Dirichlet-multinomial by multinomial.

    With alpha_k = concentration * split_k, A = concentration and N = sum_k n_k,

        Gamma(A) / Gamma(A + N) prod_k Gamma(alpha_k + n_k) / (Gamma(alpha_k) split_k^n_k),

    the likelihood of units dealt by shares from a Dirichlet(alpha) about the intended split, over the one by the split
    itself: a martingale under the split, so that P(ever >= 1 / alpha) <= alpha (Ville). It depends on
    cumulative counts only.

    Parameters
    ----------
    n
        Units (..., arm), cumulative.
    split
        Intended shares (arm,).
    concentration
        How near to the split mismatches are looked for: shares have standard deviation sqrt(s (1 - s) / (A + 1)).

    Raises
    ------
    ArgumentError
        Counts that are none, or an argument out of its range.

    References
    ----------
    Lindon, M. and Malek, A. (2022). Anytime-valid inference for multinomial count data. NeurIPS 35.

    Examples
    --------
    >>> log_e_split([[5000, 5000], [5000, 5400]], [0.5, 0.5]).round(1).tolist()
    [-0.7, 5.2]
    """
    (n,) = statistics_of(n=n)
    refuse_where((n < 0) | (n != np.floor(n)), n, "n is not a whole number from 0")
    check_above_zero("concentration", concentration)
    arms = n.shape[-1]
    shares = shares_of(split, arms)
    units = np.zeros(n.shape[:-1])
    result = np.zeros(n.shape[:-1])
    for arm in range(arms):  # one by one: a sum along the axis may group its terms by the shape of the array
        prior = concentration * shares[arm]
        units = units + n[..., arm]
        result = result + (gammaln(prior + n[..., arm]) - gammaln(prior) - n[..., arm] * np.log(shares[arm]))
    return np.asarray(result + gammaln(concentration) - gammaln(concentration + units), dtype=np.float64)
