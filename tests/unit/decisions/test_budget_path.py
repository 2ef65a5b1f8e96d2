"""The whole path of a budget: against maq's, against HiGHS, and with faults planted in a path made by hand."""

import json
import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

from bayesuplift.decisions.allocation.budget_path import budget_path
from bayesuplift.errors import ArgumentError

FOLDER = Path(__file__).parents[2] / "golden"
GOLDEN = json.loads((FOLDER / "maq.json").read_text())
ROUNDING = 1e-12  # relative: of sums of some ten terms, in another order


def read(name: str) -> dict[str, np.ndarray]:
    names, *rows = (FOLDER / name).read_text().split()
    return dict(zip(names.split(","), np.loadtxt(rows, delimiter=",").T, strict=True))


def knapsack() -> tuple[np.ndarray, np.ndarray]:
    columns = read("knapsack_n12.csv")
    return tuple(np.stack([columns[f"{kind}{arm}"] for arm in (1, 2, 3)], axis=1) for kind in "gc")  # type: ignore[return-value]


def steps_by_hand(
    reward: np.ndarray, cost: np.ndarray, *, hull: bool = True, by: str = "ratio"
) -> list[tuple[Any, ...]]:
    """Increments (rise, run, unit, arm) in the order of buying, found as the kernel does not: the best slope each time."""
    steps = []
    for i, (values, prices) in enumerate(zip(reward.tolist(), cost.tolist(), strict=True)):
        value, price = 0.0, 0.0
        while better := [a for a in range(len(values)) if values[a] > value and prices[a] > price]:
            slope = [(values[a] - value) / (prices[a] - price) for a in better]
            a = better[int(np.argmax(slope))] if hull else min(better, key=prices.__getitem__)
            steps.append((values[a] - value, prices[a] - price, i, a))
            value, price = values[a], prices[a]
    return sorted(steps, key=lambda s: -(s[0] / s[1] if by == "ratio" else s[0]))


def test_the_path_is_that_of_maq() -> None:
    golden, path = GOLDEN["knapsack_n12"], budget_path(*knapsack(), np.ones(12))
    np.testing.assert_array_equal(path.unit, golden["unit"])
    np.testing.assert_array_equal(path.arm, golden["arm"])
    np.testing.assert_allclose(path.spend, golden["spend"], rtol=ROUNDING)
    np.testing.assert_allclose(path.gain, golden["gain"], rtol=ROUNDING)


@pytest.mark.parametrize(
    ("fault", "is_the_same"), [({}, True), ({"hull": False}, False), ({"by": "reward"}, False)], ids=str
)
def test_a_path_without_hulls_or_sorted_by_reward_is_rejected(fault: dict[str, Any], is_the_same: bool) -> None:
    golden, steps = GOLDEN["knapsack_n12"], steps_by_hand(*knapsack(), **fault)
    same = [s[2] for s in steps] == golden["unit"] and np.allclose(
        np.cumsum([s[0] for s in steps]), golden["gain"], rtol=ROUNDING, atol=0
    )
    assert same == is_the_same


def test_a_budget_of_eight_gains_what_the_linear_programme_does() -> None:
    golden, path = GOLDEN["knapsack_n12"], budget_path(*knapsack(), np.ones(12))
    gain, price = path.at(8.0)
    assert gain == pytest.approx(golden["gain_at_budget_8_LP"], rel=ROUNDING)
    reward, cost = knapsack()
    assert price == reward[2, 2] / cost[2, 2]  # the step at which the money runs out: from the control to the third arm
    share = path.shares(8.0)
    assert (share * cost).sum() == pytest.approx(8.0, rel=ROUNDING)
    assert (share * np.where(share > 0, reward, 0)).sum() == pytest.approx(gain, rel=ROUNDING)
    divided = ((share > 0) & (share < 1)).any(axis=1)
    assert np.flatnonzero(divided).tolist() == [2]
    np.testing.assert_array_equal(
        np.where(divided, 0, np.where(share.any(axis=1), share.argmax(axis=1) + 1, 0)), golden["alloc_at_budget_8"]
    )


