"""Values as JSON has them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr


def plain(value: Any) -> Any:
    """Numbers as JSON has them; what JSON has no number for, an infinite mean, is None."""
    if isinstance(value, xr.DataArray):
        value = value.item()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(part) for part in value]
    return value
