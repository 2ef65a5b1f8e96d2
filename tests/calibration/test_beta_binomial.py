"""beta_binomial keeps its promises: calibrated under its own prior, through the closed form and through NUTS.

A world is a segment of its own: its rates are drawn from the program's prior, its totals from the program's likelihood, and
cells of the model are independent given the data, so that one fit answers for all worlds.
"""

from collections.abc import Callable
from typing import Any, Final

import jax
import numpy as np
import pytest
from numpyro import handlers
from scipy.stats import binom, binomtest

import bayesuplift as bu
from bayesuplift.data.cells import Cells
from bayesuplift.inference.session import jax_session
from bayesuplift.models.beta_binomial import beta_binomial
from bayesuplift.posterior.schema import mean_outcome
from tests.support.sbc import FAMILY_LEVEL, miscalibrated, ranks
from tests.support.worlds import binary_cells, seed_of

WORLDS, DRAWS = 600, 63
# Few units, so that a wrong prior shows; unlike numbers, so that swapped arms do.
UNITS: Final = (4, 9, 15)

Draws = np.ndarray
Fault = Callable[[Cells], Draws]


def simulated(worlds: int, seed: int) -> tuple[np.ndarray, Cells]:
    """True rates (world, arm) from the prior of the program, and the cells that its likelihood makes of them."""
    template = binary_cells(np.tile(UNITS, (worlds, 1)), np.zeros((worlds, len(UNITS))))
    with jax_session():
        trace = handlers.trace(handlers.seed(beta_binomial, jax.random.key(seed))).get_trace(template)
        rate, total = np.asarray(trace["rate"]["value"]), np.asarray(trace["total"]["value"])
    return rate, binary_cells(template.n, total.astype(np.int64))


def posterior_draws(cells: Cells, seed: int = 1, **options: Any) -> Draws:
    """Draws (draw, world, arm) through the public entry."""
    tree = bu.fit("beta_binomial", cells, seed=seed, **({"chains": 1, "draws": DRAWS} | options))
    return mean_outcome(tree).values.reshape(-1, *cells.n.shape)


def log_likelihood(rate: np.ndarray, cells: Cells) -> np.ndarray:
    """Log p(totals | rates) of every world, (..., world)."""
    return np.asarray(binom.logpmf(cells.total, cells.n, rate)).sum(axis=-1)


def quantities(truth: np.ndarray, draws: Draws, cells: Cells) -> dict[str, np.ndarray]:
    """Ranks (world,) of the rate of every arm, and of the log likelihood."""
    found = ranks(truth, draws)
    by_arm = {f"rate of {arm}": found[:, k] for k, arm in enumerate(cells.design.arms)}
    return by_arm | {"log likelihood": ranks(log_likelihood(truth, cells), log_likelihood(draws, cells))}


@pytest.fixture(scope="module")
def worlds() -> tuple[np.ndarray, Cells]:
    return simulated(WORLDS, seed_of("worlds of beta_binomial"))


def test_the_closed_form_is_calibrated(worlds: tuple[np.ndarray, Cells]) -> None:
    truth, cells = worlds
    assert miscalibrated(quantities(truth, posterior_draws(cells), cells), DRAWS) == {}


def under(alpha: float, beta: float) -> Fault:
    return lambda cells: posterior_draws(cells, prior=bu.RatePrior(alpha, beta))


def with_arms_swapped(cells: Cells) -> Draws:
    return posterior_draws(cells)[..., [0, 2, 1]]


def without_the_data(cells: Cells) -> Draws:
    return np.random.default_rng(seed_of("prior only")).random((DRAWS, *cells.n.shape))


def with_half_the_spread(cells: Cells) -> Draws:
    draws = posterior_draws(cells)
    return draws.mean(0) + 0.5 * (draws - draws.mean(0))


@pytest.mark.parametrize(
    ("fault", "seen_in"),
    [
        (under(2, 1), "rate of a"),
        (under(1, 2), "rate of a"),
        (under(2, 2), "rate of a"),
        (under(5, 5), "rate of c"),
        (with_arms_swapped, "rate of b"),
        (with_half_the_spread, "rate of a"),
        (without_the_data, "log likelihood"),
    ],
    ids=["alpha doubled", "beta doubled", "both doubled", "sharpened", "arms swapped", "too sure", "data ignored"],
)
def test_a_posterior_with_a_fault_is_rejected(worlds: tuple[np.ndarray, Cells], fault: Fault, seen_in: str) -> None:
    truth, cells = worlds
    assert seen_in in miscalibrated(quantities(truth, fault(cells), cells), DRAWS)


