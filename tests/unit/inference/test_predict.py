"""Segments that were never seen: the draws of what was seen, the population's spread for what was not."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import logit

import bayesuplift as bu
from bayesuplift.errors import BayesupliftError, PosteriorError
from bayesuplift.posterior.schema import mean_outcome
from tests.support.mcse import assert_within_mcse
from tests.support.pooled import dealt
from tests.support.worlds import foreign, normal_draws, seed_of

CELLS = dealt((2, 3, 3), seed=seed_of("predict"))
SEEN = pd.DataFrame([{"age": f"a{k}", "place": f"p{j}"} for k in range(2) for j in range(3)])


def logits(rates: xr.DataArray) -> xr.DataArray:
    return rates.copy(data=logit(rates.values))


@pytest.fixture(scope="module")
def posterior() -> xr.DataTree:
    return bu.fit("partial_pooling", CELLS, seed=1, draws=500, sensitivity=False, progress=False)


def test_segments_of_the_fit_have_its_very_draws(posterior: xr.DataTree) -> None:
    found = bu.predict(posterior, SEEN, seed=1)
    np.testing.assert_array_equal(mean_outcome(found).values, mean_outcome(posterior).values)
    assert found.attrs["new_segments"] == 0
    assert list(mean_outcome(found)["place"].values) == list(mean_outcome(posterior)["place"].values)


def test_a_new_level_is_as_far_out_as_its_population(posterior: xr.DataTree) -> None:
    found = logits(mean_outcome(bu.predict(posterior, pd.DataFrame({"age": ["a0"], "place": ["new"]}), seed=2)))
    draws = posterior["posterior"].to_dataset()
    control = draws["base"] + draws["prognostic_level"].sel(level="age=a0")
    away = (found.sel(arm="a").isel(segment=0) - control.drop_vars("level")).transpose("chain", "draw")
    scales = draws["prognostic_scale"]
    expected = scales.sel(term="place") ** 2 * (1 + 1 / 3) + scales.sel(term="segment") ** 2
    # the difference of the squares has mean 0; without the third of the mean's own error it has not
    squares = (away**2).values
    assert_within_mcse(squares - expected.values, 0.0)
    short = scales.sel(term="place") ** 2 + scales.sel(term="segment") ** 2
    with pytest.raises(AssertionError, match="Monte Carlo errors apart"):
        assert_within_mcse(squares - short.values * 0.5, 0.0)


def test_effects_of_a_new_level_are_correlated_as_the_fit_found(posterior: xr.DataTree) -> None:
    found = logits(mean_outcome(bu.predict(posterior, pd.DataFrame({"age": ["a0"], "place": ["new"]}), seed=3)))
    draws = posterior["posterior"].to_dataset()
    treated = found.sel(arm=["b", "c"]).isel(segment=0) - found.sel(arm="a").isel(segment=0)
    mean = draws["average_effect"] + draws["effect_level"].sel(level="age=a0", drop=True)
    away = treated.transpose("chain", "draw", "arm").values - mean.transpose("chain", "draw", "treatment").values
    cholesky = draws["effect_cholesky"].transpose("chain", "draw", "treatment", "other_treatment").values
    correlation = (cholesky[..., 0, :] * cholesky[..., 1, :]).sum(-1)
    variance = draws["effect_scale"].sel(term="place") ** 2 * (4 / 3) + draws["effect_scale"].sel(term="segment") ** 2
    assert_within_mcse(away[..., 0] * away[..., 1] - correlation * variance.values, 0.0)


def test_the_same_new_level_in_two_rows_is_one_level(posterior: xr.DataTree) -> None:
    table = pd.DataFrame({"age": ["a0", "a1"], "place": ["new", "new"]})
    found = logits(mean_outcome(bu.predict(posterior, table, seed=4)).sel(arm="a"))
    draws = posterior["posterior"].to_dataset()
    known = draws["prognostic_level"].sel(level="age=a1", drop=True) - draws["prognostic_level"].sel(
        level="age=a0", drop=True
    )
    left = (found.isel(segment=1) - found.isel(segment=0) - known).transpose("chain", "draw")
    # the place cancels; the two segments' own deviations stay
    assert_within_mcse((left**2).values - 2 * draws["prognostic_scale"].sel(term="segment").values ** 2, 0.0)


def test_a_target_population_with_new_segments_is_averaged(posterior: xr.DataTree) -> None:
    target = pd.DataFrame({"age": ["a0", "a1"], "place": ["p0", "new"], "n": [3.0, 1.0]})
    found = bu.predict(posterior, target, seed=5)
    average = bu.ate(found, population=target)
    effect = bu.cate(found)
    by_hand = 0.75 * effect.sel(segment="age=a0, place=p0") + 0.25 * effect.sel(segment="age=a1, place=new")
    np.testing.assert_allclose(average.values, by_hand.transpose(*average.dims).values, atol=1e-12)


def test_rows_in_another_order_and_twice_change_nothing(posterior: xr.DataTree) -> None:
    table = pd.DataFrame({"age": ["a0", "a1", "z"], "place": ["new", "p1", "p1"]})
    once = bu.predict(posterior, table, seed=6)
    again = bu.predict(posterior, pd.concat([table[::-1], table]), seed=6)
    xr.testing.assert_identical(once["posterior"].to_dataset(), again["posterior"].to_dataset())


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pd.DataFrame({"age": ["a0"]}), "place"),
        (pd.DataFrame({"age": ["a0", None], "place": ["p0", "p1"]}), "missing"),
        (SEEN[:0], "row"),
    ],
)
def test_a_table_that_tells_no_segments_is_refused(posterior: xr.DataTree, table: pd.DataFrame, said: str) -> None:
    with pytest.raises(BayesupliftError, match=said):
        bu.predict(posterior, table, seed=1)


def test_another_models_posterior_is_refused() -> None:
    with pytest.raises(PosteriorError, match="new segments and units are predicted by partial_pooling_binary"):
        bu.predict(foreign(normal_draws([1.0, 2.0], 0.1, seed=1)), SEEN, seed=1)
