"""What is particular to tables that lie in partitions or on other machines: Dask and Spark."""

import datetime as dt
import pickle
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from bayesuplift.data import order_statistics
from bayesuplift.data.cells import QUANTILES
from bayesuplift.data.frames import open_frame
from bayesuplift.data.partitions import _groups, each_partition
from bayesuplift.data.readers import read_cells, read_counts, read_experiment
from bayesuplift.errors import ColumnNotFoundError, DataError
from tests.support.engines import ENGINES, in_dask, in_engine
from tests.support.spark import in_spark

# narwhals announces that its support of Dask moves into a package that is not published yet: nothing here can act on it.
dask_alone = pytest.mark.filterwarnings("ignore:Dask support is moving out of Narwhals:FutureWarning")
REMOTE = [engine for engine in ENGINES if getattr(engine, "values", (None,))[0] in ("dask", "pyspark")]


def amounts(rows: int = 30_000) -> pd.DataFrame:
    """Skewed amounts with ties, in three arms, one of them without a positive amount."""
    generator = np.random.default_rng(41)
    y = np.where(generator.random(rows) < 0.5, np.exp(generator.normal(3, 2, rows)), 0.0)
    y[generator.random(rows) < 0.1] = 9.99
    table = pd.DataFrame({"arm": generator.choice(["a", "b", "free"], rows), "y": y})
    table.loc[table.arm == "free", "y"] = 0.0
    return table


