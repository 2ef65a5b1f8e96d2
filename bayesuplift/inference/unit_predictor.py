"""What predicts units from a fit: what it asks of a table, and mean outcomes at the rows that were read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import xarray as xr

from bayesuplift.data.coding import Coding
from bayesuplift.data.unit_table import CodedUnits, coded_units


@dataclass(frozen=True, eq=False)
class UnitPredictor:
    """A fitted model of units, at covariates of any units.

    Parameters
    ----------
    coding
        How covariates became columns.
    at
        The group `posterior` with the mean outcomes (chain, draw, unit, arm) of coded units; the seed is of what is new.
    propensity
        Columns of P(treatment | covariates), by their role in messages; none where the fit had no propensity.
    factors
        Columns of segment factors.
    """

    coding: Coding
    at: Callable[[CodedUnits, int], xr.Dataset]
    propensity: Mapping[str, str] = field(default_factory=dict)
    factors: tuple[str, ...] = ()

    def read(self, units: Any, *, unit: str | None = None) -> CodedUnits:
        """Read the rows of a table as units.

        Parameters
        ----------
        units
            A path or any dataframe with the covariates and segments of the fit; and where it had a propensity the column
            `propensity`, or of more than two arms one for each treatment, such as `propensity_offer` for the arm "offer".
        unit
            Column that names the unit.

        Raises
        ------
        ColumnNotFoundError, DataError
            As `coded_units`.
        """
        return coded_units(units, self.coding, unit=unit, propensity=self.propensity, factors=self.factors)
