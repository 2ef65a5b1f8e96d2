"""Simulated statistics have the moments of sums over units that are dealt at random, and faults in them are seen."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import ks_2samp, nbinom, norm, poisson

from bayesuplift.errors import ArgumentError, PlanError
from bayesuplift.monitor.operating.sums import amount_sums, ladder_of
from bayesuplift.monitor.operating.worlds import draw, effects_of_prior, gains
from bayesuplift.monitor.plan import Plan
from bayesuplift.monitor.schedule import Look
from tests.support.monitored import planned
from tests.support.worlds import seed_of

SPLIT = {"A": 1, "B": 2, "C": 1}
EFFECTS = np.array([0.0, 0.2, -0.1])
LOOKS = (Look(150, 1.0), Look(400, 2.0))
EXPERIMENTS = 6000
METRICS: dict[str, dict[str, Any]] = {
    "binary": {"name": "y", "kind": "binary", "baseline": 0.3},
    "continuous": {"name": "y", "kind": "continuous", "baseline": -4.0, "sd": 3.0},
    "poisson": {"name": "y", "kind": "count", "baseline": 1.5, "sd": math.sqrt(1.5)},
    "count": {"name": "y", "kind": "count", "baseline": 1.5, "sd": 2.0},
    "high count": {"name": "y", "kind": "count", "baseline": 150.0, "sd": 14.0},
    "revenue": {"name": "y", "kind": "revenue", "baseline": 2.0, "sd": 3.6, "buyers": 0.3},
    "many buyers": {"name": "y", "kind": "revenue", "baseline": 2.0, "sd": 3.6, "buyers": 0.3},
}
LIMIT = 5.0  # 270 comparisons of 7 kinds: right draws fail one of them once in 900 times
SIZES = {"many buyers": 30}  # times as many units: some 450 to 2,200 buyers a look and arm


def plan_of(name: str) -> Plan:
    return planned(arms=["A", "B", "C"], split=SPLIT, metric=METRICS[name], prior={"kind": "normal", "sd": 0.1})


def looks_of(name: str) -> tuple[Look, ...]:
    times = SIZES.get(name, 1)
    return tuple(Look(one.units * times, one.days) for one in LOOKS)


def drawn(name: str, experiments: int = EXPERIMENTS) -> np.ndarray:
    """(experiment, look, statistic x arm)."""
    generator = np.random.default_rng(seed_of(f"worlds, {name}"))
    found = draw(plan_of(name), looks_of(name), np.broadcast_to(EFFECTS, (experiments, 3)), generator)
    return np.concatenate(found, axis=-1)


def moments(name: str, effect: float) -> np.ndarray:
    """E y^k of one unit, k = 0 to 4, from the distributions as scipy or the textbook has them."""
    metric = plan_of(name).metric
    mean, k = metric.baseline * (1.0 + effect), np.arange(5)
    if metric.kind == "binary":
        return np.where(k == 0, 1.0, mean)
    sd = metric.spread
    if metric.kind == "continuous":
        return np.array(
            [norm.moment(int(one), loc=metric.baseline + effect * abs(metric.baseline), scale=sd) for one in k]
        )
    if metric.kind == "count":
        beyond = sd**2 - metric.baseline
        size = metric.baseline**2 / beyond if beyond > 1e-9 else math.inf
        law = poisson(mean) if size == math.inf else nbinom(size, size / (size + mean))
        y = np.arange(2000)
        return np.array([(law.pmf(y) * y.astype(float) ** one).sum() for one in k])
    assert metric.buyers is not None
    s = math.log(metric.buyers * (1.0 + (sd / metric.baseline) ** 2))
    amounts = (mean / metric.buyers) ** k * np.exp(0.5 * k * (k - 1) * s)
    return np.where(k == 0, 1.0, metric.buyers * amounts)


def law_of_a_unit(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of what one unit adds: (1, y, y^2) in its own arm, 0 in the others."""
    shares = np.array([SPLIT[arm] for arm in "ABC"]) / sum(SPLIT.values())
    added, products = np.zeros((3, 3)), np.zeros((3, 3, 3, 3))
    for a, effect in enumerate(EFFECTS):
        own = shares[a] * moments(name, float(effect))
        for i in range(3):
            added[i, a] = own[i]
            for j in range(3):
                products[i, a, j, a] = own[i + j]
    mean = added.ravel()
    return mean, products.reshape(9, 9) - np.outer(mean, mean)


def distances(draws: np.ndarray, name: str) -> np.ndarray:
    """Means, covariances and those between looks, in Monte Carlo errors from the exact ones."""
    mean, covariance = law_of_a_unit(name)
    first, last = (one.units for one in looks_of(name))
    found = []
    centred = []
    for k, units in enumerate((first, last)):
        off = draws[:, k] - units * mean
        centred.append(off)
        found.append(off.mean(axis=0) / (off.std(axis=0) / math.sqrt(len(off))))
    for one, other, units in ((0, 0, first), (1, 1, last), (0, 1, first)):
        products = centred[one][:, :, None] * centred[other][:, None, :]
        spread = products.std(axis=0) / math.sqrt(len(products))
        found.append(((products.mean(axis=0) - units * covariance) / spread).ravel())
    return np.abs(np.concatenate(found))


@pytest.mark.parametrize("name", METRICS)
def test_moments_and_cross_moments_of_both_looks_are_exact(name: str) -> None:
    assert distances(drawn(name), name).max() < LIMIT


def counted_twice(draws: np.ndarray) -> np.ndarray:
    return draws + np.stack([np.zeros_like(draws[:, 0]), draws[:, 0]], axis=1)


def not_cumulative(draws: np.ndarray) -> np.ndarray:
    return np.stack([draws[:, 0], draws[:, 1] - draws[:, 0]], axis=1)


