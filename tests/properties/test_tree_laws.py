"""Laws of policy trees and of what they are written as, whatever the rows, the tree or the names."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bayesuplift.decisions.trees.decision_tree import DecisionTree, decision_tree
from bayesuplift.decisions.trees.nodes import Cut, Node, Take, depth_of, leaves
from bayesuplift.decisions.trees.questions import Branch, Leaf, Question
from bayesuplift.decisions.trees.search import search_tree
from bayesuplift.decisions.trees.split_columns import split_columns, split_matrix
from bayesuplift.errors import DataError
from tests.support.trees import best_of_all, worth
from tests.support.trees import given as given_by

# No clock and no store: an example is the same on every machine and every run.
few = settings(
    max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)


@st.composite
def worlds(draw: Any) -> dict[str, Any]:
    """Rows with repeated values, rewards on a grid so that ties come up and sums are exact, and options of the search."""
    n, columns, actions = draw(st.integers(1, 12)), draw(st.integers(1, 3)), draw(st.integers(2, 3))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values, size = draw(st.sampled_from([2, 4, 100])), draw(st.sampled_from([1, 4]))
    return {
        "x": generator.integers(0, values, (n, columns)) / 4,
        "reward": generator.integers(-8, 9, (n, actions)) / size,
        "units": generator.integers(1, draw(st.sampled_from([2, 5])), n) * 1.0,
        "least_units": float(draw(st.integers(0, 5))),
        "depth": draw(st.integers(0, 3)),
    }


def siblings_alike(node: Node) -> bool:
    """Whether two leaves of one cut give the same action."""
    if isinstance(node, Take):
        return False
    if isinstance(node.left, Take) and isinstance(node.right, Take):
        return node.left.action == node.right.action
    return siblings_alike(node.left) or siblings_alike(node.right)


@few
@given(worlds())
def test_no_tree_is_better_and_its_leaves_are_large_enough(world: dict[str, Any]) -> None:
    found = search_tree(**world)
    x, reward, units, least = (world[name] for name in ("x", "reward", "units", "least_units"))
    assert found.exact
    assert found.value == best_of_all(x, reward, units, least, world["depth"]) == worth(found.root, x, reward)
    assert depth_of(found.root) <= world["depth"]
    assert not siblings_alike(found.root)
    places = [leaf.units for leaf in leaves(found.root)]
    assert sum(places) == units.sum()
    assert len(places) == 1 or min(places) >= least


@few
@given(worlds(), st.integers(2, 6))
def test_a_search_over_bins_gives_a_tree_of_large_enough_leaves_no_better_than_the_best(
    world: dict[str, Any], bins: int
) -> None:
    found, exact = search_tree(**world, bins=bins, most_steps=0.0), search_tree(**world)
    assert found.value <= exact.value
    assert found.value >= search_tree(**(world | {"depth": min(world["depth"], 1)})).value
    assert found.value == worth(found.root, world["x"], world["reward"])
    assert not siblings_alike(found.root)
    places = [leaf.units for leaf in leaves(found.root)]
    assert sum(places) == world["units"].sum()
    assert len(places) == 1 or min(places) >= world["least_units"]


@few
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_what_all_actions_share_change_nothing(world: dict[str, Any], shuffled: Any) -> None:
    rows = list(range(len(world["x"])))
    shuffled.shuffle(rows)
    shared = np.array([shuffled.randint(-100, 100) for _ in rows], dtype=np.float64)
    other = world | {name: world[name][rows] for name in ("x", "reward", "units")}
    other["reward"] = other["reward"] * 2.0 + shared[:, None]
    one, two = search_tree(**world), search_tree(**other)
    assert two.value == 2.0 * one.value + shared.sum()
    assert two.root == one.root


@few
@given(worlds())
def test_only_the_order_of_values_counts(world: dict[str, Any]) -> None:
    one, two = search_tree(**world), search_tree(**(world | {"x": np.exp(world["x"] / 10)}))
    np.testing.assert_array_equal(given_by(one.root, world["x"]), given_by(two.root, np.exp(world["x"] / 10)))


@few
@given(worlds())
def test_a_row_of_several_units_is_as_many_rows(world: dict[str, Any]) -> None:
    times = world["units"].astype(int)
    rows = np.repeat(np.arange(len(times)), times)
    whole = world | {"reward": world["reward"] * times[:, None]}
    split = world | {"x": world["x"][rows], "reward": world["reward"][rows], "units": np.ones(len(rows))}
    one, two = search_tree(**whole), search_tree(**split)
    assert one.value == two.value
    assert one.root == two.root


NAMES = ["age", 'a "quoted" name', "select", "день", "two words", "it's", "100%", "back\\slash", "semi;colon -- no"]
LEVELS = ["Web", "it's", 'say "no"', "line\nbreak", "100%", "день", " padded ", "\\n", "None", "NULL", "ß"]
NUMBERS = [-1.0, 0.0, 0.1, 1e-9, 0.30000000000000004, 40.0, 2.0**53, 1e15, 1e16, -1e300, 5e-324, 1 / 3, 123456789.125]


@st.composite
def trees(draw: Any) -> tuple[DecisionTree, dict[str, np.ndarray]]:
    """A tree of awkward names, levels and thresholds, and units with values on, beside and far from the thresholds."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    is_text = {name: draw(st.booleans()) for name in names}

    def node(depth: int) -> Branch | Leaf:
        if depth == 0 or draw(st.integers(0, 4)) == 0:
            return Leaf(draw(st.sampled_from([*LEVELS, "control"])), draw(st.sampled_from([None, 12.0])))
        name = draw(st.sampled_from(names))
        asked = {"level": draw(st.sampled_from(LEVELS))} if is_text[name] else {"below": draw(st.sampled_from(NUMBERS))}
        return Branch(Question(name, **asked), node(depth - 1), node(depth - 1))

    near = [f(number) for number in NUMBERS for f in (float, down, up)]
    columns = {
        name: np.array(
            draw(st.lists(st.sampled_from([*LEVELS, "new"] if is_text[name] else near), min_size=30, max_size=30)),
            dtype=np.str_ if is_text[name] else np.float64,
        )
        for name in names
    }
    return DecisionTree(node(draw(st.integers(0, 4)))), columns


