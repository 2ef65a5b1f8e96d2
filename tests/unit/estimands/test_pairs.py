"""Segments against each other."""

from typing import Any

import numpy as np
import pytest

import bayesuplift as bu
from bayesuplift.errors import ArgumentError
from bayesuplift.estimands import pairs
from tests.support.factored import factored, rates
from tests.support.worlds import foreign, seed_of

EFFECT = bu.cate(factored(rates(seed=seed_of("pairs")), pooled="segment"))


def test_every_pair_is_what_a_loop_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "_BLOCK", EFFECT.size // 2)  # blocks of two pairs
    table = bu.pairwise(EFFECT, prob=0.8)
    values = EFFECT.values
    for s in range(4):
        for t in range(4):
            gap = values[:, :, s] - values[:, :, t]
            at = {"segment": s, "other": t}
            np.testing.assert_allclose(table["difference"][at], gap.mean((0, 1)), atol=1e-15)
            ends = np.quantile(gap, [0.1, 0.9], axis=(0, 1))
            np.testing.assert_allclose(table["difference_lower"][at], ends[0], atol=1e-15)
            np.testing.assert_allclose(table["difference_upper"][at], ends[1], atol=1e-15)
            np.testing.assert_array_equal(table["prob_greater"][at], (gap > 0).mean((0, 1)))
            if s != t:
                one = bu.summarize(EFFECT.isel(segment=s, drop=True) - EFFECT.isel(segment=t, drop=True))
                np.testing.assert_allclose(table["difference_mcse"][at], one["mcse"], rtol=1e-12)
                np.testing.assert_allclose(table["prob_greater_mcse"][at], one["prob_positive_mcse"], rtol=1e-9)
    assert table["other"].values.tolist() == EFFECT["segment"].values.tolist()
    assert table["channel"].dims == ("segment",)


def test_the_largest_is_counted_and_ties_are_shared() -> None:
    values = np.zeros((1, 4, 3, 2))
    values[0, :, :, 1] = [[1, 0, 0], [1, 1, 0], [2, 2, 2], [0, 0, 5]]
    tree = foreign(values, segments={"x": [1, 1], "y": [1, 1], "z": [1, 1]})
    table = bu.pairwise(bu.cate(tree))
    np.testing.assert_allclose(
        table["prob_largest"].sel(arm="b"), [(1 + 1 / 2 + 1 / 3) / 4, (1 / 2 + 1 / 3) / 4, 4 / 12]
    )
    greater = table["prob_greater"].sel(arm="b")
    assert [float(greater[0, 1]), float(greater[1, 0])] == [0.25, 0.0]  # ties are greater for neither
    # nor is the error of one the other's: the effect of y is never greater, and nobody knows that it could not be
    for s, t in ((0, 1), (1, 0)):
        gap = bu.cate(tree).isel(segment=s, drop=True) - bu.cate(tree).isel(segment=t, drop=True)
        error = bu.summarize(gap)["prob_positive_mcse"].sel(arm="b")
        np.testing.assert_array_equal(table["prob_greater_mcse"].sel(arm="b")[s, t], error)


def test_pooled_or_not_is_told() -> None:
    assert "need no further correction" in bu.pairwise(EFFECT).attrs["multiplicity"]
    unpooled = bu.cate(factored(rates(seed=1)))
    assert "Nothing says that the segments' effects are pooled" in bu.pairwise(unpooled).attrs["multiplicity"]


def test_groups_and_one_arm_are_compared_alike() -> None:
    group = bu.gate(factored(rates(seed=1)), by="channel")
    every, one = bu.pairwise(group), bu.pairwise(group.sel(arm="men"))
    assert one["difference"].dims == ("segment", "other")
    for name in one.data_vars:
        np.testing.assert_allclose(one[name], every[name].sel(arm="men"), rtol=1e-12)


@pytest.mark.parametrize(
    ("effect", "told"),
    [
        (EFFECT.isel(segment=[0]), "there is 1 segment"),
        (EFFECT.isel(segment=0), "expected chain, draw, segment"),
        (EFFECT.rename(segment="unit"), "units are compared in groups"),
        (EFFECT.isel(segment=np.zeros(300, dtype=int)), "300 segments make 89,700 comparisons, at most 20,000"),
    ],
)
def test_what_cannot_be_compared_is_refused(effect: Any, told: str) -> None:
    with pytest.raises(ArgumentError, match=told):
        bu.pairwise(effect)
