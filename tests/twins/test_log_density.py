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
from bayesuplift.inference.compilation import jitted
from bayesuplift.inference.density import conditioned, given
from bayesuplift.inference.session import jax_session
from bayesuplift.priors import RatePrior
from bayesuplift.spec import Given, registered
from tests.support.catalogue import NAMES, draws_of, latent_sites, observed_sites, resolved_prior, twin_model
from tests.support.examples import example
from tests.support.mcse import assert_within_mcse
from tests.support.worlds import binary_cells, seed_of

pytestmark = [
    # ArviZ 0.23, which PyMC 5 imports, announces its own refactoring once a process.
    pytest.mark.filterwarnings(r"ignore:\s*ArviZ is undergoing a major refactor:FutureWarning"),
    # PyTensor from a wheel looks for a BLAS when it sees a product of matrices, however small, and finds none.
    pytest.mark.filterwarnings("ignore:PyTensor could not link to a BLAS installation:UserWarning"),
]

POINTS = 50
DRAWN = 400
# Each side sums terms of the size of its log density and of log n! in float64; a wrong exponent or datum moves the
# difference by 0.1 and more over these points.
ROUNDINGS = 256
LOG_BETAS = {"exchangeable_rates": 14, "negative_binomial": 220}
"""How many log beta functions of the parameters (cells, units) a program's density holds."""
LOG_BETA_ERROR = 1.5e-6  # of JAX 0.10's betaln from 8 on, in float64 too; SciPy's is off by 1e-14 there
SMALLEST_FAULT = 0.01

Point = dict[str, np.ndarray]


@functools.cache
def compiled(name: str) -> Callable[[Point, Given, Given], jax.Array]:
    """Log joint densities of a batch of points, compiled once for all data of a shape and all priors of a kind."""
    program = conditioned(registered()[name])

    def one(point: Point, data: Given, prior: Given) -> jax.Array:
        return log_density(program, (data,), {"prior": prior}, point)[0]

    return jitted(jax.vmap(one, in_axes=(0, None, None)), once=True)


@functools.cache
def points(name: str) -> Point:
    """Parameter points (point, ...) from the prior of the program: of many, those of the highest density.

    A vague prior deals most points far from where any data could lie, where terms are so large that their rounding hides
    a difference.
    """
    spec = registered()[name]
    data = given(spec, example(name))
    program, prior = conditioned(spec), Given.of_prior(resolved_prior(name))
    sites = latent_sites(name)

    def dealt(key: jax.Array) -> dict[str, jax.Array]:
        trace = handlers.trace(handlers.seed(program, key)).get_trace(data, prior=prior)
        return {site: trace[site]["value"] for site in sites}

    with jax_session():
        drawn = jitted(jax.vmap(dealt), once=True)(jax.random.split(jax.random.key(seed_of(name)), DRAWN))
        values = {site: np.asarray(every) for site, every in drawn.items()}
        batches = np.arange(DRAWN).reshape(-1, POINTS)
        densities = np.concatenate([compiled(name)(some(values, batch), data, prior) for batch in batches])
    return some(values, np.argsort(np.where(np.isfinite(densities), densities, -np.inf))[-POINTS:])


def some(values: Point, places: np.ndarray) -> Point:
    return {site: every[places] for site, every in values.items()}


def program_density(name: str, known: Given | None = None, prior: Any = None) -> np.ndarray:
    """Log joint density (point,) of data and latent sites, in the space of the sites themselves."""
    known = given(registered()[name], example(name)) if known is None else known
    with jax_session():
        numbers = Given.of_prior(resolved_prior(name) if prior is None else prior)
        return np.asarray(compiled(name)(points(name), known, numbers))


@functools.cache
def twin_density(name: str) -> np.ndarray:
    """The same of the twin, its transforms taken off: one parametrisation for both, and no Jacobian."""
    from pymc.model.transform.conditioning import remove_value_transforms  # noqa: PLC0415 -- seconds, here only

    model = remove_value_transforms(twin_model(name))
    density = model.compile_logp(jacobian=False, mode="FAST_COMPILE")  # for fifty points no C
    every = points(name)
    return np.array([float(density({site: np.array(every[site][k]) for site in every})) for k in range(POINTS)])


