"""The effect of one treatment on every unit, read from a posterior in blocks of draws."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.dims import ARM, CHAIN, DRAW, MEAN_OUTCOME, POSTERIOR, UNIT
from bayesuplift.errors import ArgumentError, ArmNotFoundError, did_you_mean, listed
from bayesuplift.estimands.scales import contrasted
from bayesuplift.posterior.factors import place_of
from bayesuplift.posterior.schema import arms, validate

_BLOCK: Final = 2**22  # numbers at a time, 32 MB of float64; some five arrays of them live at once
_TWENTY: Final = 20
_ROUNDINGS: Final = 4.0  # a stored mean outcome is a sum of a few terms, each of which was rounded

Where = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class UnitEffects:
    """Effects tau_i = mu_{i,arm} - mu_{i,control} (chain, draw, unit) of a posterior over units, never held all at once.

    Parameters
    ----------
    posterior
        The tree.
    means
        Its mean outcomes (chain, draw, unit, arm), as they are stored.
    arm
        Label of the treatment.
    """

    posterior: xr.DataTree
    means: xr.DataArray
    arm: str

    @classmethod
    def of(cls, posterior: xr.DataTree, arm: str | None) -> "UnitEffects":
        """Effects of an arm, which may be left out where there is one treatment.

        Raises
        ------
        PosteriorError
            The tree does not follow the schema.
        ArgumentError
            The posterior is not over units, no treatment is named among several, or the control is named.
        ArmNotFoundError
            There is no such arm.
        """
        validate(posterior)
        # not schema.mean_outcome: float64 of single precision would be a copy twice as large as the posterior
        means = posterior[POSTERIOR].to_dataset()[MEAN_OUTCOME].transpose(CHAIN, DRAW, ..., ARM)
        place = place_of(means)
        if place != UNIT:
            found = "over segments" if place else "by arm alone"
            other = "gate(posterior, by=…) tells them apart by factor" if place else "it has one effect an arm"
            raise ArgumentError(
                f"the posterior is {found}, and this explains effects by unit; {other}. Models of units, such as "
                f"interaction_horseshoe and bayesian_causal_forest, have effects by unit"
            )
        return cls(posterior, means, _treatment(posterior, arm))

    def __len__(self) -> int:
        """Number of units."""
        return int(self.means.sizes[UNIT])

    def least(self, asked: int | None) -> int:
        """Units that a group needs: as many as are asked for, else a twentieth of all."""
        return max(-(-len(self) // _TWENTY), 1) if asked is None else int(asked)

    @property
    def control(self) -> str:
        """Label of the control."""
        return str(self.posterior.attrs["control"])

    @property
    def attributes(self) -> dict[str, Any]:
        """What an effect carries: scale, outcome, kind, control, arms, units and pooled, as of `cate`."""
        one = self.means.isel({CHAIN: [0], DRAW: [0], UNIT: [0]}).astype(np.float64)
        return dict(contrasted(self.posterior, one, "difference").attrs)

    @property
    def draws(self) -> tuple[int, int]:
        """Number of chains, and of draws of each."""
        return int(self.means.sizes[CHAIN]), int(self.means.sizes[DRAW])

    def blocks(self) -> Iterator[tuple[Where, NDArray[np.float64]]]:
        """Effects (chain, draw, unit) of some draws at a time, with the places of these draws."""
        labels = arms(self.posterior)
        treated, control = (self.means.isel({ARM: labels.index(name)}) for name in (self.arm, self.control))
        chains, draws = self.draws
        at_once = max(_BLOCK // len(self), 1)
        together = max(at_once // draws, 1)  # chains may be many and short
        for chain in range(0, chains, together):
            for draw in range(0, draws, at_once):
                where = slice(chain, chain + together), slice(draw, draw + at_once)
                part = {CHAIN: where[0], DRAW: where[1]}
                effect = treated.isel(part).to_numpy().astype(np.float64)
                effect -= control.isel(part).to_numpy()
                yield where, effect

    @cached_property
    def moments(self) -> "Moments":
        """Mean over the draws, and average and spread over the units, in one pass."""
        mean, largest = np.zeros(len(self)), 0.0
        average, total = np.empty(self.draws), np.empty(self.draws)
        for where, effect in self.blocks():
            mean += effect.sum(axis=(0, 1))
            average[where] = effect.mean(axis=2)
            away = np.subtract(effect, average[where][..., None], out=effect)
            total[where] = np.einsum("cdu,cdu->cd", away, away)
        for name in (self.arm, self.control):
            of_arm = self.means.sel({ARM: name})
            largest = max(largest, float(of_arm.max()), -float(of_arm.min()))
        stored = self.means.dtype if self.means.dtype.kind == "f" else np.dtype(np.float64)
        rounding = _ROUNDINGS * float(np.finfo(stored).eps) * largest
        return Moments(mean / average.size, average, total, len(self) * rounding**2)

    def projected(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums sum_i tau_i c_ik of every draw, (chain, draw, k), for columns c (unit, k)."""
        found = np.empty((*self.draws, columns.shape[1]))
        for where, effect in self.blocks():
            found[where] = effect @ columns
        return found

    def labelled(
        self,
        values: NDArray[np.float64],
        dim: str | None = None,
        coords: dict[str, Any] | None = None,
        **attributes: Any,
    ) -> xr.DataArray:
        """Values (chain, draw, [dim]) with the posterior's draws, the arm, and the attributes of an effect."""
        index = {name: self.means[name] for name in (CHAIN, DRAW) if name in self.means.coords}
        return xr.DataArray(
            values,
            dims=(CHAIN, DRAW) if dim is None else (CHAIN, DRAW, dim),
            coords={**index, ARM: self.arm, **(coords or {})},
            attrs=self.attributes | attributes,
        )


