"""The propensity of units that were not assigned at random: P(treatment | covariates), each from models of other units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from bayesuplift.data.coding import Coding
from bayesuplift.data.experiment import Experiment
from bayesuplift.data.frames import translated
from bayesuplift.data.unit_table import coded_units
from bayesuplift.errors import ArgumentError, DataError, FrameTypeError, check_whole, did_you_mean, listed
from bayesuplift.identification.cross_fitting import METHODS, Classifier, Method, cross_fitted, folds_of
from bayesuplift.identification.overlap import as_chance, by_arm, check_overlap, check_told_apart

_OVERLAP: Final = 0.05
_ARMS: Final = 2  # of which one number a unit tells both probabilities
_LEAST: Final = 4  # units of an arm: then two are in every fit, and one in every part of it that boosting makes
_WORDS: Final[Mapping[Method, str]] = {"logistic": "logistic regression", "boosting": "gradient boosting"}


@dataclass(frozen=True, eq=False)
class Propensity:
    """Estimates of P(treatment | covariates), and how well they tell who was treated.

    Parameters
    ----------
    estimates
        P(treatment | covariates) (unit,), each from a model that did not see the unit; of more than two arms P(arm |
        covariates) (unit, treatment), and the control's is what is left.
    fold
        Fold (unit,) of each unit: the model of its estimate was fitted on the others.
    treatment
        Label of the arm whose probability it is; of more than two arms the labels of all but the control, by column.
    method
        "logistic" or "boosting".
    folds
        Number of folds.
    seed
        Seed of the folds.
    auc
        P(a treated unit's estimate is above a control's), ties counting half: 0.5 where covariates tell nothing. Of more
        than two arms the mean of P(a unit of arm j has a larger estimate for j than a unit of arm k) over all ordered pairs
        of arms, Hand and Till's M: it does not depend on how many units an arm has.
    log_loss
        Mean over units of -log of the estimated probability of the arm that the unit was in.
    log_loss_of_share
        The same of the shares of the arms, without covariates.
    range_by_arm
        Smallest and largest estimate of P(treatment) among the units of each arm. Of more than two arms: of P(arm), the
        control's too, among all units, since every unit should have been able to get each.
    share_outside
        Share of units for which the estimated probability of an arm is below 0.05; of two arms, the other's is above 0.95.
    sentence
        What a reader sees.
    coding
        How covariates became columns.
    models
        The fitted models, by the fold that each left out.
    """

    estimates: NDArray[np.float64]
    fold: NDArray[np.intp]
    treatment: str | tuple[str, ...]
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

        Of more than two arms P(arm | covariates) (row, treatment). A forest that was fitted with a propensity asks for it
        as a column `propensity` of the units that it predicts; of more than two arms as one for each treatment, such as
        `propensity_offer` for the arm "offer".

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
        found = np.asarray(np.mean([model.chance(columns) for model in self.models], axis=0))
        check_overlap(by_arm(found), tuple(self.range_by_arm))
        return found


def propensity(experiment: Experiment, *, seed: int, method: Method = "logistic", folds: int = 5) -> Propensity:
    """Estimate P(treatment | covariates) of every unit by a model fitted on the other folds of units.

        p_i = P(A_i = treatment | x_i; model of the units outside the fold of i)

    Of more than two arms every treatment a has its own, p_ia = P(A_i = a | x_i; ...), the generalised propensity score, and
    the control's is what is left.

    A model that had seen the unit's own arm would lean towards it, the more the more it can bend: estimates near 0 and 1
    would come from fitting, not from covariates. Folds are drawn at random within arms. Nothing is clipped.

    In a randomised experiment the propensity is the share of the arm, known without an estimate: models need none, and
    `read_experiment(..., propensity=...)` takes one that differs between units by design. An estimate is then a check: an
    AUC well above 0.5 says that arms differ in their covariates.

    Parameters
    ----------
    experiment
        The units, with their covariates, of two arms or more. A propensity that they have is not looked at.
    seed
        Seed of the folds, from 0.
    method
        "logistic": linear log odds in the standardised columns, slopes shrunk as by a Normal(0, 1) prior (ridge), of more
        than two arms those of every arm; "boosting": up to 300 small trees, of more than two arms for each of them, their
        number cross-validated within each fit, for log odds that are not linear.
    folds
        Number of folds, from 2; each has a unit of every arm, and an arm four units at least.

    Returns
    -------
    Propensity
        For a fit: ``experiment.with_propensity(bu.propensity(experiment, seed=1).estimates)``.

    Raises
    ------
    ArgumentError
        An option is none.
    DataError
        No covariate differs between units; an arm has fewer units than folds, or than four; an estimate is nearer than
        1e-6 to 0 or 1, or estimates tell every unit of an arm from every unit of another: then units have no counterpart
        in the other arm.
    NumericalError
        A model did not converge.

    Warns
    -----
    DataWarning
        The estimated probability of an arm is below 0.01; of two arms, the other's is above 0.99.

    References
    ----------
    Chernozhukov, V. et al. (2018), Double/debiased machine learning for treatment and structural parameters, The
    Econometrics Journal 21(1), definition 3.1, for cross-fitting. Crump, R. et al. (2009), Dealing with limited overlap in
    estimation of average treatment effects, Biometrika 96(1), for what estimates near 0 and 1 cost. Imbens, G. (2000), The
    role of the propensity score in estimating dose-response functions, Biometrika 87(3), for that of several
    treatments. Hand, D. and Till, R. (2001), A simple generalisation of the area under the ROC curve for multiple class
    classification problems, Machine Learning 45(2), equation 7, for the AUC of several arms.
    """
    _check(experiment, seed, method, folds)
    arm, arms = experiment.arm, experiment.design.arms
    coding = Coding.of(experiment.covariates)
    columns = coding.apply(experiment.covariates)
    if not columns.shape[1] or not np.ptp(columns, axis=0).any():
        raise DataError(
            "no covariate differs between the units, so each has the same propensity, the share of its arm; name "
            "covariates that tell who was treated: read_experiment(..., covariates=[...])."
        )
    fold = folds_of(arm, folds, seed)
    estimates, models = cross_fitted(columns, arm, fold, method=method, seed=seed)
    chances = by_arm(estimates)
    check_overlap(chances, arms)
    check_told_apart(chances, arm, arms)
    facts = _facts(chances, arm, arms)
    return Propensity(
        estimates=estimates,
        fold=fold,
        treatment=arms[1] if len(arms) == _ARMS else experiment.design.treatments,
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
    n = np.bincount(experiment.arm, minlength=len(arms))
    least = max(folds, _LEAST)
    if n.min() < least:
        raise DataError(
            f"the arm '{arms[int(n.argmin())]}' has {int(n.min()):,} units, and {folds} folds need {least} of every arm. "
            f"{'Give fewer folds, or' if n.min() >= _LEAST else 'Give'} more units."
        )


def _facts(chances: NDArray[np.float64], arm: NDArray[np.intp], arms: Sequence[str]) -> dict[str, Any]:
    """What estimates (unit, arm) tell of the arm (unit,) that each unit was in."""
    if len(arms) == _ARMS:
        auc = roc_auc_score(arm, chances[:, 1])
        ranges = [(chances[arm == k, 1].min(), chances[arm == k, 1].max()) for k in range(_ARMS)]
    else:
        auc = roc_auc_score(arm, chances, multi_class="ovo", average="macro")
        ranges = [(column.min(), column.max()) for column in chances.T]
    share = np.bincount(arm) / len(arm)
    return {
        "auc": float(auc),
        "log_loss": float(-np.log(chances[np.arange(len(arm)), arm]).mean()),
        "log_loss_of_share": float(-np.log(share[arm]).mean()),
        "range_by_arm": {name: (float(low), float(high)) for name, (low, high) in zip(arms, ranges, strict=True)},
        "share_outside": float((chances.min(axis=1) < _OVERLAP).mean()),
    }


def _sentence(experiment: Experiment, method: Method, folds: int, facts: Mapping[str, Any]) -> str:
    arms, ranges = experiment.design.arms, facts["range_by_arm"]
    if len(arms) == _ARMS:
        name = f"P({arms[1]} | {len(experiment.covariates)} covariates)"
        low, high = (f(bound) for f, bound in zip((min, max), zip(*ranges.values(), strict=True), strict=True))
        shown = f"{as_chance(low)} to {as_chance(high)}; AUC"
        outside = f"lie below {_OVERLAP} or above {1 - _OVERLAP}"
    else:
        name = f"P(arm | {len(experiment.covariates)} covariates) for {len(arms)} arms"
        shown = ", ".join(f"{arm} {as_chance(low)} to {as_chance(high)}" for arm, (low, high) in ranges.items())
        shown += "; AUC between two arms on average"
        outside = f"lie below {_OVERLAP} for an arm"
    told = (
        f"{name} of {len(experiment):,} units by {_WORDS[method]}, each from a model of the other {folds - 1} of {folds} "
        f"folds: {shown} {facts['auc']:.3f}, log loss {facts['log_loss']:.4f} ({facts['log_loss_of_share']:.4f} without "
        f"covariates)."
    )
    if facts["share_outside"] > 0.0:
        told += f" {facts['share_outside']:.1%} of units {outside}, where one arm has few units to compare with."
    if experiment.design.assignment == "randomized":
        told += " Units were assigned at random: models need no estimate, the share of the arm is their propensity."
    return told
