"""Averages over another population: a table of weights."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.errors import ArgumentError, ColumnNotFoundError, DataError, FrameTypeError
from tests.support.factored import FACTORS, UNITS, factored, rates
from tests.support.worlds import foreign, seed_of

DRAWS = rates(seed=seed_of("populations"))
TREE = factored(DRAWS)
OBSERVED = pd.DataFrame({**FACTORS, "n": np.array(UNITS).sum(axis=1)})
OTHER = pd.DataFrame({"channel": ["Web", "Phone", "Web"], "newbie": [0, 1, 1], "n": [3.0, 1.0, 4.0]})


def test_the_observed_units_as_a_table_give_the_default() -> None:
    xr.testing.assert_identical(bu.ate(TREE, population=OBSERVED), bu.ate(TREE))
    xr.testing.assert_identical(bu.gate(TREE, by="channel", population=OBSERVED), bu.gate(TREE, by="channel"))
    xr.testing.assert_identical(bu.effect_spread(TREE, population=OBSERVED), bu.effect_spread(TREE))


def test_a_table_decides_the_weights_whatever_the_order_of_its_rows_and_columns() -> None:
    expected = (3 * DRAWS[:, :, 1] + DRAWS[:, :, 2] + 4 * DRAWS[:, :, 3]) / 8
    found = bu.ate(TREE, population=OTHER, scale="mean_outcome")
    np.testing.assert_allclose(found, expected, atol=1e-14)
    group = bu.gate(TREE, by="channel", population=OTHER, scale="mean_outcome")
    np.testing.assert_allclose(
        group.sel(segment="channel=Web"), (3 * DRAWS[:, :, 1] + 4 * DRAWS[:, :, 3]) / 7, atol=1e-14
    )
    assert group["n"].values.tolist() == [1.0, 7.0]
    assert (abs(found - bu.ate(TREE, scale="mean_outcome")) > 1e-3).any()


def test_a_table_is_any_dataframe_or_a_file_and_scaling_it_changes_nothing(tmp_path: Any) -> None:
    expected = bu.ate(TREE, population=OTHER)
    OTHER.to_csv(tmp_path / "people.csv", index=False)
    OTHER.to_parquet(tmp_path / "people.parquet")
    sources = (
        pl.from_pandas(OTHER),
        pl.from_pandas(OTHER).lazy(),
        tmp_path / "people.csv",
        tmp_path / "people.parquet",
    )
    for source in sources:
        xr.testing.assert_identical(bu.ate(TREE, population=source), expected)
    scaled = OTHER.rename(columns={"n": "people"}).assign(people=OTHER["n"] * 1024)
    xr.testing.assert_identical(bu.ate(TREE, population=scaled, weight="people"), expected)


def test_rows_of_one_segment_are_added_up() -> None:
    halves = pd.concat([OTHER.assign(n=OTHER["n"] / 2)] * 2)
    xr.testing.assert_identical(bu.ate(TREE, population=halves), bu.ate(TREE, population=OTHER))
    mixed = pd.concat([halves, halves.astype({"newbie": str})])  # 1 and "1" are one level
    xr.testing.assert_identical(bu.ate(TREE, population=mixed), bu.ate(TREE, population=OTHER))


def test_a_group_without_anybody_is_left_out_and_named() -> None:
    group = bu.gate(TREE, by="channel", population=OTHER[OTHER["channel"] == "Web"])
    assert group["segment"].values.tolist() == ["channel=Web"]
    assert group.attrs["left_out"] == "nobody in channel=Phone"
    assert "left_out" not in bu.gate(TREE, by="channel").attrs


def test_rows_of_nobody_need_not_be_known() -> None:
    more = pd.concat([OTHER.astype({"newbie": str}), pd.DataFrame({"channel": ["Mail"], "newbie": ["9"], "n": [0.0]})])
    xr.testing.assert_identical(bu.ate(TREE, population=more), bu.ate(TREE, population=OTHER))


def test_factors_called_like_words_of_ours_are_found_under_either_name() -> None:
    tree = factored(DRAWS, factors={"factor_n": FACTORS["newbie"], "factor_segment": FACTORS["channel"]})
    table = OTHER.rename(columns={"newbie": "factor_n", "channel": "segment", "n": "people"})
    found = bu.ate(tree, population=table, weight="people")
    np.testing.assert_array_equal(found, bu.ate(TREE, population=OTHER))
    called = table.rename(columns={"factor_n": "n", "segment": "factor_segment"})
    np.testing.assert_array_equal(bu.ate(tree, population=called, weight="people"), found)


def test_segments_with_labels_only_are_weighed_by_these() -> None:
    draws = rates(seed=3, segments=2, arms=2)
    tree = foreign(draws, segments={"x": [1, 1], "y": [1, 1]})
    found = bu.ate(tree, population=pd.DataFrame({"segment": ["y", "x"], "n": [3, 1]}), scale="mean_outcome")
    np.testing.assert_allclose(found, (draws[:, :, 0] + 3 * draws[:, :, 1]) / 4, atol=1e-14)


@pytest.mark.parametrize(
    ("table", "error", "told"),
    [
        (OTHER.drop(columns="newbie"), ColumnNotFoundError, "no column for the factor 'newbie'"),
        (OTHER.rename(columns={"newbie": "newby"}), ColumnNotFoundError, "Did you mean 'newby'"),
        (OTHER.drop(columns="n"), ColumnNotFoundError, r"no column named 'n' \(weight\)"),
        (
            OTHER.assign(n=[1.0, -2.0, 1.0]),
            DataError,
            r"'n' \(weight\) is negative in 1 of 3 rows, first in data row 2",
        ),
        (OTHER.assign(n=[1.0, np.inf, 1.0]), DataError, "is infinite in 1 of 3"),
        (OTHER.assign(n=[1.0, np.nan, 1.0]), DataError, "'n' .weight. is (NaN|missing) in 1 of 3"),
        (OTHER.assign(n=["1", "two", "3"]), DataError, "'n' .weight. is not a number"),
        (OTHER.assign(n=0.0), DataError, "weights add up to 0"),
        (OTHER.assign(n=1.5e308), DataError, "more than a number can hold"),
        (OTHER.assign(channel=["Web", "", "Web"]), DataError, "'channel' .factor. is empty text"),
        (OTHER.head(0), DataError, "no rows"),
        (
            OTHER.assign(channel=["Mail", "Phone", "Fax"]),
            DataError,
            r"2 of .* 3 segments are not in the posterior: newbie=0, channel=Mail; newbie=1, channel=Fax\. Predict them",
        ),
        ([1, 2], FrameTypeError, "got a builtins.list"),
    ],
)
def test_a_table_that_is_not_one_of_weights_is_refused(table: Any, error: Any, told: str) -> None:
    with pytest.raises(error, match=told):
        bu.ate(TREE, population=table)


def test_a_combination_that_the_posterior_lacks_is_refused_though_its_levels_are_known() -> None:
    three = factored(
        DRAWS[:, :, :3], factors={name: column[:3] for name, column in FACTORS.items()}, observed={"n": UNITS[:3]}
    )
    with pytest.raises(
        DataError, match="1 of the population's 3 segments are not in the posterior: newbie=1, channel=Web"
    ):
        bu.ate(three, population=OTHER)


def test_without_segments_there_is_nothing_to_weigh() -> None:
    tree = foreign(rates(seed=5)[:, :, 0])
    with pytest.raises(ArgumentError, match="the posterior is by arm alone: it has no segments to weigh"):
        bu.ate(tree, population=OTHER)
