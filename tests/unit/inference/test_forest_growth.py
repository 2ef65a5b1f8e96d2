"""Trees grown from the root: their law where it is known, and whether they are trees that the kernel can go on from."""

import itertools
import math
from dataclasses import replace

import jax
import numpy as np
import pytest
from arviz_stats.base import array_stats

from bayesuplift.inference.forest import kernel
from bayesuplift.inference.forest.growth import Noise, grown
from bayesuplift.inference.forest.kernel import Ground, Plot, Shape, Trees
from bayesuplift.inference.session import jax_session
from tests.support.mcse import assert_within_mcse
from tests.support.worlds import seed_of
from tests.unit.inference.test_forest_sampler import PRIOR, sampler, world

N, LEAST, PADDING = 90, 3, 6
CUTS = np.array([7, 4, 1])
LEAF_SD, PRECISION, LEAF_PRECISION = 0.3, 1.7, 5.0


def plot_of(shape: Shape, *, weighted: bool = True) -> tuple[Plot, Trees, np.ndarray]:
    """A plot with rows that are none at its end, trees of one leaf, and the weights of its rows."""
    generator = np.random.default_rng(seed_of("ground"))
    bins = np.stack([generator.integers(0, cuts + 1, N + PADDING) for cuts in CUTS]).astype(np.uint8)
    weights = np.where(np.arange(N + PADDING) < N, generator.integers(0, 4, N + PADDING), 0).astype(np.float64)
    told = weights if weighted else None
    with jax_session():
        plot, trees = kernel.plant(bins, CUTS, shape, weights=told, leaf_sd=LEAF_SD, padding=PADDING)
    plot = jax.tree.map(np.asarray, plot)
    return plot, trees, weights if weighted else (np.arange(N + PADDING) < N).astype(np.float64)


def evidence(noise: Noise, left: np.ndarray, rows: np.ndarray) -> float:
    """Log density of some rows of a leaf, by the covariance of them all."""
    rows = rows[noise.weight[rows] > 0]
    covariance = np.full((len(rows), len(rows)), 1.0 / noise.leaf_precision)
    covariance += np.diag(1.0 / (noise.precision * noise.weight[rows]))
    _, log_determinant = np.linalg.slogdet(covariance)
    return -0.5 * float(log_determinant + left[rows] @ np.linalg.solve(covariance, left[rows]))


def stump_chances(ground: Ground, noise: Noise, left: np.ndarray) -> dict[tuple[int, int], float]:
    """Posterior probability of each tree of at most one decision; (-1, 0), a cut that all are past, is none."""
    split, rows = ground.split[1], np.arange(N)
    found = {(-1, 0): math.log1p(-split) + evidence(noise, left, rows)}
    for column, cuts in enumerate(ground.cuts):
        for cut in range(1, cuts + 1):
            right = ground.bins[column, :N] >= cut
            if min(right.sum(), N - right.sum()) >= ground.least_rows:
                sides = sum(evidence(noise, left, rows[side]) for side in (right, ~right))
                found[column, cut] = math.log(split / len(ground.cuts) / cuts) + sides
    largest = max(found.values())
    total = sum(math.exp(one - largest) for one in found.values())
    return {decision: math.exp(one - largest) / total for decision, one in found.items()}


def test_a_tree_of_one_decision_has_its_posterior() -> None:
    """With nothing to grow below it the decision is drawn given the rows alone: the law is exact."""
    count = 4000
    plot, trees, weights = plot_of(Shape(1, 2, 0.6, 1.0, LEAST))
    ground = kernel.ground(plot)
    generator = np.random.default_rng(seed_of("trees of one decision"))
    left = 0.5 * (ground.bins[0] >= 3) + generator.normal(size=N + PADDING) / np.sqrt(PRECISION)
    noise = Noise(weights, PRECISION, LEAF_PRECISION)
    seen, values = [], []
    for _ in range(count):
        found, after = grown(ground, trees, left, noise, generator)
        seen.append((int(found.variable[0, 1]), int(found.split[0, 1])) if found.split[0, 1] else (-1, 0))
        values.append(left[0] - after[0])
    chances = stump_chances(ground, noise, left)
    assert set(seen) <= set(chances)
    drawn = np.array([[one == decision for decision in chances] for one in seen]).reshape(1, count, -1)
    likely = [place for place, one in enumerate(chances.values()) if one * count > 40]
    assert len(likely) > 5
    expected = np.array(list(chances.values()))
    assert_within_mcse(drawn[..., likely], expected[likely])
    mean = 0.0
    for (column, cut), chance in chances.items():
        here = np.flatnonzero((ground.bins[column, :N] >= cut) == (ground.bins[column, 0] >= cut))
        known = PRECISION * weights[here]
        mean += chance * (known @ left[here]) / (LEAF_PRECISION + known.sum())
    assert_within_mcse(np.array(values)[None, :], mean)
    other = stump_chances(replace_split(ground, 0.7), noise, left)  # planted: trees that are split a little more often
    with pytest.raises(AssertionError):
        assert_within_mcse(drawn[..., likely], np.array(list(other.values()))[likely])


def replace_split(ground: Ground, base: float) -> Ground:
    split = ground.split.copy()
    split[1] = base
    return ground._replace(split=split)


