"""Prior of the distribution that effects of experiments come from."""

import math
from dataclasses import dataclass, replace
from typing import Final

from bayesuplift.data.effects import Effects
from bayesuplift.errors import ArgumentError, is_finite_number

TYPICAL_DRIFT: Final = 0.5
"""Prior standard deviation of mean / scale."""

LARGEST_DF: Final = 1e6
"""A t distribution of so many degrees of freedom is the normal one to one part in a million."""

_STEP: Final = 5.0
_SMALLEST_RATIO: Final = 1.0 / 30.0  # of a typical scale to the median standard error; the grid does not resolve less


@dataclass(frozen=True)
class PortfolioPrior:
    """Prior of the distribution that effects of experiments come from.

    Parameters
    ----------
    typical_mean
        If left out, the mean is in proportion to the scale, and mostly small beside it: mean = drift scale, drift ~
        Normal(0, 1/2). A number states the prior median of the absolute mean, on the effects' scale and apart from theirs:
        mean ~ Cauchy(0, typical_mean).
    typical_scale
        Prior median of the scale of the effects: scale ~ HalfCauchy(typical_scale). If left out, the median of the past
        experiments' standard errors.
    df
        Degrees of freedom of the effects' t distribution where they are known, from 1; `math.inf` is taken as a
        million, which is the normal distribution to one part in as many. If left out, 1/df ~ Uniform(0, 1) is learned.

    Raises
    ------
    ArgumentError
        A parameter is not a number in its range.

    Notes
    -----
    With few experiments a mean of its own would leave room for a story that no portfolio tells: all effects the same and
    none of them 0. Every new experiment would then be sure of its sign.

    The default of the scale depends on the data through its standard errors alone, which the model conditions on; no
    estimate is looked at before it is used, so that the prior is one, and simulation from it can check the sampler.
    """

    typical_mean: float | None = None
    typical_scale: float | None = None
    df: float | None = None

    def __post_init__(self) -> None:
        """Refuse parameters that are no distribution."""
        mean, scale, df = self.typical_mean, self.typical_scale, self.df
        if mean is not None and not (is_finite_number(mean) and mean > 0):
            raise ArgumentError(f"PortfolioPrior: typical_mean = {mean!r}; give an effect above 0, or leave it out")
        if scale is not None and not (is_finite_number(scale) and scale > 0):
            raise ArgumentError(f"PortfolioPrior: typical_scale = {scale!r}; give an effect above 0, or leave it out")
        if df is not None and not ((is_finite_number(df) and df >= 1) or df == math.inf):
            raise ArgumentError(f"PortfolioPrior: df = {df!r}; give a number from 1 to infinity, or leave it out")
        for name in ("typical_mean", "typical_scale", "df"):
            if getattr(self, name) is not None:
                object.__setattr__(
                    self, name, min(float(getattr(self, name)), LARGEST_DF if name == "df" else math.inf)
                )

    def __str__(self) -> str:
        """Return the prior as a reader writes it."""
        mean = (
            f"Normal(0, {TYPICAL_DRIFT:g}) scale" if self.typical_mean is None else f"Cauchy(0, {self.typical_mean:g})"
        )
        scale = "median standard error" if self.typical_scale is None else f"{self.typical_scale:g}"
        tail = "1/df ~ Uniform(0, 1)" if self.df is None else f"df = {self.df:g}"
        return f"mean ~ {mean}, scale ~ HalfCauchy({scale}), {tail}"

    @property
    def drift(self) -> float | None:
        """Prior standard deviation of mean / scale, where the mean is in proportion to the scale."""
        return TYPICAL_DRIFT if self.typical_mean is None else None

    def resolved(self, data: Effects) -> "PortfolioPrior":
        """Return this prior with its typical scale, where left out, the median standard error of the data."""
        smallest = data.typical_standard_error * _SMALLEST_RATIO
        if self.typical_scale is not None and self.typical_scale < smallest:
            raise ArgumentError(
                f"PortfolioPrior: typical_scale = {self.typical_scale:g} is far below what these experiments see, with "
                f"a median standard error of {data.typical_standard_error:g}; give at least {smallest:.3g}"
            )
        return replace(self, typical_scale=data.typical_standard_error) if self.typical_scale is None else self

    def alternatives(self, data: Effects) -> dict[str, "PortfolioPrior"]:
        """Return the priors that a sensitivity table sets beside the stated one, all resolved.

        Returns
        -------
        dict
            `stated`: this prior. `weak`: a scale five times as large is typical. `strong`: a sceptic's, a fifth is. Cauchy
            tails bound the ratio of any two of them, so that draws under one can always be weighed for another.
        """
        stated = self.resolved(data)
        assert stated.typical_scale is not None
        return {
            "stated": stated,
            "weak": replace(stated, typical_scale=stated.typical_scale * _STEP),
            "strong": replace(
                stated, typical_scale=max(stated.typical_scale / _STEP, data.typical_standard_error * _SMALLEST_RATIO)
            ),
        }
