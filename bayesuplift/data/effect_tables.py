"""Reader of past experiments: a table of estimates and standard errors goes in, validated effects come out."""

from typing import Any

import narwhals.stable.v2 as nw

from bayesuplift.data.effects import Effects, EffectScale
from bayesuplift.data.frames import collect, translated
from bayesuplift.data.labels import label, natural_order
from bayesuplift.data.opening import opened
from bayesuplift.data.validation import (
    Fault,
    check_numeric,
    check_roles,
    diagnose,
    key_faults,
    number_faults,
    number_of,
)


@translated("the table")
def read_effects(
    table: Any,
    *,
    estimate: str,
    standard_error: str,
    experiment: str | None = None,
    scale: EffectScale,
    outcome: str | None = None,
) -> Effects:
    """Effects of past experiments from a table with one row an experiment.

    Parameters
    ----------
    table
        A path to a CSV, TSV or Parquet file, or any dataframe that narwhals knows.
    estimate, standard_error
        Columns of the estimated effect and of its standard error, both on `scale`.
    experiment
        Column that names the experiment; where none is given they are called 1, 2, ... as the rows come.
    scale
        "difference", "log_ratio" or "log_odds"; see `Effects`.
    outcome
        Name of the outcome; the estimate's column where none is given.

    Returns
    -------
    Effects
        Arrays (J,), in the natural order of the experiments' names.

    Raises
    ------
    MissingFileError, UnreadableFileError, FrameTypeError
        The table cannot be opened.
    ColumnNotFoundError
        A column is not there.
    ArgumentError
        A column has two roles, or the scale is unknown.
    DataError
        A row holds a fault; the message names the column, how many rows, and the first of them.
    """
    named = {"estimate": estimate, "standard error": standard_error}
    if experiment is not None:
        named["experiment"] = experiment
    check_roles({role: (column,) for role, column in named.items()})
    frame, schema = opened(table, named)
    faults = [] if experiment is None else key_faults(experiment, "experiment", schema[experiment])
    for role in ("estimate", "standard error"):
        check_numeric(frame, named[role], role, schema[named[role]])
        faults += number_faults(named[role], role, schema[named[role]])
    error = number_of(standard_error, schema[standard_error])
    advice = "Expected the standard error of an estimate: leave out experiments that have none."
    faults.append(Fault(standard_error, "standard error", error <= 0, "is not above 0", advice))
    diagnose(frame, faults)
    columns = {"estimate": number_of(estimate, schema[estimate]), "standard_error": error}
    found = collect(frame.select(**columns, **({"experiment": nw.col(experiment)} if experiment is not None else {})))
    if experiment is None:
        names = [str(row) for row in range(1, len(found["estimate"]) + 1)]
    else:
        names = [label(value) for value in found["experiment"]]
    # rows have no order in some engines, and the same data must be the same effects in every one
    place = {name: k for k, name in enumerate(natural_order(names))}
    order = sorted(range(len(names)), key=lambda row: place[names[row]])
    return Effects(
        experiment=[names[row] for row in order],
        estimate=[found["estimate"][row] for row in order],
        standard_error=[found["standard_error"][row] for row in order],
        scale=scale,
        outcome=estimate if outcome is None else outcome,
    )
