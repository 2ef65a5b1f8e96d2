"""Models of units: what made the outcomes passes, and each planted fault fails the check that is meant for it."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.data.checks import Check
from bayesuplift.errors import ArgumentError, PosteriorError
from bayesuplift.posterior import unit_draws
from bayesuplift.posterior.predictive_parts import bernoulli_sum_tails, binomial_tails
from bayesuplift.posterior.unit_parts import parts_of
from tests.support.exact_units import experiment_of, rates, regression, tree_of
from tests.support.worlds import binary_cells, seed_of

UNITS = 400
NORMAL = {
    "means_by_prediction",
    "means_by_effect",
    "means_by_covariate",
    "spread_of_residuals",
    "shape_of_residuals",
    "largest_residuals",
}
BINARY = {"rates_by_prediction", "rates_by_effect", "rates_by_covariate"}

Noise = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def checks(tree: xr.DataTree, data: Any) -> dict[str, Check]:
    return {check.name: check for check in bu.predictive_check(tree, data, seed=1)}


def failed(tree: xr.DataTree, data: Any) -> set[str]:
    return {name for name, check in checks(tree, data).items() if not check.passed}


def normal(rng: np.random.Generator, age: np.ndarray) -> np.ndarray:
    return rng.standard_normal(len(age))


def world(name: str, noise: Noise = normal, *, units: int = UNITS) -> bu.Experiment:
    """Two covariates, of which age changes the level and the effect, and income the level."""
    rng = np.random.default_rng(seed_of(name))
    age, income = rng.standard_normal((2, units))
    arm = np.arange(units) % 2
    level = 10.0 + age + 0.5 * income + arm * (0.5 + 0.6 * age)
    return experiment_of(level + noise(rng, age), arm, {"age": age, "income": income})


def visits(name: str, *, units: int = UNITS) -> tuple[bu.Experiment, np.ndarray]:
    """Visits whose rate differs by channel, and for one of them by arm, and the channel's code."""
    rng = np.random.default_rng(seed_of(name))
    channel, arm = rng.integers(0, 3, units), np.arange(units) % 2
    chance = np.array([[0.1, 0.1], [0.3, 0.55], [0.5, 0.5]])[channel, arm]
    table = {"channel": np.array(["Mail", "Phone", "Web"])[channel], "age": rng.standard_normal(units)}
    return experiment_of((rng.random(units) < chance).astype(float), arm, table, kind="binary"), channel


def test_true_models_fail_no_more_often_than_they_should() -> None:
    # Six checks at .01 in 60 worlds fail 3.6 times, and three checks 1.8 times; 10 and 7 times or more have p < 4e-3.
    continuous = binary = 0
    for k in range(60):
        data = world(f"true {k}", units=240)
        found = checks(regression(data, "age", "income", seed=k, draws=100), data)
        assert set(found) == NORMAL
        continuous += sum(not check.passed for check in found.values())
        data, channel = visits(f"true {k}", units=240)
        found = checks(rates(data, channel, seed=k, draws=100), data)
        assert set(found) == BINARY
        binary += sum(not check.passed for check in found.values())
    assert continuous < 10
    assert binary < 7


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        (lambda rng, age: rng.standard_t(2.0, len(age)), {"shape_of_residuals", "largest_residuals"}),
        (lambda rng, age: rng.standard_exponential(len(age)), {"shape_of_residuals"}),
        (lambda rng, age: rng.uniform(-1.0, 1.0, len(age)), {"largest_residuals"}),
        (lambda rng, age: np.exp(0.5 * age) * rng.standard_normal(len(age)), {"spread_of_residuals"}),
    ],
)
def test_noise_that_is_not_normal_or_not_the_same_for_all_fails(noise: Noise, expected: set[str]) -> None:
    data = world("noise", noise)
    found = failed(regression(data, "age", "income", seed=1), data)
    assert expected <= found
    assert not {name for name in found if name.startswith("means")}


def test_a_covariate_that_the_model_was_not_given_fails_by_its_parts_alone() -> None:
    data = world("hidden")
    found = checks(regression(data, "age", seed=1), data)
    assert {name for name, check in found.items() if not check.passed} == {"means_by_covariate"}
    assert "income" in found["means_by_covariate"].sentence
    assert "Give the model that covariate" in found["means_by_covariate"].sentence


