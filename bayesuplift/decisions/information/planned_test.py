"""A randomized test that is yet to come: its units by arm, and the outcomes that it may have if a draw is the truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.decisions.choice import compared
from bayesuplift.dims import ARM, EXPOSURE, SEGMENT, TOTAL, N
from bayesuplift.errors import (
    ArgumentError,
    ArmNotFoundError,
    PosteriorError,
    check_whole,
    did_you_mean,
    is_finite_number,
    listed,
)
from bayesuplift.estimands.population import population_mean
from bayesuplift.posterior.schema import is_closed_form, observed_cells, validate

_DEVIATIONS: Final = "sum_squared_deviations"
_FEWEST_UNITS: Final = 2  # that have a spread
_ROUNDING: Final = 1e-9

Values = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PlannedTest:
    """Units drawn at random from the population and dealt to the arms, whose outcomes are then averaged by arm.

    Parameters
    ----------
    means
        Mean outcomes of the population, (chain, draw, arm).
    control
        Label of the control.
    relative
        Units in each arm (arm,) for one in `units_per_arm`.
    sd
        Standard deviation of the outcome of one unit (arm,), outcome units: averages are then normal. None of binary
        outcomes, whose sums are binomial.
    """

    means: xr.DataArray
    control: str
    relative: Values
    sd: Values | None

    @classmethod
    def of(
        cls,
        posterior: xr.DataTree,
        *,
        allocation: Mapping[str, float] | None = None,
        outcome_sd: Mapping[str, float] | float | None = None,
        population: Any = None,
        weight: str = N,
    ) -> "PlannedTest":
        """A test of the arms of a posterior, or of draws from a prior.

        Parameters
        ----------
        posterior
            A tree in the schema of `bayesuplift.posterior.schema`; its segments, or units, are averaged.
        allocation
            Units of an arm for one in `units_per_arm`; 1 for arms left out, 0 keeps an arm out of the test.
        outcome_sd
            Standard deviation of one unit's outcome, a number or one an arm. If left out, binomial sums of a binary
            outcome, and of others the spread of the units that the posterior holds in `observed_data`.
        population, weight
            As in `ate`.

        Raises
        ------
        PosteriorError, DataError, ColumnNotFoundError
            The tree does not follow the schema, or its segments cannot be weighed.
        ArgumentError
            An allocation or a spread is not a number in its range, or the spread is not known.
        ArmNotFoundError
            There is no such arm.
        """
        validate(posterior)
        means = population_mean(posterior, compared(posterior), population, weight=weight).transpose(..., ARM)
        labels = [str(arm) for arm in means[ARM].to_numpy()]
        given = _by_arm("allocation", {} if allocation is None else allocation, labels)
        relative = np.array([given.get(arm, 1.0) for arm in labels])
        if (relative < 0).any() or not relative.any():
            raise ArgumentError(
                f"allocation = {dict(given)!r}; give units of an arm for one in units_per_arm, 0 or more"
            )
        return cls(means, str(posterior.attrs["control"]), relative, _spread(posterior, means, labels, outcome_sd))

    @property
    def arms(self) -> tuple[str, ...]:
        """Labels of the arms, in the posterior's order."""
        return tuple(str(arm) for arm in self.means[ARM].to_numpy())

    def units(self, per_arm: int) -> Counts:
        """Units of every arm (arm,), rounded up."""
        return np.ceil(per_arm * self.relative).astype(np.int64)

    def totals(self, means: Values, units: Counts, generator: np.random.Generator) -> Values:
        """Sums of the outcomes of these units (..., arm) where the population's means are those, (..., arm)."""
        if self.sd is None:
            # an average over segments of rates that are all 1 may round above it
            return generator.binomial(units, np.clip(means, 0.0, 1.0)).astype(np.float64)
        return units * means + np.sqrt(units) * self.sd * generator.standard_normal(means.shape)


