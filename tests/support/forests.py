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

LENGTH: Final[dict[str, Any]] = {"chains": 4, "draws": 200, "warmup": 200, "progress": False, "sensitivity": False}
"""A run that is told from the truth of a world; without other priors, which only decisions ask for."""
