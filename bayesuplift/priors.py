"""Prior families, in the units of the outcome."""

from dataclasses import dataclass

from bayesuplift.errors import ArgumentError, is_finite_number

# Below this the exact comparison does not reach its stated accuracy, and half of the prior lies within 10^-3 of 0 or 1.
_SMALLEST = 0.1
_LARGEST = 1e12  # beyond it counts would drown in rounding
_SCEPTICAL_SD = 0.1


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
            if not is_finite_number(value) or not _SMALLEST <= value <= _LARGEST:
                raise ArgumentError(
                    f"RatePrior: {name} = {value!r}; give a number of at least {_SMALLEST}, to {_LARGEST:g}"
                )
            object.__setattr__(self, name, float(value))

    def __str__(self) -> str:
        """Return the prior as a reader writes it."""
        return f"Beta({self.alpha:g}, {self.beta:g})"

    def alternatives(self, pooled_rate: float) -> dict[str, "RatePrior"]:
        """Return the priors that a sensitivity table sets beside the stated one.

        Parameters
        ----------
        pooled_rate
            Share of conversions over all arms, strictly between 0 and 1.

        Returns
        -------
        dict
            `stated`: this prior. `weak`: Jeffreys' Beta(1/2, 1/2). `strong`: a sceptic's, centred at the pooled rate and
            so concentrated that the log odds ratio of two arms has standard deviation 0.1 (Spiegelhalter, Abrams and
            Myles, 2004, section 5.5, on sceptical priors); by the delta method alpha + beta = 2 / (0.1^2 r (1 - r)).
        """
        size = 2.0 / (_SCEPTICAL_SD**2 * pooled_rate * (1.0 - pooled_rate))
        strong = RatePrior(min(size * pooled_rate, _LARGEST), min(size * (1.0 - pooled_rate), _LARGEST))
        return {"stated": self, "weak": RatePrior(0.5, 0.5), "strong": strong}
