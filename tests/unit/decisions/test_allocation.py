"""Allocations under limits: against HiGHS on the whole programme, against every assignment, and with planted faults."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

from bayesuplift.decisions.allocation import allocate as allocation
from bayesuplift.decisions.allocation import shadow_prices, tied_places
from bayesuplift.decisions.allocation.allocate import KEPT_TO, Allocation, allocate
from bayesuplift.decisions.allocation.limited_choice import posed
from bayesuplift.decisions.allocation.whole_units import whole
from bayesuplift.errors import ArgumentError, NumericalError

FOLDER = Path(__file__).parents[2] / "golden"
GOLDEN = json.loads((FOLDER / "maq.json").read_text())["knapsack_n12"]
HIGHS = 1e-7  # its default tolerance
STATED = 2e-9  # a gap of 1e-9, and a limit kept to 1e-9
Problem = tuple[np.ndarray, np.ndarray, np.ndarray]


def used(share: np.ndarray, cost: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Money, units in all and units by treatment."""
    units = share * weight[:, None]
    return np.r_[(units * cost).sum(), units.sum(), units.sum(axis=0)]


def gained(share: np.ndarray, reward: np.ndarray, weight: np.ndarray) -> float:
    return float((weight[:, None] * share * np.where(share > 0, reward, 0)).sum())


def amounts(limits: dict[str, Any], arms: int) -> np.ndarray:
    return np.r_[limits.get("budget", np.inf), limits.get("cap", np.inf), limits.get("caps", np.full(arms, np.inf))]


def highs(reward: np.ndarray, cost: np.ndarray, weight: np.ndarray, limits: dict[str, Any]) -> float:
    """The programme as it stands, all places at once."""
    n, k = reward.shape
    units = np.broadcast_to(weight[:, None], (n, k))
    rows = [np.kron(np.eye(n), np.ones((1, k))), (cost * units).ravel()[None], units.ravel()[None]]
    rows += [(units * (np.arange(k) == arm)).ravel()[None] for arm in range(k)]
    bounds, amount = np.concatenate(rows), np.r_[np.ones(n), amounts(limits, k)]
    there, allowed = np.isfinite(amount), np.isfinite(reward)
    found: Any = linprog(
        -(np.where(allowed, reward, 0) * units).ravel(),
        A_ub=bounds[there],
        b_ub=amount[there],
        bounds=[(0, 1 if may else 0) for may in allowed.ravel()],
    )
    assert found.success
    return float(-found.fun)


def dual(reward: np.ndarray, cost: np.ndarray, weight: np.ndarray, limits: dict[str, Any], found: Allocation) -> float:
    """What the prices say that nobody exceeds: by weak duality an allocation that gains it is the best there is."""
    prices = np.r_[found.prices.budget, found.prices.cap, found.prices.caps]
    assert (prices >= 0).all()
    amount = amounts(limits, reward.shape[1])
    assert (prices[np.isinf(amount)] == 0).all()
    value = reward - prices[0] * cost - prices[1] - prices[2:]
    return float(prices[np.isfinite(amount)] @ amount[np.isfinite(amount)] + weight @ value.max(axis=1).clip(0))


def check(problem: Problem, limits: dict[str, Any]) -> Allocation:
    """Within the limits, equal to its bound, and with few divided places."""
    reward, cost, weight = problem
    found = allocate(reward, cost, weight, **limits)
    share, amount = found.share, amounts(limits, reward.shape[1])
    assert (share >= 0).all()
    assert (share.sum(axis=1) <= 1 + 1e-12).all()
    assert (used(share, cost, weight) <= amount * (1 + KEPT_TO)).all()
    assert (share[np.isneginf(reward)] == 0).all()
    assert ((share > 0) & (share < 1)).any(axis=1).sum() <= np.isfinite(amount).sum()
    everything = float(weight @ reward.max(axis=1).clip(0))
    assert found.gain == pytest.approx(gained(share, reward, weight), rel=1e-12, abs=1e-12 * everything)
    bound = dual(*problem, limits, found)
    assert found.bound == pytest.approx(bound, rel=1e-12, abs=1e-12 * everything)
    assert found.gain == pytest.approx(bound, rel=STATED, abs=1e-12 * everything)
    return found


