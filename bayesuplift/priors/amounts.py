"""Priors of revenue: who buys, and the logarithms of the amounts."""

import math
from dataclasses import dataclass, field, replace
from typing import Self

from bayesuplift.data.cells import Cells
from bayesuplift.errors import ArgumentError
from bayesuplift.priors.common import SCEPTICAL_SD, filled, pooled
from bayesuplift.priors.means import NormalPrior
from bayesuplift.priors.rates import RatePrior


@dataclass(frozen=True)
class LogAmountPrior(NormalPrior):
    """Prior of the logarithms of positive amounts; a NormalPrior on the log scale with defaults of its own.

    Left out: location, the mean logarithm of all positive amounts; location_sd 1, medians within a factor of e; scale 0.7;
    smallest_scale 0.05, a spread of five percent. A log_sd of 0.7 makes the ratio of the 95% to the 5% quantile of amounts
    10, of 1.4 a hundred. The scale must be below 1: E[exp(log_sd^2 / 2)], and with it every expected loss, is infinite
    otherwise, and from 0.708 on its variance (Fabrizi and Trivisano, 2012, Bayesian estimation of log-normal means with
    finite quadratic expected loss, Bayesian Analysis 7(4), section 2).
    """

    def __post_init__(self) -> None:
        """Refuse parameters that are no distribution, or one whose mean amount is infinite."""
        super().__post_init__()
        if self.scale is not None and self.scale >= 1.0:
            raise ArgumentError(
                f"LogAmountPrior: scale = {self.scale:g}; the mean amount is infinite from 1 on: give less, such as 0.7"
            )

    def resolved(self, cells: Cells) -> Self:
        """Fill in what was left out; where nobody bought, location is 0."""
        k, total, _ = pooled(cells, "positives", "total_log", "sum_squared_log_deviations")
        given = {"location": total / k if k else 0.0, "location_sd": 1.0, "scale": 0.7, "smallest_scale": 0.05}
        return filled(self, given, cells)

    def alternatives(self, cells: Cells) -> dict[str, Self]:
        """`stated`; `weak`: medians within a factor of e^3; `strong`: log ratio of medians with a sd of 0.1."""
        k, total, _ = pooled(cells, "positives", "total_log", "sum_squared_log_deviations")
        centre = total / k if k else self.location
        assert self.location_sd is not None, "a prior is resolved before it is set beside others"
        return {
            "stated": self,
            "weak": replace(self, location_sd=max(3.0, self.location_sd)),
            "strong": replace(self, location=centre, location_sd=min(SCEPTICAL_SD / math.sqrt(2.0), self.location_sd)),
        }


@dataclass(frozen=True)
class HurdlePrior:
    """Priors of the two parts of revenue: the rate of buying, and the logarithm of the amounts."""

    buying: RatePrior = field(default_factory=RatePrior)
    amount: LogAmountPrior = field(default_factory=LogAmountPrior)

    def __str__(self) -> str:
        """Return the prior as a reader writes it."""
        return f"buying ~ {self.buying}, log amounts: {self.amount}"

    def resolved(self, cells: Cells) -> Self:
        """Fill in what was left out of the amounts' part."""
        return replace(self, amount=self.amount.resolved(cells))

    def alternatives(self, cells: Cells) -> dict[str, Self]:
        """The alternatives of both parts together."""
        parts = (self.buying.alternatives(cells), self.amount.alternatives(cells))
        return {name: replace(self, buying=parts[0][name], amount=parts[1][name]) for name in parts[0]}
