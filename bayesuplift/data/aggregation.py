"""The group-by that turns units into cells, run in the engine that holds them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.cells import QUANTILES
from bayesuplift.data.frames import Frame, Schema, collect, schema_of
from bayesuplift.data.labels import is_missing, label
from bayesuplift.data.order_statistics import quantiles_by_partition
from bayesuplift.data.partitions import grouped
from bayesuplift.data.probing import beside_outcome, finite_number, middle
from bayesuplift.data.propensity import log_odds_of, propensity_faults
from bayesuplift.data.validation import Fault, diagnose, key_faults, number_faults, number_of, outcome_faults
from bayesuplift.dims import LOG_ODDS_TOTAL, Kind
from bayesuplift.errors import DataError


@dataclass(frozen=True)
class Roles:
    """Which column is what.

    Parameters
    ----------
    arm, outcome
        Columns of the arm and of the outcome.
    kind
        Kind of the outcome.
    segments
        Columns of the segment factors.
    exposure
        Column of the exposure, for counts.
    covariate
        Column of the covariate, for continuous outcomes and revenue.
    propensity
        Column of P(treatment | covariates), where there are two arms.
    """

    arm: str
    outcome: str
    kind: Kind
    segments: tuple[str, ...] = ()
    exposure: str | None = None
    covariate: str | None = None
    propensity: str | None = None


@dataclass(frozen=True)
class Groups:
    """What came back from the engine: one row for each group, or for each group in a partition.

    Parameters
    ----------
    arm
        Label of the arm (row,).
    levels
        Label of the level (row,) for each segment column.
    statistics
        Statistics (row,) by name; for counts `value`, `exposure` and `n` of the frequency table instead, and with a
        propensity the sum of its log odds.
    quantiles
        Quantiles (probability,) of the positive amounts for each arm's label; empty for other kinds than revenue.
    """

    arm: list[str]
    levels: dict[str, list[str]]
    statistics: dict[str, NDArray[np.generic]]
    quantiles: dict[str, NDArray[np.float64]] = field(default_factory=dict)


def aggregate(frame: Frame, roles: Roles) -> Groups:
    """Group a table of units by segment and arm in its own engine.

    Only the groups come back. The same query counts what is at fault, so valid data are read once (twice for revenue,
    whose quantiles need another query); only where something is at fault do further queries look for the rows.

    Raises
    ------
    DataError
        There are no rows, or one of them holds a fault.
    """
    schema = schema_of(frame)
    by = {"binary": _binary, "count": _count, "continuous": _continuous, "revenue": _revenue}[roles.kind]
    # An overflow is left to be infinite here: Cells refuses what is not finite.
    with np.errstate(over="ignore", invalid="ignore"):
        found, valid = by(frame, roles, schema)
    if roles.propensity is not None:
        valid = bool(np.array_equal(found.pop("propensities"), found["n"])) and valid
    keys = [f"k{i}" for i in range(len(roles.segments))]
    if not found["arm"] or not valid or any(is_missing(key) for name in ("arm", *keys) for key in set(found[name])):
        diagnose(frame, _faults(roles, schema))
        raise DataError(f"the column '{roles.outcome}' (outcome) holds values that are not valid for '{roles.kind}'.")
    statistics = {name: values for name, values in found.items() if name not in ("arm", *keys)}
    return Groups(
        arm=_labels(found["arm"]),
        levels={segment: _labels(found[key]) for segment, key in zip(roles.segments, keys, strict=True)},
        statistics=statistics,
        quantiles=_quantiles(frame, roles, schema) if roles.kind == "revenue" else {},
    )


def _labels(values: Sequence[Any]) -> list[str]:
    known = {value: label(value) for value in set(values)}
    return [known[value] for value in values]


def _faults(roles: Roles, schema: Schema) -> list[Fault]:
    """Everything that may be wrong with the rows, in the order in which it is told."""
    faults = key_faults(roles.arm, "arm", schema[roles.arm])
    for segment in roles.segments:
        faults += key_faults(segment, "segment", schema[segment])
    faults += outcome_faults(roles.outcome, roles.kind, schema[roles.outcome])
    if roles.exposure is not None:
        faults += number_faults(roles.exposure, "exposure", schema[roles.exposure])
        at_most_zero = number_of(roles.exposure, schema[roles.exposure]) <= 0
        faults.append(Fault(roles.exposure, "exposure", at_most_zero, "is not positive", "Expected more than 0."))
    if roles.covariate is not None:
        faults += number_faults(roles.covariate, "covariate", schema[roles.covariate])
    if roles.propensity is not None:
        faults += propensity_faults(roles.propensity, schema[roles.propensity])
    return faults


def _keys(roles: Roles) -> dict[str, nw.Expr]:
    """The grouping columns under names of our own, so that no name of the caller's can collide."""
    return {f"k{i}": nw.col(segment) for i, segment in enumerate(roles.segments)} | {"arm": nw.col(roles.arm)}


