"""Whether a treatment's effect changes with time: novelty that wears off, habits that form. It decides nothing."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from bayesuplift.dims import Kind
from bayesuplift.errors import ArgumentError, is_finite_number
from bayesuplift.monitor.batch import Batch, moment, since
from bayesuplift.monitor.plan import Plan
from bayesuplift.monitor.tally import Segment, Tally, nothing, pooled

Array = NDArray[np.float64]

NOTE: Final = (
    "A trend is described and decides nothing. Its p-value is that of one question asked once: asked of several treatments "
    "or after every batch, it falls below 0.05 in more than 5% of experiments without a trend. Who comes in which week "
    "moves it as well."
)
"""What is to be said beside every trend."""

_SCALES: Final[dict[Kind, str]] = {
    "binary": "log odds ratio",
    "count": "log ratio of means",
    "revenue": "log ratio of means",
    "continuous": "difference of means",
}
_FEWEST_PERIODS: Final = 3  # two points lie on a line
_FEWEST_UNITS: Final = 10  # of an arm in a period, divided by the squared coefficient of variation where logs are taken
_ASKED_ONCE: Final = 0.05
_WEEK: Final = 7.0


@dataclass(frozen=True)
class Trend:
    """The effect of one treatment by period, and a line through it.

    Parameters
    ----------
    arm
        The treatment.
    scale
        What an effect is, in words: the link scale of the outcome's kind.
    day
        (period,) middle of each period, days since the start.
    effect, se
        (period,) effect of the period's own units, and its standard error.
    left_out
        Periods that tell no effect: a mean that is not above 0 where logarithms are taken, or outcomes that are all alike.
    slope, lower, upper
        Change of the effect in a week and its interval; None with fewer than three periods.
    p
        Two-sided p-value of "the effect does not change with time".
    excess
        Variance of the effects around the line, as a multiple of what chance alone gives. Above 1 it widens the interval.
    first, last
        Effect on the line in the first and the last period.
    sentence
        What a reader sees.
    """

    arm: str
    scale: str
    day: tuple[float, ...]
    effect: tuple[float, ...]
    se: tuple[float, ...]
    left_out: int
    slope: float | None
    lower: float | None
    upper: float | None
    p: float | None
    excess: float | None
    first: float | None
    last: float | None
    sentence: str

    def as_facts(self) -> dict[str, Any]:
        """Plain values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def trends(plan: Plan, batches: Iterable[Batch], *, prob: float = 0.95) -> tuple[Trend, ...]:
    """Trend of every treatment's effect on the plan's metric, from the batches in their order, cumulative ones or not.

    Raises
    ------
    ArgumentError
        As `effect_trends`.
    BatchError
        A cumulative sum falls from one batch to the next.
    """
    tallies: dict[Segment, Tally] = {}
    until: list[float] = []
    sums = []
    for batch in batches:
        added = since(batch, tallies, plan).tallies
        for key, tally in added.items():
            tallies[key] = tallies.get(key, nothing(plan)) + tally
        until.append(float((moment(batch.at).date() - plan.start).days + 1))
        sums.append(pooled(plan, added.values()).statistics(plan.metric))
    arms = plan.design.arms
    n, total, squares = np.array(sums).reshape(len(sums), 3, len(arms)).swapaxes(0, 1)
    return effect_trends(until, n, total, squares, kind=plan.metric.kind, arms=arms, prob=prob)