@dataclass(frozen=True, eq=False)
class Moments:
    """What one pass over the effects leaves.

    Parameters
    ----------
    mean
        Posterior mean effect (unit,).
    average
        Average effect over the units (chain, draw).
    total
        Sum over the units of (tau_i - average)^2 (chain, draw).
    negligible
        The sum of squares that rounding of the stored mean outcomes alone may leave.
    """

    mean: NDArray[np.float64]
    average: NDArray[np.float64]
    total: NDArray[np.float64]
    negligible: float

    @property
    def alike(self) -> NDArray[np.bool_]:
        """Draws (chain, draw) in which all units have the same effect, up to rounding."""
        return self.total <= self.negligible


def explainable(posterior: xr.DataTree, arm: str | None) -> UnitEffects:
    """Effects of an arm that differ between units in at least one draw.

    Raises
    ------
    PosteriorError, ArgumentError, ArmNotFoundError
        As `UnitEffects.of`; or the effects are all equal.
    """
    effects = UnitEffects.of(posterior, arm)
    if bool(effects.moments.alike.all()):
        raise ArgumentError(
            f"the effect of '{effects.arm}' is the same for every unit in every draw, up to rounding: there is no "
            "difference to explain, and the R² of a summary is not defined. Its size is ate(posterior)"
        )
    return effects


def _treatment(posterior: xr.DataTree, arm: str | None) -> str:
    """The label of the treatment that is asked for."""
    control, every = str(posterior.attrs["control"]), arms(posterior)
    treatments = [label for label in every if label != control]
    if arm is None:
        if len(treatments) > 1:
            raise ArgumentError(
                f"the posterior has the treatments {listed(treatments)}; name the one to explain, such as "
                f"arm='{treatments[0]}'"
            )
        return treatments[0]
    if arm not in every:
        raise ArmNotFoundError(f"no arm named '{arm}'. Arms: {listed(every)}.{did_you_mean(arm, every)}")
    if arm == control:
        raise ArgumentError(f"'{arm}' is the control; effects are of {listed(treatments)} against it")
    return arm
