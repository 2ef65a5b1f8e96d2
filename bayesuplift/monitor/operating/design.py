"""Plans of several sizes side by side: power, assurance, duration and the loss of deciding by them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from bayesuplift.errors import ArgumentError, check_whole
from bayesuplift.monitor.operating.characteristics import EXPERIMENTS, simulate
from bayesuplift.monitor.operating.progress import Counter, Progress
from bayesuplift.monitor.operating.summary import OperatingCharacteristics
from bayesuplift.monitor.operating.threshold import Threshold, calibrate
from bayesuplift.monitor.plan import Plan

EFFECTS: Final = (0.0, 0.02, 0.05, 0.1)
"""Relative effects at which power is told where none are named."""


@dataclass(frozen=True)
class Size:
    """What a plan does at one size.

    Parameters
    ----------
    units_per_look
        Units of all arms from one look to the next.
    threshold
        Simulated for this size; none but under "calibrated".
    power
        By relative effect: what the plan does if every treatment has it.
    prior
        What it does with effects from the plan's prior, whose `ships` is the assurance; none where it is flat.
    """

    units_per_look: int
    threshold: Threshold | None
    power: tuple[tuple[float, OperatingCharacteristics], ...]
    prior: OperatingCharacteristics | None


@dataclass(frozen=True)
class Designs:
    """Sizes of a plan, in the order asked for.

    Parameters
    ----------
    plan
        The plan.
    sizes
        One for each size.
    """

    plan: Plan
    sizes: tuple[Size, ...]

    def __str__(self) -> str:
        """Return the table that a reader sees."""
        effects = [effect for effect, _ in self.sizes[0].power]
        head = ["units a look", "threshold", *(f"ships at {effect:+.1%}" for effect in effects)]
        head += ["assurance", "days", "units", "loss"]
        rows = [head, *(self._row(size) for size in self.sizes)]
        widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
        looks = self.plan.looks
        title = (
            f"{self.plan.name}: {looks.number} looks, {looks.days:g} days apart, promise {self.plan.rule.promise}; "
            f"assurance, days, units and loss with effects from the prior ({self.plan.prior_text})"
        )
        return "\n".join(
            [
                title,
                *("  ".join(f"{cell:>{w}}" for cell, w in zip(row, widths, strict=True)) for row in rows),
            ]
        )

    def as_facts(self) -> dict[str, Any]:
        """Plain values."""
        return {"plan": self.plan.name, "sizes": [_facts(size) for size in self.sizes]}

    @staticmethod
    def _row(size: Size) -> list[str]:
        row = [f"{size.units_per_look:,}", "-" if size.threshold is None else f"{size.threshold.value:.3f}"]
        row += [one.ships.percent() for _, one in size.power]
        if size.prior is None:
            return [*row, "-", "-", "-", "-"]
        one = size.prior
        return [*row, one.ships.percent(), f"{one.days.value:.1f}", f"{one.units.value:,.0f}", one.loss.percent(3)]


def _facts(size: Size) -> dict[str, Any]:
    return {
        "units_per_look": size.units_per_look,
        "threshold": None if size.threshold is None else asdict(size.threshold),
        "power": [{"relative_effect": effect} | one.as_facts() for effect, one in size.power],
        "prior": None if size.prior is None else size.prior.as_facts(),
    }


def design(
    plan: Plan,
    *,
    units_per_look: Sequence[int],
    relative_effects: Sequence[float] = EFFECTS,
    experiments: int = EXPERIMENTS,
    seed: int = 1,
    progress: Progress | None = None,
) -> Designs:
    """Simulate a plan at several sizes, each with its own threshold.

    Parameters
    ----------
    plan
        The plan; its own units from one look to the next do not matter.
    units_per_look
        The sizes.
    relative_effects
        At which power is told.
    experiments, seed
        Number of simulated experiments for every figure, and their seed; thresholds have the plan's own.
    progress
        Told of the number of experiments done, and of all.

    Raises
    ------
    ArgumentError
        No size, or none of at least 2 units.
    """
    if not units_per_look:
        raise ArgumentError("design: units_per_look is empty; give at least one size")
    for units in units_per_look:
        check_whole("units_per_look", units, 2)
    wanted = plan.rule.promise == "calibrated"
    each = wanted * plan.rule.experiments + experiments * (len(relative_effects) + (plan.prior is not None))
    counter = Counter(progress, each * len(units_per_look))
    sizes = []
    for units in units_per_look:
        one = replace(plan, looks=replace(plan.looks, units=int(units)))
        found = calibrate(one, progress=counter.part()) if wanted else None
        at = None if found is None else found.value
        power = tuple(
            (
                float(effect),
                simulate(
                    one,
                    relative_effect=effect,
                    experiments=experiments,
                    seed=seed,
                    threshold=at,
                    progress=counter.part(),
                ),
            )
            for effect in relative_effects
        )
        prior = None
        if one.prior is not None:
            prior = simulate(
                one, from_prior=True, experiments=experiments, seed=seed, threshold=at, progress=counter.part()
            )
        sizes.append(Size(int(units), found, power, prior))
    return Designs(plan, tuple(sizes))