def independent_looks(draws: np.ndarray) -> np.ndarray:
    return np.stack([draws[:, 0], np.roll(draws[:, 1], 1, axis=0)], axis=1)


def squares_of_means(draws: np.ndarray) -> np.ndarray:
    return np.concatenate([draws[..., :6], draws[..., 3:6] ** 2 / draws[..., :3]], axis=-1)


def arms_swapped(draws: np.ndarray) -> np.ndarray:
    return draws[..., [1, 0, 2, 4, 3, 5, 7, 6, 8]]


@pytest.mark.parametrize("name", ["binary", "revenue"])
@pytest.mark.parametrize(
    "fault",
    [counted_twice, not_cumulative, independent_looks, squares_of_means, arms_swapped],
    ids=lambda f: f.__name__,
)
def test_faults_in_the_sums_are_seen(name: str, fault: Any) -> None:
    assert distances(fault(drawn(name)), name).max() > LIMIT


def sums_of_amounts(spread: float, ladder: np.ndarray, seed: str) -> np.ndarray:
    total, squares = np.empty(3000), np.empty(3000)
    buyers = np.full(3000, 700)
    amount_sums(np.random.default_rng(seed_of(seed)), buyers, spread, ladder, total, squares)
    return np.stack([total, squares])


def test_many_buyers_have_the_distribution_of_buyers_drawn_one_by_one() -> None:
    one_by_one = sums_of_amounts(1.0, np.empty((0, 7)), "one by one")
    together = sums_of_amounts(1.0, ladder_of(1.0), "together")
    wrong = sums_of_amounts(1.0, ladder_of(0.95), "together")
    least = 1e-4
    assert min(ks_2samp(*pair).pvalue for pair in zip(one_by_one, together, strict=True)) > least
    assert min(ks_2samp(*pair).pvalue for pair in zip(one_by_one, wrong, strict=True)) < least


def test_amounts_that_hardly_vary_and_amounts_that_vary_wildly_have_moments() -> None:
    for spread in (1e-4, 4.0):
        assert np.isfinite(ladder_of(spread)).all()


@pytest.mark.parametrize("name", ["binary", "continuous", "revenue"])
def test_effects_of_the_prior_have_its_mean_and_spread_on_the_link_scale(name: str) -> None:
    plan = plan_of(name)
    relative = effects_of_prior(plan, np.random.default_rng(seed_of(name)), 20_000)
    assert not relative[:, 0].any()
    mean = plan.metric.baseline * (1.0 + relative[:, 1:])
    if name == "binary":
        effect = np.log(mean / (1.0 - mean)) - math.log(0.3 / 0.7)
    elif name == "continuous":
        effect = relative[:, 1:] * 4.0
    else:
        effect = np.log1p(relative[:, 1:])
    size = math.sqrt(len(effect))
    assert abs(effect.mean(axis=0)).max() < LIMIT * 0.1 / size
    assert abs(effect.std(axis=0) - 0.1).max() < LIMIT * 0.1 / math.sqrt(2.0) / size
    assert abs(float(np.mean((effect[:, 0] - effect[:, 0].mean()) * effect[:, 1]))) < LIMIT * 0.1**2 / size


def test_the_component_of_a_mixture_is_drawn_once_an_experiment() -> None:
    prior = {"kind": "mixture", "weights": [0.5, 0.5], "means": [-1.0, 1.0], "sds": [0.01, 0.01]}
    plan = planned(arms=["A", "B", "C"], metric=METRICS["revenue"], prior=prior)
    relative = effects_of_prior(plan, np.random.default_rng(1), 1000)
    assert ((relative[:, 1] > 0.0) == (relative[:, 2] > 0.0)).all()
    assert 0.4 < (relative[:, 1] > 0.0).mean() < 0.6


def test_gains_are_net_of_costs_and_in_the_better_direction() -> None:
    metric = METRICS["revenue"] | {"lower_is_better": True}
    plan = planned(metric=metric, costs={"value_per_outcome": 2.0, "cost_per_unit": {"B": 0.4}})
    assert gains(plan, np.array([0.0, -0.3])).tolist() == pytest.approx([0.0, 0.3 - 0.4 / (2.0 * 2.0)], abs=1e-15)


@pytest.mark.parametrize(
    ("effects", "looks", "said"),
    [
        ([0.0, 3.0, 0.0], LOOKS, "mean of 1.2; expected one between 0 and 1"),
        ([0.0, -1.0, 0.0], LOOKS, "expected one between 0 and 1"),
        ([0.1, 0.0, 0.0], LOOKS, "0 for the control"),
        ([0.0, 0.1], LOOKS, "each of 3 arms"),
        ([0.0, 0.0, math.nan], LOOKS, "finite number"),
        ([0.0, 0.0, 0.0], (), "at least one, in order"),
        ([0.0, 0.0, 0.0], LOOKS[::-1], "at least one, in order"),
    ],
)
def test_worlds_that_cannot_be_are_refused(effects: list[float], looks: Any, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        draw(plan_of("binary"), looks, effects, np.random.default_rng(1))


def test_counts_that_vary_less_than_poissons_are_refused() -> None:
    plan = planned(metric={"name": "y", "kind": "count", "baseline": 4.0, "sd": 1.0})
    with pytest.raises(PlanError, match="below that of a Poisson count"):
        draw(plan, LOOKS, [0.0, 0.0], np.random.default_rng(1))


def test_effects_are_not_drawn_from_a_flat_prior() -> None:
    with pytest.raises(PlanError, match="flat prior"):
        effects_of_prior(planned(prior={"kind": "flat"}), np.random.default_rng(1), 10)
