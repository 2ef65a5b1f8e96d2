"""The propensity of units that were not assigned at random: P(treatment | covariates), each from models of other units."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from bayesuplift.data.coding import Coding
from bayesuplift.data.experiment import Experiment
from bayesuplift.data.frames import translated
from bayesuplift.data.unit_table import coded_units
from bayesuplift.errors import ArgumentError, DataError, DataWarning, FrameTypeError, check_whole, did_you_mean, listed
from bayesuplift.identification.cross_fitting import METHODS, Classifier, Method, cross_fitted, folds_of

FLOOR: Final = 1e-6
"""A propensity nearer than this to 0 or 1 is refused: no number of units that is met here could tell it from certainty."""

_NEAR: Final = 0.01
_OVERLAP: Final = 0.05
_ARMS: Final = 2
_LEAST: Final = 4  # units of an arm: then two are in every fit, and one in every part of it that boosting makes
_ADVICE: Final = (
    "Leave out a covariate that is only known after treatment or that names the arm; else restrict the data to units that "
    "could have got either"
)
_WORDS: Final[Mapping[Method, str]] = {"logistic": "logistic regression", "boosting": "gradient boosting"}


@dataclass(frozen=True, eq=False)
class Propensity:
    """Estimates of P(treatment | covariates), and how well they tell who was treated.

    Parameters
    ----------
    estimates
        P(treatment | covariates) (unit,), each from a model that did not see the unit.
    fold
        Fold (unit,) of each unit: the model of its estimate was fitted on the others.
    treatment
        Label of the arm whose probability it is.
    method
        "logistic" or "boosting".
    folds
        Number of folds.
    seed
        Seed of the folds.
    auc
        P(a treated unit's estimate is above a control's), ties counting half: 0.5 where covariates tell nothing.
    log_loss
        Mean over units of -log of the estimated probability of the arm that the unit was in.
    log_loss_of_share
        The same of the share of treated units, without covariates.
    range_by_arm
        Smallest and largest estimate by arm.
    share_outside
        Share of units with an estimate below 0.05 or above 0.95.
    sentence
        What a reader sees.
    coding
        How covariates became columns.
    models
        The fitted models, by the fold that each left out.
    """

    estimates: NDArray[np.float64]
    fold: NDArray[np.intp]
    treatment: str
    method: Method
    folds: int
    seed: int
    auc: float
    log_loss: float
    log_loss_of_share: float
    range_by_arm: Mapping[str, tuple[float, float]]
    share_outside: float
    sentence: str
    coding: Coding = field(repr=False)
    models: tuple[Classifier, ...] = field(repr=False)

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for values in (self.estimates, self.fold):
            values.flags.writeable = False

    @translated("the table")
    def predict(self, rows: Any) -> NDArray[np.float64]:
        """P(treatment | covariates) (row,) of units that no model saw: the mean over the models of the folds.

        A forest that was fitted with a propensity asks for it as a column `propensity` of the units that it predicts.

        Parameters
        ----------
        rows
            A path to a CSV, TSV or Parquet file, or any dataframe that narwhals knows, with the covariates as columns.

        Raises
        ------
        BayesupliftError
            The refusals of `predict` of a posterior over units; or an estimate is nearer than 1e-6 to 0 or 1.
        """
        columns = coded_units(rows, self.coding).columns
        found = np.mean([model.chance(columns) for model in self.models], axis=0)
        _check_overlap(found)
        return np.asarray(found)


def propensity(experiment: Experiment, *, seed: int, method: Method = "logistic", folds: int = 5) -> Propensity:
    """Estimate P(treatment | covariates) of every unit by a model fitted on the other folds of units.

        p_i = P(A_i = treatment | x_i; model of the units outside the fold of i)

    A model that had seen the unit's own arm would lean towards it, the more the more it can bend: estimates near 0 and 1
    would come from fitting, not from covariates. Folds are drawn at random within arms. Nothing is clipped.

    In a randomised experiment the propensity is the share of the arm, known without an estimate: models need none, and
    `read_experiment(..., propensity=...)` takes one that differs between units by design. An estimate is then a check: an
    AUC well above 0.5 says that arms differ in their covariates.

    Parameters
    ----------
    experiment
        The units, with their covariates, of two arms. A propensity that they have is not looked at.
    seed
        Seed of the folds, from 0.
    method
        "logistic": linear log odds in the standardised columns, slopes shrunk as by a Normal(0, 1) prior (ridge);
        "boosting": up to 300 small trees, their number cross-validated within each fit, for log odds that are not linear.
    folds
        Number of folds, from 2; each has a unit of every arm, and an arm four units at least.

    Returns
    -------
    Propensity
        For a fit: ``experiment.with_propensity(bu.propensity(experiment, seed=1).estimates)``.

    Raises
    ------
    ArgumentError
        There are more than two arms, or an option is none.
    DataError
        No covariate differs between units; an arm has fewer units than folds, or than four; an estimate is nearer than
        1e-6 to 0 or 1, or estimates tell the arm of every unit: then units have no counterpart in the other arm.
    NumericalError
        A model did not converge.

    Warns
    -----
    DataWarning
        An estimate is below 0.01 or above 0.99.

    References
    ----------
    Chernozhukov, V. et al. (2018), Double/debiased machine learning for treatment and structural parameters, The
    Econometrics Journal 21(1), definition 3.1, for cross-fitting. Crump, R. et al. (2009), Dealing with limited overlap in
    estimation of average treatment effects, Biometrika 96(1), for what estimates near 0 and 1 cost.
    """
    _check(experiment, seed, method, folds)
    treated = experiment.arm == 1
    coding = Coding.of(experiment.covariates)
    columns = coding.apply(experiment.covariates)
    if not columns.shape[1] or not np.ptp(columns, axis=0).any():
        raise DataError(
            "no covariate differs between the units, so each has the same propensity, the share of its arm; name "
            "covariates that tell who was treated: read_experiment(..., covariates=[...])."
        )
    fold = folds_of(experiment.arm, folds, seed)
    estimates, models = cross_fitted(columns, treated, fold, method=method, seed=seed)
    _check_overlap(estimates)
    _check_told_apart(estimates, experiment)
    arms = experiment.design.arms
    ranges = {
        arm: (float(estimates[experiment.arm == k].min()), float(estimates[experiment.arm == k].max()))
        for k, arm in enumerate(arms)
    }
    share = np.full(len(treated), treated.mean())
    facts: dict[str, Any] = {
        "auc": float(roc_auc_score(treated, estimates)),
        "log_loss": _log_loss(estimates, treated),
        "log_loss_of_share": _log_loss(share, treated),
        "range_by_arm": ranges,
        "share_outside": float((np.abs(estimates - 0.5) > 0.5 - _OVERLAP).mean()),
    }
    return Propensity(
        estimates=estimates,
        fold=fold,
        treatment=arms[1],
        method=method,
        folds=folds,
        seed=int(seed),
        sentence=_sentence(experiment, method, folds, facts),
        coding=coding,
        models=models,
        **facts,
    )


def _check(experiment: Experiment, seed: int, method: str, folds: int) -> None:
    """Refuse what no propensity is estimated from."""
    if not isinstance(experiment, Experiment):
        raise FrameTypeError(
            f"a propensity is estimated of units, with their covariates; this is a {type(experiment).__name__}. Read them "
            f"by read_experiment"
        )
    check_whole("seed", seed, 0)
    check_whole("folds", folds, 2)
    if method not in METHODS:
        raise ArgumentError(f"method = {method!r}; known: {listed(METHODS)}.{did_you_mean(method, METHODS)}")
    arms = experiment.design.arms
    if len(arms) != _ARMS:
        raise ArgumentError(
            f"one propensity a unit says P(treatment) of two arms; there are {len(arms)} ({listed(arms)}). Read the two "
            f"that are compared"
        )
    n = np.bincount(experiment.arm, minlength=len(arms))
    least = max(folds, _LEAST)
    if n.min() < least:
        raise DataError(
            f"the arm '{arms[int(n.argmin())]}' has {int(n.min()):,} units, and {folds} folds need {least} of every arm. "
            f"{'Give fewer folds, or' if n.min() >= _LEAST else 'Give'} more units."
        )


def _check_overlap(estimates: NDArray[np.float64]) -> None:
    """Refuse estimates that are certain, and warn of those that nearly are."""
    certain = ~((estimates >= FLOOR) & (estimates <= 1.0 - FLOOR))
    if certain.any():
        raise DataError(
            f"the estimated propensity of {int(certain.sum()):,} of {len(estimates):,} units is nearer than {FLOOR:g} to 0 "
            f"or 1, first in data row {int(np.flatnonzero(certain)[0]) + 1}: covariates tell who is treated, and such "
            f"units have no counterpart in the other arm. {_ADVICE}."
        )
    near = np.abs(estimates - 0.5) > 0.5 - _NEAR
    if near.any():
        warnings.warn(
            f"the estimated propensity of {int(near.sum()):,} of {len(estimates):,} units is below {_NEAR} or above "
            f"{1 - _NEAR} ({_shown(estimates.min())} to {_shown(estimates.max())}): units like them are rare in one arm, "
            f"and their effects rest on the model. {_ADVICE}.",
            DataWarning,
            stacklevel=3,
        )


def _check_told_apart(estimates: NDArray[np.float64], experiment: Experiment) -> None:
    """Refuse covariates that tell the arm of every unit, however far from 0 and 1 the shrunken estimates lie."""
    treated = experiment.arm == 1
    if estimates[treated].min() > estimates[~treated].max():
        raise DataError(
            f"covariates tell the arm of every unit: each of {experiment.design.arms[1]} has a larger estimated propensity "
            f"than any of {experiment.design.arms[0]}, so no unit has a counterpart. {_ADVICE}."
        )


def _log_loss(estimates: NDArray[np.float64], treated: NDArray[np.bool_]) -> float:
    return float(-np.log(np.where(treated, estimates, 1.0 - estimates)).mean())


def _sentence(experiment: Experiment, method: Method, folds: int, facts: Mapping[str, Any]) -> str:
    low, high = (
        f(bound) for f, bound in zip((min, max), zip(*facts["range_by_arm"].values(), strict=True), strict=True)
    )
    told = (
        f"P({experiment.design.arms[1]} | {len(experiment.covariates)} covariates) of {len(experiment):,} units by "
        f"{_WORDS[method]}, each from a model of the other {folds - 1} of {folds} folds: {_shown(low)} to {_shown(high)}; "
        f"AUC {facts['auc']:.3f}, log loss {facts['log_loss']:.4f} ({facts['log_loss_of_share']:.4f} without covariates)."
    )
    if facts["share_outside"] > 0.0:
        told += (
            f" {facts['share_outside']:.1%} of units lie below {_OVERLAP} or above {1 - _OVERLAP}, where one arm has few "
            f"units to compare with."
        )
    if experiment.design.assignment == "randomized":
        told += " Units were assigned at random: models need no estimate, the share of the arm is their propensity."
    return told


def _shown(chance: float) -> str:
    """A probability to two digits of its distance from 0 or 1, whichever is nearer; three decimals at least.

    >>> _shown(0.25), _shown(0.00123456), _shown(0.99990123)
    ('0.250', '0.0012', '0.999901')
    """
    return f"{chance:.{max(3, 1 - math.floor(math.log10(min(chance, 1.0 - chance))))}f}"
