"""A program and its twin have the same log density, up to a constant, at random points."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
import xarray as xr
from numpyro import handlers
from numpyro.infer.util import log_density
from scipy.special import gammaln

from bayesuplift.data.cells import Cells
from bayesuplift.inference.density import conditioned
from bayesuplift.inference.session import jax_session
from bayesuplift.priors import RatePrior
from bayesuplift.spec import registered
from tests.support.catalogue import NAMES, draws_of, program_priors, twin_model
from tests.support.mcse import assert_within_mcse
from tests.support.worlds import binary_cells, example, seed_of

# ArviZ 0.23, which PyMC 5 imports, announces its own refactoring once a process.
pytestmark = pytest.mark.filterwarnings(r"ignore:\s*ArviZ is undergoing a major refactor:FutureWarning")

POINTS = 50
# Each side sums terms as large as log n! in float64; a wrong exponent or datum moves the difference by 0.1 and more over
# these points.
ROUNDINGS = 64

Point = dict[str, np.ndarray]


def points(name: str) -> list[Point]:
    """Parameter points from the prior of the program, away from the corners that float64 cannot tell from 0 and 1."""
    spec = registered()[name]
    cells = example(spec.outcome)
    found = []
    with jax_session():
        for key in jax.random.split(jax.random.key(seed_of(name)), POINTS):
            trace = handlers.trace(handlers.seed(conditioned(spec, cells), key)).get_trace(cells)
            found.append({site: np.asarray(trace[site]["value"]) for site in program_priors(spec, cells)})
    return found


def program_density(name: str, cells: Cells, **options: Any) -> Callable[[Point], float]:
    """Log joint density of data and latent sites, in the space of the sites themselves."""
    program = conditioned(registered()[name], cells)
    return lambda point: float(log_density(program, (cells,), options, point)[0])


@functools.cache
def twin_density(name: str) -> Callable[[Point], float]:
    """The same of the twin, its transforms taken off: one parametrisation for both, and no Jacobian."""
    from pymc.model.transform.conditioning import remove_value_transforms  # noqa: PLC0415 -- seconds, here only

    model = remove_value_transforms(twin_model(name, example(registered()[name].outcome)))
    compiled = model.compile_logp(jacobian=False)
    return lambda point: float(compiled(point))


def spread_of_differences(ours: Callable[[Point], float], theirs: Callable[[Point], float], name: str) -> float:
    """Range over the points of the difference between the log densities: 0 where they differ by a constant."""
    with jax_session():
        differences = [ours(point) - theirs(point) for point in points(name)]
    assert np.isfinite(differences).all()
    return float(np.ptp(differences))


def tolerance(name: str) -> float:
    cells = example(registered()[name].outcome)
    with jax_session():
        ours = program_density(name, cells)
        largest = max(abs(ours(point)) for point in points(name))
    return ROUNDINGS * float(np.finfo(np.float64).eps) * (largest + float(gammaln(cells.n + 1.0).sum()))


@pytest.mark.parametrize("name", NAMES)
def test_program_and_twin_differ_by_a_constant(name: str) -> None:
    ours = program_density(name, example(registered()[name].outcome))
    assert spread_of_differences(ours, twin_density(name), name) < tolerance(name) < 1e-6


def swapped_arms(cells: Cells) -> Cells:
    return replace(cells, statistics=cells.statistics.isel(arm=[0, 2, 1]).assign_coords(arm=list(cells.design.arms)))


def one_more_visit(cells: Cells) -> Cells:
    more = xr.DataArray([1, 0, 0], dims="arm", coords={"arm": list(cells.design.arms)})
    return replace(cells, statistics=cells.statistics.assign(total=cells.statistics["total"] + more))


def one_more_customer(cells: Cells) -> Cells:
    more = xr.DataArray([0, 0, 1], dims="arm", coords={"arm": list(cells.design.arms)})
    return replace(cells, statistics=cells.statistics.assign(n=cells.statistics["n"] + more))


@pytest.mark.parametrize("fault", [swapped_arms, one_more_visit, one_more_customer])
def test_a_twin_of_other_data_is_rejected(fault: Callable[[Cells], Cells]) -> None:
    wrong = program_density("beta_binomial", fault(example("binary")))
    assert spread_of_differences(wrong, twin_density("beta_binomial"), "beta_binomial") > 0.1


@pytest.mark.parametrize("prior", [RatePrior(2.0, 1.0), RatePrior(1.0, 2.0), RatePrior(1.1, 1.0)])
def test_a_twin_under_another_prior_is_rejected(prior: RatePrior) -> None:
    wrong = program_density("beta_binomial", example("binary"), prior=prior)
    assert spread_of_differences(wrong, twin_density("beta_binomial"), "beta_binomial") > 0.1


def test_the_twin_draws_its_prior_and_its_data_as_the_card_says() -> None:
    import pymc  # noqa: PLC0415 -- seconds, here only

    cells = binary_cells([10, 1000], [3, 200])
    trace = pymc.sample_prior_predictive(
        draws=4000,
        model=twin_model("beta_binomial", cells, alpha=2.0, beta=6.0),
        random_seed=seed_of("prior of the twin"),
    )
    rate, total = (draws_of(trace, site, group) for site, group in (("rate", "prior"), ("total", "prior_predictive")))
    assert_within_mcse(rate, 0.25, comparisons=3)
    assert_within_mcse((rate - 0.25) ** 2, 2 * 6 / (8**2 * 9), comparisons=3)
    assert_within_mcse(total - rate * cells.n, 0.0, comparisons=3)
