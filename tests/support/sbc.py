"""Simulation-based calibration: ranks of the truth among posterior draws, judged by simultaneous ECDF bands."""

import functools
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

FAMILY_LEVEL: Final = 0.005
"""Probability that calibrated quantities, all of a family together, are rejected."""

_NULL_SIMULATIONS: Final = 20_000


def ranks(truth: Any, draws: Any) -> NDArray[np.int64]:
    """Number of draws below the truth.

    Parameters
    ----------
    truth
        (simulation, ...), drawn from the prior.
    draws
        (draw, simulation, ...), from the posterior given the data that the truth made.
    """
    return (np.asarray(draws) < np.asarray(truth)).sum(axis=0)


def smallest_tail(found: Any, draws: int) -> float:
    """Smallest two-sided tail probability of the ECDF of the ranks over all places where it can step.

    Under calibration the number of ranks below i is Binomial(simulations, i / (draws + 1)), i = 1..draws.
    """
    counted = np.bincount(np.asarray(found).ravel(), minlength=draws + 1)
    return float(_smallest_tails(counted[None, :], draws)[0])


def pointwise_level(simulations: int, draws: int, level: float) -> float:
    """Level of each pointwise band such that all of them hold together with probability 1 - level.

    Sailynoja, Burkner and Vehtari (2022), Graphical test for discrete uniformity, section 3: here by simulation of
    uniform ranks instead of their recursion.
    """
    return float(np.quantile(_null_tails(simulations, draws), level))


@functools.cache
def _null_tails(simulations: int, draws: int) -> NDArray[np.float64]:
    generator = np.random.default_rng(20220320)
    bins = np.full(draws + 1, 1.0 / (draws + 1))
    return _smallest_tails(generator.multinomial(simulations, bins, size=_NULL_SIMULATIONS), draws)


def _smallest_tails(counted: NDArray[np.int64], draws: int) -> NDArray[np.float64]:
    """The statistic for many histograms of ranks (histogram, draws + 1) with the same number of simulations."""
    simulations = int(counted[0].sum())
    below = counted.cumsum(axis=1)[:, :-1]
    shares = np.arange(1, draws + 1) / (draws + 1)
    two_sided = _two_sided(simulations, tuple(shares))
    return two_sided[np.arange(draws), below].min(axis=1)


@functools.cache
def _two_sided(simulations: int, shares: tuple[float, ...]) -> NDArray[np.float64]:
    """2 min(P(B <= k), P(B >= k)) for B ~ Binomial(simulations, share), (share, k)."""
    share, k = np.array(shares)[:, None], np.arange(simulations + 1)
    return 2.0 * np.minimum(binom.cdf(k, simulations, share), binom.sf(k - 1, simulations, share))


def miscalibrated(quantities: dict[str, NDArray[np.int64]], draws: int) -> dict[str, float]:
    """Quantities whose ranks leave the simultaneous band, with their smallest pointwise tail probability.

    Parameters
    ----------
    quantities
        Ranks (simulation,) by quantity; the level is shared between them (Bonferroni).
    draws
        Number of posterior draws that the ranks count.
    """
    failed = {}
    for name, found in quantities.items():
        tail = smallest_tail(found, draws)
        if tail < pointwise_level(len(found), draws, FAMILY_LEVEL / len(quantities)):
            failed[name] = tail
    return failed
