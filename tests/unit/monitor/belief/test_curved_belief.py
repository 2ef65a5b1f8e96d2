"""Beliefs under binomial and count likelihoods: against brute force on a grid, and calibrated in simulated experiments."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from bayesuplift.decisions.proportions import compare_betas, compare_proportions
from bayesuplift.errors import ArgumentError
from bayesuplift.monitor.belief.believe import Belief, believe
from bayesuplift.monitor.effect_law import EffectLaw

Array = NDArray[np.float64]

STATED = EffectLaw.normal(0.0, 0.1)
WIDE = EffectLaw.normal(0.02, 0.5)
MIXTURE = EffectLaw(np.array([0.5, 0.3, 0.2]), np.array([0.0, 0.02, -0.01]), np.array([0.02, 0.08, 0.4]))
SAMPLE_ERROR = 4.5  # Monte Carlo standard errors: ten comparisons, and one false alarm in ten thousand runs


def told(n: object, y: object, law: EffectLaw | None = STATED, **options: object) -> Belief:
    units, total = np.asarray(n, float), np.asarray(y, float)
    given = {
        "kind": "binary",
        "control": 0,
        "sign": 1.0,
        "breakeven": np.zeros(units.shape[-1]),
        "baseline": 1.0,
        **options,
    }
    squares = given.pop("squares", total)
    return believe(units, total, squares, law=law, **given)  # type: ignore[arg-type]


def brute(n: Array, y: Array, law: EffectLaw, *, reach: float = 9.0) -> tuple[Array, Array, Array]:
    """P(best), loss, and the quantiles .025 and .975 of the first treatment's r, on a grid of 401 by 1,201.

    Half a conversion and half a unit without one are dealt to the arms by their units, as `believe` says it does.
    """
    share = n / n.sum()
    y, n = y + 0.5 * share, n + share
    arms = y.size
    pooled = y.sum() / n.sum()
    centre, sd = (
        np.log(pooled / (1 - pooled)),
        1.0 / np.sqrt(y[0] * (1 - pooled) + 1.0 / (1.0 / y[1:].sum() + law.sd**2)),
    )
    theta = centre + np.linspace(-reach, reach, 401) * min(max(sd, 1e-4), 4.0)
    widest = min(
        reach * law.sds.max(), 1.5 * reach * np.sqrt((1.0 / y / (1 - pooled)).max() + 1.0 / y[0] / (1 - pooled))
    )
    e = np.linspace(-widest, widest, 1201)
    de, zero = e[1] - e[0], 600
    p0 = expit(theta)[:, None]
    r = (1 - p0) * np.expm1(e) / (1 + p0 * np.expm1(e))
    slope = np.gradient(r, e, axis=1)
    sums, losses, tops, ratio = [], [], [], []
    for weight, m, s in zip(law.weights, law.means, law.sds, strict=True):
        log = [y[a] * (theta[:, None] + e) - n[a] * np.logaddexp(0, theta[:, None] + e) for a in range(1, arms)]
        log = [part - 0.5 * ((e - m) / s) ** 2 - np.log(s) for part in log]
        high = [part.max(axis=1, keepdims=True) for part in log]
        f = [np.exp(part - top) for part, top in zip(log, high, strict=True)]
        cumulated = [np.cumsum(part, axis=1) * de - 0.5 * de * (part + part[:, :1]) for part in f]
        mass = [part[:, -1:] for part in cumulated]
        f = [part / whole for part, whole in zip(f, mass, strict=True)]
        F = [part / whole for part, whole in zip(cumulated, mass, strict=True)]
        W = (
            y[0] * theta
            - n[0] * np.logaddexp(0, theta)
            + sum(np.log(k) + top for k, top in zip(mass, high, strict=True))[:, 0]
        )
        tops.append(np.log(weight) + W.max())
        W = np.exp(W - W.max())
        b, loss = np.zeros(arms), np.zeros(arms)
        every = np.prod(F, axis=0)
        b[0] = W @ every[:, zero]
        loss[0] = W @ np.trapezoid(((1 - every) * slope)[:, zero:], e[zero:], axis=1)
        for a in range(arms - 1):
            others = np.prod([F[k] for k in range(arms - 1) if k != a], axis=0) * np.ones_like(F[a])
            b[1 + a] = W @ np.trapezoid((f[a] * others)[:, zero:], e[zero:], axis=1)
            loss[1 + a] = W @ np.trapezoid((F[a] * slope)[:, : zero + 1], e[: zero + 1], axis=1)
            loss[1 + a] += W @ np.trapezoid((F[a] * (1 - others) * slope)[:, zero:], e[zero:], axis=1)
        sums.append(b)
        losses.append(loss)
        ratio.append(W[:, None] * f[0] * de)
    scale = np.exp(np.array(tops) - max(tops))
    best = scale @ np.array(sums)
    weight = np.tensordot(scale, np.array(ratio), axes=1).ravel()
    order = np.argsort(r.ravel())
    reached = np.cumsum(weight[order]) / weight.sum()
    ends = np.interp([0.025, 0.975], reached, r.ravel()[order])
    return best / best.sum(), scale @ np.array(losses) / best.sum(), ends


CASES = [
    ([200, 200], [0, 1], STATED),
    ([100, 1900], [3, 85], WIDE),
    ([200, 200], [9, 14], WIDE),
    ([1000, 1000], [480, 515], MIXTURE),
    ([10_000, 10_000], [9, 16], MIXTURE),
    ([19_000, 1_000], [950, 61], WIDE),
    ([500_000, 500_000], [25_000, 25_310], STATED),
    ([500_000, 500_000], [500, 540], WIDE),
    ([200, 200, 200], [9, 5, 12], STATED),
    ([1900, 50, 50], [950, 31, 20], WIDE),
    ([20_000, 20_000, 20_000], [20, 31, 24], MIXTURE),
    ([2_000, 2_000, 2_000], [1000, 1030, 980], WIDE),
]


@pytest.mark.parametrize(("n", "y", "law"), CASES)
def test_a_binary_belief_agrees_with_the_whole_likelihood(n: list[int], y: list[int], law: EffectLaw) -> None:
    """Two arms to what the grid itself resolves; more to a fifth of a point where a law is wide and conversions few."""
    best, loss, ends = brute(np.array(n, float), np.array(y, float), law)
    belief = told(n, y, law)
    assert np.abs(belief.prob_best - best).max() < (3e-4 if len(n) == 2 else 2e-3)
    assert np.abs(belief.relative_loss / loss - 1.0).max() < (0.01 if len(n) == 2 else 0.02)
    assert belief.lift_lower is not None
    assert belief.lift_upper is not None
    width = ends[1] - ends[0]
    assert abs(belief.lift_lower[1] - ends[0]) < 0.01 * width
    assert abs(belief.lift_upper[1] - ends[1]) < 0.01 * width


def test_a_normal_likelihood_in_place_of_the_binomial_is_rejected() -> None:
    n, y = np.array([100.0, 1900.0]), np.array([3.0, 85.0])
    best, _, _ = brute(n, y, WIDE)
    x, v = np.log(y / (n - y)), 1.0 / y + 1.0 / (n - y)
    total = 1e6 * x  # as outcomes whose mean is the logit
    normal = believe(
        np.full(2, 1e6), total, 1e6 * x**2 + 1e12 * v, kind="continuous", law=WIDE, control=0, sign=1.0,
        breakeven=np.zeros(2), baseline=1.0,
    )  # fmt: skip
    assert np.abs(normal.prob_best - best).max() > 0.01


def matched(law: EffectLaw, arms: int, kind: str, *, experiments: int = 12_000) -> tuple[Array, Array, Array]:
    """True relative effects (experiment, arm), with a control of 0, and the n and y that one look sees."""
    generator = np.random.default_rng(20240607)
    component = generator.choice(law.weights.size, size=experiments, p=law.weights)
    effect = law.means[component, None] + law.sds[component, None] * generator.normal(size=(experiments, arms - 1))
    effect = np.concatenate([np.zeros((experiments, 1)), effect], axis=1)
    n = np.full((experiments, arms), 2_000.0)
    if kind == "binary":
        rate = expit(np.log(0.05 / 0.95) + effect)
        return rate / rate[:, :1] - 1.0, n, generator.binomial(2_000, rate).astype(float)
    rate = 0.05 * np.exp(effect)
    return rate / rate[:, :1] - 1.0, n, generator.poisson(2_000 * rate).astype(float)


def promised(belief: Belief, true: Array) -> tuple[Array, Array]:
    """Differences between real and stated of the best arm, in standard errors: is it not the best, and what it loses."""
    chosen = belief.prob_best.argmax(axis=1)
    rows = np.arange(chosen.size)
    sure = belief.prob_best[rows, chosen] > 0.7
    stated_wrong, stated_loss = 1.0 - belief.prob_best[rows, chosen], belief.relative_loss[rows, chosen]
    real_loss = true.max(axis=1) - true[rows, chosen]
    z = []
    for stated, real in ((stated_wrong, (real_loss > 0.0).astype(float)), (stated_loss, real_loss)):
        off = (real - stated)[sure]
        z.append(off.mean() / (off.std() / np.sqrt(off.size)))
    return np.array(z), np.array([stated_wrong[sure].mean(), sure.sum()])


@pytest.mark.parametrize(("arms", "kind"), [(2, "binary"), (3, "binary"), (2, "count")])
def test_what_is_stated_is_what_happens(arms: int, kind: str) -> None:
    law = EffectLaw.normal(0.0, 0.15)
    true, n, y = matched(law, arms, kind, experiments=12_000 if arms == 2 else 4_000)
    squares = y if kind == "binary" else y + y**2 / n  # of counts: variance equal to the mean
    z, known = promised(told(n, y, law, kind=kind, squares=squares, prob=None), true)
    assert np.abs(z).max() < SAMPLE_ERROR
    assert known[1] > 500


def test_a_law_four_times_too_wide_and_a_flat_one_are_rejected() -> None:
    law = EffectLaw.normal(0.0, 0.15)
    true, n, y = matched(law, 2, "binary")
    assert np.abs(promised(told(n, y, EffectLaw.normal(0.0, 0.6), prob=None), true)[0]).max() > 2 * SAMPLE_ERROR
    few = slice(0, 4_000)
    assert np.abs(promised(told(n[few], y[few], None, prob=None), true[few])[0]).max() > SAMPLE_ERROR


@pytest.mark.parametrize("kind", ["binary", "count", "revenue"])
def test_arms_without_information_give_the_prior(kind: str) -> None:
    for n in ([0.0, 0.0], [0.0, 0.0, 0.0], [500.0, 0.0, 500.0]):
        y = 0.1 * np.array(n)
        belief = told(n, y, STATED, kind=kind, squares=y)
        assert belief.prob_beats_control[1] == pytest.approx(0.5, abs=1e-7)
        assert belief.log_evidence[1] == pytest.approx(0.0, abs=1e-6)
        assert belief.lift_lower is not None
        if kind != "binary":
            assert belief.lift_lower[1] == pytest.approx(np.expm1(-1.959964 * 0.1), rel=1e-4)
    nothing = told([100.0, 100.0], [0.0, 0.0], STATED, kind=kind)
    assert nothing.prob_best == pytest.approx([0.5, 0.5], abs=1e-6)


@pytest.mark.parametrize("law", [STATED, None], ids=["stated", "flat"])
def test_an_arm_that_sold_nothing_is_worse_news_than_one_that_sold_once(law: EffectLaw | None) -> None:
    odds = []
    for sold in (0.0, 1.0, 5.0, 20.0, 40.0):
        y = np.array([200.0, 10.0 * sold])  # twenty sales of 10 in the control
        odds.append(float(told([2_000, 2_000], y, law, kind="revenue", squares=10.0 * y).log_evidence[1]))
    if law is None:
        odds = odds[1:]  # flat: about the mean of all arms, and from the first sale on about the arm's own
    assert np.isfinite(odds).all()
    assert (np.diff(odds) > 0.0).all()
    assert odds[0] < 0.0 < odds[-1]


def test_a_flat_prior_says_nothing_of_an_arm_without_information() -> None:
    n, total = np.array([[50.0, 50.0], [50.0, 1.0]]), np.array([[100.0, 110.0], [100.0, 2.0]])
    belief = told(n, total, None, kind="continuous", squares=total**2 / n + n - 1)
    assert np.isfinite(belief.relative_loss[0]).all()
    assert np.isinf(belief.relative_loss[1]).all()
    assert belief.prob_best[1].tolist() == [0.5, 0.5]
    assert belief.log_evidence[1].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("law", [STATED, MIXTURE])
def test_relabelling_treatments_permutes(law: EffectLaw) -> None:
    n, y = np.array([900.0, 400.0, 700.0]), np.array([50.0, 30.0, 33.0])
    first, second = told(n, y, law), told(n[[0, 2, 1]], y[[0, 2, 1]], law)
    moved = told(n[[2, 1, 0]], y[[2, 1, 0]], law, control=2)
    for name in ("prob_best", "relative_loss", "log_evidence", "lift_upper"):
        own = getattr(first, name)
        assert getattr(second, name)[[0, 2, 1]] == pytest.approx(own, rel=1e-8)
        assert getattr(moved, name)[[2, 1, 0]] == pytest.approx(own, rel=1e-8)
    assert first.prob_best.sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("arms", [2, 3])
def test_turning_the_sign_turns_better_and_worse(arms: int) -> None:
    n, y = np.full(arms, 900.0), np.linspace(40.0, 60.0, arms)
    up, down = told(n, y, STATED), told(n, y, STATED, sign=-1.0)
    assert down.log_evidence == pytest.approx(-up.log_evidence, rel=1e-9)
    assert down.lift_lower == pytest.approx(up.lift_lower)
    if arms == 2:
        assert down.relative_loss == pytest.approx(up.relative_loss[::-1])
    assert int(down.prob_best.argmax()) == 0
    assert int(up.prob_best.argmax()) == arms - 1


@pytest.mark.parametrize("arms", [2, 3])
def test_costs_move_the_boundary_and_not_the_lift(arms: int) -> None:
    """Against draws of the brute-force posterior: g = r - cost of Beta posteriors under a law too wide to matter."""
    n, y = np.full(arms, 4_000.0), np.linspace(2_000.0, 2_200.0, arms)
    costs = np.array([0.0, *np.linspace(0.05, 0.08, arms - 1)])
    free, paid = told(n, y, EffectLaw.normal(0.0, 50.0)), told(n, y, EffectLaw.normal(0.0, 50.0), breakeven=costs)
    generator = np.random.default_rng(3)
    rate = generator.beta(y + 1e-9, n - y + 1e-9, size=(200_000, arms))
    gain = rate / rate[:, :1] - 1.0 - costs
    known = (gain == gain.max(axis=1, keepdims=True)).mean(axis=0)
    assert np.abs(paid.prob_best - known).max() < 4.5 * 0.5 / np.sqrt(200_000)
    loss = (gain.max(axis=1, keepdims=True) - gain).mean(axis=0)
    error = (gain.max(axis=1, keepdims=True) - gain).std(axis=0) / np.sqrt(200_000)
    assert np.abs(paid.relative_loss - loss).max() < 4.5 * error.max()
    assert paid.relative_loss[0] == pytest.approx(loss[0], rel=0.005)
    assert paid.lift == pytest.approx(free.lift)


def test_a_rope_holds_what_draws_say() -> None:
    n = np.full(3, 4_000.0)
    y = np.array([2_000.0, 2_040.0, 1_990.0])
    generator = np.random.default_rng(4)
    rate = generator.beta(y, n - y, size=(200_000, 3))
    for arms in (2, 3):
        gain = rate[:, :arms] / rate[:, :1] - 1.0
        known = (np.ptp(gain, axis=1) <= 0.04).mean()
        belief = told(n[:arms], y[:arms], EffectLaw.normal(0.0, 50.0), rope=0.04)
        assert belief.prob_equivalent == pytest.approx(known, abs=4.5 * 0.5 / np.sqrt(200_000))


def test_flat_rates_are_those_of_the_exact_comparison() -> None:
    n, y = np.array([[500.0, 400.0, 450.0]]), np.array([[25.0, 28.0, 20.0]])
    belief, exact = told(n, y, None, rope=0.1), compare_proportions(y, n)
    assert np.array_equal(belief.prob_best, exact.prob_best)
    assert belief.relative_loss == pytest.approx(exact.expected_loss.to_numpy() * 502.0 / 26.0)
    assert belief.lift_upper is not None
    assert np.array_equal(belief.lift_upper, exact.relative_lift_upper)
    beats = exact.prob_beats_control.to_numpy()[:, 1:]
    assert belief.log_evidence[:, 1:] == pytest.approx(np.log(beats / (1 - beats)), rel=1e-8)
    far = told([[1e6, 1e6]], [[1e4, 9e5]], None, prob=None)
    assert np.isfinite(far.log_evidence).all()
    assert far.log_evidence[0, 1] > 1e4
    together = compare_betas(
        1.0 + y, 1.0 + n - y, control=0, higher_is_better=True, rope=0.1 * 26.0 / 502.0, prob=None
    )["prob_all_equivalent"]  # fmt: skip
    assert belief.prob_equivalent == pytest.approx(together)


def test_rows_do_not_know_of_each_other() -> None:
    """One row has the bits that it has among thousands, shared among threads, and in any shape."""
    generator = np.random.default_rng(5)
    n = np.full((6_000, 2), 1_000.0)
    y = generator.binomial(1_000, 0.05, n.shape).astype(float)
    every = told(n, y, MIXTURE, rope=0.05)
    block = told(n.reshape(60, 100, 2)[7], y.reshape(60, 100, 2)[7], MIXTURE, rope=0.05)
    alone = told(n[703], y[703], MIXTURE, rope=0.05)
    for name in ("prob_best", "log_evidence", "relative_loss", "lift", "lift_lower", "prob_equivalent"):
        assert np.array_equal(getattr(every, name)[700:800], getattr(block, name))
        assert np.array_equal(getattr(every, name)[703], getattr(alone, name))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"kind": "rate"}, "kind = 'rate'"),
        ({"y": [1.0, 200.0]}, "total exceeds n"),
        ({"n": [100.0, np.nan]}, "missing"),
        ({"n": [100.0]}, "shapes"),
        ({"sign": 2.0}, "sign = 2.0"),
        ({"control": 5}, "control = 5"),
        ({"breakeven": np.array([0.1, 0.0])}, "0 for the control"),
        ({"breakeven": np.array([0.0, 1.5]), "sign": -1.0}, "beyond every relative effect"),
        ({"breakeven": np.array([0.0, 0.1]), "law": None}, "state a prior"),
        ({"kind": "continuous", "baseline": 0.0}, "baseline = 0.0"),
        ({"kind": "count", "squares": np.array([0.01, 0.01])}, "less than total"),
        ({"rope": 0.0}, "rope = 0.0"),
        ({"prob": 1.0}, "prob = 1.0"),
    ],
)
def test_what_no_data_have_is_refused(changed: dict[str, object], said: str) -> None:
    given = {"n": [100.0, 100.0], "y": [10.0, 12.0], **changed}
    with pytest.raises(ArgumentError, match=said):
        told(**given)  # type: ignore[arg-type]
