"""Exact quantiles of a table in partitions, whose values no single machine may be able to hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesuplift.data.frames import Frame
from bayesuplift.data.labels import label
from bayesuplift.data.partitions import each_partition, first_rows

_SAMPLED: Final = 4096
_PIECES: Final = 4096
_FETCHED: Final = 10_000
"""Amounts that may lie between two bounds for them to be brought back."""

# The bits of positive floats, read as whole numbers, have the floats' order: an interval of them can always be split
# until it holds one value, however skewed the amounts are.
Bits = NDArray[np.int64]


@dataclass(frozen=True)
class _Interval:
    """Bounds [low, high) of an order statistic's bits, with the number of amounts below them and between them."""

    low: int
    high: int
    below: int
    between: int


def quantiles_by_partition(amounts: Frame, probabilities: Sequence[float]) -> dict[str, NDArray[np.float64]]:
    """Quantiles (probability,) of positive amounts by arm, interpolated linearly between order statistics.

    Each round counts the amounts between bounds in every partition, and closes in on the order statistics; what comes
    back are counts, and in the end the few amounts around each. The first bounds are a sample's, so that two rounds are
    the rule. A round reads the data once.

    Parameters
    ----------
    amounts
        Columns `arm` and `y`, positive amounts only.
    probabilities
        From 0 to 1.
    """
    sample = np.array(first_rows(amounts, _SAMPLED)["y"], dtype=np.float64).view(np.int64)
    highest = np.array([np.inf]).view(np.int64)
    edges = np.unique(np.concatenate([[0], sample, sample + 1, highest]))
    counts = {arm: found[0] for arm, found in _counted(amounts, {}, [edges]).items()}
    places = {arm: np.array(probabilities) * (int(count.sum()) - 1) for arm, count in counts.items()}
    around = {
        arm: {
            rank: _located(edges, counts[arm], 0, rank)
            for rank in {int(bound(place)) for place in at for bound in (np.floor, np.ceil)}
        }
        for arm, at in places.items()
    }
    while wide := _wide(around):
        finer = {arm: [_split(interval) for interval in intervals] for arm, intervals in wide.items()}
        for arm, found in _counted(amounts, finer, []).items():
            for interval, pieces, count in zip(wide[arm], finer[arm], found, strict=True):
                for rank, known in around[arm].items():
                    if known == interval:
                        around[arm][rank] = _located(pieces, count, interval.below, rank)
    values = _values(amounts, around)
    quantiles = {}
    for arm, at in places.items():
        low = np.array([values[arm][int(np.floor(place))] for place in at])
        high = np.array([values[arm][int(np.ceil(place))] for place in at])
        quantiles[arm] = low + (at - np.floor(at)) * (high - low)
    return quantiles


def _located(edges: Bits, counts: Bits, below: int, rank: int) -> _Interval:
    """The bounds between which the amount of this rank, from 0, lies."""
    cumulative = below + np.cumsum(counts)
    piece = int(np.searchsorted(cumulative, rank, side="right"))
    between = int(counts[piece])
    return _Interval(int(edges[piece]), int(edges[piece + 1]), int(cumulative[piece]) - between, between)


def _wide(around: Mapping[str, Mapping[int, _Interval]]) -> dict[str, list[_Interval]]:
    """Intervals of more than one value that hold too much to be brought back, by arm."""
    wide = {
        arm: sorted(
            {known for known in found.values() if known.high - known.low > 1 and known.between > _FETCHED},
            key=lambda interval: interval.low,
        )
        for arm, found in around.items()
    }
    return {arm: intervals for arm, intervals in wide.items() if intervals}


def _split(interval: _Interval) -> Bits:
    step = max((interval.high - interval.low) // _PIECES, 1)
    return np.append(np.arange(interval.low, interval.high, step, dtype=np.int64), interval.high)


def _counted(amounts: Frame, edges: Mapping[str, list[Bits]], default: list[Bits]) -> dict[str, list[Bits]]:
    """How many amounts of each arm lie in each piece, for each of its lists of edges; `default` is any other arm's."""
    found = each_partition(amounts, _count_pieces, dict(edges), default)
    counts: dict[str, list[Bits]] = {}
    for key, rows in found.groupby(["arm", "interval"], sort=True):
        arm, index = cast("tuple[str, int]", key)
        size = len(edges.get(arm, default)[index]) - 1
        piece = np.bincount(rows["piece"], weights=rows["count"], minlength=size).astype(np.int64)
        counts.setdefault(arm, []).append(piece)
    return counts


def _values(amounts: Frame, around: Mapping[str, Mapping[int, _Interval]]) -> dict[str, dict[int, float]]:
    """The amounts of the ranks: known where the bounds leave one value, else brought back with those around it."""
    bounds = {
        arm: sorted({(known.low, known.high) for known in found.values() if known.high - known.low > 1})
        for arm, found in around.items()
    }
    fetched = each_partition(amounts, _within, bounds) if any(bounds.values()) else None
    values: dict[str, dict[int, float]] = {}
    for arm, found in around.items():
        values[arm] = {}
        for rank, known in found.items():
            bits = known.low
            if known.high - known.low > 1 and fetched is not None:
                own = fetched["bits"][(fetched["arm"] == arm) & fetched["bits"].between(known.low, known.high - 1)]
                bits = int(np.sort(own.to_numpy())[rank - known.below])
            values[arm][rank] = float(np.array([bits], dtype=np.int64).view(np.float64)[0])
    return values


def _bits_by_arm(part: pd.DataFrame) -> dict[str, Bits]:
    groups = part.groupby("arm", observed=True)["y"]
    return {label(arm): y.to_numpy(dtype=np.float64).view(np.int64) for arm, y in groups}


def _count_pieces(part: pd.DataFrame, edges: Mapping[str, list[Bits]], default: list[Bits]) -> pd.DataFrame:
    """Pieces of one partition that hold an amount."""
    rows: dict[str, list[object]] = {"arm": [], "interval": [], "piece": [], "count": []}
    for arm, bits in _bits_by_arm(part).items():
        for index, bounds in enumerate(edges.get(arm, [] if edges else default)):
            within = bits[(bits >= bounds[0]) & (bits < bounds[-1])]
            pieces, counts = np.unique(np.searchsorted(bounds, within, side="right") - 1, return_counts=True)
            rows["arm"] += [arm] * len(pieces)
            rows["interval"] += [index] * len(pieces)
            rows["piece"] += pieces.tolist()
            rows["count"] += counts.tolist()
    return pd.DataFrame(rows).astype({"arm": object, "interval": np.int64, "piece": np.int64, "count": np.int64})


def _within(part: pd.DataFrame, bounds: Mapping[str, list[tuple[int, int]]]) -> pd.DataFrame:
    """Amounts of one partition that lie between bounds."""
    rows: dict[str, list[object]] = {"arm": [], "bits": []}
    for arm, bits in _bits_by_arm(part).items():
        for low, high in bounds.get(arm, []):
            within = bits[(bits >= low) & (bits < high)].tolist()
            rows["arm"] += [arm] * len(within)
            rows["bits"] += within
    return pd.DataFrame(rows).astype({"arm": object, "bits": np.int64})
