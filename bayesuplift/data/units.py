"""Units of an experiment as models of units take them: covariates coded as numbers."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.data.coding import Coding
from bayesuplift.data.design import Design
from bayesuplift.data.experiment import Experiment
from bayesuplift.data.labels import natural_order
from bayesuplift.data.least_squares import Triangular, triangular
from bayesuplift.dims import ARM, COMPONENT, UNIT, Kind, N, factor_name
from bayesuplift.errors import DataError


@dataclass(frozen=True, eq=False)
class Units:
    """An experiment whose covariates are columns of numbers.

    Parameters
    ----------
    experiment
        The units.
    coding
        How their covariates became columns.

    Raises
    ------
    DataError
        There is no covariate that differs between units.
    """

    experiment: Experiment
    coding: Coding

    def __post_init__(self) -> None:
        """Refuse units that nothing is known of."""
        if not self.coding.columns or not np.ptp(self.columns, axis=0).any():
            raise DataError(
                "no covariate differs between the units, and this model asks what effects depend on; name some: "
                "read_experiment(..., covariates=[...])."
            )

    @classmethod
    def of(cls, experiment: Experiment) -> "Units":
        """Code the covariates of an experiment."""
        return cls(experiment, Coding.of(experiment.covariates))

    @property
    def design(self) -> Design:
        """The arms."""
        return self.experiment.design

    @property
    def kind(self) -> Kind:
        """Kind of the outcome."""
        return self.experiment.kind

    @property
    def outcome(self) -> str:
        """Name of the outcome."""
        return self.experiment.outcome_name

    @cached_property
    def columns(self) -> NDArray[np.float64]:
        """The coded covariates (unit, column)."""
        return self.coding.apply(self.experiment.covariates)

    @cached_property
    def middle(self) -> NDArray[np.float64]:
        """Mean of each column (column,) over all units."""
        return np.ldexp(np.ldexp(self.columns, -self._exponent).mean(axis=0), self._exponent)

    @cached_property
    def spread(self) -> NDArray[np.float64]:
        """Standard deviation of each column (column,) over all units, 1 where they are all alike."""
        found = np.ldexp(np.ldexp(self.columns, -self._exponent).std(axis=0), self._exponent)
        # of equal numbers rounding leaves some 1e-17 over, which would be taken for a scale
        alike = np.ptp(self.columns, axis=0) == 0.0
        return np.where(alike | (found == 0.0), 1.0, found)

    @cached_property
    def _exponent(self) -> NDArray[np.int32]:
        """Power of 2 (column,) of the largest number of each column: squares of 1e300 or 1e-300 are not numbers."""
        return np.frexp(np.maximum(self.columns.max(axis=0), -self.columns.min(axis=0)))[1]

    @cached_property
    def standardised(self) -> NDArray[np.float64]:
        """The columns about their mean, in units of their standard deviation (unit, column)."""
        return (self.columns - self.middle) / self.spread

    @cached_property
    def regression(self) -> Triangular:
        """What a linear regression by arm on the standardised columns needs of the outcomes."""
        experiment = self.experiment
        return triangular(self.standardised, experiment.outcome, experiment.arm, len(self.design.arms))

    @property
    def labels(self) -> dict[str, Any]:
        """Coordinates: the arms, the units, and the segment factors of these."""
        names = self.experiment.unit
        units = np.arange(len(self.experiment)) if names is None else names
        factors = {factor_name(name): (UNIT, np.asarray(levels)) for name, levels in self.experiment.segments.items()}
        return {ARM: list(self.design.arms), UNIT: units, **factors}

    @cached_property
    def levels(self) -> dict[str, tuple[list[str], NDArray[np.intp]]]:
        """By segment factor that differs between units: its levels, and the position of each unit's among them."""
        found = {}
        for name, values in self.experiment.segments.items():
            names = list(natural_order(map(str, pd.unique(values))))
            if len(names) > 1:
                found[factor_name(name)] = names, pd.Index(names).get_indexer(pd.Index(values.astype(str)))
        return found

    @cached_property
    def statistics(self) -> xr.Dataset:
        """`n` (arm), `projection` (arm, component) and `residual_sum_of_squares` (arm) of `regression`, with `labels`."""
        found = self.regression
        return xr.Dataset(
            {
                N: (ARM, found.n),
                "projection": ((ARM, COMPONENT), found.projection),
                "residual_sum_of_squares": (ARM, found.residual),
            },
            coords=self.labels,
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of arms, outcomes, coded covariates, propensities and precisions by unit, in hexadecimal."""
        facts = {"outcome": self.outcome, "kind": self.kind, "arms": self.design.arms, "coding": self.coding.to_json()}
        digest = hashlib.sha256(json.dumps(facts, ensure_ascii=False, sort_keys=True).encode())
        known = [] if self.experiment.propensity is None else [self.experiment.propensity]
        for part in (self.experiment.arm.astype(np.int64), self.experiment.outcome, self.columns, *known):
            digest.update(np.ascontiguousarray(part).tobytes())
        if self.experiment.precision is not None:  # by name: it may be a propensity's very numbers
            digest.update(b"precision" + self.experiment.precision.tobytes())
        return digest.hexdigest()
