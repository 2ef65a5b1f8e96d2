"""Laws of cells: what a split, an order, a name or a constant may and may not change."""

import functools
import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesuplift.data.cells import Cells
from bayesuplift.data.grid import COVARIATE_KINDS, COVARIATE_VARIABLES, VARIABLES
from bayesuplift.data.moments import merge_codeviations, merge_deviations, merge_groups
from bayesuplift.data.readers import read_cells, read_experiment
from bayesuplift.dims import Kind

OUTCOMES = {
    "binary": st.sampled_from([0.0, 1.0]),
    "count": st.integers(0, 6).map(float),
    "continuous": st.integers(-10_000, 10_000).map(lambda cents: cents / 100),
    "revenue": st.integers(0, 20_000).map(lambda cents: max(cents - 8_000, 0) / 100),
}


EXACT = {"continuous": (-(10**5), 10**5), "revenue": (5, 10**5)}
"""Bounds of outcomes in quarters; logarithms of amounts of 1.25 and more do not cancel."""


@st.composite
def tables(draw: st.DrawFn, kind: Kind, *, exact: bool = False) -> pd.DataFrame:
    """Rows with both arms in both segments, with outcomes that are not constant, so that no warning comes."""
    outcome = OUTCOMES[kind]
    if exact and kind in EXACT:
        outcome = st.integers(*EXACT[kind]).map(lambda quarters: quarters / 4)
    before = st.integers(-40, 40).map(lambda quarters: quarters / 4)
    cell = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"]), outcome, before)
    rows = draw(st.lists(cell, max_size=30))
    always = (1.25, 2.5) if exact and kind == "revenue" else (0.0, 1.0)
    rows += [(arm, level, value, 1.0 - value) for arm in "ab" for level in "xy" for value in always]
    return pd.DataFrame(rows, columns=["arm", "level", "y", "x"])


def read(
    table: pd.DataFrame | pl.DataFrame, kind: Kind, control: str = "a", *, segments: tuple[str, ...] = ("level",)
) -> Cells:
    return read_cells(table, arm="arm", control=control, outcome="y", kind=kind, segments=segments)


def spread_is_close(left: np.ndarray, right: np.ndarray, values: pd.Series) -> bool:
    """Within a thousand roundings of the greatest sum of squares that the values could have."""
    scale = len(values) * float((values.abs().max() + 1) ** 2)
    return bool(np.allclose(left, right, rtol=0, atol=1000 * np.finfo(float).eps * scale))


KIND = st.sampled_from(sorted(OUTCOMES))


def parts_of(data: st.DataObject, table: pd.DataFrame, kind: Kind, chunks: int) -> tuple[Cells, list[Cells]]:
    """Cells of the whole table, and of a split of its rows; a part may lack a segment, and an arm of a segment."""
    covariate = "x" if kind in COVARIATE_KINDS else None
    roles: dict[str, Any] = {"arm": "arm", "control": "a", "outcome": "y", "kind": kind, "segments": ["level"]}
    experiment = read_experiment(table, **roles, covariates=["x"])
    chunk = np.array(data.draw(st.lists(st.integers(0, chunks - 1), min_size=len(table), max_size=len(table))))
    parts = [
        replace(
            experiment,
            arm=experiment.arm[rows],
            outcome=experiment.outcome[rows],
            covariates={"x": experiment.covariates["x"][rows]},
            segments={"level": experiment.segments["level"][rows]},
        ).cells(covariate=covariate)
        for rows in (chunk == which for which in range(chunks))
        if rows.any()
    ]
    return read_cells(table, **roles, covariate=covariate), parts


@settings(deadline=None, max_examples=60)
@given(st.data(), KIND, st.integers(1, 5))
def test_any_split_into_chunks_merges_into_one(data: st.DataObject, kind: Kind, chunks: int) -> None:
    table = data.draw(tables(kind))
    whole, parts = parts_of(data, table, kind, chunks)
    merged = parts[0].merge(*parts[1:])
    assert merged.statistics.coords.equals(whole.statistics.coords)
    for name in VARIABLES[kind]:
        assert spread_is_close(merged.statistics[name].to_numpy(), whole.statistics[name].to_numpy(), table.y), name
    for name in COVARIATE_VARIABLES if whole.covariate else ():
        both = pd.concat([table.x, table.y])
        assert spread_is_close(merged.statistics[name].to_numpy(), whole.statistics[name].to_numpy(), both), name


@settings(deadline=None, max_examples=60)
@given(st.data(), KIND, st.integers(2, 4))
def test_merging_commutes_and_associates(data: st.DataObject, kind: Kind, chunks: int) -> None:
    # No statistic of these outcomes is nought but for rounding, of which a fingerprint would count the digits.
    table = data.draw(tables(kind, exact=True))
    whole, parts = parts_of(data, table, kind, chunks)
    order = data.draw(st.permutations(range(len(parts))))
    from_left = functools.reduce(Cells.merge, parts)
    from_right = functools.reduce(lambda later, earlier: earlier.merge(later), reversed(parts))
    for merged in (
        from_left,
        from_right,
        parts[0].merge(*parts[1:]),
        functools.reduce(Cells.merge, [parts[i] for i in order]),
    ):
        assert merged.fingerprint == whole.fingerprint
        for name in ("n", "total", "exposure", "positives", "covariate_total"):
            # Whole numbers and quarters, whose sums are exact.
            if name in merged.statistics:
                assert np.array_equal(merged.statistics[name], whole.statistics[name]), name
        if kind == "count":
            assert merged.frequencies is not None
            assert whole.frequencies is not None
            assert merged.frequencies.equals(whole.frequencies)