def test_effects_that_are_taken_to_be_alike_fail_where_the_arms_are_compared() -> None:
    data = world("alike")
    found = checks(regression(data, "age", "income", seed=1, effects=()), data)["means_by_covariate"]
    assert not found.passed
    assert found.facts["worst"] == {"part": "all parts by age", "arm": "offer against control"}
    right = checks(regression(data, "age", "income", seed=1), data)["means_by_covariate"]
    assert right.passed


def test_a_region_that_a_line_misses_fails_and_the_sentence_says_by_how_much() -> None:
    rng = np.random.default_rng(seed_of("region"))
    age, arm = rng.uniform(20.0, 80.0, UNITS), np.arange(UNITS) % 2
    data = experiment_of(5.0 + 2.0 * (age > 74.0) + rng.standard_normal(UNITS), arm, {"age": age})
    # told of nothing but the mean, so that all of the region's level is missing
    means = np.broadcast_to(data.outcome[age < 74.0].mean(), (200, UNITS, 2))
    found = checks(tree_of(means, data, sd=np.ones(200)), data)["means_by_covariate"]
    assert not found.passed
    assert found.facts["worst"]["part"].startswith("age 7")
    inside = age > 74.0
    assert found.facts["units"] == pytest.approx(inside.sum(), abs=0.1 * UNITS)
    assert found.facts["observed"] - found.facts["predicted"] == pytest.approx(2.0, abs=0.6)
    assert f"have a mean of {found.facts['observed']:.4g}, where {found.facts['predicted']:.4g}" in found.sentence


def test_noise_that_is_too_small_or_too_large_fails_by_its_spread() -> None:
    data = world("scaled")
    tree = regression(data, "age", "income", seed=1)
    for times, words in ((0.7, "too narrow"), (1.4, "too wide")):
        scaled = tree.copy(deep=True)
        scaled["posterior/sd"] = tree["posterior/sd"] * times
        found = checks(scaled, data)["spread_of_residuals"]
        assert not found.passed
        assert ("ratio" not in found.facts) or words in found.sentence


def test_noise_of_each_arm_is_its_own_where_the_posterior_has_it() -> None:
    rng = np.random.default_rng(seed_of("own noise"))
    arm, age = np.arange(UNITS) % 2, rng.standard_normal(UNITS)
    own = np.array([1.0, 3.0])
    data = experiment_of(own[arm] * rng.standard_normal(UNITS), arm, {"age": age})
    means = 0.05 * rng.standard_normal((200, 1, 2)) * np.ones((200, UNITS, 2))
    both = np.broadcast_to(own[::-1], (2, 100, 2))
    tree = tree_of(means, data)
    # the arms stand in another order than those of the means
    tree["posterior/sd"] = xr.DataArray(both, dims=("chain", "draw", "arm"), coords={"arm": ["offer", "control"]})
    assert failed(tree, data) == set()
    tree["posterior/sd"] = xr.DataArray(np.full((2, 100), np.sqrt(5.0)), dims=("chain", "draw"))
    assert "spread_of_residuals" in failed(tree, data)


def test_rates_fail_without_the_covariate_and_with_arms_swapped() -> None:
    data, channel = visits("rates", units=1500)
    assert failed(rates(data, channel, seed=1), data) == set()
    nothing = checks(rates(data, np.zeros_like(channel), seed=1), data)
    assert {name for name, check in nothing.items() if not check.passed} == {"rates_by_covariate"}
    assert "channel" in nothing["rates_by_covariate"].facts["worst"]["part"]
    tree = rates(data, channel, seed=1)
    draws = tree["posterior"].to_dataset()["mean_outcome"]
    tree["posterior/mean_outcome"] = draws.copy(data=draws.to_numpy()[..., ::-1])
    assert failed(tree, data) == BINARY


