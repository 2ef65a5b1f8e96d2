"""Draws of a causal forest: kept, stored, and evaluated at any rows."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.dims import CHAIN, DRAW
from bayesuplift.errors import PosteriorError
from bayesuplift.inference.forest.binning import Cuts
from bayesuplift.inference.forest.packed import Forest

Array = NDArray[np.float64]

_PARTS: Final = ("prognostic", "effect")
_SCALARS: Final = ("intercept", "average", "scale", "sigma", "acceptance")


@dataclass(frozen=True)
class ForestDraws:
    """Draws of mu(x) = intercept + forest(x) and tau(x) = average + scale forest(x), in the outcome's units.

    The mean outcome under arm a (0 or 1) is mu(x) + (a - centre) tau(x); of a binary outcome mu and tau are those of the
    normal value behind it, and the mean outcome is the normal distribution function of that sum.

    Attributes
    ----------
    intercept, average, scale, sigma, acceptance
        (chain, draw); the last is the share of the trees' proposed moves that were accepted.
    prognostic, effect
        The trees, with leaves in the outcome's units.
    prognostic_cuts, effect_cuts
        Where the covariates may be cut.
    centre
        What the coding subtracts from the arm.
    binary
        Whether the outcome is binary.
    prognostic_at_rows, effect_at_rows
        (chain, draw, n), float32: mu(x) and tau(x) at the rows of the data, or nothing where they were not kept.
    """

    intercept: Array
    average: Array
    scale: Array
    sigma: Array
    acceptance: Array
    prognostic: Forest
    effect: Forest
    prognostic_cuts: Cuts
    effect_cuts: Cuts
    centre: float
    binary: bool = False
    prognostic_at_rows: NDArray[np.float32] | None = None
    effect_at_rows: NDArray[np.float32] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Chains and draws."""
        chains, draws = self.average.shape
        return chains, draws

    @property
    def nbytes(self) -> int:
        """Bytes of the trees of both forests."""
        return self.prognostic.nbytes + self.effect.nbytes

    def prognostic_at(self, columns: Array) -> NDArray[np.float32]:
        """Return mu(x), (chain, draw, row), at covariates (row, p) as they were given for the data."""
        values = self.prognostic.at(self.prognostic_cuts.bins(np.asarray(columns, dtype=np.float64)))
        values += self.intercept[:, :, None].astype(np.float32)
        return values

    def effect_at(self, columns: Array) -> NDArray[np.float32]:
        """Return tau(x), (chain, draw, row), at moderators (row, q) as they were given for the data."""
        values = self.effect.at(self.effect_cuts.bins(np.asarray(columns, dtype=np.float64)))
        values *= self.scale[:, :, None].astype(np.float32)
        values += self.average[:, :, None].astype(np.float32)
        return values

    def to_dataset(self) -> xr.Dataset:
        """Everything but what was kept at the rows, for a netCDF file."""
        variables: dict[str, tuple[tuple[str, ...], NDArray]] = {
            name: ((CHAIN, DRAW), getattr(self, name)) for name in _SCALARS
        }
        for part in _PARTS:
            forest, cuts = getattr(self, part), getattr(self, f"{part}_cuts")
            variables |= {
                f"{part}_places": ((CHAIN, DRAW, f"{part}_tree"), forest.places),
                f"{part}_split": ((f"{part}_place",), forest.split),
                f"{part}_variable": ((f"{part}_decision",), forest.variable),
                f"{part}_leaf": ((f"{part}_leaf_place",), forest.leaf),
                f"{part}_cuts": ((f"{part}_column", f"{part}_cut"), cuts.values),
                f"{part}_cut_number": ((f"{part}_column",), cuts.number),
            }
        return xr.Dataset(variables, attrs={"centre": self.centre, "binary": int(self.binary)})

    @classmethod
    def from_dataset(cls, stored: xr.Dataset) -> "ForestDraws":
        """Return what `to_dataset` wrote.

        Raises
        ------
        PosteriorError
            A variable is missing.
        """
        names = ("places", "split", "variable", "leaf")
        needed = [*_SCALARS, *(f"{part}_{name}" for part in _PARTS for name in (*names, "cuts", "cut_number"))]
        missing = [name for name in needed if name not in stored]
        missing += [name for name in ("centre", "binary") if name not in stored.attrs]
        if missing:
            raise PosteriorError(f"stored forests lack {', '.join(missing)}; store them by to_dataset()")
        found: dict[str, Any] = {name: stored[name].to_numpy() for name in _SCALARS}
        for part in _PARTS:
            found[part] = Forest(*(stored[f"{part}_{name}"].to_numpy() for name in names))
            found[f"{part}_cuts"] = Cuts(*(stored[f"{part}_{name}"].to_numpy() for name in ("cuts", "cut_number")))
        return cls(**found, centre=float(stored.attrs["centre"]), binary=bool(stored.attrs["binary"]))
