"""A policy: which arm each place gets, and what it was chosen by."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.data.labels import label
from bayesuplift.decisions.allocation.allocate import Prices
from bayesuplift.decisions.targeting.rules import Rule
from bayesuplift.dims import ARM, N
from bayesuplift.errors import ArgumentError, ArmNotFoundError, did_you_mean, listed
from bayesuplift.estimands.places import Places
from bayesuplift.estimands.value import Economics

_WHOLE: Final = 1e-9  # shares nearer to 1 than rounding of a sum can tell


@dataclass(frozen=True, eq=False)
class Policy:
    """Arms of segments or units.

    Parameters
    ----------
    share
        Share of each place's units that gets each arm, (segment | unit, arm), the control included: rows sum to 1. A unit
        has one arm; of a segment a part may be treated, drawn at random, where a limit cuts through it. Coordinate `n`,
        the units of each place.
    control
        Label of the control.
    outcome
        Name of the outcome whose value counts.
    rule
        What chose it; None of a policy that was given.
    economics
        What it was chosen for; None of a policy that was given.
    score
        The rule's score (segment | unit, arm), money per unit, 0 of the control, minus infinity where a treatment was ruled
        out; None of a policy that was given.
    prices
        What one more of each limit would add to the total score, money; None of a policy that was given.
    """

    share: xr.DataArray
    control: str
    outcome: str
    rule: Rule | None = None
    economics: Economics | None = None
    score: xr.DataArray | None = None
    prices: Prices | None = None

    @property
    def dim(self) -> str:
        """Name of the places' dimension: "segment" or "unit"."""
        return str(self.share.dims[0])

    @property
    def arm(self) -> xr.DataArray:
        """Label of the arm that most of each place's units get, (segment | unit,)."""
        labels = self.share[ARM].to_numpy().astype(np.str_)
        found = self.share.isel({ARM: 0}, drop=True)
        return found.copy(data=labels[self.share.to_numpy().argmax(axis=1)]).rename("arm")

    @property
    def treated(self) -> NDArray[np.float64]:
        """Shares of the places that get each treatment, (segment | unit, treatment): those of `share` but the control's."""
        return np.asarray(self.share.drop_sel({ARM: self.control}).to_numpy())

    @property
    def is_whole(self) -> bool:
        """Whether every place gets one arm."""
        return bool((self.share.max(ARM) >= 1.0 - _WHOLE).all())

    @property
    def units(self) -> xr.DataArray:
        """Number of units that get each arm, (arm,)."""
        weight = self.share[N].to_numpy()
        return self.share.isel({self.dim: 0}, drop=True).copy(data=weight @ self.share.to_numpy()).rename("units")

    @property
    def number_treated(self) -> float:
        """Number of units that get another arm than the control."""
        return float(self.units.sum() - self.units.sel({ARM: self.control}))

    def cost(self, economics: Economics) -> float:
        """What its treatments cost more than the control, money."""
        costs = economics.costs([str(arm) for arm in self.share[ARM].to_numpy()], self.control)
        return float((self.units * (costs - costs.sel({ARM: self.control}, drop=True))).sum())

    def __str__(self) -> str:
        total = float(self.share[N].sum())
        count = f"{self.number_treated:,.6g} of {total:,.6g} units are treated"
        split = ", ".join(
            f"{float(n):,.6g} get {arm}" for arm, n in zip(self.units[ARM].to_numpy(), self.units, strict=True) if n > 0
        )
        return f"{count}: {split}. {self.why}".rstrip()

    @property
    def why(self) -> str:
        """By what rule, and which limits bind at what price, in words."""
        if self.rule is None:
            return "Given, not chosen."
        return f"Chosen by {self.rule}.{self._priced()}"

    def _priced(self) -> str:
        """What the limits cost, in words."""
        if self.prices is None:
            return ""
        treatments = [str(arm) for arm in self.share[ARM].to_numpy() if arm != self.control]
        every = {
            "unit of money": self.prices.budget,
            "unit treated": self.prices.cap,
            **{f"unit with {arm}": float(price) for arm, price in zip(treatments, self.prices.caps, strict=True)},
        }
        told = [f"one more {what} would add {price:.3g}" for what, price in every.items() if price != 0]
        return f" At the margin {', '.join(told)}." if told else ""


def assign(posterior: xr.DataTree, arms: Any, *, population: Any = None, weight: str = N) -> Policy:
    """A policy that is given: one arm for all, or one for each place, to be valued beside those that a rule chooses.

    Parameters
    ----------
    posterior
        Whose segments, or units.
    arms
        A label, such as "everybody gets this" and, with the control's, "nobody is treated"; or labels (segment | unit,) in
        the posterior's order, such as current practice.
    population, weight
        As in `target`.

    Raises
    ------
    ArmNotFoundError
        A label is none of the arms.
    ArgumentError
        There are not as many labels as places.
    PosteriorError, DataError, ColumnNotFoundError
        As `target`.
    """
    places = Places.of(posterior, population, weight=weight)
    if isinstance(arms, str):
        given = np.full(len(places), arms)
    else:
        if not isinstance(arms, Iterable):
            raise ArgumentError(f"arms is {type(arms).__name__}; give a label, or one for every {places.dim}")
        given = np.array([label(one) for one in arms], dtype=np.str_)
    if len(given) != len(places):
        raise ArgumentError(
            f"{len(given):,} arms for {len(places):,} {places.dim}s; give one for each, in the posterior's order"
        )
    strangers = [one for one in dict.fromkeys(given.tolist()) if one not in places.arms]
    if strangers:
        raise ArmNotFoundError(
            f"no arm named '{strangers[0]}'. Arms: {listed(places.arms)}.{did_you_mean(strangers[0], places.arms)}"
        )
    shares = np.stack([given == arm for arm in places.arms], axis=1).astype(np.float64)
    return Policy(labelled_shares(places, shares), places.control, places.outcome)


def labelled_shares(places: Places, shares: NDArray[np.float64]) -> xr.DataArray:
    """Shares (place, arm) with the labels, factors and units of the places."""
    coords = {**places.coords, ARM: list(places.arms), N: (places.dim, places.weight)}
    return xr.DataArray(shares, dims=(places.dim, ARM), coords=coords, name="share")


def with_control(places: Places, treated: NDArray[np.float64], control: Any) -> NDArray[np.float64]:
    """Values (place, treatment) with a column of the control's where the control stands among the arms."""
    return np.insert(treated, places.arms.index(places.control), control, axis=1)
