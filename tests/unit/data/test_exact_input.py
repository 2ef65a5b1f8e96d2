"""Input is taken as it is written: other files, types and names that look alike stay apart."""

import copy
import datetime as dt
import pickle
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest

from bayesuplift.data.cells import Cells
from bayesuplift.data.checks import missingness, sample_ratio
from bayesuplift.data.design import design_of
from bayesuplift.data.experiment import Experiment
from bayesuplift.data.frames import open_frame, schema_of
from bayesuplift.data.readers import read_cells, read_counts, read_experiment
from bayesuplift.errors import ArgumentError, DataError, MissingFileError, UnreadableFileError

ROWS = "arm,y\na,0\na,1\nb,1\nb,0\n"
READERS = pytest.mark.parametrize("reader", [read_cells, read_experiment])


def written(folder: Path, name: str, text: str = ROWS) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def read(source: Any, control: object = "a", reader: Any = read_cells, **options: Any) -> Any:
    return reader(source, **({"arm": "arm", "control": control, "outcome": "y", "kind": "binary"} | options))


def test_a_folder_named_like_a_column_is_not_read_as_one(tmp_path: Path) -> None:
    cells = read(written(tmp_path, "y=1/d.csv"))
    assert cells.total.tolist() == [1, 1]
    table = tmp_path / "y=1" / "d.parquet"
    duckdb.from_df(pd.DataFrame({"arm": list("aabb"), "y": [0, 1, 1, 0]})).to_parquet(str(table))
    assert read(table) == cells


@pytest.mark.parametrize("name", ["v[1].csv", "v*.csv", "v?.csv", "[ab]/v1.csv"])
def test_a_name_with_pattern_characters_is_that_file(tmp_path: Path, name: str) -> None:
    written(tmp_path, "v1.csv", "arm,y\nother,0\nwrong,1\n")
    written(tmp_path, "a/v1.csv", "arm,y\nother,0\nwrong,1\n")
    assert read(written(tmp_path, name)).design.arms == ("a", "b")


def test_a_repeated_name_in_the_header_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "d.csv", "arm,y,y\na,0,1\nb,1,1\n")
    with pytest.raises(UnreadableFileError, match="more than one column named y; expected every name once"):
        read(path)


def test_rows_of_different_length_are_told_so(tmp_path: Path) -> None:
    path = written(tmp_path, "d.csv", "arm,y,z\na,0\nb,1,2,3\n\na\n")
    with pytest.raises(UnreadableFileError):
        read(path)
    with pytest.raises(UnreadableFileError, match="came out as one column, named 'arm,y'; expected several"):
        read(written(tmp_path, "d.tsv"))


def test_tabs_follow_the_end_of_the_name_alone(tmp_path: Path) -> None:
    cells = read(written(tmp_path, "d.csv"))
    assert read(written(tmp_path, "d.tsv.v2.csv")) == cells
    assert read(written(tmp_path, "D.TSV", ROWS.replace(",", "\t"))) == cells


@READERS
@pytest.mark.parametrize(
    ("first", "second"), [("1.10", "1.1"), ("1e5", "10e4"), ("yes", "no"), ("01", "1"), ("20/03/2008", "21/03/2008")]
)
def test_keys_in_a_file_are_labelled_as_written(tmp_path: Path, first: str, second: str, reader: Any) -> None:
    text = f"arm,y,s,u\n{first},0,{first},1.10\n{first},1,{second},1.1\n{second},1,{first},1\n{second},0,{second},01\n"
    cells = read(written(tmp_path, "d.csv", text), first, reader, segments="s", unit="u")
    cells = cells.cells() if isinstance(cells, Experiment) else cells
    assert cells.design.arms == (first, second)
    assert set(cells.statistics["s"].to_numpy()) == {first, second}


@READERS
def test_a_column_that_is_a_number_and_a_factor_keeps_both(tmp_path: Path, reader: Any) -> None:
    path = written(tmp_path, "d.csv", "arm,y,s\na,0,1.10\na,1,1.1\nb,1,1.10\nb,0,1.1\n")
    options = {"covariates": "s"} if reader is read_experiment else {}
    found = read(path, "a", reader, segments="s", **options)
    if isinstance(found, Experiment):
        assert found.covariates["s"].tolist() == [1.1] * 4
        found = found.cells()
    assert sorted(found.statistics["s"].to_numpy()) == ["1.1", "1.10"]


