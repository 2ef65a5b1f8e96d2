"""Draws that cannot be trusted are caught, by the check that is made for it, with its figures."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.posterior.diagnostics import effective_draws, monte_carlo_error
from bayesuplift.posterior.schema import mean_outcome
from tests.support.worlds import binary_cells, foreign, normal_draws, seed_of

GOOD = normal_draws([1.0, 2.0, 3.0], 0.1, seed=seed_of("good draws"))
NAMES = {"r_hat", "effective_draws_bulk", "effective_draws_tail"}


def failed(draws: Any, **groups: xr.Dataset) -> dict[str, dict[str, Any]]:
    tree = foreign(draws)
    for name, group in groups.items():
        tree[name] = xr.DataTree(group)
    return {check.name: check.facts for check in bu.diagnose(tree) if not check.passed}


def test_independent_draws_pass_every_check() -> None:
    assert {check.name for check in bu.diagnose(foreign(GOOD))} == NAMES
    assert failed(GOOD) == {}


def test_chains_that_disagree_fail_r_hat() -> None:
    draws = GOOD.copy()
    draws[3, :, 1] += 0.1
    found = failed(draws)
    assert found["r_hat"]["largest"] > 1.05
    assert found["r_hat"]["limit"] == 1.01


def test_chains_that_differ_in_spread_alone_fail_r_hat() -> None:
    draws = GOOD.copy()
    draws[0, :, 2] = draws[0, :, 2].mean() + 3 * (draws[0, :, 2] - draws[0, :, 2].mean())
    assert "r_hat" in failed(draws)


def test_draws_that_are_all_the_same_fail() -> None:
    draws = GOOD.copy()
    draws[..., 0] = 1.0
    found = failed(draws)
    assert set(found) == NAMES
    assert found["r_hat"]["largest"] == np.inf
    assert found["effective_draws_bulk"]["smallest"] == 0


def test_slow_chains_fail_on_effective_draws() -> None:
    steps = np.random.default_rng(seed_of("slow chains")).standard_normal((4, 1000, 2))
    draws = np.empty_like(steps)
    draws[:, 0] = steps[:, 0]
    for step in range(1, 1000):
        draws[:, step] = 0.97 * draws[:, step - 1] + np.sqrt(1 - 0.97**2) * steps[:, step]
    found = failed(draws)
    assert 0 < found["effective_draws_bulk"]["smallest"] < found["effective_draws_bulk"]["limit"] == 400


def test_one_chain_cannot_be_judged() -> None:
    (check,) = bu.diagnose(foreign(GOOD[:1]))
    assert (check.name, check.passed, check.facts) == ("convergence", False, {"chains": 1})
    assert "1 chain" in check.sentence


def test_too_few_draws_to_judge_are_not_passed() -> None:
    assert set(failed(GOOD[:, :2])) == NAMES


@pytest.mark.parametrize("count", [0, 3])
def test_divergences_fail_and_are_counted(count: int) -> None:
    diverging = np.zeros((4, 1000), dtype=bool)
    diverging[1, :count] = True
    found = failed(GOOD, sample_stats=xr.Dataset({"diverging": (("chain", "draw"), diverging)}))
    assert found == ({} if count == 0 else {"divergences": {"divergences": 3, "draws": 4000}})


def test_the_worst_segment_decides() -> None:
    draws = normal_draws(np.ones((3, 2)), 0.1, seed=seed_of("segments"))
    draws[0, :, 2, 1] += 1.0
    tree = foreign(draws, segments={"x": [1, 1], "y": [1, 1], "z": [1, 1]})
    assert next(check.name for check in bu.diagnose(tree) if not check.passed) == "r_hat"


def test_independent_draws_of_a_closed_form_need_no_check() -> None:
    assert bu.diagnose(bu.fit("beta_binomial", binary_cells([10, 10], [1, 2]), seed=1, chains=1, draws=4)) == []


def test_the_monte_carlo_error_is_the_standard_error_of_independent_draws_and_zero_of_constants() -> None:
    draws = GOOD.copy()
    draws[..., 2] = 7.0
    error = monte_carlo_error(mean_outcome(foreign(draws)))
    assert error.dims == ("arm",)
    np.testing.assert_allclose(error.values, [0.1 / np.sqrt(4000), 0.1 / np.sqrt(4000), 0.0], rtol=0.15)


def test_effective_draws_are_at_most_the_draws() -> None:
    antithetic = GOOD.copy()
    antithetic[:, 1::2] = 2 * np.array([1.0, 2.0, 3.0]) - antithetic[:, ::2]
    assert (effective_draws(mean_outcome(foreign(antithetic))) == 4000).all()


def many(shift: float, *, drift: float = 0.0) -> xr.DataTree:
    """32 short chains in four superchains; the last of them off by `shift`, every chain on its way by `drift`."""
    draws = np.random.default_rng(seed_of("many short chains")).standard_normal((32, 100, 2))
    draws[24:] += shift
    draws += drift * np.linspace(-1.0, 1.0, 100)[:, None] * np.repeat([1.0, -1.0, 1.0, -1.0], 8)[:, None, None]
    tree = foreign(draws)
    tree.attrs["superchains"] = 4
    return tree


def test_short_chains_are_judged_by_their_superchains() -> None:
    checks = {check.name: check for check in bu.diagnose(many(0.0))}
    assert all(check.passed for check in checks.values())
    assert checks["effective_draws_bulk"].facts["limit"] == 400


def test_superchains_are_neighbours() -> None:
    tree = many(0.5)
    turned = tree.copy()
    order = np.arange(32).reshape(4, 8).T.ravel()  # two of the eight that are off in every superchain
    turned["posterior"] = xr.DataTree(tree["posterior"].to_dataset().isel(chain=order))
    apart, mixed = ({check.name: check for check in bu.diagnose(one)}["r_hat"] for one in (tree, turned))
    assert mixed.facts["largest"] < 1.01
    assert apart.facts["largest"] > 1.02


@pytest.mark.parametrize("shift", [-0.5, 0.5])
def test_a_superchain_that_has_not_forgotten_its_start_is_caught(shift: float) -> None:
    failing = {check.name for check in bu.diagnose(many(shift)) if not check.passed}
    assert "r_hat" in failing
