"""Where the coefficients of a regression by arm lie, roughly, and how much the data say of each: one ridge regression."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.units import Units
from bayesuplift.spec import Given

Array = NDArray[np.float64]

REGRESSIONS: Final = frozenset({"interaction_horseshoe"})
"""Models whose coefficients are called `prognostic` (covariate) and `interaction` (covariate, treatment)."""

_SHRUNK: Final = 0.3  # of the residual standard deviation: what the ridge gives every coefficient


def coordinates(units: Units, treated: Array) -> Given:
    """An `estimate` and its `information` for each coefficient of a covariate, by site; see `reparametrised.Standardised`.

    Parameters
    ----------
    units
        The units.
    treated
        (arm, treatment), 1 where an arm is the treatment.
    """
    found = units.regression
    arms, width = found.projection.shape
    treatments = treated.shape[1]
    left = np.maximum(found.n - width, 0)
    variance = (found.residual.sum() + found.residual) / np.maximum(left.sum() + left, 1)
    variance = np.where(variance > 0, variance, 1.0)
    size = width * (1 + treatments)
    information, gradient = np.zeros((size, size)), np.zeros(size)
    for arm in range(arms):
        # coefficients of this arm: those under control, and where it is a treatment its own beside them
        rows = np.kron(np.concatenate([[1.0], treated[arm]])[None, :], np.eye(width))
        design = found.triangle[arm] @ rows / np.sqrt(variance[arm])
        information += design.T @ design
        gradient += design.T @ (found.projection[arm] / np.sqrt(variance[arm]))
    penalty = np.full(size, 1.0 / (_SHRUNK**2 * variance.mean()))
    penalty[::width] *= 1e-6
    coefficients = np.linalg.solve(information + np.diag(penalty), gradient)
    own = np.diag(information)
    # where its own derivative of the likelihood is zero, the others held
    estimate = coefficients + (gradient - information @ coefficients) / np.maximum(own, penalty)
    by_part = estimate.reshape(1 + treatments, width), own.reshape(1 + treatments, width)
    sites = {
        "prognostic": tuple(part[0, 1:] for part in by_part),
        "interaction": tuple(part[1:, 1:].T for part in by_part),
    }
    return Given({site: Given(dict(zip(("estimate", "information"), one, strict=True))) for site, one in sites.items()})
