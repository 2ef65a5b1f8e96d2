"""Data by unit: one row a unit, validated once and then immutable."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bayesuplift.data.aggregation import Roles, aggregate
from bayesuplift.data.assembly import cells_of
from bayesuplift.data.cells import Cells
from bayesuplift.data.design import Design
from bayesuplift.data.frames import open_frame, require_columns
from bayesuplift.data.grid import check_covariate
from bayesuplift.data.labels import is_missing, label, names_of
from bayesuplift.data.propensity import check_propensity
from bayesuplift.data.validation import check_kind
from bayesuplift.dims import Kind
from bayesuplift.errors import ArgumentError, DataError, FactorNotFoundError, did_you_mean, listed


@dataclass(frozen=True, eq=False)
class Experiment:
    """Units of an experiment, one row each.

    Parameters
    ----------
    design
        The arms, and how units came to be in them.
    kind
        "binary", "count", "continuous" or "revenue".
    outcome_name
        Name of the outcome.
    arm
        Position (unit,) of each unit's arm in the design.
    outcome
        Outcome (unit,) of each unit, finite, valid for its kind.
    unit
        Names (unit,) of the units, all different; None where they have none.
    covariates
        Covariates (unit,) by name, complete: numbers as float64, anything else as text.
    segments
        Levels (unit,) of the segment factors by name, as text.
    propensity
        Probability (unit,) that the unit got the treatment, given its covariates, strictly between 0 and 1; of more than
        two arms (unit, treatment), that it got each treatment, which leaves some to the control. None where it is not
        known.
    precision
        Precision (unit,) of each unit's outcome relative to other units', above 0: its noise has the variance
        sd^2 / precision, such as that of a mean of so many measurements. None where all are alike; of continuous outcomes
        only.

    Raises
    ------
    ArgumentError
        A precision is given of another kind of outcome.
    DataError
        Lengths differ, or a value is missing or out of its range.
    """

    design: Design
    kind: Kind
    outcome_name: str
    arm: NDArray[np.intp]
    outcome: NDArray[np.float64]
    unit: NDArray[np.generic] | None = None
    covariates: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    segments: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    propensity: NDArray[np.float64] | None = None
    precision: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        """Validate once, and make every array read-only."""
        check_kind(self.kind)
        set_field = object.__setattr__
        set_field(self, "arm", _read_only(_whole(self.arm), np.intp))
        set_field(self, "outcome", _read_only(self.outcome, np.float64))
        set_field(self, "covariates", _columns(self.covariates, "covariate"))
        set_field(self, "segments", _columns(self.segments, "segment", as_text=True))
        if self.unit is not None:
            set_field(self, "unit", _read_only(self.unit))
        if self.propensity is not None:
            set_field(self, "propensity", _read_only(self.propensity, np.float64))
        if self.precision is not None:
            set_field(self, "precision", _read_only(self.precision, np.float64))
        self._check_lengths()
        arms = len(self.design.arms)
        if not len(self):
            raise DataError("the experiment has no units.")
        if self.arm.min() < 0 or self.arm.max() >= arms:
            raise DataError(
                f"an arm's position is outside 0 to {arms - 1}; expected one of {listed(self.design.arms)}."
            )
        _check_outcome(self.outcome, self.kind, self.outcome_name)
        if self.unit is not None and len(pd.unique(self.unit)) < len(self):
            raise DataError("a unit comes twice; expected one row a unit.")
        if self.propensity is not None:
            check_propensity(self.propensity, self.design, len(self))
        if self.precision is not None:
            _check_precision(self.precision, self.kind)

    def __len__(self) -> int:
        """Number of units."""
        return len(self.outcome)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle through the constructor: a copy is validated and read-only, too."""
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        values |= {"covariates": dict(self.covariates), "segments": dict(self.segments)}
        return type(self), tuple(values.values())

    def with_propensity(self, propensity: ArrayLike) -> "Experiment":
        """The same units with P(treatment | covariates) (unit,) of each; what was known of it before is replaced.

        Of more than two arms P(arm | covariates) (unit, treatment), in the order of the design's treatments; the control's
        is what is left.

        Raises
        ------
        ArgumentError
            There are more than two arms, and one number a unit.
        DataError
            There is not one number for each unit and treatment, one is not strictly between 0 and 1, or those of a unit add
            up to 1.
        """
        return replace(self, propensity=np.asarray(propensity, dtype=np.float64))

    def cells(self, segments: str | Iterable[str] | None = None, *, covariate: str | None = None) -> Cells:
        """Cells of these units, with their propensity where it is known, through the same aggregation as `read_cells`.

        Parameters
        ----------
        segments
            Names of the segment factors to keep; all of them by default, none for an empty list.
        covariate
            Name of the covariate to keep the statistics of, numbers only; for continuous outcomes and revenue.

        Raises
        ------
        FactorNotFoundError
            There is no such factor.
        ColumnNotFoundError
            There is no such covariate.
        DataError
            The covariate is text.
        ArgumentError
            The units have a propensity of more than two arms, or differ in the precision of their outcomes.
        """
        if self.precision is not None:
            raise ArgumentError(
                "the units differ in the precision of their outcomes, and cells count every unit alike. Leave it out: "
                "dataclasses.replace(experiment, precision=None)."
            )
        check_covariate(self.kind, covariate)
        if self.propensity is not None and self.propensity.ndim > 1:
            raise ArgumentError(
                f"the units have a propensity for each of {listed(self.design.treatments)}, and cells keep that of two "
                f"arms only. Leave it out: dataclasses.replace(experiment, propensity=None)."
            )
        chosen = tuple(self.segments) if segments is None else names_of(segments, "segments")
        for name in chosen:
            if name not in self.segments:
                found = listed(self.segments) if self.segments else "none"
                raise FactorNotFoundError(
                    f"no factor named '{name}'. Factors: {found}.{did_you_mean(name, self.segments)}"
                )
        columns = {f"s{i}": self.segments[name] for i, name in enumerate(chosen)}
        table = pd.DataFrame({"arm": np.array(self.design.arms)[self.arm], "outcome": self.outcome, **columns})
        if covariate is not None:
            table["covariate"] = self._number(covariate)
        if self.propensity is not None:
            table["propensity"] = self.propensity
        roles = Roles(
            arm="arm",
            outcome="outcome",
            kind=self.kind,
            segments=tuple(columns),
            covariate=None if covariate is None else "covariate",
            propensity=None if self.propensity is None else "propensity",
        )
        groups = aggregate(open_frame(table), roles)
        levels = dict(zip(chosen, groups.levels.values(), strict=True))
        return cells_of(
            replace(groups, levels=levels),
            design=self.design,
            outcome=self.outcome_name,
            kind=self.kind,
            covariate=covariate,
        )

    def _number(self, covariate: str) -> NDArray[np.generic]:
        """A covariate of numbers (unit,)."""
        require_columns(self.covariates, {"covariate": covariate})
        values = self.covariates[covariate]
        if not np.issubdtype(values.dtype, np.number):
            raise DataError(f"the column '{covariate}' (covariate) holds text; expected numbers. Use it as a segment.")
        return values

    def _check_lengths(self) -> None:
        lengths = {"arm": self.arm, "outcome": self.outcome, **self.covariates, **self.segments}
        if self.unit is not None:
            lengths["unit"] = self.unit
        if self.precision is not None:
            lengths["precision"] = self.precision
        if self.propensity is not None and len(self.design.treatments) == 1:
            lengths["propensity"] = self.propensity
        wrong = {name: values.shape for name, values in lengths.items() if values.shape != (len(self.outcome),)}
        if wrong or self.outcome.ndim != 1:
            raise DataError(f"{listed(wrong or ['outcome'])} differ in shape from one value a unit ({wrong}).")


