"""Prior predictive effects of a partially pooled model, in outcome units: the table of its card.

Run from the project's root: python -m tests.support.prior_effects partial_pooling_binary
"""

import sys
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.cells import Cells
from bayesuplift.dims import ARM, SEGMENT
from bayesuplift.inference.prior import draw_prior
from bayesuplift.posterior.schema import mean_outcome
from bayesuplift.priors import AmountPoolingPrior, BinaryPoolingPrior, CountPoolingPrior, RevenuePoolingPrior
from bayesuplift.spec import registered
from tests.support.examples import example
from tests.support.worlds import seed_of

DRAWS: Final = 50_000
"""In each of four chains of independent draws, for the card."""

QUANTILES: Final = (0.05, 0.5, 0.95)
COLUMNS: Final = ("prior", "effect", "5%", "50%", "95%")

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Situation:
    """Where a prior is looked at.

    Parameters
    ----------
    prior
        What of the prior is stated; the rest is taken from the example, and so are segments and arms. None: all of it.
    unit
        What one of the effects shown is, in outcome units; None: the standard deviation of the example's units.
    """

    prior: Any = None
    unit: float | None = 1.0


_AT: Final = 1e-9  # standard deviation of a base that is looked at as if it were known

SITUATIONS: Final = {
    "partial_pooling_binary": Situation(BinaryPoolingPrior(base=0.15, base_sd=_AT), unit=0.01),
    "partial_pooling_count": Situation(CountPoolingPrior(base=1.0, base_sd=_AT)),
    "partial_pooling_normal": Situation(unit=None),
    "partial_pooling_revenue": Situation(
        RevenuePoolingPrior(
            BinaryPoolingPrior(base=0.1, base_sd=_AT), AmountPoolingPrior(base=float(np.log(50.0)), base_sd=_AT)
        )
    ),
}


def effects(name: str, *, draws: int, seed: int) -> dict[tuple[str, str], Array]:
    """Draws of the effects shown, by alternative and effect.

    `average` is an arm's effect against control, averaged over the segments as if they were equally large; `sd` its
    standard deviation over them.
    """
    situation, cells = SITUATIONS[name], example(name)
    assert isinstance(cells, Cells)
    prior = registered()[name].default_prior if situation.prior is None else situation.prior
    found = {}
    for alternative, one in prior.resolved(cells).alternatives(cells).items():
        drawn = mean_outcome(draw_prior(name, cells, seed=seed, prior=one, draws=draws))
        effect = drawn.isel({ARM: 1}) - drawn.isel({ARM: 0})
        for kind, values in (("average", effect.mean(SEGMENT)), ("sd", effect.std(SEGMENT))):
            found[alternative, kind] = values.to_numpy().ravel() / _unit(situation, cells)
    return found


def _unit(situation: Situation, cells: Cells) -> float:
    if situation.unit is not None:
        return situation.unit
    mean = cells.total.sum() / cells.n.sum()
    about = cells.total / np.maximum(cells.n, 1) - mean
    return float(np.sqrt((cells.sum_squared_deviations + cells.n * about**2).sum() / cells.n.sum()))


def table(name: str, *, draws: int = DRAWS) -> str:
    """The card's table."""
    rows: list[tuple[str, ...]] = [COLUMNS]
    for (alternative, kind), drawn in effects(name, draws=draws, seed=seed_of(f"prior effects of {name}")).items():
        found = np.quantile(drawn, QUANTILES)
        # two digits of the smaller end
        digits = max(0, 1 - int(np.floor(np.log10(min(abs(found[0]), abs(found[-1]))))))
        rows.append((alternative, kind, *(f"{round(float(one), digits) + 0.0:.{digits}f}" for one in found)))
    first, *rest = [f"| {' | '.join(row)} |\n" for row in rows]
    return f"{first}|{'---|' * len(COLUMNS)}\n{''.join(rest)}"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        sys.stdout.write(table(name))
