"""Limits to who may be treated: at most so many units, never some places."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.labels import label
from bayesuplift.errors import (
    ArgumentError,
    ArmNotFoundError,
    FactorNotFoundError,
    did_you_mean,
    is_finite_number,
    listed,
)
from bayesuplift.estimands.places import Places
from bayesuplift.posterior.factors import as_called, chosen_factors, levels_of


@dataclass(frozen=True)
class AtMost:
    """At most a share, or a number, of the units get a treatment, or one named treatment.

    Parameters
    ----------
    share
        Share of all units, from 0 to 1.
    units
        Their number, 0 or more; give the one or the other.
    arm
        The treatment that it holds for; all of them together where it is left out.

    Raises
    ------
    ArgumentError
        Both or none are given, or one that is outside its range.

    Examples
    --------
    >>> print(AtMost(share=0.2)), print(AtMost(units=500, arm="Mens E-Mail"))
    at most 20% of the units are treated
    at most 500 units get Mens E-Mail
    (None, None)
    """

    share: float | None = None
    units: float | None = None
    arm: str | None = None

    def __post_init__(self) -> None:
        if (self.share is None) == (self.units is None):
            raise ArgumentError("give share=, of all units, or units=, their number: one of the two")
        if self.share is not None and (not is_finite_number(self.share) or not 0.0 <= self.share <= 1.0):
            raise ArgumentError(f"share = {self.share!r}; give a share of all units, from 0 to 1")
        if self.units is not None and (not is_finite_number(self.units) or self.units < 0):
            raise ArgumentError(f"units = {self.units!r}; give a number of units, 0 or more")

    def __str__(self) -> str:
        most = f"{self.units:,g} units" if self.share is None else f"{self.share:.4g}".rstrip(".")
        if self.share is not None:
            most = f"{100 * self.share:.4g}% of the units"
        return f"at most {most} are treated" if self.arm is None else f"at most {most} get {self.arm}"

    def most(self, units: float) -> float:
        """Units that may get it, of all that there are."""
        return float(self.units) if self.share is None else self.share * units  # type: ignore[arg-type]


@dataclass(frozen=True)
class Never:
    """Places that get no treatment, or not one that is named.

    Parameters
    ----------
    where
        Levels by factor: {"channel": "Web"}, or {"channel": ["Web", "Phone"], "newbie": 1}; a place is meant where all
        factors have one of their levels. Of units these are the segments that the model was given.
    arm
        The treatment that they do not get; none at all where it is left out.

    Raises
    ------
    ArgumentError
        No factor is named, or none of a factor's levels.

    Examples
    --------
    >>> print(Never({"channel": ["Web", "Phone"]}, arm="Mens E-Mail"))
    never Mens E-Mail where channel is Web or Phone
    """

    where: Mapping[str, Any]
    arm: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.where, Mapping) or not self.where:
            raise ArgumentError('where names no place; give levels by factor, such as {"channel": "Web"}')
        levels: dict[str, tuple[str, ...]] = {}
        for factor, given in self.where.items():
            several = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
            if not isinstance(factor, str) or not several:
                raise ArgumentError(
                    f"where = {dict(self.where)!r}; give levels by factor, such as {{'channel': 'Web'}}"
                )
            levels[factor] = tuple(label(one) for one in several)
        object.__setattr__(self, "where", MappingProxyType(levels))

    def __hash__(self) -> int:
        return hash((tuple(self.where.items()), self.arm))

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle through the constructor: a read-only view cannot be pickled."""
        return type(self), (dict(self.where), self.arm)

    def __str__(self) -> str:
        places = " and ".join(f"{factor} is {' or '.join(levels)}" for factor, levels in self.where.items())
        return f"never {'treated' if self.arm is None else self.arm} where {places}"

    def meant(self, places: Places) -> NDArray[np.bool_]:
        """Whether each place is meant, (place,).

        Raises
        ------
        FactorNotFoundError
            Places are not told apart by such a factor.
        ArgumentError
            No place has one of the levels.
        """
        inside = np.ones(len(places), dtype=bool)
        for factor, levels in self.where.items():
            if factor == places.dim and not places.factors:
                known = [label(one) for one in places.labels.tolist()]
            else:
                spelt = _factor(factor, places)
                known = levels_of(places.means, [spelt])[spelt]
            absent = [level for level in levels if level not in known]
            if absent:
                there = list(dict.fromkeys(known))
                raise ArgumentError(
                    f"no {places.dim} has {factor} = '{absent[0]}'; there are {listed(there)}."
                    f"{did_you_mean(absent[0], there)}"
                )
            inside &= np.isin(np.array(known, dtype=np.str_), levels)
        return inside


Limit = AtMost | Never


def _factor(factor: str, places: Places) -> str:
    if not places.factors:
        raise FactorNotFoundError(
            f"no factor named '{factor}': the {places.dim}s of this posterior are not told apart by factors; fit with "
            f"segments=[...], or name the places themselves: {{'{places.dim}': [...]}}"
        )
    try:
        return chosen_factors(factor, places.factors)[0]
    except FactorNotFoundError:
        called = [as_called(one) for one in places.factors]
        raise FactorNotFoundError(
            f"no factor named '{factor}'. Factors: {listed(called)}.{did_you_mean(factor, called)}"
        ) from None


def treatment_index(arm: str, places: Places) -> int:
    """Position of a treatment.

    Raises
    ------
    ArmNotFoundError
        There is none of that name.
    """
    if arm not in places.treatments:
        control = ", which is the control and has no limit" if arm == places.control else ""
        raise ArmNotFoundError(
            f"no treatment named '{arm}'{control}. Treatments: {listed(places.treatments)}."
            f"{did_you_mean(arm, places.treatments)}"
        )
    return places.treatments.index(arm)
