"""What prior families share: their numbers checked, what was left open filled in, the pooled units looked at."""

import math
from dataclasses import fields, replace
from typing import Any, Final

import numpy as np

from bayesuplift.data.cells import Cells
from bayesuplift.data.moments import merge_groups
from bayesuplift.dims import N
from bayesuplift.errors import ArgumentError, is_finite_number

SCEPTICAL_SD: Final = 0.1
"""Of the log odds ratio, or log ratio, of two arms in a sceptic's prior: effects of ten percent are ordinary."""

LEAST: Final = 5e-324
"""The smallest float above 0."""

_LOCATIONS: Final = ("location", "log_rate")


def pooled_rate(cells: Cells, successes: str) -> float:
    """Share of successes over all cells, half a success added, so that alternatives are centred inside (0, 1)."""
    total, n = (float(cells.statistics[name].sum()) for name in (successes, N))
    return (total + 0.5) / (n + 1.0)


def pooled(cells: Cells, count: str, total: str, deviations: str) -> tuple[float, float, float]:
    """Count, total and squared deviations of all units in one."""
    rows = {name: cells.statistics[name].to_numpy().ravel() for name in (count, total, deviations)}
    merged = merge_groups(rows, np.zeros(rows[count].size, dtype=np.intp), 1)
    return float(merged[count][0]), float(merged[total][0]), float(merged[deviations][0])


def filled(prior: Any, given: dict[str, float], cells: Cells) -> Any:
    """The prior with values for what was left out."""
    open_fields = {name: value for name, value in given.items() if getattr(prior, name) is None}
    flat = [name for name, value in open_fields.items() if value == 0.0 and name not in _LOCATIONS]
    if flat:
        raise ArgumentError(
            f"{type(prior).__name__}: {flat[0]} was left out, and neither {cells.outcome!r} nor its covariate varies in a "
            f"way that it could be taken from; state it"
        )
    return replace(prior, **open_fields)


def check_numbers(prior: Any, ranges: dict[str, tuple[float, float]], *, optional: bool = False) -> None:
    """Refuse what is no number of its range; make floats of what is."""
    known = {part.name for part in fields(prior)}
    for name, (least, most) in ranges.items():
        assert name in known
        value = getattr(prior, name)
        if value is None and optional:
            continue
        inside = is_finite_number(value) and (least < value <= most if least == 0 else least <= value <= most)
        if not inside:
            above = "above 0" if least in (0, LEAST) else f"of at least {least:g}" if least > -math.inf else ""
            below = f"to {most:g}" if most < math.inf else ""
            wanted = ", ".join(part for part in (above, below) if part) or "finite"
            raise ArgumentError(f"{type(prior).__name__}: {name} = {value!r}; give a number {wanted}")
        object.__setattr__(prior, name, float(value))


def shown(value: float | None) -> str:
    """A number as a reader writes it, or where it will come from."""
    return "data" if value is None else f"{value:.4g}"
