"""Prior of a Bayesian causal forest: what its trees are like, and how far they may move an outcome, in its own units."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self, get_args

import numpy as np
from scipy.special import ndtri

from bayesuplift.errors import ArgumentError, check_whole, listed
from bayesuplift.priors.common import LEAST, check_numbers, shown

if TYPE_CHECKING:  # units know tables, and a sampler that knows its prior needs none
    from bayesuplift.data.units import Units

EffectCoding = Literal["treated", "centred", "halves", "dose"]

_SHARES: Final = {
    "prognostic_sd": 2.0,
    "effect_sd": 0.5,
    "average_sd": 1.0,
    "intercept_sd": 1.0,
    "segment_sd": 0.5,
    "segment_effect_sd": 0.25,
}
"""Defaults, in standard deviations of the outcome."""

_OF_BINARY: Final = {
    "prognostic_sd": 1.0,
    "effect_sd": 0.5,
    "average_sd": 0.3,
    "intercept_sd": 1.0,
    "segment_sd": 0.5,
    "segment_effect_sd": 0.15,
}
"""The same of the normal value behind a binary outcome; the average effect as of `BinaryPoolingPrior`, a logit being .6."""

_OF_EFFECTS: Final = ("average_sd", "effect_sd", "segment_effect_sd")
_MOST_CUTS: Final = 2**16 - 1
_LARGEST_BASE: Final = 0.999
_LEAST_NOISE: Final = 1e-3  # of the outcome's sd: covariates that foretell all of it would make a noise of 0 certain


@dataclass(frozen=True)
class ForestShape:
    """What the trees of a forest are like before they see data; Chipman, George and McCulloch (2010), section 2.2.

    Parameters
    ----------
    trees, depth
        Number of trees, and levels of each, the root's included.
    base, power
        A place at depth d (0 the root) is split with probability base / (1 + d)^power.
    least_units
        Units that every leaf needs.
    """

    trees: int
    depth: int
    base: float
    power: float
    least_units: int = 5

    def __post_init__(self) -> None:
        """Refuse shapes that are none."""
        for name, least in (("trees", 1), ("depth", 2), ("least_units", 1)):
            check_whole(f"ForestShape: {name}", getattr(self, name), least)
        check_numbers(self, {"base": (LEAST, _LARGEST_BASE), "power": (LEAST, math.inf)})

    def __str__(self) -> str:
        """Return the shape as a reader writes it."""
        return f"{self.trees} trees of at most {self.depth} levels, split {self.base:g} / (1 + d)^{self.power:g}"


@dataclass(frozen=True)
class ForestPrior:
    """Prior of a Bayesian causal forest. Hahn, Murray and Carvalho (2020), section 5.

    What is left out is filled in from the units of all arms, with v the outcome's standard deviation: location their mean
    (both weighted by precision where that is known),
    average_sd and intercept_sd v, prognostic_sd 2 v, effect_sd and segment_sd v / 2, segment_effect_sd v / 4,
    noise_sd the residual one of a linear regression. Of a binary outcome with rate p, told by a normal value of
    variance 1 that is above 0: location p; with h the slope of the normal distribution function there (.24 where p is
    .16), prognostic_sd and intercept_sd h, average_sd .3 h, effect_sd and segment_sd h / 2, segment_effect_sd .15 h; there
    is no noise to state.

    Parameters
    ----------
    prognostic, effect
        What the forests of the outcome under control and of the effect are like: by default many trees that may be deep,
        and fewer ones of which every second does not split at all.
    location, intercept_sd
        Mean and standard deviation of the prior of the intercept, outcome units.
    prognostic_sd
        Standard deviation of the prognostic forest at a unit, outcome units; where it is learned, the root of the mean of
        its square.
    average_sd
        Standard deviation of the prior of each effect apart from its forest, about 0, outcome units. Where arms are
        doses this, effect_sd and segment_effect_sd are of the effect of the largest distance of a dose from the control's:
        per unit of dose they are divided by that distance, so that defaults and draws do not depend on the unit of dose.
    effect_sd
        The same of an effect's forest; where it is learned it stays below twice this. Trees of a single leaf, most of them
        under this prior, move all units together.
    noise_sd
        What the noise's standard deviation exceeds with probability 0.1, outcome units, of a unit of precision 1: sigma^2
        is inverse gamma with three degrees of freedom, Chipman, George and McCulloch (2010), section 2.2.
    segment_sd, segment_effect_sd
        Scale of the half-t law, of four degrees of freedom, of the standard deviation over levels of a segment factor: of
        what levels add to the outcome under control, and to every effect, outcome units.
    segments
        Whether segment factors have terms.
    learned
        Whether the spread of every forest is learned: the variances of their leaves are inverse gamma with shape 3, of
        effects' leaves cut off at 4 times what is stated.
    coding
        What multiplies an effect: 1 for units of its arm and 0 for others ("treated"), the same less the arm's share
        ("centred"), or, of two arms, 1/2 and -1/2 ("halves"). "dose" takes arms for doses of one treatment, whose labels
        are different numbers: all share one effect, per unit of dose, times the dose of the arm less the control's. That
        takes effects to be proportional to dose; where they need not be, "treated" gives each dose its own.
    expanded
        Whether every effect's forest has a scale of its own, Normal(0, 1) (parameter expansion).
    most_cuts
        Most cutpoints of a covariate.
    propensity_in_effect
        Whether the forests of effects have the propensity among their covariates; that of the outcome under control has it
        wherever there is one.
    """

    prognostic: ForestShape = ForestShape(trees=100, depth=6, base=0.95, power=2.0)
    effect: ForestShape = ForestShape(trees=25, depth=7, base=0.5, power=2.0)
    location: float | None = None
    intercept_sd: float | None = None
    prognostic_sd: float | None = None
    average_sd: float | None = None
    effect_sd: float | None = None
    noise_sd: float | None = None
    segment_sd: float | None = None
    segment_effect_sd: float | None = None
    segments: bool = True
    learned: bool = True
    coding: EffectCoding = "treated"
    expanded: bool = False
    most_cuts: int = 100
    propensity_in_effect: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no prior."""
        positive = (LEAST, math.inf)
        ranges = {"location": (-math.inf, math.inf), **dict.fromkeys([*_SHARES, "noise_sd"], positive)}
        check_numbers(self, ranges, optional=True)
        check_whole("ForestPrior: most_cuts", self.most_cuts, 1)
        if self.most_cuts > _MOST_CUTS:
            raise ArgumentError(
                f"ForestPrior: most_cuts = {self.most_cuts}; give a whole number from 1 to {_MOST_CUTS}"
            )
        for name in ("prognostic", "effect"):
            if not isinstance(getattr(self, name), ForestShape):
                raise ArgumentError(f"ForestPrior: {name} = {getattr(self, name)!r}; give a ForestShape")
        if self.coding not in get_args(EffectCoding):
            raise ArgumentError(f"ForestPrior: coding = {self.coding!r}; give one of {listed(get_args(EffectCoding))}")

    def __str__(self) -> str:
        """Return the prior as a reader writes it."""
        scaled = ", times a scale ~ Normal(0, 1)" if self.expanded else ""
        learned = "; both sds learned, of effects up to twice that" if self.learned else ""
        terms = (
            f"levels of segments: sds ~ half-t(4) of scale {shown(self.segment_sd)}, of effects "
            f"{shown(self.segment_effect_sd)}; "
        )
        return (
            f"intercept ~ Normal({shown(self.location)}, {shown(self.intercept_sd)}), prognostic: {self.prognostic}, sd "
            f"{shown(self.prognostic_sd)}; average effects ~ Normal(0, {shown(self.average_sd)}), their forests: "
            f"{self.effect}, sd {shown(self.effect_sd)}{scaled}{learned}; "
            + ("" if self.noise_sd is None else f"noise sd above {shown(self.noise_sd)} with probability 0.1; ")
            + (terms if self.segments else "")
            + f"coding {self.coding}"
            + (", effects may follow the propensity" if self.propensity_in_effect else "")
            + (", effects those of the largest distance of a dose from the control's" if self.coding == "dose" else "")
        )

    def resolved(self, units: "Units") -> Self:
        """Fill in what was left out.

        Raises
        ------
        ArgumentError
            A scale was left out, and the outcome does not vary.
        """
        outcome = units.experiment.outcome
        if units.kind == "binary":
            return self._resolved_binary(float(outcome.sum()), len(outcome))
        weight = units.experiment.precision
        location = float(np.average(outcome, weights=weight))
        sd = float(np.sqrt(np.average((outcome - location) ** 2, weights=weight)))
        given = {"location": location, **{name: share * sd for name, share in _SHARES.items()}}
        left_out: dict[str, Any] = {name: value for name, value in given.items() if getattr(self, name) is None}
        if self.noise_sd is None:
            of_one = sd if weight is None else sd * float(np.sqrt(weight.mean()))
            left_out["noise_sd"] = max(_regression_sd(units, few=of_one), _LEAST_NOISE * of_one)
        if sd == 0.0 and left_out.keys() - {"location"}:
            raise ArgumentError(
                f"ForestPrior: {min(left_out.keys() - {'location'})} was left out, and {units.outcome!r} is the same for "
                f"every unit; state it"
            )
        return replace(self, **left_out)

    def _resolved_binary(self, total: float, n: int) -> Self:
        if self.noise_sd is not None:
            raise ArgumentError(
                f"ForestPrior: noise_sd = {shown(self.noise_sd)} is stated, and the outcome is binary: the value behind it "
                f"has a standard deviation of 1; leave it out"
            )
        if self.location is not None and not 0.0 < self.location < 1.0:
            raise ArgumentError(
                f"ForestPrior: location = {self.location:g}; of a binary outcome give a rate within (0, 1)"
            )
        rate = self.location if self.location is not None else (total + 0.5) / (n + 1.0)
        slope = math.exp(-0.5 * float(ndtri(rate)) ** 2) / math.sqrt(2.0 * math.pi)
        given = {"location": rate, **{name: share * slope for name, share in _OF_BINARY.items()}}
        left_out: dict[str, Any] = {name: value for name, value in given.items() if getattr(self, name) is None}
        return replace(self, **left_out)

    def alternatives(self, units: "Units") -> dict[str, Self]:  # noqa: ARG002 -- every family is asked in the same way
        """`stated`; `weak`: everything about effects twice as large; `strong`: a third as large."""
        found = {"stated": self}
        for name, factor in (("weak", 2.0), ("strong", 1.0 / 3.0)):
            found[name] = replace(self, **{part: factor * getattr(self, part) for part in _OF_EFFECTS})
        return found


def _regression_sd(units: "Units", *, few: float) -> float:
    """Residual sd, at precision 1, of the outcome on covariates and arm; where units are too few for that, `few`."""
    outcome, arm, weight = (getattr(units.experiment, name) for name in ("outcome", "arm", "precision"))
    design = np.column_stack([np.ones(len(arm)), arm, units.standardised])
    if len(arm) <= design.shape[1] + 1:
        return few
    if weight is not None:
        outcome, design = np.sqrt(weight) * outcome, np.sqrt(weight)[:, None] * design
    found, _, rank, _ = np.linalg.lstsq(design, outcome, rcond=None)
    return float(np.sqrt(((outcome - design @ found) ** 2).sum() / (len(arm) - rank)))
