"""Units that are alike in all that forests ask for, gathered into one row of their mean: fewer rows, the same posterior."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.causal_rows import CausalRows
from bayesuplift.priors.forest import ForestPrior, ForestShape

_FEWER: Final = 2  # times: what makes it worth a pass over the rows


@dataclass(frozen=True)
class Gathered:
    """What is sampled in place of the units.

    Attributes
    ----------
    rows
        Rows that stand for one unit each, or for all those that are alike.
    place
        (unit,): the row that stands for each unit; None where these are the units themselves.
    """

    rows: CausalRows
    place: NDArray[np.intp] | None

    def prior_of_rows(self, prior: ForestPrior) -> ForestPrior:
        """Return the prior that stands for this one at the rows: gathered, each has as many units as a leaf needs."""
        if self.place is None:
            return prior
        return replace(prior, prognostic=_of_any_rows(prior.prognostic), effect=_of_any_rows(prior.effect))

    def at_units(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (chain, draw, unit, ...) from values at the rows, (chain, draw, row, ...)."""
        return values if self.place is None else values[:, :, self.place]


def gathered(units: CausalRows, prior: ForestPrior) -> Gathered:
    """Gather units of the same arm, covariates and groups where that leaves the posterior what it is.

    The mean of a row's units, their number and the sum of squares about their mean are all that a normal likelihood asks of
    them. Leaves need so many units: where every row has as many, so has every leaf, whatever its rows. Units stay as they
    are where a row would have fewer, where rows were more than half of them, where the outcome is binary (a value behind
    each is drawn), and where they are weighted.

    Parameters
    ----------
    units
        One row a unit.
    prior
        Of which the units that a leaf needs count.
    """
    least = max(prior.prognostic.least_units, prior.effect.least_units)
    if units.binary or units.weight is not None:
        return Gathered(units, None)
    columns = [units.arm, *units.groups, *units.prognostic.T, *units.moderators.T]
    place = _alike(columns, len(units.outcome) // max(least, _FEWER))
    if place is None:
        return Gathered(units, None)
    _, first, number = np.unique(place, return_index=True, return_counts=True)
    if number.min() < least:
        return Gathered(units, None)
    mean = np.bincount(place, units.outcome) / number
    rows = replace(
        units,
        outcome=mean,
        arm=units.arm[first],
        prognostic=units.prognostic[first],
        moderators=units.moderators[first],
        groups=tuple(one[first] for one in units.groups),
        weight=number.astype(np.float64),
        within_degrees=float(len(place) - len(number)),
        within_squares=float(np.sum((units.outcome - mean[place]) ** 2)),
    )
    return Gathered(rows, place)


def _alike(columns: list[NDArray], most: int) -> NDArray[np.intp] | None:
    """Number the kinds of rows, (row,), from 0; None where there are more of them than so many."""
    place = np.zeros(len(columns[0]), dtype=np.intp)
    for column in columns:
        values, code = np.unique(column, return_inverse=True)
        kinds, place = np.unique(place * len(values) + code, return_inverse=True)
        if len(kinds) > most:
            return None
    return place


def _of_any_rows(shape: ForestShape) -> ForestShape:
    return replace(shape, least_units=1)
