"""How simulated experiments end: what they choose, when, at what true gain, and what is stated there."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesuplift.monitor.operating.blocks import Block, Effects, in_blocks
from bayesuplift.monitor.operating.progress import Progress
from bayesuplift.monitor.operating.worlds import Values, gains
from bayesuplift.monitor.plan import Plan
from bayesuplift.monitor.rules import bars_of
from bayesuplift.monitor.schedule import declared


@dataclass(frozen=True)
class Estimate:
    """A mean over simulated experiments.

    Parameters
    ----------
    value
        The mean.
    mcse
        Its Monte Carlo standard error.
    """

    value: float
    mcse: float

    def percent(self, digits: int = 1) -> str:
        """The mean and its error as percentages."""
        return f"{100.0 * self.value:.{digits}f}% ± {100.0 * self.mcse:.{digits}f}"


def estimated(values: NDArray[np.float64] | NDArray[np.bool_] | Sequence[float]) -> Estimate:
    """Mean of independent values (experiment,) and its standard error."""
    each = np.asarray(values, dtype=np.float64)
    return Estimate(float(each.mean()), float(each.std(ddof=1) / math.sqrt(each.size)))


@dataclass(frozen=True, eq=False)
class Ends:
    """How each simulated experiment ended.

    Parameters
    ----------
    code
        (experiment,) as in `rules`.
    days, units
        (experiment,) to the stop, or to the last look.
    gain, best
        (experiment,) true net relative gain of what is done, and of the best arm.
    wrong_sign, loss
        (experiment,) stated at the stop of the arm chosen: P(worth less than the control) and relative expected loss; of
        those who chose none, at the last look of the control.
    """

    code: NDArray[np.int64]
    days: Values
    units: Values
    gain: Values
    best: Values
    wrong_sign: Values
    loss: Values


def run(
    plan: Plan,
    effects: Effects,
    experiments: int,
    seed: int,
    *,
    threshold: float | None = None,
    baseline: float | None = None,
    progress: Progress | None = None,
) -> Ends:
    """Ends of simulated experiments; see `characteristics.simulate`."""
    looks, bars = declared(plan), bars_of(plan, threshold)
    held = np.full(len(looks), bars.threshold)
    days, units = (np.array([getattr(look, name) for look in looks], dtype=np.float64) for name in ("days", "units"))

    def ended(block: Block) -> Ends:
        place, code = block.stops(bars, held)
        each, at = np.arange(place.size), np.minimum(place, len(looks) - 1)
        arm = np.maximum(code, 0)
        belief, gain = block.evaluated.belief, gains(plan, block.relative_effects)
        return Ends(
            code=code,
            days=days[at],
            units=units[at],
            gain=gain[each, arm],
            best=gain.max(axis=-1),
            wrong_sign=1.0 - belief.prob_beats_control[each, at, arm],
            loss=belief.relative_loss[each, at, arm],
        )

    blocks = in_blocks(
        plan, looks, effects, ended, experiments=experiments, seed=seed, baseline=baseline, progress=progress
    )
    return Ends(**{name: np.concatenate([getattr(one, name) for one in blocks]) for name in Ends.__dataclass_fields__})
