"""Mean outcomes of units under the arm that they were in, read a block of draws at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.data.experiment import Experiment
from bayesuplift.dims import ARM, CHAIN, DRAW, MEAN_OUTCOME, POSTERIOR, UNIT
from bayesuplift.errors import PosteriorError, listed
from bayesuplift.posterior.schema import arms, validate
from bayesuplift.posterior.unit_match import check_experiment, check_number

Array = NDArray[np.float64]

_DRAWS: Final = 200
_BLOCK: Final = 2**20  # numbers at a time, 8 MB of float64; some five arrays of them live at once
_NOISE: Final = "sd"


@dataclass(frozen=True, eq=False)
class OwnDraws:
    """Draws mu_{i, arm of i} of a posterior over units, at most 200 of them spread over all, never held all at once.

    Parameters
    ----------
    means
        Mean outcomes (chain, draw, unit, arm), arms in the order of the experiment, as they are stored.
    sd
        Standard deviation (chain, draw, arm) of the noise; None where the posterior has none.
    experiment
        The units, in the same order.
    """

    means: xr.DataArray
    sd: Array | None
    experiment: Experiment

    @classmethod
    def of(cls, posterior: xr.DataTree, experiment: Experiment) -> Self:
        """Match a posterior with its units.

        Raises
        ------
        PosteriorError
            The tree does not follow the schema, its arms are not those of the experiment, or its noise is not
            (chain, draw, [arm]) and above 0.
        ArgumentError
            The units are not the posterior's, or stand in another order.
        """
        validate(posterior)
        group = posterior[POSTERIOR].to_dataset()
        # not schema.mean_outcome: float64 of single precision would be a copy twice as large as the posterior
        means = group[MEAN_OUTCOME].transpose(CHAIN, DRAW, UNIT, ARM)
        own, theirs = arms(posterior), experiment.design.arms
        if set(own) != set(theirs):
            raise PosteriorError(f"the posterior's arms, {listed(own)}, are not those of the units: {listed(theirs)}")
        check_number(means, len(experiment), "experiment")
        check_experiment(posterior, means, experiment)
        sd = _noise(group[_NOISE], means.isel({UNIT: 0}), theirs) if _NOISE in group else None
        return cls(means if own == theirs else means.sel({ARM: list(theirs)}), sd, experiment)

    @property
    def sample(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Chain and draw (sample,) of those that are read."""
        draws = self.means.sizes[DRAW]
        every = self.means.sizes[CHAIN] * draws
        chain, draw = np.divmod(np.unique(np.linspace(0, every - 1, min(every, _DRAWS)).astype(np.intp)), draws)
        return chain, draw

    @property
    def count(self) -> int:
        """Number of draws that are read."""
        return len(self.sample[0])

    @cached_property
    def mean(self) -> Array:
        """Mean (unit, arm) over all draws: units sorted by the error of a mean of few would regress to it."""
        found = np.zeros((self.means.sizes[UNIT], self.means.sizes[ARM]))
        chains, draws = self.means.sizes[CHAIN], self.means.sizes[DRAW]
        for chain in range(chains):
            for first in range(0, draws, self._at_once):
                part = {CHAIN: chain, DRAW: slice(first, first + self._at_once)}
                found += self.means.isel(part).to_numpy().sum(axis=0, dtype=np.float64)
        return found / (chains * draws)

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """Mean outcomes (unit, sample) under the own arm of each unit, with the places of these draws."""
        arm, units = self.experiment.arm, np.arange(len(self.experiment))
        chain, draw = self.sample
        start = 0
        while start < len(chain):
            stop = min(start + self._at_once, int(np.searchsorted(chain, chain[start], side="right")))
            where = slice(start, stop)
            block = self.means.isel({CHAIN: int(chain[start]), DRAW: draw[where]}).to_numpy()
            yield where, np.ascontiguousarray(block[:, units, arm].T, dtype=np.float64)
            start = stop

    def noise(self, where: slice) -> Array:
        """Standard deviation (arm, sample) of the noise in these draws."""
        assert self.sd is not None
        chain, draw = self.sample
        found: Array = self.sd[chain[where], draw[where]].T
        return found

    @property
    def _at_once(self) -> int:
        """Draws of a block."""
        return max(_BLOCK // (self.means.sizes[UNIT] * self.means.sizes[ARM]), 1)


def _noise(sd: xr.DataArray, of_arms: xr.DataArray, names: tuple[str, ...]) -> Array:
    if not {CHAIN, DRAW} <= set(sd.dims) <= {CHAIN, DRAW, ARM}:
        raise PosteriorError(
            f"{_NOISE} has dimensions {listed(sd.dims)}; expected chain, draw, [arm] to be checked by unit"
        )
    found: Array = (
        sd.astype(np.float64).broadcast_like(of_arms).transpose(CHAIN, DRAW, ARM).sel({ARM: list(names)}).to_numpy()
    )
    if not bool((np.isfinite(found) & (found > 0.0)).all()):
        raise PosteriorError(f"{_NOISE} holds draws that are 0, negative, missing or infinite; noise has a spread")
    return found