def down(number: float) -> float:
    return float(np.nextafter(number, -np.inf))


def up(number: float) -> float:
    return float(np.nextafter(number, np.inf))


@cache
def engine() -> Any:
    return duckdb.connect()


def by_sql(tree: DecisionTree, columns: Mapping[str, Any]) -> list[str | None]:
    units = pd.DataFrame(dict(columns)).assign(place=range(len(next(iter(columns.values())))))
    engine().register("units", units)
    rows = engine().execute(f"SELECT {tree.sql()} FROM units ORDER BY place").fetchall()  # noqa: S608 -- is the test
    return [row[0] for row in rows]


def by_python(tree: DecisionTree, columns: Mapping[str, Any]) -> list[str | None]:
    """The function's answers; None where it refuses."""
    scope: dict[str, Any] = {}
    exec(tree.python(), scope)  # noqa: S102 -- the source is what is tested
    found: list[str | None] = []
    for i in range(len(next(iter(columns.values())))):
        try:
            found.append(scope["arm"]({name: column[i] for name, column in columns.items()}))
        except ValueError:
            found.append(None)
    return found


@few
@given(trees())
def test_arrays_sql_python_and_json_agree_on_every_unit(made: tuple[DecisionTree, dict[str, np.ndarray]]) -> None:
    tree, columns = made
    arms = tree.arm_of(columns).tolist()
    assert by_sql(tree, columns) == arms
    assert by_python(tree, columns) == arms
    again = DecisionTree.from_json(tree.to_json())
    assert again == tree
    assert [json.loads(tree.to_json())] == [json.loads(again.to_json())]


@few
@given(trees(), st.sampled_from(["number", "NaN", "infinite"]))
def test_a_unit_of_which_something_is_missing_gets_no_arm(
    made: tuple[DecisionTree, dict[str, np.ndarray]], how: str
) -> None:
    tree, columns = made
    if not tree.asked:
        return
    holed: dict[str, Any] = {}
    expected = np.zeros(30, dtype=bool)
    for place, name in enumerate(tree.asked):
        holed[name] = columns[name].astype(object)
        missing = {"number": None, "NaN": np.nan, "infinite": -np.inf}[how] if not tree.asked[name] else None
        holed[name][place :: 3 + place] = "" if tree.asked[name] and how == "NaN" else missing
        expected[place :: 3 + place] = True
        with pytest.raises(DataError, match=rf"(?s)missing.* in \d+ of 30 rows \(from 0: {place}, {3 + 2 * place}"):
            tree.arm_of(columns | {name: holed[name]})
    arms = tree.arm_of({name: column[~expected] for name, column in columns.items()}).tolist()
    for found in (by_sql(tree, holed), by_python(tree, holed)):
        assert [arm is None for arm in found] == expected.tolist()
        assert [arm for arm in found if arm is not None] == arms


@few
@given(worlds(), st.lists(st.sampled_from(LEVELS[:4]), min_size=12, max_size=12))
def test_a_tree_over_columns_asks_covariates_the_same(world: dict[str, Any], levels: list[str]) -> None:
    n = len(world["x"])
    covariates = {f"x{i}": column for i, column in enumerate(world["x"].T)} | {"channel": np.array(levels[:n])}
    columns = split_columns(covariates)
    x = split_matrix(columns, covariates)
    found = search_tree(**(world | {"x": x}))
    arms = ["control", "call", "write"][: world["reward"].shape[1]]
    tree = decision_tree(found.root, columns, arms)
    assert tree.arm_of(covariates).tolist() == [arms[action] for action in given_by(found.root, x)]
    assert sorted(rule.units or 0.0 for rule in tree.rules()) == sorted(leaf.units for leaf in leaves(found.root))
    assert isinstance(found.root, Cut) == bool(tree.asked)
