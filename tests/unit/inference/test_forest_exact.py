"""The kernel's one tree against all trees: their posterior probabilities, summed by enumeration."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayesuplift.inference.forest import kernel
from tests.support.mcse import assert_within_mcse
from tests.support.one_tree import (
    BASE,
    CUTS,
    LEAF_SD,
    LEVELS,
    NOISE,
    POWER,
    QUANTITIES,
    ROWS_OF_A_KIND,
    VALUES,
    exactly,
    outcome,
)
from tests.support.worlds import seed_of

CHAINS, SWEEPS, BEFORE = 64, 1000, 50


def visited(y: np.ndarray) -> Mapping[str, np.ndarray]:
    """`QUANTITIES` along the kernel's sweeps, (chain, sweep)."""
    with jax.enable_x64(False):  # noqa: FBT003 -- JAX's own signature
        bins = np.repeat(VALUES, ROWS_OF_A_KIND, axis=0).T.astype(np.uint8)
        shape = kernel.Shape(1, LEVELS, BASE, POWER, 1)
        plot, first = kernel.plant(bins, CUTS, shape, weights=None, leaf_sd=LEAF_SD)

        def one(
            carried: tuple[kernel.Trees, jax.Array], key: jax.Array
        ) -> tuple[tuple[kernel.Trees, jax.Array], tuple]:
            state, residual, _ = kernel.sweep(key, plot, carried[0], carried[1], jnp.float32(NOISE**-2.0))
            leaves = (state.split > 0).sum() + 1.0
            second = (state.split[0, 1] > 0) & (state.variable[0, 1] == 1)
            mean = jnp.asarray(y, jnp.float32) - residual
            return (state, residual), (leaves, leaves**2, second, mean[0], mean[-1])

        def chain(key: jax.Array) -> tuple:
            start = jax.tree.map(jnp.asarray, first), jnp.asarray(y, jnp.float32)
            return jax.lax.scan(one, start, jax.random.split(key, BEFORE + SWEEPS))[1]

        found = jax.jit(jax.vmap(chain))(jax.random.split(jax.random.key(seed_of("sweeps of one tree")), CHAINS))
    return {name: np.asarray(one, np.float64)[:, BEFORE:] for name, one in zip(QUANTITIES, found, strict=True)}


def test_one_tree_has_the_posterior_that_all_trees_give() -> None:
    y = outcome()
    found, expected = visited(y), exactly(y)
    for name, value in expected.items():
        assert_within_mcse(found[name], value, comparisons=len(expected))
    other = exactly(y, base=0.65)  # planted: trees that are split a little less often
    with pytest.raises(AssertionError):
        assert_within_mcse(found["leaves"], other["leaves"], comparisons=len(expected))
