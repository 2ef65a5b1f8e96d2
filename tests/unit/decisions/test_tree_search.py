"""The best shallow trees are those of every tree tried, of another program, and of a world whose best tree is known."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bayesuplift.decisions.trees.nodes import Cut, FoundTree, Node, Take, depth_of, leaves
from bayesuplift.decisions.trees.search import search_tree
from bayesuplift.errors import ArgumentError
from tests.support.trees import best_of_all, given, worth

GOLDEN = Path(__file__).parents[2] / "golden"
POLICYTREE: dict[str, Any] = json.loads((GOLDEN / "policy_tree.json").read_text())
Search = Callable[..., FoundTree]
FLOAT = 1e-12  # relative: sums of at most some thousand numbers of either sign, added in two orders


def golden_table() -> tuple[np.ndarray, np.ndarray]:
    table = np.loadtxt(GOLDEN / "policy_n40.csv", delimiter=",", skiprows=1)
    return table[:, :3], table[:, 3:]


def of_policytree(rows: list[list[float]]) -> Node:
    """A tree of policytree, whose nodes stand in preorder: column, value, reward, action, whether it is a leaf."""
    column, value, _, action, is_leaf = rows.pop(0)
    if is_leaf:
        return Take(int(action), 0.0)
    left = of_policytree(rows)
    return Cut(int(column), value, value, left, of_policytree(rows))


def xor_world(n: int, columns: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariates, rewards and their means: treating earns 1 where the first two have one sign, and costs 1 elsewhere."""
    generator = np.random.default_rng(20261204)
    x = generator.normal(size=(n, columns))
    mean = np.column_stack([np.zeros(n), np.where(x[:, 0] * x[:, 1] > 0, 1.0, -1.0)])
    return x, mean + noise * generator.normal(size=mean.shape), mean


def smooth_world(n: int, columns: int, actions: int = 3) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(20261205)
    x = generator.normal(size=(n, columns))
    effect = np.tanh(x[:, 0]) + 0.5 * x[:, 1] * x[:, 2]
    scale = np.array([0.0, 1.0, -0.7, 0.3])[:actions]
    return x, effect[:, None] * scale + 0.1 * np.arange(actions) + generator.normal(size=(n, actions)) * (scale != 0)


@pytest.mark.parametrize("name", [name for name in POLICYTREE if name.startswith("policytree_exact")])
def test_the_tree_is_as_good_as_policytrees(name: str) -> None:
    x, reward = golden_table()
    depth, least = int(name.split("depth")[1][0]), 5.0 if name.endswith("minnode5") else 0.0
    found, golden = search_tree(x, reward, depth=depth, least_units=least), POLICYTREE[name]
    assert found.exact
    assert found.value == pytest.approx(golden[0][2], rel=FLOAT)
    assert worth(found.root, x, reward) == found.value
    if depth < 3:  # of depth 3 several trees are as good
        np.testing.assert_array_equal(given(found.root, x), given(of_policytree([*golden]), x))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_tree_is_no_worse_than_econmls_greedy_one(depth: int) -> None:
    found = search_tree(*golden_table(), depth=depth)
    assert found.value >= POLICYTREE[f"econml_greedy_depth{depth}"]["sum_reward"] * (1.0 - FLOAT)


def greedy(x: np.ndarray, reward: np.ndarray, *, depth: int, **options: Any) -> FoundTree:
    """The planted fault: the best root of one cut, and so on below it."""
    root = search_tree(x, reward, depth=min(depth, 1), **options).root
    if depth > 1 and isinstance(root, Cut):
        left = x[:, root.column] <= root.low
        sides = [greedy(x[there], reward[there], depth=depth - 1, **options).root for there in (left, ~left)]
        root = Cut(root.column, root.low, root.high, sides[0], sides[1])
    return FoundTree(root, worth(root, x, reward), None, "greedy")


def tells_repeated_values_apart(x: np.ndarray, reward: np.ndarray, **options: Any) -> FoundTree:
    """The planted fault: every row has a value of its own."""
    return search_tree(x + 1e-9 * np.arange(len(x))[:, None], reward, **options)


