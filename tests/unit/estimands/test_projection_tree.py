"""Effects as a shallow tree: its splits against every split there is, its leaves against averages of their units."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.errors import ArgumentError, ColumnNotFoundError, DataError
from bayesuplift.estimands import unit_effects
from bayesuplift.estimands.projection_tree import Node
from bayesuplift.estimands.splits import Split
from tests.support.unit_worlds import customers, drawn, experiment_of, of_units
from tests.support.worlds import seed_of

FRAME = customers(400, seed=seed_of("customers"))
NAMES = list(FRAME)
TRUTH = np.select([FRAME["channel"] == "Phone", FRAME["age"] < 40], [2.0, 1.0], 0.0)
EFFECTS = drawn(TRUTH, seed=seed_of("tree"))
TREE = of_units(EFFECTS, outcome="sales")


def grown(posterior: xr.DataTree = TREE, frame: Any = FRAME, **options: Any) -> Any:
    return bu.effect_tree(posterior, frame, **({"covariates": NAMES} | options))


def partition(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == one).tolist()) for one in np.unique(labels)}


def squares(values: np.ndarray) -> float:
    return float(((values - values.mean()) ** 2).sum()) if len(values) else 0.0


def every_split(frame: pd.DataFrame) -> list[np.ndarray]:
    """All masks of going left: every threshold of a number, every subset of levels."""
    found = []
    for name in frame:
        column = frame[name]
        if column.dtype.kind == "f":
            found += [np.asarray(column < value) for value in np.unique(column)[1:]]
            continue
        levels = sorted(set(column))
        for size in range(1, len(levels)):
            found += [np.asarray(column.isin(chosen)) for chosen in combinations(levels, size)]
    return found


def test_the_first_split_is_the_best_of_all_and_so_is_every_one_below() -> None:
    rng = np.random.default_rng(seed_of("brute force"))
    for _ in range(12):
        frame = pd.DataFrame(
            {
                "x": rng.normal(size=40),
                "z": rng.integers(0, 5, 40).astype(float),
                "text": rng.choice(list("abcdef"), 40),
            }
        )
        mean = (
            rng.normal(size=40) + (frame["text"].isin(["a", "d"]) * rng.normal() + frame["x"] * rng.normal()).to_numpy()
        )
        tree = bu.effect_tree(
            of_units(np.broadcast_to(mean, (2, 4, 40))),
            frame,
            covariates=list(frame),
            depth=2,
            least_units=4,
            least_gain=0.0,
        )

        def checked(node: Node, members: np.ndarray, frame: pd.DataFrame, mean: np.ndarray) -> None:
            if node.split is None:
                return
            assert node.left is not None
            inside = frame.iloc[members]
            left = node.split.goes_left(inside[node.split.covariate].to_numpy())
            options = [one for one in every_split(inside) if min(one.sum(), (~one).sum()) >= 4]
            least = min(squares(mean[members][one]) + squares(mean[members][~one]) for one in options)
            found = squares(mean[members][left]) + squares(mean[members][~left])
            assert found == pytest.approx(least, rel=1e-12)
            assert min(left.sum(), (~left).sum()) >= 4

        assert tree.root.split is not None
        everyone = np.arange(40)
        checked(tree.root, everyone, frame, mean)
        left = tree.root.split.goes_left(frame[tree.root.split.covariate].to_numpy())
        for node, members in ((tree.root.left, everyone[left]), (tree.root.right, everyone[~left])):
            assert node is not None
            checked(node, members, frame, mean)


def test_a_fault_in_the_order_of_levels_would_be_seen() -> None:
    # levels in alphabetical order, as thresholds of text would take them, cannot set b and d apart from a and c
    frame = pd.DataFrame({"text": list("abcd") * 10})
    tree = bu.effect_tree(
        of_units(drawn(frame["text"].isin(["b", "d"]), seed=1)), frame, covariates="text", depth=1, prob=0.9
    )
    assert tree.table["rule"].values.tolist() == ["text in {a, c}", "text in {b, d}"]


def test_a_tree_in_the_class_is_found_with_r_squared_of_one() -> None:
    exact = TRUTH + 0.1 * np.random.default_rng(1).standard_normal((4, 50, 1))
    tree = grown(of_units(exact), depth=2, least_units=1)
    assert partition(tree.leaf_of(FRAME)) == partition(TRUTH)
    np.testing.assert_allclose(tree.r_squared, 1.0, rtol=1e-12)
    assert tree.table["rule"].values.tolist()[-1] == "channel = Phone"


def test_outside_the_class_r_squared_is_low() -> None:
    # of evenly spread values two halves tell 1/16 of a variance of 1/12
    line = FRAME["age"].rank().to_numpy() / len(FRAME)
    tree = grown(of_units(np.broadcast_to(line, (2, 4, len(line)))), depth=1, least_units=1)
    assert float(tree.r_squared.max()) == pytest.approx(0.75, abs=0.001)
    noise = np.random.default_rng(3).standard_normal((4, 50, len(FRAME)))
    assert float(grown(of_units(noise), depth=1).r_squared.mean()) < 0.05


def test_leaf_draws_are_the_averages_of_their_units_and_the_gates_of_the_leaves() -> None:
    tree = grown()
    leaves = tree.leaf_of(FRAME)
    assert tree.draws.dims == ("chain", "draw", "leaf")
    assert tree.draws["leaf"].values.tolist() == list(range(1, tree.draws.sizes["leaf"] + 1))
    for leaf in tree.draws["leaf"].values:
        # both add up some hundred numbers of order one
        np.testing.assert_allclose(tree.draws.sel(leaf=leaf), EFFECTS[:, :, leaves == leaf].mean(axis=2), atol=1e-13)
    labelled = TREE.copy()
    labelled["posterior"] = xr.DataTree(
        TREE["posterior"].to_dataset().assign_coords(leaf=("unit", [str(one) for one in leaves]))
    )
    gates = bu.gate(labelled, by="leaf").sel(arm="offer")
    np.testing.assert_allclose(tree.draws, gates, atol=1e-13)
    summary = bu.summarize(tree.draws)
    for name in ("mean", "mcse", "lower", "upper", "lower_mcse", "prob_positive"):
        np.testing.assert_array_equal(tree.table[name], summary[name])
    assert tree.table["n"].values.tolist() == np.bincount(leaves)[1:].tolist()
    assert float(tree.table["share"].sum()) == pytest.approx(1.0, abs=1e-15)


def test_r_squared_is_its_definition() -> None:
    tree = grown()
    fitted = tree.draws.to_numpy()[:, :, tree.leaf_of(FRAME) - 1]
    about = EFFECTS - EFFECTS.mean(axis=2, keepdims=True)
    expected = 1.0 - ((EFFECTS - fitted) ** 2).sum(axis=2) / (about**2).sum(axis=2)
    np.testing.assert_allclose(tree.r_squared, expected, atol=1e-12)
    table, draws = tree.to_dataset(), tree.r_squared
    assert float(table["r_squared"]) == pytest.approx(float(draws.mean()), rel=1e-14)
    assert float(table["r_squared_lower"]) == pytest.approx(float(draws.quantile(0.025)), rel=1e-14)
    assert 0 < float(table["r_squared_mcse"]) < 3 * float(draws.std()) / np.sqrt(draws.size)


def test_relabelled_units_and_a_constant_leave_the_tree() -> None:
    tree = grown()
    order = np.random.default_rng(4).permutation(len(FRAME))
    turned = grown(of_units(EFFECTS[:, :, order]), FRAME.iloc[order].reset_index(drop=True))
    assert [str(one) for one in turned.table["rule"].values] == [str(one) for one in tree.table["rule"].values]
    np.testing.assert_allclose(turned.draws, tree.draws, atol=1e-12)
    np.testing.assert_allclose(turned.r_squared, tree.r_squared, atol=1e-12)
    shifted = grown(of_units(EFFECTS + 7.0))
    assert shifted.table["rule"].values.tolist() == tree.table["rule"].values.tolist()
    np.testing.assert_allclose(shifted.draws, tree.draws + 7.0, atol=1e-12)
    np.testing.assert_allclose(shifted.r_squared, tree.r_squared, atol=1e-12)


@pytest.mark.parametrize("scale", [np.log1p, np.exp, lambda x: -x, lambda x: x**3 * 1e6])
def test_a_monotone_scale_of_a_covariate_leaves_the_partition(scale: Any) -> None:
    frame = FRAME.assign(age=FRAME["age"] / 20.0)
    tree, other = (grown(frame=one) for one in (frame, frame.assign(age=scale(frame["age"]))))
    left, right = tree.leaf_of(frame), other.leaf_of(frame.assign(age=scale(frame["age"])))
    assert partition(left) == partition(right)
    # the fault that this would catch: thresholds on a grid of the range, not between values
    raw = frame["age"].to_numpy()
    grids = (np.digitize(one, np.linspace(one.min(), one.max(), 5)) for one in (raw, np.exp(raw)))
    assert len({frozenset(partition(grid)) for grid in grids}) == 2


def test_rules_say_exactly_which_units_are_in_a_leaf() -> None:
    tree = grown(depth=3, least_units=10, least_gain=0.0)
    leaves = tree.leaf_of(FRAME)
    for leaf, rule in zip(tree.table["leaf"].values, tree.table["rule"].values.tolist(), strict=True):
        inside = np.ones(len(FRAME), dtype=bool)
        for condition in rule.split(" and "):
            inside &= holds(condition)
        np.testing.assert_array_equal(inside, leaves == leaf)


def holds(condition: str) -> np.ndarray:
    """A rule's condition read back from its words."""
    if " in {" in condition:
        name, levels = condition.removesuffix("}").replace(" not in {", " in {").split(" in {")
        inside = FRAME[name].isin(levels.split(", ")).to_numpy()
        return ~inside if " not in " in condition else inside
    parts = condition.split(" ")
    if len(parts) == 5:
        low, _, name, _, high = parts
        return ((FRAME[name] >= float(low)) & (FRAME[name] < float(high))).to_numpy()
    name, sign, value = parts
    column = FRAME[name]
    if sign in "=≠":
        same = column == (value if column.dtype.kind != "f" else float(value))
        return np.asarray(same if sign == "=" else ~same)
    return np.asarray(column < float(value) if sign == "<" else column >= float(value))


