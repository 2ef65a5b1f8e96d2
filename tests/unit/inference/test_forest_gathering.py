"""Units that are alike, sampled as one row: the same posterior as of the units one by one."""

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from arviz_stats.base import array_stats

from bayesuplift.data.causal_rows import CausalRows
from bayesuplift.inference.forest.gathering import Gathered, gathered
from bayesuplift.inference.forest.run import Sampler
from bayesuplift.inference.session import jax_session
from bayesuplift.priors.forest import ForestPrior, ForestShape
from tests.support.forests import SCALES
from tests.support.mcse import assert_within_mcse
from tests.support.worlds import seed_of

KINDS, EACH = 12, 12
PRIOR = ForestPrior(
    prognostic=ForestShape(trees=10, depth=4, base=0.95, power=2.0),
    effect=ForestShape(trees=5, depth=3, base=0.5, power=2.0),
    location=2.0,
    noise_sd=1.0,
    **SCALES,
)


@functools.cache
def units() -> CausalRows:
    """Twelve kinds of units, three columns, each kind in both arms; the last of them has a larger effect."""
    generator = np.random.default_rng(seed_of("units that are alike"))
    kinds = np.stack(np.meshgrid([0.0, 1.0], [0.0, 1.0], [0.0, 1.0, 2.0]), axis=-1).reshape(KINDS, 3)
    order = generator.permutation(KINDS * EACH)
    table, arm = np.repeat(kinds, EACH, axis=0)[order], np.tile([0, 1], KINDS * EACH // 2)[order]
    effect = 0.2 + 1.8 * (table == [1.0, 1.0, 2.0]).all(axis=1)
    outcome = 1.0 + table[:, 1] + 0.5 * table[:, 2] + arm * effect + generator.normal(size=len(arm))
    return CausalRows(outcome, arm, table, table)


def draws(given: Gathered, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Effects of every kind of unit, (chain, draw, kind), and the noise's standard deviation."""
    with jax_session():
        run = Sampler(given.rows, given.prior_of_rows(PRIOR), seed=seed_of("gathered"), chains=4)
        run.burn_in(500)
        found = run.draw(length, thin=3)
    assert found.at_rows is not None
    # a unit of every kind
    kinds = np.unique(units().prognostic, axis=0, return_index=True)[1]
    return given.at_units(found.at_rows)[:, :, kinds, 1], found.sigma


def test_rows_hold_all_that_the_likelihood_asks_of_their_units() -> None:
    one = replace(units(), groups=(np.zeros(KINDS * EACH, dtype=int), units().prognostic[:, 2].astype(int)))
    found = gathered(one, PRIOR)
    assert found.place is not None
    rows, place = found.rows, found.place
    assert len(rows.outcome) == 2 * KINDS
    for name in ("arm", "prognostic", "moderators"):
        np.testing.assert_array_equal(getattr(rows, name)[place], getattr(one, name))
    for there, here in zip(rows.groups, one.groups, strict=True):
        np.testing.assert_array_equal(there[place], here)
    assert rows.weight is not None
    # any means: the units' squares about them are the rows' and what is within
    means = np.random.default_rng(seed_of("any means")).normal(size=len(rows.outcome))
    of_rows = rows.weight @ (rows.outcome - means) ** 2 + rows.within_squares
    np.testing.assert_allclose(of_rows, np.sum((one.outcome - means[place]) ** 2), rtol=1e-12)
    assert len(rows.outcome) + rows.within_degrees == len(one.outcome)


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": (units().outcome > 2.0).astype(float), "binary": True},
        {"weight": np.full(KINDS * EACH, 2.0)},
        {"moderators": np.arange(KINDS * EACH)[:, None]},
    ],
)
def test_units_that_cannot_be_gathered_stay_as_they_are(change: dict[str, Any]) -> None:
    one = replace(units(), **change)
    found = gathered(one, PRIOR)
    assert found.place is None
    assert found.rows is one
    assert found.prior_of_rows(PRIOR) is PRIOR


def test_a_row_of_fewer_units_than_a_leaf_needs_leaves_all_as_they_are() -> None:
    # six units of a kind in an arm
    for least, there in ((6, True), (7, False)):
        prior = replace(PRIOR, effect=replace(PRIOR.effect, least_units=least))
        assert (gathered(units(), prior).place is not None) is there


def test_the_posterior_is_that_of_the_units(monkeypatch: pytest.MonkeyPatch) -> None:
    given = gathered(units(), PRIOR)
    (expected, noise), (found, of_rows) = (draws(one, 1000) for one in (Gathered(units(), None), given))

    def error(of_units: np.ndarray) -> np.ndarray:
        return np.asarray(array_stats.mcse(of_units, chain_axis=0, draw_axis=1))

    def assert_equal(values: np.ndarray, of_units: np.ndarray) -> None:
        assert_within_mcse(values, of_units.mean((0, 1)), error(of_units), comparisons=3)

    assert_equal(found, expected)
    assert_equal(found**2, expected**2)
    assert_equal(of_rows, noise)
    # planted: means that are taken for units; and rows of which a leaf needs five
    few = replace(given, rows=replace(given.rows, within_squares=0.0, within_degrees=0.0))
    with pytest.raises(AssertionError, match="Monte Carlo errors apart"):
        assert_equal(draws(few, 400)[1], noise)
    with monkeypatch.context() as patched:
        patched.setattr(Gathered, "prior_of_rows", lambda _, prior: prior)
        strict = draws(given, 400)[0]
    with pytest.raises(AssertionError, match="Monte Carlo errors apart"):
        assert_equal(strict**2, expected**2)


def test_averages_count_a_row_as_often_as_it_has_units() -> None:
    one = units()
    # kinds of unlike size: averages over rows would be others
    kept = (one.prognostic[:, 0] == 0.0) | (np.cumsum(one.prognostic[:, 0]) % 2 == 0)
    fewer = CausalRows(one.outcome[kept], one.arm[kept], one.prognostic[kept], one.moderators[kept])
    prior = replace(
        PRIOR, prognostic=replace(PRIOR.prognostic, least_units=1), effect=replace(PRIOR.effect, least_units=1)
    )
    given = gathered(fewer, prior)
    assert given.place is not None
    with jax_session():
        run, again = (Sampler(given.rows, given.prior_of_rows(prior), seed=2, chains=4) for _ in range(2))
        averages, kept_draws = run.averages(5), again.draw(5)
    assert kept_draws.at_rows is not None
    means = kept_draws.by_arm(kept_draws.at_rows)
    at_units = given.at_units(means).mean(axis=2, dtype=np.float64)
    np.testing.assert_allclose(averages, at_units, rtol=1e-12)
    assert np.abs(averages - means.mean(axis=2)).max() > 1e-3