def checked_sizes(units_per_arm: Sequence[int]) -> list[int]:
    """Sizes of a test that rise, each a whole number from 1.

    Raises
    ------
    ArgumentError
        They are not.
    """
    if not isinstance(units_per_arm, list | tuple | range | np.ndarray) or not len(units_per_arm):
        raise ArgumentError(f"units_per_arm = {units_per_arm!r}; give one or several sizes, such as [500, 1000, 2000]")
    for size in units_per_arm:
        check_whole("units_per_arm", size, 1)
    sizes = [int(size) for size in units_per_arm]
    if any(second <= first for first, second in pairwise(sizes)):
        raise ArgumentError(f"units_per_arm = {sizes}; give sizes that rise")
    return sizes


def _spread(
    posterior: xr.DataTree, means: xr.DataArray, labels: list[str], given: Mapping[str, float] | float | None
) -> Values | None:
    """Standard deviation of one unit by arm; None where sums are binomial."""
    kind = "binary" if is_closed_form(posterior) else posterior.attrs.get("kind")
    if given is not None:
        if isinstance(given, Mapping):
            missing = [arm for arm in labels if arm not in given]
            if missing:
                raise ArgumentError(
                    f"outcome_sd has none for {listed(missing)}; give one an arm, or one number for all"
                )
            sd = np.array([_by_arm("outcome_sd", given, labels)[arm] for arm in labels])
        elif is_finite_number(given):
            sd = np.full(len(labels), float(given))
        else:
            raise ArgumentError(f"outcome_sd = {given!r}; give the standard deviation of one unit's outcome")
        if not (sd > 0).all():
            raise ArgumentError(f"outcome_sd = {given!r}; a standard deviation is above 0")
        return sd
    if kind == "binary":
        if not bool(((means >= -_ROUNDING) & (means <= 1 + _ROUNDING)).all()):
            raise PosteriorError(
                "mean_outcome of a binary outcome is below 0 or above 1 in some draws: no binomial count has such a mean; "
                "say what its average varies by: outcome_sd=..."
            )
        return None
    return _observed_spread(posterior, labels, kind)


def _observed_spread(posterior: xr.DataTree, labels: list[str], kind: object) -> Values:
    """Standard deviation of a unit of each arm among those that were observed, segments together."""
    cells = observed_cells(posterior)
    if cells is None or not {_DEVIATIONS, TOTAL} <= set(cells):
        raise ArgumentError(
            f"the posterior (kind of the outcome: {kind or 'unknown'}) does not tell the spread of one unit's outcome; "
            "give its standard deviation: outcome_sd=..."
        )
    cells = cells.sel({ARM: labels})
    if EXPOSURE in cells and not bool((cells[EXPOSURE] == cells[N]).all()):
        raise ArgumentError(
            "outcomes are counted over exposures that differ; give the standard deviation of the outcome of one unit of "
            "exposure, outcome_sd=..., and units_per_arm in exposure"
        )
    n, total, within = (cells[name].transpose(..., ARM).to_numpy() for name in (N, TOTAL, _DEVIATIONS))
    if SEGMENT in cells[N].dims:
        overall = total.sum(axis=0) / np.maximum(n.sum(axis=0), 1)
        between = n * (total / np.maximum(n, 1) - overall) ** 2
        n, within = n.sum(axis=0), (within + between).sum(axis=0)
    known = (n >= _FEWEST_UNITS) & (within > 0)
    if not known.all():
        raise ArgumentError(
            f"the outcome does not vary among the units observed in {listed(np.array(labels)[~known])}; give the standard "
            "deviation of one unit's outcome: outcome_sd=..."
        )
    return np.sqrt(within / (n - 1.0))


def _by_arm(name: str, given: object, labels: list[str]) -> Mapping[str, float]:
    """Numbers by arm, of arms that there are."""
    if not isinstance(given, Mapping):
        raise ArgumentError(f"{name} = {given!r}; give numbers by arm")
    for arm, number in given.items():
        if arm not in labels:
            raise ArmNotFoundError(f"no arm named '{arm}' ({name}). Arms: {listed(labels)}.{did_you_mean(arm, labels)}")
        if not is_finite_number(number):
            raise ArgumentError(f"{name} of '{arm}' = {number!r}; give a number")
    return {str(arm): float(number) for arm, number in given.items()}
