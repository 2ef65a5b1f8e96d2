"""Units that nothing was measured of yet: their covariates from a table, coded as when the model was fitted."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.coding import Coding
from bayesuplift.data.experiment import numbers_of, texts_of, units_of
from bayesuplift.data.frames import collect_frame
from bayesuplift.data.opening import opened
from bayesuplift.data.propensity import propensity_faults
from bayesuplift.data.validation import check_numeric, check_unit, diagnose, key_faults, number_faults
from bayesuplift.errors import DataError


def coded_units(
    source: Any, coding: Coding, *, unit: str | None = None, propensity: str | None = None
) -> tuple[NDArray[np.generic], NDArray[np.float64], NDArray[np.float64] | None]:
    """Labels (unit,), coded covariates (unit, column) and propensities (unit,), where asked for, of the rows of a table.

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
        Column of P(treatment | covariates), strictly between 0 and 1.

    Raises
    ------
    MissingFileError, UnreadableFileError, FrameTypeError
        The source cannot be opened.
    ColumnNotFoundError
        A covariate, or the propensity, has no column.
    DataError
        A value is missing or no number, a unit comes twice, or there is no row.
    """
    names = tuple(dict.fromkeys(column.covariate for column in coding.columns))
    texts = {column.covariate for column in coding.columns if column.level is not None}
    roles = {role: name for role, name in (("unit", unit), ("propensity", propensity)) if name is not None}
    frame, schema = opened(source, roles, inputs=names)
    if unit is not None:
        check_unit(frame, unit)
    faults = []
    if propensity is not None:
        check_numeric(frame, propensity, "propensity", schema[propensity])
        faults += propensity_faults(propensity, schema[propensity])
    for name in names:
        if name in texts:
            faults += key_faults(name, "covariate", schema[name])
        else:
            check_numeric(frame, name, "covariate", schema[name])
            faults += number_faults(name, "covariate", schema[name])
    diagnose(frame, faults)
    table = collect_frame(frame.select(*dict.fromkeys([*names, *roles.values()])))
    if not len(table):
        raise DataError("the table of units has no row.")
    covariates = {name: texts_of(table[name]) if name in texts else numbers_of(table[name]) for name in names}
    labels = np.arange(len(table)) if unit is None else units_of(table[unit])
    chance = None if propensity is None else numbers_of(table[propensity])
    return labels, coding.apply(covariates), chance
