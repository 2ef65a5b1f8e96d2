"""Conversion rates under flat priors: exact, by the integrals of `decisions.proportions`."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

Array = NDArray[np.float64]


def flat_rates(
    n: Array, total: Array, control: int, *, sign: float, rope: float | None, prob: float | None
) -> tuple[Array, Array]:
    """Quantities (row, quantity, arm) and P(all within the rope) (row,) of rates that are Beta(1 + y, 1 + n - y).

    Losses, and the rope, are relative to the posterior mean of the control's rate.
    """
    from bayesuplift.decisions.proportions import compare_betas  # noqa: PLC0415 -- it loads xarray, half a second

    alpha, beta = 1.0 + total, 1.0 + n - total
    higher = sign > 0.0
    rate = (alpha / (alpha + beta))[:, control]
    exact = compare_betas(alpha, beta, control=control, higher_is_better=higher, rope=None, prob=prob)
    out = np.zeros((n.shape[0], 7, n.shape[1]))
    out[:, 0] = exact["prob_best"]
    out[:, 1] = exact["prob_beats_control"]
    out[:, 3] = exact["expected_loss"] / rate[:, None]
    for arm in range(n.shape[1]):
        if arm != control:
            out[:, 2, arm] = _log_odds(alpha[:, [control, arm]], beta[:, [control, arm]], higher=higher)
    if prob is not None:
        out[:, 4] = exact["relative_lift"]
        out[:, 5] = exact["relative_lift_lower"]
        out[:, 6] = exact["relative_lift_upper"]
    together = np.zeros(n.shape[0])
    if rope is not None:
        for row in range(n.shape[0]):  # its width differs from row to row
            together[row] = compare_betas(
                alpha[[row]],
                beta[[row]],
                control=control,
                higher_is_better=higher,
                rope=rope * float(rate[row]),
                prob=None,
            )["prob_all_equivalent"][0]
    return out, together


def _log_odds(alpha: Array, beta: Array, *, higher: bool) -> Array:
    """Log odds (row,) that the second rate is the better one; beyond 1e-300 those of the normal approximation."""
    from bayesuplift.decisions.proportions import compare_betas  # noqa: PLC0415 -- as above

    best = compare_betas(alpha, beta, control=0, higher_is_better=higher, rope=None, prob=None)["prob_best"]
    logit = np.log(alpha) - np.log(beta)
    sd = np.sqrt((1.0 / alpha + 1.0 / beta).sum(axis=1))
    z = (logit[:, 1] - logit[:, 0]) / sd * (1.0 if higher else -1.0)
    tails = []
    for side, approximate in ((1, log_ndtr(z)), (0, log_ndtr(-z))):
        held = best[:, side] > 1e-300  # noqa: PLR2004 -- below it a double loses its digits
        tails.append(np.where(held, np.log(np.where(held, best[:, side], 1.0)), approximate))
    return tails[0] - tails[1]