def numbers_of(column: nw.Series[Any]) -> NDArray[np.float64]:
    """A column of numbers or truth values (unit,) as float64, NaN where it is missing."""
    values = column.cast(nw.Int8) if column.dtype == nw.Boolean else column
    return np.asarray(values.cast(nw.Float64).to_numpy(), dtype=np.float64)


def texts_of(column: nw.Series[Any]) -> NDArray[np.str_]:
    """A column (unit,) as text, empty where it is missing."""
    values = column.to_list()
    texts = {value: "" if is_missing(value) else label(value) for value in set(values)}
    return np.array([texts[value] for value in values], dtype=np.str_)


def units_of(column: nw.Series[Any]) -> NDArray[np.generic]:
    """Names of units (unit,) in a type that keeps every one as it is."""
    values = column.to_list()
    array = np.array(values)
    # NumPy makes floats of integers on both sides of 2^63, and text of numbers beside text.
    return array if array.tolist() == values else np.array(values, dtype=object)


def _read_only(values: ArrayLike, dtype: type[np.generic] | None = None) -> NDArray[Any]:
    array = np.array(values, dtype=dtype)
    array.flags.writeable = False
    return array


def _whole(values: ArrayLike) -> NDArray[Any]:
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"arm has the type {array.dtype}; expected the position of each unit's arm, whole numbers.")
    return array


def _columns(
    columns: Mapping[str, NDArray[np.generic]], role: str, *, as_text: bool = False
) -> Mapping[str, NDArray[np.generic]]:
    """Read-only copies; a missing or infinite value is refused."""
    kept = {}
    for name, values in columns.items():
        array = np.asarray(values)
        if not as_text and (np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_):
            kept[name] = _read_only(array, np.float64)
            at_fault = ~np.isfinite(kept[name])
        else:
            missing = {value: is_missing(value) for value in pd.unique(array)}
            at_fault = np.array([missing[value] for value in array.tolist()], dtype=bool)
            kept[name] = _read_only([label(value) for value in array.tolist()], np.str_)
        if at_fault.any():
            rows = listed(np.flatnonzero(at_fault)[:3] + 1)
            raise DataError(
                f"the column '{name}' ({role}) is missing, empty or not finite in {int(at_fault.sum()):,} of "
                f"{len(array):,} rows, first in data row {rows}. Drop these rows or fill them in before reading."
            )
    return MappingProxyType(kept)


def _check_precision(precision: NDArray[np.float64], kind: Kind) -> None:
    if kind != "continuous":
        raise ArgumentError(
            f"a precision is given for the kind '{kind}'; only continuous outcomes have one. Leave it out."
        )
    at_fault = ~(np.isfinite(precision) & (precision > 0.0))
    if at_fault.any():
        first = int(np.flatnonzero(at_fault)[0])
        raise DataError(
            f"the precision is not above 0 and finite in {int(at_fault.sum()):,} of {len(precision):,} rows, first in data "
            f"row {first + 1} ({precision[first]:g}). Leave out units of whose outcome nothing is known."
        )


def _check_outcome(outcome: NDArray[np.float64], kind: Kind, name: str) -> None:
    valid = np.isfinite(outcome)
    if kind == "binary":
        valid &= (outcome == 0) | (outcome == 1)
    if kind in ("count", "revenue"):
        valid &= outcome >= 0
    if kind == "count":
        valid &= np.floor(outcome) == outcome
    if not valid.all():
        first = int(np.flatnonzero(~valid)[0])
        raise DataError(
            f"the outcome '{name}' is not valid for the kind '{kind}' in {int((~valid).sum()):,} of {len(outcome):,} "
            f"rows, first in data row {first + 1} ({outcome[first]:g})."
        )
