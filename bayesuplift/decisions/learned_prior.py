"""The prior that past experiments teach, and a posterior of a new experiment brought under it."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, logsumexp, stdtr

from bayesuplift.data.checks import Check
from bayesuplift.data.effects import EFFECT_SCALES, EffectScale
from bayesuplift.decisions.sensitivity import weighed
from bayesuplift.dims import ARM, CHAIN, DRAW, POSTERIOR, SEGMENT
from bayesuplift.errors import ArgumentError, PosteriorError, listed
from bayesuplift.posterior.schema import validate

Array = NDArray[np.float64]

FEW: Final = 50
"""Past experiments below which the prior of the portfolio itself still decides much of what was learned."""

FLAT: Final = "mean_outcome"
FLAT_IN_LOG: Final = "log_mean_outcome"
_KEPT: Final = 400
_BLOCK: Final = 2_000_000
_WORDS: Final = {"difference": "the difference", "log_ratio": "the log ratio", "log_odds": "the log odds ratio"}


@dataclass(frozen=True, eq=False)
class EffectPrior:
    """Prior of the effect of a new experiment, as past experiments left it: t distributions, one for each draw.

    Parameters
    ----------
    mean, scale, df
        Draws (draw,) of the hyperparameters of `portfolio`; df may be infinite.
    effect_scale
        What the effect is: "difference", "log_ratio" or "log_odds".
    outcome
        The outcome of the past experiments.
    experiments
        Number of past experiments.
    fingerprint
        Hash of their data.
    """

    mean: Array
    scale: Array
    df: Array
    effect_scale: EffectScale
    outcome: str
    experiments: int
    fingerprint: str

    def __post_init__(self) -> None:
        """Refuse what is no distribution, and make the draws read-only."""
        if self.effect_scale not in EFFECT_SCALES:
            raise ArgumentError(f"EffectPrior: effect_scale = {self.effect_scale!r}; expected {listed(EFFECT_SCALES)}")
        for name in ("mean", "scale", "df"):
            values = np.array(getattr(self, name), dtype=np.float64).reshape(-1)
            proper = np.isfinite(values) if name == "mean" else values > 0
            if values.size == 0 or values.size != np.size(self.mean) or not proper.all():
                raise ArgumentError(
                    f"EffectPrior: {name} holds {values.size} draws, {int((~proper).sum())} of them no {name}; expected "
                    "as many of each, the mean finite, scale and df above 0"
                )
            values.flags.writeable = False
            object.__setattr__(self, name, values)

    @classmethod
    def learned_from(cls, posterior: xr.DataTree, *, draws: int = _KEPT) -> "EffectPrior":
        """Return the prior that a posterior of `portfolio` holds for the next experiment.

        Parameters
        ----------
        posterior
            The tree of the fit.
        draws
            Number of hyperparameter draws kept, evenly spread over all of them.

        Raises
        ------
        PosteriorError
            The tree is of another model, or does not say what its effects are.
        ArgumentError
            `draws` is not a whole number above 0.
        """
        validate(posterior)
        if not isinstance(draws, int | np.integer) or isinstance(draws, bool) or draws < 1:
            raise ArgumentError(f"draws = {draws!r}; give a whole number above 0")
        group = posterior[POSTERIOR].to_dataset()
        lacking = [name for name in ("mean", "scale", "df", "effect") if name not in group]
        of_scale = posterior.attrs.get("effect_scale")
        if lacking or of_scale not in EFFECT_SCALES:
            what = (
                f"no {listed(lacking)} in group 'posterior'" if lacking else f"attribute 'effect_scale' is {of_scale!r}"
            )
            raise PosteriorError(
                f"{what}; expected a posterior of the model 'portfolio': fit('portfolio', effects, ...)"
            )
        stacked = {name: group[name].transpose(CHAIN, DRAW).to_numpy().ravel() for name in ("mean", "scale", "df")}
        size = stacked["mean"].size
        every = np.linspace(0, size - 1, min(draws, size)).round().astype(np.intp)
        return cls(
            mean=stacked["mean"][every],
            scale=stacked["scale"][every],
            df=stacked["df"][every],
            effect_scale=of_scale,
            outcome=str(posterior.attrs.get("outcome", "the outcome")),
            experiments=int(group["effect"].sizes[SEGMENT]),
            fingerprint=str(posterior.attrs.get("data_fingerprint", "")),
        )

    def __str__(self) -> str:
        """Return the prior as a reader writes it: its middle 95 percent, and what it was learned from."""
        low, high = self.quantile([0.025, 0.975])
        few = f"; fewer than {FEW}, so that the portfolio's own prior still matters" if self.experiments < FEW else ""
        return (
            f"learned from {self.experiments} past experiments on {self.outcome}: {_WORDS[self.effect_scale]} of a new one "
            f"lies within {low:.3g} and {high:.3g} with probability 95%{few}"
        )

    @property
    def sd(self) -> float:
        """Standard deviation of a new effect; infinite where a draw of df is 2 or less."""
        inverse = 1.0 / self.df
        if (inverse >= 0.5).any():  # noqa: PLR2004 -- a t has a variance above two degrees of freedom
            return float("inf")
        return float(np.sqrt((self.scale**2 / (1.0 - 2.0 * inverse)).mean() + self.mean.var()))

    def log_density(self, effect: ArrayLike) -> Array:
        """Log posterior predictive density of the effect of one new experiment, the shape of `effect`."""
        values = np.asarray(effect, dtype=np.float64)
        return self.log_joint_density(values[..., None])

    def log_joint_density(self, effects: ArrayLike) -> Array:
        """Log density (...) of the effects (..., treatment) of treatments compared with one control.

        log mean_h prod_a t(effect_a; df_h, mean_h, scale_h): what is not known of the past is the same for all treatments,
        so that their effects are exchangeable and not independent; a product of mixtures would take it for independent.
        """
        values = np.asarray(effects, dtype=np.float64)
        flat = values.reshape(-1, values.shape[-1])
        result = np.empty(flat.shape[0])
        block = max(1, _BLOCK // (self.mean.size * max(1, flat.shape[1])))
        for start in range(0, flat.shape[0], block):
            part = flat[start : start + block, None, :]
            each = _log_t(part, self.mean[:, None], self.scale[:, None], self.df[:, None]).sum(axis=2)
            result[start : start + block] = logsumexp(each, axis=1) - np.log(self.mean.size)
        return result.reshape(values.shape[:-1])

    def prob_below(self, effect: ArrayLike) -> Array:
        """P(effect of a new experiment is below), the shape of `effect`."""
        z = (np.asarray(effect, dtype=np.float64)[..., None] - self.mean) / self.scale
        return np.asarray(stdtr(np.minimum(self.df, 1e10), z).mean(axis=-1))

    def quantile(self, prob: ArrayLike) -> Array:
        """Quantiles of the effect of a new experiment, the shape of `prob`, by bisection of `prob_below`."""
        asked = np.asarray(prob, dtype=np.float64)
        if not ((asked > 0) & (asked < 1)).all():
            raise ArgumentError(f"prob = {prob!r}; give probabilities strictly between 0 and 1")
        low, high = np.full(asked.shape, -1.0), np.full(asked.shape, 1.0)
        reach = abs(self.mean).max() + self.scale.max()
        low, high = low * reach, high * reach
        while (self.prob_below(low) > asked).any() or (self.prob_below(high) < asked).any():
            low, high = 2.0 * low, 2.0 * high
        for _ in range(100):
            middle = 0.5 * (low + high)
            below = self.prob_below(middle) < asked
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray(0.5 * (low + high))

    def log_weight(self, draws: xr.DataArray, control: str, *, flat_in: str = FLAT) -> xr.DataArray:
        """Log importance weight (chain, draw) of draws of the mean outcome, to bring them under this prior.

        Parameters
        ----------
        draws
            Draws (chain, draw, arm) under a prior that is flat, over the range that the learned prior leaves, in every
            treatment's mean outcome, or in its logarithm.
        control
            Label of the control.
        flat_in
            "mean_outcome" or "log_mean_outcome".

        Notes
        -----
        The new prior keeps the control's and has effects e_a = g(y_a) - g(y_0) from this distribution. In terms of mean
        outcomes its density relative to a flat one is p(e) prod_a g'(y_a), with g the identity, log, or logit: exact for
        Beta(1, 1), and for Beta(a, b) off by the change of r^(a-1) (1-r)^(b-1) over the width of the learned prior.
        """
        transformed, log_slope = _on_scale(draws, self.effect_scale)
        treatments = [label for label in draws[ARM].to_numpy() if str(label) != control]
        effects = (transformed - transformed.sel({ARM: control}, drop=True)).sel({ARM: treatments})
        ordered = effects.transpose(CHAIN, DRAW, ARM)
        density = ordered.isel({ARM: 0}, drop=True).copy(data=self.log_joint_density(ordered.to_numpy()))
        if flat_in == FLAT_IN_LOG:
            log_slope = log_slope + np.log(draws)
        return density + log_slope.sel({ARM: treatments}).sum(ARM).transpose(CHAIN, DRAW)


def reweighted(
    draws: xr.DataArray, prior: EffectPrior, *, control: str, flat_in: str = FLAT
) -> tuple[xr.DataArray | None, Check]:
    """Weights (chain, draw) that sum to one and bring draws (chain, draw, arm) under the learned prior.

    Returns
    -------
    tuple
        The weights, None where too few draws carry them, and the check that says which of the two it is: Pareto k at most
        0.7, and as many effective draws among the weighted as convergence asks of unweighted ones.
    """
    weights, support = weighed(draws, prior.log_weight(draws, control, flat_in=flat_in))
    facts = {"effective_draws": support.effective, "limit": support.needed, "pareto_k": support.pareto_k}
    sentence = (
        f"{support.effective:.0f} effective draws carry the weight of the prior {prior}; {support.needed:.0f} are needed."
        if support.enough
        else (
            f"Too few draws carry the weight of the prior {prior} ({support.why}). The data say far less than it, or "
            "disagree with it: draw more of them, or look for what is different in this experiment."
        )
    )
    check = Check(name="learned_prior", passed=support.enough, facts=facts, sentence=sentence)
    return (weights if support.enough else None), check


def _on_scale(draws: xr.DataArray, scale: EffectScale) -> tuple[xr.DataArray, xr.DataArray]:
    """Mean outcomes under the scale's function g (identity, log, logit), and log g'."""
    if scale == "difference":
        return draws, xr.zeros_like(draws)
    outside = int((draws <= 0).sum()) if scale == "log_ratio" else int(((draws <= 0) | (draws >= 1)).sum())
    if outside:
        needs = "above 0" if scale == "log_ratio" else "between 0 and 1"
        raise ArgumentError(
            f"the learned prior is of {_WORDS[scale]}, for mean outcomes {needs}; {outside} draws of {draws.size} are not. "
            "Learn it from differences, or decide without it."
        )
    if scale == "log_ratio":
        return draws.copy(data=np.log(draws.values)), draws.copy(data=-np.log(draws.values))
    log, log_rest = np.log(draws.values), np.log1p(-draws.values)
    return draws.copy(data=log - log_rest), draws.copy(data=-log - log_rest)


def _log_t(effect: Array, mean: Array, scale: Array, df: Array) -> Array:
    """Log density of Student's t; of the normal where df is infinite, or so large that its constant would be lost."""
    z = (effect - mean) / scale
    normal = df > 1e8  # noqa: PLR2004 -- differences of gammaln lose their digits; the t is normal to 1e-8
    finite = np.where(normal, 1.0, df)
    constant = gammaln(0.5 * (finite + 1.0)) - gammaln(0.5 * finite) - 0.5 * np.log(np.pi * finite)
    heavy = constant - 0.5 * (finite + 1.0) * np.log1p(z * z / finite)
    return np.asarray(np.where(normal, -0.5 * z * z - 0.5 * np.log(2.0 * np.pi), heavy) - np.log(scale))
