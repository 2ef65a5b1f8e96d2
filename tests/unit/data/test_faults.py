from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest

from bayesuplift.data.readers import read_cells, read_counts, read_experiment
from bayesuplift.errors import (
    ArgumentError,
    ArmNotFoundError,
    ColumnNotFoundError,
    DataError,
    FrameTypeError,
    MissingFileError,
    UnreadableFileError,
)
from tests.support.engines import CHEAP, ENGINES, as_told_by, in_engine

FILES = ("csv path", "csv.gz path")


def table(**columns: list[Any]) -> pd.DataFrame:
    plain: dict[str, list[Any]] = {
        "group": ["control", "offer"] * 3,
        "channel": ["Web", "Web", "Phone", "Phone", "Web", "Phone"],
        "y": [1.0, 0.0, 1.0, 0.0, 0.0, 1.0],
        "customer": list("abcdef"),
    }
    return pd.DataFrame(plain | columns)


def read(source: Any, kind: str = "continuous", **options: Any) -> Any:
    roles = {"arm": "group", "control": "control", "outcome": "y"} | options
    return read_cells(source, kind=kind, **roles)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("reader", [read_cells, read_experiment])
def test_a_missing_column_is_told_with_the_closest(engine: str, reader: Any, tmp_path: Path) -> None:
    source = in_engine(table(), engine, tmp_path)
    with pytest.raises(ColumnNotFoundError, match=r"no column named 'grup' \(arm\).*Did you mean 'group'\?"):
        reader(source, arm="grup", control="control", outcome="y", kind="binary")
    with pytest.raises(ColumnNotFoundError, match=r"'chanel' \(segment\).*Did you mean 'channel'\?"):
        reader(source, arm="group", control="control", outcome="y", kind="binary", segments=["chanel"])


@pytest.mark.parametrize("engine", CHEAP)
def test_an_unknown_control_is_told_with_the_arms(engine: str, tmp_path: Path) -> None:
    with pytest.raises(ArmNotFoundError, match=r"'contol'.*Arms: control, offer\. Did you mean 'control'\?"):
        read(in_engine(table(), engine, tmp_path), control="contol")


@pytest.mark.parametrize("engine", CHEAP)
def test_one_arm_alone_is_refused(engine: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="only one arm, 'control'"):
        read(in_engine(table(group=["control"] * 6), engine, tmp_path))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["binary", "count", "continuous", "revenue"])
def test_a_null_arm_is_refused(engine: str, kind: str, tmp_path: Path) -> None:
    source = in_engine(table(group=["control", "offer", None, "offer", None, "control"]), engine, tmp_path)
    with pytest.raises(
        DataError, match=as_told_by(engine, r"'group' \(arm\) is missing in 2 of 6 rows, first in data row 3 .*, 5 ")
    ):
        read(source, kind)


@pytest.mark.parametrize("engine", [engine for engine in ENGINES if engine not in FILES])
@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_arm_is_refused(engine: str, text: str, tmp_path: Path) -> None:
    source = in_engine(table(group=["control", "offer", text, "offer", "offer", "control"]), engine, tmp_path)
    with pytest.raises(
        DataError, match=as_told_by(engine, r"'group' \(arm\) is empty text in 1 of 6 rows, first in data row 3")
    ):
        read(source)


@pytest.mark.parametrize("engine", FILES)
def test_an_empty_arm_in_a_csv_is_missing(engine: str, tmp_path: Path) -> None:
    source = in_engine(table(group=["control", "offer", "", "offer", "offer", "control"]), engine, tmp_path)
    with pytest.raises(DataError, match=r"'group' \(arm\) is missing in 1 of 6 rows, first in data row 3"):
        read(source)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_null_segment_is_refused(engine: str, tmp_path: Path) -> None:
    source = in_engine(table(channel=["Web", None, "Web", "Web", "Web", "Web"]), engine, tmp_path)
    with pytest.raises(
        DataError, match=as_told_by(engine, r"'channel' \(segment\) is missing in 1 of 6 rows, first in data row 2")
    ):
        read(source, "binary", segments=["channel"])


