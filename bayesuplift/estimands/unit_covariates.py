"""What is known of the units whose effects are explained: their covariates, in the order of the posterior."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesuplift.data.coding import Coding
from bayesuplift.data.experiment import Experiment, numbers_of, texts_of, units_of
from bayesuplift.data.frames import collect, collect_frame, open_frame, require_columns, schema_of, translated
from bayesuplift.data.labels import names_of, natural_order
from bayesuplift.data.opening import opened
from bayesuplift.data.validation import check_numeric, check_unit, diagnose, key_faults, number_faults
from bayesuplift.errors import ArgumentError, DataError, listed
from bayesuplift.estimands.unit_effects import UnitEffects
from bayesuplift.posterior.factors import as_called, factors_of
from bayesuplift.posterior.unit_match import as_text, check_experiment, check_factors, check_names, check_number

Columns = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, eq=False)
class Covariate:
    """One covariate of the units, by its distinct values.

    Parameters
    ----------
    name
        Its name.
    values
        Distinct values (value,): numbers ascending, or levels of text in natural order.
    code
        Place (unit,) of each unit's value among these.
    """

    name: str
    values: NDArray[np.generic]
    code: NDArray[np.intp]

    @classmethod
    def of(cls, name: str, column: NDArray[np.generic]) -> "Covariate":
        """Find the distinct values of a column (unit,)."""
        if np.issubdtype(column.dtype, np.number):
            values, code = np.unique(column.astype(np.float64), return_inverse=True)
            return cls(name, values, code.reshape(-1))
        found, levels = pd.factorize(column.astype(object))
        ordered = natural_order(map(str, levels))
        place = {level: i for i, level in enumerate(ordered)}
        return cls(name, np.array(ordered), np.array([place[str(level)] for level in levels], dtype=np.intp)[found])

    @property
    def is_text(self) -> bool:
        """Whether the values are levels of text."""
        return not np.issubdtype(self.values.dtype, np.number)


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of the units.

    Parameters
    ----------
    covariates
        Those that differ between units.
    left_out
        Why the others are left out, by name.
    """

    covariates: tuple[Covariate, ...]
    left_out: Mapping[str, str]


def known_of(
    effects: UnitEffects, units: Any, covariates: str | Iterable[str] | None, *, unit: str | None = None
) -> Known:
    """Covariates of the units that a posterior is of, in its order.

    Parameters
    ----------
    effects
        The effects to explain.
    units
        The `Experiment`; or a path or any dataframe with one row a unit.
    covariates
        Names of the covariates to explain effects by. None for all covariates and segment factors of an experiment, and
        for those that the model was fitted on of a dataframe. A covariate that is the same for every unit is then left
        out; one that is named is refused.
    unit
        Column of a dataframe that names the unit, to be compared with the posterior's.

    Raises
    ------
    ArgumentError
        The units are not the posterior's, or stand in another order; no covariates can be told, or none differs.
    ColumnNotFoundError, DataError, FrameTypeError, MissingFileError, UnreadableFileError
        A covariate is not there, or misses a value; or the table cannot be read.
    """
    named = None if covariates is None else names_of(covariates, "covariates")
    if named == ():
        raise ArgumentError("covariates names none; leave it out for all that there are")
    if isinstance(units, Experiment):
        if unit is not None:
            raise ArgumentError(f"unit = {unit!r} names a column of a dataframe; an experiment names its units itself")
        check_number(effects.means, len(units), "experiment")
        check_experiment(effects.posterior, effects.means, units)
        columns: Columns = _of_experiment(units, named)
    else:
        columns = _of_table(effects, units, named, unit)
    found = tuple(Covariate.of(name, column) for name, column in columns.items())
    alike = [one.name for one in found if len(one.values) == 1]
    if alike and named is not None:
        raise ArgumentError(f"{listed(alike)}: the same for every unit, so that no effect depends on it; leave it out")
    if len(alike) == len(found):
        raise ArgumentError(
            f"no covariate differs between the units ({listed(alike) or 'there are none'}): there is nothing to explain "
            f"effects by. Name some when the units are read: read_experiment(..., covariates=[...])"
        )
    left_out = dict.fromkeys(alike, "the same for every unit")
    return Known(tuple(one for one in found if one.name not in left_out), MappingProxyType(left_out))