def small(seed: int, n: int = 8, k: int = 3) -> Problem:
    """Places on a coarse grid, so that ties and duplicates come up, some treatments free and some not allowed."""
    g = np.random.default_rng(seed)
    reward = g.integers(-3, 7, (n, k)) / (1.0 if seed % 2 else 7.0)
    reward[g.random((n, k)) < 0.15] = -np.inf
    reward[n // 2] = reward[0]
    cost = g.integers(0, 4, k) / 2.0 if seed % 3 == 0 else g.integers(0, 4, (n, k)) / 2.0
    return reward, cost, 10.0 ** g.integers(-1, 3, n) if seed % 5 else np.ones(n)


def limits_of(problem: Problem, seed: int) -> dict[str, Any]:
    """Some limits, each a part of what would be used without, and sometimes nothing."""
    g = np.random.default_rng([seed, 1])
    free = used(allocate(*problem).share, problem[1], problem[2])
    part = free * g.choice([0.0, 0.2, 0.5, 0.8, 1.2], len(free), p=[0.1, 0.25, 0.25, 0.25, 0.15])
    limits: dict[str, Any] = {
        "budget": part[0],
        "cap": part[1],
        "caps": np.where(g.random(len(free) - 2) < 0.3, np.inf, part[2:]),
    }
    return {name: limits[name] for name in limits if g.random() < 0.8}


@pytest.mark.parametrize("seed", range(40))
def test_gains_are_those_of_highs_on_the_whole_programme(seed: int) -> None:
    problem = small(seed)
    limits = limits_of(problem, seed)
    assert check(problem, limits).gain == pytest.approx(highs(*problem, limits), rel=HIGHS, abs=HIGHS)


def large(kind: str, n: int = 2500) -> Problem:
    """More places than are solved for at once."""
    g = np.random.default_rng(7)
    cost = np.array([1.0, 2.0, 3.0])
    row = g.integers(0, 10, n)
    ten = g.normal(0.3, 1, (10, 3))
    return {
        "all different": (g.normal(0.3, 1, (n, 3)), g.uniform(0.5, 3, (n, 3)), g.uniform(0.5, 2, n)),
        "on a grid": (g.normal(0.3, 1, (n, 3)).round(1), cost, np.ones(n)),
        "ten kinds": (ten[row], cost, np.ones(n)),
        "ten kinds but for rounding": (ten[row] * (1 + 1e-13 * g.normal(size=(n, 3))), cost, np.ones(n)),
        "segments of very different sizes": (g.normal(0.3, 1, (n, 3)), cost, np.exp(3 * g.normal(size=n))),
        "costs of very different sizes": (g.normal(1, 1, (n, 3)), 10 ** g.uniform(-6, 4, (n, 3)), np.ones(n)),
        "few allowed": (np.where(g.random((n, 3)) < 0.7, -np.inf, g.normal(0.3, 1, (n, 3))), cost, np.ones(n)),
        "equal costs": (g.normal(0.3, 1, (n, 3)), np.full(3, 2.0), np.ones(n)),
    }[kind]


@pytest.mark.parametrize("part", [0.5, 1e-4])
@pytest.mark.parametrize(
    "kind",
    [
        "all different",
        "on a grid",
        "ten kinds",
        "ten kinds but for rounding",
        "segments of very different sizes",
        "costs of very different sizes",
        "few allowed",
        "equal costs",
    ],
)
def test_many_places_of_any_kind_gain_what_the_prices_allow(kind: str, part: float) -> None:
    problem = large(kind)
    free = used(allocate(*problem).share, *problem[1:]) * part
    check(problem, {"budget": free[0], "cap": free[1] * 1.2, "caps": free[2:] * [1.5, 0.9, np.inf]})


def halved(problem: Problem) -> dict[str, Any]:
    """Half of the money that is used without limits, and fewer units under two treatments: three limits that all bind."""
    free = used(allocate(*problem).share, *problem[1:])
    return {"budget": 0.5 * free[0], "caps": free[2:] * [0.7, np.inf, 0.4]}


def test_prices_of_one_percent_more_do_not_let_gain_and_bound_agree() -> None:
    """The planted fault of the check that the tests above rest on."""
    problem = large("all different")
    limits = halved(problem)
    found = allocate(*problem, **limits)
    assert found.prices.budget > 0.1
    dearer = allocation.Prices(found.prices.budget * 1.01, 0.0, found.prices.caps)
    worse = Allocation(found.share, dearer, found.gain, found.bound)
    assert dual(*problem, limits, worse) > found.gain * (1 + 100 * STATED)


def test_a_price_is_what_one_more_of_the_limit_gains() -> None:
    reward, cost, weight = large("all different")
    free = used(allocate(reward, cost, weight).share, cost, weight)
    limits: dict[str, Any] = {
        "budget": 0.5 * free[0],
        "cap": 0.6 * free[1],
        "caps": np.array([np.inf, 0.5 * free[3], np.inf]),
    }
    found = allocate(reward, cost, weight, **limits)
    more = 1e-4  # of a unit: the optimum keeps its places for as long
    for name, price in (("budget", found.prices.budget), ("cap", found.prices.cap)):
        gain = allocate(reward, cost, weight, **{**limits, name: limits[name] + more}).gain
        assert (gain - found.gain) / more == pytest.approx(price, rel=1e-4)  # sums of some 1e3 are known to 1e-12
    gain = allocate(reward, cost, weight, **{**limits, "caps": limits["caps"] + more}).gain
    assert (gain - found.gain) / more == pytest.approx(found.prices.caps[1], rel=1e-4)
    assert min(found.prices.budget, found.prices.cap, found.prices.caps[1]) > 0.01


def test_a_limit_of_nothing_has_the_price_at_which_somebody_would_begin() -> None:
    reward = np.array([[3.0, 5.0], [1.0, 2.0], [-1.0, 8.0]])
    cost = np.array([1.0, 2.0])
    nobody = allocate(reward, cost, np.ones(3), budget=0.0, cap=2.0)
    assert not nobody.share.any()
    assert nobody.prices.budget == 4.0  # the third place, 8 for 2
    assert nobody.prices.cap == 0.0
    neither = allocate(reward, cost, np.ones(3), budget=0.0, cap=0.0).prices
    assert (neither.budget, neither.cap) == (4.0, 0.0)  # the first of them is enough to keep everybody away
    without = allocate(reward, cost, np.ones(3), budget=1.5, cap=3.0, caps=np.array([np.inf, 0.0]))
    np.testing.assert_allclose(without.share, [[1.0, 0.0], [0.5, 0.0], [0.0, 0.0]], atol=1e-9)
    assert without.prices.budget == pytest.approx(1.0)
    assert without.prices.caps[1] == pytest.approx(6.0)  # the third place, 8 less 2 of money at 1 each


def test_at_prices_a_place_takes_what_is_best_and_knows_by_how_much() -> None:
    reward = np.array([[5.0, 4.0, 1.0], [1.0, 2.0, 9.0], [0.5, -np.inf, 1.0], [-np.inf, -np.inf, -np.inf]])
    choice, _ = posed(reward, np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 1.0, 1.0]), budget=9.0, cap=8.0, caps=None)
    chosen, margin = choice.choices(np.array([1.0, 0.5]))  # 3.5, 1.5, -2.5; -0.5, -0.5, 5.5; -1, none, -2.5; none
    assert chosen.tolist() == [0, 2, -1, -1]
    assert margin.tolist() == [2.0, 5.5, 1.0, np.inf]
    gain, use = choice.taken(np.array([1.0, 0.5]))
    assert (gain, use.tolist()) == (23.0, [7.0, 3.0])
    assert choice.bound(np.array([1.0, 0.5])) == 9.0 + 0.5 * 8.0 + 3.5 + 2 * 5.5


