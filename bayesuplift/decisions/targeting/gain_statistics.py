"""What a rule looks at of the net gain at every place: its mean, quantiles, worst draws and chance to be positive."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from bayesuplift.estimands.places import Places, unit_costs
from bayesuplift.estimands.value import Economics

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Statistic:
    """One number of the draws of a net gain g.

    Parameters
    ----------
    kind
        "mean"; "quantile", of g at `at`; "tail_mean", the mean of the lowest share `at` of the draws of g; "prob_positive",
        P(g > 0).
    at
        A share, above 0 and below 1; 1 for kinds without.
    """

    kind: Literal["mean", "quantile", "tail_mean", "prob_positive"]
    at: float = 1.0


MEAN: Final = Statistic("mean")
PROB_POSITIVE: Final = Statistic("prob_positive")


def gain_statistics(places: Places, economics: Economics, statistics: Iterable[Statistic]) -> dict[Statistic, Values]:
    """Statistics of the net gain g = value effect - (cost - cost_0) of every place and treatment, in one pass.

    Parameters
    ----------
    places
        Whose effects.
    economics
        What these are worth and what treating costs.
    statistics
        Which.

    Returns
    -------
    dict
        Arrays (place, treatment): money per unit, of probabilities a share.
    """
    wanted = tuple(dict.fromkeys(statistics))
    cost = unit_costs(places, economics)
    found = {one: np.empty((len(places), len(cost))) for one in wanted}
    for where, effect in places.blocks():
        gain = effect
        gain *= economics.value_per_outcome
        gain -= cost[:, None]
        for one in wanted:  # a mean of rows in another order would round otherwise: quantiles come last
            if one.kind == "mean":
                found[one][where] = gain.mean(axis=-1)
            elif one.kind == "prob_positive":
                found[one][where] = (gain > 0).mean(axis=-1)
        _ordered(gain, {one: found[one][where] for one in wanted if one.kind in ("quantile", "tail_mean")})
    return found


def repriced(
    values: Mapping[Statistic, Values], places: Places, before: Economics, after: Economics
) -> dict[Statistic, Values] | None:
    """The statistics under other economics, from g' = (g + c) v'/v - c'; None where that does not follow from them.

    It does not where an outcome's value changes its sign, and for probabilities.
    """
    rate = after.value_per_outcome / before.value_per_outcome
    if rate < 0 or any(one.kind == "prob_positive" for one in values):
        return None
    old, new = (unit_costs(places, one) for one in (before, after))
    return {one: (array + old) * rate - new for one, array in values.items()}


def _ordered(gain: Values, wanted: Mapping[Statistic, Values]) -> None:
    """Write quantiles and means of the lowest draws into the arrays of the statistics; the draws lose their order."""
    if not wanted:
        return
    draws = gain.shape[-1]
    places = {one: _place(one, draws) for one in wanted}
    cuts = sorted({cut for low, _ in places.values() for cut in (low, min(low + 1, draws - 1))})
    gain.partition(cuts, axis=-1)
    for one, out in wanted.items():
        low, part = places[one]
        if one.kind == "quantile":  # linear between order statistics: definition 7 of Hyndman and Fan (1996)
            below, above = gain[..., low], gain[..., min(low + 1, draws - 1)]
            out[...] = below + part * (above - below)
        else:  # the last draw counts in part, so that the share of draws is met exactly
            total = gain[..., :low].sum(axis=-1) + part * gain[..., low]
            out[...] = total / (low + part)


def _place(one: Statistic, draws: int) -> tuple[int, float]:
    """Whole and fractional part of where a statistic stands among the ordered draws."""
    position = one.at * (draws - 1 if one.kind == "quantile" else draws)
    low = min(int(position), draws - 1)
    return low, position - low