def effect_trends(
    until: ArrayLike,
    n: ArrayLike,
    total: ArrayLike,
    squares: ArrayLike,
    *,
    kind: Kind,
    arms: Sequence[str],
    prob: float = 0.95,
) -> tuple[Trend, ...]:
    """Trend of the effect of every treatment, one for each of `arms[1:]`.

    With e_k the effect of period k, s_k its standard error, t_k the period's middle in weeks: a line by least squares with
    weights 1 / s_k^2, slope b = sum w (t - t_w) (e - e_w) / sum w (t - t_w)^2, t_w and e_w weighted means, and
    se(b)^2 = max(1, Q / (periods - 2)) / sum w (t - t_w)^2, Q = sum w (e - line)^2.

    Parameters
    ----------
    until
        (batch,) days since the start at which each batch ends, never falling.
    n, total, squares
        (batch, arm) units of each batch, sums of their outcomes and of squares, outcome units; the control first.
    kind
        Kind of outcome.
    arms
        Names of the arms.
    prob
        Mass of the interval.

    Notes
    -----
    Batches are put together to periods: whole days, and as many that every arm has at least 10 c^2 units, c the coefficient
    of variation of all outcomes (10 units where no logarithm is taken; of a binary outcome, 10 of the rarer one expected).

    An effect's standard error is that of both arms' outcomes put together, s^2 = v (1 / n_a + 1 / n_0), v their common
    variance on the link scale: with each arm's own variance, a lucky period of one arm would weigh more for its luck. Half
    an outcome of either sort is added to the rates, so that the log odds are without bias to the order 1 / n.

    References
    ----------
    Gart, J. J. and Zweifel, J. R. (1967). On the bias of various estimators of the logit and its variance. Biometrika 54,
    181-187: the halves.
    Birge, R. T. (1932). The calculation of errors by the method of least squares. Physical Review 40, 207-227: the factor
    Q / (periods - 2).

    Raises
    ------
    ArgumentError
        Shapes that do not fit, days that fall, a kind or a mass that is none.
    """
    days, arrays = _checked(until, n, total, squares, arms)
    if kind not in _SCALES:
        raise ArgumentError(f"kind = {kind!r}; expected one of {', '.join(_SCALES)}")
    if not is_finite_number(prob) or not 0.0 < prob < 1.0:
        raise ArgumentError(f"prob = {prob!r}; give a mass strictly between 0 and 1")
    period = _periods(days, arrays[0], _least(kind, *(values.sum(axis=0) for values in arrays)))
    ends = np.array([days[period == k][-1] for k in range(period.max(initial=-1) + 1)])
    middle = 0.5 * (np.concatenate([[0.0], ends[:-1]]) + ends)
    of_period = [np.array([values[period == k].sum(axis=0) for k in range(ends.size)]) for values in arrays]
    found = []
    for a, arm in enumerate(arms):
        if a:
            effect, se = _effects(kind, *(values.reshape(-1, len(arms))[:, [0, a]] for values in of_period))
            found.append(_trend(arm, _SCALES[kind], middle, effect, se, prob=prob))
    return tuple(found)


def _checked(
    until: ArrayLike, n: ArrayLike, total: ArrayLike, squares: ArrayLike, arms: Sequence[str]
) -> tuple[Array, list[Array]]:
    days = np.asarray(until, dtype=np.float64)
    shape = (days.size, len(arms))
    arrays = []
    for name, given in (("n", n), ("total", total), ("squares", squares)):
        values = np.asarray(given, dtype=np.float64)
        if values.size != days.size * len(arms) or values.ndim > len(shape) or not np.isfinite(values).all():
            raise ArgumentError(f"{name} has shape {values.shape}; expected {shape} (batch, arm), all finite")
        arrays.append(values.reshape(shape))
    if days.ndim != 1 or not np.isfinite(days).all() or (np.diff(days, prepend=0.0) < 0.0).any():
        raise ArgumentError(f"until = {days.tolist()}; give days since the start, from 0 on, that never fall")
    return days, arrays


def _least(kind: Kind, n: Array, total: Array, squares: Array) -> float:
    """Units of an arm from which a period's effect is about normal."""
    units = n.sum()
    mean = total.sum() / max(units, 1.0)
    if kind == "continuous":
        return float(_FEWEST_UNITS)
    rarer = min(mean, 1.0 - mean) if kind == "binary" else mean
    if rarer <= 0.0:
        return math.inf
    if kind == "binary":
        return float(_FEWEST_UNITS / rarer)
    return float(_FEWEST_UNITS * max(1.0, squares.sum() / (units * mean**2) - 1.0))


