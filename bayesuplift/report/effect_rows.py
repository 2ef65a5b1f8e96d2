"""Effects of a pooled posterior as rows of plain values: mean, intervals, and the probability that they pay."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.decisions import wording
from bayesuplift.decisions.choice import Standards
from bayesuplift.dims import ARM, CHAIN, DRAW, EXPOSURE, SEGMENT, TOTAL, Kind, N
from bayesuplift.estimands.summary import equal_tails, summarize
from bayesuplift.estimands.value import Economics
from bayesuplift.posterior.diagnostics import effective_draws, event_error, quantile_error
from bayesuplift.posterior.schema import arms, observed_cells
from bayesuplift.report.plain import plain
from bayesuplift.report.shown import as_text, with_interval

HALF: Final = 0.5  # mass of the inner interval
PER_UNITS: Final = 1_000  # units that money is told for: a unit alone often gains less than a cent
_ENDS: Final = ("lower", "upper")


@dataclass(frozen=True)
class Asked:
    """What is asked of every effect: whether it pays, and with which interval it is shown.

    Parameters
    ----------
    economics
        What the outcome is worth and what arms cost; None: an effect pays where it is on the better side of 0.
    higher_is_better
        Whether a higher outcome is the better one; economics, where there are any, say so themselves.
    prob
        Mass of the outer credible interval.
    kind
        Kind of outcome, for the writing of numbers.
    """

    economics: Economics | None
    higher_is_better: bool
    prob: float
    kind: Kind

    @classmethod
    def of(cls, posterior: xr.DataTree, standards: Standards, economics: Economics | None) -> Self:
        """What a decision by these standards asks, with the defaults of what they leave out."""
        kind: Kind = posterior.attrs.get("kind", "continuous")
        return cls(economics, standards.get("higher_is_better", True), standards.get("prob", 0.95), kind)

    @property
    def question(self) -> str:
        """The probability that is told of every effect."""
        above = self.higher_is_better if self.economics is None else self.economics.value_per_outcome > 0
        return f"P(effect {'>' if above else '<'} {'0' if self.economics is None else 'breakeven'})"

    def breakeven(self, posterior: xr.DataTree) -> dict[str, float]:
        """Effect at which each arm neither gains nor loses, outcome units; 0 without economics."""
        if self.economics is None:
            return {arm: 0.0 for arm in arms(posterior) if arm != posterior.attrs["control"]}
        effect = self.economics.breakeven(posterior)
        return {str(arm): float(effect.sel({ARM: arm})) for arm in effect[ARM].to_numpy()}

    def table(self, effect: xr.DataArray) -> xr.Dataset:
        """Summary of an effect (chain, draw, ..., arm): `difference`, `net_gain` and `prob_gain` with their errors.

        Returns
        -------
        xarray.Dataset
            Over the effect's other dimensions: `difference` (outcome units) with `_mcse`, `_lower`, `_upper` and, of the
            inner half, `_half_lower` and `_half_upper`, each with `_mcse`; with economics `net_gain` (money per unit) with
            the same outer interval; and `prob_gain`, P(net gain > 0), with `_mcse`.
        """
        found = summarize(effect, prob=self.prob, higher_is_better=self.higher_is_better)
        table = xr.Dataset({"difference": found["mean"], "difference_mcse": found["mcse"]})
        for end in _ENDS:
            table[f"difference_{end}"], table[f"difference_{end}_mcse"] = found[end], found[f"{end}_mcse"]
        for end, q in zip(_ENDS, equal_tails(HALF), strict=True):
            table[f"difference_half_{end}"] = effect.quantile(q, (CHAIN, DRAW)).drop_vars("quantile")
            table[f"difference_half_{end}_mcse"] = quantile_error(effect, q)
        if self.economics is None:
            return table.assign(prob_gain=found["prob_better"], prob_gain_mcse=found["prob_better_mcse"])
        gain = self.economics.net_gain(effect)
        value = self.economics.value_per_outcome
        table["net_gain"] = gain.mean((CHAIN, DRAW))
        table["net_gain_mcse"] = abs(value) * found["mcse"]  # linear in the effect
        for end, q in zip(_ENDS, equal_tails(self.prob), strict=True):
            table[f"net_gain_{end}"] = gain.quantile(q, (CHAIN, DRAW)).drop_vars("quantile")
            # linear, too; a negative value turns the order of the draws round, and with it what the error is estimated from
            same = value * found[f"{end}_mcse"] if value > 0 else quantile_error(gain, q)
            table[f"net_gain_{end}_mcse"] = same
        event = (gain > 0).astype(np.float64)
        table["prob_gain"] = event.mean((CHAIN, DRAW))
        table["prob_gain_mcse"] = event_error(event, 1.0 / effective_draws(effect))
        return table

    def rows(self, table: xr.Dataset, raw: Mapping[str, float | None] | None = None) -> list[dict[str, Any]]:
        """One row an arm of a table over (arm,), beside the raw difference where it is known, as numbers and as text."""
        found = []
        for arm in [str(label) for label in table[ARM].to_numpy()]:
            values = table.sel({ARM: arm}).data_vars.items()
            row = {"arm": arm, **{str(name): plain(value) for name, value in values if value.ndim == 0}}
            if raw is not None and raw.get(arm) is not None:
                row["raw_difference"] = raw[arm]
            found.append(row | {"shown": shown_effect(row, self.kind)})
        return found


def shown_effect(row: Mapping[str, Any], kind: Kind) -> dict[str, str]:
    """A row of an effect as its reader sees it, money for a thousand units; a dash where there is nothing."""
    amount, money = partial(wording.amount, kind=kind), partial(wording.amount, kind="revenue")
    gain = {name: PER_UNITS * value for name, value in row.items() if name.startswith("net_gain")}
    return {
        "raw_difference": as_text(row, "raw_difference", amount),
        "effect": as_text(row, "difference", amount),
        "difference": with_interval(row, "difference", amount),
        "net_gain": with_interval(gain, "net_gain", money),
        "prob_gain": as_text(row, "prob_gain", wording.probability),
    }


@dataclass(frozen=True, eq=False)
class Observed:
    """Raw figures of segments: units and, where they are known, differences to the control.

    Parameters
    ----------
    n
        Units (segment, arm).
    total, per
        Total of the outcome, and what it is divided by (units; exposure of counts), (segment, arm); None where the
        posterior does not hold them.
    labels, control
        The arms, and the control among them.
    """

    n: NDArray[np.float64]
    total: NDArray[np.float64] | None
    per: NDArray[np.float64]
    labels: tuple[str, ...]
    control: str

    @classmethod
    def of(cls, posterior: xr.DataTree, segments: Iterable[str]) -> "Observed":
        """Figures of a posterior whose segments are weighed by `observed_data`, in the order of the segments given."""
        held = observed_cells(posterior)
        assert held is not None, "segments without units have no average, and no decision is made on them"
        labels = arms(posterior)

        def values(name: str) -> NDArray[np.float64]:
            part = held[name].sel({SEGMENT: list(segments), ARM: list(labels)})
            return part.transpose(SEGMENT, ARM).to_numpy().astype(np.float64)

        total = values(TOTAL) if TOTAL in held else None
        return cls(
            values(N), total, values(EXPOSURE if EXPOSURE in held else N), labels, str(posterior.attrs["control"])
        )

    def share(self, members: NDArray[np.bool_]) -> tuple[int, float]:
        """Units in some segments, and their share of all."""
        units = float(self.n[members].sum())
        return round(units), units / float(self.n.sum())

    def raw(self, members: NDArray[np.bool_]) -> dict[str, float | None]:
        """Raw difference of each arm to the control over some segments together; None where nobody is in one of the two."""
        if self.total is None:
            return {}
        per, total = self.per[members].sum(axis=0), self.total[members].sum(axis=0)
        means = dict(zip(self.labels, np.divide(total, per, out=np.full(len(per), np.nan), where=per > 0), strict=True))
        differences = {arm: float(mean - means[self.control]) for arm, mean in means.items() if arm != self.control}
        return {arm: value if np.isfinite(value) else None for arm, value in differences.items()}
