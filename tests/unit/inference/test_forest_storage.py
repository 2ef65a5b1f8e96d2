"""Trees as they are stored: cut, packed, evaluated and written, against bartz's own."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from bartz.grove import TreesTrace, evaluate_forest
from bartz.prepcovars import UniqueQuantileBinner

from bayesuplift.errors import ArgumentError, PosteriorError
from bayesuplift.inference.forest.binning import Cuts
from bayesuplift.inference.forest.draws import ForestDraws
from bayesuplift.inference.forest.packed import Forest, along_chains, along_draws, pack
from tests.support.worlds import seed_of

CHAINS, DRAWS, TREES, COLUMNS, MOST = 2, 3, 7, 4, 20


def random_heaps(depth: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Trees of every shape, with rubbish where no place is."""
    generator = np.random.default_rng(seed)
    half = 2 ** (depth - 1)
    shape = (CHAINS, DRAWS, TREES, half)
    variable = generator.integers(0, COLUMNS, shape).astype(np.uint8)
    split = generator.integers(1, MOST, shape).astype(np.uint8)
    leaf = generator.normal(size=(*shape[:-1], 2 * half)).astype(np.float32)
    split *= generator.random(shape) < 0.7
    split[:, 0, 0] = 0  # the root alone
    split[:, 0, 1, 2:] = 0  # a stump, where it splits at all
    split[..., 0] = 0
    for place in range(2, half):
        split[..., place] *= split[..., place // 2] > 0
    return variable, split, leaf


def covariates(rows: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    table = generator.normal(size=(rows, COLUMNS))
    table[:, 1] = generator.integers(0, 2, rows)
    table[:, 2] = generator.integers(0, 5, rows) * 0.1
    table[:, 3] = np.round(np.exp(3 * table[:, 3]), 2)
    return table


@pytest.mark.parametrize("most", [1, 3, 100, 400])
def test_cuts_are_those_of_bartz(most: int) -> None:
    table = covariates(300, seed_of("cuts"))
    ours = Cuts.of(table, most)
    with jax.enable_x64(True):  # noqa: FBT003 -- JAX's own signature
        theirs = UniqueQuantileBinner(jnp.asarray(table.T), max_bins=most + 1)
        np.testing.assert_array_equal(ours.number, theirs.max_split)
        fresh = covariates(100, seed_of("other rows"))
        np.testing.assert_array_equal(ours.bins(fresh), theirs.bin(jnp.asarray(fresh.T)))


def test_an_indicator_costs_one_cut_and_a_constant_none() -> None:
    table = np.column_stack([np.tile([0.0, 1.0], 10), np.ones(20), np.arange(20.0)])
    cuts = Cuts.of(table, 100)
    np.testing.assert_array_equal(cuts.number, [1, 0, 19])
    np.testing.assert_array_equal(cuts.varying, [0, 2])
    assert cuts.bins(table).shape == (2, 20)
    assert cuts.bins(table).dtype == np.uint8


@pytest.mark.parametrize("table", [np.array([[1.0, np.nan]]), np.ones((1, 3)), np.ones(2)])
def test_rows_that_do_not_fit_the_cuts_are_refused(table: np.ndarray) -> None:
    with pytest.raises(ArgumentError, match="covariates"):
        Cuts.of(np.arange(6.0).reshape(3, 2), 5).bins(table)


@pytest.mark.parametrize("depth", [2, 4, 6])
@pytest.mark.parametrize("rows", [1, 50, 5000])
def test_packed_trees_give_what_the_heaps_give(depth: int, rows: int) -> None:
    variable, split, leaf = random_heaps(depth, seed_of(f"heaps of {depth}"))
    bins = np.random.default_rng(rows).integers(0, MOST, (COLUMNS, rows)).astype(np.uint8)
    with jax.enable_x64(False):  # noqa: FBT003
        trace = TreesTrace(*(jnp.asarray(one) for one in (variable, split, leaf)))
        expected = np.asarray(evaluate_forest(jnp.asarray(bins), trace, sum_batch_axis=-1))
    # sums of seven normals in another order: rounding of float32
    np.testing.assert_allclose(pack(variable, split, leaf).at(bins), expected, atol=1e-5)


def test_decisions_are_counted_by_the_column_that_they_ask_for() -> None:
    variable, split, leaf = random_heaps(5, seed_of("decisions"))
    varying = np.array([0, 2, 3, 5])
    found = pack(variable, split, leaf).decisions_by_column(varying, 6)
    for column in range(6):
        asked = (split > 0) & (varying[variable] == column)
        np.testing.assert_array_equal(found[..., column], asked.sum(axis=(-1, -2)))


def test_joined_parts_are_the_whole() -> None:
    heaps = random_heaps(4, seed_of("parts"))
    whole = pack(*heaps)
    chains = [
        along_draws([pack(*(one[chain : chain + 1, some] for one in heaps)) for some in (slice(0, 2), slice(2, 3))])
        for chain in range(CHAINS)
    ]
    for name in ("places", "split", "variable", "leaf"):
        np.testing.assert_array_equal(getattr(along_chains(chains), name), getattr(whole, name))
    assert whole.places.dtype == whole.split.dtype == whole.variable.dtype == np.uint8
    assert whole.leaf.dtype == np.float32


def forest(depth: int, name: str) -> Forest:
    return pack(*random_heaps(depth, seed_of(name)))


def some_draws() -> ForestDraws:
    generator = np.random.default_rng(seed_of("scalars"))
    scalars: dict[str, Any] = {
        name: generator.normal(size=(CHAINS, DRAWS)) for name in ("intercept", "sigma", "prognostic_sd", "acceptance")
    }
    scalars |= {name: generator.normal(size=(CHAINS, DRAWS, 2)) for name in ("average", "scale", "effect_sd")}
    cuts = Cuts.of(covariates(300, seed_of("cuts")), MOST)
    return ForestDraws(
        **scalars,
        prognostic=forest(5, "prognostic"),
        effects=(forest(3, "effect"), forest(3, "another effect")),
        prognostic_cuts=cuts,
        effect_cuts=cuts,
        coding=np.array([[-0.2, -0.3], [0.8, -0.3], [-0.2, 0.7]]),
    )


def test_stored_draws_predict_the_same(tmp_path: Path) -> None:
    draws, table = some_draws(), covariates(40, seed_of("new rows"))
    draws.to_dataset().to_netcdf(tmp_path / "forest.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "forest.nc", engine="h5netcdf") as stored:
        again = ForestDraws.from_dataset(stored.load())
    found = draws.at(table, table)
    np.testing.assert_array_equal(again.at(table, table), found)
    by_hand = found[..., :1] + found[..., 1:] @ draws.coding.T.astype(np.float32)
    np.testing.assert_allclose(again.by_arm(found), by_hand, rtol=1e-4, atol=1e-5)


def test_the_effects_are_those_of_their_own_trees() -> None:
    draws, table = some_draws(), covariates(40, seed_of("new rows"))
    bins = draws.effect_cuts.bins(table)
    found = draws.at(table, table, [np.full((CHAINS, DRAWS, 40, 3), 0.25)])
    for a, trees in enumerate(draws.effects):
        expected = draws.average[..., a, None] + draws.scale[..., a, None] * trees.at(bins) + 0.25
        np.testing.assert_allclose(found[..., 1 + a], expected, rtol=1e-4, atol=1e-5)


def test_a_file_that_lacks_trees_is_refused() -> None:
    with pytest.raises(PosteriorError, match="effect_1_leaf"):
        ForestDraws.from_dataset(some_draws().to_dataset().drop_vars("effect_1_leaf"))
