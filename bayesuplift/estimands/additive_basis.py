"""Covariates as columns of an additive function: straight lines between knots of a number, one value a level of text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.errors import ArgumentError, listed
from bayesuplift.estimands.unit_covariates import Covariate

_MOST_ALIKE: Final = (
    0.999  # of the square of some part of a curve, that others may tell: its variance is a thousandfold
)
_MOST_LEVELS: Final = 20
REST: Final = "(every other level)"


@dataclass(frozen=True, eq=False)
class Term:
    """One covariate's part of an additive function, as its values at some points.

    Parameters
    ----------
    covariate
        Name of the covariate.
    points
        The points as text (point,): knots of a number, ascending; levels of text.
    position
        The knots (point,); NaN of text.
    weights
        What each point adds to the value at each unit, (unit, point); rows sum to one.
    """

    covariate: str
    points: tuple[str, ...]
    position: NDArray[np.float64]
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, covariate: Covariate, knots: int) -> "Term":
        """The term of a covariate, with so many knots at most."""
        if covariate.is_text:
            return _of_levels(covariate)
        values = covariate.values.astype(np.float64)
        at = _knots(values, np.bincount(covariate.code), knots)
        hats = np.stack([np.interp(values, at, unit) for unit in np.eye(len(at))], axis=1)
        return cls(covariate.name, tuple(f"{value:.6g}" for value in at), at, hats[covariate.code])

    @property
    def middle(self) -> NDArray[np.float64]:
        """Mean weight of each point over the units, (point,)."""
        return np.asarray(self.weights.mean(axis=0))

    @property
    def nearest(self) -> NDArray[np.intp]:
        """Units that stand nearest to each point, (point,)."""
        return np.bincount(self.weights.argmax(axis=1), minlength=len(self.points))

    @property
    def columns(self) -> NDArray[np.float64]:
        """Columns (unit, point - 1) that average 0 over the units: a constant belongs to none of the terms."""
        return self.weights[:, 1:] - self.middle[1:]

    def at_points(self) -> NDArray[np.float64]:
        """The columns at the points, (point, point - 1)."""
        return np.eye(len(self.points))[:, 1:] - self.middle[1:]


@dataclass(frozen=True, eq=False)
class Basis:
    """Terms that can be told from each other, with an orthonormal basis of the functions that they make.

    Parameters
    ----------
    terms
        The terms.
    orthonormal
        Q (unit, column): orthonormal, and orthogonal to a constant.
    triangular
        R (column, column): the columns of the terms, side by side, are Q R.
    left_out
        Why other terms were left out, by covariate.
    """

    terms: tuple[Term, ...]
    orthonormal: NDArray[np.float64]
    triangular: NDArray[np.float64]
    left_out: Mapping[str, str]

    @classmethod
    def of(cls, terms: Sequence[Term], *, named: bool) -> "Basis":
        """Join terms, each if it can be told from those before; a constant is in every basis, and in no term.

        A term stays if no part of its curve is told by the other curves to more than 99.9%: the smallest squared sine of
        an angle between their columns is 0.001 or more. Terms that were named have to stay.

        Raises
        ------
        ArgumentError
            A term that was named cannot stay.
        """
        ordered = list(terms) if named else sorted(terms, key=lambda one: -len(one.points))
        kept: list[Term] = []
        left_out: dict[str, str] = {}
        every = np.empty((len(terms[0].weights), sum(len(term.points) - 1 for term in terms)), order="F")
        for term in ordered:
            start = sum(len(one.points) - 1 for one in kept)
            basis = every[:, :start]
            own, _ = np.linalg.qr(term.columns)
            rest = own - basis @ (basis.T @ own)
            rest -= basis @ (basis.T @ rest)  # once more: what rounding left of the others
            squared_sines, directions = np.linalg.eigh(rest.T @ rest)
            if squared_sines[0] >= 1.0 - _MOST_ALIKE:
                kept.append(term)
                every[:, start : start + rest.shape[1]], _ = np.linalg.qr(rest)
                continue
            told = _tellers(own @ directions[:, 0], kept)
            if named:
                raise ArgumentError(
                    f"the curve of '{term.covariate}' cannot be told from {told}: the units differ in one as they differ "
                    f"in the other. Leave one of them out: covariates=[...]"
                )
            left_out[term.covariate] = f"cannot be told from {told}"
        basis = every[:, : sum(len(one.points) - 1 for one in kept)]
        place = {term.covariate: i for i, term in enumerate(terms)}
        kept.sort(key=lambda one: place[one.covariate])
        triangular = basis.T @ np.column_stack([term.columns for term in kept])
        return cls(tuple(kept), basis, triangular, left_out)


def _of_levels(covariate: Covariate) -> Term:
    """One point a level, the most frequent first; of very many levels the rare ones together."""
    n = np.bincount(covariate.code)
    frequent = np.argsort(-n, kind="stable")
    many = len(frequent) > _MOST_LEVELS
    shown = frequent[: _MOST_LEVELS - 1] if many else frequent
    place = np.full(len(n), len(shown))
    place[shown] = np.arange(len(shown))
    names = [str(level) for level in covariate.values[shown]] + ([REST] if many else [])
    weights = np.eye(len(names))[place[covariate.code]]
    return Term(covariate.name, tuple(names), np.full(len(names), np.nan), weights)


def _knots(values: NDArray[np.float64], n: NDArray[np.intp], most: int) -> NDArray[np.float64]:
    """Knots among distinct values: all of few; else the ends, and quantiles of units between.

    A value that many units share, such as 0 of an amount, counts as one knot's share of the units: it would else take the
    place of several knots.
    """
    if len(values) <= most:
        return values
    weight = np.minimum(n, n.sum() / most).cumsum()
    shares = np.linspace(0.0, weight[-1], most)
    places = np.searchsorted(weight, shares).clip(max=len(values) - 1)
    return values[np.unique([0, *places[1:-1], len(values) - 1])]


def _tellers(direction: NDArray[np.float64], kept: Sequence[Term]) -> str:
    """Which of the other terms tell a direction (unit,) of unit length."""
    for term in kept:
        basis, _ = np.linalg.qr(term.columns)
        if float(((basis.T @ direction) ** 2).sum()) > _MOST_ALIKE:
            return f"that of '{term.covariate}'"
    return f"those of {listed(term.covariate for term in kept)} together"