def test_without_limits_the_best_is_taken_the_first_of_equals_and_the_control_at_nothing() -> None:
    reward = np.array([[1.0, 2.0, 2.0], [0.0, -1.0, 0.0], [-np.inf, 3.0, -1.0], [-np.inf, -np.inf, -np.inf]])
    best = [[0, 1, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0]]
    saving = np.array([-1.0, 1.0, 1.0])  # costs are not read without a budget
    for limits in ({}, {"cap": 4.0, "caps": np.full(3, np.inf)}, {"budget": np.inf}):
        found = allocate(reward, saving, np.array([1.0, 1.0, 2.0, 1.0]), **limits)
        np.testing.assert_array_equal(found.share, best)
        assert found.gain == found.bound == 8.0
        assert (found.prices.budget, found.prices.cap, found.prices.caps.tolist()) == (0.0, 0.0, [0.0, 0.0, 0.0])


def test_a_cap_treats_those_who_gain_most_and_a_cap_on_one_treatment_moves_the_others() -> None:
    reward = np.array([[3.0, 5.0], [1.0, 4.0], [2.0, 2.5]])
    capped = allocate(reward, np.zeros(2), np.ones(3), cap=1.5)
    np.testing.assert_array_equal(capped.share, [[0, 1], [0, 0.5], [0, 0]])
    assert capped.prices.cap == 4.0
    one = allocate(reward, np.zeros(2), np.ones(3), caps=np.array([np.inf, 1.0]))
    np.testing.assert_array_equal(one.share, [[1, 0], [0, 1], [1, 0]])  # the second place loses most without it
    assert one.prices.caps.tolist() == [0.0, 2.0]


