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
from bayesuplift.posterior.factors import factors_of, place_of
from bayesuplift.posterior.schema import observed_cells, validate

_BLOCK: Final = 2**22  # mean outcomes at a time, 32 MB of float64; some four arrays of them live at once
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
        """Effects (place, treatment, chain x draw) of some places at a time, and where they stand; draws chain by chain."""
        for where, control, effect in self.mean_blocks():
            np.subtract(effect, control[:, None], out=effect)
            yield where, effect

    def mean_blocks(self) -> Iterator[tuple[slice, NDArray[np.float64], NDArray[np.float64]]]:
        """Mean outcomes of the control (place, chain x draw) and of the treatments (place, treatment, chain x draw)."""
        labels = self.arms
        control = labels.index(self.control)
        others = [place for place in range(len(labels)) if place != control]
        chains, draws = self.draws
        at_once = max(_BLOCK // (chains * draws * len(labels)), 1)
        for start in range(0, len(self), at_once):
            where = slice(start, min(start + at_once, len(self)))
            part = self.means.isel({self.dim: where}).to_numpy()
            if not np.isfinite(part).all():  # of a file that is read block by block nobody has looked before
                raise PosteriorError(
                    f"mean_outcome holds missing or infinite draws among {self.dim}s {where.start:,} on"
                )
            turned = np.moveaxis(part.reshape(chains * draws, -1, len(labels)), 0, -1)  # (place, arm, draw)
            of_control = np.ascontiguousarray(turned[:, control], dtype=np.float64)
            yield where, of_control, np.ascontiguousarray(turned[:, others], dtype=np.float64)

    def by_draw(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values (..., chain x draw) as (..., chain, draw)."""
        return values.reshape(*values.shape[:-1], *self.draws)


def treatment_costs(places: Places, costs: xr.DataArray) -> NDArray[np.float64]:
    """Cost of a unit under each treatment less the control's, (treatment,), from costs by arm."""
    every = costs.sel({ARM: list(places.arms)}).to_numpy()
    control = places.arms.index(places.control)
    return np.delete(every, control) - every[control]
