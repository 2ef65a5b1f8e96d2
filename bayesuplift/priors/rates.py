"""Priors of rates: each on its own, or of a population that they come from."""

import math
from dataclasses import dataclass, replace
from typing import Final, Self

from bayesuplift.data.cells import Cells
from bayesuplift.dims import TOTAL
from bayesuplift.errors import ArgumentError, is_finite_number
from bayesuplift.priors.common import SCEPTICAL_SD, check_numbers, pooled_rate

# Below this the exact comparison does not reach its stated accuracy, and half of the prior lies within 10^-3 of 0 or 1.
SMALLEST: Final = 0.1
LARGEST: Final = 1e12  # beyond it counts would drown in rounding


@dataclass(frozen=True)
class RatePrior:
    """Beta(alpha, beta) prior of a rate: alpha - 1 conversions and beta - 1 non-conversions seen before.

    Parameters
    ----------
    alpha, beta
        Shape parameters, from 0.1 to 1e12. The default is the uniform distribution.

    Raises
    ------
    ArgumentError
        A parameter is not a number in that range.
    """

    alpha: float = 1.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        """Refuse parameters that are no distribution."""
        for name in ("alpha", "beta"):
            value = getattr(self, name)
            if not is_finite_number(value) or not SMALLEST <= value <= LARGEST:
                raise ArgumentError(
                    f"RatePrior: {name} = {value!r}; give a number of at least {SMALLEST}, to {LARGEST:g}"
                )
            object.__setattr__(self, name, float(value))

    def __str__(self) -> str:
        """Return the prior as a reader writes it."""
        return f"Beta({self.alpha:g}, {self.beta:g})"

    def resolved(self, cells: Cells) -> Self:  # noqa: ARG002 -- the question is asked of every family
        """Return the prior itself: it leaves nothing open."""
        return self

    def alternatives(self, cells: Cells) -> dict[str, "RatePrior"]:
        """Return the priors that a sensitivity table sets beside the stated one.

        Returns
        -------
        dict
            `stated`: this prior. `weak`: Jeffreys' Beta(1/2, 1/2), or less where less is stated. `strong`: a sceptic's,
            centred at the pooled rate and so concentrated that the log odds ratio of two arms has standard deviation 0.1
            (Spiegelhalter, Abrams and Myles, 2004, section 5.5, on sceptical priors); by the delta method alpha + beta =
            2 / (0.1^2 r (1 - r)).
        """
        successes = "positives" if "positives" in cells.statistics else TOTAL
        rate = pooled_rate(cells, successes)
        size = 2.0 / (SCEPTICAL_SD**2 * rate * (1.0 - rate))
        strong = RatePrior(min(size * rate, LARGEST), min(size * (1.0 - rate), LARGEST))
        weak = RatePrior(min(self.alpha, 0.5), min(self.beta, 0.5))
        return {"stated": self, "weak": weak, "strong": strong}


@dataclass(frozen=True)
class ExchangeableRatesPrior:
    """Prior of a population of rates Beta(m / s^2, (1 - m) / s^2): mean m ~ Beta(alpha, beta), spread s ~ Uniform.

    With alpha = beta = 1 it is p(a, b) proportional to (a + b)^(-5/2) for the parameters of the population, Gelman et al.
    (2013), BDA3, equation 5.9, cut where a + b = 1 / largest_spread^2, which makes it proper.

    Parameters
    ----------
    alpha, beta
        Shape parameters of the mean, from 0.1.
    largest_spread
        Upper end of (a + b)^(-1/2), above 0 and at most 2. The default leaves out populations with a + b < 1, whose rates
        heap up at 0 and 1.
    """

    alpha: float = 1.0
    beta: float = 1.0
    largest_spread: float = 1.0

    def __post_init__(self) -> None:
        """Refuse parameters that are no distribution."""
        check_numbers(self, {"alpha": (SMALLEST, LARGEST), "beta": (SMALLEST, LARGEST), "largest_spread": (0, 2)})

    def __str__(self) -> str:
        """Return the prior as a reader writes it."""
        return f"mean ~ Beta({self.alpha:g}, {self.beta:g}), spread ~ Uniform(0, {self.largest_spread:g})"

    def resolved(self, cells: Cells) -> Self:  # noqa: ARG002 -- the question is asked of every family
        """Return the prior itself: it leaves nothing open."""
        return self

    def alternatives(self, cells: Cells) -> dict[str, "ExchangeableRatesPrior"]:
        """`stated`; `weak`: Jeffreys' mean, a + b down to 1/4; `strong`: log odds of two groups within a sd of 0.1."""
        rate = pooled_rate(cells, TOTAL)
        sceptical = min(SCEPTICAL_SD * math.sqrt(rate * (1.0 - rate) / 2.0), self.largest_spread)
        return {
            "stated": self,
            "weak": ExchangeableRatesPrior(0.5, 0.5, 2.0),
            "strong": replace(self, largest_spread=sceptical),
        }
