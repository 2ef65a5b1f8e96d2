"""Priors of counts."""

import math
from dataclasses import dataclass, replace
from typing import Self

from bayesuplift.data.cells import Cells
from bayesuplift.dims import TOTAL
from bayesuplift.priors.common import LEAST, SCEPTICAL_SD, check_numbers, filled, shown


@dataclass(frozen=True)
class CountPrior:
    """rate ~ LogNormal(log_rate, log_rate_sd) and overdispersion ~ HalfNormal(overdispersion), alike for all arms.

    Parameters
    ----------
    log_rate, log_rate_sd
        Mean and standard deviation of the logarithm of an arm's rate, events per unit of exposure. Left out, log_rate is
        that of all arms pooled.
    overdispersion
        Scale of the half-normal prior; the variance of a count is mean + overdispersion^2 mean^2, and 0 is Poisson's law.
    """

    log_rate: float | None = None
    log_rate_sd: float = 2.0
    overdispersion: float = 1.5

    def __post_init__(self) -> None:
        """Refuse parameters that are no distribution."""
        check_numbers(self, {"log_rate": (-math.inf, math.inf)}, optional=True)
        check_numbers(self, dict.fromkeys(("log_rate_sd", "overdispersion"), (LEAST, math.inf)))

    def __str__(self) -> str:
        """Return the prior as a reader writes it."""
        return (
            f"rate ~ LogNormal({shown(self.log_rate)}, {self.log_rate_sd:g}), "
            f"overdispersion ~ HalfNormal({self.overdispersion:g})"
        )

    def resolved(self, cells: Cells) -> Self:
        """Fill in the pooled rate, with half an event added so that its logarithm is finite."""
        return filled(self, {"log_rate": _log_rate(cells)}, cells)

    def alternatives(self, cells: Cells) -> dict[str, Self]:
        """`stated`; `weak`: both scales twice as large; `strong`: log ratio of two arms' rates with a sd of 0.1."""
        strong = replace(
            self, log_rate=_log_rate(cells), log_rate_sd=min(SCEPTICAL_SD / math.sqrt(2.0), self.log_rate_sd)
        )
        weak = replace(self, log_rate_sd=2.0 * self.log_rate_sd, overdispersion=2.0 * self.overdispersion)
        return {"stated": self, "weak": weak, "strong": strong}


def _log_rate(cells: Cells) -> float:
    total, exposure = (float(cells.statistics[name].sum()) for name in (TOTAL, "exposure"))
    return math.log((total + 0.5) / exposure)
