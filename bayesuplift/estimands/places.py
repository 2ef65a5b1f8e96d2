"""Whom a policy assigns: segments, units, or everybody alike; their weights, and the draws of their effects in blocks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.dims import ARM, CHAIN, DRAW, MEAN_OUTCOME, POSTERIOR, SEGMENT, N
from bayesuplift.errors import PosteriorError
from bayesuplift.estimands.population import population_weights
from bayesuplift.estimands.turning import turn
from bayesuplift.estimands.value import Economics
from bayesuplift.posterior.factors import factors_of, place_of
from bayesuplift.posterior.schema import observed_cells, validate

_BLOCK: Final = 2**24  # mean outcomes at a time, 128 MB of float64; some three arrays of them live at once
EVERYBODY: Final = "everybody"
"""Label of the one place of a posterior by arm alone."""


@dataclass(frozen=True, eq=False)
class Places:
    """Places that may be treated differently, and the effects of every treatment there, never held all at once.

    Parameters
    ----------
    means
        Mean outcomes (chain, draw, place, arm), as they are stored; the place's dimension is "segment" or "unit".
    dim
        Name of that dimension.
    weight
        Units in each place (place,): 1 of a unit, of a segment those of the population, of counts their exposure.
    control
        Label of the control.
    outcome
        Name of the outcome.
    """

    means: xr.DataArray
    dim: str
    weight: NDArray[np.float64]
    control: str
    outcome: str

    @classmethod
    def of(cls, posterior: xr.DataTree, population: Any = None, *, weight: str = N) -> "Places":
        """Places of a posterior: its segments, its units, or one place for everybody.

        Parameters
        ----------
        posterior
            A tree in the schema of `bayesuplift.posterior.schema`.
        population, weight
            As in `population_weights`. Everybody's weight is the number of observed units where the posterior holds it, and
            else 1: sums are then per unit.

        Raises
        ------
        PosteriorError, ArgumentError, DataError, ColumnNotFoundError
            The tree does not follow the schema, or its segments cannot be weighed: see `population_weights`.
        """
        validate(posterior)
        # not schema.mean_outcome: float64 of single precision would be a copy twice as large as the posterior
        means = posterior[POSTERIOR].to_dataset()[MEAN_OUTCOME].transpose(CHAIN, DRAW, ..., ARM)
        control, outcome = str(posterior.attrs["control"]), str(posterior.attrs.get("outcome", "the outcome"))
        dim = place_of(means)
        if dim is not None:
            weights = population_weights(posterior, means, population, weight=weight).to_numpy()
            return cls(means, dim, weights, control, outcome)
        observed = observed_cells(posterior)
        everybody = np.array([1.0 if observed is None else float(observed[N].sum())])
        one = means.expand_dims({SEGMENT: [EVERYBODY]}, axis=2)
        return cls(one, SEGMENT, everybody, control, outcome)

    def __len__(self) -> int:
        """Number of places."""
        return int(self.means.sizes[self.dim])

    @property
    def arms(self) -> tuple[str, ...]:
        """Labels of the arms, the control included, in the posterior's order."""
        return tuple(str(label) for label in self.means[ARM].to_numpy())

    @property
    def treatments(self) -> tuple[str, ...]:
        """Labels of the arms but the control."""
        return tuple(arm for arm in self.arms if arm != self.control)

    @property
    def labels(self) -> NDArray[np.generic]:
        """Labels of the places (place,); their positions where they have none."""
        return np.asarray(self.means[self.dim].to_numpy())

    @property
    def factors(self) -> tuple[str, ...]:
        """Names of the factors that places are told apart by."""
        return factors_of(self.means)

    @property
    def draws(self) -> tuple[int, int]:
        """Number of chains, and of draws of each."""
        return int(self.means.sizes[CHAIN]), int(self.means.sizes[DRAW])

    @property
    def coords(self) -> dict[str, Any]:
        """Coordinates along the places: labels and factors."""
        return {str(name): one for name, one in self.means.coords.items() if one.dims == (self.dim,)}

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Effects (place, treatment, chain x draw) of some places at a time, and where they stand; draws chain by chain.

        The next block is written over the last.
        """
        for where, control, effect in self.mean_blocks():
            np.subtract(effect, control[:, None], out=effect)
            yield where, effect

    def mean_blocks(self) -> Iterator[tuple[slice, NDArray[np.float64], NDArray[np.float64]]]:
        """Mean outcomes of the control (place, chain x draw) and of the treatments (place, treatment, chain x draw).

        The next block is written over the last.
        """
        labels = self.arms
        control = labels.index(self.control)
        others = np.array([place for place in range(len(labels)) if place != control])
        draws = self.draws[0] * self.draws[1]
        at_once = min(max(_BLOCK // (draws * len(labels)), 1), len(self))
        of_control, of_others = np.empty((at_once, draws)), np.empty((at_once, len(others), draws))
        for start in range(0, len(self), at_once):
            where = slice(start, min(start + at_once, len(self)))
            part = self.means.isel({self.dim: where}).to_numpy().reshape(draws, -1, len(labels))
            # of a file that is read block by block nobody has looked before
            if not np.isfinite(part.sum(dtype=np.float64)) and not np.isfinite(part).all():
                raise PosteriorError(
                    f"mean_outcome holds missing or infinite draws among {self.dim}s {where.start:,} on"
                )
            held = of_control[: part.shape[1]], of_others[: part.shape[1]]
            turn(part, control, others, *held)
            yield where, held[0], held[1]

    def by_draw(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values (..., chain x draw) as (..., chain, draw)."""
        return values.reshape(*values.shape[:-1], *self.draws)


def unit_costs(places: Places, economics: Economics) -> NDArray[np.float64]:
    """Cost of a unit under each treatment less the control's, (treatment,)."""
    every = economics.costs(places.arms, places.control).to_numpy()
    control = places.arms.index(places.control)
    return np.delete(every, control) - every[control]
