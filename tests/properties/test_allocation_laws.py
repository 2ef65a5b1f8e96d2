"""Laws of allocations under limits, whatever the rewards."""

import math
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bayesuplift.decisions.allocation.allocate import KEPT_TO, Allocation, allocate
from bayesuplift.decisions.allocation.budget_path import budget_path

# No clock and no store: an example is the same on every machine and every run.
few = settings(
    max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
Problem = tuple[np.ndarray, np.ndarray, np.ndarray]
Limits = dict[str, Any]
parts = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.5])


@st.composite
def problems(draw: Any, *, ties: bool = True) -> Problem:
    """Up to six places and three treatments: on a grid, so that ties come up, or without any; some are not allowed."""
    n, k = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if ties:
        reward, cost = generator.integers(-8, 17, (n, k)) / 4, generator.integers(0, 9, (n, k)) / 4
        weight = 2.0 ** generator.integers(-2, 4, n)
    else:
        reward, cost = generator.normal(0.5, 1, (n, k)), generator.uniform(0.1, 3, (n, k))
        weight = generator.uniform(0.5, 4, n)
    reward[generator.random((n, k)) < draw(st.sampled_from([0.0, 0.3]))] = -np.inf
    return reward, cost, weight


@st.composite
def limited(draw: Any, *, ties: bool = True) -> tuple[Problem, Limits]:
    """Limits that are parts of what is used without any, nothing among them; the first treatment has a smaller part."""
    reward, cost, weight = problem = draw(problems(ties=ties))
    units = allocate(*problem).share * weight[:, None]
    part = draw(st.fixed_dictionaries({}, optional=dict.fromkeys(("budget", "cap", "caps"), parts)))
    free = {"budget": float((units * cost).sum()), "cap": float(units.sum()), "caps": units.sum(axis=0)}
    free["caps"] = free["caps"] * np.r_[0.5, np.ones(reward.shape[1] - 1)]
    return problem, {name: free[name] * by for name, by in part.items()}


def close(found: Any, expected: Any, scale: float = 1.0) -> None:
    """Equal but for what an allocation promises: gains within 1e-9 of a bound, under limits kept to 1e-9."""
    np.testing.assert_allclose(found, expected, rtol=4 * KEPT_TO, atol=1e-12 * scale)


def everything(problem: Problem) -> float:
    """Money that is gained without limits."""
    return float(problem[2] @ problem[0].max(axis=1).clip(0))


@few
@given(limited(), st.sampled_from([0.25, 8.0, 1024.0]))
def test_rewards_in_another_unit_scale_gains_and_prices_and_leave_shares(
    posed: tuple[Problem, Limits], factor: float
) -> None:
    problem, limits = posed
    reward, cost, weight = problem
    before, after = allocate(reward, cost, weight, **limits), allocate(reward * factor, cost, weight, **limits)
    np.testing.assert_array_equal(before.share, after.share)
    close(after.gain, before.gain * factor)
    for name in ("budget", "cap", "caps"):
        close(getattr(after.prices, name), np.asarray(getattr(before.prices, name)) * factor)


@few
@given(limited(ties=False), st.randoms(use_true_random=False))
def test_treatments_in_another_order_have_the_same_shares_in_that_order(
    posed: tuple[Problem, Limits], shuffled: Any
) -> None:
    problem, limits = posed
    reward, cost, weight = problem
    order = list(range(reward.shape[1]))
    shuffled.shuffle(order)
    turned = {name: limit[order] if name == "caps" else limit for name, limit in limits.items()}
    before, after = allocate(*problem, **limits), allocate(reward[:, order], cost[:, order], weight, **turned)
    close(after.share, before.share[:, order])
    close(after.gain, before.gain)


@few
@given(problems())
def test_along_a_path_rewards_never_fall_and_rise_ever_less(problem: Problem) -> None:
    reward, cost, weight = problem
    path = budget_path(reward, cost, weight)
    assert (np.diff(path.ratio) <= 0).all()
    assert (np.diff(np.r_[0.0, path.spend]) > 0).all()
    budgets = np.linspace(0, float((cost.max(axis=1) * weight).sum()) + 1, 23)
    gains, prices = np.array([path.at(budget) for budget in budgets]).T
    assert (np.diff(gains) >= -1e-12 * everything(problem)).all()
    assert (np.diff(gains, 2) <= 1e-12 * everything(problem)).all()
    assert (np.diff(prices) <= 0).all()
    held = [(share * np.where(share > 0, reward, 0)).sum(axis=1) for share in map(path.shares, budgets)]
    assert (np.diff(held, axis=0) >= -1e-12).all()  # nested: no place ever gets less of what it had


