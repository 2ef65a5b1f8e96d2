"""Laws of cells: what a split, an order, a name or a constant may and may not change."""

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bayesuplift.data.cells import Cells
from bayesuplift.data.experiment import Experiment
from bayesuplift.data.grid import VARIABLES
from bayesuplift.data.moments import merge, merge_deviations, merge_groups
from bayesuplift.data.readers import read_cells, read_experiment
from bayesuplift.dims import Kind

OUTCOMES = {
    "binary": st.sampled_from([0.0, 1.0]),
    "count": st.integers(0, 6).map(float),
    "continuous": st.integers(-10_000, 10_000).map(lambda cents: cents / 100),
    "revenue": st.integers(0, 20_000).map(lambda cents: max(cents - 8_000, 0) / 100),
}


@st.composite
def tables(draw: st.DrawFn, kind: Kind) -> pd.DataFrame:
    """Rows with both arms in both segments, with outcomes that are not constant, so that no warning comes."""
    cell = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"]), OUTCOMES[kind])
    rows = draw(st.lists(cell, max_size=30))
    rows += [(arm, level, value) for arm in "ab" for level in "xy" for value in (0.0, 1.0)]
    return pd.DataFrame(rows, columns=["arm", "level", "y"])


def read(
    table: pd.DataFrame | pl.DataFrame, kind: Kind, control: str = "a", *, segments: tuple[str, ...] = ("level",)
) -> Cells:
    return read_cells(table, arm="arm", control=control, outcome="y", kind=kind, segments=segments)


def units(table: pd.DataFrame, kind: Kind) -> Experiment:
    return read_experiment(table, arm="arm", control="a", outcome="y", kind=kind, segments=["level"])


def spread_is_close(left: np.ndarray, right: np.ndarray, values: pd.Series) -> bool:
    """Within a thousand roundings of the greatest sum of squares that the values could have."""
    scale = len(values) * float((values.abs().max() + 1) ** 2)
    return bool(np.allclose(left, right, rtol=0, atol=1000 * np.finfo(float).eps * scale))


KIND = st.sampled_from(sorted(OUTCOMES))


@settings(deadline=None, max_examples=60)
@given(st.data(), KIND, st.integers(1, 5))
def test_any_split_into_chunks_merges_into_one(data: st.DataObject, kind: Kind, chunks: int) -> None:
    table = data.draw(tables(kind))
    chunk = np.array(data.draw(st.lists(st.integers(0, chunks - 1), min_size=len(table), max_size=len(table))))
    whole = read(table, kind)
    design, experiment = whole.design, units(table, kind)
    parts = []
    for which in range(chunks):
        rows = chunk == which
        assume(rows.any())
        part = Experiment(
            design=design,
            kind=kind,
            outcome_name="y",
            arm=experiment.arm[rows],
            outcome=experiment.outcome[rows],
            segments={"level": experiment.segments["level"][rows]},
        ).cells()
        # A chunk may lack a segment: its cells are placed in the whole grid, where nobody is zeros.
        grid = {name: np.zeros_like(whole.statistics[name].to_numpy()) for name in VARIABLES[kind]}
        positions = [list(whole.statistics.segment.to_numpy()).index(s) for s in part.statistics.segment.to_numpy()]
        for name, values in grid.items():
            values[positions] = part.statistics[name].to_numpy()
        parts.append(grid)
    merged = parts[0]
    for part_grid in parts[1:]:
        merged = merge(merged, part_grid)
    for name in VARIABLES[kind]:
        assert spread_is_close(merged[name], whole.statistics[name].to_numpy(), table.y), name


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
