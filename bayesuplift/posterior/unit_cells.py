"""Cells of units: parts by arm, over all arms and between two of them, and the parts of a division together."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import chdtr, chdtrc, ndtr, ndtri

from bayesuplift.data.checks import Check
from bayesuplift.dims import ARM
from bayesuplift.posterior.predictive_parts import SAMPLE, cellwise
from bayesuplift.posterior.unit_draws import OwnDraws
from bayesuplift.posterior.unit_parts import Parts, membership, parts_of

Array = NDArray[np.float64]
Sides = tuple[Array, Array]
"""P(replicated < observed) and P(replicated > observed), (part, column, sample)."""

ALL_ARMS: Final = "all arms"
_PART: Final = "part"
_LEAST_CHANCE: Final = 1e-300


@dataclass(frozen=True, eq=False)
class Found:
    """A check of cells, and where its smallest p-value is.

    Parameters
    ----------
    check
        The check.
    cell
        Part, among those of all divisions, and column, an arm, all of them or two; None where the smallest p-value is of a
        division as a whole.
    times
        How many times as far from prediction as chance puts them the parts of that division lie; 1 for a single part.
    """

    check: Check
    cell: tuple[int, int] | None
    times: float


@dataclass(frozen=True, eq=False)
class UnitCells:
    """Parts of the units by arm, and over all arms.

    Parameters
    ----------
    parts
        Divisions of the units; those of a family stand together.
    draws
        What is predicted of the units.
    """

    parts: tuple[Parts, ...]
    draws: OwnDraws

    @classmethod
    def of(cls, draws: OwnDraws) -> "UnitCells":
        """Divide the units by their predictions and covariates."""
        return cls(tuple(parts_of(draws.experiment, draws.mean)), draws)

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms, and all of them."""
        return (*self.draws.experiment.design.arms, ALL_ARMS)

    @cached_property
    def _matrix(self) -> csr_array:
        return membership(self.parts, self.draws.experiment.arm, len(self.arms) - 1)

    def sums(self, values: Array) -> Array:
        """Sums (part, arm, ...) over the units of values (unit, ...), for the parts of all divisions one after another."""
        found = self._matrix @ values
        by_arm = found.reshape(-1, len(self.arms) - 1, *values.shape[1:])
        return np.concatenate([by_arm, by_arm.sum(axis=1, keepdims=True)], axis=1)

    @cached_property
    def n(self) -> Array:
        """Units (part, arm)."""
        return self.sums(np.ones(len(self.draws.experiment)))

    @cached_property
    def observed(self) -> Array:
        """Mean outcome (part, arm), NaN of nobody."""
        return self._means(self.draws.experiment.outcome)

    @cached_property
    def predicted(self) -> Array:
        """Posterior mean of that (part, arm)."""
        arm = self.draws.experiment.arm
        return self._means(self.draws.mean[np.arange(len(arm)), arm])

    def _means(self, values: Array) -> Array:
        found: Array = self.sums(values) / np.where(self.n > 0, self.n, np.nan)
        return found

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Places of each treatment and the control."""
        design = self.draws.experiment.design
        control = design.arms.index(design.control)
        return tuple((place, control) for place in range(len(design.arms)) if place != control)

    def check(
        self, name: str, sides: Sides, *, noun: str, families: Iterable[str] | None = None, effects: bool = False
    ) -> Found | None:
        """Check every part, and every division as a whole; None where there is nobody.

        Parameters
        ----------
        name, noun
            Of the check, and of what it is about.
        sides
            Of each cell (part, arm, sample), all arms the last.
        families
            Divisions to check; all by default.
        effects
            Whether to check differences between each treatment and the control, too: columns after all arms, in the order
            of `pairs`.

        Notes
        -----
        A cell's normal score is that of its mid-p-value; of a normal mean it is the mean itself, standardised. The
        difference of two independent ones is normal, and the sum of squares of those of a division's parts chi-square
        with a degree of freedom a part, at every draw: many parts that are a little off fail it where none stands out.
        """
        there = self.n > 0
        scores = _scores(sides)
        columns = list(self.arms)
        if effects:
            arms = self.draws.experiment.design.arms
            columns += [f"{arms[one]} against {arms[other]}" for one, other in self.pairs]
            scores, there = self._with_differences(scores, there)
            sides = tuple(  # type: ignore[assignment]
                np.concatenate([side, ndtr(sign * scores[:, len(self.arms) :])], axis=1)
                for side, sign in zip(sides, (1.0, -1.0), strict=True)
            )
        asked = None if families is None else set(families)
        rows = _Rows()
        first = 0
        for one in self.parts:
            own = slice(first, first + len(one.names))
            first = own.stop
            if asked is None or one.family in asked:
                rows.add(one, own, sides, scores[own], there[own])
        return rows.check(name, noun, columns)

    def _with_differences(self, scores: Array, there: NDArray[np.bool_]) -> tuple[Array, NDArray[np.bool_]]:
        """Scores (part, column, sample) of treatments against the control beside those of arms, and who is counted."""
        root = np.sqrt(np.maximum(self.n, 1.0))[..., None]
        found, counted = [scores], [there]
        for one, other in self.pairs:
            # means in units of their noise, as if it were one in both: the score is normal whatever the weights
            apart = scores[:, one] / root[:, one] - scores[:, other] / root[:, other]
            spread = np.sqrt(root[:, one] ** -2.0 + root[:, other] ** -2.0)
            found.append((apart / spread)[:, None])
            counted.append((there[:, one] & there[:, other])[:, None])
        return np.concatenate(found, axis=1), np.concatenate(counted, axis=1)


class _Rows:
    """Parts, and divisions as a whole, that are compared with one another."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.places: list[int | None] = []
        self.below: list[Array] = []
        self.above: list[Array] = []
        self.there: list[NDArray[np.bool_]] = []
        self.times: list[Array] = []

    def add(self, one: Parts, own: slice, sides: Sides, scores: Array, there: NDArray[np.bool_]) -> None:
        """Add the parts of a division, which stand at `own`, and where there are several all of them together."""
        self._append([*one.names], [*range(own.start, own.stop)], (sides[0][own], sides[1][own]), there)
        if len(one.names) > 1:
            squares = np.where(there[..., None], scores**2, 0.0).sum(axis=0)
            degrees = np.maximum(there.sum(axis=0), 1)[:, None].astype(np.float64)
            together = chdtr(degrees, squares)[None], chdtrc(degrees, squares)[None]
            self._append([f"all parts by {one.by}"], [None], together, np.atleast_2d(there.any(axis=0)))
            self.times[-1] = np.sqrt((squares / degrees).mean(axis=-1))[None]

    def _append(self, names: list[str], places: list[int] | list[None], sides: Sides, there: NDArray[np.bool_]) -> None:
        self.names += names
        self.places += places
        self.below.append(sides[0])
        self.above.append(sides[1])
        self.there.append(there)
        self.times.append(np.ones(there.shape))

    def check(self, name: str, noun: str, columns: list[str]) -> Found | None:
        coords = {_PART: self.names, ARM: columns}
        below, above = (
            xr.DataArray(np.concatenate(one), dims=(_PART, ARM, SAMPLE), coords=coords).transpose(SAMPLE, _PART, ARM)
            for one in (self.below, self.above)
        )
        counted = xr.DataArray(np.concatenate(self.there), dims=(_PART, ARM), coords=coords)
        check = cellwise(name, (below, above), counted, noun=noun, unit="part")
        if check is None:
            return None
        part, column = self.names.index(check.facts["worst"][_PART]), columns.index(check.facts["worst"][ARM])
        place, times = self.places[part], float(np.concatenate(self.times)[part, column])
        return Found(check, None if place is None else (place, column), times)


def _scores(sides: Sides) -> Array:
    """Normal scores of mid-p-values."""
    middle = np.maximum(1.0 - sides[0] - sides[1], 0.0) / 2.0
    below, above = (np.maximum(side + middle, _LEAST_CHANCE) for side in sides)
    # each from the smaller side, which does not round to 1
    found: Array = np.where(below < above, ndtri(np.minimum(below, 1.0)), -ndtri(np.minimum(above, 1.0)))
    return found
