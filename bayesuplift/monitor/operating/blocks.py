"""Simulated experiments in blocks: each of its own seed, evaluated as a live look is, side by side on all processors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from bayesuplift.decisions.trees.threads import side_by_side
from bayesuplift.monitor.evaluation import Evaluated, evaluate
from bayesuplift.monitor.operating.progress import Counter, Progress
from bayesuplift.monitor.operating.worlds import Values, draw
from bayesuplift.monitor.plan import Plan
from bayesuplift.monitor.rules import Bars, first_stops
from bayesuplift.monitor.schedule import Look

Made = TypeVar("Made")
Effects = Callable[[np.random.Generator, int], Values]
"""Relative effects (experiment, arm) of so many experiments."""

BLOCK: Final = 500
"""Experiments of a block: their arrays fit a processor's cache, and a seed gives the same bits on any number of threads."""


@dataclass(frozen=True, eq=False)
class Block:
    """Some simulated experiments.

    Parameters
    ----------
    looks
        When they are looked at.
    relative_effects
        (experiment, arm) true ones.
    n
        (experiment, look, arm) units.
    evaluated
        Belief and evidence, (experiment, look, arm).
    """

    looks: Sequence[Look]
    relative_effects: Values
    n: Values
    evaluated: Evaluated

    def stops(
        self, bars: Bars, thresholds: Values, *, contrary_too: bool = True
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Each experiment's first decision: place of its look, and code; see `rules.first_stops`.

        Without `contrary_too` no evidence against the treatments stops an experiment.
        """
        found = self.evaluated
        contrary = found.contrary if contrary_too else np.full_like(found.contrary, -np.inf)
        return stops_of(
            self.looks, bars, thresholds, found.evidence, contrary, found.belief.relative_loss, found.prob_equivalent
        )


def stops_of(  # noqa: PLR0917 -- as `rules.first_stops`, which takes positions only
    looks: Sequence[Look],
    bars: Bars,
    thresholds: Values,
    evidence: Values,
    contrary: Values,
    loss: Values,
    prob_equivalent: Values,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First decisions (experiment,) of stored answers: place of the look, and code."""
    look = np.empty(evidence.shape[0], dtype=np.int64)
    code = np.empty_like(look)
    days = np.array([one.days for one in looks], dtype=np.float64)
    units = np.array([one.units for one in looks], dtype=np.float64)
    first_stops(bars, thresholds, evidence, contrary, loss, prob_equivalent, days, units, look, code)
    return look, code


def in_blocks(
    plan: Plan,
    looks: Sequence[Look],
    effects: Effects,
    make: Callable[[Block], Made],
    *,
    experiments: int,
    seed: int,
    baseline: float | None = None,
    progress: Progress | None = None,
) -> list[Made]:
    """What `make` makes of each block of simulated experiments, in order.

    Parameters
    ----------
    plan
        The plan.
    looks
        When it is looked at.
    effects
        Gives the true effects of a block.
    make
        Asked about each block, whose arrays are then let go.
    experiments, seed
        Number of experiments; the same seed gives the same first experiments, however many there are.
    baseline
        True mean of the control, where it is not the plan's.
    progress
        Told of every block that is done.
    """
    sizes = [BLOCK] * (experiments // BLOCK) + [experiments % BLOCK] * (experiments % BLOCK > 0)
    seeds = np.random.SeedSequence(seed).spawn(len(sizes))
    counter = Counter(progress, experiments)

    def made(given: tuple[int, np.random.SeedSequence]) -> Made:
        size, own = given
        generator = np.random.Generator(np.random.PCG64(own))
        relative_effects = effects(generator, size)
        n, total, squares = draw(plan, looks, relative_effects, generator, baseline=baseline)
        found = make(Block(looks, relative_effects, n, evaluate(plan, n, total, squares)))
        counter.add(size)
        return found

    return side_by_side(made, zip(sizes, seeds, strict=True), experiments * len(looks))


def always(relative_effects: Values) -> Effects:
    """The same effects (arm,) in every experiment."""
    return lambda _, size: np.broadcast_to(relative_effects, (size, relative_effects.size))
