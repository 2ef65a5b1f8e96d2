"""Evidence of a sample-ratio mismatch: exact under the split, against products of fractions and a peeked chi-squared."""

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.special import betaln, gammaln
from scipy.stats import chi2

from bayesuplift.errors import ArgumentError
from bayesuplift.monitor.evidence.sample_ratio import CONCENTRATION, log_e_split

ALPHA = 0.05


def one_by_one(dealt: list[int], split: list[Fraction], concentration: int) -> Fraction:
    """Product of each unit's predictive probability by its intended one."""
    counts = [concentration * share for share in split]
    evidence = Fraction(1)
    for arm in dealt:
        evidence *= counts[arm] / sum(counts) / split[arm]
        counts[arm] += 1
    return evidence


@pytest.mark.parametrize("concentration", [2, 3_000])
def test_agrees_with_the_product_over_units(concentration: int) -> None:
    split = [Fraction(1, 2), Fraction(3, 10), Fraction(1, 5)]
    dealt = [0, 1, 1, 2, 0, 2, 2, 1, 2, 2, 2, 0, 2] * 5
    n = [dealt.count(arm) for arm in range(3)]
    found = log_e_split(n, [0.5, 0.3, 0.2], concentration=concentration)
    exact = float(np.log(float(one_by_one(dealt, split, concentration))))
    # log gammas of the concentration are right to their last digits, and taken from one another
    assert abs(float(found) - exact) <= 16 * np.finfo(float).eps * gammaln(concentration + 65.0) + 1e-14


def test_two_arms_are_a_ratio_of_beta_functions() -> None:
    n = np.array([[12_000.0, 11_500.0], [3.0, 0.0], [5e6, 5.01e6]])
    a = CONCENTRATION / 2
    exact = betaln(a + n[:, 0], a + n[:, 1]) - betaln(a, a) + n.sum(axis=1) * np.log(2)
    np.testing.assert_allclose(
        log_e_split(n, [0.5, 0.5]), exact, rtol=0, atol=1e-7
    )  # log gammas of 1e7 units are 1.5e8


def test_the_mean_over_all_ways_of_dealing_is_one() -> None:
    split = np.array([0.6, 0.3, 0.1])
    dealt = np.array(list(product(range(3), repeat=6)))
    counts = np.stack([(dealt == arm).sum(axis=1) for arm in range(3)], axis=1)
    probability = split[dealt].prod(axis=1)
    for concentration in (1.0, 30.0):
        e = np.exp(log_e_split(counts, split, concentration=concentration))
        assert (probability * e).sum() == pytest.approx(1.0, rel=1e-12)
        assert (split[[1, 0, 2]][dealt].prod(axis=1) * e).sum() > 1.1  # the planted fault: dealt by other shares


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_right_splits_are_accused_at_most_as_often_as_stated_and_peeked_tests_too_often(share: float) -> None:
    rng = np.random.default_rng(int(share * 10))
    treated = rng.binomial(200, share, (2_000, 100)).cumsum(axis=1)
    units = 200.0 * np.arange(1, 101)
    bound = ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / 2_000)
    found = log_e_split(np.stack([units - treated, treated], axis=-1), [1 - share, share])
    assert (found >= np.log(1 / ALPHA)).any(axis=1).mean() <= bound
    squared = (treated - share * units) ** 2 / (units * share * (1 - share))
    assert (squared >= chi2.isf(ALPHA, 1)).any(axis=1).mean() > bound


def test_a_share_that_is_five_percent_off_is_found_within_20_000_units() -> None:
    rng = np.random.default_rng(11)
    treated = rng.binomial(2_000, 0.525, (1_000, 10)).cumsum(axis=1)
    units = 2_000.0 * np.arange(1, 11)
    found = log_e_split(np.stack([units - treated, treated], axis=-1), [0.5, 0.5]) >= np.log(1_000)
    assert found.any(axis=1).mean() > 0.9


def test_grouping_and_relabelling_change_no_bit() -> None:
    n = np.random.default_rng(12).integers(0, 10**6, (3, 4, 9)).astype(float)
    split = np.arange(1.0, 10.0) / 45
    whole = log_e_split(n, split)
    assert whole.shape == (3, 4)
    for i, j in np.ndindex(3, 4):
        assert log_e_split(n[i, j], split) == whole[i, j]
    np.testing.assert_array_equal(log_e_split(np.asfortranarray(n)[::2], split), whole[::2])
    assert log_e_split(np.zeros(9), split) == 0.0


@pytest.mark.parametrize(
    ("n", "given", "named"),
    [
        ([1, 2, 3], {"split": [0.5, 0.5]}, "split"),
        ([1.5, 2], {"split": [0.5, 0.5]}, "whole number"),
        ([1, 2], {"split": [0.5, 0.5], "concentration": 0.0}, "concentration"),
        ([1], {"split": [1.0]}, "at least two arms"),
    ],
)
def test_refuses(n: list[float], given: dict[str, Any], named: str) -> None:
    with pytest.raises(ArgumentError, match=named):
        log_e_split(n, **given)
