"""What forests of trees cannot be fitted on, and what they can be and the reader should know: said before any sampling."""

import warnings
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.propensity import PROPENSITY, columns_asked_for
from bayesuplift.data.units import Units
from bayesuplift.errors import DataError, DataWarning, listed

LEAST_UNITS: Final = 10
"""Units below which forests are refused: a prior whose scales come from so few outcomes is too sure."""

FEW_UNITS: Final = 50
"""Units below which it is said that effects by unit are hardly more than their prior."""

FEW_IN_ARM: Final = 10
"""The same of one arm."""

_LARGEST: Final = 1e37
_SMALLEST: Final = 1e-30
_LEAST_SHARE: Final = 1e-9  # of the largest precision: in single precision sums over units would not hold less
_RESOLUTION: Final = 2.0**-23  # of float32, in which mean outcomes are kept
_STEPS: Final = 100  # of that resolution that a standard deviation takes at least


def check_limits(units: Units, *, one_effect: bool = False) -> None:
    """Refuse units whose forests would be wrong or certain of nothing, and warn of few.

    Parameters
    ----------
    units
        The units.
    one_effect
        Whether all arms share an effect, as doses do: few units of one of many doses are then nothing to warn of.

    Raises
    ------
    DataError
        There are fewer than 10 units, or as many because a few are so much more precise; outcomes are too large, too small
        or too far from 0 for single precision; a covariate tells the arm of every unit; or a covariate is called as the
        column of a propensity that there is.

    Warns
    -----
    DataWarning
        There are fewer than 50 units, or an arm with an effect of its own has fewer than 10.
    """
    experiment = units.experiment
    if len(experiment) < LEAST_UNITS:
        raise DataError(
            f"there are {len(experiment)} units; forests need at least {LEAST_UNITS}, and some hundreds to find how "
            f"effects differ. Compare the means of the arms."
        )
    if experiment.precision is not None:
        _check_precision(experiment.precision)
    _check_outcome(units)
    _check_told_apart(units)
    treatments = experiment.design.treatments if experiment.propensity is not None else ()
    asked = {PROPENSITY, *columns_asked_for(treatments).values()} if treatments else set()
    if taken := sorted(asked & {*experiment.covariates, *experiment.segments}):
        raise DataError(
            f"the units have a propensity and a covariate or segment called '{taken[0]}', and a table of new units has one "
            f"column of that name. Rename it, or leave it out."
        )
    _warn_of_few(units, one_effect=one_effect)


def _check_precision(precision: NDArray[np.float64]) -> None:
    """Refuse precisions of which a few make all the others nothing: their outcomes would state the prior's scales.

    Weighted outcomes are as good as (sum w)^2 / sum w^2 alike ones: Kish (1965), Survey Sampling.
    """
    share = precision / precision.max()  # squares of 1e300 are no numbers
    alike = float(share.sum() ** 2 / (share**2).sum())
    if alike < LEAST_UNITS or share.min() < _LEAST_SHARE:
        place = int(precision.argmax())
        raise DataError(
            f"precisions reach from {precision.min():.3g} to {precision.max():.3g}, in data row {place + 1}: "
            f"{len(precision):,} units tell as much of the outcome's spread as {alike:.1f} alike ones. Expected at least "
            f"{LEAST_UNITS}, and no precision {1.0 / _LEAST_SHARE:g} times another. Like units differ, however well they "
            f"are measured: count that in, 1 / (variance of the measurement + variance between like units)."
        )


def _check_outcome(units: Units) -> None:
    """Refuse outcomes that float32 cannot tell apart, or hold."""
    outcome = units.experiment.outcome
    away = float(np.abs(outcome).max())
    spread = float(np.ptp(outcome / away)) * away if away else 0.0
    if away > _LARGEST or 0.0 < spread < _SMALLEST:
        raise DataError(
            f"the outcome '{units.outcome}' reaches {away:.3g} and spreads over {spread:.3g}; expected numbers below "
            f"{_LARGEST:g} that spread over more than {_SMALLEST:g}. Give it in {'larger' if away > 1.0 else 'smaller'} "
            f"units."
        )
    sd = float(outcome.std())
    if 0.0 < sd < _STEPS * _RESOLUTION * away:
        raise DataError(
            f"the outcome '{units.outcome}' has a standard deviation of {sd:.3g} about {float(outcome.mean()):.3g}, and "
            f"mean outcomes are kept in single precision, there in steps of {_RESOLUTION * away:.2g}. Subtract a round "
            f"number near {float(outcome.mean()):.3g} from every outcome first: effects are the same."
        )


def _check_told_apart(units: Units) -> None:
    """Refuse a covariate whose values in an arm all lie on one side of the control's, where chance would hardly do that."""
    arm, arms = units.experiment.arm, units.design.arms
    n = np.bincount(arm, minlength=len(arms))
    for k in range(1, len(arms)):  # the control stands first
        if min(n[0], n[k]) < FEW_IN_ARM:
            continue
        some, control = arm == k, arm == 0
        apart = _above(units.columns, some, control) | _above(units.columns, control, some)
        if apart.any():
            name = units.coding.names[int(np.flatnonzero(apart)[0])]
            raise DataError(
                f"the covariate '{name}' tells every unit of {arms[k]} from every unit of {arms[0]}, so trees cannot tell "
                f"what it does from what treatment does. If it names the arm, or is known only after treatment, leave it "
                f"out; else restrict the data to units that could have got either."
            )


def _above(columns: NDArray[np.float64], some: NDArray[np.bool_], others: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Columns (column,) in which each of some rows is above each of the others."""
    # a column at a time: rows picked from all of them would be another copy
    return np.array([column[some].min() > column[others].max() for column in columns.T], dtype=bool)


def _warn_of_few(units: Units, *, one_effect: bool) -> None:
    """Say where there are too few units for effects by unit."""
    n = np.bincount(units.experiment.arm, minlength=len(units.design.arms))
    few = [f"{arm} ({count:,})" for arm, count in zip(units.design.arms, n.tolist(), strict=True) if count < FEW_IN_ARM]
    if int(n.sum()) < FEW_UNITS:
        found = f"there are {int(n.sum()):,} units, fewer than {FEW_UNITS}"
    elif few and not one_effect:
        found = f"fewer than {FEW_IN_ARM} units are in {listed(few)}"
    else:
        return
    warnings.warn(
        f"{found}: how effects differ between units is then known from the prior more than from data. Read their average, "
        f"and look at what other priors change.",
        DataWarning,
        stacklevel=2,
    )
