"""Units that nothing was measured of yet: their covariates from a table, coded as when the model was fitted."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.coding import Coding
from bayesuplift.data.experiment import Experiment, numbers_of, texts_of, units_of
from bayesuplift.data.frames import collect_frame, require_columns
from bayesuplift.data.opening import opened
from bayesuplift.data.propensity import check_rest, propensity_faults
from bayesuplift.data.validation import check_numeric, check_unit, diagnose, key_faults, number_faults
from bayesuplift.errors import ArgumentError, DataError, DataWarning, listed


@dataclass(frozen=True)
class CodedUnits:
    """Units of a table.

    Attributes
    ----------
    labels
        (unit,): their names.
    columns
        (unit, column): the coded covariates.
    propensity
        (unit, treatment): P(treatment | covariates); None where it was not asked for.
    levels
        (unit,) by factor: its levels, as text.
    covariates
        (unit,) by covariate: what was read, numbers or text; empty of units that nobody read.
    """

    labels: NDArray[np.generic]
    columns: NDArray[np.float64]
    propensity: NDArray[np.float64] | None
    levels: Mapping[str, NDArray[np.generic]]
    covariates: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)


def coded_units(
    source: Any,
    coding: Coding,
    *,
    unit: str | None = None,
    propensity: Mapping[str, str] = MappingProxyType({}),
    factors: Sequence[str] = (),
) -> CodedUnits:
    """Read the rows of a table as units.

    Parameters
    ----------
    source
        A path to a CSV, TSV or Parquet file, or any dataframe that narwhals knows; other columns are not looked at.
    coding
        How covariates became columns when the model was fitted. A level of text that was not seen then is 0 in every
        column.
    unit
        Column that names the unit; a unit that comes twice is refused. Without one, units are numbered from 0.
    propensity
        Column of P(treatment | covariates), strictly between 0 and 1, of each treatment, by its role in messages.
    factors
        Columns of segment factors, compared as text.

    Raises
    ------
    MissingFileError, UnreadableFileError, FrameTypeError
        The source cannot be opened.
    ColumnNotFoundError
        A covariate, or the propensity, has no column.
    DataError
        A value is missing or no number, propensities leave nothing to the control, a unit comes twice, or there is no row;
        or there are so many that they would not fit.

    Warns
    -----
    DataWarning
        Text has a level that was not seen when the model was fitted.
    """
    names = tuple(dict.fromkeys(column.covariate for column in coding.columns))
    texts = {column.covariate for column in coding.columns if column.level is not None}
    roles = ({} if unit is None else {"unit": unit}) | dict(propensity)
    frame, schema = opened(source, roles, inputs=tuple(dict.fromkeys([*names, *factors])))
    if unit is not None:
        check_unit(frame, unit)
    faults = []
    for role, name in propensity.items():
        check_numeric(frame, name, role, schema[name])
        faults += propensity_faults(name, schema[name], role)
    for name in names:
        if name in texts:
            faults += key_faults(name, "covariate", schema[name])
        else:
            check_numeric(frame, name, "covariate", schema[name])
            faults += number_faults(name, "covariate", schema[name])
    faults += [fault for name in factors if name not in texts for fault in key_faults(name, "factor", schema[name])]
    diagnose(frame, faults)
    table = collect_frame(frame.select(*dict.fromkeys([*names, *factors, *roles.values()])))
    if not len(table):
        raise DataError("the table of units has no row.")
    covariates = {name: texts_of(table[name]) if name in texts else numbers_of(table[name]) for name in names}
    _warn_of_unseen(coding, covariates)
    labels = np.arange(len(table)) if unit is None else units_of(table[unit])
    chance = np.column_stack([numbers_of(table[name]) for name in propensity.values()]) if propensity else None
    if chance is not None and len(propensity) > 1:
        check_rest(chance)
    levels = {name: texts_of(table[name]) for name in factors}
    return CodedUnits(labels, coding.apply(covariates), chance, levels, covariates)


def coded_experiment(
    experiment: Experiment, coding: Coding, *, treatments: Sequence[str] = (), factors: Sequence[str] = ()
) -> CodedUnits:
    """Read the units of an experiment as those of a table; its arms and outcomes are not looked at.

    Parameters
    ----------
    experiment
        The units.
    coding
        As of `coded_units`.
    treatments
        Those whose propensities are asked for; none where none are.
    factors
        Names of segment factors.

    Raises
    ------
    ArgumentError
        Propensities are asked for and the experiment has none, or those of other treatments.
    ColumnNotFoundError
        The experiment lacks a covariate or a factor.
    DataError
        A covariate of numbers holds text.

    Warns
    -----
    DataWarning
        Text has a level that was not seen when the model was fitted.
    """
    names = dict.fromkeys(column.covariate for column in coding.columns)
    for name in names:
        require_columns(experiment.covariates, {"covariate": name})
    for name in factors:
        require_columns(experiment.segments, {"factor": name})
    covariates = {name: experiment.covariates[name] for name in names}
    columns = coding.apply(covariates)
    _warn_of_unseen(coding, covariates)
    labels = np.arange(len(experiment)) if experiment.unit is None else experiment.unit
    chance = _propensities(experiment, treatments) if treatments else None
    return CodedUnits(labels, columns, chance, {name: experiment.segments[name] for name in factors}, covariates)


def _propensities(experiment: Experiment, treatments: Sequence[str]) -> NDArray[np.float64]:
    """Propensities (unit, treatment), in the order of these treatments."""
    own = experiment.design.treatments
    if experiment.propensity is None or set(own) != set(treatments):
        found = "none" if experiment.propensity is None else f"those of {listed(own)}"
        raise ArgumentError(
            f"the model was fitted with propensities of {listed(treatments)}, and the experiment has {found}; give it "
            f"these: experiment.with_propensity(...)"
        )
    every = experiment.propensity.reshape(len(experiment), -1)
    return every[:, [own.index(name) for name in treatments]]


def _warn_of_unseen(coding: Coding, covariates: Mapping[str, NDArray[np.generic]]) -> None:
    """Say which covariates have levels that no unit of the fit had, and what they are taken for."""
    bases = {column.covariate: column.base for column in coding.columns}
    for name, unseen in coding.unseen(covariates).items():
        if not unseen.any():
            continue
        base = bases[name]
        meaning = f"taken for '{base}'" if base is not None else "0 in each of its columns, none of the levels seen"
        warnings.warn(
            f"{int(unseen.sum()):,} of {len(unseen):,} units have a level of '{name}' that no unit had when the model was "
            f"fitted ({listed(sorted(set(covariates[name][unseen].tolist())), 3)}): {meaning}. What is predicted of them "
            f"rests on their other covariates.",
            DataWarning,
            stacklevel=3,
        )