@pytest.mark.parametrize("engine", [engine for engine in ENGINES if engine not in FILES])
def test_an_empty_segment_is_refused(engine: str, tmp_path: Path) -> None:
    source = in_engine(table(channel=["Web", "Web", "Web", "Web", "", "Web"]), engine, tmp_path)
    with pytest.raises(
        DataError, match=as_told_by(engine, r"'channel' \(segment\) is empty text in 1 of 6 rows, first in data row 5")
    ):
        read(source, "binary", segments=["channel"])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["binary", "count", "continuous", "revenue"])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, r"is missing in 1 of 6 rows, first in data row 4"),
        (np.inf, r"is infinite in 1 of 6 rows, first in data row 4 \(inf\)"),
        (-np.inf, r"is infinite in 1 of 6 rows, first in data row 4 \(-inf\)"),
    ],
)
def test_an_outcome_that_is_not_finite_is_refused(
    engine: str, kind: str, value: Any, words: str, tmp_path: Path
) -> None:
    source = in_engine(table(y=[1.0, 0.0, 1.0, value, 0.0, 1.0]), engine, tmp_path)
    with pytest.raises(DataError, match=as_told_by(engine, r"'y' \(outcome\) " + words)):
        read(source, kind)


@pytest.mark.parametrize("kind", ["binary", "count", "continuous", "revenue"])
def test_nan_is_told_apart_from_null_where_the_engine_does(kind: str) -> None:
    lazy = pl.LazyFrame({"group": ["control", "offer"] * 2, "y": [1.0, float("nan"), 0.0, 1.0]})
    for source in (lazy, lazy.collect(), duckdb.connect().from_arrow(lazy.collect().to_arrow())):
        with pytest.raises(DataError, match=r"'y' \(outcome\) is NaN in 1 of 4 rows, first in data row 2 \(nan\)"):
            read(source, kind)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_outcome_of_text_is_refused(engine: str, tmp_path: Path) -> None:
    source = in_engine(table(y=["1", "0", "yes", "0", "NA", "1"]), engine, tmp_path)
    words = r"'y' \(outcome\) is not a number in 2 of 6 rows, first in data row 3 \('yes'\), 5 \('NA'\)"
    with pytest.raises(DataError, match=as_told_by(engine, words)):
        read(source, "binary")


