"""Draws by place, from places by draw: a copy whose order of reading and writing spares memory."""

from typing import Any, Final

from numba import njit
from numpy.typing import NDArray

_TILE: Final = 32  # draws: so many rows of a block's places stay in the cache while they are turned


@njit(cache=True)
def turn(
    part: NDArray[Any], control: int, others: NDArray[Any], of_control: NDArray[Any], of_others: NDArray[Any]
) -> None:
    """Write draws (draw, place, arm) as (place, draw) of the control and as (place, treatment, draw) of the others."""
    draws, places = part.shape[0], part.shape[1]
    for first in range(0, draws, _TILE):
        last = min(first + _TILE, draws)
        for place in range(places):
            for draw in range(first, last):
                of_control[place, draw] = part[draw, place, control]
            for k in range(len(others)):
                for draw in range(first, last):
                    of_others[place, k, draw] = part[draw, place, others[k]]
