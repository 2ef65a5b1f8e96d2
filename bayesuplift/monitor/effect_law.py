"""The prior law of an experiment's effects: a finite mixture of normals on the link scale."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaincinv, ndtr

from bayesuplift.errors import ArgumentError, check_whole, is_finite_number

if TYPE_CHECKING:
    from bayesuplift.decisions.learned_prior import EffectPrior

Array = NDArray[np.float64]

_SUM_WITHIN: Final = 1e-9
_SUMS_TO_ONE: Final = 1e-14
_CERTAIN_WITHIN: Final = 1e-12  # a df of which 1/df is below this is normal to more digits than are kept
_SCALES_OF_A_T: Final = 16  # normals that stand for one t before they are grouped
_MEANS_OF_A_SCALE: Final = 3  # groups of near means among the normals of near scale


@dataclass(frozen=True, eq=False)
class EffectLaw:
    """Prior of the effects on the link scale: the component is drawn once an experiment, then every effect by itself.

    Given component c the effects of the treatments against the control are independent Normal(means[c], sds[c]^2).

    Parameters
    ----------
    weights
        (component,) probabilities, above 0; their sum is 1.
    means, sds
        (component,) of the effect: log odds ratio, log ratio, or difference in outcome units, by the kind of outcome.

    Raises
    ------
    ArgumentError
        Lengths that differ, no component, a value that is not finite, a weight or sd that is not above 0, or weights
        that do not sum to 1 within 1e-9.
    """

    weights: Array
    means: Array
    sds: Array

    def __post_init__(self) -> None:
        """Refuse what is no mixture of normals, and make its arrays read-only."""
        size = np.size(self.means)
        for name in ("weights", "means", "sds"):
            values = np.array(getattr(self, name), dtype=np.float64).reshape(-1)
            proper = np.isfinite(values) & ((values > 0.0) | (name == "means"))
            if values.size == 0 or values.size != size or not proper.all():
                raise ArgumentError(
                    f"EffectLaw: {name} holds {values.size} values for {size} means, {int((~proper).sum())} of them not "
                    "allowed; give as many of each, all finite, weights and sds above 0"
                )
            object.__setattr__(self, name, values)
        total = float(self.weights.sum())
        if abs(total - 1.0) > _SUM_WITHIN:
            raise ArgumentError(f"EffectLaw: the weights sum to {total:.12g}; give weights that sum to 1")
        if (
            abs(total - 1.0) > _SUMS_TO_ONE
        ):  # else left as they are: a law that was stored and read again has the same bits
            object.__setattr__(self, "weights", self.weights / total)
        for values in (self.weights, self.means, self.sds):
            values.flags.writeable = False

    @classmethod
    def normal(cls, mean: float, sd: float) -> "EffectLaw":
        """Return the law of one component: a stated normal prior.

        Raises
        ------
        ArgumentError
            The mean is not finite, or the sd is not finite and above 0.
        """
        if not (is_finite_number(mean) and is_finite_number(sd) and sd > 0.0):
            raise ArgumentError(f"mean = {mean!r}, sd = {sd!r}; give a finite mean and a finite sd above 0")
        return cls(np.ones(1), np.array([mean]), np.array([sd]))

    @classmethod
    def learned(cls, prior: "EffectPrior", components: int = 24) -> "EffectLaw":
        """Return a mixture of at most so many normals that stands for the prior that past experiments taught.

        Parameters
        ----------
        prior
            The learned prior: a t distribution for each draw of its hyperparameters.
        components
            The most components that the law may have; each costs time at every look.

        Notes
        -----
        t(df, mean, scale) is Normal(mean, scale^2 / L) with L ~ Gamma(df/2, rate df/2), here at the quantiles of L at
        the nodes of a Gauss-Legendre rule. The normals of all draws are then sorted by scale and cut into groups of
        equal weight, narrower towards the widest scales, and each group by its means; a group becomes the normal of its
        mean and variance. Tests hold the distribution function to within .01 of the prior's.

        The component is drawn once an experiment, so that several treatments share a scale factor that `EffectPrior`
        draws for each of them: their effects are each distributed as there, and are a little more alike in size.

        Raises
        ------
        ArgumentError
            `components` is no whole number above 0.
        """
        check_whole("components", components, 1)
        weights, means, sds = _as_normals(prior.mean, prior.scale, prior.df)
        return _grouped(weights, means, sds, int(components))

    def __str__(self) -> str:
        """Return the law as a reader writes it."""
        if self.weights.size == 1:
            return f"Normal({self.means[0]:.4g}, sd {self.sds[0]:.4g}) on the link scale"
        low, high = self.quantile(0.025), self.quantile(0.975)
        return (
            f"mixture of {self.weights.size} normals on the link scale, sds {self.sds.min():.3g} to {self.sds.max():.3g}; "
            f"an effect lies within {low:.3g} and {high:.3g} with probability 95%"
        )

    @property
    def mean(self) -> float:
        """Mean of an effect."""
        return float(self.weights @ self.means)

    @property
    def sd(self) -> float:
        """Standard deviation of an effect."""
        return float(np.sqrt(self.weights @ (self.sds**2 + (self.means - self.mean) ** 2)))

    def prob_below(self, effect: ArrayLike) -> Array:
        """P(an effect is below), the shape of `effect`."""
        z = (np.asarray(effect, dtype=np.float64)[..., None] - self.means) / self.sds
        return np.asarray((ndtr(z) * self.weights).sum(axis=-1))

    def quantile(self, prob: float) -> float:
        """Quantile of an effect, by bisection.

        Raises
        ------
        ArgumentError
            The probability is not strictly between 0 and 1.
        """
        if not (is_finite_number(prob) and 0.0 < prob < 1.0):
            raise ArgumentError(f"prob = {prob!r}; give a probability strictly between 0 and 1")
        low, high = float((self.means - 40.0 * self.sds).min()), float((self.means + 40.0 * self.sds).max())
        for _ in range(200):
            middle = 0.5 * (low + high)
            if self.prob_below(middle) < prob:
                low = middle
            else:
                high = middle
        return 0.5 * (low + high)


def _as_normals(mean: Array, scale: Array, df: Array) -> tuple[Array, Array, Array]:
    """Weights, means and sds of the normals of every t: (draw x node,).

    The nodes cut the distribution function of L finely at its lower end, where the tails of the t come from.
    """
    points, weights = np.polynomial.legendre.leggauss(_SCALES_OF_A_T)
    upper = 0.5 * (points + 1.0)
    prob, share = upper**2, weights * upper  # of L = quantile(u^2): du^2 = 2u du, and half from the interval
    certain = 1.0 / df < _CERTAIN_WITHIN
    half = np.where(certain, 1.0, 0.5 * df)[:, None]
    spread = np.where(certain[:, None], 1.0, gammaincinv(half, prob[None, :]) / half)
    sds = scale[:, None] / np.sqrt(spread)
    return (
        np.broadcast_to(share / (share.sum() * mean.size), sds.shape).ravel(),
        np.broadcast_to(mean[:, None], sds.shape).ravel(),
        sds.ravel(),
    )


def _grouped(weights: Array, means: Array, sds: Array, components: int) -> EffectLaw:
    """The law of groups of near scale and mean, each the normal of its own mean and variance."""
    by_means = min(_MEANS_OF_A_SCALE, math.isqrt(components))
    by_scale = components // by_means
    order = np.argsort(sds, kind="stable")
    weights, means, sds = weights[order], means[order], sds[order]
    middle = np.cumsum(weights) - 0.5 * weights
    # 1 - (1 - u)^2: each group holds less weight than the last one, as the widest scales differ most.
    group = np.minimum((by_scale * (1.0 - np.sqrt(1.0 - middle))).astype(np.intp), by_scale - 1)
    found = []
    for scale_group in range(by_scale):
        own = np.flatnonzero(group == scale_group)
        own = own[np.argsort(means[own], kind="stable")]
        share = np.cumsum(weights[own]) / weights[own].sum() if own.size else weights[own]
        place = np.minimum((by_means * (share - 1e-12)).astype(np.intp), by_means - 1)
        for mean_group in range(by_means):
            chosen = own[place == mean_group]
            if chosen.size:
                weight = weights[chosen]
                total = weight.sum()
                centre = weight @ means[chosen] / total
                found.append((total, centre, weight @ (sds[chosen] ** 2 + (means[chosen] - centre) ** 2) / total))
    array = np.array(found)
    return EffectLaw(array[:, 0] / array[:, 0].sum(), array[:, 1], np.sqrt(array[:, 2]))
