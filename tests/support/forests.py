"""Forests of few trees, for tests: files that fit the same number of units with the same one share a compiled program."""

from typing import Any, Final

from bayesuplift.priors import ForestPrior, ForestShape

SMALL: Final = ForestPrior(
    prognostic=ForestShape(trees=40, depth=5, base=0.95, power=2.0),
    effect=ForestShape(trees=20, depth=4, base=0.25, power=3.0),
)
TINY: Final = ForestPrior(
    prognostic=ForestShape(trees=10, depth=4, base=0.95, power=2.0),
    effect=ForestShape(trees=5, depth=3, base=0.25, power=3.0),
)

SCALES: Final[dict[str, Any]] = {
    "intercept_sd": 2.0,
    "prognostic_sd": 2.0,
    "average_sd": 2.0,
    "effect_sd": 1.0,
    "segment_sd": 1.0,
    "segment_effect_sd": 0.5,
}
"""Standard deviations for a sampler, which is told all numbers of a prior; of outcomes that differ by a few units."""

LENGTH: Final[dict[str, Any]] = {"chains": 4, "draws": 200, "warmup": 200, "progress": False, "sensitivity": False}
"""A run that is told from the truth of a world; without other priors, which only decisions ask for."""
