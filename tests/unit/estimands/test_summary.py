"""What a reader takes away: means, intervals, probabilities and their errors."""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from arviz_stats.base import array_stats
from scipy.special import ndtr, ndtri

import bayesuplift as bu
from bayesuplift.errors import ArgumentError, ArmNotFoundError
from tests.support.mcse import assert_within_mcse
from tests.support.worlds import foreign, normal_draws, seed_of

MEANS, SD = [0.0, 0.3, -0.5], 0.4
DRAWS = normal_draws([1.0, 1.3, 0.5], [0.0, SD, SD], seed=seed_of("summary"))
EFFECT = bu.ate(foreign(DRAWS, arms=["c", "x", "y"]))


def test_every_number_is_that_of_the_draws() -> None:
    table = bu.summarize(EFFECT, prob=0.9, above=0.1)
    for arm in ("x", "y"):
        values, one = EFFECT.sel(arm=arm).values, table.sel(arm=arm)
        np.testing.assert_allclose(one["mean"], values.mean(), rtol=1e-12)
        np.testing.assert_allclose(one["sd"], values.std(ddof=1), rtol=1e-12)
        np.testing.assert_allclose(one["mcse"], array_stats.mcse(values, chain_axis=0, draw_axis=1, method="mean"))
        np.testing.assert_allclose([one["lower"], one["upper"]], np.quantile(values, [0.05, 0.95]), rtol=1e-12)
        assert float(one["prob_positive"]) == (values > 0).mean() == float(one["prob_better"])
        assert float(one["prob_above"]) == (values > 0.1).mean()
    assert (
        not {name for name in table if f"{name}_mcse" not in table}
        - {"mean", "mcse", "sd"}
        - {name for name in table if str(name).endswith("_mcse")}
    )
    assert table.attrs["prob"] == 0.9
    assert table.attrs["scale"] == "difference"


def test_numbers_are_those_of_the_distribution_within_their_errors() -> None:
    table = bu.summarize(EFFECT, prob=0.9, above=0.1)
    truth = np.array(MEANS[1:])
    assert_within_mcse(EFFECT.values, truth, comparisons=2)
    assert_within_mcse((EFFECT > 0.1).astype(float).values, ndtr((truth - 0.1) / SD), comparisons=2)
    for name, q in (("lower", 0.05), ("upper", 0.95)):
        assert (abs(table[name] - (truth + SD * ndtri(q))) <= 5 * table[f"{name}_mcse"]).all()


def test_no_event_among_the_draws_is_not_certainty() -> None:
    table = bu.summarize(EFFECT, above=99.0)
    assert (table["prob_above"] == 0).all()
    assert (table["prob_above_mcse"] >= 1 / 4000).all()
    assert (table["prob_positive_mcse"] < 0.02).all()


def test_where_lower_is_better_the_better_side_is_below() -> None:
    table = bu.summarize(EFFECT, higher_is_better=False)
    np.testing.assert_array_equal(table["prob_better"], (EFFECT < 0).mean(("chain", "draw")))
    np.testing.assert_array_equal(table["prob_positive"], bu.summarize(EFFECT)["prob_positive"])
    assert "prob_better" not in bu.summarize(bu.ate(foreign(DRAWS), scale="mean_outcome"))


def test_a_limit_by_arm_is_matched_by_label() -> None:
    limit = xr.DataArray([0.7, 0.2, -0.4], dims="arm", coords={"arm": ["unused", "y", "x"]})
    table = bu.summarize(EFFECT, above=limit)
    expected = [(EFFECT.sel(arm="x") > -0.4).mean(), (EFFECT.sel(arm="y") > 0.2).mean()]
    np.testing.assert_array_equal(table["prob_above"], expected)


def test_one_number_has_a_summary_too() -> None:
    table = bu.summarize(EFFECT.sel(arm="x"))
    assert table["mean"].dims == ()


@pytest.mark.parametrize(
    ("effect", "options", "error", "told"),
    [
        (EFFECT, {"prob": 1.0}, ArgumentError, "prob = 1.0"),
        (EFFECT, {"prob": "0.9"}, ArgumentError, "prob = '0.9'"),
        (EFFECT, {"above": float("nan")}, ArgumentError, "above is float"),
        (EFFECT, {"above": "breakeven"}, ArgumentError, "above is str"),
        (
            EFFECT,
            {"above": xr.DataArray([1.0], dims="arm", coords={"arm": ["x"]})},
            ArmNotFoundError,
            "above has no arm y",
        ),
        (EFFECT, {"above": xr.DataArray([1.0], dims="place")}, ArgumentError, "above is DataArray over place"),
        (EFFECT, {"above": EFFECT.isel(chain=0, draw=0, drop=True) * np.nan}, ArgumentError, "not a finite number"),
        (EFFECT, {"higher_is_better": "yes"}, ArgumentError, "higher_is_better = 'yes'"),
        (EFFECT.mean(("chain", "draw")), {}, ArgumentError, "expected chain, draw"),
        (EFFECT.where(EFFECT > 0), {}, ArgumentError, "missing or infinite draws"),
        (EFFECT > 0, {}, ArgumentError, "expected 4 draws of floats"),
        (EFFECT.isel(chain=[0], draw=[0, 1]), {}, ArgumentError, "expected 4 draws"),
        (EFFECT.values, {}, ArgumentError, "this is ndarray"),
    ],
)
def test_what_cannot_be_summarized_is_refused(effect: Any, options: Any, error: Any, told: str) -> None:
    with pytest.raises(error, match=told):
        bu.summarize(effect, **options)