@dask_alone
@pytest.mark.parametrize("fetched", [10_000, 40, 1])
@pytest.mark.parametrize("arrange", [lambda t: t, lambda t: t.sort_values("y"), lambda t: t.sort_values("arm")])
@pytest.mark.filterwarnings("ignore:the outcome 'y' is constant in free")
def test_quantiles_of_partitions_are_exact(
    arrange: Callable[[pd.DataFrame], pd.DataFrame], fetched: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What may be brought back is set low, so that several rounds have to close in.
    monkeypatch.setattr(order_statistics, "_FETCHED", fetched)
    monkeypatch.setattr(order_statistics, "_SAMPLED", 50)
    monkeypatch.setattr(order_statistics, "_PIECES", 32)
    table = amounts()
    cells = read_cells(in_dask(arrange(table), 7), arm="arm", control="a", outcome="y", kind="revenue")
    assert cells.quantiles is not None
    for arm in "ab":
        positive = table.y[(table.arm == arm) & (table.y > 0)]
        expected = np.quantile(positive, QUANTILES, method="linear")
        np.testing.assert_allclose(cells.quantiles.sel(arm=arm), expected, rtol=1e-14)
    assert np.isnan(cells.quantiles.sel(arm="free")).all()


@dask_alone
def test_few_amounts_come_back_for_the_quantiles(monkeypatch: pytest.MonkeyPatch) -> None:
    brought: list[int] = []

    def counted(*arguments: Any) -> pd.DataFrame:
        found = each_partition(*arguments)
        brought.append(len(found))
        return found

    monkeypatch.setattr(order_statistics, "each_partition", counted)
    table = amounts(200_000)
    table = table[table.arm != "free"]
    read_cells(in_dask(table, 4), arm="arm", control="a", outcome="y", kind="revenue")
    assert len(brought) == 2, "one round that counts, one that brings back"
    # 4 partitions of 8,192 pieces an arm at most were counted; of 73,000 amounts a few around each quantile came.
    assert brought[0] <= 4 * 2 * 8192
    assert brought[1] < 3000


@pytest.mark.parametrize("engine", REMOTE)
def test_groups_far_from_the_first_keep_their_deviations(engine: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(43)
    far = np.repeat([0.0, 1e8], 3000)
    table = pd.DataFrame({"arm": np.tile(["a", "b"], 3000), "far": far, "y": far + generator.normal(0, 1, 6000)})
    cells = read_cells(
        in_engine(table, engine, tmp_path), arm="arm", control="a", outcome="y", kind="continuous", segments=["far"]
    )
    for row, where in enumerate((0.0, 1e8)):
        for position, arm in enumerate("ab"):
            values = table.y[(table.far == where) & (table.arm == arm)] - where
            expected = float(((values - values.mean()) ** 2).sum())
            assert cells.sum_squared_deviations[row, position] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("engine", REMOTE)
def test_days_and_codes_are_labels_as_elsewhere(engine: str, tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "arm": pd.to_datetime(["2024-03-10", "2024-03-11 02:30"] * 4, format="ISO8601"),
            "code": np.array([1, 2**60 + 1] * 4)[[0, 0, 1, 1] * 2],
            "y": [0, 1, 1, 0, 1, 1, 0, 0],
        }
    )
    roles: dict[str, Any] = {"arm": "arm", "control": "2024-03-10", "outcome": "y", "kind": "binary"}
    cells = read_cells(in_engine(table, engine, tmp_path), **roles, segments=["code"])
    assert cells.design.arms == ("2024-03-10", "2024-03-11 02:30:00")
    assert cells.statistics["code"].to_numpy().tolist() == ["1", str(2**60 + 1)]
    assert cells == read_cells(table, **roles, segments=["code"])


@pytest.mark.spark
def test_decimals_dates_and_nulls_of_spark() -> None:
    day = [dt.date(2024, 1, 1), dt.date(2024, 1, 2)]
    table = pa.table(
        {
            "arm": pa.array([Decimal("1.10"), Decimal("1.20")] * 3),
            "day": pa.array([day[0], day[0], day[1], day[1], day[1], day[1]]),
            "y": pa.array([Decimal("10.25"), Decimal("0.00"), Decimal("3.10"), None, Decimal("1.00"), Decimal("2.00")]),
            "one": pa.array([True, False, None, True, True, False]),
        }
    )
    source = in_spark(table)
    roles: dict[str, Any] = {"arm": "arm", "control": "1.10", "segments": ["day"]}
    with pytest.raises(DataError, match=r"'y' \(outcome\) is missing in 1 of 6 rows, such as None\. Drop"):
        read_cells(source, outcome="y", kind="revenue", **roles)
    with pytest.raises(DataError, match=r"'one' \(outcome\) is missing in 1 of 6 rows"):
        read_cells(source, outcome="one", kind="binary", **roles)
    cells = read_cells(source.dropna(), outcome="y", kind="revenue", arm="arm", control=Decimal("1.10"))
    assert cells.design.arms == ("1.10", "1.20")
    assert cells.total.tolist() == [11.25, 2.0]
    units = read_experiment(source.dropna(), outcome="y", kind="revenue", **roles)
    assert units.cells(()).total.tolist() == cells.total.tolist()
    assert set(units.segments["day"].tolist()) == {"2024-01-01", "2024-01-02"}


@pytest.mark.spark
def test_what_spark_refuses_is_told() -> None:
    table = pa.table({"arm": ["a", "b"], "pre.spend": [1.0, 2.0], "y": ["1", "x"]})
    source = in_spark(table)
    with pytest.raises(DataError, match=r"'pre\.spend' has a dot .* Rename it first"):
        read_cells(source, arm="arm", control="a", outcome="pre.spend", kind="continuous")
    with pytest.raises(ColumnNotFoundError, match=r"Did you mean 'arm'"):
        read_cells(source, arm="am", control="a", outcome="y", kind="continuous")
    broken = source.selectExpr("arm", "cast(y as int) as y")
    with pytest.raises(DataError, match=r"could not be read by its engine: .*CAST_INVALID_INPUT"):
        read_cells(broken, arm="arm", control="a", outcome="y", kind="continuous")


@dask_alone
def test_a_task_of_dask_that_fails_is_translated() -> None:
    def broken(part: pd.DataFrame) -> pd.DataFrame:
        return part.assign(y=part.y.map(lambda value: 1 / (value - 3)))

    table = pd.DataFrame({"arm": ["a", "b"] * 4, "y": range(8)})
    source = in_dask(table, 2).map_partitions(broken, meta={"arm": "object", "y": "float64"})
    with pytest.raises(DataError, match="could not be read by its engine: division by zero"):
        read_cells(source, arm="arm", control="a", outcome="y", kind="continuous")


@dask_alone
def test_dask_is_read_in_threads_and_may_be_sent_to_other_processes() -> None:
    import dask  # noqa: PLC0415 - takes a second, which only its own tests need to wait

    table = amounts(2000).query("arm != 'free'")
    roles: dict[str, Any] = {"arm": "arm", "control": "a", "outcome": "y", "kind": "revenue"}
    expected = read_cells(table, **roles)
    for scheduler in ("synchronous", "threads"):
        with dask.config.set(scheduler=scheduler):
            assert read_cells(in_dask(table, 2), **roles) == expected, scheduler
    # A cluster gets the functions and their arguments as bytes.
    sent = (_groups, table, ["arm"], {"total": nw.col("y").sum(), "spread": nw.col("y").var(ddof=0)})
    function, *arguments = pickle.loads(pickle.dumps(sent))  # noqa: S301 - our own bytes
    found = function(*arguments).set_index("arm").sort_index()
    assert found.total.tolist() == pytest.approx(expected.total.tolist(), rel=1e-12)


@dask_alone
@pytest.mark.parametrize("to_text", [True, False])
def test_plain_objects_of_dask_are_text(*, to_text: bool) -> None:
    import dask  # noqa: PLC0415 - takes a second, which only its own tests need to wait

    plain = pd.DataFrame({"arm": ["a", "b"] * 4, "y": [True, False, None, 1] * 2, "z": [0, 0, 1, 1] * 2}, dtype=object)
    with dask.config.set({"dataframe.convert-string": to_text}):
        source = in_dask(plain.assign(z=plain.z.astype(int)), 2)
        assert read_cells(source, arm="arm", control="a", outcome="z", kind="binary").n.tolist() == [4, 4]
        words = r"'y' \(outcome\) is not a number in 4 of 8 rows, first in data row 1 \('True'\), 2 .*type is String"
        with pytest.raises(DataError, match=words):
            read_cells(source, arm="arm", control="a", outcome="y", kind="binary")


@dask_alone
def test_an_empty_partition_is_nothing() -> None:
    table = amounts(600).query("arm != 'free'").reset_index(drop=True)
    source = in_dask(table, 3).map_partitions(lambda part: part[part.index >= 250], meta=table)
    expected = read_cells(table[250:], arm="arm", control="a", outcome="y", kind="revenue")
    found = read_cells(source, arm="arm", control="a", outcome="y", kind="revenue")
    assert found == expected
    assert found.quantiles is not None
    assert expected.quantiles is not None
    np.testing.assert_allclose(found.quantiles, expected.quantiles, rtol=1e-14)


@pytest.mark.parametrize("engine", REMOTE)
def test_the_table_stays_where_it_is(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = in_engine(pd.DataFrame({"arm": ["A", "B"] * 50, "n": 3, "y": [1, 2] * 50}), engine, tmp_path)
    assert not hasattr(open_frame(source), "to_pandas")
    if engine == "pyspark":
        for name in ("toPandas", "toArrow"):
            monkeypatch.delattr(type(source), name)
    cells = read_counts(source, arm="arm", control="A", trials="n", successes="y")
    assert cells.n.tolist() == [150, 150]
