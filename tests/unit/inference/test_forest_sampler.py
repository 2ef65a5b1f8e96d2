"""The sampler of a causal forest, on little data and few trees."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from bartz.mcmcstep import Wishart, init, make_p_nonterminal

from bayesuplift.data.causal_rows import CausalRows
from bayesuplift.errors import ArgumentError
from bayesuplift.inference.forest import kernel
from bayesuplift.inference.forest.kernel import KernelVersionError, Shape
from bayesuplift.inference.forest.planting import padded
from bayesuplift.inference.forest.run import Sampler
from bayesuplift.inference.session import jax_session
from bayesuplift.priors.forest import ForestPrior, ForestShape
from tests.support.forests import SCALES
from tests.support.worlds import seed_of

N, EFFECT = 200, 2.0
PRIOR = ForestPrior(
    prognostic=ForestShape(trees=20, depth=5, base=0.95, power=2.0, least_units=2),
    effect=ForestShape(trees=10, depth=3, base=0.25, power=3.0, least_units=2),
    location=12.0,
    noise_sd=1.5,
    **SCALES,
)
EXACT = {np.dtype(name) for name in ("float32", "uint8", "uint32", "int32", "bool")}


def world(**changes: Any) -> CausalRows:
    generator = np.random.default_rng(seed_of("a world for forests"))
    table = np.column_stack([generator.normal(size=(N, 2)), generator.integers(0, 2, N)])
    arm = generator.integers(0, 2, N)
    outcome = 10.0 + 3.0 * np.abs(table[:, 0]) + EFFECT * arm + generator.normal(size=N)
    return replace(CausalRows(outcome, arm, table, table), **changes)


def sampler(rows: CausalRows, name: str, prior: ForestPrior = PRIOR) -> Sampler:
    with jax_session():
        return Sampler(rows, prior, seed=seed_of(name), chains=2)


@pytest.fixture(scope="module")
def finished() -> tuple[Sampler, Any]:
    with jax_session():
        run = sampler(world(), "fitted")
        run.burn_in(300)
        return run, run.draw(300)


def test_every_array_is_float32_or_a_small_integer_where_the_session_is_float64(finished: Any) -> None:
    run, draws = finished
    arrays = jax.tree_util.tree_leaves_with_path((run.states._replace(key=()), run._data, run._numbers))
    wrong = {jax.tree_util.keystr(path): one.dtype for path, one in arrays if np.dtype(one.dtype) not in EXACT}
    assert not wrong
    assert draws.at_rows.dtype == draws.effects[0].leaf.dtype == np.float32
    assert draws.average.dtype == np.float64


def test_a_constant_effect_is_found(finished: Any) -> None:
    _, draws = finished
    average = draws.at_rows[..., 1].mean(axis=-1)
    # the error of a difference of means with noise 1 in halves of 200 is 0.14
    assert 0.09 < average.std() < 0.2
    assert abs(average.mean() - EFFECT) < 4 * 0.14
    assert 0.85 < draws.sigma.mean() < 1.2


def test_stored_trees_give_the_effects_followed_on_the_way(finished: Any) -> None:
    _, draws = finished
    rows = world()
    # rounding of float32 in sums of 20 trees, over the 25 sweeps between exact sums
    found = draws.at(rows.prognostic, rows.moderators)
    np.testing.assert_allclose(found[..., 1], draws.at_rows[..., 1], atol=2e-5)
    np.testing.assert_allclose(found[..., 0], draws.at_rows[..., 0], atol=1e-4)


def test_a_seed_gives_its_draws_however_the_run_is_divided(finished: Any) -> None:
    _, draws = finished
    with jax_session():
        again = sampler(world(), "fitted")
        again.burn_in(200)
        again.burn_in(100)
        first = again.draw(50)
        elsewhere = sampler(world(), "another seed")
        elsewhere.resume(again.position())
        second = elsewhere.draw(50)
        elsewhere.resume(again.position())
        averages = elsewhere.averages(50)
    np.testing.assert_array_equal(first.at_rows, draws.at_rows[:, :50])
    np.testing.assert_array_equal(second.at_rows, draws.at_rows[:, 50:100])
    np.testing.assert_array_equal(second.sigma, draws.sigma[:, 50:100])
    np.testing.assert_array_equal(averages, draws.by_arm(second.at_rows).mean(axis=2, dtype=np.float64))
    assert not np.array_equal(draws.sigma[0], draws.sigma[1])


def test_a_position_of_another_run_is_refused(finished: Any) -> None:
    run, _ = finished
    position = run.position()
    with pytest.raises(ArgumentError, match="prognostic_leaf"):
        run.resume(position | {"prognostic_leaf": position["prognostic_leaf"][:, 1:]})


def test_a_row_of_weight_two_is_two_rows() -> None:
    """Trees and leaves draw from streams that do not depend on the number of rows: what is equal in law is equal here."""
    half = slice(0, N // 2)
    rows = world()
    levels = np.arange(N // 2) % 3
    rows = CausalRows(rows.outcome[half], rows.arm[half], rows.prognostic[half], rows.moderators[half])
    tables = (rows.outcome, rows.arm, rows.prognostic, rows.moderators, levels)
    outcome, arm, prognostic, moderators, group = (np.concatenate([one, one]) for one in tables)
    doubled = CausalRows(outcome, arm, prognostic, moderators, groups=(group,))
    rows = replace(rows, groups=(levels,))
    singly = replace(
        PRIOR, prognostic=replace(PRIOR.prognostic, least_units=1), effect=replace(PRIOR.effect, least_units=1)
    )
    weighted = replace(rows, weight=np.full(N // 2, 2.0), within_degrees=N / 2)
    with jax_session():
        expected = drawn(doubled, PRIOR)
        found = drawn(weighted, singly)
        ignored = drawn(replace(weighted, weight=np.ones(N // 2)), singly)
    # rounding of float32, in five sweeps
    np.testing.assert_allclose(found[0], expected[0][:, :, half], atol=2e-4)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-4)
    assert np.abs(ignored[1] - expected[1]).max() > 0.01


def drawn(rows: CausalRows, prior: ForestPrior) -> tuple[Any, Any]:
    draws = sampler(rows, "weights", prior).draw(5)
    assert draws.at_rows is not None
    return draws.at_rows[..., 1], draws.sigma


def test_two_doses_are_a_treatment_in_units_of_dose() -> None:
    rows, by_dose = world(), replace(PRIOR, coding="dose")
    with jax_session():
        expected = sampler(rows, "doses", PRIOR).draw(5)
        found, larger, fewer = (
            sampler(replace(rows, doses=np.array(doses)), "doses", by_dose).draw(5)
            for doses in ([0.0, 1.0], [2.0, 7.0], [5.0, 0.0])
        )
    np.testing.assert_array_equal(found.at_rows, expected.at_rows)
    np.testing.assert_array_equal(found.effect_sd, expected.effect_sd)
    assert larger.at_rows is not None
    assert expected.at_rows is not None
    np.testing.assert_array_equal(larger.coding, [[0.0], [5.0]])
    np.testing.assert_array_equal(fewer.coding, [[0.0], [-5.0]])
    # rounding of float32, in one product
    np.testing.assert_allclose(5.0 * larger.at_rows[..., 1], expected.at_rows[..., 1], rtol=1e-6)
    np.testing.assert_allclose(5.0 * larger.average, expected.average, rtol=1e-12)
    np.testing.assert_allclose(larger.by_arm(larger.at_rows), expected.by_arm(expected.at_rows), rtol=1e-6)
    again = larger.at(rows.prognostic, rows.moderators)
    np.testing.assert_allclose(5.0 * again[..., 1], expected.at_rows[..., 1], atol=2e-5)


def test_rows_that_are_none_leave_no_trace(finished: Any) -> None:
    run, _ = finished
    states = run.states
    assert padded(N) > N
    assert (states.prognostic.place[..., N:] == 0).all()
    assert (states.prognostic.place[..., :N] > 0).all()
    assert np.isfinite(states.level).all()
    # leaves hold every row that is one, once in every tree, and hold no other
    leaves = np.array([np.bincount(one, minlength=16)[1:].sum() for one in states.effect.place.reshape(-1, padded(N))])
    np.testing.assert_array_equal(leaves, N)


def test_an_interrupt_keeps_what_was_drawn() -> None:
    calls = []

    def stop(sweeps: int) -> None:
        calls.append(sweeps)
        if len(calls) == 6:
            raise KeyboardInterrupt

    with jax_session():
        run = sampler(world(), "interrupted")
        draws = run.draw(2000, progress=stop)
        assert 25 <= draws.shape[1] < 2000
        assert draws.at_rows is not None
        assert draws.at_rows.shape == (2, draws.shape[1], N, 2)
        with pytest.raises(RuntimeError, match="broken"):
            run.draw(100, progress=broken)


def broken(sweeps: int) -> None:
    raise RuntimeError(f"broken after {sweeps}")


@pytest.mark.parametrize("depth", [2, 6])
def test_a_forest_begins_as_the_kernel_would_begin_it(depth: int) -> None:
    """The state is filled in without running the kernel's own constructor: every array is the one that it makes."""
    generator = np.random.default_rng(seed_of("planted"))
    bins, cuts = generator.integers(0, 9, (3, 50)).astype(np.uint8), np.array([8, 8, 8])
    with jax_session():
        plot, _ = kernel.plant(bins, cuts, Shape(7, depth, 0.9, 1.5, 3), weights=None, leaf_sd=0.3)
    with jax.enable_x64(False):  # noqa: FBT003 -- JAX's own signature
        state = init(
            X=bins,
            y=np.zeros(50, np.float32),
            offset=np.float32(0.0),
            max_split=cuts.astype(np.uint8),
            num_trees=7,
            p_nonterminal=make_p_nonterminal(depth, 0.9, 1.5),
            leaf_prior_cov_inv=Wishart(None, None, np.float32(0.3**-2)),
            error_cov_inv=Wishart(1.0, 1.0, 1.0),
            min_points_per_leaf=3,
            min_points_per_decision_node=6,
        )
    expected, found = (
        {jax.tree_util.keystr(path): one for path, one in jax.tree_util.tree_leaves_with_path(tree)}
        for tree in (state, plot.state)
    )
    # the residual's unit is ours to choose, and the noise has no prior in the kernel
    assert set(expected) - set(found) == {".error_cov_inv.nu", ".error_cov_inv.rate"}
    for name in set(found) - {".resid_unit", ".resid_eff_scale"}:
        assert found[name].dtype == expected[name].dtype, name
        # powers in float32, by two libraries
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("found", ["0.12.1", "0.14.0", "1.0"])
def test_another_version_of_the_kernel_is_refused(found: str) -> None:
    with pytest.raises(KernelVersionError, match=rf"bartz {found} is installed; .*>=0\.13,<0\.14"):
        kernel.check_version(found)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arm": np.zeros(N)}, "rows of each of at least two"),
        ({"arm": np.where(np.arange(N) < 9, 2, 0)}, "rows of each of at least two"),
        ({"arm": np.full(N, 0.5)}, "arm of shape .*a whole number"),
        ({"groups": (np.zeros(3),)}, "groups of shape .*a whole number"),
        ({"outcome": np.full(N, np.nan)}, "outcome holds missing"),
        ({"weight": np.zeros(N)}, "a weight is 0"),
        ({"moderators": np.ones(N)}, "moderators has shape"),
        ({"prognostic": np.ones((3, 2))}, "prognostic has shape"),
        ({"within_degrees": -1.0}, "within_degrees = -1.0"),
        ({"doses": np.array([0.0, 1.0, 2.0])}, "each of 2 arms"),
        ({"doses": np.array([0.0, np.inf])}, "a finite number"),
        ({"doses": np.array([3.0, 3.0])}, "all different"),
    ],
)
def test_rows_that_cannot_be_sampled_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        world(**changes)


def test_a_prior_that_leaves_numbers_out_is_refused() -> None:
    with pytest.raises(ArgumentError, match="leaves out effect_sd, noise_sd"):
        sampler(world(), "left out", replace(PRIOR, effect_sd=None, noise_sd=None))


def test_doses_that_are_not_given_are_asked_for() -> None:
    with pytest.raises(ArgumentError, match="the rows lack doses"):
        sampler(world(), "no doses", replace(PRIOR, coding="dose"))


def test_moderators_that_do_not_vary_are_refused() -> None:
    with pytest.raises(ArgumentError, match="none of the moderators"):
        sampler(world(moderators=np.ones((N, 2))), "constant")
