"""Beliefs under normal likelihoods against dense integration of the joint density, written another way."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri

from bayesuplift.monitor.belief.believe import Belief, believe
from bayesuplift.monitor.effect_law import EffectLaw

Array = NDArray[np.float64]

LARGEST_ERROR = 1e-6
MIXTURE = EffectLaw(np.array([0.5, 0.3, 0.2]), np.array([0.0, 0.02, -0.01]), np.array([0.02, 0.08, 0.4]))
STATED = EffectLaw.normal(0.01, 0.1)
WIDE = 1e3  # sd of a law that stands for none in the test's own integration
SPLITS = ((1.0, 1.0, 1.0), (0.05, 0.475, 0.475), (0.95, 0.02, 0.03))


def told(mean: Array, precision: Array, law: EffectLaw | None, **options: object) -> Belief:
    """The belief from means of a given precision: as many units, of variance 1."""
    n = np.asarray(precision, float)
    total = n * mean
    squares = (n - 1.0) + n * np.asarray(mean) ** 2
    given = {"control": 0, "sign": 1.0, "breakeven": np.zeros(n.shape[-1]), "baseline": 1.0, **options}
    return believe(n, total, squares, kind="continuous", law=law, **given)  # type: ignore[arg-type]


def not_all(S: Array) -> Array:
    """1 - prod (1 - S) along the last axis, without a difference."""
    missing = np.zeros(S.shape[:-1])
    for k in range(S.shape[-1]):
        missing = missing + (1.0 - missing) * S[..., k]
    return missing


def dense(
    mean: Array, precision: Array, law: EffectLaw | None, *, sign: float, costs: Array, rope: float
) -> tuple[Array, Array, float]:
    """P(best), loss and P(equivalent) by 301 values of the control's mean and some 400 of the gain.

    Given the mean of the control the gains are independent normals; the components' evidence is the determinant and
    quadratic form of the treatments' covariance, not this integral.
    """
    parts = [(1.0, 0.0, WIDE)] if law is None else list(zip(law.weights, law.means, law.sds, strict=True))
    arms = mean.size
    best, loss, equivalent, logs = [], [], [], []
    for weight, m, s in parts:
        tau = s**-2.0
        difference = mean[1:] - mean[0]
        covariance = np.diag(1.0 / precision[1:] + s**2) + 1.0 / precision[0]
        off = difference - m
        logs.append(
            np.log(weight) - 0.5 * np.linalg.slogdet(covariance)[1] - 0.5 * off @ np.linalg.solve(covariance, off)
        )
        tied = precision[1:] * tau / (precision[1:] + tau)
        A = precision[0] + tied.sum()
        centre = (tied @ (difference - m)) / A
        t = centre + np.linspace(-8.0, 8.0, 301) / np.sqrt(A)
        w = np.exp(-0.5 * A * (t - centre) ** 2)
        w /= w.sum()
        sd = 1.0 / np.sqrt(precision[1:] + tau)
        where = (precision[1:] * (difference - t[:, None]) + tau * m) * sd**2
        where = sign * where - costs[1:]
        points, pw = np.polynomial.legendre.leggauss(36)
        reach = np.abs(where).max() + 9.0 * sd.max()
        edges = np.unique(np.concatenate([np.linspace(-reach, reach, 9), [-rope, 0.0, rope]]))
        b, e, q = np.zeros(arms), np.zeros(arms), 0.0
        b[0] = w @ ndtr(-where / sd).prod(axis=1)
        q = w @ (ndtr((0.0 - where) / sd) - ndtr((-rope - where) / sd)).prod(axis=1)
        for low, high in pairwise(edges):
            x = 0.5 * (low + high) + 0.5 * (high - low) * points
            dx = 0.5 * (high - low) * pw
            z = (x[None, :, None] - where[:, None, :]) / sd
            F, S = ndtr(z), ndtr(-z)
            f = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) / sd
            for a in range(arms - 1):
                others = np.delete(F, a, axis=2).prod(axis=2)
                if low >= 0.0:
                    b[1 + a] += w @ ((f[:, :, a] * others) @ dx)
                    missing = not_all(np.delete(S, a, axis=2))
                    e[1 + a] += w @ ((F[:, :, a] * missing) @ dx)
                else:
                    e[1 + a] += w @ (F[:, :, a] @ dx)
                if 0.0 <= low < rope:
                    inside = np.delete(F - ndtr((x[None, :, None] - rope - where[:, None, :]) / sd), a, axis=2)
                    q += w @ ((f[:, :, a] * inside.prod(axis=2)) @ dx)
            if low >= 0.0:
                e[0] += w @ (not_all(S) @ dx)
        best.append(b)
        loss.append(e)
        equivalent.append(q)
    shares = np.exp(np.array(logs) - max(logs))
    shares /= shares.sum()
    return shares @ np.array(best), shares @ np.array(loss), float(shares @ np.array(equivalent))


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("law", [None, STATED, MIXTURE], ids=["flat", "stated", "mixture"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_three_arms_agree_with_dense_integration(split: tuple[float, ...], law: EffectLaw | None, sign: float) -> None:
    precision = np.round(3_000.0 * np.array(split))
    mean = 1.0 + np.array([0.0, 0.03, -0.02])
    costs = np.array([0.0, 0.01, 0.0])
    belief = told(mean, precision, law, sign=sign, breakeven=costs, rope=0.04)
    best, loss, equivalent = dense(mean, precision, law, sign=sign, costs=costs, rope=0.04)
    assert np.abs(belief.prob_best - best).max() < LARGEST_ERROR
    assert np.abs(belief.relative_loss / loss - 1.0).max() < LARGEST_ERROR
    assert belief.prob_equivalent == pytest.approx(equivalent, abs=LARGEST_ERROR)
    assert belief.prob_best.sum() == pytest.approx(1.0, abs=1e-12)


def test_effects_taken_for_independent_are_rejected() -> None:
    precision, mean = np.full(3, 3_000.0), 1.0 + np.array([0.0, 0.03, 0.02])
    best, _, _ = dense(mean, precision, None, sign=1.0, costs=np.zeros(3), rope=0.04)
    z = (mean[1:] - mean[0]) / np.sqrt(2.0 / 3_000.0)
    assert abs(ndtr(-z).prod() - best[0]) > 1e4 * LARGEST_ERROR


@pytest.mark.parametrize("law", [None, STATED, MIXTURE], ids=["flat", "stated", "mixture"])
def test_two_arms_and_a_third_without_units_agree(law: EffectLaw | None) -> None:
    """Of three arms the pair's own sums must come out where the third has a law and no data."""
    precision, mean = np.array([500.0, 2_000.0]), 1.0 + np.array([0.0, 0.05])
    pair = told(mean, precision, law)
    best, loss, _ = dense(mean, precision, law, sign=1.0, costs=np.zeros(2), rope=0.1)
    assert np.abs(pair.prob_best - best).max() < LARGEST_ERROR
    assert np.abs(pair.relative_loss / loss - 1.0).max() < LARGEST_ERROR
    if law is not None:
        three = believe(
            np.array([*precision, 0.0]),
            np.array([*(precision * mean), 0.0]),
            np.array([*(precision - 1.0 + precision * mean**2), 0.0]),
            kind="continuous", law=law, control=0, sign=1.0, breakeven=np.zeros(3), baseline=1.0,
        )  # fmt: skip
        for name in ("prob_beats_control", "log_evidence", "lift", "lift_lower", "lift_upper"):
            assert getattr(three, name)[1] == pytest.approx(getattr(pair, name)[1], rel=1e-9)


