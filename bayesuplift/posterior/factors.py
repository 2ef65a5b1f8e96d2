"""The factors that segments are made of: coordinates along the dimension that the draws are over."""

from collections.abc import Iterable
from typing import Final

import xarray as xr

from bayesuplift.data.labels import label
from bayesuplift.dims import RESERVED, SEGMENT, UNIT, factor_name
from bayesuplift.errors import ArgumentError, FactorNotFoundError, did_you_mean, listed

_PREFIX: Final = "factor_"


def place_of(draws: xr.DataArray) -> str | None:
    """The dimension that effects may differ along: "segment", "unit", or None where there is one effect an arm."""
    return next((dim for dim in (SEGMENT, UNIT) if dim in draws.dims), None)


def factors_of(draws: xr.DataArray) -> tuple[str, ...]:
    """Names of the factors, in order: coordinates along the segments, or units, that are none of our own words."""
    place = place_of(draws)
    return tuple(str(name) for name, one in draws.coords.items() if one.dims == (place,) and name not in RESERVED)


def levels_of(draws: xr.DataArray, factors: Iterable[str]) -> dict[str, list[str]]:
    """Level of each segment, or unit, as text, for each factor."""
    return {factor: [label(level) for level in draws[factor].to_numpy().tolist()] for factor in factors}


def chosen_factors(by: object, factors: tuple[str, ...]) -> list[str]:
    """Names in `by` as the posterior spells them; a factor called "segment" may be written so, or "factor_segment".

    Raises
    ------
    FactorNotFoundError
        There is no such factor.
    ArgumentError
        None is named, one is named twice, or a name is not text.
    """
    names: list[object] = [by] if isinstance(by, str) or not isinstance(by, Iterable) else list(by)
    chosen = []
    for name in names:
        if not isinstance(name, str):
            raise ArgumentError(f"by holds {name!r}; expected names of factors as text, such as by='channel'")
        found = next((spelt for spelt in (name, factor_name(name)) if spelt in factors), None)
        if found is None:
            there = listed(factors) if factors else "none, the posterior has no segments made of factors"
            raise FactorNotFoundError(f"no factor named '{name}'. Factors: {there}.{did_you_mean(name, factors)}")
        chosen.append(found)
    if len(set(chosen)) < len(chosen):
        raise ArgumentError(f"by names a factor twice: {listed(names)}; name each once")
    if not chosen:
        raise ArgumentError("by names no factor; the effect over all segments together is ate(posterior)")
    return chosen


def as_called(factor: str) -> str:
    """A factor as the user's column was called, before it was prefixed.

    >>> as_called("factor_segment"), as_called("channel"), as_called("factor_y")
    ('segment', 'channel', 'factor_y')
    """
    called = factor.removeprefix(_PREFIX)
    return called if factor_name(called) == factor else factor
