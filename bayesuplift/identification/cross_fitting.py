"""Cross-fitting: every unit is told by a model that was fitted on other units."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from bayesuplift.errors import NumericalError

Method = Literal["logistic", "boosting"]

_STEPS: Final = 100
_MOST_TREES: Final = 300
_PARTS: Final = 3  # of the units of a fit, for the choice of the number of trees
_BOOSTING: Final = MappingProxyType(
    {
        "learning_rate": 0.05,
        "max_depth": 3,
        "min_samples_leaf": 20,
        "l2_regularization": 1.0,
        "early_stopping": False,
    }
)


@dataclass(frozen=True, eq=False)
class Classifier:
    """A fitted model of the arm.

    Parameters
    ----------
    model
        scikit-learn's.
    middle, spread
        Mean and standard deviation (column,) of the columns that it was fitted on, 1 where these do not vary.
    """

    model: Any
    middle: NDArray[np.float64]
    spread: NDArray[np.float64]

    def chance(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """P(treated) (unit,) of columns (unit, column); of more than two arms P(arm) (unit, treatment)."""
        of_arms = np.asarray(self.model.predict_proba((columns - self.middle) / self.spread), dtype=np.float64)
        return of_arms[:, 1] if of_arms.shape[1] == 2 else of_arms[:, 1:]  # noqa: PLR2004 -- one number tells of two arms


def folds_of(arm: NDArray[np.intp], folds: int, seed: int) -> NDArray[np.intp]:
    """Fold (unit,) of each unit, at random; folds differ by one unit at most, in all and of every arm.

    Parameters
    ----------
    arm
        Position (unit,) of each unit's arm.
    folds
        Number of folds.
    seed
        Of the random order.
    """
    order = np.random.default_rng(seed).permutation(len(arm))
    by_arm = order[np.argsort(arm[order], kind="stable")]  # arms one after the other, each in a random order
    found = np.empty(len(arm), dtype=np.intp)
    found[by_arm] = np.arange(len(arm)) % folds
    return found


def cross_fitted(
    columns: NDArray[np.float64], arm: NDArray[np.intp], fold: NDArray[np.intp], *, method: Method, seed: int
) -> tuple[NDArray[np.float64], tuple[Classifier, ...]]:
    """P(treated) (unit,), each from the model fitted on the other folds; and these models, by the fold that they left out.

    Of more than two arms P(arm) (unit, treatment): the control's is what is left.

    Parameters
    ----------
    columns
        Coded covariates (unit, column).
    arm
        Position (unit,) of each unit's arm, 0 of the control.
    fold
        Fold (unit,) of each, from 0; what is not in a fold has units of every arm.
    method
        Kind of the models.
    seed
        Of what boosting draws.

    Raises
    ------
    NumericalError
        A logistic regression did not converge.
    """
    found = np.empty((len(arm), int(arm.max())))
    models = []
    # one thread: the same bits on any number of processors; and on busy ones many small trees wait for threads for minutes
    with threadpool_limits(1):
        for left_out in range(int(fold.max()) + 1):
            seen = fold != left_out
            models.append(_LEARNERS[method](columns[seen], arm[seen], seed))
            found[~seen] = models[-1].chance(columns[~seen]).reshape(-1, found.shape[1])
    return found[:, 0] if found.shape[1] == 1 else found, tuple(models)


def logistic(columns: NDArray[np.float64], arm: NDArray[np.intp], seed: int) -> Classifier:  # noqa: ARG001 -- one call for every kind
    """The mode of a logistic regression with Normal(0, 1) slopes of the standardised columns, and a flat intercept.

    Of more than two arms each has slopes of its own, the control too: P(arm = k) is in proportion to exp(a_k + x' b_k),
    b_k ~ Normal(0, 1), so that no arm is drawn to another more than a third one is. A slope of the log odds of two arms is
    then the difference of two.
    """
    middle = columns.mean(axis=0)
    spread = np.where(np.ptp(columns, axis=0) == 0.0, 1.0, columns.std(axis=0))
    # C is the variance of the slopes' prior; Newton's steps end at the mode to float error, in few steps
    model = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-8, max_iter=_STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            model.fit((columns - middle) / spread, arm)
        except ConvergenceWarning as told:
            raise NumericalError(
                f"the logistic regression of the arm on the covariates did not converge in {_STEPS} steps; leave out "
                f"covariates of which one is nearly a sum of others, or give method='boosting'"
            ) from told
    return Classifier(model, middle, spread)


def boosting(columns: NDArray[np.float64], arm: NDArray[np.intp], seed: int) -> Classifier:
    """Gradient boosting of the log odds: trees of at most 3 decisions in a row, each moving them by a twentieth.

    Leaves need 20 units. Of 1 to 300 trees, of more than two arms for each of them, as many as foretell best, by log loss,
    the arms of a third of these units from those of the other two: few where covariates tell little, whatever the number
    of units.
    """
    fold, loss = folds_of(arm, _PARTS, seed), np.zeros(_MOST_TREES)
    for left_out in range(_PARTS):
        seen = fold != left_out
        model = _boosted(_MOST_TREES, seed).fit(columns[seen], arm[seen])
        own = np.arange(int((~seen).sum())), arm[~seen]
        loss -= [np.log(chance[own]).sum() for chance in model.staged_predict_proba(columns[~seen])]
    model = _boosted(int(loss.argmin()) + 1, seed).fit(columns, arm)
    return Classifier(model, np.zeros(columns.shape[1]), np.ones(columns.shape[1]))


def _boosted(trees: int, seed: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=trees, random_state=seed % 2**32, **_BOOSTING)


_LEARNERS: Final[Mapping[Method, Callable[[NDArray[np.float64], NDArray[np.intp], int], Classifier]]] = {
    "logistic": logistic,
    "boosting": boosting,
}
METHODS: Final = tuple(_LEARNERS)
"""Names of the kinds of models."""
