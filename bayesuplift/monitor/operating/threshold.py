"""The threshold of evidence at which a plan keeps its error rate, by simulation of the whole rule with its gates."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.errors import ArgumentError, PlanError, check_whole, listed
from bayesuplift.monitor.operating.blocks import Block, always, in_blocks, stops_of
from bayesuplift.monitor.operating.progress import Progress
from bayesuplift.monitor.operating.worlds import Values
from bayesuplift.monitor.plan import Plan
from bayesuplift.monitor.rules import Bars, bars_of
from bayesuplift.monitor.schedule import Look, declared

LOWEST: Final = 0.0
"""The lowest threshold: no treatment is shipped that the data speak against."""
BINDS_BELOW: Final = 0.8
"""Share of alpha below which a gate, and not the threshold, is what holds the rate down."""

CONTRARY: Final = "contrary evidence"
"""The name of the end for the control that is no gate of the plan's rule."""

_TRIED: Final = 48
_WITHIN: Final = 1e-6
_NEVER: Final = 2.0  # above every probability


@dataclass(frozen=True)
class Threshold:
    """A simulated threshold of evidence.

    Parameters
    ----------
    value
        The threshold, a log Bayes factor.
    attained
        Share of the simulated experiments without any effect that shipped a treatment at it.
    mcse
        Monte Carlo error of `attained`.
    experiments
        Number of simulated experiments.
    binding
        The gates that hold `attained` below 0.8 alpha whatever the threshold: each of them, were it opened, would bring it
        there; the one that holds most where none would. None where the share is reached.
    """

    value: float
    attained: float
    mcse: float
    experiments: int
    binding: str | None = None


@dataclass(frozen=True, eq=False)
class _Answers:
    """Answers of experiments that could ship a treatment, (experiment, look[, arm])."""

    evidence: Values
    contrary: Values
    loss: Values
    prob_equivalent: Values


def calibrate(
    plan: Plan,
    *,
    taken: Sequence[Look] = (),
    coming: Sequence[Look] | None = None,
    experiments: int | None = None,
    seed: int | None = None,
    baseline: float | None = None,
    progress: Progress | None = None,
) -> Threshold:
    """The smallest threshold from which on at most `alpha` of the experiments without any effect ship a treatment.

    Parameters
    ----------
    plan
        The plan.
    taken
        Looks so far, each with the threshold that it was held against, which it keeps.
    coming
        Looks that the threshold is for; the plan's where none are given.
    experiments, seed, baseline
        Number of simulated experiments, their seed, and the control's true mean; the plan's where none are given.
    progress
        Told of the number of experiments done, and of all, block by block.

    Notes
    -----
    "Without any effect" means that every treatment is worth exactly the control: the same outcome, or, where it costs
    more, an outcome better by what pays for it. Experiments are simulated from their start, so that the share is that
    of all looks together.

    The share need not fall with the threshold everywhere: a low one also stops early for the control. Searched is the
    place above the highest of 48 thresholds at which the share is above `alpha`. Where there is none, the threshold is
    the one of them with the highest share.

    Raises
    ------
    ArgumentError
        No look is to come, or one was taken without a threshold.
    PlanError
        The plan's promise is not "calibrated".
    """
    rule = plan.rule
    if rule.promise != "calibrated":
        raise PlanError(f"rule: promise = {rule.promise!r} has no threshold to simulate; 'calibrated' has one")
    coming = declared(plan) if coming is None else coming
    experiments = rule.experiments if experiments is None else experiments
    seed = rule.seed if seed is None else seed
    check_whole("experiments", experiments, 1)
    check_whole("seed", seed, 0)
    if not coming:
        raise ArgumentError("calibrate: no look is to come; give the looks that the threshold is for")
    looks, kept = (*taken, *coming), np.array([_kept(look) for look in taken])
    bars = bars_of(plan, LOWEST)
    null = always(plan.metric.sign * plan.breakeven)

    def shipping(block: Block) -> _Answers:
        # With every other end put off, what ships at any threshold ships at the lowest one.
        never = bars._replace(control_loss=-1.0, equivalence=_NEVER)
        _, code = block.stops(never, _thresholds(kept, LOWEST, len(coming)), contrary_too=False)
        found, able = block.evaluated, code > 0
        return _Answers(
            found.evidence[able], found.contrary[able], found.belief.relative_loss[able], found.prob_equivalent[able]
        )

    answers = _joined(
        in_blocks(plan, looks, null, shipping, experiments=experiments, seed=seed, baseline=baseline, progress=progress)
    )

    def share(threshold: float) -> float:
        held = _thresholds(kept, threshold, len(coming))
        _, code = stops_of(looks, bars, held, answers.evidence, answers.contrary, answers.loss, answers.prob_equivalent)
        return float((code > 0).sum() / experiments)

    value = _searched(share, rule.alpha, _highest(answers))
    attained = share(value)
    binding = None
    if attained < BINDS_BELOW * rule.alpha:
        binding = _binding(plan, looks, kept, bars, experiments=experiments, seed=seed, baseline=baseline)
    return Threshold(value, attained, math.sqrt(attained * (1.0 - attained) / experiments), experiments, binding)