def test_new_units_find_their_leaf_and_new_levels_go_where_more_units_went() -> None:
    tree = grown(depth=2)
    new = pd.DataFrame({"channel": ["Phone", "Web", "Fax", "Fax"], "age": [70, 20, 20, 70]})
    leaves = tree.leaf_of(new)
    rules = dict(zip(tree.table["leaf"].values.tolist(), tree.table["rule"].values.tolist(), strict=True))
    assert "channel = Phone" in rules[int(leaves[0])]
    assert leaves[2:].tolist() == tree.leaf_of(new.assign(channel="Web"))[2:].tolist()
    assert tree.leaf_of(experiment_of(FRAME)).tolist() == tree.leaf_of(FRAME).tolist()
    with pytest.raises(ColumnNotFoundError, match="no column named 'channel'"):
        tree.leaf_of(new[["age"]])
    with pytest.raises(DataError, match="'age'"):
        tree.leaf_of(new.assign(age=["old", "young", "old", "old"]))
    with pytest.raises(DataError, match=r"'age' .* is missing"):
        tree.leaf_of(new.assign(age=[70.0, np.nan, 20.0, 70.0]))


def test_where_no_split_tells_enough_the_tree_is_one_leaf_with_r_squared_of_zero() -> None:
    rng = np.random.default_rng(5)
    # every unit has the same mean: draws come in pairs that cancel
    half = rng.standard_normal((4, 25, len(FRAME)))
    tree = grown(of_units(np.concatenate([1.0 + half, 1.0 - half], axis=1)))
    assert tree.table["rule"].values.tolist() == ["every unit"]
    np.testing.assert_allclose(tree.r_squared, 0.0, atol=1e-20)
    assert "No split" in str(tree)
    assert tree.leaf_of(FRAME).tolist() == [1] * len(FRAME)
    assert tree.leaf_of(experiment_of(FRAME)).tolist() == [1] * len(FRAME)