def test_only_the_log_likelihood_sees_that_the_data_were_ignored(worlds: tuple[np.ndarray, Cells]) -> None:
    truth, cells = worlds
    assert list(miscalibrated(quantities(truth, without_the_data(cells), cells), DRAWS)) == ["log likelihood"]


def coverage(truth: np.ndarray, cells: Cells, prob: float, **options: Any) -> dict[str, tuple[int, int]]:
    """How many intervals hold the truth, and of how many: of rates, and of differences from the control."""
    tree = bu.fit("beta_binomial", cells, seed=1, **options)
    table = bu.choose_arm(tree, threshold_of_caring=0.01, prob=prob).table
    inside = {}
    for name, true in (("mean_outcome", truth), ("difference", truth - truth[:, [0]])):
        lower, upper = (table[f"{name}_{end}"].transpose("segment", "arm").values for end in ("lower", "upper"))
        held = (lower <= true) & (true <= upper)
        for k, arm in enumerate(cells.design.arms):
            if (name, k) != ("difference", 0):
                inside[f"{name} of {arm}"] = (int(held[:, k].sum()), held.shape[0])
    return inside


def off(counts: dict[str, tuple[int, int]], prob: float) -> list[str]:
    """Intervals that hold the truth too seldom or too often for binomial counts; the level is shared between them."""
    level = FAMILY_LEVEL / len(counts)
    return [name for name, (held, of) in counts.items() if binomtest(held, of, prob).pvalue < level]


@pytest.mark.parametrize("prob", [0.5, 0.9])
def test_intervals_hold_the_truth_as_often_as_they_say(worlds: tuple[np.ndarray, Cells], prob: float) -> None:
    truth, cells = worlds
    assert off(coverage(truth, cells, prob), prob) == []


@pytest.mark.parametrize("prob", [0.5, 0.9])
def test_intervals_of_a_sharpened_prior_are_caught(worlds: tuple[np.ndarray, Cells], prob: float) -> None:
    truth, cells = worlds
    assert "mean_outcome of a" in off(coverage(truth, cells, prob, prior=bu.RatePrior(6, 6)), prob)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(3))
def test_nuts_is_calibrated(part: int) -> None:
    """Three fits of 200 worlds: the sampler tunes itself to 600 rates at once, each against its own truth."""
    truth, cells = simulated(200, seed_of(f"NUTS, part {part}"))
    tree = bu.fit("beta_binomial", cells, seed=part, engine="nuts", chains=4, draws=1000, warmup=1000, progress=False)
    assert int(tree["sample_stats"]["diverging"].sum()) == 0
    every, kept = mean_outcome(tree), 96
    thinned = every.isel(draw=slice(None, None, every.sizes["chain"] * every.sizes["draw"] // kept))
    draws = thinned.values.reshape(-1, *cells.n.shape)
    assert miscalibrated(quantities(truth, draws, cells), len(draws)) == {}
    wrong = draws.mean(0) + 0.5 * (draws - draws.mean(0))
    assert miscalibrated(quantities(truth, wrong, cells), len(draws))


@pytest.mark.slow
def test_separate_fits_by_nuts_are_calibrated() -> None:
    """A world a fit, so that warm-up is part of what is judged; each compiles anew, hence so few."""
    found, likelihoods = [], []
    for world in range(40):
        truth, cells = simulated(1, seed_of(f"separate world {world}"))
        draws = posterior_draws(cells, seed=world, engine="nuts", chains=2, draws=320, warmup=400, progress=False)[::10]
        found.append(ranks(truth, draws)[0])
        likelihoods.append(ranks(log_likelihood(truth, cells), log_likelihood(draws, cells))[0])
    by_arm = {f"rate of arm {k}": column for k, column in enumerate(np.array(found).T)}
    assert miscalibrated(by_arm | {"log likelihood": np.array(likelihoods)}, 64) == {}
