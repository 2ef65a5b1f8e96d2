"""The e-process for two rates: exact at any rate and any stopping, against 40-digit sums, and broken by planted faults."""

from itertools import product
from typing import Any

import mpmath
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr

from bayesuplift.errors import ArgumentError
from bayesuplift.monitor.evidence import proportions
from bayesuplift.monitor.evidence.effect_grid import effect_grid
from bayesuplift.monitor.evidence.proportions import BASELINE_STEPS, log_e_proportions

Array = NDArray[np.float64]
EFFECTS, WEIGHTS = effect_grid(None)
FAIR: dict[str, Any] = {"control": 0, "split": [0.5, 0.5], "baseline": 0.05, "effects": EFFECTS, "weights": WEIGHTS}
ROUNDING = 1e-13  # 60 nodes' weights and factors near 1, each to its last digit
ALPHA = 0.05


def paths(shares: Array, rates: Array) -> tuple[Array, Array, Array]:
    """Every way (path) in which units (step,) are dealt and answer, as cumulative n and total (path, step, arm), and its
    probability under rates (step, arm)."""
    steps, arms = rates.shape
    dealt = np.array(list(product(range(arms), repeat=steps)))
    answers = np.array(list(product([0.0, 1.0], repeat=steps)))
    arm, y = np.repeat(dealt, len(answers), axis=0), np.tile(answers, (len(dealt), 1))
    rate = rates[np.arange(steps), arm]
    probability = (shares[arm] * np.where(y == 1.0, rate, 1.0 - rate)).prod(axis=1)
    one = np.eye(arms)[arm]
    return one.cumsum(axis=1), (one * y[..., None]).cumsum(axis=1), probability


def crossing_share(n: Array, total: Array, **given: Any) -> float:
    return float((log_e_proportions(n, total, **given)[..., 1] >= np.log(1.0 / ALPHA)).any(axis=1).mean())


def null_tests(rate: float, share: float, *, experiments: int = 2_000, looks: int = 100, units: int = 100) -> Any:
    """A/A tests with a look after every batch."""
    rng = np.random.default_rng([int(rate * 1e4), int(share * 1e2)])
    treated = rng.binomial(units, share, (experiments, looks))
    n = np.stack([units - treated, treated], axis=-1)
    return n.cumsum(axis=1).astype(float), rng.binomial(n, rate).cumsum(axis=1).astype(float)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("baseline", [0.001, 0.05, 0.5, 0.98])
def test_one_unit_keeps_a_mean_of_one_at_every_common_rate(share: float, baseline: float) -> None:
    n = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    total = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    for effect, sign in product([1e-6, 0.05, 1.0, 5.0], [1.0, -1.0]):
        given: Any = {"control": 0, "split": [1 - share, share], "baseline": baseline, "effects": [effect]}
        factor = np.exp(log_e_proportions(n, total, weights=[1.0], sign=sign, **given)[:, 1])
        for rate in (0.0, 1e-4, 0.05, 0.3, 0.5, 0.9, 1.0):
            probability = np.array([1 - share, 1 - share, share, share]) * [1 - rate, rate, 1 - rate, rate]
            # (1 - share) + share and expit round each to a digit of 1; the rarest outcome's factor is at most 1 / share
            assert abs((probability * factor).sum() - 1.0) <= 5e-14 / min(share, 1 - share)


@pytest.mark.parametrize("shares", [[0.5, 0.3, 0.2], [0.05, 0.9, 0.05]])
def test_every_path_of_four_units_averages_to_one_while_the_rate_moves(shares: list[float]) -> None:
    common = np.repeat(np.array([0.02, 0.9, 0.3, 0.5])[:, None], 3, axis=1)
    n, total, probability = paths(np.array(shares), common)
    given: Any = {**FAIR, "split": shares, "effects": [0.2, 1.5], "weights": [0.4, 0.6]}
    e = np.exp(log_e_proportions(n, total, **given))
    means = np.einsum("p,psa->sa", probability, e)
    np.testing.assert_allclose(means, 1.0, rtol=0, atol=ROUNDING)
    crossed = e[..., 1] >= 1.2
    assert crossed.any()
    stop = np.where(crossed.any(axis=1), crossed.argmax(axis=1), 3)
    stopped = (probability[:, None] * e[np.arange(len(e)), stop]).sum(axis=0)
    np.testing.assert_allclose(stopped, 1.0, rtol=0, atol=ROUNDING)  # at the first crossing, too


