"""Does the stated wrong-sign probability come true? Worlds of past experiments, learned from, then new ones decided.

Run from the project's root; makes the table of the card, in about ten minutes:

    .venv/bin/python models/portfolio/wrong_sign.py
"""

import argparse
import math
import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import ndtr

from bayesuplift.data.effects import Effects
from bayesuplift.inference.portfolio import draw_hyperparameters
from bayesuplift.inference.t_likelihood import log_likelihood, mixture
from bayesuplift.priors import PortfolioPrior

Array = NDArray[np.float64]
Components = tuple[Array, Array, Array]

SEED = 20200520
COLLAPSED = 1e-3
SPIKES = 0.1
PAST = (20, 50, 200, 1000)
NEW = 4000
KEPT = 400  # hyperparameter draws that decide
CELLS = 160  # of log variance, from exp(-25) in steps of a quarter
CERTAIN = 0.95


def normal(generator: np.random.Generator, size: int) -> Array:
    """Effects from Normal(0, 0.02) on the log ratio."""
    return 0.02 * generator.standard_normal(size)


def heavy(generator: np.random.Generator, size: int) -> Array:
    """Effects from a t distribution with 3 degrees of freedom and scale 0.012 (standard deviation 0.021)."""
    return 0.012 * generator.standard_t(3, size)


def spike(generator: np.random.Generator, size: int) -> Array:
    """One effect in ten from Normal(0, 0.05), the others next to nothing: Normal(0, 0.002)."""
    return np.where(generator.random(size) < SPIKES, 0.05, 0.002) * generator.standard_normal(size)


WORLDS: dict[str, Callable[[np.random.Generator, int], Array]] = {"normal": normal, "t3": heavy, "spike": spike}


def experiments(world: str, generator: np.random.Generator, size: int) -> tuple[Array, Array, Array]:
    """True effects, their estimates, and standard errors log-uniform from 0.01 to 0.05."""
    effect = WORLDS[world](generator, size)
    error = np.exp(generator.uniform(math.log(0.01), math.log(0.05), size))
    return effect, effect + error * generator.standard_normal(size), error


def learned(draws: tuple[Array, Array, Array]) -> Components:
    """Means, variances and weights of the normals that the learned prior of a new effect is a mixture of.

    Components of all hyperparameter draws are gathered in cells of mean and log variance, each at its centre of gravity.
    """
    bins = np.digitize(draws[0], np.quantile(draws[0], np.linspace(0.0, 1.0, 13)[1:-1]))
    gathered = np.zeros((12, CELLS, 3))
    for mean, scale, inverse_df, place in zip(*draws, bins, strict=True):
        nodes, shares = mixture(float(inverse_df), 6.0)
        log_variance = 2.0 * math.log(scale) + nodes
        cell = np.clip(((log_variance + 25.0) / 0.25).astype(int), 0, CELLS - 1)
        for k, values in enumerate((shares, shares * mean, shares * log_variance)):
            np.add.at(gathered[place, :, k], cell, values)
    weight, mean, log_variance = gathered.reshape(-1, 3).T[:, gathered[:, :, 0].ravel() > 1e-9 * KEPT]
    return mean / weight, np.exp(log_variance / weight), weight / weight.sum()


def plug_in(effects: Effects) -> float:
    """Scale of normal effects about 0 at the greatest marginal likelihood: what collapses."""

    def negative(log_scale: float) -> float:
        return -float(log_likelihood(effects, np.zeros(1), np.exp([log_scale]), np.zeros(1)).item())

    top = minimize_scalar(negative, bounds=(math.log(1e-6), math.log(1.0)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(top.x))


def prob_positive(components: Components, estimate: Array, error: Array) -> Array:
    """P(effect > 0 | estimate) under a mixture of normals."""
    mean, variance, weight = (part[None, :] for part in components)
    noise = error[:, None] ** 2
    total = noise + variance
    log_weight = np.log(weight) - 0.5 * np.log(total) - 0.5 * (estimate[:, None] - mean) ** 2 / total
    weights = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    shrunk = (mean * noise + estimate[:, None] * variance) / total
    above = ndtr(shrunk / np.sqrt(variance * noise / total))
    return np.asarray((weights * above).sum(axis=1) / weights.sum(axis=1))


def wrong_signs(components: Components, world: str, generator: np.random.Generator) -> tuple[int, float, int]:
    """Number of new tests decided, their stated probabilities of the wrong sign added up, and how many have it."""
    effect, estimate, error = experiments(world, generator, NEW)
    above = prob_positive(components, estimate, error)
    decided = np.maximum(above, 1.0 - above) > CERTAIN
    stated = np.minimum(above, 1.0 - above)[decided].sum()
    wrong = ((above > CERTAIN) != (effect > 0))[decided].sum()
    return int(decided.sum()), float(stated), int(wrong)


def simulate(
    world: str, past: int, portfolios: int, seed: int, prior: PortfolioPrior | None = None, *, widened: float = 1.0
) -> dict[str, Array]:
    """By portfolio: `decided`, `stated`, `wrong` (sums over new tests), `plug_in` scale; posterior `lower` (5%), `median`.

    Parameters
    ----------
    world
        Name of a world.
    past
        Number of past experiments in a portfolio.
    portfolios
        How many.
    seed
        Seed.
    prior
        The prior; the default if left out.
    widened
        Factor by which what was learned is made wider than it is: a fault, for tests.
    """
    generator = np.random.default_rng([seed, past, list(WORLDS).index(world)])
    found = []
    for _ in range(portfolios):
        _, estimate, error = experiments(world, generator, past)
        effects = Effects([str(k) for k in range(past)], estimate, error, "log_ratio")
        draws = draw_hyperparameters(effects, prior or PortfolioPrior(), generator, 4 * KEPT)
        components = learned((draws[0][:KEPT], draws[1][:KEPT], draws[2][:KEPT]))
        components = (components[0], widened**2 * components[1], components[2])
        found.append(
            (*wrong_signs(components, world, generator), plug_in(effects), *np.quantile(draws[1], [0.05, 0.5]))
        )
    names = ("decided", "stated", "wrong", "plug_in", "lower", "median")
    return dict(zip(names, np.array(found).T, strict=True))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--portfolios", type=int, default=200)
    parser.add_argument("--past", type=int, nargs="*", default=PAST)
    options = parser.parse_args()
    write = sys.stdout.write
    write(
        "| world | past tests | decided | stated wrong sign | real | difference | "
        "plug-in scale below 0.001 | lowest posterior median of the scale |\n"
    )
    write("|---|---|---|---|---|---|---|---|\n")
    for world in WORLDS:
        for past in options.past:
            found = simulate(world, past, options.portfolios, SEED)
            decided, stated, wrong = (found[name].sum() for name in ("decided", "stated", "wrong"))
            gap = found["stated"] - found["wrong"]
            error = gap.std(ddof=1) * math.sqrt(gap.size) / decided
            write(
                f"| {world} | {past} | {decided / (NEW * gap.size):.1%} | {stated / decided:.2%} | {wrong / decided:.2%} | "
                f"{100 * gap.sum() / decided:+.2f} ± {100 * error:.2f} pp | "
                f"{(found['plug_in'] < COLLAPSED).mean():.0%} | {found['median'].min():.4f} |\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