@settings(deadline=None, max_examples=30)
@given(st.data(), KIND)
def test_merging_segments_equals_never_splitting(data: st.DataObject, kind: Kind) -> None:
    table = data.draw(tables(kind))
    merged, direct = read(table, kind).by(), read(table, kind, segments=())
    for name in VARIABLES[kind]:
        left, right = merged.statistics[name].to_numpy(), direct.statistics[name].to_numpy()
        assert spread_is_close(left, right, table.y), name
    if kind == "count":
        assert merged.frequencies is not None
        assert direct.frequencies is not None
        assert merged.frequencies.equals(direct.frequencies)


@settings(deadline=None, max_examples=30)
@given(st.data(), KIND)
def test_relabelling_arms_permutes(data: st.DataObject, kind: Kind) -> None:
    table = data.draw(tables(kind))
    swapped = table.assign(arm=table["arm"].map({"a": "b", "b": "a"}))
    left, right = read(table, kind), read(swapped, kind)
    for name in VARIABLES[kind]:
        assert np.array_equal(left.statistics[name].to_numpy(), right.statistics[name].to_numpy()[:, ::-1]), name


@settings(deadline=None, max_examples=30)
@given(st.data(), st.integers(-(10**6), 10**6))
def test_adding_a_constant_leaves_the_deviations(data: st.DataObject, constant: int) -> None:
    table = data.draw(tables("continuous"))
    moved = table.assign(y=table.y + constant)
    left, right = read(table, "continuous"), read(moved, "continuous")
    # The moved values are rounded when they are stored: each by at most half a unit in its last place.
    rounding = float(np.spacing(moved.y.abs().max()))
    bound = 4 * len(table) * rounding * (np.abs(table.y).max() + 1)
    np.testing.assert_allclose(left.sum_squared_deviations, right.sum_squared_deviations, rtol=1e-12, atol=bound)
    np.testing.assert_allclose(left.total + constant * left.n, right.total, rtol=1e-12, atol=bound)


@settings(deadline=None, max_examples=30)
@given(st.data(), KIND)
def test_the_order_of_rows_does_not_matter(data: st.DataObject, kind: Kind) -> None:
    table = data.draw(tables(kind))
    order = data.draw(st.permutations(range(len(table))))
    shuffled = table.iloc[order].reset_index(drop=True)
    left, right = read(table, kind), read(pl.from_pandas(shuffled), kind)
    assert np.array_equal(left.n, right.n)
    for name in VARIABLES[kind]:
        assert spread_is_close(left.statistics[name].to_numpy(), right.statistics[name].to_numpy(), table.y), name


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(-1e6, 1e6), max_size=8), min_size=1, max_size=6))
def test_merged_deviations_equal_exact_arithmetic(groups: list[list[float]]) -> None:
    def statistics(values: list[float]) -> tuple[float, float, float]:
        if not values:
            return 0.0, 0.0, 0.0
        numbers = [Fraction(value) for value in values]
        mean = sum(numbers, Fraction(0)) / len(numbers)
        return len(values), float(sum(numbers)), float(sum(((v - mean) ** 2 for v in numbers), Fraction(0)))

    rows = np.array([statistics(values) for values in groups])
    merged = merge_groups(
        {"n": rows[:, 0], "total": rows[:, 1], "sum_squared_deviations": rows[:, 2]},
        np.zeros(len(groups), dtype=np.intp),
        1,
    )
    every = [value for values in groups for value in values]
    n, total, deviations = statistics(every)
    scale = (max(map(abs, every), default=0.0)) ** 2 * max(len(every), 1)
    assert merged["n"][0] == n
    assert math.isclose(float(merged["total"][0]), total, rel_tol=1e-12, abs_tol=1e-12 * math.sqrt(scale))
    assert math.isclose(float(merged["sum_squared_deviations"][0]), deviations, rel_tol=1e-12, abs_tol=1e-13 * scale)


@given(st.integers(1, 9), st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_nobody_is_neutral(n: int, total: float, deviations: float) -> None:
    assert merge_deviations((n, total, deviations), (0, 0.0, 0.0)) == deviations
    assert merge_deviations((0, 0.0, 0.0), (n, total, deviations)) == deviations


PAIRS = st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=8)


@settings(deadline=None)
@given(PAIRS, PAIRS)
def test_merged_codeviations_equal_exact_arithmetic(
    left: list[tuple[float, float]], right: list[tuple[float, float]]
) -> None:
    def statistics(pairs: list[tuple[float, float]]) -> tuple[float, float, float, float]:
        y, x = ([Fraction(pair[i]) for pair in pairs] for i in (0, 1))
        mean_y, mean_x = sum(y, Fraction(0)) / len(y), sum(x, Fraction(0)) / len(x)
        together = sum(((a - mean_y) * (b - mean_x) for a, b in zip(y, x, strict=True)), Fraction(0))
        return len(pairs), float(sum(y, Fraction(0))), float(sum(x, Fraction(0))), float(together)

    expected = statistics(left + right)[3]
    scale = len(left + right) * math.prod(max(abs(pair[i]) for pair in left + right) for i in (0, 1))
    for one, other in ((left, right), (right, left)):
        merged = float(merge_codeviations(statistics(one), statistics(other)))
        assert math.isclose(merged, expected, rel_tol=1e-12, abs_tol=1e-13 * scale)
