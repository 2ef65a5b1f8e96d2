"""What the outcomes of a test are taken to show: which arms are claimed, by the normal approximation or exactly."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from bayesuplift.decisions.information.planned_test import Counts
from bayesuplift.decisions.proportions import compare_betas
from bayesuplift.errors import ArgumentError, did_you_mean, is_finite_number, listed
from bayesuplift.estimands.summary import equal_tails
from bayesuplift.priors import RatePrior

Success = Literal["beats_control", "interval_excludes_zero", "expected_loss"]

_PAIR: Final = 2  # arms whose loss is in closed form
_FARTHEST: Final = 8.5  # standard deviations, beyond which a normal distribution holds 1e-17
_STEP: Final = 0.7  # of the smallest standard deviation: the trapezium rule then errs by exp(-2 pi^2 / 0.7^2) = 3e-18

Values = NDArray[np.float64]
Claims = NDArray[np.bool_]


@dataclass(frozen=True)
class Criterion:
    """When a test has succeeded, read by itself.

    Parameters
    ----------
    success
        "beats_control": the credible interval of some arm's effect lies on the better side of 0. "interval_excludes_zero":
        on either side. "expected_loss": the expected loss of the best arm is at most the threshold, as in `choose_arm`.
    prob
        Mass of the equal-tailed interval.
    threshold
        Of caring, outcome units; of "expected_loss" only.
    higher_is_better
        Whether a higher outcome is the better one.
    control
        Position of the control.
    prior
        Of every arm's rate, in the analysis of a binary outcome; that of other outcomes' means is flat.

    Raises
    ------
    ArgumentError
        An option is outside its range.
    """

    success: Success
    prob: float
    threshold: float | None
    higher_is_better: bool
    control: int
    prior: RatePrior

    def __post_init__(self) -> None:
        """Refuse what is no criterion."""
        names = get_args(Success)
        if self.success not in names:
            raise ArgumentError(
                f"success = {self.success!r}; expected one of {listed(names)}.{did_you_mean(self.success, names)}"
            )
        equal_tails(self.prob)
        if not isinstance(self.higher_is_better, bool | np.bool_):
            raise ArgumentError(f"higher_is_better = {self.higher_is_better!r}; give True or False")
        if not isinstance(self.prior, RatePrior):
            raise ArgumentError(f"analysis_prior = {self.prior!r}; give a RatePrior, such as RatePrior(1, 1)")
        by_loss, given = self.success == "expected_loss", self.threshold is not None
        if by_loss and not (is_finite_number(self.threshold) and self.threshold > 0):  # type: ignore[operator]
            raise ArgumentError(
                f"threshold_of_caring = {self.threshold!r}; success='expected_loss' needs one above 0, in outcome units"
            )
        if given and not by_loss:
            raise ArgumentError(f"threshold_of_caring is given, and success='{self.success}' has none; leave it out")

    def __str__(self) -> str:
        if self.success == "expected_loss":
            return f"the expected loss of the best arm is at most {self.threshold:g}"
        side = "on the better side of" if self.success == "beats_control" else "away from"
        return f"the {100 * self.prob:g}% interval of some arm's effect lies {side} 0"

    def claimed(self, totals: Values, units: Counts, sd: Values | None) -> Claims:
        """Arms that outcomes (..., arm) claim, (..., arm), by normal posteriors with these moments.

        Parameters
        ----------
        totals
            Sums of outcomes.
        units
            Of every arm (arm,), at least 1.
        sd
            Of one unit's outcome (arm,): then means have a flat prior, and the posterior is normal. None of conversions,
            whose Beta posteriors are matched by mean and variance.
        """
        if sd is not None:
            return self._by_normals(totals / units, sd / np.sqrt(units))
        alpha, beta = self.prior.alpha + totals, self.prior.beta + units - totals
        mean = alpha / (alpha + beta)
        return self._by_normals(mean, np.sqrt(mean * (1.0 - mean) / (alpha + beta + 1.0)))

    def claimed_exactly(self, totals: Values, units: Counts) -> Claims:
        """Arms that conversions (test, arm) claim, (test, arm), by their Beta posteriors."""
        found = compare_betas(
            self.prior.alpha + totals,
            self.prior.beta + units - totals,
            control=self.control,
            higher_is_better=self.higher_is_better,
            rope=None,
            prob=None,
        )
        if self.success == "expected_loss":
            loss = found["expected_loss"]
            return self._best(-loss) & (loss <= self._threshold)
        return self._beyond(found["prob_beats_control"])

    def _by_normals(self, mean: Values, sd: Values) -> Claims:
        """Arms claimed where the posteriors are independent normals, (..., arm)."""
        signed = mean if self.higher_is_better else -mean
        sd = np.broadcast_to(sd, mean.shape)
        if self.success == "expected_loss":
            return self._best(signed) & _is_small(signed, sd, self._threshold)[..., None]
        apart = signed - signed[..., [self.control]]
        return self._beyond(ndtr(apart / np.hypot(sd, sd[..., [self.control]])))

    def _beyond(self, better: Values) -> Claims:
        """Whether P(better than the control) leaves at most a tail on the other side of 0."""
        tail, _ = equal_tails(self.prob)
        claims = better >= 1.0 - tail
        if self.success == "interval_excludes_zero":
            claims |= better <= tail
        claims[..., self.control] = False
        return claims

    @staticmethod
    def _best(signed: Values) -> Claims:
        """The first arm of the highest value."""
        return np.arange(signed.shape[-1]) == signed.argmax(axis=-1)[..., None]

    @property
    def _threshold(self) -> float:
        assert self.threshold is not None, "checked when it was made"
        return self.threshold


def _is_small(mean: Values, sd: Values, threshold: float) -> Claims:
    """Whether the expected loss of the arm of the highest mean is small, where arms are independent normals (..., arm).

    A loss against all others is at least that against each of them, and at most their sum. With d and s the mean and the
    standard deviation of a difference, the loss against one is s phi(d / s) - d Phi(-d / s), Raiffa and Schlaifer (1961),
    Applied Statistical Decision Theory, chapter 5. Where neither decides, it is integrated.
    """
    best = mean.argmax(axis=-1)[..., None]
    ahead = np.take_along_axis(mean, best, axis=-1) - mean
    spread = np.hypot(sd, np.take_along_axis(sd, best, axis=-1))
    loss = spread * np.exp(-0.5 * (ahead / spread) ** 2) / np.sqrt(2.0 * np.pi) - ahead * ndtr(-ahead / spread)
    np.put_along_axis(loss, best, 0.0, axis=-1)
    small = loss.sum(axis=-1) <= threshold
    if mean.shape[-1] > _PAIR:
        open_yet = ~small & (loss.max(axis=-1) <= threshold)
        small[open_yet] = _smallest_loss(mean[open_yet], sd[open_yet]) <= threshold
    return np.asarray(small)


def _smallest_loss(mean: Values, sd: Values) -> Values:
    """Expected loss of the arm of the highest mean, arms independent normals (test, arm): (test,).

    E[max_j mu_j - mu_b] = int F_b (1 - prod_{j != b} F_j), by the trapezium rule.
    """
    if not len(mean):
        return np.zeros(0)
    best = mean.argmax(axis=-1)[:, None]
    low = np.take_along_axis(mean - _FARTHEST * sd, best, axis=-1)
    high = (mean + _FARTHEST * sd).max(axis=-1, keepdims=True)
    steps = int(np.ceil((high - low) / (_STEP * sd.min(axis=-1, keepdims=True))).max())
    step = (high - low) / steps
    total = np.zeros(len(mean))
    for place in range(steps):
        below = ndtr((low + (place + 0.5) * step - mean) / sd)
        # F_b (1 - the others' product) = F_b - the product of all: exact enough to be compared with a threshold
        total += np.take_along_axis(below, best, axis=-1)[:, 0] - below.prod(axis=-1)
    return total * step[:, 0]
