"""With a propensity, too, a program and its twin have the same log density, up to a constant, at random points."""

import functools
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from numpyro import handlers
from numpyro.infer.util import log_density
from scipy.special import gammaln

import bayesuplift as bu
from bayesuplift.data.cells import Cells
from bayesuplift.inference.compilation import jitted
from bayesuplift.inference.density import conditioned, given
from bayesuplift.inference.session import jax_session
from bayesuplift.spec import Given, registered
from tests.support.catalogue import twin_model
from tests.support.examples import SEGMENTS
from tests.support.worlds import seed_of

pytestmark = [
    # as for the twins without a propensity
    pytest.mark.filterwarnings(r"ignore:\s*ArviZ is undergoing a major refactor:FutureWarning"),
    pytest.mark.filterwarnings("ignore:PyTensor could not link to a BLAS installation:UserWarning"),
    pytest.mark.filterwarnings("ignore:.* of .* segments lack an arm:bayesuplift.errors.DataWarning"),
]

NAMES = {"partial_pooling_binary": "binary", "partial_pooling_normal": "continuous"}
POINTS = 30
ROUNDINGS = 256  # as for the twins without a propensity
SMALLEST_FAULT = 0.01


def units() -> pd.DataFrame:
    """Units of two arms, of both kinds of outcome; propensities that differ between segments and within them."""
    rng = np.random.default_rng(seed_of("twins with a propensity"))
    segment = np.repeat(np.arange(len(SEGMENTS)), rng.integers(3, 9, len(SEGMENTS)))
    log_odds = rng.normal(0.0, 1.0, len(SEGMENTS))[segment] + rng.normal(0.0, 0.5, len(segment))
    arm = (rng.random(len(segment)) < 1.0 / (1.0 + np.exp(-log_odds))).astype(int)
    binary = (rng.random(len(segment)) < 0.3).astype(float)
    return pd.DataFrame(
        {
            "segment": segment,
            "arm": arm,
            "log_odds": log_odds,
            "binary": binary,
            "continuous": 20.0 + 0.5 * log_odds + arm + rng.normal(0.0, 2.0, len(segment)),
        }
    )


def cells_of(name: str) -> Cells:
    table = units()
    factors = {str(factor): SEGMENTS[factor].to_numpy()[table["segment"]] for factor in SEGMENTS}
    arm, p = np.array(["a", "b"])[table["arm"]], 1.0 / (1.0 + np.exp(-table["log_odds"]))
    rows = table.drop(columns=["segment"]).assign(arm=arm, p=p, **factors)
    kind = NAMES[name]
    return bu.read_cells(rows, arm="arm", control="a", outcome=kind, kind=kind, segments=list(factors), propensity="p")


@functools.cache
def points_and_densities(name: str) -> tuple[list[dict[str, np.ndarray]], np.ndarray]:
    """Points from the program's prior, of many those of the highest density, and their log densities."""
    spec, cells = registered()[name], cells_of(name)
    data, program = given(spec, cells), conditioned(spec)
    prior = Given.of_prior(spec.default_prior.resolved(cells))

    def dealt(key: jax.Array) -> tuple[dict[str, jax.Array], jax.Array]:
        trace = handlers.trace(handlers.seed(program, key)).get_trace(data, prior=prior)
        values = {
            site: one["value"] for site, one in trace.items() if one["type"] == "sample" and not one["is_observed"]
        }
        return values, log_density(program, (data,), {"prior": prior}, values)[0]

    with jax_session():
        values, densities = jitted(jax.vmap(dealt), once=True)(
            jax.random.split(jax.random.key(seed_of(name)), 10 * POINTS)
        )
    best = np.argsort(densities)[-POINTS:]
    return [{site: np.array(drawn[k]) for site, drawn in values.items()} for k in best], np.asarray(densities)[best]


def twin_densities(name: str, **changed: Any) -> np.ndarray:
    """Log densities of the twin at the same points, in the space of the sites."""
    from pymc.model.transform.conditioning import remove_value_transforms  # noqa: PLC0415 -- seconds, here only

    cells, table = cells_of(name), units()
    prior = registered()[name].default_prior.resolved(cells)
    of_units = {column: table[column].to_numpy() for column in ("segment", "arm", "log_odds")}
    known: dict[str, Any] = {"propensity": prior.propensity} | (
        {"propensity_log_odds_total": cells.propensity_log_odds_total}
        if NAMES[name] == "binary"
        else of_units | {"outcome": table["continuous"].to_numpy()}
    )
    model = remove_value_transforms(twin_model(name, cells, **(known | changed)))
    compiled = model.compile_logp(jacobian=False, mode="FAST_COMPILE")  # for a few points no C
    every, _ = points_and_densities(name)
    wanted = {variable.name for variable in model.value_vars}
    return np.array([compiled({site: value for site, value in point.items() if site in wanted}) for point in every])


@pytest.mark.parametrize("name", NAMES)
def test_program_and_twin_differ_by_a_constant(name: str) -> None:
    every, ours = points_and_densities(name)
    assert "propensity_slope" in every[0]
    largest = float(abs(ours).max() + gammaln(cells_of(name).n + 1.0).sum())
    tolerance = ROUNDINGS * float(np.finfo(np.float64).eps) * largest
    assert np.ptp(ours - twin_densities(name)) < tolerance < SMALLEST_FAULT / 10


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", ["slope ignored", "one unit moved", "prior half as wide"])
def test_a_twin_that_treats_the_propensity_otherwise_is_rejected(name: str, fault: str) -> None:
    cells = cells_of(name)
    binary = NAMES[name] == "binary"
    column = "propensity_log_odds_total" if binary else "log_odds"
    known = cells.propensity_log_odds_total if binary else units()["log_odds"].to_numpy()

    moved = np.array(known)
    moved.flat[0] += 1.0
    scale = registered()[name].default_prior.resolved(cells).propensity
    changed: dict[str, Any] = {
        "slope ignored": {column: np.zeros_like(known)},
        "one unit moved": {column: moved},
        "prior half as wide": {"propensity": scale / 2},
    }[fault]
    _, ours = points_and_densities(name)
    assert np.ptp(ours - twin_densities(name, **changed)) > SMALLEST_FAULT