def test_a_path_by_one_score_gains_by_another_as_in_maq() -> None:
    """maq sorts by an effect, tau_a, and sums doubly robust scores along the path, everybody being one."""
    golden, units = GOLDEN["single_arm_cost1"], read("binary_n60.csv")
    path = budget_path(units["tau_a"][:, None], np.ones(1), np.full(60, 1 / 60))
    w, y, e, mu0, mu1 = (units[name] for name in ("w", "yc", "e", "mu0", "mu1"))
    score = mu1 - mu0 + w * (y - mu1) / e - (1 - w) * (y - mu0) / (1 - e)
    gain = np.cumsum(score[path.unit]) / 60
    np.testing.assert_allclose(path.spend, golden["spend"], rtol=ROUNDING)
    np.testing.assert_allclose(gain, golden["gain"], rtol=1e-11)  # scores of both signs cancel
    for budget, expected in golden["gain_at"].items():
        along = (path.shares(float(budget))[:, 0] * score).sum() / 60
        assert along == pytest.approx(expected, rel=1e-11)


def random_problem(seed: int, n: int = 6, k: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rewards on a coarse grid, so that ties come up, some of them not allowed; costs from 0 on, weights of all sizes."""
    g = np.random.default_rng(seed)
    reward = g.integers(-4, 9, (n, k)) / (1.0 if seed % 2 else 7.0)
    reward[g.random((n, k)) < 0.15] = -np.inf
    return reward, g.integers(0, 5, (n, k)) / 2.0, 10.0 ** g.integers(-1, 3, n)


def highs(reward: np.ndarray, cost: np.ndarray, weight: np.ndarray, budget: float) -> float:
    n, k = reward.shape
    allowed = np.isfinite(reward).ravel()
    found: Any = linprog(
        -(np.where(allowed.reshape(n, k), reward, 0) * weight[:, None]).ravel(),
        A_ub=np.r_[np.kron(np.eye(n), np.ones((1, k))), (cost * weight[:, None]).ravel()[None]],
        b_ub=np.r_[np.ones(n), budget],
        bounds=[(0, 1 if may else 0) for may in allowed],
    )
    return float(-found.fun)


@pytest.mark.parametrize("seed", range(12))
def test_gains_are_those_of_highs_at_every_budget(seed: int) -> None:
    reward, cost, weight = random_problem(seed)
    path = budget_path(reward, cost, weight)
    most = float((cost.max(axis=1) * weight).sum())
    for budget in (0.0, 0.05 * most, 0.3 * most, float(path.spend[:2].mean()), most):
        gain, price = path.at(budget)
        assert gain == pytest.approx(highs(reward, cost, weight, budget), rel=1e-9)  # HiGHS's own tolerance is 1e-7
        assert price >= 0
        share = path.shares(budget)
        assert (share * cost * weight[:, None]).sum() <= budget * (1 + ROUNDING)
        assert (share * weight[:, None] * np.where(share > 0, reward, 0)).sum() == pytest.approx(gain, rel=ROUNDING)
        assert ((share > 0) & (share < 1)).any(axis=1).sum() <= 1


@pytest.mark.parametrize("seed", range(6))
def test_no_assignment_of_whole_places_gains_more(seed: int) -> None:
    reward, cost, weight = random_problem(seed, n=4)
    path = budget_path(reward, cost, weight)
    gains, costs = np.c_[np.zeros(4), reward] * weight[:, None], np.c_[np.zeros(4), cost] * weight[:, None]
    every = np.array(list(product(range(4), repeat=4)))
    gained, spent = gains[np.arange(4), every].sum(axis=1), costs[np.arange(4), every].sum(axis=1)
    for gain, spend in zip(gained[gained > -np.inf], spent[gained > -np.inf], strict=True):
        assert gain <= path.at(float(spend))[0] + ROUNDING * path.at(math.inf)[0]
    # at the corners of the path everything is whole: an assignment gains as much
    for spend, gain in zip(path.spend, path.gain, strict=True):
        assert gained[spent <= spend * (1 + ROUNDING)].max() == pytest.approx(gain, rel=ROUNDING)


def test_treatments_that_cost_nothing_are_where_a_place_begins() -> None:
    path = budget_path(
        np.array([[2.0, 1.0, 5.0], [-1.0, 2.0, 2.0], [-1.0, -2.0, 6.0]]),
        np.array([0.0, 0.0, 2.0]),
        np.array([1.0, 2.0, 1.0]),
    )
    assert path.start.tolist() == [0, 1, -1]
    assert path.at(0.0) == (6.0, 3.0)
    np.testing.assert_array_equal(path.shares(0.0), [[1, 0, 0], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(path.shares(3.0), [[0.5, 0, 0.5], [0, 1, 0], [0, 0, 1]])
    assert path.instead.tolist() == [-1, 0]


def test_of_equal_places_the_first_is_treated_first_and_of_equal_treatments_the_first_is_given() -> None:
    path = budget_path(np.full((3, 2), 4.0), np.array([2.0, 2.0]), np.ones(3))
    assert path.unit.tolist() == [0, 1, 2]
    assert path.arm.tolist() == [0, 0, 0]


def test_on_one_line_only_the_end_is_kept() -> None:
    path = budget_path(np.array([[1.0, 2.0, 3.0]]), np.array([1.0, 2.0, 3.0]), np.ones(1))
    assert path.arm.tolist() == [2]


def test_the_price_is_that_of_what_comes_next_and_nothing_once_all_is_bought() -> None:
    path = budget_path(np.array([[3.0, 4.0], [1.0, 5.0]]), np.array([1.0, 2.0]), np.ones(2))
    assert [path.at(budget)[1] for budget in (0.0, 0.5, 1.0, 2.9, 3.0, 4.0, math.inf)] == [
        3.0,
        3.0,
        2.5,
        2.5,
        1.0,
        0.0,
        0.0,
    ]


def test_nothing_worth_buying_is_an_empty_path() -> None:
    path = budget_path(np.array([[-1.0, 0.0], [-np.inf, -2.0]]), np.array([1.0, 0.0]), np.ones(2))
    assert len(path.spend) == 0
    assert path.at(5.0) == (0.0, 0.0)
    np.testing.assert_array_equal(path.shares(5.0), np.zeros((2, 2)))


def test_sums_along_a_long_path_are_exact() -> None:
    """A hundred thousand tenths: added up plainly they are off by thousands of times what two roundings are."""
    n = 100_000
    path = budget_path(np.full((n, 1), 0.1), np.full(1, 0.1), np.ones(n))
    exact = math.fsum([0.1] * n)
    assert abs(path.spend[-1] - exact) <= 2 * math.ulp(exact)
    assert abs(np.cumsum(np.full(n, 0.1))[-1] - exact) > 1000 * math.ulp(exact)


@pytest.mark.parametrize("budget", [-1.0, math.nan])
def test_a_budget_below_nothing_is_refused(budget: float) -> None:
    path = budget_path(np.ones((2, 1)), np.ones(1), np.ones(2))
    with pytest.raises(ArgumentError, match="0 or more"):
        path.at(budget)
    with pytest.raises(ArgumentError, match="0 or more"):
        path.shares(budget)


def test_an_arm_that_saves_money_is_refused_unless_it_is_not_allowed() -> None:
    reward, cost = np.array([[1.0, 2.0], [1.0, -3.0]]), np.array([1.0, -0.5])
    with pytest.raises(
        ArgumentError, match=r"treatment 1 at place 0 costs -0\.5 more than the control: an arm that saves money"
    ):
        budget_path(reward, cost, np.ones(2))
    with pytest.raises(ArgumentError, match="treatment 1 at place 1 costs -2"):
        budget_path(reward, np.array([[1.0, 0.0], [1.0, -2.0]]), np.ones(2))
    reward[:, 1] = -np.inf
    assert budget_path(reward, cost, np.ones(2)).at(9.0) == (2.0, 0.0)
