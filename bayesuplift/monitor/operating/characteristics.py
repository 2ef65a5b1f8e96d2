"""What a plan does when it is run many times: how often it ships what, when it stops, and whether its words hold there."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from bayesuplift.errors import ArgumentError, check_whole, is_finite_number
from bayesuplift.monitor.operating.blocks import Effects, always
from bayesuplift.monitor.operating.ends import Estimate, run
from bayesuplift.monitor.operating.progress import Counter, Progress
from bayesuplift.monitor.operating.summary import FEWEST, OperatingCharacteristics, summarised
from bayesuplift.monitor.operating.threshold import BINDS_BELOW, Threshold, calibrate
from bayesuplift.monitor.operating.worlds import effects_of_prior
from bayesuplift.monitor.plan import Plan

EXPERIMENTS: Final = 10_000
USUAL_EFFECTS: Final = (0.0, 0.05, 0.1)
"""Relative effects that are simulated where none is named."""


@dataclass(frozen=True)
class Simulated:
    """A plan under several true effects.

    Parameters
    ----------
    plan
        The plan.
    threshold
        Simulated once for all; none but under "calibrated".
    results
        One for each effect, then that of effects from the prior.
    """

    plan: Plan
    threshold: Threshold | None
    results: tuple[OperatingCharacteristics, ...]

    def __str__(self) -> str:
        """Return the tables that a reader sees."""
        looks, rule = self.plan.looks, self.plan.rule
        every = f"{looks.number} looks of {looks.units:,} units, {looks.days:g} days apart"
        lines = [f"{self.plan.name}: {every}, promise {rule.promise}"]
        if self.threshold is not None:
            one = self.threshold
            attained = Estimate(one.attained, one.mcse).percent(2)
            lines.append(
                f"threshold of evidence {one.value:.3f}: {attained} of {one.experiments:,} simulated experiments without "
                f"effect ship a treatment; at most {rule.alpha:.1%} are promised"
            )
            if one.binding is not None:
                lines.append(f"held below {BINDS_BELOW:.0%} of that by: {one.binding}")
        return "\n\n".join(["\n".join(lines), *map(str, self.results)])

    def as_facts(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "plan": self.plan.name,
            "plan_hash": self.plan.hash,
            "threshold": None if self.threshold is None else asdict(self.threshold),
            "results": [one.as_facts() for one in self.results],
        }


def simulate(
    plan: Plan,
    *,
    relative_effect: float | Mapping[str, float] = 0.0,
    from_prior: bool = False,
    experiments: int = EXPERIMENTS,
    seed: int = 1,
    threshold: float | None = None,
    baseline: float | None = None,
    progress: Progress | None = None,
) -> OperatingCharacteristics:
    """Run a plan many times, at its declared looks.

    Parameters
    ----------
    plan
        The plan.
    relative_effect
        True effect of every treatment on its mean relative to the control's (0.05: 5% more), or by treatment, 0 for those
        left out.
    from_prior
        Draw effects from the plan's prior instead, anew for every experiment.
    experiments, seed
        Number of experiments and their seed.
    threshold
        Of "calibrated"; simulated by `calibrate` where it is not given.
    baseline
        True mean of the control, where it is not the plan's.
    progress
        Told of the number of experiments done, and of all, block by block; those of a threshold count too.

    Raises
    ------
    ArgumentError
        No such treatment, an effect that is no number or leaves no possible mean.
    PlanError
        Effects are asked for from a flat prior.
    """
    check_whole("experiments", experiments, FEWEST)
    check_whole("seed", seed, 0)
    told, effects = _effects(plan, relative_effect, from_prior=from_prior, baseline=baseline)
    wanted = threshold is None and plan.rule.promise == "calibrated"
    counter = Counter(progress, experiments + wanted * plan.rule.experiments)
    if wanted:
        threshold = calibrate(plan, progress=counter.part()).value
    ends = run(plan, effects, experiments, seed, threshold=threshold, baseline=baseline, progress=counter.part())
    return summarised(ends, told, threshold, from_prior=from_prior)


def simulate_all(
    plan: Plan,
    *,
    effects: Sequence[float] = (),
    experiments: int = EXPERIMENTS,
    seed: int = 1,
    progress: Progress | None = None,
) -> Simulated:
    """Run a plan many times under several effects, at one threshold.

    Parameters
    ----------
    plan
        The plan.
    effects
        True relative effects of every treatment. Where none is given: 0, 5%, 10%, and effects drawn from the prior.
    experiments, seed
        Number of experiments for each effect, and their seed.
    progress
        Told of the number of experiments done, and of all.
    """
    law = not effects and plan.prior is not None
    wanted = plan.rule.promise == "calibrated"
    effects = tuple(effects) or USUAL_EFFECTS
    counter = Counter(progress, experiments * (len(effects) + law) + wanted * plan.rule.experiments)
    threshold = calibrate(plan, progress=counter.part()) if wanted else None
    at = None if threshold is None else threshold.value

    def one(effect: float, *, from_prior: bool = False) -> OperatingCharacteristics:
        return simulate(
            plan,
            relative_effect=effect,
            from_prior=from_prior,
            experiments=experiments,
            seed=seed,
            threshold=at,
            progress=counter.part(),
        )

    results = [one(effect) for effect in effects]
    if law:
        results.append(one(0.0, from_prior=True))
    return Simulated(plan, threshold, tuple(results))


def _effects(
    plan: Plan, relative_effect: float | Mapping[str, float], *, from_prior: bool, baseline: float | None
) -> tuple[str, Effects]:
    """The true effects in words, and their law."""
    if from_prior:
        return f"effects from the prior ({plan.prior_text})", lambda generator, size: effects_of_prior(
            plan, generator, size, baseline=baseline
        )
    effects = np.zeros(len(plan.design.arms))
    if isinstance(relative_effect, Mapping):
        for arm, value in relative_effect.items():
            effects[plan.design.index(arm)] = _number(value)
        told = ", ".join(f"{arm} {value:+.1%}" for arm, value in relative_effect.items())
        return f"effect {told or '0'}", always(effects)
    effects[1:] = _number(relative_effect)
    return f"effect {relative_effect:+.1%}" if relative_effect else "no effect", always(effects)


def _number(value: object) -> float:
    if not is_finite_number(value):
        raise ArgumentError(
            f"relative_effect = {value!r}; give a number, such as 0.05 for 5% more, or one by treatment"
        )
    return float(value)  # type: ignore[arg-type]
