"""What predicts units from a fit: what it asks of a table, and mean outcomes at the rows that were read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import xarray as xr

from bayesuplift.data.coding import Coding
from bayesuplift.data.experiment import Experiment
from bayesuplift.data.propensity import columns_asked_for
from bayesuplift.data.unit_table import CodedUnits, coded_experiment, coded_units
from bayesuplift.errors import ArgumentError


@dataclass(frozen=True, eq=False)
class UnitPredictor:
    """A fitted model of units, at covariates of any units.

    Parameters
    ----------
    coding
        How covariates became columns.
    at
        The group `posterior` with the mean outcomes (chain, draw, unit, arm) of coded units; the seed is of what is new.
    treatments
        Those whose propensities the fit had; none where it had none.
    factors
        Columns of segment factors.
    """

    coding: Coding
    at: Callable[[CodedUnits, int], xr.Dataset]
    treatments: tuple[str, ...] = ()
    factors: tuple[str, ...] = ()

    def read(self, units: Any, *, unit: str | None = None) -> CodedUnits:
        """Read the rows of a table, or the units of an experiment.

        Parameters
        ----------
        units
            An `Experiment`; or a path or any dataframe with the covariates and segments of the fit; and where it had a
            propensity the column `propensity`, or of more than two arms one for each treatment, such as
            `propensity_offer` for the arm "offer".
        unit
            Column of a table that names the unit.

        Raises
        ------
        ArgumentError, ColumnNotFoundError, DataError
            As `coded_units` and `coded_experiment`; or a column is named of an experiment.
        """
        if not isinstance(units, Experiment):
            asked = columns_asked_for(self.treatments) if self.treatments else {}
            return coded_units(units, self.coding, unit=unit, propensity=asked, factors=self.factors)
        if unit is not None:
            raise ArgumentError(f"unit = {unit!r} names a column of a table; an experiment names its units itself")
        return coded_experiment(units, self.coding, treatments=self.treatments, factors=self.factors)