def test_harm_averages_to_less_than_one_and_benefit_to_more() -> None:
    shares = np.array([0.6, 0.4])
    worse = np.array([[0.3, 0.1], [0.05, 0.0], [0.9, 0.9], [0.5, 0.2]])
    given: Any = {**FAIR, "split": shares, "effects": [0.2, 1.5], "weights": [0.4, 0.6]}
    for rates, sign, above in ((worse, 1.0, False), (worse[:, ::-1], 1.0, True), (worse, -1.0, True)):
        n, total, probability = paths(shares, np.ascontiguousarray(rates))
        mean = probability @ np.exp(log_e_proportions(n, total, sign=sign, **given)[..., 1])
        assert (mean > 1.0).all() if above else (mean < 1.0).all()


@pytest.mark.parametrize("share", [0.5, 0.1, 0.9])
@pytest.mark.parametrize("rate", [0.001, 0.05, 0.5])
def test_null_tests_cross_at_most_as_often_as_stated(rate: float, share: float) -> None:
    n, total = null_tests(rate, share)
    given = {**FAIR, "split": [1 - share, share], "baseline": rate}
    for wrong in (1.0, 0.3):
        found = crossing_share(n, total, **{**given, "baseline": wrong * rate})
        assert found <= ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / len(n))


def test_planted_faults_cross_too_often() -> None:
    """Shares that units were not dealt by, a declared baseline taken for the truth, and odds under a flat prior."""
    bound = ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / 2_000)
    n, total = null_tests(0.5, 0.9)
    assert crossing_share(n, total, **FAIR) > bound
    n, total = null_tests(0.05, 0.5)
    odds = 1.1 * 0.04 / 0.96
    factor = np.log(odds / (1 + odds) / 0.04), np.log(1 / (1 + odds) / 0.96)
    known = total[..., 1] * factor[0] + (n - total)[..., 1] * factor[1]
    assert (known >= np.log(1 / ALPHA)).any(axis=1).mean() > bound
    rate = (total + 0.5) / (n + 1)
    z = (rate[..., 1] - rate[..., 0]) / np.sqrt((rate * (1 - rate) / (n + 1)).sum(axis=-1))
    assert (ndtr(z) / ndtr(-z) >= 1 / ALPHA).any(axis=1).mean() > bound


def test_ten_percent_more_is_found_as_often_as_by_a_bayes_factor_that_knows_the_baseline() -> None:
    """The reference: an mSPRT of scale .05 finds +10% on 5% in 85% of tests by look 30, with 2,000 units an arm a look."""
    rng = np.random.default_rng(20)
    treated = rng.binomial(4_000, 0.5, (2_000, 30))
    n = np.stack([4_000 - treated, treated], axis=-1)
    total = rng.binomial(n, [0.05, 0.055]).cumsum(axis=1)

    class Law:
        weights, means, sds = np.ones(1), np.zeros(1), np.full(1, 0.05)

    effects, weights = effect_grid(Law())
    crossed = log_e_proportions(n.cumsum(axis=1), total, **{**FAIR, "effects": effects, "weights": weights})[..., 1]
    assert (crossed >= np.log(20)).any(axis=1).mean() >= 0.85


def by_mpmath(n: list[int], total: list[int], share: float, baseline: float, sign: float) -> Any:
    """The sum as it stands in the docstring, in 40 digits."""
    with mpmath.workdps(40):
        exact = mpmath.mpf
        steps, sd = [exact(step) for step in BASELINE_STEPS], exact("0.9")
        mass = [mpmath.exp(-((step / sd) ** 2) / 2) for step in steps]
        logit = mpmath.log(exact(baseline) / (1 - exact(baseline)))
        evidence = exact(0)
        for step, weight in zip(steps, mass, strict=True):
            for effect, effect_weight in zip([0.03, 0.4], [0.25, 0.75], strict=True):
                pair = [1 / (1 + mpmath.exp(-logit - step - sign * lift)) for lift in (exact(0), exact(effect))]
                pooled = (1 - exact(share)) * pair[0] + exact(share) * pair[1]
                one = weight / sum(mass) * exact(effect_weight)
                for p, units, hits in zip(pair, n, total, strict=True):
                    one *= (p / pooled) ** hits * ((1 - p) / (1 - pooled)) ** (units - hits)
                evidence += one
        return float(mpmath.log(evidence))