def test_rates_of_units_are_those_of_cells_where_the_cells_are_all_that_is_known() -> None:
    channel, arm = np.repeat([0, 1], 100), np.arange(200) % 2
    outcome = (np.arange(200) // 2 % 10 < np.array([[2, 3], [5, 9]])[channel, arm]).astype(float)
    names = np.array(["a", "b"])[channel]
    data = experiment_of(outcome, arm, {}, kind="binary", segments={"channel": names})
    chance = np.array([[0.1, 0.4], [0.5, 0.6]])
    by_unit = np.broadcast_to(chance[channel], (200, 200, 2))
    found = checks(tree_of(by_unit, data), data)["rates_by_covariate"]
    cells = xr.Dataset(
        {"mean_outcome": (("chain", "draw", "segment", "arm"), np.broadcast_to(chance, (2, 100, 2, 2)))},
        coords={"arm": ["control", "offer"], "segment": ["channel=a", "channel=b"]},
    )
    by_cell = xr.DataTree.from_dict({"posterior": cells})
    by_cell.attrs = {"control": "control"}
    same = checks(by_cell, data)["cell_rates"]  # an experiment stands for its cells
    assert same.facts["adjusted_p"] / same.facts["cells"] == pytest.approx(
        found.facts["adjusted_p"] / found.facts["parts"], rel=1e-9
    )
    assert found.facts["worst"] == {"part": "channel=b", "arm": "offer"}


@pytest.mark.parametrize("chances", [np.full(60, 0.4), np.full(4000, 0.01), np.full(30, 0.97)])
def test_sums_of_events_with_one_chance_are_binomial(chances: np.ndarray) -> None:
    seen = np.arange(len(chances) + 1.0)
    exact = tails_by_convolution(chances)
    found = bernoulli_sum_tails(np.array(len(chances)), powers(chances), seen)
    for one, other in zip(found, exact, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("low", [0.02, 0.2])
@pytest.mark.parametrize("high", [0.5, 0.95])
def test_sums_of_events_with_different_chances_are_nearly_so(low: float, high: float) -> None:
    chances = np.linspace(low, high, 800)
    exact = tails_by_convolution(chances)
    found = bernoulli_sum_tails(np.array(800), powers(chances), np.arange(801.0))
    for one, other in zip(found, exact, strict=True):
        far = (other > 1e-6) & (other < 0.5)
        np.testing.assert_allclose(one[far], other[far], rtol=0.05)  # the fourth cumulant is left as it comes


def test_of_few_events_with_different_chances_tails_are_never_too_small() -> None:
    chances = np.repeat([0.9, 0.1], 10)
    seen = np.arange(21.0)
    exact = tails_by_convolution(chances)
    found = bernoulli_sum_tails(np.array(20), powers(chances), seen)
    low, high = seen <= chances.sum() - 1.0, seen >= chances.sum() + 1.0
    assert (found[0][low] >= exact[0][low]).all()
    assert (found[1][high] >= exact[1][high]).all()
    # more than 12 are nothing rare, and the binomial of the same mean and variance hardly reaches them
    assert exact[1][12] > 0.02
    mean, squares, _ = powers(chances)[:, 0]
    matched = binomial_tails(mean**2 / squares, squares / mean, np.array(12.0))[1]
    assert matched < 0.3 * exact[1][12]


def powers(chances: np.ndarray) -> np.ndarray:
    return np.array([[(chances**power).sum()] for power in (1, 2, 3)])


def tails_by_convolution(chances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    law = np.ones(1)
    for chance in chances:
        law = np.convolve(law, [1.0 - chance, chance])
    below = np.concatenate([[0.0], np.cumsum(law)[:-1]])
    return below, np.concatenate([np.cumsum(law[::-1])[::-1][1:], [0.0]])


def test_parts_hold_like_values_and_enough_units() -> None:
    rng = np.random.default_rng(seed_of("parts"))
    arm, age = np.arange(UNITS) % 2, rng.integers(20, 80, UNITS).astype(float)
    store = np.where(np.arange(UNITS) < 190, "north", np.where(np.arange(UNITS) < 385, "south", "islands"))
    data = experiment_of(
        np.zeros(UNITS),
        arm,
        {"age": age, "same": np.ones(UNITS), "new": (age > 70.0).astype(float)},
        segments={"store": store},
        propensity=rng.uniform(0.2, 0.8, UNITS),
    )
    mean = np.column_stack([age, age + np.where(age > 50.0, 1.0, 0.0)])
    found = {one.by: one for one in parts_of(data, mean)}
    assert set(found) == {"prediction", "predicted effect of offer", "age", "new", "store", "propensity"}
    assert found["store"].names == ("store=north", "store=south", "other levels of store")
    assert found["new"].names == ("new=0", "new=1")
    for by in ("age", "propensity", "prediction"):
        counts = np.bincount(found[by].code)
        assert len(counts) == 10
        assert counts.min() >= 20
    for value in np.unique(age):
        assert len(set(found["age"].code[age == value].tolist())) == 1
    np.testing.assert_array_equal(found["predicted effect of offer"].code, age > 50.0)


def test_more_draws_than_are_looked_at_and_blocks_of_any_size_make_no_difference(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = world("blocks")
    tree = regression(data, "age", "income", seed=1, draws=300)
    every = {name: check.facts for name, check in checks(tree, data).items()}
    bu.save(tree, tmp_path / "units.nc")
    monkeypatch.setattr(unit_draws, "_BLOCK", 7 * 2 * UNITS)
    later = bu.load(tmp_path / "units.nc", in_memory=False)
    for other in (tree, later):
        for name, facts in {name: check.facts for name, check in checks(other, data).items()}.items():
            assert facts["adjusted_p"] == pytest.approx(every[name]["adjusted_p"], rel=1e-9)
    shuffled = tree.isel(arm=[1, 0])
    for name, facts in {name: check.facts for name, check in checks(shuffled, data).items()}.items():
        assert facts["adjusted_p"] == pytest.approx(every[name]["adjusted_p"], rel=1e-9)


def test_draws_of_all_units_are_never_held_at_once() -> None:
    units = 20_000
    rng = np.random.default_rng(1)
    data = experiment_of(rng.standard_normal(units), np.arange(units) % 2, {"age": rng.standard_normal(units)})
    tree = tree_of(np.zeros((400, units, 2), dtype=np.float32), data, sd=np.ones(400))
    tracemalloc.start()
    bu.predictive_check(tree, data, seed=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.5 * 400 * units * 2 * 4  # half of what the draws take


def test_what_cannot_be_checked_is_refused() -> None:
    data = world("refused", units=60)
    tree = regression(data, "age", seed=1)
    with pytest.raises(PosteriorError, match="over units, and the data are Cells; give the Experiment"):
        bu.predictive_check(tree, binary_cells([10, 10], [1, 2]), seed=1)
    with pytest.raises(ArgumentError, match="of 60 units, and the experiment has 59"):
        bu.predictive_check(tree, replaced(data, slice(0, 59)), seed=1)
    with pytest.raises(PosteriorError, match="needs draws of sd, the standard deviation of normal noise"):
        bu.predictive_check(tree_of(np.zeros((4, 60, 2)), data), data, seed=1)
    with pytest.raises(PosteriorError, match="sd holds draws that are 0"):
        bu.predictive_check(tree_of(np.zeros((4, 60, 2)), data, sd=np.zeros(4)), data, seed=1)
    wide = tree_of(np.zeros((4, 60, 2)), data)
    wide["posterior/sd"] = wide["posterior"].to_dataset()["mean_outcome"] + 1.0
    with pytest.raises(PosteriorError, match="sd has dimensions chain, draw, unit, arm"):
        bu.predictive_check(wide, data, seed=1)
    others = regression(data, "age", seed=1)
    others["posterior"] = tree["posterior"].to_dataset().assign_coords(arm=["control", "letter"])
    with pytest.raises(PosteriorError, match="the posterior's arms, control, letter, are not those"):
        bu.predictive_check(others, data, seed=1)
    binary, _ = visits("refused", units=60)
    with pytest.raises(PosteriorError, match="draws below 0 or above 1"):
        bu.predictive_check(tree_of(np.full((4, 60, 2), 1.5), binary), binary, seed=1)


def replaced(data: bu.Experiment, rows: slice) -> bu.Experiment:
    covariates = {name: column[rows] for name, column in data.covariates.items()}
    return replace(data, arm=data.arm[rows], outcome=data.outcome[rows], covariates=covariates)