def test_draws_whose_effects_are_all_equal_have_no_r_squared_and_are_counted() -> None:
    effects = EFFECTS.copy()
    effects[0, :5] = 1.25
    effects[2, 7] = -3.0
    tree = grown(of_units(effects, dtype=np.float32))
    undefined = np.isnan(tree.r_squared.to_numpy())
    assert np.argwhere(undefined).tolist() == [[0, 0], [0, 1], [0, 2], [0, 3], [0, 4], [2, 7]]
    assert tree.r_squared.attrs["undefined_draws"] == 6
    assert "not defined in 6 of 200 draws" in str(tree)
    known = tree.r_squared.to_numpy()[~undefined]
    assert float(tree.table["r_squared"]) == pytest.approx(known.mean(), rel=1e-12)
    assert float(tree.table["r_squared_upper"]) == pytest.approx(np.quantile(known, 0.975), rel=1e-12)
    for part in ("", "_lower", "_upper"):
        assert 0 < float(tree.table[f"r_squared{part}_mcse"]) < 0.05
    assert np.isfinite(tree.draws).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_effects_that_are_all_equal_up_to_rounding_are_refused(dtype: Any) -> None:
    same = np.broadcast_to(0.3 * np.random.default_rng(6).standard_normal((4, 50, 1)), (4, 50, len(FRAME)))
    with pytest.raises(ArgumentError, match=r"'offer' is the same for every unit in every draw.*R² .* not defined"):
        grown(of_units(same, dtype=dtype))