@few
@given(limited(), st.sampled_from([1.0, 1.1, 2.0]), st.sampled_from([1.0, 1.5]))
def test_wider_limits_never_gain_less(posed: tuple[Problem, Limits], wider: float, others: float) -> None:
    problem, limits = posed
    more = {name: limit * (wider if name == "budget" else others) for name, limit in limits.items()}
    narrow, wide = allocate(*problem, **limits), allocate(*problem, **more)
    assert wide.gain >= narrow.gain * (1 - 4 * KEPT_TO) - 1e-12 * everything(problem)


@few
@given(limited(), st.integers(0, 5))
def test_a_place_in_two_halves_leaves_gain_and_bound(posed: tuple[Problem, Limits], place: int) -> None:
    problem, limits = posed
    reward, cost, weight = problem
    place %= len(weight)
    halves = np.r_[weight, weight[place] / 2]
    halves[place] /= 2
    split = np.r_[reward, reward[place : place + 1]], np.r_[cost, cost[place : place + 1]], halves
    before, after = allocate(*problem, **limits), allocate(*split, **limits)
    close(after.gain, before.gain, everything(problem))
    close(after.bound, before.bound, everything(problem))


def shrunk(problem: Problem, limits: Limits, share: np.ndarray) -> np.ndarray:
    """An allocation made small enough for the limits."""
    reward, cost, weight = problem
    units = np.where(reward > -np.inf, share, 0.0) * weight[:, None]
    uses = {"budget": (units * cost).sum(), "cap": units.sum(), "caps": units.sum(axis=0)}
    for name, limit in limits.items():
        over = np.divide(uses[name], limit, out=np.full(np.shape(limit), np.inf), where=np.asarray(limit) > 0)
        worst = float(np.where(uses[name] > 0, over, 0.0).max())
        units = units * (1.0 if worst <= 1.0 else 1.0 / worst)
        if worst > 1.0:
            uses = {other: use / worst for other, use in uses.items()}
    return units


@few
@given(limited(), st.integers(0, 2**32 - 1))
def test_no_other_allocation_within_the_limits_gains_more(posed: tuple[Problem, Limits], seed: int) -> None:
    problem, limits = posed
    reward = problem[0]
    found = allocate(*problem, **limits)
    generator = np.random.default_rng(seed)
    for _ in range(20):
        share = generator.dirichlet(np.full(reward.shape[1] + 1, 0.3), len(reward))[:, 1:]
        units = shrunk(problem, limits, share)
        gain = float((units * np.where(units > 0, reward, 0)).sum())
        assert gain <= found.gain * (1 + 4 * KEPT_TO) + 1e-12 * everything(problem)


@few
@given(limited())
def test_prices_prove_the_allocation_best(posed: tuple[Problem, Limits]) -> None:
    """Weak duality: what the prices bound, nobody exceeds. A limit that is not used up has no price."""
    problem, limits = posed
    reward, cost, weight = problem
    found: Allocation = allocate(*problem, **limits)
    prices = found.prices
    value = reward - prices.budget * cost - prices.cap - prices.caps
    units = found.share * weight[:, None]
    uses = {"budget": (units * cost).sum(), "cap": units.sum(), "caps": units.sum(axis=0)}
    bound = float(weight @ value.max(axis=1).clip(0))
    for name in ("budget", "cap", "caps"):
        price = np.asarray(getattr(prices, name))
        if name not in limits:
            assert not price.any()
            continue
        bound += float((price * limits[name]).sum())
        left = price * (limits[name] - uses[name])
        assert (np.abs(left) <= 4 * KEPT_TO * everything(problem)).all()
    assert math.isclose(bound, found.gain, rel_tol=4 * KEPT_TO, abs_tol=1e-12 * everything(problem))
