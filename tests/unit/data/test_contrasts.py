"""Crossed factors as orthonormal contrasts."""

import numpy as np
import pandas as pd
import pytest

import bayesuplift as bu
import bayesuplift.models  # registers the models
from bayesuplift.data import contrasts
from bayesuplift.data.cells import Cells
from bayesuplift.data.contrasts import contrasts_of, helmert
from bayesuplift.errors import ArgumentError
from bayesuplift.inference.density import given
from bayesuplift.spec import registered
from tests.support.pooled import dealt

EXACT = 1e-15  # one rounding of numbers up to 1


def cells_of(levels: dict[str, list[str]]) -> Cells:
    """Cells of segments with these levels, by factor; one segment a row."""
    segments = pd.DataFrame(levels)
    rows = segments.loc[segments.index.repeat(2)].reset_index(drop=True)
    table = rows.assign(arm=["a", "b"] * len(segments), n=5, y=2)
    return bu.read_counts(table, arm="arm", control="a", trials="n", successes="y", segments=list(levels))


CROSSED = {
    "size": ["10", "9", "10", "9", "10"],
    "channel": ["Web", "Phone", "Phone", "Web", "Multi"],
}


@pytest.mark.parametrize("levels", [1, 2, 3, 10])
def test_contrasts_are_orthonormal_and_sum_to_zero(levels: int) -> None:
    found = helmert(levels)
    assert found.shape == (levels, levels - 1)
    np.testing.assert_allclose(found.T @ found, np.eye(levels - 1), atol=levels * EXACT)
    np.testing.assert_allclose(found.sum(0), 0.0, atol=levels * EXACT)


@pytest.mark.parametrize("levels", [2, 3, 10])
def test_independent_contrasts_make_levels_exchangeable_about_their_mean(levels: int) -> None:
    found = helmert(levels)
    about_the_mean = np.eye(levels) - 1.0 / levels
    np.testing.assert_allclose(found @ found.T, about_the_mean, atol=levels * EXACT)


def test_columns_are_the_rows_of_each_segments_levels() -> None:
    cells = cells_of(CROSSED)
    coded = contrasts_of(cells)
    assert coded.levels == ("size=9", "size=10", "channel=Multi", "channel=Phone", "channel=Web")
    assert coded.terms == ("size", "channel", "segment")
    assert list(coded.term) == [0, 1, 1]
    for row, label in zip(coded.columns, cells.statistics["segment"].to_numpy(), strict=True):
        of_segment = [coded.levels.index(part) for part in str(label).split(", ")]
        np.testing.assert_array_equal(row, coded.basis[of_segment].sum(0))


def test_each_factor_has_a_block_of_its_own() -> None:
    coded = contrasts_of(cells_of(CROSSED))
    np.testing.assert_array_equal(coded.basis[:2, :1], helmert(2))
    np.testing.assert_array_equal(coded.basis[2:, 1:], helmert(3))
    assert not coded.basis[:2, 1:].any()
    assert not coded.basis[2:, :1].any()


def test_levels_of_one_factor_are_the_segments_and_leave_nothing_to_them() -> None:
    coded = contrasts_of(cells_of({"channel": ["Web", "Phone", "Multi"]}))
    assert coded.terms == ("channel",)
    assert coded.columns.shape == (3, 2)
    assert sorted(map(tuple, coded.columns)) == sorted(map(tuple, helmert(3)))


def test_a_factor_of_one_level_has_no_contrast() -> None:
    coded = contrasts_of(cells_of({"country": ["DE", "DE"], "channel": ["Phone", "Web"]}))
    assert coded.terms == ("country", "channel", "segment")
    assert list(coded.term) == [1]
    assert coded.basis.shape == (3, 1)
    np.testing.assert_array_equal(coded.basis[0], 0.0)


def test_cells_without_segments_are_refused() -> None:
    table = pd.DataFrame({"arm": ["a", "b"], "n": [5, 5], "y": [1, 2]})
    with pytest.raises(ArgumentError, match="no segments to pool over"):
        contrasts_of(bu.read_counts(table, arm="arm", control="a", trials="n", successes="y"))


def test_more_levels_than_fit_are_refused_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = dealt((2, 3, 3), seed=1)
    monkeypatch.setattr(contrasts, "_LARGEST", 6 * 3)
    assert contrasts.contrasts_of(cells).columns.shape == (6, 3)
    monkeypatch.setattr(contrasts, "_LARGEST", 6 * 3 - 1)
    with pytest.raises(ArgumentError, match="6 segments of 5 levels"):
        contrasts.contrasts_of(cells)


def test_models_that_are_not_told_factors_are_given_none() -> None:
    cells = dealt((2, 3, 3), seed=1)
    told = {
        name: "design" in given(registered()[name], cells).values
        for name in ("beta_binomial", "partial_pooling_binary")
    }
    assert told == {"beta_binomial": False, "partial_pooling_binary": True}
