"""Can the draws be trusted? Convergence of `mean_outcome`, each test with the sentence that a reader sees."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats

from bayesuplift.data.checks import Check
from bayesuplift.dims import ARM, CHAIN, DRAW, MEAN_OUTCOME, POSTERIOR, SAMPLE_STATS, UNIT
from bayesuplift.posterior.schema import is_closed_form, mean_outcome

# Vehtari, Gelman, Simpson, Carpenter and Buerkner (2021), Rank-normalization, folding, and localization, section 4.
LARGEST_R_HAT = 1.01
# Of one unit among very many, Gelman et al. (2013), BDA3, section 11.5: what the paper above tightened.
LARGEST_R_HAT_OF_A_UNIT = 1.1
_UNITS = 100
SMALLEST_ESS_PER_CHAIN = 100
# One chain has nothing to be compared with: four are the paper's advice, two the least that says anything.
FEWEST_CHAINS = 2
SUPERCHAINS = "superchains"
"""Root attribute of a posterior by many short chains: how many groups of neighbouring chains started at one point each."""


def monte_carlo_error(draws: xr.DataArray) -> xr.DataArray:
    """Monte Carlo standard error of the mean over (chain, draw): sd / sqrt(ESS), 0 where every draw is the same."""
    return _statistic(draws, array_stats.mcse, where_constant=0.0, method="mean")


def event_error(events: xr.DataArray, unseen: xr.DataArray | float) -> xr.DataArray:
    """Monte Carlo error of a mean of events over (chain, draw), such as a probability; `unseen` where all draws agree.

    An event that no draw, or every draw, shows is not known without error: of a probability, one in as many as there are
    effective draws may still be missing.
    """
    error = monte_carlo_error(events)
    return error.where(events.max((CHAIN, DRAW)) > events.min((CHAIN, DRAW)), unseen)


def quantile_error(draws: xr.DataArray, q: float) -> xr.DataArray:
    """Monte Carlo standard error of the q-quantile over (chain, draw), 0 where every draw is the same."""

    def apply(values: np.ndarray) -> np.ndarray:
        constant = values.max(axis=(-2, -1)) == values.min(axis=(-2, -1))
        spread = np.arange(values.shape[-2] * values.shape[-1], dtype=float).reshape(values.shape[-2:])
        safe = np.where(constant[..., None, None], spread, values)
        error = array_stats.mcse(safe, chain_axis=-2, draw_axis=-1, method="quantile", prob=q)
        return np.where(constant, 0.0, error)

    return xr.apply_ufunc(apply, draws.transpose(..., CHAIN, DRAW), input_core_dims=[[CHAIN, DRAW]])


def effective_draws(draws: xr.DataArray) -> xr.DataArray:
    """Number of independent draws that these are worth for the mean (bulk ESS), at most as many as there are."""
    every = float(draws.sizes[CHAIN] * draws.sizes[DRAW])
    return _statistic(draws, array_stats.ess, where_constant=every, method="bulk").clip(max=every)


def _statistic(
    draws: xr.DataArray, function: Callable[..., Any], *, where_constant: float, **options: Any
) -> xr.DataArray:
    """Apply one of arviz's array statistics over (chain, draw); they answer NaN for draws that are all the same."""

    def apply(values: np.ndarray) -> np.ndarray:
        constant = values.max(axis=(-2, -1)) == values.min(axis=(-2, -1))
        safe = np.where(constant[..., None, None], np.random.default_rng(0).random(values.shape[-2:]), values)
        return np.where(constant, where_constant, function(safe, chain_axis=-2, draw_axis=-1, **options))

    return xr.apply_ufunc(apply, draws.transpose(..., CHAIN, DRAW), input_core_dims=[[CHAIN, DRAW]])


