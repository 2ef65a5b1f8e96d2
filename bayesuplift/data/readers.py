"""Readers: a file or a dataframe goes in, validated cells or units come out."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.aggregation import Groups, Roles, aggregate
from bayesuplift.data.assembly import cells_of, warn_of_gaps
from bayesuplift.data.cells import Cells
from bayesuplift.data.design import design_of
from bayesuplift.data.experiment import Experiment, numbers_of, texts_of, units_of
from bayesuplift.data.frames import collect, collect_frame, translated
from bayesuplift.data.grid import check_covariate
from bayesuplift.data.labels import label, names_of
from bayesuplift.data.opening import LARGEST, opened, with_numbers
from bayesuplift.data.propensity import columns_named, in_order
from bayesuplift.data.validation import (
    Fault,
    check_kind,
    check_numeric,
    check_roles,
    check_unit,
    diagnose,
    key_faults,
    number_faults,
    number_of,
    precision_faults,
)
from bayesuplift.dims import Assignment
from bayesuplift.errors import ArgumentError, DataError

_WIDE: Final = (nw.Int64, nw.UInt64, nw.Int128, nw.UInt128, nw.Float64)


@translated("the table")
def read_cells(
    source: Any,
    *,
    arm: str,
    control: object,
    outcome: str,
    kind: str,
    segments: str | Iterable[str] = (),
    exposure: str | None = None,
    covariate: str | None = None,
    propensity: str | None = None,
    unit: str | None = None,
    assignment: Assignment = "randomized",
    intended_split: Mapping[Any, float] | None = None,
) -> Cells:
    """Cells of one outcome from a table with one row a unit; the table stays in its engine.

    Parameters
    ----------
    source
        A path to a CSV, TSV or Parquet file, or any dataframe that narwhals knows.
    arm, control
        Column of the arm, and the control's value in it. Values become text.
    outcome, kind
        Column of the outcome, and "binary" (0/1 or truth values), "count", "continuous" or "revenue" (never negative).
    segments
        Columns of the segment factors; their values become text.
    exposure
        Column of the exposure of each unit, for counts only: positive, e.g. days observed.
    covariate
        Column of a number known of every unit from before the experiment, such as its spend in the month before, for
        continuous outcomes and revenue only: models that adjust for it (CUPED) need its statistics.
    propensity
        Column of P(treatment | covariates) of each unit, strictly between 0 and 1; two arms only. Cells keep the sum of its
        log odds: partially pooled models let the level of a segment depend on how likely its units were to be treated.
    unit
        Column that names the unit: where given, a unit that comes twice is refused.
    assignment
        "randomized" or "observational".
    intended_split
        Weight of each arm, where it is known; the sample-ratio check needs it.

    Returns
    -------
    Cells
        Statistics ([segment,] arm). Quantiles of revenue are exact in every engine; of Dask the amounts are counted in
        two or more rounds, each of which reads the data once.

    Raises
    ------
    MissingFileError, UnreadableFileError, FrameTypeError
        The source cannot be opened.
    ColumnNotFoundError, ArmNotFoundError
        A column or the control is not there.
    ArgumentError
        A column has two roles, the kind is unknown, an exposure is given for a kind without one, or a propensity for more
        than two arms.
    DataError
        A row holds a fault; the message names the column, how many rows, and the first of them.

    Warns
    -----
    DataWarning
        The outcome is constant in an arm, or a segment lacks an arm.
    """
    factors = names_of(segments, "segments")
    known = check_kind(kind)
    if exposure is not None and known != "count":
        raise ArgumentError(f"exposure='{exposure}' is given for the kind '{known}'; only counts have an exposure.")
    check_covariate(known, covariate)
    optional = {"exposure": exposure, "covariate": covariate, "propensity": propensity, "unit": unit}
    named = {"arm": arm, "outcome": outcome} | {role: name for role, name in optional.items() if name is not None}
    check_roles({role: (column,) for role, column in named.items()} | {"segment": factors})
    frame, schema = opened(source, named, factors)
    check_numeric(frame, outcome, "outcome", schema[outcome])
    if exposure is not None:
        check_numeric(frame, exposure, "exposure", schema[exposure])
    if covariate is not None:
        check_numeric(frame, covariate, "covariate", schema[covariate])
    if propensity is not None:
        check_numeric(frame, propensity, "propensity", schema[propensity])
    if unit is not None:
        check_unit(frame, unit)
    roles = Roles(arm, outcome, known, factors, exposure=exposure, covariate=covariate, propensity=propensity)
    groups = aggregate(frame, roles)
    design = design_of(groups.arm, control=control, assignment=assignment, intended_split=intended_split)
    cells = cells_of(groups, design=design, outcome=outcome, kind=known, covariate=covariate)
    warn_of_gaps(cells)
    return cells


@translated("the table")
def read_counts(
    table: Any,
    *,
    arm: str,
    control: object,
    trials: str,
    successes: str,
    segments: str | Iterable[str] = (),
    outcome: str | None = None,
    assignment: Assignment = "randomized",
    intended_split: Mapping[Any, float] | None = None,
) -> Cells:
    """Cells of a binary outcome from counts already made; rows of one cell are added up.

    Parameters
    ----------
    table
        A path to a CSV, TSV or Parquet file, or any dataframe that narwhals knows.
    arm, control
        Column of the arm, and the control's value in it.
    trials, successes
        Columns of the number of units, and of those with the outcome: whole numbers, 0 ≤ successes ≤ trials.
    segments
        Columns of the segment factors.
    outcome
        Name of the outcome; the successes' column where none is given.
    assignment
        "randomized" or "observational".
    intended_split
        Weight of each arm, where it is known.

    Returns
    -------
    Cells
        Statistics ([segment,] arm) of kind "binary".

    Raises
    ------
    BayesupliftError
        The same refusals as of `read_cells`.
    """
    factors = names_of(segments, "segments")
    named = {"arm": arm, "trials": trials, "successes": successes}
    check_roles({role: (column,) for role, column in named.items()} | {"segment": factors})
    frame, schema = opened(table, named, factors)
    faults = key_faults(arm, "arm", schema[arm])
    for factor in factors:
        faults += key_faults(factor, "segment", schema[factor])
    number: dict[str, nw.Expr] = {}
    whole = "Expected a whole number, 0 or more."
    for role in ("trials", "successes"):
        column = named[role]
        check_numeric(frame, column, role, schema[column])
        faults += number_faults(column, role, schema[column])
        number[role] = number_of(column, schema[column])
        faults.append(Fault(column, role, number[role] < 0, "is negative", whole))
        faults.append(Fault(column, role, number[role] % 1 != 0, "is fractional", whole))
        if schema[column] in _WIDE or schema[column].is_decimal():
            advice = "Whole numbers beyond it would be rounded: check the column."
            faults.append(Fault(column, role, nw.col(column) > LARGEST, f"is above 2^53 ({LARGEST:,})", advice))
    above = number["successes"] > number["trials"]
    faults.append(Fault(successes, "successes", above, f"is above the trials ('{trials}')", "Check both columns."))
    diagnose(frame, faults)
    keys = {f"k{i}": nw.col(factor) for i, factor in enumerate(factors)} | {"arm": nw.col(arm)}
    counted = frame.select(**keys, n=number["trials"], total=number["successes"]).group_by(*keys)
    found = collect(counted.agg(n=nw.col("n").sum(), total=nw.col("total").sum()))
    groups = Groups(
        arm=[label(value) for value in found["arm"]],
        levels={factor: [label(value) for value in found[f"k{i}"]] for i, factor in enumerate(factors)},
        statistics={name: np.array(found[name], dtype=np.float64) for name in ("n", "total")},
    )
    if groups.statistics["n"].max() > LARGEST:
        raise DataError(f"the column '{trials}' (trials) adds up to more than 2^53 in a cell; sums would be rounded.")
    design = design_of(groups.arm, control=control, assignment=assignment, intended_split=intended_split)
    cells = cells_of(groups, design=design, outcome=outcome or successes, kind="binary")
    warn_of_gaps(cells)
    return cells


@translated("the table")
def read_experiment(
    source: Any,
    *,
    arm: str,
    control: object,
    outcome: str,
    kind: str,
    covariates: str | Iterable[str] = (),
    segments: str | Iterable[str] = (),
    unit: str | None = None,
    propensity: str | Mapping[Any, str] | None = None,
    precision: str | None = None,
    assignment: Assignment = "randomized",
    intended_split: Mapping[Any, float] | None = None,
) -> Experiment:
    """Units of an experiment from a table with one row a unit; only the named columns are brought into memory.

    Parameters
    ----------
    source
        A path to a CSV, TSV or Parquet file, or any dataframe that narwhals knows.
    arm, control
        Column of the arm, and the control's value in it.
    outcome, kind
        Column of the outcome, and "binary", "count", "continuous" or "revenue".
    covariates
        Columns of the covariates, complete. A column may be a covariate and a segment factor.
    segments
        Columns of the segment factors; their values become text.
    unit
        Column that names the unit; a unit that comes twice is refused.
    propensity
        Column of P(treatment | covariates), strictly between 0 and 1; of two arms cells of the units keep it. With more
        than two arms the column of P(arm | covariates) by treatment, such as ``{"men": "p_men", "women": "p_women"}``: the
        control's is what is left. A sequence is refused: its order could be misread.
    precision
        Column of the precision of each unit's outcome relative to other units', above 0, of continuous outcomes only: its
        noise has the variance sd^2 / precision. Such as how many measurements the outcome is the mean of, or one over the
        variance that it is known to have. To be a covariate, too, it needs a column of that as well.
    assignment
        "randomized" or "observational".
    intended_split
        Weight of each arm, where it is known.

    Returns
    -------
    Experiment
        Arrays (unit,), in the order of the rows; rows of Spark have none, and come as it gives them.

    Raises
    ------
    BayesupliftError
        The same refusals as of `read_cells`; or propensities do not fit the treatments, or leave nothing to the control.

    Warns
    -----
    DataWarning
        The outcome is constant in an arm, or a segment lacks an arm.
    """
    factors, inputs = names_of(segments, "segments"), names_of(covariates, "covariates")
    known = check_kind(kind)
    chances = columns_named(propensity)
    optional = {"unit": unit, "precision": precision}
    named = {"arm": arm, "outcome": outcome} | {role: name for role, name in optional.items() if name is not None}
    named |= chances
    alone = {role: (column,) for role, column in named.items()}
    check_roles(alone | {"segment": factors})
    check_roles(alone | {"covariate": inputs})
    units, schema = opened(source, named, factors, inputs)
    units, twins = with_numbers(units, source, [name for name in inputs if name in factors])
    table = collect_frame(units.select(*dict.fromkeys([*named.values(), *factors, *inputs, *twins.values()])))
    frame = table.lazy()
    check_numeric(frame, outcome, "outcome", schema[outcome])
    for role, name in chances.items():
        check_numeric(frame, name, role, schema[name])
        diagnose(frame, number_faults(name, role, schema[name]))
    if precision is not None:
        check_numeric(frame, precision, "precision", schema[precision])
        diagnose(frame, precision_faults(precision, schema[precision]))
    if unit is not None:
        check_unit(frame, unit)
    groups = aggregate(frame, Roles(arm=arm, outcome=outcome, kind=known, segments=factors))
    design = design_of(groups.arm, control=control, assignment=assignment, intended_split=intended_split)
    numbers = {name: dtype.is_numeric() or dtype == nw.Boolean for name, dtype in schema.items()}
    arms = table[arm].to_list()
    position = {value: design.index(label(value)) for value in set(arms)}
    experiment = Experiment(
        design=design,
        kind=known,
        outcome_name=outcome,
        arm=np.array([position[value] for value in arms], dtype=np.intp),
        outcome=numbers_of(table[outcome]),
        unit=None if unit is None else units_of(table[unit]),
        covariates={
            name: numbers_of(table[twins.get(name, name)]) if name in twins or numbers[name] else texts_of(table[name])
            for name in inputs
        },
        segments={name: texts_of(table[name]) for name in factors},
        propensity=_propensities(table, in_order(propensity, design)),
        precision=None if precision is None else numbers_of(table[precision]),
    )
    warn_of_gaps(cells_of(groups, design=design, outcome=outcome, kind=known))
    return experiment


def _propensities(table: nw.DataFrame[Any], columns: list[str]) -> NDArray[np.float64] | None:
    """Propensities (unit,), or (unit, treatment) where there are several columns."""
    found = [numbers_of(table[name]) for name in columns]
    return None if not found else found[0] if len(found) == 1 else np.column_stack(found)
