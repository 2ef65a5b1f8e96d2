"""Draws of a causal forest: kept, stored, and evaluated at any rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import ndtr

from bayesuplift.dims import CHAIN, DRAW, TREATMENT
from bayesuplift.errors import PosteriorError
from bayesuplift.inference.forest.binning import Cuts
from bayesuplift.inference.forest.packed import Forest

Array = NDArray[np.float64]

_SCALARS: Final = ("intercept", "sigma", "prognostic_sd", "acceptance")
_BY_TREATMENT: Final = ("average", "scale", "effect_sd")
_OF_FOREST: Final = ("places", "split", "variable", "leaf")


@dataclass(frozen=True)
class GroupDraws:
    """Draws of one term of groups.

    Attributes
    ----------
    values
        (chain, draw, level, 1 + A): what a level adds to the outcome under control, and to every effect.
    scales
        (chain, draw, 2): standard deviations of these over levels, of the first and of effects.
    """

    values: Array
    scales: Array


@dataclass(frozen=True)
class ForestDraws:
    """Draws of mu(x) = intercept + forest(x) and tau_a(x) = average_a + scale_a forest_a(x), in the outcome's units.

    There is a tau for every treatment, A = arms less one; or one for all arms, A = 1, per unit of dose.

    The mean outcome under arm k is mu(x) + sum_a coding[k, a] tau_a(x), and what groups add to these; of a binary outcome
    they are those of the normal value behind it, and the mean outcome is the normal distribution function of that sum.

    Attributes
    ----------
    intercept, sigma, prognostic_sd, acceptance
        (chain, draw); the last is the share of the trees' proposed moves that were accepted.
    average, scale, effect_sd
        (chain, draw, A); the last, as prognostic_sd, of the forest at a unit under the trees' prior.
    prognostic, effects
        The trees, with leaves in the outcome's units; of effects A forests.
    prognostic_cuts, effect_cuts
        Where the covariates may be cut.
    coding
        (arm, A): what multiplies the effects under each arm.
    binary
        Whether the outcome is binary.
    groups
        By term; not stored with the trees.
    at_rows
        (chain, draw, n, 1 + A), float32: mu and tau, groups included, at the rows of the data; or None where not kept.
    """

    intercept: Array
    average: Array
    scale: Array
    effect_sd: Array
    sigma: Array
    prognostic_sd: Array
    acceptance: Array
    prognostic: Forest
    effects: tuple[Forest, ...]
    prognostic_cuts: Cuts
    effect_cuts: Cuts
    coding: Array
    binary: bool = False
    groups: tuple[GroupDraws, ...] = ()
    at_rows: NDArray[np.float32] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Chains and draws."""
        chains, draws = self.intercept.shape
        return chains, draws

    @property
    def nbytes(self) -> int:
        """Bytes of the trees of all forests."""
        return self.prognostic.nbytes + sum(one.nbytes for one in self.effects)

    def at(
        self, prognostic: Array, moderators: Array, groups: Sequence[NDArray[np.floating]] = ()
    ) -> NDArray[np.float32]:
        """Return mu and tau, (chain, draw, row, 1 + A), at covariates as they were given for the data.

        Parameters
        ----------
        prognostic, moderators
            (row, p) and (row, q): the covariates.
        groups
            By term, (chain, draw, row, 1 + A): what each row's level adds.
        """
        treatments = len(self.effects)
        found = np.empty((*self.shape, len(prognostic), 1 + treatments), dtype=np.float32)
        bins = self.prognostic_cuts.bins(np.asarray(prognostic, dtype=np.float64))
        found[..., 0] = self.prognostic.at(bins) + self.intercept[:, :, None].astype(np.float32)
        bins = self.effect_cuts.bins(np.asarray(moderators, dtype=np.float64))
        for a, forest in enumerate(self.effects):
            found[..., 1 + a] = forest.at(bins) * self.scale[:, :, None, a].astype(np.float32)
            found[..., 1 + a] += self.average[:, :, None, a].astype(np.float32)
        for one in groups:
            found += one
        return found

    def by_arm(self, parts: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the mean outcome (chain, draw, row, arm) from mu and tau (chain, draw, row, 1 + A)."""
        return by_arm(parts, self.coding, binary=self.binary)

    def to_dataset(self) -> xr.Dataset:
        """Everything but groups and what was kept at the rows, for a netCDF file."""
        variables: dict[str, tuple[tuple[str, ...], NDArray]] = {
            **{name: ((CHAIN, DRAW), getattr(self, name)) for name in _SCALARS},
            **{name: ((CHAIN, DRAW, TREATMENT), getattr(self, name)) for name in _BY_TREATMENT},
            "coding": (("coded_arm", TREATMENT), self.coding),
        }
        for part, forest in self._forests().items():
            variables |= {
                f"{part}_places": ((CHAIN, DRAW, f"{part}_tree"), forest.places),
                f"{part}_split": ((f"{part}_place",), forest.split),
                f"{part}_variable": ((f"{part}_decision",), forest.variable),
                f"{part}_leaf": ((f"{part}_leaf_place",), forest.leaf),
            }
        for part, cuts in (("prognostic", self.prognostic_cuts), ("effect", self.effect_cuts)):
            variables |= {
                f"{part}_cuts": ((f"{part}_column", f"{part}_cut"), cuts.values),
                f"{part}_cut_number": ((f"{part}_column",), cuts.number),
            }
        return xr.Dataset(variables, attrs={"binary": int(self.binary)})

    @classmethod
    def from_dataset(cls, stored: xr.Dataset) -> "ForestDraws":
        """Return what `to_dataset` wrote.

        Raises
        ------
        PosteriorError
            A variable is missing.
        """
        treatments = stored.sizes.get(TREATMENT, 0)
        parts = ["prognostic", *(f"effect_{a}" for a in range(treatments))]
        needed = [*_SCALARS, *_BY_TREATMENT, "coding", *(f"{part}_{name}" for part in parts for name in _OF_FOREST)]
        needed += [f"{part}_{name}" for part in ("prognostic", "effect") for name in ("cuts", "cut_number")]
        missing = [name for name in needed if name not in stored]
        missing += [name for name in ("binary",) if name not in stored.attrs]
        if missing:
            raise PosteriorError(f"stored forests lack {', '.join(missing)}; store them by to_dataset()")
        found: dict[str, Any] = {name: stored[name].to_numpy() for name in (*_SCALARS, *_BY_TREATMENT, "coding")}
        forests = [Forest(*(stored[f"{part}_{name}"].to_numpy() for name in _OF_FOREST)) for part in parts]
        for part in ("prognostic", "effect"):
            found[f"{part}_cuts"] = Cuts(*(stored[f"{part}_{name}"].to_numpy() for name in ("cuts", "cut_number")))
        return cls(**found, prognostic=forests[0], effects=tuple(forests[1:]), binary=bool(stored.attrs["binary"]))

    def _forests(self) -> dict[str, Forest]:
        return {"prognostic": self.prognostic, **{f"effect_{a}": one for a, one in enumerate(self.effects)}}


def by_arm(parts: NDArray[np.float32], coding: Array, *, binary: bool) -> NDArray[np.float32]:
    """Return the mean outcome (..., arm) from mu and tau (..., 1 + A) and what multiplies tau under each arm, (arm, A)."""
    found = np.empty((*parts.shape[:-1], len(coding)), dtype=np.float32)
    for arm, own in enumerate(coding):
        one = found[..., arm]
        one[:] = parts[..., 0]
        for a in np.flatnonzero(own):
            one += np.float32(own[a]) * parts[..., 1 + a]
    return ndtr(found, out=found) if binary else found