def r_hat(draws: xr.DataArray, superchains: int = 0) -> xr.DataArray:
    """Rank-normalised split R-hat; of many short chains, in superchains that start at one point each, nested R-hat.

    Margossian et al. (2024), Nested R-hat: assessing the convergence of Markov chain Monte Carlo when running many short
    chains, Bayesian Analysis, equations 5 to 8: short chains tell little apart from each other, superchains do.
    """
    if not superchains:
        return _statistic(draws, array_stats.rhat, where_constant=np.inf)
    groups = np.repeat(np.arange(superchains), draws.sizes[CHAIN] // superchains)
    return _statistic(draws, array_stats.rhat_nested, where_constant=np.inf, superchain_ids=groups)


def diagnose(tree: xr.DataTree) -> list[Check]:
    """Convergence checks of a posterior; draws from a closed form are independent and need none.

    Of units their average is judged, with the same limits as any mean outcome, and beside it a hundred of them, evenly
    spread: these may be less exact, each being one of very many.

    Returns
    -------
    list of Check
        R-hat (at most 1.01; nested where chains are many and short), effective draws in bulk and tails (at least 100 a
        chain or superchain), R-hat of single units (at most 1.1) where there are any, divergences (none) where the sampler
        reports them, and at least two chains.
    """
    of_units = check_of_units(tree)
    return convergence(tree) + ([] if of_units is None else [of_units])


def convergence(tree: xr.DataTree) -> list[Check]:
    """The checks of `diagnose` that what is said of everybody rests on: all but that of single units."""
    if is_closed_form(tree):
        return []
    every = mean_outcome(tree)
    draws = every.mean(UNIT) if UNIT in every.dims else every
    chains = draws.sizes[CHAIN]
    # a mean outcome that is 0 in every draw is the origin that effects are told from, and nobody drew it
    moving = (draws != 0).any([dim for dim in draws.dims if dim != ARM])
    draws = draws.isel({ARM: np.flatnonzero(moving)}) if bool(moving.any()) else draws
    checks = []
    if chains < FEWEST_CHAINS:
        sentence = f"{chains} chain: convergence cannot be judged from one; draw at least {FEWEST_CHAINS}, better 4."
        return [Check(name="convergence", passed=False, facts={"chains": chains}, sentence=sentence)]
    superchains = int(tree.attrs.get(SUPERCHAINS, 0))
    worst = {
        "r_hat": float(r_hat(draws, superchains).max()),
        "ess_bulk": float(_statistic(draws, array_stats.ess, where_constant=0.0, method="bulk").min()),
        "ess_tail": float(
            _statistic(draws, array_stats.ess, where_constant=0.0, method="tail", prob=(0.05, 0.95)).min()
        ),
    }
    checks.append(
        Check(
            name="r_hat",
            passed=worst["r_hat"] <= LARGEST_R_HAT,
            facts={"largest": worst["r_hat"], "limit": LARGEST_R_HAT},
            sentence=f"Largest R-hat of the mean outcomes {worst['r_hat']:.4f}; chains agree at {LARGEST_R_HAT} or less.",
        )
    )
    needed = SMALLEST_ESS_PER_CHAIN * (superchains or chains)
    for part in ("bulk", "tail"):
        found = worst[f"ess_{part}"]
        checks.append(
            Check(
                name=f"effective_draws_{part}",
                passed=found >= needed,
                facts={"smallest": found, "limit": needed},
                sentence=f"Smallest number of effective draws ({part}) {found:.0f}; {needed} are needed.",
            )
        )
    stats = tree.children.get(SAMPLE_STATS)
    if stats is not None and "diverging" in stats.data_vars:
        divergences = int(stats["diverging"].sum())
        checks.append(
            Check(
                name="divergences",
                passed=divergences == 0,
                facts={"divergences": divergences, "draws": int(stats["diverging"].size)},
                sentence=f"{divergences} divergent transitions of {stats['diverging'].size}.",
            )
        )
    return checks


def check_of_units(tree: xr.DataTree) -> Check | None:
    """R-hat of units evenly spread over all; None where there are none, or one chain."""
    # not schema.mean_outcome: float64 of all units would be a copy of what may be the largest array there is
    draws = tree[POSTERIOR].to_dataset()[MEAN_OUTCOME].transpose(CHAIN, DRAW, ..., ARM)
    if UNIT not in draws.dims or draws.sizes[CHAIN] < FEWEST_CHAINS:
        return None
    superchains = int(tree.attrs.get(SUPERCHAINS, 0))
    places = np.unique(np.linspace(0, draws.sizes[UNIT] - 1, _UNITS).round().astype(int))
    found = r_hat(draws.isel({UNIT: places}).astype(np.float64), superchains)
    worst = float(found.max())
    return Check(
        name="r_hat_of_units",
        passed=worst <= LARGEST_R_HAT_OF_A_UNIT,
        facts={
            "largest": worst,
            "median": float(found.median()),
            "limit": LARGEST_R_HAT_OF_A_UNIT,
            "units": len(places),
        },
        sentence=(
            f"Largest R-hat of {len(places)} units' mean outcomes {worst:.3f}; chains agree about a unit at "
            f"{LARGEST_R_HAT_OF_A_UNIT} or less."
        ),
    )
