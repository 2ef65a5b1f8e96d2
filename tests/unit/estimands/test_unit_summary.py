"""Effects of single units: the same numbers as from all draws at once, and errors that are as large as they say."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.errors import ArgumentError, ArmNotFoundError
from bayesuplift.estimands import unit_summary as module
from bayesuplift.estimands.unit_summary import sorted_groups, split, unit_summary
from tests.support.factored import factored, rates
from tests.support.over_units import noisy, over_units

UNITS = 37
MEANS = np.column_stack([np.full(UNITS, 0.3), np.linspace(0.35, 0.45, UNITS), np.linspace(0.5, 0.2, UNITS)])


def draws(seed: int = 3) -> np.ndarray:
    return noisy(MEANS, sd=0.03, seed=seed).astype(np.float32)


@pytest.fixture(params=[module._BLOCK, 5 * 400 * 3])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """All units at once, and five at a time, of which the last are two."""
    monkeypatch.setattr(module, "_BLOCK", request.param)
    return int(request.param)


def flat(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float64).reshape(-1, *values.shape[2:])


@pytest.mark.usefixtures("block")
def test_every_number_is_that_of_all_draws_at_once() -> None:
    values = draws()
    found = unit_summary(over_units(values), prob=0.9)
    effect = flat(values)[..., 1:] - flat(values)[..., [0]]
    of_unit = found.by_unit.transpose("unit", ...)
    np.testing.assert_allclose(of_unit["mean"], effect.mean(0), rtol=1e-12)
    for name, q in (("lower", 0.05), ("upper", 0.95), ("half_lower", 0.25), ("half_upper", 0.75)):
        np.testing.assert_allclose(of_unit[name], np.quantile(effect, q, axis=0), rtol=1e-12)
    np.testing.assert_allclose(of_unit["prob_gain"], (effect > 0).mean(0), rtol=0, atol=1e-15)
    best = flat(values).argmax(axis=-1)
    for arm in range(3):
        np.testing.assert_allclose(of_unit["prob_best"][:, arm], (best == arm).mean(0), rtol=0, atol=1e-15)
        share = found.by_draw["share_best"][..., arm].to_numpy().ravel()
        np.testing.assert_allclose(share, (best == arm).mean(1), rtol=0, atol=1e-15)
    for name, expected in (
        ("average", effect.mean(1)),
        ("spread", effect.std(1)),
        ("share_gaining", (effect > 0).mean(1)),
    ):
        np.testing.assert_allclose(found.by_draw[name].to_numpy().reshape(-1, 2), expected, rtol=1e-11)
    assert found.by_unit["arm"].to_numpy().tolist() == ["men", "women"]


@pytest.mark.usefixtures("block")
def test_an_arm_pays_above_its_breakeven_and_the_best_one_is_best_in_money() -> None:
    values, economics = draws(), bu.Economics(2.0, {"control": 0.02, "men": 0.18, "women": 0.1})
    tree = over_units(values)
    found = unit_summary(tree, economics=economics)
    gain = economics.net_gain(bu.cate(tree))
    expected = bu.summarize(gain)
    for arm in ("men", "women"):
        np.testing.assert_allclose(found.by_unit["prob_gain"].sel(arm=arm), expected["prob_positive"].sel(arm=arm))
    money = 2.0 * flat(values) - np.array([0.02, 0.18, 0.1])
    np.testing.assert_allclose(found.by_unit["prob_best"], np.eye(3)[money.argmax(-1)].mean(0), rtol=0, atol=1e-15)


def test_where_less_is_better_an_arm_pays_below() -> None:
    values = draws()
    up, down = unit_summary(over_units(values)), unit_summary(over_units(-values), higher_is_better=False)
    for name in ("prob_gain", "prob_gain_mcse", "prob_best"):
        np.testing.assert_array_equal(up.by_unit[name], down.by_unit[name])
    np.testing.assert_allclose(up.by_unit["mean"], -down.by_unit["mean"], rtol=1e-12)
    cost = unit_summary(over_units(-values), economics=bu.Economics(-1.0, 0.0))
    np.testing.assert_array_equal(up.by_unit["prob_gain"], cost.by_unit["prob_gain"])


def test_arms_that_tie_share_the_best_place() -> None:
    values = np.zeros((2, 4, 3, 3))
    values[..., 0] = -1.0
    found = unit_summary(over_units(values))
    assert found.by_unit["prob_best"].to_numpy().tolist() == [[0.0, 0.5, 0.5]] * 3
    assert float(found.by_draw["share_best"].sum("every_arm").min()) == 1.0


def wandering(rho: float, *, units: int = 1500) -> np.ndarray:
    """Effects that wander about 0 with this autocorrelation, (chain, draw, unit); units are replications."""
    rng = np.random.default_rng(11)
    steps = rng.normal(size=(4, 250, units)) * np.sqrt(1.0 - rho**2)
    steps[:, 0] = rng.normal(size=(4, units))
    for draw in range(1, 250):
        steps[:, draw] += rho * steps[:, draw - 1]
    return steps


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_errors_of_probabilities_are_as_large_as_they_say(rho: float) -> None:
    effect = wandering(rho)
    values = np.stack([np.zeros_like(effect), effect], axis=-1)
    found = unit_summary(over_units(values, arms=("a", "b"))).by_unit
    real = float((found["prob_gain"] - 0.5).std())  # over replications
    told = float((found["prob_gain_mcse"] ** 2).mean() ** 0.5)
    # batches of 50 draws leave out what is correlated over more of them, some 5%; replications know `real` to 2%
    assert told == pytest.approx(real, rel=0.12)
    as_if_independent = 0.5 / np.sqrt(1000.0)
    assert (as_if_independent == pytest.approx(real, rel=0.12)) == (rho == 0.0)


def test_where_all_draws_agree_the_error_is_one_in_the_draws_that_they_are_worth() -> None:
    effect = 100.0 + wandering(0.8, units=400)
    values = np.stack([np.zeros_like(effect), effect], axis=-1)
    found = unit_summary(over_units(values, arms=("a", "b"))).by_unit
    assert bool((found["prob_gain"] == 1.0).all())
    # 1,000 draws of autocorrelation rho are worth 1,000 (1 - rho) / (1 + rho) independent ones
    assert float(found["prob_gain_mcse"].median()) == pytest.approx(9.0 / 1000.0, rel=0.15)
    assert bool((found["prob_gain_mcse"] >= 1.0 / 1000.0).all())


def test_groups_are_of_units_sorted_by_their_expected_effect_for_each_arm_apart() -> None:
    values = draws()
    tree = over_units(values)
    found = sorted_groups(tree, unit_summary(tree).by_unit["mean"], 4)
    assert found.dims == ("chain", "draw", "segment", "arm")
    effect = values.astype(np.float64)[..., 1:] - values.astype(np.float64)[..., [0]]
    for place, arm in enumerate(("men", "women")):
        order = np.argsort(-effect[..., place].mean((0, 1)))
        sizes = [10, 9, 9, 9]
        for group, members in enumerate(np.split(order, np.cumsum(sizes)[:-1])):
            expected = effect[:, :, members, place].mean(2)
            np.testing.assert_allclose(found.sel(arm=arm).isel(segment=group), expected, rtol=0, atol=1e-7)
    assert bu.Economics(1.0, 0.1).net_gain(found).attrs["units"] == "money per unit"
    assert [one.size for one in split(np.arange(3.0), 10)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("tree", "options", "refusal", "told"),
    [
        (factored(rates(seed=1)), {}, ArgumentError, "the posterior has no units"),
        (over_units(draws()[:1, :3]), {}, ArgumentError, "expected 4 draws"),
        (over_units(draws()), {"prob": 1.0}, ArgumentError, "prob = 1.0"),
        (over_units(draws()), {"economics": bu.Economics(1.0, {"man": 1.0})}, ArmNotFoundError, "Did you mean 'men'"),
    ],
)
def test_what_cannot_be_summarized_is_refused(
    tree: xr.DataTree, options: dict[str, Any], refusal: type[Exception], told: str
) -> None:
    with pytest.raises(refusal, match=told):
        unit_summary(tree, **options)
