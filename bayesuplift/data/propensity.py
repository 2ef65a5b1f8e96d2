"""The propensity of units: its columns, read as log odds, kept as their sum by cell, and told by segment."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesuplift.data.design import Design
from bayesuplift.data.labels import label
from bayesuplift.data.validation import Fault, number_faults, number_of
from bayesuplift.errors import ArgumentError, DataError, listed

PROPENSITY: Final = "propensity"
"""Role of the column of P(treatment), and its name in a table of new units of two arms."""

_ADVICE: Final = "Such units have no counterpart: trim them first."


def columns_asked_for(treatments: Sequence[str]) -> dict[str, str]:
    """Columns that hold the propensity in a table of new units, by role: one for each treatment where there are several.

    >>> columns_asked_for(["offer"]), columns_asked_for(["men", "women"])
    ({'propensity': 'propensity'}, {'propensity of men': 'propensity_men', 'propensity of women': 'propensity_women'})
    """
    if len(treatments) == 1:
        return {PROPENSITY: PROPENSITY}
    return {f"{PROPENSITY} of {name}": f"{PROPENSITY}_{name}" for name in treatments}


def columns_named(propensity: str | Mapping[Any, str] | None) -> dict[str, str]:
    """Columns that a caller names, by role."""
    if isinstance(propensity, Mapping):
        return {f"{PROPENSITY} of {label(arm)}": column for arm, column in propensity.items()}
    return {} if propensity is None else {PROPENSITY: propensity}


def in_order(propensity: str | Mapping[Any, str] | None, design: Design) -> list[str]:
    """Columns that a caller names, in the order of the treatments.

    Raises
    ------
    ArmNotFoundError
        A column is for an arm that is not there.
    ArgumentError
        A treatment has no column or two, or the control has one.
    """
    if not isinstance(propensity, Mapping):
        return [] if propensity is None else [propensity]
    found = {design.arms[design.index(arm)]: column for arm, column in propensity.items()}
    if len(found) < len(propensity) or set(found) != set(design.treatments):
        raise ArgumentError(
            f"propensity names a column for {listed(map(label, propensity)) or 'no arm'}; expected one for each of "
            f"{listed(design.treatments)}. That of the control, '{design.control}', is what is left."
        )
    return [found[name] for name in design.treatments]


def check_propensity(propensity: NDArray[np.float64], design: Design, units: int) -> None:
    """Refuse what is no propensity (unit,) of two arms, or (unit, treatment) of more.

    Raises
    ------
    ArgumentError
        There are more than two arms, and one number a unit.
    DataError
        Its shape is another, a number is not strictly between 0 and 1, or those of a unit add up to 1.
    """
    names = design.treatments
    if len(names) > 1 and propensity.ndim == 1:
        raise ArgumentError(
            f"a propensity is given, and there are {len(design.arms)} arms; one number a unit says P(treatment) of two "
            f"arms only. Give one for each treatment: with_propensity of (unit, treatment), in the order {listed(names)}, "
            f"or read_experiment(..., propensity={{{names[0]!r}: 'its column', ...}}); or read the two arms that are "
            f"compared."
        )
    if len(names) > 1 and propensity.shape != (units, len(names)):
        raise DataError(
            f"the propensity has the shape {propensity.shape}; expected {(units, len(names))}: P(arm | covariates) of each "
            f"unit and of each of {listed(names)}, in this order. That of the control, '{design.control}', is what is left."
        )
    for name, p in zip(names, propensity.reshape(units, -1).T, strict=True):
        at_fault = ~((p > 0) & (p < 1))
        if at_fault.any():
            first = int(np.flatnonzero(at_fault)[0])
            of = f" of '{name}'" if len(names) > 1 else ""
            raise DataError(
                f"the propensity{of} is not strictly between 0 and 1 in {int(at_fault.sum()):,} of {units:,} rows, first "
                f"in data row {first + 1} ({p[first]:g}). {_ADVICE}"
            )
    if len(names) > 1:
        check_rest(propensity)


def check_rest(p: NDArray[np.float64]) -> None:
    """Refuse propensities (unit, treatment) that leave nothing to the control.

    Raises
    ------
    DataError
        They add up to 1 or more in a row, but for the rounding of a sum.
    """
    total = p.sum(axis=1)
    at_fault = ~(1.0 - total > p.shape[1] * np.finfo(np.float64).eps)
    if at_fault.any():
        first = int(np.flatnonzero(at_fault)[0])
        raise DataError(
            f"the propensities of the treatments add up to 1 or more in {int(at_fault.sum()):,} of {len(p):,} rows, first "
            f"in data row {first + 1} ({total[first]:g}), and leave nothing to the control. {_ADVICE}"
        )


def log_odds_of(column: str, dtype: nw.dtypes.DType) -> nw.Expr:
    """logit(p) of a column of propensities; null where one is not strictly between 0 and 1."""
    p = number_of(column, dtype)
    # Not log(p) - log(1 - p): 1 - p is exact where p is near 1. The odds are taken of what is inside only, because an
    # engine may refuse the logarithm of any other number, or a division by 0.
    inside = nw.when((p > 0) & (p < 1)).then(p)
    return (inside / (1.0 - inside)).log()


def propensity_faults(column: str, dtype: nw.dtypes.DType, role: str = PROPENSITY) -> list[Fault]:
    """Faults of a column of propensities: no numbers, or none strictly between 0 and 1."""
    p = number_of(column, dtype)
    outside = Fault(column, role, ~((p > 0) & (p < 1)), "is not strictly between 0 and 1", _ADVICE)
    return [*number_faults(column, role, dtype), outside]


def by_segment(n: ArrayLike, log_odds_total: ArrayLike) -> tuple[NDArray[np.float64], float]:
    """Each segment's mean log odds of treatment less that of all units, and that mean.

    Parameters
    ----------
    n, log_odds_total
        Units of the cells, and the sums of their log odds (segment, arm). All arms count: the propensity says who was to
        be treated, whoever was.

    Returns
    -------
    away
        Differences (segment,), 0 where a segment has nobody.
    centre
        Mean log odds of all units.
    """
    units, total = (np.asarray(values, dtype=np.float64).sum(axis=-1) for values in (n, log_odds_total))
    centre = float(total.sum() / units.sum())
    return np.where(units > 0, total / np.maximum(units, 1.0) - centre, 0.0), centre
