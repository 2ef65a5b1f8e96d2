"""Effects in money."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import bayesuplift as bu
from bayesuplift.errors import ArgumentError, ArmNotFoundError
from tests.support.factored import factored, rates
from tests.support.worlds import seed_of

DRAWS = rates(seed=seed_of("value"))
TREE = factored(DRAWS)
COSTS = {"men": 0.10, "control": 0.02}


@pytest.mark.parametrize("value", [4.0, -4.0])
def test_net_gain_is_its_equation_and_its_sign_decides_for_values_of_both_signs(value: float) -> None:
    economics = bu.Economics(value, COSTS)
    gain = economics.net_gain(bu.cate(TREE))
    for arm, k, cost in (("men", 1, 0.10), ("women", 2, 0.0)):
        expected = value * (DRAWS[..., k] - DRAWS[..., 0]) - (cost - 0.02)
        np.testing.assert_allclose(gain.sel(arm=arm), expected, atol=1e-15)
    # the effect at which nothing is gained lies where it says, on the side that it says
    breakeven = economics.breakeven(TREE)
    assert breakeven["arm"].values.tolist() == ["men", "women"]
    np.testing.assert_allclose(breakeven, np.array([0.08, -0.02]) / value, rtol=1e-14)
    above = bu.summarize(bu.cate(TREE), above=breakeven)["prob_above"]
    gains = bu.summarize(gain)["prob_positive"]
    assert breakeven.attrs["gain"] == ("above" if value > 0 else "below")
    np.testing.assert_allclose(gains, above if value > 0 else 1 - above)


def test_gain_keeps_what_the_effect_carries() -> None:
    effect = bu.gate(TREE, by="channel")
    gain = bu.Economics(2.0, 0.1).net_gain(effect)
    assert gain.dims == effect.dims
    assert set(gain.coords) == set(effect.coords)
    assert (gain.attrs["scale"], gain.attrs["units"], gain.name) == ("net_gain", "money per unit", "net_gain")
    one = bu.Economics(2.0, COSTS).net_gain(effect.sel(arm="women"))
    np.testing.assert_array_equal(one, bu.Economics(2.0, COSTS).net_gain(effect).sel(arm="women"))


def test_one_number_is_the_cost_of_every_arm_but_the_control() -> None:
    np.testing.assert_array_equal(bu.Economics(1.0, 0.3).costs(["a", "b", "c"], "b"), [0.3, 0.0, 0.3])
    same = {"men": 0.3, "women": 0.3}
    np.testing.assert_array_equal(bu.Economics(2, 0.3).breakeven(TREE), bu.Economics(2.0, same).breakeven(TREE))


def test_breakeven_takes_labels_too() -> None:
    labels = bu.Economics(4.0, COSTS).breakeven(["control", "men", "women"], control="control")
    np.testing.assert_array_equal(labels, bu.Economics(4.0, COSTS).breakeven(TREE))
    with pytest.raises(ArgumentError, match="control is missing"):
        bu.Economics(4.0, COSTS).breakeven(["control", "men"])


def test_it_is_a_value() -> None:
    one, same = bu.Economics(4.0, COSTS), bu.Economics(4, dict(reversed(COSTS.items())))
    assert one == same
    assert hash(one) == hash(same)
    assert one != bu.Economics(4.0, {"men": 0.1})
    for again in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):  # noqa: S301 -- our own bytes
        assert again == one
    costs = dict(COSTS)
    kept = bu.Economics(4.0, costs)
    costs["men"] = 99.0
    assert kept == one
    with pytest.raises(TypeError):
        kept.cost_per_unit["men"] = 1.0


def test_it_reads_as_a_sentence() -> None:
    assert (
        str(bu.Economics(4, COSTS))
        == "an outcome is worth 4; a unit costs 0.1 under men, 0.02 under control, 0 otherwise"
    )
    assert str(bu.Economics(-2.5, 0.1)) == "an outcome costs 2.5; a unit costs 0.1 under every arm but the control"
    assert str(bu.Economics(1, {})) == "an outcome is worth 1; no arm costs anything"


@pytest.mark.parametrize(
    ("value", "cost", "told"),
    [
        (0, 0.1, "value_per_outcome = 0"),
        (float("nan"), 0.1, "value_per_outcome = nan"),
        ("4", 0.1, "value_per_outcome = '4'"),
        (4, float("inf"), "cost_per_unit = inf"),
        (4, {"men": None}, "cost_per_unit of 'men' = None"),
        (4, {1: 0.1}, "cost_per_unit names the arm 1"),
    ],
)
def test_what_is_no_money_is_refused(value: Any, cost: Any, told: str) -> None:
    with pytest.raises(ArgumentError, match=told):
        bu.Economics(value, cost)


def test_a_cost_of_an_arm_that_there_is_not_is_refused() -> None:
    economics = bu.Economics(4.0, {"Men": 0.1})
    told = r"no arm named 'Men' \(cost_per_unit has a cost for it\)\. Arms: control, men, women\. Did you mean 'men'"
    with pytest.raises(ArmNotFoundError, match=told):
        economics.net_gain(bu.ate(TREE))
    with pytest.raises(ArmNotFoundError, match=told):
        economics.breakeven(TREE)
    with pytest.raises(ArmNotFoundError, match=r"no arm named 'kontrol' \(the control\)"):
        bu.Economics(4.0, 0.1).breakeven(["control", "men"], control="kontrol")


def test_another_scale_is_refused() -> None:
    economics = bu.Economics(4.0, COSTS)
    with pytest.raises(ArgumentError, match="has the scale 'relative'; net gain needs differences"):
        economics.net_gain(bu.ate(TREE, scale="relative"))
    plain = bu.ate(TREE).drop_attrs()
    with pytest.raises(ArgumentError, match="does not say its scale and control"):
        economics.net_gain(plain)
    with pytest.raises(ArgumentError, match="this has no arms"):
        economics.net_gain(bu.ate(TREE).isel(arm=0, drop=True))
