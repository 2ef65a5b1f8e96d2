"""A mean that rests on a tail which the data contradict is found, and a log-normal one is not."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayesuplift as bu
from bayesuplift.data.checks import Check
from bayesuplift.posterior.amounts import conditional_sums, replicated_sums
from bayesuplift.posterior.tail import tail_check
from tests.support.worlds import foreign, normal_draws, seed_of

Dealt = Callable[[np.random.Generator, int], np.ndarray]


def cells_of(dealt: list[np.ndarray]) -> bu.Cells:
    """Cells of arms a, b, ... with these amounts, each beside nine units that bought nothing."""
    tables = [
        pd.DataFrame({"arm": chr(ord("a") + i), "y": np.concatenate([amounts, np.zeros(9 * len(amounts))])})
        for i, amounts in enumerate(dealt)
    ]
    return bu.read_cells(pd.concat(tables), arm="arm", control="a", outcome="y", kind="revenue")


def checked(make: Dealt, k: int, name: str, arms: int = 2) -> Check:
    rng = np.random.default_rng(seed_of(name))
    check = tail_check(bu.fit("hurdle_lognormal", cells_of([make(rng, k) for _ in range(arms)]), seed=1, draws=250))
    assert check is not None
    return check


def lognormal(rng: np.random.Generator, k: int) -> np.ndarray:
    return np.exp(rng.normal(4.0, 0.8, k))


def pareto(rng: np.random.Generator, k: int) -> np.ndarray:
    """Tail index 1.5: a mean of three times the smallest amount, and no variance."""
    return 10.0 * (1.0 - rng.random(k)) ** (-1.0 / 1.5)


def whales(rng: np.random.Generator, k: int) -> np.ndarray:
    return lognormal(rng, k) * np.where(rng.random(k) < 0.01, 30.0, 1.0)


@pytest.mark.parametrize("k", [200, 2000, 20_000])
def test_amounts_of_infinite_variance_are_told(k: int) -> None:
    check = checked(pareto, k, f"pareto {k}")
    assert not check.passed
    assert "not log-normal" in check.sentence
    assert min(gap["off"] for gap in check.facts["means"]) < -0.1


@pytest.mark.parametrize("k", [2000, 20_000])
def test_one_buyer_in_a_hundred_who_spends_thirty_times_as_much_is_told(k: int) -> None:
    assert not checked(whales, k, f"whales {k}").passed


@pytest.mark.parametrize("k", [1, 2, 3, 30, 2000, 20_000])
def test_log_normal_amounts_pass_whatever_their_number(k: int) -> None:
    assert checked(lognormal, k, f"log-normal {k}").passed


def test_log_normal_amounts_are_told_off_about_as_seldom_as_they_should() -> None:
    # at most .01 of 60 worlds: 5 or more have p < 1e-3
    assert sum(not checked(lognormal, 60, f"log-normal world {world}").passed for world in range(60)) < 5


def test_a_small_misfit_that_all_arms_share_is_seen_and_let_pass() -> None:
    check = checked(lambda rng, k: np.minimum(np.exp(rng.normal(4.0, 0.85, k)), 499.0), 200_000, "capped")
    assert check.passed
    assert all(gap["p"] < 0.005 and abs(gap["off"]) < 0.1 for gap in check.facts["means"])


def test_a_misfit_of_one_arm_alone_is_a_bias_of_the_difference() -> None:
    rng = np.random.default_rng(seed_of("one arm"))
    capped = np.minimum(np.exp(rng.normal(4.0, 0.85, 20_000)), 200.0)
    check = tail_check(bu.fit("hurdle_lognormal", cells_of([lognormal(rng, 20_000), capped]), seed=1, draws=250))
    assert check is not None
    assert not check.passed
    assert "b less a" in check.sentence


def test_a_choice_whose_mean_rests_on_a_contradicted_tail_is_invalid() -> None:
    rng = np.random.default_rng(seed_of("choice"))
    tree = bu.fit("hurdle_lognormal", cells_of([pareto(rng, 2000), pareto(rng, 2000)]), seed=1, draws=250)
    verdict = bu.choose_arm(tree, threshold_of_caring=100.0).verdict
    assert (verdict.name, verdict.arm) == ("INVALID", None)
    assert "Fit the model 'normal'" in verdict.sentence
    raw = bu.fit("normal", cells_of([lognormal(rng, 200), lognormal(rng, 200)]), seed=1, draws=250)
    assert "amount_tail" not in {check.name for check in bu.choose_arm(raw, threshold_of_caring=100.0).checks}


def test_the_seed_of_the_posterior_decides_the_figures() -> None:
    rng = np.random.default_rng(seed_of("again"))
    tree = bu.fit("hurdle_lognormal", cells_of([lognormal(rng, 300), lognormal(rng, 300)]), seed=1, draws=250)
    assert tail_check(tree) == tail_check(tree)


def test_a_posterior_that_says_nothing_of_amounts_has_no_such_check() -> None:
    draws = normal_draws([1.0, 2.0], 0.1, seed=1)
    assert tail_check(foreign(draws)) is None
    named = foreign(draws, segments=None)
    named["posterior"] = xr.DataTree(
        named["posterior"].to_dataset().assign(log_mean=(("chain", "draw"), draws[..., 0]), log_sd=1.0)
    )
    assert tail_check(named) is None
    with pytest.warns(bu.errors.DataWarning):
        nobody = cells_of([np.zeros(10), np.zeros(10)])
    assert tail_check(bu.fit("hurdle_lognormal", nobody, seed=1, draws=250)) is None


@pytest.mark.parametrize("sd", [0.3, 0.8, 1.5])
@pytest.mark.parametrize("k", [300, 3000])
def test_sums_of_the_largest_and_a_normal_rest_are_sums_of_all(k: int, sd: float) -> None:
    rng = np.random.default_rng(seed_of(f"sums {k} {sd}"))
    parameters = np.full((1, 1, 1), 2.0), np.full((1, 1, 1), sd)
    sums = replicated_sums(np.array([[k]]), *parameters, rng)
    every = np.exp(rng.normal(2.0, sd, (4000, k))).sum(axis=1)
    for q in (0.01, 0.1, 0.5, 0.9, 0.99):
        # two samples of 4,000 and more: 4 standard errors, and a hundredth for the rest that is not quite normal
        error = 4.0 * np.sqrt(2.0 * q * (1.0 - q) / 4000)
        assert sums.tails(np.ones(1), float(np.quantile(every, q)))[0] == pytest.approx(q, abs=error + 0.005)


@pytest.mark.parametrize("k", [40, 520])
def test_tails_given_the_logarithms_are_uniform_under_log_normal_amounts(k: int) -> None:
    found = []
    for world in range(50):
        rng = np.random.default_rng([seed_of("uniform"), k, world])
        y = rng.normal(4.0, 0.8, k)
        total, squares = np.array([[y.sum()]]), np.array([[k * y.var()]])
        sums = conditional_sums(np.array([[k]]), total, squares, rng)
        found.append(sums.tails(np.ones(1), float(np.exp(y).sum()))[0])
    assert stats.kstest(found, "uniform").pvalue > 1e-3
