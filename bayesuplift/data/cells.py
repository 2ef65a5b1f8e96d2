"""Data by cell: everything that a model needs from the units of a (segment, arm), and nothing else."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, cast

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.data.cell_checks import FREQUENCY_COLUMNS, check_values, checked_frequencies, read_only
from bayesuplift.data.design import Design
from bayesuplift.data.fingerprints import correlation_digits, mean_digits, ten_digits, ten_digits_of
from bayesuplift.data.grid import check_covariate, check_two_arms, segments_of, statistics_dataset, variables_of
from bayesuplift.data.moments import merge_groups
from bayesuplift.dims import ARM, KINDS, LOG_ODDS_TOTAL, SEGMENT, TOTAL, Assignment, Kind, N, factor_name
from bayesuplift.errors import ArgumentError, DataError, FactorNotFoundError, did_you_mean, listed

QUANTILES: Final = (0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


class _CopiedTable:
    """A field that gives a copy of its table each time, because a pandas table cannot be made read-only."""

    def __get__(self, instance: object, owner: type) -> pd.DataFrame | None:
        table: pd.DataFrame | None = None if instance is None else vars(instance)["_frequencies"]
        return None if table is None else table.copy()

    def __set__(self, instance: object, value: pd.DataFrame | None) -> None:
        vars(instance)["_frequencies"] = value


@dataclass(frozen=True, eq=False)
class Cells:
    """Sufficient statistics of an outcome by arm, or by segment and arm.

    Parameters
    ----------
    design
        The arms, and how units came to be in them.
    outcome
        Name of the outcome.
    kind
        "binary", "count", "continuous" or "revenue".
    statistics
        Dataset over (segment, arm), or (arm,) where there are no segments. Coordinates: `arm` in the design's order;
        `segment`, the label such as "channel=Phone, newbie=0"; and along it one coordinate for each factor. Variables
        by kind: `n` units; `total` of the outcome (outcome units); `sum_squared_deviations` about the cell's own mean
        (outcome units squared); for counts `exposure`, the sum of the units' exposures (n where none was given);
        for revenue `positives` (units with an amount above 0), and of the natural logarithms of their amounts
        `total_log` and `sum_squared_log_deviations` about their mean, and `maximum` amount. A cell with nobody in it
        stays, with n = 0 and zeros throughout (its maximum, too). With a covariate x, a number known of every unit
        from before the experiment, also `covariate_total`, `covariate_sum_squared_deviations` (units of x, squared)
        and `sum_codeviations`, the sum of (y - ȳ)(x - x̄) about the cell's means. Where the propensity of every unit is
        known, `propensity_log_odds_total`, the sum of log(p / (1 - p)), p = P(treatment | covariates); of two arms only.
    frequencies
        For counts: one row for each distinct (segment position, arm position, value, exposure) with its number of
        units `n`; without segments the position is 0. A copy each time. None for other kinds.
    quantiles
        For revenue: quantiles of the positive amounts (probability, arm), in outcome units, NaN for an arm without a
        positive amount. None for other kinds, and where only cells were ever known, or cells were merged.
    covariate
        Name of the covariate, for the kinds "continuous" and "revenue"; None where there is none.

    Raises
    ------
    DataError
        The statistics contradict the design or each other, or hold not a single unit.
    """

    design: Design
    outcome: str
    kind: Kind
    statistics: xr.Dataset
    frequencies: _CopiedTable = _CopiedTable()
    quantiles: xr.DataArray | None = None
    covariate: str | None = None

    def __post_init__(self) -> None:
        """Validate once, and make every array read-only."""
        if self.kind not in KINDS:
            raise ArgumentError(
                f"no kind of outcome named '{self.kind}'. Kinds: {listed(KINDS)}.{did_you_mean(self.kind, KINDS)}"
            )
        check_covariate(self.kind, self.covariate)
        names = self._names
        absent = [name for name in names if name not in self.statistics.data_vars]
        if absent:
            raise DataError(f"cells of kind '{self.kind}' lack {listed(absent)}; they need {listed(names)}.")
        statistics = self.statistics[list(names)]
        dimensions = (SEGMENT, ARM) if SEGMENT in statistics.dims else (ARM,)
        if set(statistics.dims) != set(dimensions):
            raise DataError(f"cells have the dimensions {listed(statistics.dims)}; expected (segment, arm) or (arm,).")
        whole = (N, "positives", *((TOTAL,) if self.kind == "binary" else ()))
        statistics = statistics.transpose(*dimensions).map(
            lambda part: read_only(part, np.int64 if part.name in whole else np.float64)
        )
        if tuple(map(str, statistics[ARM].to_numpy())) != self.design.arms:
            raise DataError(
                f"cells have the arms {listed(statistics[ARM].to_numpy())}; the design has {listed(self.design.arms)}."
            )
        check_values(statistics, self.kind)
        if self.has_propensity:
            check_two_arms(self.design)
        object.__setattr__(self, "statistics", statistics)
        if self.kind == "count":
            object.__setattr__(self, "frequencies", checked_frequencies(self.frequencies, statistics))
        if self.quantiles is not None:
            values = np.array(self.quantiles.to_numpy(), dtype=np.float64)
            values.flags.writeable = False
            object.__setattr__(self, "quantiles", self.quantiles.copy(data=values))

    def __eq__(self, other: object) -> bool:
        """Whether both say the same, to the digits of the fingerprint."""
        return self.fingerprint == other.fingerprint if isinstance(other, Cells) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle through the constructor: a copy is validated and read-only, too."""
        return type(self), tuple(getattr(self, part.name) for part in fields(self))

    @property
    def factors(self) -> tuple[str, ...]:
        """Names of the factors that make up the segments, in order; empty where there are no segments."""
        if SEGMENT not in self.statistics.dims:
            return ()
        return tuple(str(name) for name in self.statistics.coords if name not in (SEGMENT, ARM))

    @property
    def has_propensity(self) -> bool:
        """Whether the cells hold the propensity of their units, as the sum of its log odds."""
        return LOG_ODDS_TOTAL in self.statistics

    @property
    def n(self) -> NDArray[np.int64]:
        """Number of units ([segment,] arm), read-only."""
        return cast("NDArray[np.int64]", self._values(N))

    @property
    def total(self) -> NDArray[np.float64]:
        """Sum of the outcome ([segment,] arm), in its units; whole numbers for a binary outcome; read-only."""
        return self._values(TOTAL)

    @property
    def sum_squared_deviations(self) -> NDArray[np.float64]:
        """Sum of squared deviations from the cell's mean ([segment,] arm); of a binary outcome y(n - y)/n."""
        if self.kind != "binary":
            return self._values("sum_squared_deviations")
        derived = self.total * (self.n - self.total) / np.maximum(self.n, 1)
        derived.flags.writeable = False
        return derived

    @property
    def exposure(self) -> NDArray[np.float64]:
        """Sum of the units' exposures ([segment,] arm); kind "count" only."""
        return self._values("exposure")

    @property
    def positives(self) -> NDArray[np.int64]:
        """Number of units with an amount above 0 ([segment,] arm); kind "revenue" only."""
        return cast("NDArray[np.int64]", self._values("positives"))

    @property
    def total_log(self) -> NDArray[np.float64]:
        """Sum of the natural logarithms of the positive amounts ([segment,] arm); kind "revenue" only."""
        return self._values("total_log")

    @property
    def sum_squared_log_deviations(self) -> NDArray[np.float64]:
        """Squared deviations of the positive amounts' logarithms from their mean; kind "revenue" only."""
        return self._values("sum_squared_log_deviations")

    @property
    def maximum(self) -> NDArray[np.float64]:
        """Greatest amount ([segment,] arm), 0 in a cell with nobody; kind "revenue" only."""
        return self._values("maximum")

    @property
    def covariate_total(self) -> NDArray[np.float64]:
        """Sum of the covariate ([segment,] arm), in its units; cells with a covariate only."""
        return self._values("covariate_total")

    @property
    def covariate_sum_squared_deviations(self) -> NDArray[np.float64]:
        """Sum of the covariate's squared deviations from the cell's mean; cells with a covariate only."""
        return self._values("covariate_sum_squared_deviations")

    @property
    def sum_codeviations(self) -> NDArray[np.float64]:
        """Sum of (y - ȳ)(x - x̄) about the cell's means ([segment,] arm); cells with a covariate only."""
        return self._values("sum_codeviations")

    @property
    def propensity_log_odds_total(self) -> NDArray[np.float64]:
        """Sum of the units' log odds of treatment ([segment,] arm); cells with a propensity only."""
        return self._values(LOG_ODDS_TOTAL)

    @property
    def raw_mean(self) -> xr.DataArray:
        """Mean outcome total / n ([segment,] arm), NaN exactly where a cell has nobody."""
        n = self.statistics[N]
        return (self.statistics[TOTAL] / n.where(n > 0)).rename("raw_mean")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the cells say, in hexadecimal.

        Numbers count to ten significant digits: an engine that adds up in parallel gives the last few in another order
        on another day, and the same data must keep their fingerprint.
        """
        facts: dict[str, Any] = {
            "arms": self.design.arms,
            "assignment": self.design.assignment,
            "split": [ten_digits(share) for share in self.design.intended_split or ()],
            "outcome": self.outcome,
            "kind": self.kind,
            "factors": {
                factor: [str(level) for level in self.statistics[factor].to_numpy()] for factor in self.factors
            },
            "statistics": {name: ten_digits_of(self._values(name)) for name in self._names},
        }
        if self.covariate is not None:
            facts["covariate"] = self.covariate
            facts["statistics"]["sum_codeviations"] = correlation_digits(
                self.sum_codeviations, self.sum_squared_deviations, self.covariate_sum_squared_deviations
            )
        if self.has_propensity:
            facts["statistics"][LOG_ODDS_TOTAL] = mean_digits(self.propensity_log_odds_total, self.n)
        if (table := self.frequencies) is not None:
            facts["frequencies"] = {name: ten_digits_of(table[name].to_numpy()) for name in FREQUENCY_COLUMNS}
        canonical = json.dumps(facts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def by(self, *factors: str | Iterable[str]) -> "Cells":
        """Cells with these factors only, the others merged; no factor merges all segments into none.

        Parameters
        ----------
        *factors
            Names of factors, as in `factors` or as the columns were called; or one list of them.

        Raises
        ------
        FactorNotFoundError
            There is no such factor.
        """
        names: Iterable[object] = factors
        if len(factors) == 1 and not isinstance(factors[0], str) and isinstance(factors[0], Iterable):
            names = tuple(factors[0])
        kept = [self._factor(name) for name in names]
        if len(set(kept)) != len(kept):
            raise ArgumentError(f"a factor is named twice: {listed(names)}. Name each once.")
        if not self.factors:
            return self
        levels = {factor: [str(level) for level in self.statistics[factor].to_numpy()] for factor in kept}
        coordinates, position = segments_of(levels, len(self.n))
        merged = merge_groups(
            {name: self._values(name) for name in self._names},
            position,
            int(position.max()) + 1,
        )
        statistics = statistics_dataset(merged, self.design, coordinates)
        frequencies = None
        if (table := self.frequencies) is not None:
            moved = table.assign(segment=position[table[SEGMENT].to_numpy()])
            keys = list(FREQUENCY_COLUMNS[:-1])
            frequencies = moved.groupby(keys, sort=True)[N].sum().reset_index()
        return replace(self, statistics=statistics, frequencies=frequencies)

    @classmethod
    def from_table(
        cls,
        table: Any,
        *,
        arm: str,
        control: object,
        kind: str,
        outcome: str,
        statistics: Mapping[str, str] | None = None,
        segments: str | Iterable[str] = (),
        covariate: str | None = None,
        assignment: Assignment = "randomized",
        intended_split: Mapping[Any, float] | None = None,
    ) -> "Cells":
        """Cells made elsewhere, such as by a warehouse's query: one row a (segment, arm), one column a statistic.

        See `bayesuplift.data.cell_table.read_cell_table` for the parameters and the refusals.
        """
        from bayesuplift.data.cell_table import read_cell_table  # noqa: PLC0415 - that module makes Cells

        return read_cell_table(
            table,
            arm=arm,
            control=control,
            kind=kind,
            outcome=outcome,
            statistics=statistics,
            segments=segments,
            covariate=covariate,
            assignment=assignment,
            intended_split=intended_split,
        )

    def merge(self, *others: "Cells") -> "Cells":
        """Cells of these units and of the others', which are different units of the same experiment.

        Segments are united: one that a part lacks has nobody there. Quantiles of amounts cannot be merged: they are
        kept where one part alone holds positive amounts, and None otherwise.

        Parameters
        ----------
        *others
            Cells of the same arms, control, assignment, split, outcome, kind, covariate and factors, all with a propensity
            or none.

        Raises
        ------
        ArgumentError
            One of these differs; the message names it.
        """
        from bayesuplift.data.merging import merge_cells  # noqa: PLC0415 - that module makes Cells

        return merge_cells((self, *others))

    @property
    def _names(self) -> tuple[str, ...]:
        return variables_of(self.kind, self.covariate, propensity=self.has_propensity)

    def _factor(self, name: object) -> str:
        if not isinstance(name, str):
            raise ArgumentError(f"{name!r} is given as a factor; expected its name as text, such as by('channel').")
        for candidate in (name, factor_name(name)):
            if candidate in self.factors:
                return candidate
        found = listed(self.factors) if self.factors else "none, the cells have no segments"
        raise FactorNotFoundError(f"no factor named '{name}'. Factors: {found}.{did_you_mean(name, self.factors)}")

    def _values(self, name: str) -> NDArray[np.float64]:
        if name not in self.statistics:
            with_one = "" if self.covariate is None else f" and the covariate '{self.covariate}'"
            raise ArgumentError(
                f"cells of kind '{self.kind}'{with_one} hold no {name}; they hold {listed(self._names)}."
            )
        return cast("NDArray[np.float64]", self.statistics[name].to_numpy())
