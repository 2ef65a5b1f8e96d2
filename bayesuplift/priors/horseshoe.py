"""Prior of a sparse regression of effects: few covariates change them, and nobody knows which."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from bayesuplift.errors import ArgumentError
from bayesuplift.priors.common import LEAST, check_numbers, shown

if TYPE_CHECKING:  # units know tables, and a program that knows its prior needs none
    from bayesuplift.data.units import Units

_SHARES: Final = {
    "location_sd": 10.0,
    "average_effect": 0.25,
    "prognostic": 0.25,
    "slab": 0.25,
    "scale": 5.0,
    "smallest_scale": 0.001,
}
"""Defaults, in standard deviations of the outcome within arms."""

_EXPECTED: Final = 1.0


@dataclass(frozen=True)
class HorseshoePrior:
    """Regularised horseshoe of the interactions of treatments and covariates, and a ridge of what covariates foretell.

    Covariates are in standard deviations about their means. What is left out is filled in from the units of all arms, with
    v the outcome's standard deviation within arms: location their mean, location_sd 10 v, average_effect, prognostic and
    slab v / 4, scale 5 v, smallest_scale v / 1000; global_scale after Piironen and Vehtari (2017), Sparsity information and
    regularization in the horseshoe and other shrinkage priors, Electronic Journal of Statistics 11(2), equation 3.12: with
    `expected` of D covariates changing effects, expected / (D - expected) times the standard error v sqrt(2 K / n) of an
    interaction in n units of K arms.

    Parameters
    ----------
    location, location_sd
        Mean and standard deviation of the prior of the mean outcome under control of the average unit, outcome units.
    average_effect
        Standard deviation of the prior of a treatment's average effect, outcome units.
    prognostic
        Scale of the half-normal prior of the standard deviation of prognostic coefficients, outcome units.
    global_scale
        Scale of the half-Cauchy prior of the global scale, outcome units: where interactions that are nought lie.
    slab
        How large an interaction that is not nought may be: scale of the inverse-gamma slab, outcome units.
    scale, smallest_scale
        Scale of the half-normal prior of an arm's residual standard deviation, and the value it is cut below.
    expected
        How many covariates are expected to change effects; used where global_scale is left out.
    """

    location: float | None = None
    location_sd: float | None = None
    average_effect: float | None = None
    prognostic: float | None = None
    global_scale: float | None = None
    slab: float | None = None
    scale: float | None = None
    smallest_scale: float | None = None
    expected: float = _EXPECTED

    def __post_init__(self) -> None:
        """Refuse parameters that are no distribution."""
        positive = (LEAST, math.inf)
        ranges = {"location": (-math.inf, math.inf), **dict.fromkeys([*_SHARES, "global_scale"], positive)}
        check_numbers(self, ranges, optional=True)
        check_numbers(self, {"expected": positive})

    def __str__(self) -> str:
        """Return the prior as a reader writes it."""
        return (
            f"base ~ Normal({shown(self.location)}, {shown(self.location_sd)}), average effect ~ Normal(0, "
            f"{shown(self.average_effect)}), prognostic sd ~ HalfNormal({shown(self.prognostic)}), interactions ~ "
            f"regularised horseshoe (global {shown(self.global_scale)}, slab {shown(self.slab)}), "
            f"sd ~ HalfNormal({shown(self.scale)}) above {shown(self.smallest_scale)}"
        )

    def resolved(self, units: "Units") -> Self:
        """Fill in what was left out.

        Raises
        ------
        ArgumentError
            A scale was left out, and the outcome does not vary within arms; or as many covariates are expected to change
            effects as there are.
        """
        outcome, arm = units.experiment.outcome, units.experiment.arm
        n = np.bincount(arm, minlength=len(units.design.arms))
        means = np.bincount(arm, weights=outcome, minlength=len(n)) / np.maximum(n, 1)
        sd = float(np.sqrt(((outcome - means[arm]) ** 2).mean()))
        given = {"location": float(outcome.mean()), **{name: share * sd for name, share in _SHARES.items()}}
        count = len(units.coding.columns)
        error = sd * math.sqrt(2.0 * len(n) / len(outcome))
        # of one covariate there is nothing to be sparse among
        given["global_scale"] = error * (self.expected / (count - self.expected) if count > self.expected else 1.0)
        left_out = {name: value for name, value in given.items() if getattr(self, name) is None}
        if sd == 0.0 and left_out.keys() - {"location"}:
            raise ArgumentError(
                f"HorseshoePrior: {min(left_out.keys() - {'location'})} was left out, and {units.outcome!r} does not vary "
                f"within any arm; state it"
            )
        return replace(self, **left_out)

    def alternatives(self, units: "Units") -> dict[str, Self]:  # noqa: ARG002 -- every family is asked in the same way
        """`stated`; `weak`: average effect, global scale and slab twice as large; `strong`: a third as large."""
        scales = {name: getattr(self, name) for name in ("average_effect", "global_scale", "slab")}
        weak = replace(self, **{name: 2.0 * value for name, value in scales.items()})
        strong = replace(self, **{name: value / 3.0 for name, value in scales.items()})
        return {"stated": self, "weak": weak, "strong": strong}