def compare_with_all_trees(search: Search) -> None:
    generator = np.random.default_rng(20261206)
    for trial in range(12):
        x = generator.integers(0, 5, (12, 2)).astype(np.float64)
        reward, units = (
            generator.integers(-4, 5, (12, 3)).astype(np.float64),
            generator.integers(1, 4, 12).astype(np.float64),
        )
        for depth in (1, 2, 3):
            least = float(trial % 4)
            found = search(x, reward, depth=depth, units=units, least_units=least)
            assert found.value == best_of_all(x, reward, units, least, depth)  # sums of whole numbers
            assert depth_of(found.root) <= depth
            assert min(leaf.units for leaf in leaves(found.root)) >= least


def compare_with_oracle(search: Search) -> None:
    """Signs of two columns are a tree of depth 2: it earns what the oracle earns, up to rows beside the cuts."""
    x, reward, mean = xor_world(1000, 4, noise=0.0)
    assert search(x, reward, depth=2).value == pytest.approx(mean.max(axis=1).sum(), rel=FLOAT)
    x, reward, mean = xor_world(10_000, 10, noise=0.5)
    assert worth(search(x, reward, depth=2).root, x, mean) >= 0.99 * mean.max(axis=1).sum()


def test_the_tree_is_the_best_of_all() -> None:
    compare_with_all_trees(search_tree)


def test_the_tree_earns_what_the_oracle_earns() -> None:
    compare_with_oracle(search_tree)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (greedy, compare_with_all_trees),
        (greedy, compare_with_oracle),
        (tells_repeated_values_apart, compare_with_all_trees),
    ],
)
def test_a_planted_fault_is_found(fault: Search, check: Callable[[Search], None]) -> None:
    with pytest.raises(AssertionError):
        check(fault)


@pytest.mark.parametrize("least", [0.0, 50.0])
@pytest.mark.parametrize("values", [50, 20_000])
def test_one_cut_among_many_values_is_the_best_of_every_cut(values: int, least: float) -> None:
    """More values than are looked at one by one: most blocks of them are ruled out by what they could be worth at most."""
    generator = np.random.default_rng(20261207)
    x = generator.integers(0, values, (30_000, 3)).astype(np.float64)
    reward = generator.normal(size=(len(x), 3)) + 0.02 * (x[:, [1]] > values / 3) * np.array([0.0, 1.0, -1.0])
    best = reward.sum(axis=0).max()
    for column in x.T:
        order = np.argsort(column, kind="stable")
        left = reward[order].cumsum(axis=0)[:-1]
        allowed = np.diff(column[order]) > 0
        allowed[: int(least) - 1 if least else 0] = False
        allowed[len(allowed) + 1 - int(least) :] = False
        each = left.max(axis=1) + (reward.sum(axis=0) - left).max(axis=1)
        best = max(best, each[allowed].max())
    found = search_tree(x, reward, depth=1, least_units=least)
    assert found.value == pytest.approx(best, rel=1e-10)  # 30,000 terms of either sign
    assert min(leaf.units for leaf in leaves(found.root)) >= least


def test_many_rows_of_one_value_of_the_root_come_in_at_once() -> None:
    """A root of two values moves half of the rows in one step, below which a column of many values is cut."""
    generator = np.random.default_rng(20261208)
    x = np.column_stack([generator.integers(0, 2, 3000), generator.normal(size=3000)])
    reward = np.column_stack([np.zeros(3000), np.where((x[:, 0] > 0) == (x[:, 1] > 0.3), 1.0, -1.0)])
    for least in (0.0, 20.0):
        found = search_tree(x, reward, depth=2, least_units=least)
        assert found.value == reward.max(axis=1).sum()
        assert isinstance(found.root, Cut)
        assert found.root.column == 0


def test_of_trees_as_good_it_is_the_first_column_the_lowest_cut_and_the_first_action() -> None:
    x = np.repeat(np.arange(6.0)[:, None], 2, axis=1)
    reward = np.array([[0, 1, 1], [0, 1, 1], [0, 0, 0], [0, 0, 0], [1, 0, 0], [1, 0, 0]], dtype=np.float64)
    for depth in (1, 2, 3):
        assert search_tree(x, reward, depth=depth).root == Cut(0, 1.0, 2.0, Take(1, 2.0), Take(0, 4.0))