@pytest.mark.parametrize(
    ("n", "total"),
    [
        ([1, 0], [0, 0]),
        ([40, 60], [3, 9]),
        ([60_000, 61_000], [3_000, 3_400]),
        ([20_000_000, 5_000_000], [999_000, 251_000]),
    ],
)
@pytest.mark.parametrize("share", [0.5, 0.2])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_agrees_with_forty_digits(n: list[int], total: list[int], share: float, sign: float) -> None:
    given: Any = {
        "control": 0,
        "split": [1 - share, share],
        "baseline": 0.05,
        "effects": [0.03, 0.4],
        "weights": [0.25, 0.75],
    }
    found = log_e_proportions(n, total, sign=sign, **given)
    # every log factor is below 2, and right to a few digits in its last place
    rounding = 8 * np.finfo(float).eps * (2 * sum(total) + 0.2 * sum(n)) + 1e-14
    assert abs(found[1] - by_mpmath(n, total, share, 0.05, sign)) <= rounding
    assert found[0] == 0.0


def test_relabelling_and_grouping_change_no_bit() -> None:
    rng = np.random.default_rng(4)
    n = rng.integers(0, 4_000, (3, 5, 4)).astype(float)
    total = rng.binomial(n.astype(int), 0.05).astype(float)
    split = np.array([0.4, 0.3, 0.2, 0.1])
    given = {**FAIR, "split": split}
    whole = log_e_proportions(n, total, **given)
    singly = [[log_e_proportions(n[i, j], total[i, j], **given) for j in range(5)] for i in range(3)]
    np.testing.assert_array_equal(whole, np.array(singly))
    strided = log_e_proportions(n[:, ::2], np.asfortranarray(total)[:, ::2], **given)
    np.testing.assert_array_equal(whole[:, ::2], strided)
    order = np.array([2, 0, 3, 1])
    turned = log_e_proportions(n[..., order], total[..., order], **{**given, "split": split[order], "control": 1})
    np.testing.assert_array_equal(whole[..., order], turned)


def test_failures_of_a_metric_to_lower_are_successes_of_one_to_raise() -> None:
    rng = np.random.default_rng(5)
    n = rng.integers(1, 4_000, (50, 2)).astype(float)
    total = rng.binomial(n.astype(int), 0.05).astype(float)
    down = log_e_proportions(n, total, **FAIR, sign=-1.0)
    up = log_e_proportions(n, n - total, **{**FAIR, "baseline": 0.95})
    np.testing.assert_allclose(down, up, rtol=0, atol=1e-10)  # 1 - .95 is not .05 in its last digit, thousands of units


def test_batches_and_their_sum_are_the_same_evidence() -> None:
    rng = np.random.default_rng(6)
    n = rng.integers(0, 500, (40, 2))
    total = rng.binomial(n, 0.1)
    thirds = [slice(0, 7), slice(7, 8), slice(8, 40)]
    parts = [sum(array[cut].sum(axis=0) for cut in thirds) for array in (n, total)]
    np.testing.assert_array_equal(
        log_e_proportions(parts[0], parts[1], **FAIR), log_e_proportions(n.sum(axis=0), total.sum(axis=0), **FAIR)
    )
    assert log_e_proportions([0, 0], [0, 0], **FAIR).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"n": [10, 10.5]}, "n is not a whole number"),
        ({"total": [1, 11]}, "total is not a whole number from 0 to n"),
        ({"total": [1, np.nan]}, "total is missing"),
        ({"n": [10, 10, 10]}, "shapes"),
        ({"split": [0.5, 0.4]}, "split"),
        ({"split": [0.0, 1.0]}, "split"),
        ({"control": 2}, "control"),
        ({"baseline": 0.0}, "baseline"),
        ({"effects": [-0.1], "weights": [1.0]}, "effects"),
        ({"effects": [0.1], "weights": [0.9]}, "weights"),
        ({"sign": 0.5}, "sign"),
    ],
)
def test_refuses(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ArgumentError, match=named):
        log_e_proportions(**{"n": [10, 10], "total": [1, 2], **FAIR, **change})


def test_a_pair_that_forgets_the_pooled_rate_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault of the enumerations: evidence against the control's rate instead of the rate of both."""
    honest = proportions._table

    def plugged_in(baseline: float, effects: Array, log_weight: Array, share: Array) -> tuple[Array, Array]:
        return honest(baseline, effects, log_weight, np.full_like(share, 1e-12))

    monkeypatch.setattr(proportions, "_table", plugged_in)
    n, total, probability = paths(np.array([0.5, 0.5]), np.full((4, 2), 0.3))
    mean = probability @ np.exp(log_e_proportions(n, total, **FAIR)[..., 1])
    assert (mean > 1.0 + 1e-3).all()