def _periods(days: Array, n: Array, least: float) -> NDArray[np.intp]:
    """The period (batch,) of each batch; what is left at the end belongs to the last period that is large enough."""
    period = np.zeros(days.size, dtype=np.intp)
    held, last = np.zeros(n.shape[1]), 0
    for k in range(days.size):
        period[k] = last
        held = held + n[k]
        day_ends = k + 1 == days.size or days[k + 1] > days[k]
        if day_ends and (held >= least).all():
            held, last = np.zeros(n.shape[1]), last + 1
    return np.minimum(period, max(last - 1, 0))


def _effects(kind: Kind, n: Array, total: Array, squares: Array) -> tuple[Array, Array]:
    """Effect and standard error (period,) of two arms (period, 2), the control first; NaN where there is none."""
    if kind == "binary":
        yes, no = total + 0.5, n - total + 0.5
        both = yes.sum(axis=1) / (n + 1.0).sum(axis=1)
        logit = np.log(yes / no)
        return logit[:, 1] - logit[:, 0], np.sqrt((1.0 / (n + 1.0)).sum(axis=1) / (both * (1.0 - both)))
    with np.errstate(divide="ignore", invalid="ignore"):  # what comes out is NaN, and left out
        mean = total / n
        variance = (squares - n * mean**2).sum(axis=1) / (n.sum(axis=1) - 2.0)
        if kind == "continuous":
            effect, unit = mean[:, 1] - mean[:, 0], variance
        else:
            effect, unit = np.log(mean[:, 1] / mean[:, 0]), variance / (total.sum(axis=1) / n.sum(axis=1)) ** 2
        told = np.isfinite(effect) & (mean > 0.0).all(axis=1) if kind != "continuous" else np.isfinite(effect)
        se = np.sqrt(unit * (1.0 / n).sum(axis=1))
    told &= np.isfinite(se) & (se > 0.0)
    return np.where(told, effect, np.nan), np.where(told, se, np.nan)


def _trend(arm: str, scale: str, middle: Array, effect: Array, se: Array, *, prob: float) -> Trend:
    told = np.isfinite(effect)
    left_out = int((~told).sum())
    middle, effect, se = middle[told], effect[told], se[told]
    shown = (tuple(middle.tolist()), tuple(effect.tolist()), tuple(se.tolist()))
    if middle.size < _FEWEST_PERIODS:
        enough = f"{middle.size} period{'s' * (middle.size != 1)} with enough outcomes"
        sentence = f"No trend of {arm}'s effect can be told from {enough}; it takes {_FEWEST_PERIODS}."
        return Trend(arm, scale, *shown, left_out, None, None, None, None, None, None, None, sentence)
    week, weight = middle / _WEEK, 1.0 / se**2
    centre, level = np.average(week, weights=weight), np.average(effect, weights=weight)
    known = float((weight * (week - centre) ** 2).sum())
    slope = float((weight * (week - centre) * (effect - level)).sum()) / known
    line = level + slope * (week - centre)
    excess = float((weight * (effect - line) ** 2).sum()) / (middle.size - 2)
    error = math.sqrt(max(1.0, excess) / known)
    reach = float(ndtri(0.5 + 0.5 * prob)) * error
    p = float(2.0 * ndtr(-abs(slope) / error))
    first, last = float(line[0]), float(line[-1])
    lower, upper = slope - reach, slope + reach
    sentence = _sentence(arm, scale, slope, (lower, upper), p=p, ends=(first, last), prob=prob)
    return Trend(arm, scale, *shown, left_out, slope, lower, upper, p, excess, first, last, sentence)


def _sentence(
    arm: str,
    scale: str,
    slope: float,
    interval: tuple[float, float],
    *,
    p: float,
    ends: tuple[float, float],
    prob: float,
) -> str:
    chance = "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"  # noqa: PLR2004 -- the last digit shown
    low, high = interval
    told = f"its {scale} changed by {slope:+.3g} a week ({prob:.0%} interval {low:+.3g} to {high:+.3g}; {chance})"
    if p >= _ASKED_ONCE:
        return f"No trend of {arm}'s effect is shown: {told}."
    first, last = ends
    how = "faded" if abs(last) < abs(first) else "turned" if first * last < 0.0 else "grew"
    return f"The effect of {arm} {how}: {told}, from {first:+.3g} to {last:+.3g} on the line through the periods."
