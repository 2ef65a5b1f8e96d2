"""Checks of the data before any model: the split, what is missing, and units that come twice."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import narwhals.stable.v2 as nw
import numpy as np
from scipy import special

from bayesuplift.data.cells import Cells
from bayesuplift.data.design import design_of
from bayesuplift.data.frames import (
    Frame,
    collect,
    open_frame,
    require_columns,
    schema_of,
    translated,
    with_exact_keys,
    with_settled_objects,
)
from bayesuplift.data.labels import label, names_of
from bayesuplift.data.validation import diagnose, key_faults
from bayesuplift.errors import ArgumentError, DataError, is_finite_number, listed

LEVEL: Final = 0.001
"""A check fails below this p-value: an experiment is stopped for it, so a false alarm must be rare."""


@dataclass(frozen=True)
class Check:
    """Answer of one check.

    Parameters
    ----------
    name
        Name of the check.
    passed
        Whether the data are as they should be.
    facts
        The figures behind the answer, plain Python values.
    sentence
        What a reader sees.
    """

    name: str
    passed: bool
    facts: dict[str, Any]
    sentence: str


def sample_ratio(counts: Mapping[str, int] | Cells, intended_split: Mapping[Any, float] | None = None) -> Check:
    """χ² = Σ (n_a - N w_a)² / (N w_a) on K - 1 degrees of freedom; fails where its p-value is below 0.001.

    Parameters
    ----------
    counts
        Number of units by arm, or cells, whose segments are added up.
    intended_split
        Weight of each arm; may be left out where cells carry it in their design.

    Returns
    -------
    Check
        Facts: `observed` (counts), `intended` and `shares` by arm, `statistic`, `degrees_of_freedom`, `p_value`,
        `level`.

    Raises
    ------
    ArgumentError
        No split is known.
    ArmNotFoundError
        The split names an arm that is not there.
    DataError
        There are fewer than two arms, or not a single unit.

    References
    ----------
    Fabijan, A. et al. (2019), Diagnosing sample ratio mismatch in online controlled experiments, KDD '19, for the
    practice of the check and its strict level.
    """
    observed, intended = _split_of(counts, intended_split)
    every = sum(observed.values())
    if every == 0:
        raise DataError("not a single unit is in the counts; a sample ratio needs some.")
    expected = {arm: every * intended[arm] for arm in observed}
    statistic = sum((observed[arm] - expected[arm]) ** 2 / expected[arm] for arm in observed)
    p_value = float(special.chdtrc(len(observed) - 1, statistic))
    shares = {arm: n / every for arm, n in observed.items()}
    passed = p_value >= LEVEL
    pairs = listed(f"{arm} {shares[arm]:.2%} (intended {intended[arm]:.2%})" for arm in observed)
    verdict = "The split is as intended" if passed else "Sample-ratio mismatch: the split is not as intended"
    advice = "" if passed else " Find the cause before reading any effect."
    return Check(
        name="sample_ratio",
        passed=passed,
        facts={
            "observed": observed,
            "shares": shares,
            "intended": intended,
            "statistic": float(statistic),
            "degrees_of_freedom": len(observed) - 1,
            "p_value": p_value,
            "level": LEVEL,
        },
        sentence=f"{verdict}: {pairs}; chi-square p = {p_value:.2g}, fails below {LEVEL}.{advice}",
    )


@translated("the table")
def missingness(source: Any, *, arm: str, columns: str | Iterable[str]) -> Check:
    """Share of missing values by arm and column, and whether it differs by arm.

    A value is missing where it is null or NaN. Each column gets a chi-square test of homogeneity over the arms; the
    check fails where one p-value, times the number of columns (Bonferroni), is below 0.001. Differential missingness
    means that the arms kept different units, which randomization no longer protects.

    Parameters
    ----------
    source
        A path or any dataframe, one row a unit.
    arm
        Column of the arm.
    columns
        Columns to look at.

    Returns
    -------
    Check
        Facts: `shares` by column and arm, `p_value` (Bonferroni-corrected) by column, `failed` columns, `level`.

    Raises
    ------
    BayesupliftError
        The source cannot be opened, a column is not there, or an arm is missing.
    """
    named = names_of(columns, "columns")
    if not named:
        raise ArgumentError("columns is empty; name at least one column to look at.")
    frame = _opened(source, {"arm": arm} | {f"columns[{i}]": column for i, column in enumerate(named)}, [*named], arm)
    schema = schema_of(frame)
    diagnose(frame, key_faults(arm, "arm", schema[arm]))
    flags = {}
    for i, column in enumerate(named):
        value = nw.col(column)
        absent = value.is_null() | value.is_nan() if schema[column].is_float() else value.is_null()
        flags[f"c{i}"] = absent.fill_null(value=True).cast(nw.Int64)
    table = frame.select(arm=nw.col(arm), **flags).group_by("arm")
    found = collect(table.agg(nw.len().alias("n"), *[nw.col(name).sum() for name in flags]))
    arms = [label(value) for value in found["arm"]]
    n = np.array(found["n"], dtype=np.float64)
    shares: dict[str, dict[str, float]] = {}
    p_values: dict[str, float] = {}
    for column, name in zip(named, flags, strict=True):
        missing = np.array(found[name], dtype=np.float64)
        shares[column] = dict(sorted(zip(arms, (missing / n).tolist(), strict=True)))
        p_values[column] = min(1.0, len(named) * _homogeneity(missing, n))
    failed = [column for column in named if p_values[column] < LEVEL]
    if failed:
        told = "; ".join(
            f"{column}: {listed(f'{name} {share:.2%}' for name, share in shares[column].items())}" for column in failed
        )
        sentence = f"Values are missing at a different rate by arm: {told}. Find out why units were lost."
    else:
        complete = all(share == 0 for by_arm in shares.values() for share in by_arm.values())
        state = "No value is missing in" if complete else "What is missing does not differ by arm in"
        sentence = f"{state} {listed(named)}."
    facts = {"shares": shares, "p_value": p_values, "failed": failed, "level": LEVEL}
    return Check(name="missingness", passed=not failed, facts=facts, sentence=sentence)


@translated("the table")
def duplicates(source: Any, *, unit: str) -> Check:
    """Whether a unit comes more than once.

    Parameters
    ----------
    source
        A path or any dataframe, one row a unit.
    unit
        Column that names the unit.

    Returns
    -------
    Check
        Facts: `rows`, `units`, `repeated` (rows beyond the first of their unit), `missing` (rows without a unit).

    Raises
    ------
    BayesupliftError
        The source cannot be opened, or the column is not there.
    """
    frame = _opened(source, {"unit": unit}, [], unit)
    key = nw.col(unit)
    counted = frame.select(
        rows=nw.len(), missing=key.is_null().cast(nw.Int64).sum(), distinct=key.n_unique().cast(nw.Int64)
    )
    found = {name: int(values[0] or 0) for name, values in collect(counted).items()}
    units = found["distinct"] - (found["missing"] > 0)  # null counts as one of the distinct values
    repeated = found["rows"] - found["missing"] - units
    passed = repeated == 0 and found["missing"] == 0
    sentence = (
        f"Every one of {found['rows']:,} rows is a unit of its own."
        if passed
        else f"{repeated:,} of {found['rows']:,} rows repeat a unit of '{unit}', {found['missing']:,} have none: "
        f"effects would look more certain than they are. Add up or drop the repeats."
    )
    facts = {"rows": found["rows"], "units": units, "repeated": repeated, "missing": found["missing"]}
    return Check(name="duplicates", passed=passed, facts=facts, sentence=sentence)


def randomization(assignment: str) -> Check:
    """Whether arms were assigned at random: fails for an observational design, which nothing here adjusts."""
    passed = assignment == "randomized"
    sentence = (
        "Units were assigned to arms at random, by the design."
        if passed
        else "Units were not assigned to arms at random and this model adjusts for nothing, so a difference between "
        "arms is not an effect."
    )
    return Check(name="assignment", passed=passed, facts={"assignment": assignment}, sentence=sentence)


def checks_of(cells: Cells) -> list[Check]:
    """The checks that cells alone allow: the sample ratio where the design has an intended split, else none."""
    return [] if cells.design.intended_split is None else [sample_ratio(cells)]


def _split_of(
    counts: Mapping[str, int] | Cells, intended_split: Mapping[Any, float] | None
) -> tuple[dict[str, int], dict[str, float]]:
    """Observed counts and intended shares by arm."""
    if isinstance(counts, Cells):
        observed = dict(zip(counts.design.arms, (int(n) for n in counts.by().n), strict=True))
        split: Mapping[Any, float] | None = intended_split
        if split is None and counts.design.intended_split is not None:
            split = dict(zip(counts.design.arms, counts.design.intended_split, strict=True))
    elif isinstance(counts, Mapping):
        wrong = [arm for arm, n in counts.items() if not is_finite_number(n) or n < 0 or n != int(n)]
        if wrong:
            raise DataError(f"the count of {listed(wrong)} is not a whole number of units, 0 or more.")
        observed = {label(arm): int(n) for arm, n in counts.items()}
        if len(observed) < len(counts):
            raise DataError(f"two arms have the same label: {listed(map(label, counts))}. Give every arm its own.")
        split = intended_split
    else:
        raise ArgumentError(
            f"counts is a {type(counts).__name__}; expected cells, or a mapping from arm to the number of its units."
        )
    if split is None:
        raise ArgumentError("no intended split is known; give intended_split, such as {'control': 1, 'offer': 1}.")
    design = design_of(observed, control=next(iter(observed), ""), intended_split=split)
    assert design.intended_split is not None
    shares = dict(zip(design.arms, design.intended_split, strict=True))
    return observed, {arm: shares[arm] for arm in observed}


def _homogeneity(missing: np.ndarray[Any, np.dtype[np.float64]], n: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """p-value of the chi-square test that the share missing is one in all arms; 1 where nothing or all is missing."""
    overall = missing.sum() / n.sum()
    if overall in (0.0, 1.0) or len(n) == 1:
        return 1.0
    statistic = float(((missing - n * overall) ** 2 / (n * overall * (1 - overall))).sum())
    return float(special.chdtrc(len(n) - 1, statistic))


def _opened(source: Any, named: dict[str, str], columns: list[str], key: str) -> Frame:
    frame = open_frame(source, [key])
    require_columns(schema_of(frame), named)
    return with_exact_keys(with_settled_objects(frame, [key, *columns], [key]), [key])
