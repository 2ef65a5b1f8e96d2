"""Shares from P(best): the law of top-two sampling by enumeration, limits at certainty, and floors that hold."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesuplift.errors import ArgumentError
from bayesuplift.monitor.weights import thompson_weights, top_two_weights

LAST_DIGITS = 64 * np.finfo(float).eps

probabilities = (
    st.lists(st.floats(0.0, 1.0), min_size=2, max_size=12)
    .filter(lambda p: sum(p) > 1e-6)
    .map(lambda p: np.array(p) / np.sum(p))
)


def by_enumeration(best: list[Fraction], beta: Fraction) -> list[Fraction]:
    """Draw a leader; keep it with probability beta, else draw again until another comes."""
    arms = range(len(best))
    shares = [beta * p for p in best]
    for leader in arms:
        rest = sum(best[i] for i in arms if i != leader)
        for other in arms:
            if other != leader:
                shares[other] += best[leader] * (1 - beta) * best[other] / rest
    return shares


@pytest.mark.parametrize("beta", [Fraction(1, 2), Fraction(4, 5), Fraction(1)])
def test_top_two_is_the_law_of_its_draws(beta: Fraction) -> None:
    best = [Fraction(1, 100), Fraction(29, 100), Fraction(1, 2), Fraction(1, 5)]
    exact = [float(share) for share in by_enumeration(best, beta)]
    np.testing.assert_allclose(top_two_weights([float(p) for p in best], float(beta)), exact, rtol=1e-14)


@given(probabilities, st.floats(0.01, 1.0), st.floats(0.0, 1.0))
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def test_shares_sum_to_one_keep_their_floor_and_follow_labels(best: np.ndarray, beta: float, floor: float) -> None:
    at_least = floor / best.size
    if at_least * best.size > 1.0:
        at_least = 0.0
    order = np.argsort(-best, kind="stable")
    for shares, turned in (
        (thompson_weights(best, at_least=at_least), thompson_weights(best[order], at_least=at_least)),
        (top_two_weights(best, beta, at_least=at_least), top_two_weights(best[order], beta, at_least=at_least)),
    ):
        assert abs(shares.sum() - 1.0) <= LAST_DIGITS
        assert (shares >= at_least).all()
        np.testing.assert_allclose(shares[order], turned, rtol=1e-12, atol=LAST_DIGITS)


def test_certainty_is_the_limit_of_near_certainty() -> None:
    tiny = np.array([1.0, 3e-40, 1e-40])  # its sum is 1 to the last digit, and the challengers still share 3 to 1
    np.testing.assert_allclose(top_two_weights(tiny, 0.6), [0.6, 0.3, 0.1], rtol=1e-14)
    np.testing.assert_allclose(top_two_weights([1.0, 5e-324, 0.0], 0.6), [0.6, 0.4, 0.0], rtol=1e-14)
    np.testing.assert_array_equal(top_two_weights([0.0, 1.0, 0.0], 0.6), [0.2, 0.6, 0.2])
    np.testing.assert_array_equal(top_two_weights([0.0, 1.0]), [0.5, 0.5])
    np.testing.assert_array_equal(thompson_weights([0.0, 1.0]), [0.0, 1.0])


def test_two_arms_are_shared_by_beta_alone_only_when_one_is_sure() -> None:
    np.testing.assert_allclose(top_two_weights([0.3, 0.7], 0.5), [0.5, 0.5], rtol=1e-15)
    np.testing.assert_allclose(
        top_two_weights([0.3, 0.7], 0.9), [0.9 * 0.3 + 0.1 * 0.7, 0.9 * 0.7 + 0.1 * 0.3], rtol=1e-15
    )


def test_a_floor_brings_down_those_that_the_scaling_brings_below_it() -> None:
    shares = thompson_weights([0.0, 0.21, 0.79], at_least=0.2)
    assert shares[:2].tolist() == [0.2, 0.2]
    assert shares[2] == pytest.approx(0.6, rel=1e-15)
    np.testing.assert_allclose(thompson_weights([0.0, 1.0, 0.0, 0.0], at_least=0.25), 0.25, rtol=1e-15)


def test_leading_dimensions_change_no_bit() -> None:
    best = np.random.default_rng(9).dirichlet(np.full(10, 0.3), (4, 5))
    whole = top_two_weights(best, at_least=0.02)
    for i, j in np.ndindex(4, 5):
        np.testing.assert_array_equal(whole[i, j], top_two_weights(best[i, j], at_least=0.02))


@pytest.mark.parametrize(
    ("best", "options", "named"),
    [
        ([0.5, 0.4], {}, "sum to 1"),
        ([1.2, -0.2], {}, "from 0"),
        ([0.5, np.nan], {}, "from 0"),
        ([1.0], {}, "at least two arms"),
        ([0.5, 0.5], {"beta": 0.0}, "beta"),
        ([0.5, 0.5], {"beta": 1.1}, "beta"),
        ([0.5, 0.5], {"at_least": 0.6}, "at_least"),
        ([0.5, 0.5], {"at_least": -0.1}, "at_least"),
    ],
)
def test_refuses(best: list[float], options: dict[str, float], named: str) -> None:
    with pytest.raises(ArgumentError, match=named):
        top_two_weights(best, **options)
