"""What each covariate of a unit adds to its effect: Shapley values of the effect as a function of covariates."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.dims import CHAIN, COVARIATE, DRAW, UNIT
from bayesuplift.errors import MissingExtraError
from bayesuplift.estimands.explained_words import figure, heading
from bayesuplift.estimands.summary import summarize

Mixed = Callable[[NDArray[np.bool_], NDArray[np.intp]], tuple[NDArray[np.float64], NDArray[np.intp]]]
"""Effects at a unit some of whose covariates are another's.

Of (row, player), which covariates are the unit's own, and (row,), whose the others are: effects (chain, draw, k) at the k
different ones, and (row,) which of them each row is.
"""

SAMPLING_ERROR: Final = "sampling_error"


@dataclass(frozen=True, eq=False)
class EffectShapley:
    """What each covariate of some units adds to their effects, beside the average effect of the background.

    Parameters
    ----------
    draws
        Shapley values (chain, draw, unit, covariate), outcome units. With `base` they add up to the unit's effect in every
        draw.
    base
        Average effect (chain, draw) over the units of the background that were drawn.
    table
        Over (unit, covariate): `mean`, `mcse`, `sd`, `lower`, `upper`, `prob_positive` and their errors, as of `summarize`,
        which are those of the posterior draws for the orders and units of the background that were drawn, and
        `sampling_error`, what `mean`, `lower` and `upper` may be off because these were drawn: a standard error. A single
        number: `base_sampling_error`, that of `base`.
    values
        The covariates' values (unit, covariate), numbers or text.
    """

    draws: xr.DataArray
    base: xr.DataArray
    table: xr.Dataset
    values: xr.DataArray

    @property
    def effect(self) -> xr.DataArray:
        """Effect of each unit (chain, draw, unit), outcome units: what the values and `base` add up to."""
        return (self.base + self.draws.sum(COVARIATE)).transpose(CHAIN, DRAW, UNIT).assign_attrs(self.base.attrs)

    def to_dataset(self) -> xr.Dataset:
        """The table, with the covariates' values as text in `value`."""
        return self.table.assign(value=self.values.astype(str))

    def explanation(self) -> Any:
        """The posterior means as a `shap.Explanation`, which the plots of shap take; text as its place in the alphabet.

        Raises
        ------
        MissingExtraError
            shap is not installed.
        """
        try:
            import shap  # noqa: PLC0415 -- an extra
        except ImportError as reason:
            raise MissingExtraError(
                f"plots of shap take its own Explanation, and shap is not there: pip install 'bayesuplift[shap]' ({reason})"
            ) from reason
        mean = self.table["mean"].transpose(UNIT, COVARIATE).to_numpy()
        return shap.Explanation(
            values=mean,
            base_values=np.full(len(mean), float(self.base.mean())),
            data=np.column_stack([_numbers(one) for one in self.values.to_numpy().T]),
            display_data=self.values.to_numpy(),
            feature_names=self.table[COVARIATE].to_numpy().tolist(),
        )

    def __str__(self) -> str:
        table, prob = self.table, self.table.attrs["prob"]
        base, effect = summarize(self.base, prob=prob), summarize(self.effect, prob=prob)
        lines = [
            f"Effect of {heading(self.draws, table)}",
            f"average of the background: {_with(base, table[f'base_{SAMPLING_ERROR}'])}",
        ]
        for i, unit in enumerate(table[UNIT].to_numpy().tolist()):
            lines.append(f"unit {unit}: {figure(effect.isel({UNIT: i}))}, away from that average by")
            one, values = table.isel({UNIT: i}), self.values.isel({UNIT: i})
            for j in np.argsort(-np.abs(one["mean"].to_numpy()), kind="stable"):
                part, value = one.isel({COVARIATE: j}), values.isel({COVARIATE: j}).item()
                shown = value if isinstance(value, str) else f"{value:g}"
                lines.append(f"    {part[COVARIATE].item()} = {shown}: {_with(part, part[SAMPLING_ERROR])}")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Orders:
    """Orders in which covariates become the unit's own, each from another unit of the background.

    Parameters
    ----------
    background
        (sample,): which unit of the background.
    place
        (sample, player): place of each player in the order.
    """

    background: NDArray[np.intp]
    place: NDArray[np.intp]

    @classmethod
    def drawn(cls, samples: int, *, background: int, players: int, generator: np.random.Generator) -> "Orders":
        """Draw orders, and a unit of the background for each, independently."""
        in_order = np.broadcast_to(np.arange(players), (samples, players))
        return cls(generator.integers(background, size=samples), generator.permuted(in_order, axis=1))

    def mixed(self) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
        """Which players are the unit's own, (sample * 2p, player), and whose the others are.

        Of a sample they are those that an order passes from none to all, p + 1 of them, and those between that its reverse
        passes: these are what the others leave.
        """
        players = self.place.shape[1]
        forward = self.place[:, None, :] < np.arange(players + 1)[:, None]
        every = np.concatenate([forward, ~forward[:, 1:players]], axis=1)
        return every.reshape(-1, players), np.repeat(self.background, 2 * players)

    def steps(self, player: int) -> tuple[tuple[NDArray[np.intp], float], ...]:
        """Rows of `mixed` (sample,) whose effects, with these weights, add up to what the player changes in a sample."""
        samples, players = self.place.shape
        first, at = 2 * players * np.arange(samples), self.place[:, player]
        # the reverse has the player enter among those that the order lets in later; from all it comes to none, row 0
        reverse = players + at, (players + at + 1) % (2 * players)
        return (first + at + 1, 0.5), (first + at, -0.5), (first + reverse[0], 0.5), (first + reverse[1], -0.5)


def shapley(mixed: Mixed, orders: Orders) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shapley values (chain, draw, player) of one unit, and by sample, posterior means, (sample, player)."""
    effects, which = mixed(*orders.mixed())
    samples, players = orders.place.shape
    weights, mean = np.zeros((effects.shape[-1], players)), effects.mean(axis=(0, 1))
    by_sample = np.zeros((samples, players))
    for player in range(players):
        for rows, weight in orders.steps(player):
            np.add.at(weights[:, player], which[rows], weight / samples)
            by_sample[:, player] += weight * mean[which[rows]]
    return effects @ weights, by_sample


def _with(row: xr.Dataset, sampling_error: xr.DataArray) -> str:
    """A mean and its interval, each with the error of the draws and that of the orders together."""
    both = {name: np.hypot(row[name], sampling_error) for name in ("mcse", "lower_mcse", "upper_mcse")}
    return figure(row.assign(both))


def _numbers(column: NDArray[np.object_]) -> NDArray[np.float64]:
    """A covariate (unit,) for colours and axes: its numbers, or the places of its texts among them in order."""
    if all(isinstance(value, float) for value in column):
        return column.astype(np.float64)
    return np.unique(column.astype(np.str_), return_inverse=True)[1].astype(np.float64)