def test_equal_places_are_treated_in_their_order() -> None:
    n = 1200
    found = allocate(np.tile([1.0, 2.0, 2.5], (n, 1)), np.array([1.0, 1.5, 3.0]), np.ones(n), budget=1000.0, cap=600.0)
    check((np.tile([1.0, 2.0, 2.5], (n, 1)), np.array([1.0, 1.5, 3.0]), np.ones(n)), {"budget": 1000.0, "cap": 600.0})
    assert found.share[:600].any(axis=1).all()
    assert not found.share[601:].any()


@pytest.mark.parametrize("limits", [{"budget": -1.0}, {"cap": np.nan}, {"caps": np.array([1.0, -1.0])}], ids=str)
def test_a_limit_below_nothing_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="limits of 0 or more"):
        allocate(np.ones((2, 2)), np.ones(2), np.ones(2), **limits)


def test_an_arm_that_saves_money_is_refused_under_a_budget_only() -> None:
    reward, cost = np.ones((2, 2)), np.array([1.0, -1.0])
    assert allocate(reward, cost, np.ones(2), cap=1.0).gain == 1.0
    with pytest.raises(ArgumentError, match="a budget needs costs of 0 or more"):
        allocate(reward, cost, np.ones(2), budget=100.0, cap=1.0)


