"""The posterior of the effects of an experiment, or of thousands in one array."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from bayesuplift.decisions.trees.threads import side_by_side
from bayesuplift.dims import KINDS
from bayesuplift.errors import ArgumentError, NumericalError, is_finite_number, listed
from bayesuplift.monitor.belief.curved_pair import curved_pairs
from bayesuplift.monitor.belief.family import NORMAL
from bayesuplift.monitor.belief.flat_rates import flat_rates
from bayesuplift.monitor.belief.likelihood import likelihood
from bayesuplift.monitor.belief.pair import normal_pairs
from bayesuplift.monitor.belief.scale import LINEAR
from bayesuplift.monitor.belief.several import several_arms
from bayesuplift.monitor.effect_law import EffectLaw

Array = NDArray[np.float64]

_QUANTITIES: Final = 7
_BLOCK: Final = 1024  # rows that one thread takes at a time
_PAIR: Final = 2


@dataclass(frozen=True, eq=False)
class Belief:
    """What is believed of the arms, as arrays (..., arm).

    Parameters
    ----------
    prob_best
        P(the arm has the highest net gain); they sum to 1.
    prob_beats_control
        P(g > 0); 0 for the control.
    log_evidence
        log P(g > 0) / P(g < 0) less the same log odds under the prior; 0 for the control. Finite.
    relative_loss
        E[max_b g_b - g], of net relative gains; infinite where a flat prior meets an arm without information.
    lift, lift_lower, lift_upper
        Mean and ends of the equal-tailed interval of the relative effect r: neither net of costs nor signed; 0 for the
        control. Where they were asked for.
    prob_equivalent
        P(max g - min g <= rope), shape (...). Where a rope was given.
    """

    prob_best: Array
    prob_beats_control: Array
    log_evidence: Array
    relative_loss: Array
    lift: Array | None = None
    lift_lower: Array | None = None
    lift_upper: Array | None = None
    prob_equivalent: Array | None = None


def believe(
    n: Array,
    total: Array,
    squares: Array,
    *,
    kind: str,
    law: EffectLaw | None,
    control: int,
    sign: float,
    breakeven: Array,
    baseline: float,
    rope: float | None = None,
    prob: float | None = 0.95,
) -> Belief:
    """Return the posterior of the arms' net relative gains g_a = sign r_a - breakeven_a.

    Parameters
    ----------
    n, total, squares
        (..., arm) units, sums of outcomes and of squared outcomes, in outcome units. Of binary outcomes `squares` is not
        read.
    kind
        "binary", "count", "continuous" or "revenue". Effects are log odds ratios, log ratios, differences, log ratios.
    law
        Prior of the effects, or None for a flat one. The baseline is flat.
    control
        Position of the control.
    sign
        1, or -1 where lower is better.
    breakeven
        (arm,) relative gain that the arm's extra cost takes; 0 for the control.
    baseline
        Of continuous outcomes the declared mean that relative effects are relative to; others do not read it.
    rope
        Half-width of the region of practical equivalence, in relative gains.
    prob
        Mass of the intervals; with None lifts and intervals are left out.

    Raises
    ------
    ArgumentError
        Shapes that differ, fewer than two arms, statistics that no data have, or an option outside its range; costs with
        binary outcomes and a flat prior.
    NumericalError
        A result is not a number.

    Notes
    -----
    What each arm's statistics say is in `likelihood`, the integrals are in `pair`, `curved_pair` and `several`.
    Rates without a law are Beta(1, 1) a priori and compared exactly, losses and rope relative to the posterior mean of
    the control's rate. Under any other flat prior a row in which some arm has no information is as before any data:
    P(best) 1/K, evidence 0, infinite loss.

    The prior's log odds that an effect pays are those at the breakeven effect; of binary outcomes with costs that
    depends on the baseline, taken where the posterior has it.
    """
    arms = _checked(n, total, squares, kind=kind, control=control)
    _check_options(kind, law, arms, control, sign, breakeven, baseline, rope, prob)
    shape = n.shape
    units, sums, sums_of_squares = (
        np.ascontiguousarray(part, dtype=np.float64).reshape(-1, arms) for part in (n, total, squares)
    )
    if law is None and kind == "binary":
        out, together = flat_rates(units, sums, control, sign=sign, rope=rope, prob=prob)
    else:
        out, together = _integrated(
            (units, sums, sums_of_squares), kind, law, control, sign, breakeven, baseline, rope, prob
        )
    return _belief(out, together, shape, with_lift=prob is not None, with_rope=rope is not None)


def _integrated(  # noqa: PLR0917 -- the options of `believe`, handed on
    rows: tuple[Array, Array, Array],
    kind: str,
    law: EffectLaw | None,
    control: int,
    sign: float,
    breakeven: Array,
    baseline: float,
    rope: float | None,
    prob: float | None,
) -> tuple[Array, Array]:
    """Quantities (row, quantity, arm) and P(equivalent) (row,), in blocks of rows on all processors."""
    family, y, n = likelihood(kind, *rows, flat=law is None)
    if law is None:
        weights, means, taus = np.ones(1), np.zeros(1), np.zeros(1)
    else:
        weights, means, taus = law.weights.copy(), law.means.copy(), law.sds**-2.0
    tail = 0.0 if prob is None else 0.5 * (1.0 - prob)
    z_tail = 0.0 if prob is None else float(ndtri(tail))
    p, size = (LINEAR, float(abs(baseline))) if kind == "continuous" else (0.0, 1.0)
    costs = np.asarray(breakeven, dtype=np.float64)
    out = np.zeros((n.shape[0], _QUANTITIES, n.shape[1]))
    together = np.zeros(n.shape[0])
    held: NDArray[np.bool_] = np.asarray((n > 0.0).all(axis=1) | (law is not None), dtype=np.bool_)
    if not held.all():
        _fill_without_information(out, ~held, control, log_scale=kind != "continuous", with_lift=prob is not None)
        kept = np.flatnonzero(held)
        y, n = y[kept], n[kept]
    inner, inner_together = np.zeros((n.shape[0], *out.shape[1:])), np.zeros(n.shape[0])
    prior = (int(control), weights, means, taus, float(sign))  # of one type each: every other one compiles anew
    ends = (float(rope or 0.0), float(tail), z_tail)

    def work(start: int) -> None:
        own = slice(start, start + _BLOCK)
        made = (inner[own], inner_together[own])
        if n.shape[1] > _PAIR:
            several_arms(family, y[own], n[own], *prior, costs, p, size, *ends, *made)
        elif family == NORMAL:
            normal_pairs(y[own], n[own], *prior, costs[1 - control], p, size, *ends, *made)
        else:
            curved_pairs(family, y[own], n[own], *prior, costs[1 - control], *ends, *made)

    side_by_side(work, range(0, n.shape[0], _BLOCK), n.shape[0])
    out[held], together[held] = inner, inner_together
    return out, together


def _fill_without_information(
    out: Array, where: NDArray[np.bool_], control: int, *, log_scale: bool, with_lift: bool
) -> None:
    """Rows that a flat prior says nothing of: every arm may be the best, and any loss is possible."""
    treatments = np.arange(out.shape[2]) != control
    own = np.zeros(out.shape[1:])
    own[0] = 1.0 / out.shape[2]
    own[1, treatments] = 0.5
    own[3] = np.inf
    if with_lift:
        own[4, treatments] = np.inf if log_scale else 0.0
        own[5, treatments] = -1.0 if log_scale else -np.inf
        own[6, treatments] = np.inf
    out[where] = own


def _belief(out: Array, together: Array, shape: tuple[int, ...], *, with_lift: bool, with_rope: bool) -> Belief:
    """The named arrays of a kernel's output."""
    if bool(np.isnan(out).any()) or bool(np.isnan(together).any()):
        row = int(np.argwhere(np.isnan(out).any(axis=(1, 2)) | np.isnan(together))[0, 0])
        raise NumericalError(
            f"the posterior of row {row} is not a number; its statistics are beyond what float64 holds, rescale outcomes"
        )
    quantity = [np.ascontiguousarray(out[:, i]).reshape(shape) for i in range(_QUANTITIES)]
    best, beats, evidence, loss, lift, lower, upper = quantity
    return Belief(
        prob_best=best,
        prob_beats_control=beats,
        log_evidence=evidence,
        relative_loss=loss,
        lift=lift if with_lift else None,
        lift_lower=lower if with_lift else None,
        lift_upper=upper if with_lift else None,
        prob_equivalent=together.reshape(shape[:-1]) if with_rope else None,
    )