@pytest.mark.parametrize(
    ("control", "arms"),
    [(0, "01"), (np.int64(0), "01"), (0.5, ("0.5", "1")), (True, ("true", "false")), (False, ("FALSE", "TRUE"))],
)
def test_a_control_that_is_not_text_finds_its_label(tmp_path: Path, control: object, arms: Any) -> None:
    path = written(tmp_path, "d.csv", f"arm,y\n{arms[0]},0\n{arms[0]},1\n{arms[1]},0\n{arms[1]},1\n")
    cells = read(path, control)
    assert cells.design.control == arms[0]
    assert cells.design.index(control) == 0


@pytest.mark.parametrize("kind", [dt.datetime, pd.Timestamp, np.datetime64])
def test_the_value_of_a_date_arm_is_its_name(kind: Any) -> None:
    days = [dt.datetime.fromisoformat(f"2008-03-{day}") for day in (20, 21)]
    table = pd.DataFrame({"arm": pd.to_datetime(days * 2), "y": [0, 0, 1, 1]})
    split = {pd.Timestamp(day): 1 for day in days}
    given = np.datetime64(days[1], "ns") if kind is np.datetime64 else kind(2008, 3, 21)
    cells = read(table, given, intended_split=split)
    assert cells.design.arms == ("2008-03-21", "2008-03-20")
    assert cells.design.index(given) == 0
    counts: Any = dict.fromkeys(days, 5)
    assert sample_ratio(counts, split).passed


@pytest.mark.parametrize("number", [np.int64, np.float32, Decimal, Fraction, float])
def test_weights_may_be_any_real_number(number: Any) -> None:
    design = design_of("ab", control="a", intended_split={"a": number(1), "b": number(3)})
    assert design.intended_split == (0.25, 0.75)


@pytest.mark.parametrize(
    "weight", [10**400, Decimal("1e400"), Decimal("NaN"), Decimal("sNaN"), np.nan, 1e308, 1e-320, "1", None, True, 1j]
)
def test_weights_that_are_no_shares_are_refused(weight: Any) -> None:
    with pytest.raises(ArgumentError, match="intended_split"):
        design_of("ab", control="a", intended_split={"a": weight, "b": 1.7e308})


@pytest.mark.parametrize("count", [np.nan, np.inf, None, "1", -1, 0.5, Decimal("NaN")])
def test_counts_that_are_none_are_refused(count: Any) -> None:
    with pytest.raises(DataError, match="the count of b is not a whole number"):
        sample_ratio({"a": 1, "b": count}, {"a": 1, "b": 1})


def test_counts_without_arms_or_with_one_twice_are_refused() -> None:
    with pytest.raises(ArgumentError, match="counts is a list; expected cells, or a mapping"):
        sample_ratio([1, 2], {"a": 1, "b": 1})  # type: ignore[arg-type]
    with pytest.raises(DataError, match="the same label"):
        sample_ratio({"1": 1, 1: 2}, {"1": 1, "2": 1})  # type: ignore[dict-item]
    with pytest.raises(ArgumentError, match="names the arm '1' twice"):
        sample_ratio({"1": 1, "2": 2}, {"1": 1, 1: 1, "2": 1})


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda given: pickle.loads(pickle.dumps(given))])  # noqa: S301
@pytest.mark.parametrize("kind", ["binary", "count", "revenue"])
def test_copies_are_equal_and_read_only(copied: Any, kind: str) -> None:
    table = pd.DataFrame({"arm": list("aabb"), "y": [0, 1, 1, 0], "x": [1.0, 2.0, 3.0, 4.0], "s": list("abab")})
    experiment = read(table, reader=read_experiment, kind=kind, covariates="x", segments="s")
    again: Experiment = copied(experiment)
    assert again.cells() == experiment.cells()
    cells: Cells = copied(read(table, kind=kind, segments="s"))
    assert cells == experiment.cells()
    arrays = [again.arm, again.outcome, again.covariates["x"], cells.n, cells.total]
    if cells.quantiles is not None:
        arrays.append(cells.quantiles.to_numpy())
    assert not any(array.flags.writeable for array in arrays)
    with pytest.raises(TypeError):
        again.covariates["x"] = again.outcome  # type: ignore[index]


