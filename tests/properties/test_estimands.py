"""Laws of estimands, whatever the draws, the factors and the population."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bayesuplift as bu
from tests.support.factored import factored

# No clock and no store: an example is the same on every machine and every run.
few = settings(
    max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
CLOSE: Final = 1e-12  # a few dozen numbers up to 8 are added, each side in its own order
LEVELS: Final[Mapping[str, tuple[str, ...]]] = {"size": ("s", "m", "l"), "place": ("x", "y")}


@st.composite
def trees(draw: Any) -> xr.DataTree:
    """A posterior over some of the six segments of two factors, of two to four arms, with units that may be none."""
    arms = draw(st.integers(2, 4))
    crossed = [(size, place) for size in LEVELS["size"] for place in LEVELS["place"]]
    kept = draw(st.lists(st.sampled_from(crossed), min_size=2, max_size=6, unique=True))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    draws = generator.uniform(1.0, 8.0, (2, 20, len(kept), arms))
    units = generator.integers(0, 50, (len(kept), arms))
    units[0, 0] += 1
    factors = {name: [row[i] for row in kept] for i, name in enumerate(LEVELS)}
    return factored(draws, factors=factors, arms=[f"arm{k}" for k in range(arms)], observed={"n": units})


def table_of(tree: xr.DataTree) -> pd.DataFrame:
    observed = tree["observed_data"].to_dataset()
    units = observed["n"].sum("arm").values
    return pd.DataFrame({name: observed[name].values for name in LEVELS} | {"n": units})


def changed(tree: xr.DataTree, change: Any) -> xr.DataTree:
    """The same posterior with other mean outcomes."""
    again = tree.copy()
    again["posterior"] = xr.DataTree(change(tree["posterior"].to_dataset()))
    return again


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=CLOSE, atol=CLOSE)


@few
@given(trees())
def test_the_average_is_the_weighted_mean_of_groups_and_of_segments(tree: xr.DataTree) -> None:
    average = bu.ate(tree)
    effect = bu.cate(tree)
    close((effect * effect["n"]).sum("segment") / effect["n"].sum(), average)
    for by in ("size", "place", ["place", "size"]):
        group = bu.gate(tree, by=by)
        close((group * group["n"]).sum("segment") / group["n"].sum(), average)


@few
@given(trees())
def test_groups_by_every_factor_are_the_segments_that_somebody_is_in(tree: xr.DataTree) -> None:
    effect, group = bu.cate(tree), bu.gate(tree, by=list(LEVELS))
    assert sorted(group["segment"].values) == sorted(effect["segment"].values[effect["n"].values > 0])
    np.testing.assert_array_equal(group, effect.sel(segment=group["segment"].values))


@few
@given(trees(), st.sampled_from([1.0, 0.125, 3.0]), st.randoms(use_true_random=False))
def test_the_observed_units_as_a_table_in_any_order_and_unit_give_the_default(
    tree: xr.DataTree, scale: float, shuffled: Any
) -> None:
    table = table_of(tree)
    order = list(range(len(table)))
    shuffled.shuffle(order)
    table = table.iloc[order].assign(n=table["n"] * scale)
    for ours, theirs in (
        (bu.ate(tree, population=table), bu.ate(tree)),
        (bu.gate(tree, by="size", population=table), bu.gate(tree, by="size")),
        (bu.effect_spread(tree, population=table), bu.effect_spread(tree)),
    ):
        close(ours, theirs)


@few
@given(trees(), st.randoms(use_true_random=False))
def test_arms_and_segments_in_another_order_have_the_same_effects(tree: xr.DataTree, shuffled: Any) -> None:
    sizes = tree["posterior"].sizes
    orders = {dim: list(range(sizes[dim])) for dim in ("arm", "segment")}
    for order in orders.values():
        shuffled.shuffle(order)
    turned = changed(tree, lambda group: group.isel(orders))
    for ask in (bu.cate, bu.ate, lambda one: bu.gate(one, by="place"), bu.effect_spread):
        found, expected = ask(turned), ask(tree)
        assert set(found["arm"].values) == set(expected["arm"].values)
        close(found.sel({dim: expected[dim].values for dim in expected.dims if dim in orders}), expected)


@few
@given(trees())
def test_relabelled_arms_have_the_effects_of_the_old_labels(tree: xr.DataTree) -> None:
    labels = {arm: f"new {arm}" for arm in map(str, bu.cate(tree, scale="mean_outcome")["arm"].values)}
    renamed = xr.DataTree.from_dict(
        {name: node.to_dataset().assign_coords(arm=list(labels.values())) for name, node in tree.children.items()}
    )
    renamed.attrs = {**tree.attrs, "control": labels[tree.attrs["control"]]}
    found, expected = bu.ate(renamed), bu.ate(tree)
    assert found["arm"].values.tolist() == [labels[arm] for arm in expected["arm"].values.tolist()]
    np.testing.assert_array_equal(found, expected)


@few
@given(trees(), st.sampled_from([-4.0, 0.5, 64.0]), st.sampled_from([0.25, 3.0]))
def test_a_constant_leaves_differences_and_a_factor_leaves_ratios(
    tree: xr.DataTree, constant: float, factor: float
) -> None:
    moved, scaled = (changed(tree, change) for change in (lambda g: g + constant, lambda g: g * factor))
    for ask in (bu.cate, bu.ate, lambda one, **o: bu.gate(one, by="size", **o)):
        # a constant of 64 costs two decimals of what is left of the difference
        np.testing.assert_allclose(ask(moved), ask(tree), rtol=0, atol=1e-12)
        close(ask(scaled), factor * ask(tree))
        close(ask(scaled, scale="relative"), ask(tree, scale="relative"))
        close(ask(moved, scale="mean_outcome"), ask(tree, scale="mean_outcome") + constant)
    np.testing.assert_allclose(bu.effect_spread(moved), bu.effect_spread(tree), rtol=0, atol=1e-12)
    close(bu.effect_spread(scaled), factor * bu.effect_spread(tree))


@few
@given(trees())
def test_what_is_one_way_round_is_not_the_other(tree: xr.DataTree) -> None:
    table = bu.pairwise(bu.cate(tree))
    turned = table.transpose("other", "segment", ...)
    close(table["difference"], -turned["difference"].values)
    close(table["difference_lower"], -turned["difference_upper"].values)
    size = table.sizes["segment"]
    off = ~np.eye(size, dtype=bool)
    close((table["prob_greater"].values + turned["prob_greater"].values)[off], 1.0)  # draws of a density never tie
    close(table["prob_largest"].sum("segment"), 1.0)


@few
@given(trees(), st.sampled_from([-2.0, 0.5, 10.0]))
def test_gains_of_the_average_are_average_gains(tree: xr.DataTree, value: float) -> None:
    economics = bu.Economics(value, {"arm1": 0.3, "arm0": 0.1})
    gain = economics.net_gain(bu.cate(tree))
    close((gain * gain["n"]).sum("segment") / gain["n"].sum(), economics.net_gain(bu.ate(tree)))
