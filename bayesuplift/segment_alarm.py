"""Which segments a treatment of a running experiment seems to harm, by the pooled model."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from bayesuplift.data.cell_table import read_cell_table
from bayesuplift.data.cells import Cells
from bayesuplift.data.readers import read_counts
from bayesuplift.dims import ARM, CHAIN, DRAW, SEGMENT
from bayesuplift.estimands.conditional import cate
from bayesuplift.inference.fit import fit
from bayesuplift.monitor.plan import Plan
from bayesuplift.monitor.tally import Segment, Tally

HARM: Final = 0.99
"""Posterior probability of harm from which a segment is told of."""
_ROUNDS_TO_ONE: Final = 0.9995
_FEWEST_SEGMENTS: Final = 3  # a spread between segments is learned from no fewer


def segment_alarm(plan: Plan, tallies: Mapping[Segment, Tally]) -> list[dict[str, Any]]:
    """Segments and treatments with P(effect is for the worse) of at least `HARM`; for `monitor.update`.

    Effects are pooled over segments (`partial_pooling`; outcomes other than binary ones by their means), so that the worst
    of many small segments is not told of for being the worst. The posterior is that of one look; asked at every look, it
    tells of a harmless segment more often than in one of a hundred.

    Parameters
    ----------
    plan
        The plan; `rule.seed` is the seed of the fit.
    tallies
        Sums by segment. Segments in which an arm has fewer than two units are left out.

    Returns
    -------
    list
        For each: `segment`, `arm`, `prob_harm`, `lower` and `upper` (95% interval of the effect, outcome units),
        `sentence`. Empty where fewer than three segments are left.
    """
    enough = {key: tally for key, tally in tallies.items() if min(tally.n) > 1}
    if len(enough) < _FEWEST_SEGMENTS:
        return []
    effects = cate(fit("partial_pooling", _cells(plan, enough), seed=plan.rule.seed)).transpose(
        ARM, SEGMENT, CHAIN, DRAW
    )
    told = []
    for arm, segments in zip(effects[ARM].to_numpy(), effects.to_numpy(), strict=True):
        for segment, draws in zip(effects[SEGMENT].to_numpy(), segments, strict=True):
            harm = float((plan.metric.sign * draws < 0.0).mean())
            if harm >= HARM:
                told.append(_alarm(plan, str(arm), str(segment), harm, draws))
    return told


def _alarm(plan: Plan, arm: str, segment: str, harm: float, draws: np.ndarray) -> dict[str, Any]:
    lower, upper = (float(value) for value in np.quantile(draws, [0.025, 0.975]))
    sure = f"{harm:.1%}" if harm < _ROUNDS_TO_ONE else "above 99.9%"
    return {
        "segment": segment,
        "arm": arm,
        "prob_harm": harm,
        "lower": lower,
        "upper": upper,
        "sentence": (
            f"{arm} seems to harm {plan.metric.name} in segment {segment}: probability {sure}, effect between {lower:.3g} "
            f"and {upper:.3g}."
        ),
    }


def _cells(plan: Plan, tallies: Mapping[Segment, Tally]) -> Cells:
    """Cells of the deciding metric."""
    rows = []
    for key, tally in sorted(tallies.items()):
        n, total, squares = tally.statistics(plan.metric)
        for a, arm in enumerate(plan.design.arms):
            deviations = max(squares[a] - total[a] ** 2 / n[a], 0.0)
            sums = {"n": int(n[a]), "total": total[a], "sum_squared_deviations": deviations}
            rows.append({"arm": arm, **dict(zip(plan.segments, key, strict=True)), **sums})
    frame = pd.DataFrame(rows)
    keys: dict[str, Any] = {
        "arm": "arm",
        "control": plan.design.control,
        "segments": list(plan.segments),
        "outcome": plan.metric.name,
        "intended_split": dict(zip(plan.design.arms, plan.split.tolist(), strict=True)),
    }
    if plan.metric.kind == "binary":
        return read_counts(frame, trials="n", successes="total", **keys)
    return read_cell_table(frame, kind="continuous", **keys)