def test_an_allocation_that_is_not_the_best_or_exceeds_a_limit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = large("all different", 1500)
    limits = halved(problem)

    def nobody(choice: Any, prices: np.ndarray, undecided: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        completed = tied_places.complete(choice, prices, undecided)
        return None if completed is None else (np.where(undecided[:, None], 0.0, completed[0]), completed[1])

    def everybody(choice: Any, prices: np.ndarray, undecided: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        completed = tied_places.complete(choice, prices, undecided)
        return None if completed is None else (np.ceil(completed[0]), completed[1])

    for fault in (nobody, everybody):
        monkeypatch.setattr(allocation, "complete", fault)
        with pytest.raises(NumericalError, match="expected at most 1e-09"):
            allocate(*problem, **limits)


def test_prices_that_start_far_off_come_to_the_same_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gain and bound agree at the optimum only: prices that decide badly cost attempts, never the result."""
    problem = large("all different", 1500)
    limits = halved(problem)
    found = allocate(*problem, **limits)
    monkeypatch.setattr(shadow_prices, "_MOST_PLANES", 0)
    assert check(problem, limits).gain == pytest.approx(found.gain, rel=STATED)


def knapsack() -> tuple[np.ndarray, np.ndarray]:
    table = np.genfromtxt(FOLDER / "knapsack_n12.csv", delimiter=",", skip_header=1)
    return table[:, :3], table[:, 3:]


def test_whole_units_are_those_of_maq_and_the_loss_bounds_the_integer_optimum() -> None:
    (reward, cost), one = knapsack(), np.ones(12)
    parts = allocate(reward, cost, one, budget=8.0)
    assert parts.gain == pytest.approx(GOLDEN["gain_at_budget_8_LP"], rel=1e-12)
    units = whole(parts, reward, cost, one, budget=8.0)
    arms = np.where(units.share.any(axis=1), units.share.argmax(axis=1) + 1, 0)
    np.testing.assert_array_equal(arms, GOLDEN["alloc_at_budget_8"])
    best = GOLDEN["milp_budget_8"]["value"]
    assert units.gain <= best <= units.gain + units.lost
    assert units.gain + units.lost == pytest.approx(parts.gain, rel=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_whole_places_keep_the_limits_and_lose_no_more_than_they_say(seed: int) -> None:
    reward, cost, weight = problem = small(seed, n=4)
    limits = limits_of(problem, seed)
    parts = allocate(*problem, **limits)
    found = whole(parts, *problem, **limits)
    assert np.isin(found.share, [0.0, 1.0]).all()
    assert (found.share.sum(axis=1) <= 1).all()
    amount = amounts(limits, 3) * (1 + 2 * KEPT_TO)
    assert (used(found.share, cost, weight) <= amount).all()
    assert found.gain == pytest.approx(gained(found.share, reward, weight))
    options = np.r_[np.zeros((1, 3)), np.eye(3)]
    best = 0.0
    for assigned in product(range(4), repeat=4):
        share = options[list(assigned)]
        if np.isneginf(reward[share > 0]).any() or (used(share, cost, weight) > amount).any():
            continue
        best = max(best, gained(share, reward, weight))
    tolerance = STATED * max(parts.gain, 1.0)
    assert found.gain <= best + tolerance
    assert best <= found.gain + found.lost + tolerance
    untouched = ~((parts.share > 0) & (parts.share < 1)).any(axis=1)
    np.testing.assert_array_equal(found.share[untouched], parts.share[untouched])


def test_a_divided_place_falls_to_a_cheaper_treatment_before_the_control() -> None:
    reward, cost, one = np.array([[6.0, 4.0]]), np.array([3.0, 1.0]), np.ones(1)
    parts = allocate(reward, cost, one, budget=2.0)
    np.testing.assert_array_equal(parts.share, [[0.5, 0.5]])
    found = whole(parts, reward, cost, one, budget=2.0)
    np.testing.assert_array_equal(found.share, [[0, 1]])
    assert (found.gain, found.lost) == (4.0, 1.0)


def test_of_divided_places_the_one_with_most_at_stake_takes_what_is_left() -> None:
    nothing = allocation.Prices(0.0, 0.0, np.zeros(1))
    parts = Allocation(share=np.array([[0.5], [0.5], [0.0]]), prices=nothing, gain=4.0, bound=5.0)
    found = whole(parts, np.array([[3.0], [5.0], [1.0]]), np.zeros(1), np.ones(3), cap=1.0)
    np.testing.assert_array_equal(found.share, [[0], [1], [0]])
    assert (found.gain, found.lost) == (5.0, 0.0)