def _of_propensity(roles: Roles, schema: Schema) -> tuple[dict[str, nw.Expr], dict[str, nw.Expr]]:
    """What a propensity adds to the query, by row and by group: nothing where there is none."""
    if roles.propensity is None:
        return {}, {}
    log_odds = nw.col("log_odds")
    facts = {"propensities": log_odds.count(), LOG_ODDS_TOTAL: log_odds.sum()}
    return {"log_odds": log_odds_of(roles.propensity, schema[roles.propensity])}, facts


def _grouped(
    frame: Frame, roles: Roles, schema: Schema, columns: dict[str, nw.Expr], facts: dict[str, nw.Expr]
) -> dict[str, Any]:
    """One group-by: keys as they are, facts as arrays."""
    keys = _keys(roles)
    more_columns, more_facts = _of_propensity(roles, schema)
    found = grouped(frame.select(**keys, **columns, **more_columns), keys, facts | more_facts)
    return {name: found[name] if name in keys else _numbers(found[name]) for name in found}


def _numbers(values: Sequence[Any]) -> NDArray[np.float64]:
    """Numbers of one aggregate; null, which an engine gives where nothing was left to add up, becomes 0."""
    return np.nan_to_num(np.array(values, dtype=np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf)


def _binary(frame: Frame, roles: Roles, schema: Schema) -> tuple[dict[str, Any], bool]:
    """Units and ones; valid where ones and zeros make up all units."""
    # Compared in the column's own type: a cast of every row would cost more than the sums.
    dtype = schema[roles.outcome]
    y = number_of(roles.outcome, dtype) if dtype == nw.Boolean else nw.col(roles.outcome)
    found = _grouped(
        frame,
        roles,
        schema,
        {"one": (y == 1).cast(nw.Int8), "zero": (y == 0).cast(nw.Int8)},
        {"n": nw.len(), "total": nw.col("one").sum(), "zeros": nw.col("zero").sum()},
    )
    valid = bool(np.array_equal(found["total"] + found.pop("zeros"), found["n"]))
    return found, valid


def _continuous(frame: Frame, roles: Roles, schema: Schema) -> tuple[dict[str, Any], bool]:
    """Sums about a shared shift, so that a large mean does not eat the digits of the deviations."""
    y, finite = finite_number(roles.outcome, schema)
    shift, spread = middle(frame, y, finite)
    beside = beside_outcome(frame, roles.covariate, schema, (y - shift) / spread, finite)
    found = _grouped(
        frame,
        roles,
        schema,
        {"z": nw.when(finite).then(y - shift)} | beside.columns,
        {"n": nw.len(), "finite": nw.col("z").count(), "sum": nw.col("z").sum(), "var": nw.col("z").var(ddof=0)}
        | beside.facts,
    )
    n, counted, about, variance = (found.pop(name) for name in ("n", "finite", "sum", "var"))
    found |= {"n": n, "total": about + n * shift, "sum_squared_deviations": variance * n}
    complete = beside.settle(found, spread)
    return found, complete and bool(np.array_equal(counted, n))


def _revenue(frame: Frame, roles: Roles, schema: Schema) -> tuple[dict[str, Any], bool]:
    """Amounts, and logarithms of the positive ones about the logarithm of a middle amount."""
    y, finite = finite_number(roles.outcome, schema)
    positive = finite & (y > 0)
    scale, spread = middle(frame, y, positive)
    scale = scale or 1.0
    beside = beside_outcome(frame, roles.covariate, schema, (y - scale) / spread, finite)
    found = _grouped(
        frame,
        roles,
        schema,
        # The ratio is taken before the logarithm: amounts that are nearly equal keep their differences.
        # The variance is taken about that amount: a large mean does not eat the digits of the deviations.
        {
            "y": nw.when(finite).then(y),
            "z": nw.when(finite).then(y - scale),
            "log": nw.when(positive).then(y / scale).log(),
        }
        | beside.columns,
        {
            "n": nw.len(),
            "finite": nw.col("z").count(),
            "total": nw.col("y").sum(),
            "variance": nw.col("z").var(ddof=0),
            "minimum": nw.col("y").min(),
            "maximum": nw.col("y").max(),
            "positives": nw.col("log").count(),
            "sum_log": nw.col("log").sum(),
            "variance_log": nw.col("log").var(ddof=0),
        }
        | beside.facts,
    )
    n, positives = found["n"], found["positives"]
    valid = bool(np.array_equal(found.pop("finite"), n)) and not bool((found.pop("minimum") < 0).any())
    found["sum_squared_deviations"] = found.pop("variance") * n
    found["total_log"] = found.pop("sum_log") + positives * math.log(scale)
    found["sum_squared_log_deviations"] = found.pop("variance_log") * positives
    complete = beside.settle(found, spread)
    return found, complete and valid


def _count(frame: Frame, roles: Roles, schema: Schema) -> tuple[dict[str, Any], bool]:
    """The frequency table: everything else about counts follows from it."""
    keys = _keys(roles)
    exposure = nw.lit(1.0) if roles.exposure is None else number_of(roles.exposure, schema[roles.exposure])
    columns, facts = _of_propensity(roles, schema)
    rows = frame.select(**keys, value=number_of(roles.outcome, schema[roles.outcome]), exposure=exposure, **columns)
    found = grouped(rows, [*keys, "value", "exposure"], {"n": nw.len()} | facts)
    for name in ("value", "exposure", "n"):
        found[name] = np.array(found[name], dtype=np.float64)
    found |= {name: _numbers(found[name]) for name in facts}
    value, exposures = found["value"], found["exposure"]
    valid = np.isfinite(value) & (value >= 0) & (np.floor(value) == value) & np.isfinite(exposures) & (exposures > 0)
    return found, bool(valid.all())


def _quantiles(frame: Frame, roles: Roles, schema: Schema) -> dict[str, NDArray[np.float64]]:
    """Quantiles of the positive amounts by arm, interpolated linearly between order statistics."""
    y = nw.col("y")
    amounts = frame.select(arm=nw.col(roles.arm), y=number_of(roles.outcome, schema[roles.outcome])).filter(y > 0)
    facts = {f"q{i}": y.quantile(p, interpolation="linear") for i, p in enumerate(QUANTILES)}
    if frame.implementation.is_dask():
        return quantiles_by_partition(amounts, QUANTILES)
    if frame.implementation.is_pyarrow():
        # PyArrow's group-by has no quantile: one selection an arm instead.
        arms = collect(amounts.select("arm").unique())["arm"]
        rows = [collect(amounts.filter(nw.col("arm") == arm).select(**facts)) for arm in arms]
        found = {name: [row[name][0] for row in rows] for name in facts} | {"arm": arms}
    else:
        found = collect(amounts.group_by("arm").agg(**facts))
    table = np.array([found[name] for name in facts], dtype=np.float64)
    return {label(arm): table[:, i] for i, arm in enumerate(found["arm"])}
