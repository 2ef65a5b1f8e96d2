"""Priors of partially pooled models: how far levels and effects differ between segments, in the outcome's units."""

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.cells import Cells
from bayesuplift.dims import TOTAL, N
from bayesuplift.errors import ArgumentError
from bayesuplift.priors.common import LEAST, SCEPTICAL_SD, check_numbers, filled, pooled, pooled_rate, shown

_UNITS: Final = {"base_sd": 1.0, "average_effect": 0.5, "prognostic": 0.5, "effect": 0.25}
"""Defaults, in units of the link: of logit, of log, or of half a standard deviation."""

_OF_PROPENSITY: Final = {"propensity": 0.5}
"""The same of what there is only where the propensity of units is known."""

_SPREADS: Final = ("scale", "smallest_scale")


_KEPT: Final = 256


@dataclass(frozen=True, eq=False)
class LearnedEffect:
    """Prior of an average effect, on the link's scale: an even mixture of t distributions, as past experiments left it.

    Parameters
    ----------
    mean, scale, df
        Of every component, (component,).
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    df: NDArray[np.float64]

    @classmethod
    def of(cls, learned: Any, wanted: str) -> Self:
        """Take draws of hyperparameters from an `EffectPrior`, evenly spread over them.

        Raises
        ------
        ArgumentError
            Its effects are on another scale than the model adds on.
        """
        if learned.effect_scale != wanted:
            raise ArgumentError(
                f"average_effect was learned from effects on the scale {learned.effect_scale!r}; this model adds on "
                f"{wanted!r}: read the past experiments with scale={wanted!r}"
            )
        place = np.unique(np.linspace(0, len(learned.mean) - 1, _KEPT).round().astype(int))
        # a t distribution of a million degrees of freedom is the normal one; JAX has no gamma function of infinity
        return cls(learned.mean[place], learned.scale[place], np.minimum(learned.df[place], 1e6))

    def __str__(self) -> str:
        """Return the prior as a reader writes it."""
        return f"learned (t distributions, median scale {np.median(self.scale):.3g} of the link)"

    def widened(self, factor: float) -> Self:
        """The same with scales and means multiplied."""
        return replace(self, mean=self.mean * factor, scale=self.scale * factor)


@dataclass(frozen=True)
class PoolingPrior:
    """Prior of a pooled predictor, stated as changes of the mean outcome at the base; each family says of what.

    What is left out is filled in from all arms pooled: base their mean outcome, base_sd, average_effect, prognostic and
    effect 1, 1/2, 1/2 and 1/4 of the family's unit.

    Parameters
    ----------
    base, base_sd
        Mean outcome of the average segment under control, and the standard deviation of its prior.
    average_effect
        Standard deviation of the average effect of an arm; or an `EffectPrior` learned from past experiments on the scale
        that the model adds on.
    prognostic
        Scale of the half-normal prior of each standard deviation between levels of a factor, or between segments, under
        control.
    effect
        The same of effects; by default half as large, so that effects are drawn harder towards one for all segments.
    concentration
        Of the LKJ prior of the correlation of two arms' effects over segments: 1 is uniform, more is closer to none.
    propensity
        Standard deviation of the change of the mean outcome under control by one unit of the log odds of treatment, for
        cells with a propensity only; by default 1/2 of the family's unit, as of `prognostic`.
    """

    base: float | None = None
    base_sd: float | None = None
    average_effect: Any = None
    prognostic: float | None = None
    effect: float | None = None
    concentration: float = 2.0
    learned: LearnedEffect | None = field(default=None, repr=False)
    propensity: float | None = field(default=None, kw_only=True)

    _base_range: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    _adds_on: ClassVar[str] = "difference"

    def __post_init__(self) -> None:
        """Refuse parameters that are no distribution."""
        if hasattr(self.average_effect, "effect_scale"):
            object.__setattr__(self, "learned", LearnedEffect.of(self.average_effect, self._adds_on))
            object.__setattr__(self, "average_effect", None)
        positive = (LEAST, math.inf)
        scales = dict.fromkeys([*_UNITS, *_OF_PROPENSITY], positive)
        check_numbers(self, {"base": self._base_range, **scales}, optional=True)
        check_numbers(self, {"concentration": positive})

    def __str__(self) -> str:
        """Return the prior as a reader writes it."""
        average = f"Normal(0, {shown(self.average_effect)})" if self.learned is None else str(self.learned)
        return (
            f"base {shown(self.base)} (sd {shown(self.base_sd)}), average effect ~ {average}, "
            f"prognostic sd ~ HalfNormal({shown(self.prognostic)}), effect sd ~ "
            f"HalfNormal({shown(self.effect)}), arms ~ LKJ({self.concentration:g})"
            + ("" if self.propensity is None else f", slope of the propensity ~ Normal(0, {shown(self.propensity)})")
        )

    def _base_and_unit(self, cells: Cells) -> tuple[float, float]:
        """Base of all arms pooled, and the change of the mean outcome there that is one unit of the link."""
        raise NotImplementedError

    def _others(self, cells: Cells) -> dict[str, float]:  # noqa: ARG002 -- families with a spread read it
        """What else is filled in."""
        return {}

    def resolved(self, cells: Cells) -> Self:
        """Fill in what was left out.

        Raises
        ------
        ArgumentError
            A scale was left out, and the pooled units do not vary; or one of the propensity is stated, and the cells hold
            none.
        """
        if self.propensity is not None and not cells.has_propensity:
            raise ArgumentError(
                f"{type(self).__name__}: propensity = {shown(self.propensity)} is stated, and the cells hold none; read "
                f"them with propensity=, the column of P(treatment | covariates), or leave it out of the prior"
            )
        base, unit = self._base_and_unit(cells)
        units = _UNITS | (_OF_PROPENSITY if cells.has_propensity else {})
        given = {"base": base, **{name: share * unit for name, share in units.items()}, **self._others(cells)}
        return filled(self, given, cells)

    def alternatives(self, cells: Cells) -> dict[str, Self]:
        """`stated`; `weak`: effects twice as large and as unlike; `strong`: a sceptic's, a tenth of a unit and half that.

        Of an average effect learned from past experiments: twice, and half, as large.
        """
        average, effect = self.average_effect, self.effect
        assert average is not None
        assert effect is not None
        sceptical = SCEPTICAL_SD * self._base_and_unit(cells)[1]
        strong = {"average_effect": min(sceptical, average), "effect": min(sceptical / 2.0, effect)}
        wider, narrower = ((None if self.learned is None else self.learned.widened(factor)) for factor in (2.0, 0.5))
        return {
            "stated": self,
            "weak": replace(self, average_effect=2.0 * average, effect=2.0 * effect, learned=wider),
            "strong": replace(self, **strong, learned=narrower),
        }


@dataclass(frozen=True)
class BinaryPoolingPrior(PoolingPrior):
    """Of conversion rates: a change c of a rate r, 0.01 one percentage point, is a change c / (r (1 - r)) of its logit.

    The model adds on the scale of logits, and there the prior is exact. The base left out is the pooled rate, the unit
    r (1 - r). See `PoolingPrior` for the parameters.
    """

    _adds_on: ClassVar[str] = "log_odds"
    _base_range: ClassVar[tuple[float, float]] = (LEAST, 1.0 - 2.0**-53)

    def _base_and_unit(self, cells: Cells) -> tuple[float, float]:
        base = pooled_rate(cells, TOTAL if cells.kind == "binary" else "positives") if self.base is None else self.base
        return base, base * (1.0 - base)


@dataclass(frozen=True)
class CountPoolingPrior(PoolingPrior):
    """Of rates of events per unit of exposure: a change c of a rate r is a change c / r of its logarithm.

    The base left out is the pooled rate r, with half an event added, and the unit r itself. See `PoolingPrior` for the
    other parameters.

    Parameters
    ----------
    overdispersion
        Scale of the half-normal prior of an arm's overdispersion; a count's variance is mean + overdispersion^2 mean^2.
    """

    overdispersion: float = 1.5

    _adds_on: ClassVar[str] = "log_ratio"
    _base_range: ClassVar[tuple[float, float]] = (LEAST, math.inf)

    def __post_init__(self) -> None:
        """Refuse parameters that are no distribution."""
        super().__post_init__()
        check_numbers(self, {"overdispersion": (LEAST, math.inf)})

    def __str__(self) -> str:
        """Return the prior as a reader writes it."""
        return f"{super().__str__()}, overdispersion ~ HalfNormal({self.overdispersion:g})"

    def _base_and_unit(self, cells: Cells) -> tuple[float, float]:
        total, exposure = (float(cells.statistics[name].sum()) for name in (TOTAL, "exposure"))
        base = (total + 0.5) / exposure if self.base is None else self.base
        return base, base


@dataclass(frozen=True)
class NormalPoolingPrior(PoolingPrior):
    """Of means, in the outcome's units: the base left out is the pooled mean, the unit half the pooled standard deviation.

    See `PoolingPrior` for the other parameters.

    Parameters
    ----------
    scale, smallest_scale
        An arm's standard deviation ~ HalfNormal(scale) above smallest_scale, outcome units; left out, 5 and 1/1000 of the
        pooled one.
    """

    scale: float | None = None
    smallest_scale: float | None = None

    _statistics: ClassVar[tuple[str, str, str]] = (N, TOTAL, "sum_squared_deviations")

    def __post_init__(self) -> None:
        """Refuse parameters that are no distribution."""
        super().__post_init__()
        check_numbers(self, dict.fromkeys(_SPREADS, (LEAST, math.inf)), optional=True)

    def __str__(self) -> str:
        """Return the prior as a reader writes it."""
        return f"{super().__str__()}, sd ~ HalfNormal({shown(self.scale)}) above {shown(self.smallest_scale)}"

    def _mean_and_sd(self, cells: Cells) -> tuple[float, float]:
        n, total, deviations = pooled(cells, *self._statistics)
        return (total / n, math.sqrt(deviations / n)) if n else (0.0, 0.0)

    def _base_and_unit(self, cells: Cells) -> tuple[float, float]:
        mean, sd = self._mean_and_sd(cells)
        return mean, 0.5 * sd

    def _others(self, cells: Cells) -> dict[str, float]:
        sd = self._mean_and_sd(cells)[1]
        return {"scale": 5.0 * sd, "smallest_scale": sd / 1000.0}


@dataclass(frozen=True)
class AmountPoolingPrior(NormalPoolingPrior):
    """Of the natural logarithm of positive amounts: 0.1 is ten percent of the median amount.

    The base left out is the pooled mean of the logarithms (0 where nobody bought), the unit 1/2, scale 0.7 and
    smallest_scale 0.05. See `NormalPoolingPrior` for the parameters.
    """

    _adds_on: ClassVar[str] = "log_ratio"
    _statistics: ClassVar[tuple[str, str, str]] = ("positives", "total_log", "sum_squared_log_deviations")

    def _base_and_unit(self, cells: Cells) -> tuple[float, float]:
        return self._mean_and_sd(cells)[0], 0.5

    def _others(self, cells: Cells) -> dict[str, float]:  # noqa: ARG002 -- a spread from the data could be 0, or absurd
        return {"scale": 0.7, "smallest_scale": 0.05}


@dataclass(frozen=True)
class RevenuePoolingPrior:
    """Priors of the two parts of revenue: the rate of buying, and the logarithm of the amounts."""

    buying: BinaryPoolingPrior = field(default_factory=BinaryPoolingPrior)
    amount: AmountPoolingPrior = field(default_factory=AmountPoolingPrior)

    def __str__(self) -> str:
        """Return the prior as a reader writes it."""
        return f"buying: {self.buying}; log amounts: {self.amount}"

    def resolved(self, cells: Cells) -> Self:
        """Fill in what was left out of both parts."""
        return self._each(lambda part: part.resolved(cells))

    def alternatives(self, cells: Cells) -> dict[str, Self]:
        """The alternatives of both parts together."""
        found = {part.name: getattr(self, part.name).alternatives(cells) for part in fields(self)}
        return {name: replace(self, **{k: each[name] for k, each in found.items()}) for name in found["buying"]}

    def _each(self, change: Any) -> Self:
        return replace(self, **{part.name: change(getattr(self, part.name)) for part in fields(self)})