def test_cuts_that_earn_nothing_are_left_out() -> None:
    generator = np.random.default_rng(20261209)
    x = generator.normal(size=(200, 3))
    alike = np.tile([0.0, 0.3], (200, 1)) + generator.normal(size=(200, 1))
    one = np.column_stack([np.zeros(200), np.where(x[:, 1] <= 0.0, 0.1, -0.1)])
    for depth in (1, 2, 3):
        for steps in (0.0, 1e8):
            assert search_tree(x, alike, depth=depth, most_steps=steps).root == Take(1, 200.0)
            assert depth_of(search_tree(x, one, depth=depth, most_steps=steps).root) == 1


def test_rows_that_are_all_alike_get_one_action() -> None:
    for depth in range(4):
        for steps in (0.0, 1e8):
            found = search_tree(np.ones((5, 2)), np.tile([0.0, 1.0], (5, 1)), depth=depth, most_steps=steps)
            assert found.root == Take(1, 5.0)
            assert search_tree(np.empty((3, 0)), np.eye(3), depth=depth, most_steps=steps).root == Take(0, 3.0)


def test_bins_of_single_values_lose_nothing() -> None:
    generator = np.random.default_rng(20261210)
    x = generator.integers(0, 7, (300, 3)).astype(np.float64)
    reward, units = generator.normal(size=(300, 3)), generator.integers(1, 5, 300).astype(np.float64)
    for depth in (2, 3):
        for least in (0.0, 30.0):
            exact, binned = (
                search_tree(x, reward, depth=depth, units=units, least_units=least, most_steps=steps)
                for steps in (np.finfo(np.float64).max, 0.0)
            )
            assert exact.exact
            assert not binned.exact
            assert binned.value == pytest.approx(exact.value, rel=FLOAT)


@pytest.mark.parametrize("least", [0.0, 100.0])
def test_bins_lose_little(least: float) -> None:
    """64 bins alone keep some 97% to 99.9% of the exact objective, and with cuts moved afterwards mostly all of it."""
    x, reward = smooth_world(5000, 5)
    exact, binned = (search_tree(x, reward, least_units=least, most_steps=steps) for steps in (1e9, 0.0))
    assert exact.exact
    assert 0.99 * exact.value <= binned.value <= exact.value * (1.0 + FLOAT)
    assert min(leaf.units for leaf in leaves(binned.root)) >= least


def test_a_search_that_is_stopped_says_what_it_may_have_missed() -> None:
    x, reward = smooth_world(400, 3, actions=2)
    exact = search_tree(x, reward, depth=3, most_steps=1e9)
    two = search_tree(x, reward, depth=2)
    assert exact.exact
    stopped = [search_tree(x, reward, depth=3, most_steps=steps) for steps in (1e5, 1e6)]
    for found in stopped:
        assert not found.exact
        assert found.upper is not None
        assert two.value <= found.value <= exact.value * (1.0 + FLOAT)
        assert found.upper >= exact.value
    assert stopped[1].upper <= stopped[0].upper  # type: ignore[operator]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"reward": np.zeros((3, 2))}, r"covariates of shape \(4, 1\) and rewards of shape \(3, 2\)"),
        ({"reward": np.zeros(4)}, r"rewards of shape \(4,\)"),
        ({"x": np.empty((0, 1)), "reward": np.empty((0, 2))}, r"at least one"),
        ({"reward": np.zeros((4, 1))}, "one action leaves nothing to choose"),
        ({"x": np.array([[1.0], [np.nan], [2.0], [3.0]])}, r"covariates: nan at \(1, 0\)"),
        ({"reward": np.full((4, 2), np.inf)}, r"reward: inf at \(0, 0\), and 7 more"),
        ({"units": np.array([1.0, 0.0, 1.0, 1.0])}, r"units: 0 at \(1,\), and 0 more; give finite weights above 0"),
        ({"units": np.ones(3)}, r"units of shape \(3,\) for 4 rows"),
        ({"least_units": -1.0}, r"least_units = -1\.0"),
        ({"depth": 4}, "depth = 4"),
        ({"depth": -1}, "depth = -1"),
        ({"bins": 1}, "bins = 1"),
        ({"bins": 257}, "bins = 257"),
        ({"most_steps": np.nan}, "most_steps = nan"),
    ],
)
def test_what_cannot_be_searched_is_refused(options: dict[str, Any], found: str) -> None:
    arguments = {"x": np.arange(4.0)[:, None], "reward": np.eye(4)[:, :2], **options}
    with pytest.raises(ArgumentError, match=found):
        search_tree(**arguments)
