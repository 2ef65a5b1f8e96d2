"""What a run kept, from the sampler's arrays to draws in the outcome's units."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesuplift.inference.forest import gibbs
from bayesuplift.inference.forest.binning import Cuts
from bayesuplift.inference.forest.draws import ForestDraws
from bayesuplift.inference.forest.packed import Forest, along_chains, along_draws, pack
from bayesuplift.inference.forest.settings import Resolved


@dataclass(frozen=True)
class Piece:
    """What one chain kept of one piece of the run.

    Attributes
    ----------
    prognostic, effect
        The trees.
    scalars
        (scalar, draw): intercept, average, scale, sigma, acceptance.
    rows
        mu and tau at the rows of the data, (draw, n) each; empty where they were not kept.
    """

    prognostic: Forest
    effect: Forest
    scalars: NDArray[np.float64]
    rows: tuple[NDArray[np.float32], ...]


def of_chain(drawn: gibbs.Draw, chain: int, count: int, n: int, resolved: Resolved) -> Piece:
    """Return the first so many draws of a chain, for the first n rows."""

    def its(values: Any, dtype: type = np.float64) -> NDArray:
        return np.asarray(values)[chain, :count].astype(dtype)

    intercept, average, scale = its(drawn.coefficients).T
    intercept, average = resolved.location + resolved.spread * intercept, resolved.spread * average
    sigma = resolved.spread / np.sqrt(its(drawn.precision))
    rows: tuple[NDArray[np.float32], ...] = ()
    if not isinstance(drawn.level, tuple):
        slope = resolved.spread * scale
        level, deviation = its(drawn.level, np.float32)[:, :n], its(drawn.deviation, np.float32)[:, :n]
        level *= np.float32(resolved.spread)
        level += intercept[:, None].astype(np.float32)
        deviation *= slope[:, None].astype(np.float32)
        deviation += average[:, None].astype(np.float32)
        rows = level, deviation
    return Piece(
        prognostic=_forest(drawn.prognostic, chain, count, resolved.spread),
        effect=_forest(drawn.effect, chain, count, resolved.spread),
        scalars=np.stack([intercept, average, scale, sigma, its(drawn.acceptance)]),
        rows=rows,
    )


def joined(parts: list[list[Piece]], resolved: Resolved, cuts: tuple[Cuts, Cuts], *, binary: bool) -> ForestDraws:
    """Join the pieces of all chains, as far as the shortest of them went."""
    shared = min(len(one) for one in parts)
    parts = [one[:shared] for one in parts]
    intercept, average, scale, sigma, acceptance = np.stack(
        [np.concatenate([piece.scalars for piece in one], axis=1) for one in parts], axis=1
    )
    level, deviation = (
        np.stack([np.concatenate([piece.rows[k] for piece in one]) for one in parts]) if parts[0][0].rows else None
        for k in range(2)
    )
    return ForestDraws(
        intercept=intercept,
        average=average,
        scale=scale,
        sigma=sigma,
        acceptance=acceptance,
        prognostic=along_chains([along_draws([piece.prognostic for piece in one]) for one in parts]),
        effect=along_chains([along_draws([piece.effect for piece in one]) for one in parts]),
        prognostic_cuts=cuts[0],
        effect_cuts=cuts[1],
        centre=resolved.centre,
        binary=binary,
        prognostic_at_rows=level,
        effect_at_rows=deviation,
    )


def _forest(heaps: gibbs.Heaps, chain: int, count: int, spread: float) -> Forest:
    variable, split, leaf = (np.asarray(one)[chain : chain + 1, :count] for one in heaps)
    return pack(variable, split, leaf).times(np.float32(spread))