def test_a_thin_tree_prints_its_leaves_and_its_fidelity() -> None:
    tree = grown(depth=2)
    lines = str(tree).splitlines()
    assert lines[0].startswith(
        "Effect of offer on sales, against control (outcome units): mean ± Monte Carlo error [95%"
    )
    assert sum("leaf " in line for line in lines) == tree.draws.sizes["leaf"]
    assert lines[-1].startswith("The tree tells 9")


def test_leaf_draws_price_like_any_effect() -> None:
    tree = grown()
    gain = bu.Economics(2.0, {"offer": 0.5}).net_gain(tree.draws)
    np.testing.assert_allclose(gain, 2.0 * tree.draws - 0.5, rtol=1e-14)


def test_blocks_of_draws_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = grown()
    for block in (1, 3 * len(FRAME), 120 * len(FRAME)):
        monkeypatch.setattr(unit_effects, "_BLOCK", block)
        tree = grown()
        assert tree.table["rule"].values.tolist() == whole.table["rule"].values.tolist()
        np.testing.assert_allclose(tree.draws, whole.draws, atol=1e-13)
        np.testing.assert_allclose(tree.r_squared, whole.r_squared, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"depth": 0}, "depth = 0"),
        ({"depth": 1.5}, "depth = 1.5"),
        ({"least_units": 0}, "least_units = 0"),
        ({"least_gain": 1.0}, "least_gain = 1.0"),
        ({"least_gain": float("nan")}, "least_gain = nan"),
        ({"prob": 1.0}, "prob = 1.0"),
    ],
)
def test_options_outside_their_range_are_refused(options: Any, told: str) -> None:
    with pytest.raises(ArgumentError, match=told):
        grown(**options)


def test_a_covariate_that_comes_first_wins_a_tie() -> None:
    frame = FRAME[["age"]].assign(copy=FRAME["age"])
    for names in (["age", "copy"], ["copy", "age"]):
        tree = grown(frame=frame, covariates=names, depth=1)
        assert isinstance(tree.root.split, Split)
        assert tree.root.split.covariate == names[0]
