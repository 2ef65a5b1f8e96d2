"""The randomisation e-process of amounts: exact for any law, against 40-digit quadrature, and broken by planted faults."""

from itertools import product
from typing import Any

import mpmath
import numpy as np
import pytest
from numpy.typing import NDArray

from bayesuplift.errors import ArgumentError
from bayesuplift.monitor.evidence import amounts
from bayesuplift.monitor.evidence.amounts import log_e_amounts, variance_factors

Array = NDArray[np.float64]
SHARES = [0.02, 0.1, 0.35, 0.5, 0.9]
ALPHA = 0.05
ROUNDING = 1e-12
NASTY = {
    "a rare giant": ([0.0, 1.0, 1000.0], [0.9, 0.099, 0.001]),
    "far from the centre": ([50.0, 51.0, 90.0], [0.2, 0.7, 0.1]),
    "both signs": ([-30.0, 0.0, 3.0], [0.1, 0.5, 0.4]),
}


def mean_evidence(share: float, points: Array, laws: Array, **given: Any) -> Array:
    """Exact mean (step,) of the e-value over all ways in which units (step,) are dealt and answer by laws
    (step, arm, point)."""
    steps = len(laws)
    dealt = np.array(list(product(range(2), repeat=steps)))
    answers = np.array(list(product(range(len(points)), repeat=steps)))
    arm, k = np.repeat(dealt, len(answers), axis=0), np.tile(answers, (len(dealt), 1))
    probability = (np.array([1 - share, share])[arm] * laws[np.arange(steps), arm, k]).prod(axis=1)
    one, y = np.eye(2)[arm], points[k][..., None]
    sums = [array.cumsum(axis=1) for array in (one, one * y, one * y * y)]
    e = np.exp(log_e_amounts(*sums, control=0, split=[1 - share, share], **given)[..., 1])
    return np.asarray(probability @ e)


@pytest.mark.parametrize("share", SHARES)
def test_a_unit_keeps_a_mean_of_at_most_one_at_every_outcome_and_no_less_near_the_centre(share: float) -> None:
    treated, control = variance_factors(share)
    s = np.r_[-np.geomspace(1e-3, 500, 2_000), np.geomspace(1e-3, 500, 2_000)]
    one = np.logaddexp(
        np.log(share) + (1 - share) * s - treated * s * s / 2, np.log1p(-share) - share * s - control * s * s / 2
    )
    assert (one <= 4 * np.finfo(float).eps).all()
    assert share * treated + (1 - share) * control == pytest.approx(share * (1 - share), rel=1e-14)  # the variance of X


@pytest.mark.parametrize("law", list(NASTY))
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_no_law_of_outcomes_averages_to_more_than_one(law: str, share: float) -> None:
    points, first = np.array(NASTY[law][0]), np.array(NASTY[law][1])
    moving = np.stack([first, first[::-1], [0.0, 0.5, 0.5], first])
    laws = np.repeat(moving[:, None, :], 2, axis=1)
    for scale, centre, sign in product([1e-3, 0.05, 2.0], [0.0, 1.0], [1.0, -1.0]):
        assert (mean_evidence(share, points, laws, centre=centre, scale=scale, sign=sign) <= 1 + ROUNDING).all()


