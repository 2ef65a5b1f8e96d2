"""Priors of means and standard deviations, on the outcome's own scale."""

import math
from dataclasses import dataclass, replace
from typing import Final, Self

from bayesuplift.data.cells import Cells
from bayesuplift.dims import TOTAL, N
from bayesuplift.priors.common import LEAST, check_numbers, filled, pooled, shown

_SCEPTICAL_SHIFT: Final = 0.1  # of the difference of two arms, in standard deviations of the outcome
_SCALES: Final = ("location_sd", "scale", "smallest_scale")


@dataclass(frozen=True)
class NormalPrior:
    """Mean ~ Normal(location, location_sd) and sd ~ HalfNormal(scale) above smallest_scale, alike for all arms.

    What is left out is filled in from the units of all arms pooled, with mean m and standard deviation s: location m,
    location_sd 10 s, scale 5 s, smallest_scale s / 1000. So stated, it is worth a hundredth of a unit's information about a
    mean, and follows the outcome's units.

    Parameters
    ----------
    location, location_sd
        Mean and standard deviation of the prior of an arm's mean, outcome units.
    scale
        Scale of the half-normal prior of an arm's standard deviation, outcome units.
    smallest_scale
        Smallest standard deviation, outcome units, above 0: units that all have the same value would otherwise say that
        there is none.
    """

    location: float | None = None
    location_sd: float | None = None
    scale: float | None = None
    smallest_scale: float | None = None

    def __post_init__(self) -> None:
        """Refuse parameters that are no distribution."""
        positive = (LEAST, math.inf)
        ranges = {"location": (-math.inf, math.inf), **dict.fromkeys(_SCALES, positive)}
        check_numbers(self, ranges, optional=True)

    def __str__(self) -> str:
        """Return the prior as a reader writes it."""
        return (
            f"mean ~ Normal({shown(self.location)}, {shown(self.location_sd)}), "
            f"sd ~ HalfNormal({shown(self.scale)}) above {shown(self.smallest_scale)}"
        )

    def resolved(self, cells: Cells) -> Self:
        """Fill in what was left out from the pooled units.

        Raises
        ------
        ArgumentError
            A scale was left out, and the pooled units do not vary.
        """
        n, total, deviations = pooled(cells, N, TOTAL, "sum_squared_deviations")
        sd = math.sqrt(deviations / n)
        given = {"location": total / n, "location_sd": 10.0 * sd, "scale": 5.0 * sd, "smallest_scale": sd / 1000.0}
        return filled(self, given, cells)

    def alternatives(self, cells: Cells) -> dict[str, Self]:
        """`stated`; `weak`: both scales ten times as large; `strong`: a sceptic's.

        The sceptic's difference of two arms has a standard deviation of a tenth of the pooled units': the small effect of
        Cohen (1988, section 2.2.3), two tenths, lies two standard deviations out.
        """
        n, total, deviations = pooled(cells, N, TOTAL, "sum_squared_deviations")
        sceptical = _SCEPTICAL_SHIFT * math.sqrt(deviations / n) / math.sqrt(2.0)
        assert self.location_sd is not None
        assert self.scale is not None
        weak = replace(self, location_sd=10.0 * self.location_sd, scale=10.0 * self.scale)
        strong = replace(self, location=total / n, location_sd=min(sceptical, self.location_sd) or self.location_sd)
        return {"stated": self, "weak": weak, "strong": strong}


@dataclass(frozen=True)
class RegressionPrior(NormalPrior):
    """A NormalPrior with slope ~ Normal(0, slope_sd) on the covariate.

    Left out, slope_sd is ten pooled standard deviations of the outcome for each of the covariate.

    Parameters
    ----------
    location, location_sd, scale, smallest_scale
        As in `NormalPrior`; the mean is that of a unit with the mean covariate, the sd that about the line.
    slope_sd
        Standard deviation of the slope, outcome units per covariate unit.
    """

    slope_sd: float | None = None

    def __post_init__(self) -> None:
        """Refuse parameters that are no distribution."""
        super().__post_init__()
        check_numbers(self, {"slope_sd": (LEAST, math.inf)}, optional=True)

    def __str__(self) -> str:
        """Return the prior as a reader writes it."""
        return f"{super().__str__()}, slope ~ Normal(0, {shown(self.slope_sd)})"

    def resolved(self, cells: Cells) -> Self:
        """Fill in what was left out from the pooled units.

        Raises
        ------
        ArgumentError
            A scale was left out, and the pooled units or their covariates do not vary.
        """
        resolved = super().resolved(cells)
        _, _, outcome = pooled(cells, N, TOTAL, "sum_squared_deviations")
        _, _, covariate = pooled(cells, N, "covariate_total", "covariate_sum_squared_deviations")
        steepest = math.sqrt(outcome / covariate) if covariate > 0 else 0.0
        return filled(resolved, {"slope_sd": 10.0 * steepest}, cells)
