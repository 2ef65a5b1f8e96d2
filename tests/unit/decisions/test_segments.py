"""Actions by segment, and the four buckets with the bounds that identify them."""

import numpy as np
import pytest

import bayesuplift as bu
from bayesuplift.errors import ArgumentError
from tests.support.factored import UNITS as SEGMENT_UNITS
from tests.support.factored import factored, rates
from tests.support.over_units import over_units
from tests.support.worlds import seed_of

DRAWS = rates(seed=seed_of("buckets"), chains=4, draws=200)
TREE = factored(DRAWS, kind="binary")


def normal(means: object, sd: float) -> np.ndarray:
    return np.random.default_rng(seed_of("actions")).normal(np.asarray(means), sd, (4, 500, 4, 3))


def test_actions_follow_the_probability_of_a_gain_with_errors_to_spare() -> None:
    means = [[0.0, 1.0, 0.1], [0.0, -1.0, 0.2], [0.0, 0.5, 0.5], [0.0, 0.64, 0.1]]
    tree = factored(normal(means, 0.2))
    table = bu.segment_actions(tree, bu.Economics(1.0, 0.1), sure=0.9)
    expected = [["expand", "hold"], ["reduce", "hold"], ["hold", "hold"], ["expand", "hold"]]
    assert table["action"].sel(arm=["men", "women"]).values.tolist()[:2] == expected[:2]
    gain = bu.Economics(1.0, 0.1).net_gain(bu.cate(tree))
    np.testing.assert_array_equal(table["prob_gain"], (gain > 0).mean(("chain", "draw")))
    above = bu.summarize(bu.cate(tree), above=bu.Economics(1.0, 0.1).breakeven(tree))["prob_above"]
    np.testing.assert_allclose(table["prob_gain"], above)
    spare = 2 * table["prob_gain_mcse"]
    assert ((table["action"] == "expand") == (table["prob_gain"] - spare >= 0.9)).all()
    assert ((table["action"] == "reduce") == (table["prob_gain"] + spare <= 0.1)).all()
    n = np.array(SEGMENT_UNITS).sum(axis=1)
    np.testing.assert_allclose(table["share"], n / n.sum())
    np.testing.assert_allclose(table["expected_net_gain"], gain.mean(("chain", "draw")) * n[:, None])
    assert "gains with probability" in str(table["reason"].values[0, 0])
    by = bu.segment_actions(tree, bu.Economics(1.0, 0.1), by="channel")
    assert by["segment"].values.tolist() == ["channel=Phone", "channel=Web"]


def test_actions_are_refused_without_segments_and_without_a_choice_of_certainty() -> None:
    with pytest.raises(ArgumentError, match=r"sure = 0\.5"):
        bu.segment_actions(TREE, bu.Economics(1.0, 0.1), sure=0.5)
    with pytest.raises(ArgumentError, match="name the factors"):
        bu.segment_actions(over_units(DRAWS), bu.Economics(1.0, 0.1))
    with pytest.raises(ArgumentError, match="re-weighs segments within groups"):
        bu.segment_actions(TREE, bu.Economics(1.0, 0.1), population="x.csv")


def shares_of(joint: np.ndarray) -> tuple[float, float]:
    """Means of both outcomes from the four shares: persuadable, sure thing, lost cause, sleeping dog."""
    return float(joint[1] + joint[3]), float(joint[0] + joint[1])


def test_bounds_hold_every_law_of_both_outcomes_and_are_reached_by_some() -> None:
    """The bounds are sharp: over many joint laws of the same two means none lies outside, and the ends are met."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        control, treated = rng.uniform(0.05, 0.95, 2)
        draws = np.broadcast_to([control, treated], (2, 200, 1, 2)).copy()
        tree = factored(draws, factors={"place": ("x",)}, arms=("a", "b"), observed={"n": [[5, 5]]}, kind="binary")
        table = bu.buckets(tree)
        lower, upper = table["lower"].values[0, 0], table["upper"].values[0, 0]
        # all joint laws of these means: P(both) = t between the Fréchet bounds
        both = np.linspace(max(0.0, control + treated - 1.0), min(control, treated), 51)
        laws = np.stack([treated - both, both, 1.0 - control - treated + both, control - both], axis=1)
        np.testing.assert_allclose(laws.min(axis=0), lower, atol=1e-12)
        np.testing.assert_allclose(laws.max(axis=0), upper, atol=1e-12)
        for law in laws:
            assert shares_of(law) == pytest.approx((control, treated))


def test_bounds_of_a_group_are_averages_and_closer_than_those_of_its_means() -> None:
    n = np.array(SEGMENT_UNITS).sum(axis=1)
    by_place = bu.buckets(TREE)
    by = bu.buckets(TREE, by="channel")
    web = np.array([1, 3])
    np.testing.assert_allclose(
        by["lower"].sel(segment="channel=Web"), np.average(by_place["lower"].values[web], axis=0, weights=n[web])
    )
    units = over_units(DRAWS, kind="binary")
    everybody = bu.buckets(units)
    assert everybody["segment"].values.tolist() == ["everybody"]
    pooled = np.broadcast_to(DRAWS.mean(axis=2, keepdims=True), (*DRAWS.shape[:2], 1, 3))
    of_means = bu.buckets(over_units(pooled, kind="binary"))
    assert (everybody["lower"] >= of_means["lower"] - 1e-12).all()
    assert (everybody["upper"] <= of_means["upper"] + 1e-12).all()
    assert (everybody["upper"] - everybody["lower"] < of_means["upper"] - of_means["lower"] - 0.01).any()


def test_without_sleeping_dogs_bounds_close_to_points_and_say_how_likely_that_is() -> None:
    rng = np.random.default_rng(9)
    draws = np.clip(rng.normal([0.3, 0.35, 0.5], 0.03, (4, 1000, 4, 3)), 0.0, 1.0)
    tree = factored(draws, kind="binary")
    table = bu.buckets(tree, monotone=True)
    allowed = draws[..., 1:] >= draws[..., :1]
    np.testing.assert_allclose(table["prob_assumption"], allowed.mean((0, 1)))
    men = draws[:, :, 0, 1][allowed[:, :, 0, 0]], draws[:, :, 0, 0][allowed[:, :, 0, 0]]
    row = table.isel(segment=0).sel(arm="men")
    found = [float(row["lower"].sel(bucket=name)) for name in table["bucket"].values]
    np.testing.assert_allclose(
        found, [(men[0] - men[1]).mean(), men[1].mean(), 1 - men[0].mean(), 0.0], rtol=1e-10, atol=1e-12
    )
    np.testing.assert_array_equal(table["lower"], table["upper"])
    np.testing.assert_allclose(table["lower"].sum("bucket"), 1.0)
    assert "monotone" in table.attrs["assumption"]
    with pytest.raises(ArgumentError, match="the data speak against"):
        bu.buckets(factored(draws[..., [2, 1, 0]], kind="binary"), monotone=True)


def test_buckets_are_of_binary_outcomes() -> None:
    with pytest.raises(ArgumentError, match="this posterior's is continuous"):
        bu.buckets(factored(DRAWS, kind="continuous"))
    with pytest.raises(ArgumentError, match="are probabilities"):
        bu.buckets(factored(DRAWS + 0.5, kind="binary"))