def spread_of_differences(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Range over the points of the difference between the log densities: 0 where they differ by a constant."""
    differences = ours - theirs
    assert np.isfinite(differences).all()
    return float(np.ptp(differences))


def tolerance(name: str) -> float:
    """Rounding of the largest log density, of log n! where a likelihood has it, and of what cancels near Poisson's law."""
    data = example(name)
    largest = float(np.abs(program_density(name)).max())
    factorials = float(gammaln(data.n + 1.0).sum()) if isinstance(data, Cells) else 0.0
    rounding = float(np.finfo(np.float64).eps) * (ROUNDINGS * (largest + factorials) + cancelled(name))
    return rounding + LOG_BETA_ERROR * LOG_BETAS.get(name, 0)


def cancelled(name: str) -> float:
    """Sum over units of r log r, r the largest size of the points' negative binomial laws; 0 of other models.

    Log densities of counts take log Gamma(r) and r log r, which all but cancel where r is large.
    """
    smallest = float(np.min(points(name).get("overdispersion", np.inf)))
    data, size = example(name), smallest**-2
    return float(data.n.sum()) * size * np.log(size) if isinstance(data, Cells) and size > 1.0 else 0.0


@pytest.mark.parametrize("name", NAMES)
def test_program_and_twin_differ_by_a_constant(name: str) -> None:
    assert spread_of_differences(program_density(name), twin_density(name)) < tolerance(name) < SMALLEST_FAULT / 10


@pytest.mark.parametrize("name", NAMES)
def test_a_twin_of_the_weak_alternative_is_rejected(name: str) -> None:
    other = resolved_prior(name).alternatives(example(name))["weak"]
    assert spread_of_differences(program_density(name, prior=other), twin_density(name)) > SMALLEST_FAULT


@pytest.mark.parametrize(("name", "site"), [(name, site) for name in NAMES for site in observed_sites(name)])
def test_a_twin_of_other_data_is_rejected(name: str, site: str) -> None:
    moved = given(registered()[name], example(name))
    values = np.array(moved.values[site])
    values.flat[0] += 1.0 if values.dtype.kind == "i" or site == "value" else 0.01 * abs(values.flat[0]) + 0.01
    moved.values[site] = values
    assert spread_of_differences(program_density(name, moved), twin_density(name)) > SMALLEST_FAULT


def swapped_arms(cells: Cells) -> Cells:
    return replace(cells, statistics=cells.statistics.isel(arm=[0, 2, 1]).assign_coords(arm=list(cells.design.arms)))


def one_more_visit(cells: Cells) -> Cells:
    more = xr.DataArray([1, 0, 0], dims="arm", coords={"arm": list(cells.design.arms)})
    return replace(cells, statistics=cells.statistics.assign(total=cells.statistics["total"] + more))


def one_more_customer(cells: Cells) -> Cells:
    more = xr.DataArray([0, 0, 1], dims="arm", coords={"arm": list(cells.design.arms)})
    return replace(cells, statistics=cells.statistics.assign(n=cells.statistics["n"] + more))


@pytest.mark.parametrize("fault", [swapped_arms, one_more_visit, one_more_customer])
def test_a_twin_of_other_counts_is_rejected(fault: Callable[[Cells], Cells]) -> None:
    cells = example("beta_binomial")
    assert isinstance(cells, Cells)
    wrong = program_density("beta_binomial", given(registered()["beta_binomial"], fault(cells)))
    assert spread_of_differences(wrong, twin_density("beta_binomial")) > 0.1


@pytest.mark.parametrize("prior", [RatePrior(2.0, 1.0), RatePrior(1.0, 2.0), RatePrior(1.1, 1.0)])
def test_a_twin_under_another_prior_is_rejected(prior: RatePrior) -> None:
    wrong = program_density("beta_binomial", prior=prior)
    assert spread_of_differences(wrong, twin_density("beta_binomial")) > 0.1


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