@translated("the table")
def columns_of(units: Any, text: Mapping[str, bool]) -> dict[str, NDArray[np.generic]]:
    """Columns (unit,) of new units: text where `text` says so, else numbers.

    Raises
    ------
    ColumnNotFoundError, DataError, FrameTypeError, MissingFileError, UnreadableFileError
        A column is not there, misses a value, or holds text where numbers were; or the table cannot be read.
    """
    if isinstance(units, Experiment):
        columns = _of_experiment(units, tuple(text))
        for name, column in columns.items():
            if not text[name] and not np.issubdtype(column.dtype, np.number):
                raise DataError(f"the covariate '{name}' holds text, and was numbers before; expected numbers.")
        return {name: as_text(column) if text[name] else column for name, column in columns.items()}
    frame, schema = opened(units, {}, inputs=tuple(text))
    faults = []
    for name, is_text in text.items():
        if not is_text:
            check_numeric(frame, name, "covariate", schema[name])
        faults += (key_faults if is_text else number_faults)(name, "covariate", schema[name])
    diagnose(frame, faults)
    table = collect_frame(frame.select(*text))
    return {name: texts_of(table[name]) if is_text else numbers_of(table[name]) for name, is_text in text.items()}


@translated("the table")
def rows_of(units: Any) -> int:
    """Number of units of an experiment, or of a table."""
    return len(units) if isinstance(units, Experiment) else int(collect(open_frame(units).select(n=nw.len()))["n"][0])


def _of_experiment(experiment: Experiment, named: tuple[str, ...] | None) -> dict[str, NDArray[np.generic]]:
    """Covariates of an experiment, and the segment factors that are none of them."""
    every = {
        **experiment.covariates,
        **{k: v for k, v in experiment.segments.items() if k not in experiment.covariates},
    }
    if named is None:
        return every
    for name in named:
        require_columns(every, {"covariate": name})
    return {name: every[name] for name in named}


@translated("the table")
def _of_table(effects: UnitEffects, source: Any, named: tuple[str, ...] | None, unit: str | None) -> Columns:
    """Covariates of a dataframe, after its rows were compared with the posterior's units."""
    names = _fitted(effects) if named is None else named
    if names is None:
        raise ArgumentError(
            f"a dataframe may hold outcomes, arms and names beside covariates: name the covariates, covariates=[...], of "
            f"its columns {listed(schema_of(open_frame(source)))}"
        )
    factors = tuple(
        factor
        for factor in (as_called(name) for name in factors_of(effects.means))
        if factor not in names and factor in schema_of(open_frame(source))
    )
    frame, schema = opened(source, {} if unit is None else {"unit": unit}, factors, inputs=names)
    if unit is not None:
        check_unit(frame, unit)
    numbers = {name: schema[name].is_numeric() or schema[name] == nw.Boolean for name in names}
    faults = [
        fault
        for name in names
        for fault in (number_faults if numbers[name] else key_faults)(name, "covariate", schema[name])
    ]
    diagnose(frame, faults)
    table = collect_frame(frame.select(*dict.fromkeys([*names, *factors, *([] if unit is None else [unit])])))
    check_number(effects.means, len(table), "table")
    if unit is not None:
        check_names(effects.means, units_of(table[unit]))
    check_factors(effects.means, {name: texts_of(table[name]) for name in (*factors, *names) if not numbers.get(name)})
    return {name: numbers_of(table[name]) if numbers[name] else texts_of(table[name]) for name in names}


def _fitted(effects: UnitEffects) -> tuple[str, ...] | None:
    """Names of the covariates that the model was fitted on, where the posterior says so."""
    coding = effects.posterior.attrs.get("coding")
    if coding is None or "model" not in effects.posterior.attrs:
        return None
    return tuple(dict.fromkeys(column.covariate for column in Coding.from_json(coding).columns))