def test_the_pair_s_numbers_are_those_of_the_normal() -> None:
    precision, mean, law = np.array([500.0, 2_000.0]), 1.0 + np.array([0.0, 0.05]), STATED
    w, tau = 400.0, 100.0
    centre, sd = (tau * 0.01 + w * 0.05) / (w + tau), 1.0 / np.sqrt(w + tau)
    belief = told(mean, precision, law, prob=0.9, rope=0.03)
    assert belief.prob_beats_control == pytest.approx([0.0, ndtr(centre / sd)], abs=1e-12)
    prior = log_ndtr(0.1) - log_ndtr(-0.1)
    assert belief.log_evidence[1] == pytest.approx(log_ndtr(centre / sd) - log_ndtr(-centre / sd) - prior, rel=1e-9)
    assert belief.lift is not None
    assert belief.lift_lower is not None
    assert belief.lift_upper is not None
    assert belief.lift[1] == pytest.approx(centre)
    assert [belief.lift_lower[1], belief.lift_upper[1]] == pytest.approx(centre + ndtri([0.05, 0.95]) * sd)
    assert belief.prob_equivalent == pytest.approx(ndtr((0.03 - centre) / sd) - ndtr((-0.03 - centre) / sd))


def test_a_small_loss_keeps_its_digits() -> None:
    """E[max(-e, 0)] of a mean six sds above 0 is 1.6e-11; of three arms the same where the third is far worse."""
    sd = np.sqrt(2.0 / 1e4)
    for mean in (np.array([1.0, 1.0 + 6.0 * sd]), np.array([1.0, 1.0 + 6.0 * sd, 0.5])):
        belief = told(mean, np.full(mean.size, 1e4), None)
        known = sd * (np.exp(-18.0) / np.sqrt(2 * np.pi) - 6.0 * ndtr(-6.0))
        assert belief.relative_loss[1] == pytest.approx(known, rel=1e-5)


@pytest.mark.parametrize("arms", [2, 4])
def test_evidence_is_finite_however_strong(arms: int) -> None:
    mean = np.linspace(1.0, 2.0, arms)
    for law in (None, STATED, MIXTURE):
        belief = told(mean, np.full(arms, 1e6), law)
        assert np.isfinite(belief.log_evidence).all()
        assert belief.log_evidence[-1] > 1_000.0


@pytest.mark.parametrize("arms", [2, 4])
def test_changing_the_unit_of_outcomes_changes_nothing_that_is_relative(arms: int) -> None:
    n, mean = np.full(arms, 900.0), np.linspace(2.0, 2.1, arms)
    beliefs = [
        believe(
            n,
            unit * n * mean,
            unit**2 * (n * mean**2 + 899.0),
            kind="continuous",
            law=EffectLaw.normal(0.0, 0.1 * unit),
            control=0,
            sign=1.0,
            breakeven=np.zeros(arms),
            baseline=2.0 * unit,
            rope=0.03,
        )
        for unit in (1.0, 100.0)
    ]
    for name in ("prob_best", "log_evidence", "relative_loss", "lift", "lift_upper", "prob_equivalent"):
        assert getattr(beliefs[1], name) == pytest.approx(getattr(beliefs[0], name), rel=1e-9)