def test_planted_faults_average_to_more_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variance of X alone, whatever the arm, in place of its bound, and shares by which units were not dealt."""
    points, law = np.array([0.0, 1.0, 12.0]), np.array([0.5, 0.3, 0.2])
    laws = np.tile(law, (4, 2, 1))
    given: Any = {"centre": 3.0, "scale": 0.3}
    assert (mean_evidence(0.1, points, laws, **given) <= 1 + ROUNDING).all()
    monkeypatch.setattr(amounts, "variance_factors", lambda share: (share * (1 - share),) * 2)
    assert (mean_evidence(0.1, points, laws, **given) > 1 + 1e-3).all()
    monkeypatch.undo()
    monkeypatch.setattr(amounts, "share_of_treatment", lambda *_: np.full(2, 0.5))
    assert mean_evidence(0.9, points + 40, laws, centre=3.0, scale=0.02)[-1] > 1 + 1e-3


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_stochastically_worse_treatments_average_to_at_most_one(share: float) -> None:
    rng = np.random.default_rng(7)
    points, largest_turned = np.array([-2.0, 0.0, 1.0, 40.0]), 0.0
    for _ in range(30):
        control, treatment = np.sort(rng.dirichlet(np.full(3, 0.5), 2).cumsum(axis=1), axis=0)
        laws = np.stack([np.diff(np.r_[0.0, edges, 1.0]) for edges in (control, treatment)])
        assert (laws[0].cumsum() <= laws[1].cumsum() + 1e-15).all()  # the treatment's outcomes are the smaller
        two = np.tile(laws, (2, 1, 1))
        for scale, sign in product([0.02, 1.0], [1.0, -1.0]):
            ordered = two if sign == 1.0 else two[:, ::-1]
            found = mean_evidence(share, points, ordered, centre=0.5, scale=scale, sign=sign)
            assert (found <= 1 + ROUNDING).all()
            turned = mean_evidence(share, points, ordered, centre=0.5, scale=scale, sign=-sign)
            largest_turned = max(largest_turned, float(turned[-1]))
    assert largest_turned > 1.1  # the other direction is seen


def test_it_is_no_test_of_means_as_its_docstring_says() -> None:
    points, skewed = np.array([0.0, 1.0, 10.0]), np.array([0.9, 0.0, 0.1])
    level = np.array([0.0, 1.0, 0.0])
    found = mean_evidence(0.5, points, np.tile(np.stack([skewed, level]), (2, 1, 1)), centre=1.0, scale=0.3)
    assert (found > 1.0).all()


def outcomes(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    if kind == "revenue":
        return np.where(rng.random(shape) < 0.05, np.exp(3.0 + rng.standard_normal(shape)), 0.0)
    return rng.poisson(1.0, shape).astype(float) if kind == "count" else rng.standard_normal(shape)


def null_tests(kind: str, share: float) -> tuple[list[Array], Array]:
    """Cumulative statistics (experiment, look, arm) of 2,000 A/A tests, a look after every 10 units."""
    rng = np.random.default_rng([len(kind), int(100 * share)])
    y = outcomes(kind, (2_000, 60, 10), rng)
    treated = rng.random(y.shape) < share
    arms = np.stack([~treated, treated], axis=-1)
    return [(arms * value[..., None]).sum(axis=2).cumsum(axis=1) for value in (np.ones_like(y), y, y * y)], y


@pytest.mark.parametrize("kind", ["revenue", "count", "continuous"])
@pytest.mark.parametrize("share", [0.5, 0.1])
def test_null_tests_cross_at_most_as_often_as_stated(kind: str, share: float) -> None:
    sums, y = null_tests(kind, share)
    bound = ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / 2_000)
    for centre, wide in product([y.mean(), 0.0], [0.1, 1.0]):
        given: Any = {"control": 0, "centre": float(centre), "scale": float(wide / y.std())}
        crossed = log_e_amounts(*sums, split=[1 - share, share], **given)[..., 1] >= np.log(1 / ALPHA)
        assert crossed.any(axis=1).mean() <= bound
        if share == 0.1 and centre == 0.0 and kind == "count":  # the planted fault: shares that were not dealt by
            crossed = log_e_amounts(*sums, split=[0.5, 0.5], **given, sign=-1.0)[..., 1] >= np.log(1 / ALPHA)
            assert crossed.any(axis=1).mean() > bound


@pytest.mark.parametrize("share", [0.5, 0.1])
@pytest.mark.parametrize(
    ("treated", "scale"),
    [
        ((30, 40.0, 200.0), 0.2),
        ((3_000, 3_900.0, 20_000.0), 0.05),
        ((3_000, 900.0, 20_000.0), 5.0),
        ((0, 0.0, 0.0), 1.0),
    ],
)
def test_agrees_with_quadrature_of_the_mixture(treated: tuple[float, ...], scale: float, share: float) -> None:
    control, centre = (2_500, 2_600.0, 14_000.0), 1.1
    n, total, squares = np.array([control, treated]).T
    found = log_e_amounts(n, total, squares, control=0, split=[1 - share, share], centre=centre, scale=scale)
    with mpmath.workdps(30):
        w = mpmath.mpf(share)
        contrast = (1 - w) * (treated[1] - centre * treated[0]) - w * (control[1] - centre * control[0])
        squared = [one[2] - 2 * centre * one[1] + centre**2 * one[0] for one in (control, treated)]
        variance = sum(
            (x * x + 2 * w * (1 - w)) / 3 * sum_of_squares
            for x, sum_of_squares in zip((w, 1 - w), squared, strict=True)
        )
        steep = mpmath.mpf(scale) ** -2 + variance
        peak, width = max(contrast / steep, 0), 1 / mpmath.sqrt(steep)
        ends = [0, *(peak + k * width for k in (-20, -8, -2, 0, 2, 8, 20, 40) if peak + k * width > 0)]

        def density(t: Any) -> Any:
            return mpmath.exp(t * contrast - t * t * variance / 2 - (t / mpmath.mpf(scale)) ** 2 / 2)

        exact = mpmath.log(2 / (scale * mpmath.sqrt(2 * mpmath.pi)) * mpmath.quad(density, ends))
    assert found[1] == pytest.approx(float(exact), rel=1e-11, abs=1e-12)


def test_extremes_neither_overflow_nor_lose_their_digits() -> None:
    n = np.full((4, 2), 1e6)
    total = np.array([[0.0, 1e6], [1e6, 0.0], [0.0, 0.0], [5e5, 5e5]])
    found = log_e_amounts(n, total, np.abs(total), control=0, split=[0.5, 0.5], centre=0.0, scale=1e3)[:, 1]
    assert np.isfinite(found).all()
    assert found[0] == pytest.approx(1e6 / 2, rel=1e-3)  # T^2 / (2 V) = (n / 2)^2 / (n / 2)
    assert found[1] < found[3] < found[0]
    assert found[2] == 0.0  # every outcome at the centre: nothing is learned


def test_grouping_batches_and_relabelling_change_no_bit() -> None:
    rng = np.random.default_rng(8)
    y = rng.poisson(3.0, (6, 7, 4, 11)).astype(float)
    n, total, squares = np.full(y.shape[:-1], 11.0), y.sum(axis=-1), (y * y).sum(axis=-1)
    split = np.array([0.4, 0.3, 0.2, 0.1])
    given: Any = {"centre": 2.9, "scale": 0.05}
    whole = log_e_amounts(n, total, squares, control=0, split=split, **given)
    for i, j in np.ndindex(6, 7):
        single = log_e_amounts(n[i, j], total[i, j], squares[i, j], control=0, split=split, **given)
        np.testing.assert_array_equal(whole[i, j], single)
    strided = log_e_amounts(
        n[::2, 1:], np.asfortranarray(total)[::2, 1:], squares[::2, 1:], control=0, split=split, **given
    )
    np.testing.assert_array_equal(whole[::2, 1:], strided)
    order = np.array([2, 0, 3, 1])
    turned = log_e_amounts(*(a[..., order] for a in (n, total, squares)), control=1, split=split[order], **given)
    np.testing.assert_array_equal(whole[..., order], turned)
    by_parts = [a[:, :3].sum(axis=1) + a[:, 3:].sum(axis=1) for a in (n, total, squares)]
    at_once = [a.sum(axis=1) for a in (n, total, squares)]
    np.testing.assert_array_equal(
        log_e_amounts(*by_parts, control=0, split=split, **given),
        log_e_amounts(*at_once, control=0, split=split, **given),
    )


def test_turning_the_outcome_turns_the_sign() -> None:
    n, total, squares = np.array([[500.0, 480.0], [1_000.0, 1_050.0], [5_000.0, 5_200.0]])
    given: Any = {"control": 0, "split": [0.5, 0.5], "scale": 0.05}
    up = log_e_amounts(n, total, squares, centre=2.0, **given)
    np.testing.assert_array_equal(up, log_e_amounts(n, -total, squares, centre=-2.0, sign=-1.0, **given))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"squares": [20.0, 0.1]}, "squares is below"),
        ({"squares": [20.0, np.inf]}, "squares is missing or infinite"),
        ({"n": [10, -1]}, "n is not a whole number"),
        ({"n": [10, 0]}, "squares is below"),
        ({"scale": 0.0}, "scale"),
        ({"centre": np.nan}, "centre"),
        ({"split": [0.5, 0.6]}, "split"),
        ({"control": True}, "control"),
        ({"sign": 0.0}, "sign"),
        ({"total": [[1.0, 2.0]]}, "shapes"),
    ],
)
def test_refuses(change: dict[str, Any], named: str) -> None:
    sound: Any = {"n": [10, 10], "total": [10.0, 12.0], "squares": [20.0, 24.0], "control": 0}
    with pytest.raises(ArgumentError, match=named):
        log_e_amounts(**{**sound, "split": [0.5, 0.5], "centre": 1.0, "scale": 0.1, **change})