def test_text_far_down_in_a_csv_is_found(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    rows = 60_000
    values = ["1"] * rows
    values[-1] = "oops"
    pd.DataFrame({"group": ["control", "offer"] * (rows // 2), "y": values}).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"not a number in 1 of 60,000 rows, first in data row 60000 \('oops'\)"):
        read(path, "binary")


def test_numbers_stored_as_text_are_refused() -> None:
    with pytest.raises(DataError, match=r"not a number in 6 of 6 rows.*type is String\. Convert it first"):
        read(table(y=["1", "0", "1", "0", "1", "1"]), "binary")


def test_dates_are_no_outcome() -> None:
    with pytest.raises(DataError, match="not a number in 6 of 6 rows"):
        read(table(y=list(pd.date_range("2020-01-01", periods=6))))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("binary", 2.0, r"is neither 0 nor 1 in 1 of 6 rows, first in data row 6 \(2\.0\)"),
        ("binary", 0.5, r"is neither 0 nor 1 in 1 of 6 rows, first in data row 6 \(0\.5\)"),
        ("count", -1.0, r"is negative in 1 of 6 rows, first in data row 6 \(-1\.0\)"),
        ("count", 1.5, r"is fractional in 1 of 6 rows, first in data row 6 \(1\.5\)"),
        ("revenue", -0.01, r"is negative in 1 of 6 rows, first in data row 6 \(-0\.01\)"),
    ],
)
def test_an_outcome_outside_its_kind_is_refused(
    engine: str, kind: str, value: float, words: str, tmp_path: Path
) -> None:
    source = in_engine(table(y=[1.0, 0.0, 1.0, 0.0, 0.0, value]), engine, tmp_path)
    with pytest.raises(DataError, match=as_told_by(engine, r"'y' \(outcome\) " + words)):
        read(source, kind)


def test_only_the_first_rows_are_shown() -> None:
    with pytest.raises(DataError, match=r"in 6 of 6 rows, first in data row 1 \(-1\), 2 \(-2\), 3 \(-3\)\. Expected"):
        read(table(y=[-1, -2, -3, -4, -5, -6]), "count")


@pytest.mark.parametrize("engine", CHEAP)
@pytest.mark.parametrize(
    ("exposure", "words"),
    [
        ([1.0, 1.0, None, 1.0, 1.0, 1.0], "is missing in 1 of 6 rows, first in data row 3"),
        ([1.0, 1.0, 0.0, 1.0, 1.0, 1.0], r"is not positive in 1 of 6 rows, first in data row 3 \(0\.0\)"),
        ([1.0, 1.0, -2.0, 1.0, 1.0, 1.0], "is not positive in 1 of 6 rows"),
        ([1.0, 1.0, np.inf, 1.0, 1.0, 1.0], "is infinite in 1 of 6 rows"),
    ],
)
def test_an_exposure_that_is_none_is_refused(engine: str, exposure: list[Any], words: str, tmp_path: Path) -> None:
    source = in_engine(table(days=exposure), engine, tmp_path)
    with pytest.raises(DataError, match=r"'days' \(exposure\) " + words):
        read(source, "count", exposure="days")


def test_an_exposure_is_for_counts_only() -> None:
    with pytest.raises(ArgumentError, match="only counts have an exposure"):
        read(table(days=[1.0] * 6), "binary", exposure="days")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("reader", [read_cells, read_experiment])
def test_a_unit_that_comes_twice_is_refused(engine: str, reader: Any, tmp_path: Path) -> None:
    source = in_engine(table(customer=["a", "b", "a", "d", "e", "f"]), engine, tmp_path)
    with pytest.raises(
        DataError,
        match=r"1 of 6 rows repeat a unit of the column 'customer' \(unit\): 'a' \(2 rows\)",
    ):
        reader(source, arm="group", control="control", outcome="y", kind="binary", unit="customer")


@pytest.mark.parametrize("engine", CHEAP)
def test_a_missing_unit_is_refused(engine: str, tmp_path: Path) -> None:
    source = in_engine(table(customer=["a", None, "c", "d", "e", "f"]), engine, tmp_path)
    with pytest.raises(DataError, match=r"'customer' \(unit\) is missing in 1 of 6 rows, first in data row 2"):
        read(source, unit="customer")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("reader", [read_cells, read_experiment])
def test_a_table_without_rows_is_refused(engine: str, reader: Any, tmp_path: Path) -> None:
    source = in_engine(table().head(0), engine, tmp_path)
    with pytest.raises(DataError, match="the table has no rows"):
        reader(source, arm="group", control="control", outcome="y", kind="continuous")


def test_an_unknown_kind_is_told_with_the_closest() -> None:
    with pytest.raises(ArgumentError, match=r"'binray'. Kinds: binary, count.*Did you mean 'binary'\?"):
        read(table(), "binray")


@pytest.mark.parametrize(
    "roles",
    [
        {"arm": "y"},
        {"segments": ["group"]},
        {"segments": ["y"]},
        {"unit": "group"},
    ],
)
def test_a_column_with_two_roles_is_refused(roles: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="a column has one role"):
        read(table(), **roles)


def test_a_segment_named_twice_is_refused() -> None:
    with pytest.raises(ArgumentError, match="'channel' twice"):
        read(table(), segments=["channel", "channel"])


def test_two_factors_of_one_name_are_refused() -> None:
    renamed = table(segment=list("xyxyxy"), factor_segment=list("uvuvuv"))
    with pytest.raises(ArgumentError, match="both be called 'factor_segment'"):
        read(renamed, segments=["segment", "factor_segment"])


@pytest.mark.parametrize("source", [3, {"y": [1]}, [1, 2], None, np.zeros(3)])
def test_what_is_no_dataframe_is_refused(source: Any) -> None:
    with pytest.raises(FrameTypeError, match="expected a path to a CSV or Parquet file, or a dataframe"):
        read(source)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"no file at '.*nothing\.csv'"):
        read(tmp_path / "nothing.csv")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "is empty"),
        ("empty.parquet", b"", "is empty"),
        ("table.xlsx", b"x", "suffix '.xlsx'; expected a file that ends in .csv"),
        ("fake.parquet", b"group,y\ncontrol,1\n", "is not a readable Parquet file"),
        ("fake.csv.gz", b"group,y\ncontrol,1\n", "is not a readable CSV file"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match=words):
        read(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="is a folder"):
        read(tmp_path)


