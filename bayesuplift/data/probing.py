"""Shared shifts and scales, from the first values; and the covariate's statistics, which need two of them."""

import math
from dataclasses import dataclass, field
from typing import Any, Final

import narwhals.stable.v2 as nw
import numpy as np

from bayesuplift.data.frames import Frame, Schema
from bayesuplift.data.partitions import first_rows
from bayesuplift.data.validation import number_of

_PROBED: Final = 101


def finite_number(column: str, schema: Schema) -> tuple[nw.Expr, nw.Expr]:
    """The column as a float, and where it is finite."""
    y = number_of(column, schema[column])
    return y, y.is_finite()


def middle(frame: Frame, y: nw.Expr, where: nw.Expr) -> tuple[float, float]:
    """A value near the middle of the first ones, to shift by, and a power of two near their spread, to divide by.

    The shift is an actual value, so that whole numbers stay whole; the power of two divides without rounding.
    """
    rows = frame.select(y=y, ok=where).filter(nw.col("ok")).select("y")
    first = sorted(first_rows(rows, _PROBED)["y"])
    if not first:
        return 0.0, 1.0
    centre = float(first[(len(first) - 1) // 2])
    spread = max(abs(float(value) - centre) for value in first) / 2
    return centre, 2.0 ** math.frexp(spread)[1] if 0 < spread < math.inf else 1.0


@dataclass(frozen=True)
class Beside:
    """What a covariate adds to the query of an outcome: nothing where there is none.

    Parameters
    ----------
    columns, facts
        Expressions by row and by group to add.
    shift, spread
        Shift and scale of the covariate.
    """

    columns: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    shift: float = 0.0
    spread: float = 1.0

    def settle(self, found: dict[str, Any], outcome_spread: float) -> bool:
        """Replace what the query found of the covariate by its statistics; return whether it was complete.

        C = (V(u + v) - V(u - v))·n/4 in the scaled deviations u of the outcome and v of the covariate, from shifts that
        all groups share: the engines' variances keep their digits in a group that lies far from the shift, where the
        sum of the products u·v would lose them.
        """
        if not self.facts:
            return True
        n = found["n"]
        counted, about, variance, plus, minus = (found.pop(name) for name in self.facts)
        own, of_covariate = found["sum_squared_deviations"], variance * n
        bound = np.sqrt(own) * np.sqrt(of_covariate)
        together = (plus - minus) * n / 4 * outcome_spread * self.spread
        found["covariate_total"] = about + n * self.shift
        found["covariate_sum_squared_deviations"] = of_covariate
        # Rounding alone takes it over the bound, where the two are proportional or one is constant.
        found["sum_codeviations"] = np.clip(together, -bound, bound)
        return bool(np.array_equal(counted, n))


def beside_outcome(frame: Frame, covariate: str | None, schema: Schema, outcome: nw.Expr, where: nw.Expr) -> Beside:
    """The covariate's part of the query.

    Parameters
    ----------
    frame, schema
        The table and its types.
    covariate
        Column of the covariate; None adds nothing.
    outcome, where
        The scaled deviation of the outcome, and where the outcome is finite.
    """
    if covariate is None:
        return Beside()
    x, finite = finite_number(covariate, schema)
    shift, spread = middle(frame, x, finite)
    deviation, both = (x - shift) / spread, where & finite
    columns = {
        "x": nw.when(finite).then(x - shift),
        "plus": nw.when(both).then(outcome + deviation),
        "minus": nw.when(both).then(outcome - deviation),
    }
    facts = {
        "covariate_count": nw.col("x").count(),
        "covariate_sum": nw.col("x").sum(),
        "covariate_variance": nw.col("x").var(ddof=0),
        "variance_plus": nw.col("plus").var(ddof=0),
        "variance_minus": nw.col("minus").var(ddof=0),
    }
    return Beside(columns, facts, shift, spread)
