"""Chains, and forests of several effects, taken apart and put together: nested tuples of arrays along their first axis."""

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np


def part(tree: Any, place: int) -> Any:
    """Return one along the first axis."""
    return jax.tree.map(lambda one: one[place], tree)


def stacked(parts: Iterable[Any]) -> Any:
    """Return the parts along a new first axis, of NumPy's arrays."""
    return jax.tree.map(lambda *ones: np.stack(ones), *parts)
