"""The rising factorial in logs, without the cancellation of two log gammas."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

_LARGE: Final = 1e4


def log_rising(start: Any, count: Any) -> NDArray[np.float64]:
    """Log Gamma(start + count) - log Gamma(start), for start > 0 and count >= 0, elementwise.

    From 1e4 on by Stirling's series, whose first term left out is below 1 / (360 start^3): the two log gammas are of the
    order of start log start, their difference of count log start, and the digits of the first would be lost.
    """
    start, count = np.broadcast_arrays(np.asarray(start, dtype=np.float64), np.asarray(count, dtype=np.float64))
    large = start > _LARGE
    a = np.where(large, start, _LARGE)
    series = (a + count - 0.5) * np.log1p(count / a) + count * (np.log(a) - 1.0) + (1.0 / (a + count) - 1.0 / a) / 12.0
    b = np.where(large, 1.0, start)
    return np.where(large, series, gammaln(b + count) - gammaln(b))
