"""What is given to the sampler: the numbers of a prior that leaves nothing to fill in."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from bayesuplift.data.causal_rows import CausalRows
from bayesuplift.errors import ArgumentError, listed
from bayesuplift.priors.forest import ForestPrior

_NOISE_DEGREES: Final = 3.0
_NOISE_TAIL: Final = 0.1
SCALES: Final = ("intercept_sd", "prognostic_sd", "average_sd", "effect_sd", "segment_sd", "segment_effect_sd")
"""Standard deviations that a prior states, the noise's aside."""

_TWO: Final = 2
_NUMBERS: Final = ("location", *SCALES, "noise_sd")


@dataclass(frozen=True)
class Resolved:
    """What the prior says on the outcome's scale, and how the outcome is standardised.

    Of a binary outcome all of it is about the normal value behind it, whose standard deviation is 1.

    Attributes
    ----------
    location, spread
        What is sampled is (y - location) / spread.
    weight
        What weights are divided by: that of a unit of middling precision. Rows that stand for units count these: 1.
    coding
        (arm, A): what multiplies the effects of a row of each arm: those of each treatment, or the one per unit of dose.
    reach
        Largest distance of a dose from the control's, for which the prior states effects; 1 where arms are no doses. What
        is sampled are effects of so much, times `coding / reach`.
    intercept_sd, prognostic_sd, average_sd, effect_sd
        As the prior states them.
    noise_shape, noise_rate
        sigma^2 ~ InverseGamma(shape, rate), of a row of weight `weight`.
    segment_sd, segment_effect_sd
        As the prior states them.
    """

    location: float
    spread: float
    weight: float
    coding: NDArray[np.float64]
    reach: float
    intercept_sd: float
    prognostic_sd: float
    average_sd: float
    effect_sd: float
    noise_shape: float
    noise_rate: float
    segment_sd: float
    segment_effect_sd: float


def resolve(prior: ForestPrior, rows: CausalRows) -> Resolved:
    """Work out what sampling needs to know of a prior whose numbers are all stated.

    Raises
    ------
    ArgumentError
        A number of the prior is left out, or its coding does not fit the arms.
    """
    stated = {name: getattr(prior, name) for name in _NUMBERS if not (rows.binary and name == "noise_sd")}
    missing = [name for name, value in stated.items() if value is None]
    if missing:
        raise ArgumentError(f"the prior leaves out {listed(missing)}; resolve it for the data first")
    ones = np.ones(len(rows.outcome))
    weight, units = (ones if one is None else one for one in (rows.weight, rows.units))
    coding = _coding(prior, rows, np.bincount(rows.arm, units) / units.sum())
    reach = float(np.abs(coding).max()) if prior.coding == "dose" else 1.0
    if rows.binary:
        location = float(norm.ppf(stated["location"]))
        slope = float(norm.pdf(location))  # a small change of the value behind is the probability's over this
        scales = {name: stated[name] / slope for name in SCALES}
        noise = {"noise_shape": 1.0, "noise_rate": 1.0}
        return Resolved(location=location, spread=1.0, weight=1.0, coding=coding, reach=reach, **scales, **noise)
    mean = weight @ rows.outcome / weight.sum()
    spread = float(np.sqrt(weight @ (rows.outcome - mean) ** 2 / weight.sum()))
    tail = float(chi2.ppf(_NOISE_TAIL, _NOISE_DEGREES))
    middling = float(weight.sum() / units.sum())
    return Resolved(
        location=stated["location"],
        # only rounding depends on it: the prior is stated in the outcome's units
        spread=spread if spread > 0.0 else stated["noise_sd"],
        weight=middling,
        coding=coding,
        reach=reach,
        **{name: stated[name] for name in SCALES},
        noise_shape=_NOISE_DEGREES / 2.0,
        noise_rate=stated["noise_sd"] ** 2 / middling * tail / 2.0,
    )


def _coding(prior: ForestPrior, rows: CausalRows, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """What multiplies the effects of a row of each arm, (arm, A), the control first."""
    if prior.coding == "dose":
        if rows.doses is None:
            raise ArgumentError("ForestPrior: coding = 'dose', and the rows lack doses; give the dose of every arm")
        return (rows.doses - rows.doses[0])[:, None]
    own = np.eye(len(shares))[:, 1:]
    if prior.coding == "centred":
        return own - shares[1:]
    if prior.coding == "treated":
        return own
    if len(shares) > _TWO:
        raise ArgumentError(
            f"ForestPrior: coding = 'halves' codes two arms, and there are {len(shares)}; give 'treated' or 'centred'"
        )
    return own - 0.5
