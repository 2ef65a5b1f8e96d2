"""Cells from a table of statistics that another engine has made."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import narwhals.stable.v2 as nw
import numpy as np

from bayesuplift.data.aggregation import Groups
from bayesuplift.data.assembly import cells_of, warn_of_gaps
from bayesuplift.data.cells import Cells
from bayesuplift.data.design import design_of
from bayesuplift.data.frames import Schema, collect, translated
from bayesuplift.data.grid import check_covariate, variables_of
from bayesuplift.data.labels import label, names_of, segment_label
from bayesuplift.data.opening import LARGEST, opened
from bayesuplift.data.squares import SQUARES, deviations_of
from bayesuplift.data.validation import (
    Fault,
    check_kind,
    check_numeric,
    check_roles,
    diagnose,
    key_faults,
    number_faults,
    number_of,
)
from bayesuplift.dims import LOG_ODDS_TOTAL, TOTAL, Assignment, Kind, N
from bayesuplift.errors import ArgumentError, did_you_mean, listed

_FREQUENCIES: Final = ("value", "exposure", N)
_SIGNED: Final = ("total_log", "covariate_total", "sum_codeviations", "total_products", LOG_ODDS_TOTAL)
_ROUNDING: Final = 1e-9
_OF_POSITIVES: Final = ("total_log", "sum_squared_log_deviations", "total_squared_logs", "maximum")


@translated("the table")
def read_cell_table(
    table: Any,
    *,
    arm: str,
    control: object,
    kind: str,
    outcome: str,
    statistics: Mapping[str, str] | None = None,
    segments: str | Iterable[str] = (),
    covariate: str | None = None,
    assignment: Assignment = "randomized",
    intended_split: Mapping[Any, float] | None = None,
) -> Cells:
    """Cells from a table with one row a (segment, arm) and one column a statistic.

    Rows of one cell, such as those of different days, are merged by Chan's formula.

    Parameters
    ----------
    table
        A path to a CSV, TSV or Parquet file, or any dataframe that narwhals knows.
    arm, control
        Column of the arm, and the control's value in it.
    kind
        "binary", "count", "continuous" or "revenue". It says which statistics are needed: `n` and `total` for all but
        counts; `sum_squared_deviations` about the row's own mean for continuous outcomes and revenue; for revenue also
        `positives`, `total_log`, `sum_squared_log_deviations` and `maximum`; as in `Cells.statistics`. For counts the
        table is the frequency table: `value` of the outcome, `exposure` of each unit (1 where there is no such column)
        and `n`, the number of units with both. Of any kind also `propensity_log_odds_total`, where there is such a column.
    outcome
        Name of the outcome; it need not be a column.
    statistics
        Column of each statistic, such as ``{"n": "users", "total": "revenue"}``; a statistic that is not named here is
        looked for under its own name. In place of sums of squared deviations, sums of squares may be named:
        `total_squares` (Σy²), `total_squared_logs` (Σ(ln y)² over positive amounts), `covariate_total_squares` (Σx²),
        and `total_products` (Σxy) for `sum_codeviations`. They lose digits where the mean is large against the
        spread; a row that keeps fewer than six is refused.
    segments
        Columns of the segment factors; their values become text.
    covariate
        Name of the covariate, for continuous outcomes and revenue; the table then holds `covariate_total`,
        `covariate_sum_squared_deviations` and `sum_codeviations`, too.
    assignment
        "randomized" or "observational".
    intended_split
        Weight of each arm, where it is known.

    Returns
    -------
    Cells
        Statistics ([segment,] arm). Of revenue, without quantiles: a table of cells does not hold them.

    Raises
    ------
    ColumnNotFoundError, ArmNotFoundError
        A column or the control is not there.
    ArgumentError
        A statistic's name is none of this kind's, or a statistic and its sum of squares are both named.
    DataError
        A row holds what no data could have; the message names the column, how many rows, and the first of them.

    Warns
    -----
    DataWarning
        The outcome is constant in an arm, or a segment lacks an arm.
    """
    factors, known = names_of(segments, "segments"), check_kind(kind)
    check_covariate(known, covariate)
    given = _given(statistics or {}, known, covariate)
    columns = {"arm": arm} | given
    check_roles({role: (column,) for role, column in columns.items()} | {"segment": factors})
    optional = [name for name in ("exposure", LOG_ODDS_TOTAL) if name not in (statistics or {})]
    frame, schema = opened(table, columns, factors, optional=optional)
    given = {name: column for name, column in given.items() if column in schema}
    for name, column in given.items():
        check_numeric(frame, column, name, schema[column])
    diagnose(frame, _faults(schema, {arm: "arm"} | dict.fromkeys(factors, "segment"), given, known))
    keys = {f"k{i}": nw.col(factor) for i, factor in enumerate(factors)} | {"arm": nw.col(arm)}
    numbers = {f"s{i}": number_of(column, schema[column]) for i, column in enumerate(given.values())}
    found = collect(frame.select(**keys, **numbers))
    levels = {factor: [label(value) for value in found[f"k{i}"]] for i, factor in enumerate(factors)}
    arms = [label(value) for value in found["arm"]]
    values = {name: np.array(found[f"s{i}"], dtype=np.float64) for i, name in enumerate(given)}
    if known == "count":
        values.setdefault("exposure", np.ones(len(arms)))
    else:
        names = [
            f"arm '{where}'"
            + (f", {segment_label({factor: levels[factor][i] for factor in factors})}" if factors else "")
            for i, where in enumerate(arms)
        ]
        values = deviations_of(values, names)
    design = design_of(arms, control=control, assignment=assignment, intended_split=intended_split)
    groups = Groups(arm=arms, levels=levels, statistics=dict(values.items()))
    cells = cells_of(groups, design=design, outcome=outcome, kind=known, covariate=covariate)
    warn_of_gaps(cells, stacklevel=5)
    return cells


def _given(named: Mapping[str, str], kind: Kind, covariate: str | None) -> dict[str, str]:
    """Column of each statistic that the table is to hold, the sums of squares in the place of what they stand for."""
    needed = (*(_FREQUENCIES if kind == "count" else variables_of(kind, covariate)), LOG_ODDS_TOTAL)
    if not isinstance(named, Mapping):
        raise ArgumentError(
            f"statistics is a {type(named).__name__}; expected a mapping from statistic to column, such as "
            f"{dict.fromkeys(needed[:2], 'column')}."
        )
    instead = {squares: name for name, squares in SQUARES.items() if name in needed}
    for name in named:
        if name not in needed and name not in instead:
            options = [*needed, *instead]
            raise ArgumentError(
                f"no statistic named '{name}' in cells of kind '{kind}'. Statistics: {listed(options)}."
                f"{did_you_mean(name, options)}"
            )
        if name in instead and instead[name] in named:
            raise ArgumentError(f"statistics names '{name}' and '{instead[name]}', which say the same. Name one.")
    chosen = {name: SQUARES[name] if SQUARES.get(name) in named else name for name in needed}
    return {name: named.get(name, name) for name in chosen.values()}


def _faults(schema: Schema, keys: Mapping[str, str], given: Mapping[str, str], kind: Kind) -> list[Fault]:
    """Everything that may be wrong with the rows, in the order in which it is told."""
    faults = [fault for column, role in keys.items() for fault in key_faults(column, role, schema[column])]
    number = {name: number_of(column, schema[column]) for name, column in given.items()}
    for name, column in given.items():
        faults += number_faults(column, name, schema[column])
        if name == "exposure":
            advice = "Expected the exposure of each unit, more than 0."
            faults.append(Fault(column, name, number[name] <= 0, "is not positive", advice))
        elif name not in _SIGNED and not (name == TOTAL and kind == "continuous"):
            faults.append(Fault(column, name, number[name] < 0, "is negative", "Expected 0 or more."))
        if name in (N, "positives", "value") or (name == TOTAL and kind == "binary"):
            faults.append(Fault(column, name, number[name] % 1 != 0, "is fractional", "Expected a whole number."))
            advice = "Whole numbers beyond it would be rounded: check the column."
            faults.append(Fault(column, name, number[name] > LARGEST, f"is above 2^53 ({LARGEST:,})", advice))
    return faults if kind == "count" else faults + _contradictions(number, given, kind)


def _contradictions(number: Mapping[str, nw.Expr], given: Mapping[str, str], kind: Kind) -> list[Fault]:
    """Faults of two columns together."""
    faults = []
    for part in ("positives", *((TOTAL,) if kind == "binary" else ())):
        if part in number:
            more = f"is above the number of units ('{given[N]}')"
            faults.append(Fault(given[part], part, number[part] > number[N], more, "Check both columns."))
    if kind == "revenue":
        total, positives, most = (number[name] for name in (TOTAL, "positives", "maximum"))
        # up to rounding, the greatest of k amounts is at least their mean and at most their sum
        outside = (most * positives < total * (1 - _ROUNDING)) | (most > total * (1 + _ROUNDING))
        advice = "Check the columns of total, positives and maximum."
        faults.append(Fault(given["maximum"], "maximum", outside, "is not between mean and sum of the amounts", advice))
        none = (positives > 0) & (total == 0)
        faults.append(Fault(given[TOTAL], TOTAL, none, f"is 0 where '{given['positives']}' (positives) is not", advice))
    for name, column in given.items():
        of = "positives" if name in _OF_POSITIVES and "positives" in number else N
        if name not in (of, N):
            without = f"is not 0 where '{given[of]}' ({of}) is 0"
            advice = "Nobody adds up to nothing: check both columns."
            faults.append(Fault(column, name, (number[of] == 0) & (number[name] != 0), without, advice))
    return faults