def test_an_engine_that_fails_on_the_way_is_translated() -> None:
    broken = pl.LazyFrame({"group": ["control", "offer"], "y": ["1", "x"]}).with_columns(pl.col("y").cast(pl.Int64))
    with pytest.raises(DataError, match="could not be read by its engine"):
        read(broken)
    relation = duckdb.connect().sql(
        "select 'control' as \"group\", cast(t as int) as y from (values ('1'), ('x')) v(t)"
    )
    with pytest.raises(DataError, match="could not be read by its engine"):
        read(relation)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"y": [11.0, 2.0]}, r"'y' \(successes\) is above the trials \('n'\) in 1 of 2 rows, first in data row 1 \(11"),
        ({"y": [-1.0, 2.0]}, r"'y' \(successes\) is negative in 1 of 2 rows"),
        ({"y": [1.5, 2.0]}, r"'y' \(successes\) is fractional in 1 of 2 rows"),
        ({"n": [10.5, 10.0]}, r"'n' \(trials\) is fractional in 1 of 2 rows, first in data row 1 \(10\.5\)"),
        ({"n": [-10.0, 10.0]}, r"'n' \(trials\) is negative in 1 of 2 rows"),
        ({"n": [None, 10.0]}, r"'n' \(trials\) is missing in 1 of 2 rows"),
        ({"n": [np.inf, 10.0]}, r"'n' \(trials\) is infinite in 1 of 2 rows"),
        ({"arm": ["A", None]}, r"'arm' \(arm\) is missing in 1 of 2 rows"),
        ({"n": [0.0, 0.0], "y": [0.0, 0.0]}, "not a single unit"),
        ({"y": ["one", "two"]}, r"'y' \(successes\) is not a number in 2 of 2 rows"),
    ],
)
def test_faults_of_counts_are_refused(engine: str, columns: dict[str, list[Any]], words: str, tmp_path: Path) -> None:
    counts = pd.DataFrame({"arm": ["A", "B"], "n": [10.0, 10.0], "y": [1.0, 2.0]} | columns)
    if engine in FILES and "infinite" in words:
        words = r"'n' \(trials\) is not a number in 1 of 2 rows, first in data row 1 \('inf'\)"
    with pytest.raises(DataError, match=as_told_by(engine, words)):
        read_counts(in_engine(counts, engine, tmp_path), arm="arm", control="A", trials="n", successes="y")


def test_trials_and_successes_are_two_columns() -> None:
    counts = pd.DataFrame({"arm": ["A", "B"], "n": [10, 10]})
    with pytest.raises(ArgumentError, match="'n' is named as trials and as successes"):
        read_counts(counts, arm="arm", control="A", trials="n", successes="n")


@pytest.mark.parametrize("engine", CHEAP)
def test_an_outcome_that_is_all_missing_is_refused(engine: str, tmp_path: Path) -> None:
    source = in_engine(table(y=[None] * 6), engine, tmp_path)
    with pytest.raises(DataError, match=r"'y' \(outcome\) is missing in 6 of 6 rows, first in data row 1"):
        read(source, "binary")


def test_missing_text_is_not_counted_as_text() -> None:
    with pytest.raises(DataError, match=r"is not a number in 1 of 6 rows, first in data row 5 \('NA'\)"):
        read(table(y=["1", None, "1", "0", "NA", "1"]), "binary")


@pytest.mark.parametrize("roles", [{"arm": "channel"}, {"segments": ["channel"]}, {"unit": "channel"}])
def test_lists_are_no_labels(roles: dict[str, Any]) -> None:
    nested = pl.from_pandas(table()).with_columns(channel=pl.concat_list("channel"))
    with pytest.raises(DataError, match=r"'channel' \(.*\) holds List\(String\); expected text, numbers"):
        read(nested, **roles)
    with pytest.raises(DataError, match="'channel' holds lists; expected text, numbers"):
        read(table(channel=[["Web"]] * 6), **roles)


@pytest.mark.parametrize(
    "roles", [{"arm": None}, {"arm": 3}, {"outcome": ["y"]}, {"segments": None}, {"segments": [3]}]
)
def test_names_that_are_no_text_are_refused(roles: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="expected"):
        read(table(), **roles)


@pytest.mark.parametrize("kind", ["continuous", "revenue"])
def test_amounts_too_large_to_square_are_refused(kind: str) -> None:
    with pytest.raises(DataError, match="not finite"):
        read(table(y=[1.7e308, 0.0, 1.7e308, 1.0, 0.0, 3.0]), kind)
