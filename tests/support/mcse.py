"""Equality of a Monte Carlo mean with what it should be, at a tolerance that is derived, not chosen."""

from typing import Any, Final

import numpy as np
from arviz_stats.base import array_stats
from scipy.special import ndtri

LEVEL: Final = 1e-4
"""Probability that one call, or a family of calls, rejects draws that are right."""

LEAST_ESS: Final = 400


def assert_within_mcse(
    draws: Any, expected: Any, expected_mcse: Any = 0.0, *, comparisons: int = 1, least_ess: int = LEAST_ESS
) -> None:
    """Assert that the mean of the draws is the expected value, up to Monte Carlo error.

    Two-sided. Every element is a comparison of its own, and all of them together, times `comparisons`, reject right
    draws with probability 1e-4 (Sidak). The errors come from the draws themselves, so a floor on their effective number
    keeps a sampler that mixes badly from widening its own tolerance.

    Parameters
    ----------
    draws
        (chain, draw, ...).
    expected
        The mean that they should have, (...), or a number.
    expected_mcse
        Monte Carlo error of `expected`; 0 where it is exact.
    comparisons
        Number of calls in the family that this one belongs to.
    least_ess
        Effective draws that every element needs.
    """
    values = np.asarray(draws, dtype=np.float64)
    target, target_error = (np.asarray(one, dtype=np.float64) for one in (expected, expected_mcse))
    assert np.isfinite(values).all(), "a draw is missing or infinite"
    target = np.broadcast_to(target, values.shape[2:]).ravel()
    target_error = np.broadcast_to(target_error, values.shape[2:]).ravel()
    elements = values.reshape(*values.shape[:2], -1)
    limit = _limit(comparisons * elements.shape[-1])
    for place in range(elements.shape[-1]):
        one = elements[..., place]
        mean = one.mean()
        if np.ptp(one) == 0.0:
            assert mean == target[place], f"element {place}: every draw is {mean}, expected {target[place]}"
            continue
        # more effective draws than draws is a claim that the estimate of so few autocorrelations cannot carry
        ess = min(float(array_stats.ess(one, chain_axis=0, draw_axis=1, method="mean")), one.size)
        assert ess >= least_ess, f"element {place}: {ess:.0f} effective draws; {least_ess} are needed to judge"
        error = float(np.hypot(one.std(ddof=1) / np.sqrt(ess), target_error[place]))
        z = (mean - target[place]) / error
        assert abs(z) <= limit, (
            f"element {place}: mean {mean:.8g}, expected {target[place]:.8g}: {z:+.1f} Monte Carlo errors apart, "
            f"at most {limit:.1f} in {comparisons * elements.shape[-1]} comparisons"
        )


def _limit(comparisons: int) -> float:
    """Quantile of the standard normal for one of so many two-sided comparisons."""
    single = -np.expm1(np.log1p(-LEVEL) / comparisons)
    return float(-ndtri(single / 2.0))