@pytest.mark.parametrize(("depth", "weighted"), [(6, True), (9, False)])
def test_grown_trees_are_those_that_the_kernel_would_have(depth: int, weighted: bool) -> None:
    plot, trees, weights = plot_of(Shape(8, depth, 0.97, 0.5, LEAST), weighted=weighted)
    ground = kernel.ground(plot)
    generator = np.random.default_rng(seed_of("grown trees"))
    left = np.sin(ground.bins[0]) * (ground.bins[1] >= 2) + 0.1 * generator.normal(size=N + PADDING)
    noise = Noise(weights, 100.0, LEAF_PRECISION)
    found, after = grown(ground, trees, left, noise, generator)
    found, after = grown(ground, found, after, noise, generator)
    assert {name: one.dtype for name, one in found._asdict().items() if one is not None} == {
        name: one.dtype for name, one in trees._asdict().items() if one is not None
    }
    assert (found.split > 0).sum(axis=1).max() >= 6
    settled = kernel.settled(plot, found)
    for name in ("place", "rows", "weight"):
        np.testing.assert_array_equal(getattr(found, name), getattr(settled, name), err_msg=name)
    places = found.place.astype(np.intp)
    values = np.take_along_axis(found.leaf, places, axis=1)[:, :N].sum(axis=0, dtype=np.float64) * ground.unit
    np.testing.assert_allclose(left[:N] - after[:N], values, atol=1e-6)
    np.testing.assert_array_equal(after[N:], left[N:])
    leaves = found.rows[:, 1:]
    assert leaves[leaves > 0].min() >= LEAST
    for tree, place in itertools.product(range(8), range(1, found.split.shape[1])):
        rows = int(found.rows[tree, place])
        assert found.growable[tree, place] == (rows >= 2 * LEAST and some_cut(ground, found, tree, place))


def some_cut(ground: Ground, trees: Trees, tree: int, place: int) -> bool:
    """Whether decisions above the place leave a cut, by the values that can still get there."""
    possible = [set(range(cuts + 1)) for cuts in ground.cuts]
    while place > 1:
        above, right = place // 2, place % 2 == 1
        column, cut = trees.variable[tree, above], trees.split[tree, above]
        possible[column] = {value for value in possible[column] if (value >= cut) == right}
        place = above
    return any(len(values) > 1 for values in possible)


def test_an_effect_of_six_covariates_together_is_there_at_once() -> None:
    """Units above their third of twelve in all six of ten covariates: what takes a chain of single moves many sweeps."""
    n, shape = 4000, Shape(20, 7, 0.95, 0.5, 5)
    generator = np.random.default_rng(seed_of("six together"))
    bins = generator.integers(0, 12, (10, n)).astype(np.uint8)
    truth = 2.0 * (bins[:6] >= 2).all(axis=0)
    left = truth - truth.mean() + generator.normal(size=n)

    def unexplained(depth: int) -> float:
        with jax_session():
            plot, trees = kernel.plant(bins, np.full(10, 11), shape._replace(depth=depth), weights=None, leaf_sd=0.3)
        after, ground = left, kernel.ground(plot)
        noise, stream = Noise(np.ones(n), 1.0, 0.3**-2), np.random.default_rng(seed_of("sweeps"))
        for _ in range(5):
            trees, after = grown(ground, trees, after, noise, stream)
        return float(np.mean((left - after - truth + truth.mean()) ** 2) / truth.var())

    assert unexplained(7) < 0.05
    assert unexplained(4) > 0.1  # planted: trees of three decisions on a path


def test_chains_grow_from_streams_of_their_own_however_the_run_is_divided() -> None:
    with jax_session():
        runs = [sampler(world(), "grown") for _ in range(2)]
        runs[0].grow(3)
        runs[1].grow(1)
        runs[1].grow(2)
    first, second = (run.position() for run in runs)
    for name, one in first.items():
        np.testing.assert_array_equal(one, second[name], err_msg=name)
    assert (first["prognostic_split"] > 0).any(axis=(1, 2)).all()
    assert not np.array_equal(*first["prognostic_split"])


def test_a_chain_that_was_grown_goes_on_to_the_posterior() -> None:
    """Of a binary outcome: its average effect is that of a chain from trees of one leaf, up to Monte Carlo error."""
    rows = world()
    rows = replace(rows, outcome=(rows.outcome > 12.0).astype(np.float64), binary=True)
    prior = replace(
        PRIOR, location=0.5, noise_sd=None, intercept_sd=0.4, prognostic_sd=0.4, average_sd=0.4, effect_sd=0.2
    )
    found = []
    with jax_session():
        for sweeps in (0, 5):
            run = sampler(rows, f"from {sweeps}", prior)
            run.grow(sweeps)
            run.burn_in(300)
            means = run.averages(1500, thin=2)
            found.append(means[..., 1] - means[..., 0])
    error = array_stats.mcse(found[0], chain_axis=0, draw_axis=1)
    assert_within_mcse(found[1], found[0].mean(), error)
    with pytest.raises(AssertionError):  # planted: a third of a standard deviation apart
        assert_within_mcse(found[1] + 0.33 * found[1].std(), found[0].mean(), error)
