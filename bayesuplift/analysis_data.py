"""The data of an analysis file, read as each outcome's model takes them, and checked."""

import warnings
from dataclasses import replace
from typing import Any

from bayesuplift.analysis_file import AnalysisFile
from bayesuplift.analysis_sections import OutcomeSection
from bayesuplift.data.cells import Cells
from bayesuplift.data.checks import Check, checks_of, duplicates, missingness
from bayesuplift.data.experiment import Experiment
from bayesuplift.data.readers import read_cells, read_counts, read_experiment
from bayesuplift.errors import DataWarning


def read_noted(
    analysis: AnalysisFile, outcome: OutcomeSection, notes: list[str], *, by_unit: bool
) -> Cells | Experiment:
    """Read one outcome's data; keep for the report what reading warns of, and warn of it still."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = read_outcome(analysis, outcome, by_unit=by_unit)
    for one in caught:
        if issubclass(one.category, DataWarning):
            notes.append(str(one.message))
        warnings.warn(one.message, one.category, stacklevel=3)
    return data


def read_outcome(analysis: AnalysisFile, outcome: OutcomeSection, *, by_unit: bool) -> Cells | Experiment:
    """Read one outcome's cells, or its units where its model sees these one by one."""
    data = analysis.data
    shared: dict[str, Any] = {
        "arm": data.arm,
        "control": data.control,
        "segments": list(data.segments),
        "assignment": data.assignment,
        "intended_split": data.intended_split,
    }
    column = outcome.column or outcome.name
    of_rows: dict[str, Any] = {
        "outcome": column,
        "kind": outcome.kind,
        "unit": data.unit,
        "propensity": data.propensity,
    }
    if by_unit:
        units = read_experiment(analysis.data_path, covariates=list(data.covariates), **of_rows, **shared)
        return units if column == outcome.name else replace(units, outcome_name=outcome.name)
    if data.trials is None:
        cells = read_cells(
            analysis.data_path, exposure=outcome.exposure, covariate=outcome.covariate, **of_rows, **shared
        )
        return cells if column == outcome.name else replace(cells, outcome=outcome.name)
    if outcome.kind == "binary" and outcome.statistics is None:
        return read_counts(analysis.data_path, trials=data.trials, successes=column, outcome=outcome.name, **shared)
    named = {"n": data.trials}
    if outcome.column is not None:
        named["value" if outcome.kind == "count" else "total"] = outcome.column
    return Cells.from_table(
        analysis.data_path,
        kind=outcome.kind,
        outcome=outcome.name,
        statistics=named | dict(outcome.statistics or {}),
        covariate=outcome.covariate,
        **shared,
    )


def cells_of(data: Cells | Experiment) -> Cells:
    """The cells of an outcome: what its checks and its raw figures are made of."""
    return data.cells() if isinstance(data, Experiment) else data


def data_checks(analysis: AnalysisFile, cells: Cells) -> list[Check]:
    """Checks that all outcomes share: the sample ratio, what is missing, and units that come twice."""
    data = analysis.data
    checks = checks_of(cells)
    if data.trials is not None:
        return checks
    columns = [*data.covariates]
    if analysis.checks.missingness and columns:
        checks.append(missingness(analysis.data_path, arm=data.arm, columns=columns))
    if data.unit is not None:
        checks.append(duplicates(analysis.data_path, unit=data.unit))
    return checks