def _checked(n: Array, total: Array, squares: Array, *, kind: str, control: int) -> int:
    """Refuse statistics that no data have; return the number of arms."""
    if kind not in KINDS:
        raise ArgumentError(f"kind = {kind!r}; give one of {listed(KINDS)}")
    if not n.shape == total.shape == squares.shape or n.ndim == 0 or n.shape[-1] < _PAIR:
        raise ArgumentError(
            f"n, total and squares have shapes {n.shape}, {total.shape}, {squares.shape}; give one shape (..., arm) with "
            "at least two arms"
        )
    if not (isinstance(control, int | np.integer) and 0 <= control < n.shape[-1]):
        raise ArgumentError(f"control = {control!r}; give a position from 0 to {n.shape[-1] - 1}")
    faults = {
        "n, total or squares is missing or infinite": ~(np.isfinite(n) & np.isfinite(total) & np.isfinite(squares)),
        "n is negative": n < 0,
        "an arm without units has outcomes": (n == 0) & ((total != 0) | (squares != 0)),
    }
    if kind != "continuous":
        faults["total is negative"] = total < 0
    if kind == "binary":
        faults["total exceeds n"] = total > n
    else:
        faults["squares is less than total^2 / n"] = squares * n < total * total * (1.0 - 1e-9)
    for fault, where in faults.items():
        if where.any():
            place = tuple(int(i) for i in np.argwhere(where)[0])
            raise ArgumentError(
                f"{fault} at {int(where.sum())} place(s); first {place}: n {n[place]:g}, total {total[place]:g}, squares "
                f"{squares[place]:g}"
            )
    return int(n.shape[-1])


