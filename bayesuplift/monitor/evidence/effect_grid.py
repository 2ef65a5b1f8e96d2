"""The effects that evidence of benefit looks for: the favourable half of the plan's law of effects, as a few nodes."""

from functools import lru_cache
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri

from bayesuplift.errors import ArgumentError, check_whole
from bayesuplift.monitor.evidence.checks import check_sign

Array = NDArray[np.float64]

NODES: Final = 12
"""Nodes of equal weight: so few that a look costs little, and the mixture is dense where effects are expected."""

FLAT_SPREAD: Final = 0.1
"""Scale of the half-normal where the prior is flat: an e-value needs effects to look for, and a flat law names none."""

_ONE_SD = 0.6826894921370859  # P(|N(0, 1)| <= 1)
_HALVINGS = 200


class Normals(Protocol):
    """A mixture of normals on the link scale: weights, means and standard deviations (component,)."""

    @property
    def weights(self) -> Array:
        """Weights, above 0, which sum to 1."""

    @property
    def means(self) -> Array:
        """Means."""

    @property
    def sds(self) -> Array:
        """Standard deviations, above 0."""


def effect_grid(law: Normals | None, *, sign: float = 1.0, nodes: int = NODES) -> tuple[Array, Array]:
    """Effects (node,) in the favourable direction, above 0 and ascending, and their weights, all 1 / nodes.

    Node i is the quantile at (i + 1/2) / nodes of sign * effect given that it is above 0; of the half-normal of scale
    `FLAT_SPREAD` where the law is flat (None).

    Parameters
    ----------
    law
        The plan's prior of an effect on the link scale.
    sign
        1 where higher is better, -1 where lower is.
    nodes
        Number of nodes.

    Raises
    ------
    ArgumentError
        An argument is out of its range.

    Examples
    --------
    >>> effects, weights = effect_grid(None, nodes=4)
    >>> effects.round(3).tolist(), weights.tolist()
    ([0.016, 0.049, 0.089, 0.153], [0.25, 0.25, 0.25, 0.25])
    """
    check_whole("nodes", nodes, 1)
    shares = (np.arange(nodes) + 0.5) / nodes
    return _quantiles(law, sign, shares), np.full(nodes, 1.0 / nodes)


def favourable_scale(law: Normals | None, *, sign: float = 1.0) -> float:
    """The scale, on the link scale, of the half-normal that the favourable half of the law is nearest to.

    Its quantile at 68.3%, which of a half-normal is its scale. `FLAT_SPREAD` where the law is flat (None).

    Raises
    ------
    ArgumentError
        `sign` is neither 1 nor -1.
    """
    return float(_quantiles(law, sign, np.array([_ONE_SD]))[0])


def _quantiles(law: Normals | None, sign: float, shares: Array) -> Array:
    """Quantiles of sign * effect given that it is above 0."""
    check_sign(sign)
    if law is None:
        return np.asarray(FLAT_SPREAD * ndtri(0.5 + 0.5 * shares), dtype=np.float64)
    weights, means, sds = (np.asarray(values, dtype=np.float64) for values in (law.weights, law.means, law.sds))
    if not weights.ndim == means.ndim == sds.ndim == 1 or not weights.size == means.size == sds.size > 0:
        raise ArgumentError(
            f"law: weights {weights.shape}, means {means.shape}, sds {sds.shape}; expected one of each a component"
        )
    if not (np.isfinite(means).all() and np.isfinite(sds).all() and (sds > 0).all() and (weights >= 0).all()):
        raise ArgumentError(
            f"law: weights {weights.tolist()}, means {means.tolist()}, sds {sds.tolist()}; expected weights from 0, "
            "finite means and sds above 0"
        )
    kept = weights > 0.0
    if not kept.any():
        raise ArgumentError("law: every weight is 0; expected weights that sum to 1")
    parts = (np.log(weights[kept]), sign * means[kept], sds[kept], shares)
    return _halved(*(part.tobytes() for part in parts)).copy()


@lru_cache(maxsize=256)
def _halved(*parts: bytes) -> Array:
    """Quantiles of a law above 0 by its log weights, means and sds; kept, since every look asks for the same."""
    log_weights, means, sds, shares = (np.frombuffer(part) for part in parts)

    def log_above(x: Array) -> Array:
        # logs, since a law that is sure of harm has a favourable half, too, far out in its tail
        tails = log_weights + log_ndtr((means - x[:, None]) / sds)
        return np.asarray(np.logaddexp.reduce(tails, axis=1), dtype=np.float64)

    target = np.log1p(-shares) + log_above(np.zeros(1))
    low = np.zeros(shares.size)
    high = np.full(shares.size, float(np.max(np.maximum(means, 0.0) + 40.0 * sds)))
    for _ in range(_HALVINGS):  # to the last bit: halvings end when the middle is one of the two ends
        middle = 0.5 * (low + high)
        too_low = log_above(middle) > target
        low, high = np.where(too_low, middle, low), np.where(too_low, high, middle)
    return 0.5 * (low + high)
