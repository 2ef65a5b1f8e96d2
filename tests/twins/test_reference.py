"""Posterior means and deviations agree with the reference, a long run of the twin, within Monte Carlo error."""

from typing import Any

import numpy as np
import pytest

from bayesuplift.inference.fit import Engine
from bayesuplift.posterior.closed_form import parameters
from tests.support.catalogue import NAMES, NAMES_AND_ENGINES, draws_of, fitted, reference
from tests.support.examples import example
from tests.support.mcse import assert_within_mcse

MEAN_AND_VARIANCE = 2
REFERENCE_ERRORS = 5.0  # one in 1.7 million for each of six comparisons with an exact value


def site_of(name: str, site: str) -> dict[str, np.ndarray]:
    return {key: np.asarray(values) for key, values in reference(name)["sites"][site].items()}


def assert_agrees(draws: Any, found: dict[str, np.ndarray], *, comparisons: int = 1) -> None:
    family = MEAN_AND_VARIANCE * comparisons
    assert_within_mcse(draws, found["mean"], found["mcse_mean"], comparisons=family)
    # The mean square about the reference mean is the variance plus that mean's squared error, which is far below both
    # errors; d(sd^2) = 2 sd d(sd).
    squares = (draws - found["mean"]) ** 2
    assert_within_mcse(squares, found["sd"] ** 2, 2 * found["sd"] * found["mcse_sd"], comparisons=family)


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_is_of_the_data_that_the_tests_fit(name: str) -> None:
    found, data = reference(name)["data"], example(name)
    assert tuple(found["arm"]) == data.design.arms
    for statistic in data.statistics.data_vars:
        np.testing.assert_allclose(found[statistic], data.statistics[statistic].values, rtol=1e-12)


@pytest.mark.parametrize(("name", "engine"), NAMES_AND_ENGINES)
def test_draws_agree_with_the_reference(name: str, engine: Engine) -> None:
    tree, sites = fitted(name, engine), reference(name)["sites"]
    for site in sites:
        assert_agrees(draws_of(tree, site), site_of(name, site), comparisons=len(sites))


def test_the_closed_form_agrees_with_the_reference() -> None:
    alpha, beta = parameters(fitted("beta_binomial", "closed_form"))
    mean = alpha / (alpha + beta)
    sd = np.sqrt(mean * (1 - mean) / (alpha + beta + 1))
    found = site_of("beta_binomial", "rate")
    assert (abs(mean - found["mean"]) < REFERENCE_ERRORS * found["mcse_mean"]).all()
    assert (abs(sd - found["sd"]) < REFERENCE_ERRORS * found["mcse_sd"]).all()


@pytest.mark.parametrize(
    "fault",
    [
        lambda draws: draws[..., [0, 2, 1]],
        lambda draws: draws + 0.2 * draws.std((0, 1)),
        lambda draws: draws.mean((0, 1)) + 1.2 * (draws - draws.mean((0, 1))),
    ],
    ids=["arms swapped", "a fifth of a standard deviation off", "a fifth too wide"],
)
def test_draws_that_are_wrong_are_rejected(fault: Any) -> None:
    draws = draws_of(fitted("beta_binomial", "closed_form"), "mean_outcome")
    with pytest.raises(AssertionError, match="Monte Carlo errors apart"):
        assert_agrees(fault(draws), site_of("beta_binomial", "rate"))