def test_the_frequencies_of_cells_cannot_be_changed_from_outside() -> None:
    cells = read(pd.DataFrame({"arm": list("aabb"), "y": [0, 1, 1, 0]}), kind="count")
    before = cells.fingerprint
    table = cells.frequencies
    table.loc[0, "value"] = 9.0
    assert cells.fingerprint == before


@READERS
def test_a_lazy_scan_of_no_file_is_a_missing_file(tmp_path: Path, reader: Any) -> None:
    with pytest.raises(MissingFileError, match="not there"):
        read(pl.scan_parquet(tmp_path / "none.parquet"), reader=reader)
    with pytest.raises(MissingFileError):
        schema_of(open_frame(pl.scan_csv(tmp_path / "none.csv")))


@READERS
@pytest.mark.parametrize("dtype", ["hugeint", "decimal(38, 2)"])
def test_long_codes_stay_apart_in_every_reader(reader: Any, dtype: str) -> None:
    codes = ["123456789012345678901", "123456789012345678902"]
    rows = ", ".join(f"('{arm}', {y}, {code}::{dtype})" for arm in "ab" for y, code in enumerate(codes))
    source = duckdb.sql(f"select * from (values {rows}) t(arm, y, s)")  # noqa: S608 - rows are the test's own
    found = read(source, reader=reader, segments="s")
    cells = found.cells() if isinstance(found, Experiment) else found
    suffix = ".00" if "decimal" in dtype else ""
    assert list(cells.statistics["s"].to_numpy()) == [code + suffix for code in codes]


@READERS
@pytest.mark.parametrize(
    "units",
    [
        np.array([2**63 + 1, 2**63 + 2, 1, 2], dtype=np.uint64),
        [1, "1", 2, "2"],
        [Decimal("0.1"), Decimal("0.10000000000000000001"), Decimal(1), Decimal(2)],
        [2**53, 2**53 + 1, 0.5, 1.5],
    ],
)
def test_units_that_differ_are_not_merged(reader: Any, units: Any) -> None:
    units = units if isinstance(units, np.ndarray) else pd.Series(units, dtype=object)
    read(pd.DataFrame({"arm": list("aabb"), "y": [0, 1, 1, 0], "u": units}), reader=reader, unit="u")


@pytest.mark.parametrize("kind", ["continuous", "revenue"])
def test_deviations_keep_their_digits_at_a_large_mean(kind: str) -> None:
    y = 1e8 + np.tile([0.0, 0.25, 0.5, 0.75], 500)
    table = pd.DataFrame({"arm": ["a", "b"] * 1000, "y": y})
    for source in (table, pl.DataFrame(table.to_dict("list")), duckdb.from_df(table)):
        deviations = read(source, kind=kind).sum_squared_deviations
        np.testing.assert_allclose(deviations, 1000 * 0.0625, rtol=1e-9)


@pytest.mark.parametrize("column", ["trials", "successes"])
def test_counts_that_a_float_would_round_are_refused(column: str) -> None:
    rows = pd.DataFrame({"arm": list("ab"), "trials": [2**53] * 2, "successes": [1, 2]})
    options: Any = {"arm": "arm", "control": "a", "trials": "trials", "successes": "successes"}
    assert read_counts(rows, **options).n.tolist() == [2**53] * 2
    rows.loc[1, column] = 2**53 + 1
    with pytest.raises(DataError, match=rf"'{column}' \({column}\) is above 2\^53.*first in data row 2"):
        read_counts(rows, **options)


def test_factors_may_be_named_in_one_list() -> None:
    cells = read(pd.DataFrame({"arm": list("aabb"), "y": [0, 1, 1, 0], "s": list("abab")}), segments="s")
    assert cells.by(["s"]) == cells.by("s") == cells
    assert cells.by([]) == cells.by()
    with pytest.raises(ArgumentError, match="expected its name as text"):
        cells.by(("s",), "s")
    with pytest.raises(ArgumentError, match="expected its name as text"):
        cells.by(1)


def test_missingness_tells_arms_as_written(tmp_path: Path) -> None:
    path = written(tmp_path, "d.csv", "arm,y\n1.10,0\n1.1,1\n1.10,\n1.1,0\n")
    assert set(missingness(path, arm="arm", columns="y").facts["shares"]["y"]) == {"1.10", "1.1"}