def _check_options(  # noqa: PLR0917 -- the options of `believe`, handed on
    kind: str,
    law: EffectLaw | None,
    arms: int,
    control: int,
    sign: float,
    breakeven: Array,
    baseline: float,
    rope: float | None,
    prob: float | None,
) -> None:
    if sign not in (1.0, -1.0):
        raise ArgumentError(f"sign = {sign!r}; give 1, or -1 where lower is better")
    costs = np.asarray(breakeven, dtype=np.float64)
    if costs.shape != (arms,) or not np.isfinite(costs).all() or costs[control] != 0.0:
        raise ArgumentError(
            f"breakeven = {breakeven!r}; give a finite number for each of {arms} arms, 0 for the control"
        )
    if kind != "continuous" and (sign * costs <= -1.0).any():
        raise ArgumentError(
            f"breakeven = {breakeven!r} is beyond every relative effect, which is above -100%; check costs and the value "
            "of an outcome"
        )
    if kind == "binary" and law is None and costs.any():
        raise ArgumentError(
            "a flat prior of rates knows no costs; state a prior of effects, as EffectLaw.normal(0, 0.1)"
        )
    if kind == "continuous" and not (is_finite_number(baseline) and baseline != 0.0):
        raise ArgumentError(f"baseline = {baseline!r}; give the finite mean, not 0, that effects are relative to")
    if rope is not None and not (is_finite_number(rope) and rope > 0.0):
        raise ArgumentError(f"rope = {rope!r}; give a half-width above 0, or None")
    if prob is not None and not (is_finite_number(prob) and 0.0 < prob < 1.0):
        raise ArgumentError(f"prob = {prob!r}; give the intervals' mass, between 0 and 1, or None")
