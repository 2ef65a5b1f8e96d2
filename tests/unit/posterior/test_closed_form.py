"""The exact part of a posterior: conjugate updating, by hand, and draws that follow it."""

import numpy as np
import xarray as xr

from bayesuplift.posterior.closed_form import beta_posterior, draw_rates, parameters
from bayesuplift.posterior.schema import assemble
from tests.support.mcse import assert_within_mcse
from tests.support.worlds import binary_cells, seed_of

CELLS = binary_cells([[10, 20], [5, 0]], [[3, 4], [5, 0]])
EXACT = beta_posterior(CELLS.statistics, {"stated": (1.0, 2.0), "weak": (0.5, 0.5)})


def test_conversions_are_added_to_alpha_and_the_others_to_beta() -> None:
    stated = EXACT.sel(prior="stated")
    np.testing.assert_array_equal(stated["alpha"].transpose("segment", "arm"), [[4, 5], [6, 1]])
    np.testing.assert_array_equal(stated["beta"].transpose("segment", "arm"), [[9, 18], [2, 2]])


def test_a_cell_with_nobody_keeps_its_prior_under_every_prior() -> None:
    empty = EXACT.isel(segment=1, arm=1)
    assert empty["alpha"].values.tolist() == [1.0, 0.5]
    assert empty["beta"].values.tolist() == [2.0, 0.5]
    assert EXACT["description"].values.tolist() == ["Beta(1, 2)", "Beta(0.5, 0.5)"]


def test_draws_have_the_mean_and_the_variance_of_their_beta() -> None:
    for prior in ("stated", "weak"):
        draws = draw_rates(EXACT, prior=prior, chains=4, draws=2000, seed=seed_of(prior))
        assert draws.dims == ("chain", "draw", "segment", "arm")
        chosen = EXACT.sel(prior=prior).transpose(..., "segment", "arm")
        alpha, beta = chosen["alpha"].values, chosen["beta"].values
        mean = alpha / (alpha + beta)
        assert_within_mcse(draws.values, mean, comparisons=4)
        variance = mean * (1 - mean) / (alpha + beta + 1)
        assert_within_mcse((draws.values - mean) ** 2, variance, comparisons=4)


def test_draws_keep_the_labels_of_the_cells() -> None:
    draws = draw_rates(EXACT, chains=1, draws=4, seed=1)
    assert draws.coords["place"].values.tolist() == ["p00000", "p00001"]
    assert "prior" not in draws.coords


def test_parameters_are_read_back_from_a_tree_in_whatever_order_its_dimensions_are() -> None:
    draws = draw_rates(EXACT, chains=1, draws=4, seed=1)
    turned = EXACT.transpose("arm", "segment", "prior")
    tree = assemble({"posterior": draws.to_dataset(), "closed_form": turned}, {"control": "a"})
    alpha, beta = parameters(tree, "stated")
    np.testing.assert_array_equal(alpha, [[4, 5], [6, 1]])
    np.testing.assert_array_equal(beta, [[9, 18], [2, 2]])


def test_a_prior_of_one_cell_is_one_of_all() -> None:
    both = beta_posterior(CELLS.statistics, {"stated": (1.0, 1.0)})
    assert xr.DataArray(both["alpha"] + both["beta"] - CELLS.statistics["n"]).values.ravel().tolist() == [2.0] * 4
