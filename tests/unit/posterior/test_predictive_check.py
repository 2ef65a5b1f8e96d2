"""A model that would not have made the data is told so, and the one that did make them passes."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.data.cells import Cells
from bayesuplift.errors import PosteriorError
from tests.support.worlds import binary_cells, foreign, normal_draws, seed_of

UNITS = np.full((6, 2), 2000)
RATES = np.array([0.10, 0.12])


def dealt(rates: Any, name: str, units: np.ndarray = UNITS) -> Cells:
    """Cells with these rates (segment, arm), dealt by a seeded generator."""
    every = np.broadcast_to(rates, units.shape)
    return binary_cells(units, np.random.default_rng(seed_of(name)).binomial(units, every))


def outcome(tree: xr.DataTree, cells: Cells, seed: int = 1) -> dict[str, bool]:
    return {check.name: check.passed for check in bu.predictive_check(tree, cells, seed=seed)}


def one_rate_an_arm(cells: Cells) -> xr.DataTree:
    return bu.fit("beta_binomial", cells.by(), seed=1)


def test_one_rate_an_arm_passes_where_segments_are_alike() -> None:
    cells = dealt(RATES, "alike")
    assert outcome(one_rate_an_arm(cells), cells) == {"cell_rates": True, "spread_over_segments": True}


def test_one_rate_an_arm_fails_where_segments_differ() -> None:
    cells = dealt(RATES + np.array([-0.05, -0.03, -0.01, 0.01, 0.03, 0.05])[:, None], "differ")
    assert outcome(one_rate_an_arm(cells), cells) == {"cell_rates": False, "spread_over_segments": False}


def test_a_rate_for_every_cell_passes_on_the_same_data() -> None:
    cells = dealt(RATES + np.array([-0.05, -0.03, -0.01, 0.01, 0.03, 0.05])[:, None], "differ")
    assert outcome(bu.fit("beta_binomial", cells, seed=1), cells) == {"cell_rates": True, "spread_over_segments": True}


def test_many_small_differences_fail_on_their_spread_though_no_cell_stands_out() -> None:
    units = np.full((100, 2), 400)
    shifts = np.random.default_rng(seed_of("shifts")).choice([-0.0135, 0.0135], size=(100, 1))
    cells = dealt(RATES + shifts, "small", units)
    assert outcome(one_rate_an_arm(cells), cells) == {"cell_rates": True, "spread_over_segments": False}


def test_a_posterior_whose_arms_were_swapped_fails() -> None:
    cells = dealt([0.1, 0.2], "swapped")
    draws = bu.fit("beta_binomial", cells.by(), seed=1)["posterior"]["mean_outcome"].values[..., ::-1]
    assert outcome(foreign(draws), cells) == {"cell_rates": False, "spread_over_segments": True}


def test_the_sentence_names_the_cell_and_by_how_much_the_spread_is_off() -> None:
    cells = dealt(RATES + np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.2])[:, None], "one segment")
    rates, spread = bu.predictive_check(one_rate_an_arm(cells), cells, seed=1)
    assert rates.facts["worst"]["segment"] == "place=p00005"
    assert "place=p00005" in rates.sentence
    assert spread.facts["ratio"] > 10
    assert "times as much as the model predicts" in spread.sentence


def test_without_segments_only_the_rates_are_checked() -> None:
    cells = binary_cells([1000, 1000], [100, 130])
    assert outcome(bu.fit("beta_binomial", cells, seed=1), cells) == {"cell_rates": True}


def test_a_cell_with_nobody_contradicts_nothing() -> None:
    cells = binary_cells([[1000, 1000], [1000, 0], [0, 0]], [[100, 110], [95, 0], [0, 0]])
    for fitted in (cells.by(), cells):
        assert all(outcome(bu.fit("beta_binomial", fitted, seed=1), cells).values())


def test_cells_in_another_order_than_the_posteriors_are_matched_by_name() -> None:
    cells = dealt([0.05, 0.4], "order")
    draws = bu.fit("beta_binomial", cells.by(), seed=1)["posterior"]["mean_outcome"].values[..., ::-1]
    assert all(outcome(foreign(draws, arms=["b", "a"], control="a"), cells).values())


def test_the_seed_decides_the_replications() -> None:
    cells = dealt(RATES, "alike")
    tree = one_rate_an_arm(cells)
    p = [bu.predictive_check(tree, cells, seed=seed)[1].facts["p"] for seed in (1, 1, 2)]
    assert p[0] == p[1] != p[2]


def test_true_models_fail_about_as_seldom_as_they_should() -> None:
    # Two checks at .01 each, the second on two sides: at most .03 of 80 worlds, 2.4; 10 or more have p < 4e-4.
    failures = 0
    for world in range(80):
        cells = dealt(RATES, f"true {world}", np.full((4, 2), 300))
        failures += not all(
            outcome(bu.fit("beta_binomial", cells.by(), seed=world, draws=250), cells, seed=world).values()
        )
    assert failures < 10


def test_arms_segments_or_outcomes_that_are_not_those_of_the_cells_are_refused() -> None:
    cells = dealt(RATES, "refused")
    with pytest.raises(PosteriorError, match="arms are not those"):
        bu.predictive_check(foreign(normal_draws([0.1, 0.1], 0.01, seed=1), arms=["a", "z"]), cells, seed=1)
    with pytest.raises(PosteriorError, match="segments are not those"):
        bu.predictive_check(bu.fit("beta_binomial", cells, seed=1), cells.by(), seed=1)
    table = pd.DataFrame({"arm": ["a", "b"] * 20, "spend": np.arange(40.0)})
    spend = bu.read_cells(table, arm="arm", control="a", outcome="spend", kind="revenue")
    with pytest.raises(PosteriorError, match="revenue outcomes, the posterior needs draws of buying_rate"):
        bu.predictive_check(one_rate_an_arm(cells), spend, seed=1)