def _searched(share: Callable[[float], float], alpha: float, highest: float) -> float:
    """The threshold at which the share falls to alpha for good."""
    tried = np.linspace(LOWEST, highest, _TRIED)
    shares = np.array([share(float(one)) for one in tried])
    above = np.flatnonzero(shares > alpha)
    if above.size == 0:
        return float(tried[int(np.argmax(shares))])
    if above[-1] == tried.size - 1:
        return highest
    low, high = float(tried[above[-1]]), float(tried[above[-1] + 1])
    while high - low > _WITHIN:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if share(middle) > alpha else (low, middle)
    return high


def _highest(answers: _Answers) -> float:
    """A threshold that no evidence reaches."""
    finite = answers.evidence[..., 1:][np.isfinite(answers.evidence[..., 1:])]
    return float(max(finite.max(initial=LOWEST), LOWEST) + 1.0)


def _binding(
    plan: Plan,
    looks: Sequence[Look],
    kept: Values,
    bars: Bars,
    *,
    experiments: int,
    seed: int,
    baseline: float | None,
) -> str:
    """The gates without which enough experiments would ship a treatment, each at the threshold that ships most."""
    without = _without_one(plan, bars)
    tried = np.linspace(LOWEST, 2.0 * math.log(1.0 / plan.rule.alpha), _TRIED // 4)
    held = [_thresholds(kept, float(one), len(looks) - kept.size) for one in tried]

    def counted(block: Block) -> NDArray[np.int64]:
        return np.array(
            [
                [(block.stops(one, h, contrary_too=name != CONTRARY)[1] > 0).sum() for h in held]
                for name, one in without.items()
            ]
        )

    null = always(plan.metric.sign * plan.breakeven)
    counts = in_blocks(plan, looks, null, counted, experiments=experiments, seed=seed, baseline=baseline)
    shipped = np.sum(counts, axis=0).max(axis=1) / experiments
    enough = shipped >= min(BINDS_BELOW * plan.rule.alpha, float(shipped.max()))
    return listed(name for name, one in zip(without, enough, strict=True) if one)


def _without_one(plan: Plan, bars: Bars) -> dict[str, Bars]:
    """The bars with one gate opened, by its name in the plan's rule."""
    opened = {
        "relative_loss": bars._replace(relative_loss=math.inf),
        "control_loss": bars._replace(control_loss=-1.0),
        "minimum_days": bars._replace(minimum_days=0.0),
        CONTRARY: bars,
    }
    if plan.rule.minimum_units:
        opened["minimum_units"] = bars._replace(minimum_units=0.0)
    if plan.rule.rope is not None:
        opened["rope"] = bars._replace(equivalence=_NEVER)
    return opened


def _kept(look: Look) -> float:
    if look.threshold is None:
        raise ArgumentError(
            f"calibrate: the look at {look.units} units was taken without a threshold; give the one it had"
        )
    return look.threshold


def _thresholds(kept: Values, threshold: float, coming: int) -> Values:
    """Thresholds (look,) of looks taken and to come."""
    return np.concatenate([kept, np.full(coming, threshold)])


def _joined(blocks: Sequence[_Answers]) -> _Answers:
    return _Answers(
        *(
            np.concatenate([getattr(block, name) for block in blocks])
            for name in ("evidence", "contrary", "loss", "prob_equivalent")
        )
    )
