"""Posterior means and deviations agree with the reference, a long run of the twin, within Monte Carlo error."""

from typing import Any

import numpy as np
import pytest

from bayesuplift.inference.fit import Engine
from bayesuplift.posterior.closed_form import parameters
from bayesuplift.spec import registered
from tests.support.catalogue import NAMES, NAMES_AND_ENGINES, draws_of, fitted, reference
from tests.support.mcse import assert_within_mcse
from tests.support.worlds import example

MEAN_AND_VARIANCE = 2
REFERENCE_ERRORS = 5.0  # one in 1.7 million for each of six comparisons with an exact value

SITES = {"beta_binomial": {"rate": "mean_outcome"}}
"""Where a site is found in a tree of every engine: a closed form keeps rates under the name of the mean outcome."""


def site_of(name: str, site: str) -> dict[str, np.ndarray]:
    return {key: np.asarray(values) for key, values in reference(name)["sites"][site].items()}


def assert_agrees(draws: Any, found: dict[str, np.ndarray]) -> None:
    assert_within_mcse(draws, found["mean"], found["mcse_mean"], comparisons=MEAN_AND_VARIANCE)
    # The mean square about the reference mean is the variance plus that mean's squared error, which is far below both
    # errors; d(sd^2) = 2 sd d(sd).
    squares = (draws - found["mean"]) ** 2
    assert_within_mcse(squares, found["sd"] ** 2, 2 * found["sd"] * found["mcse_sd"], comparisons=MEAN_AND_VARIANCE)


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_is_of_the_data_that_the_tests_fit(name: str) -> None:
    data, cells = reference(name)["data"], example(registered()[name].outcome)
    assert tuple(data["arm"]) == cells.design.arms
    for statistic in cells.statistics.data_vars:
        assert data[statistic] == cells.statistics[statistic].values.tolist()


@pytest.mark.parametrize(("name", "engine"), NAMES_AND_ENGINES)
def test_draws_agree_with_the_reference(name: str, engine: Engine) -> None:
    for site, ours in SITES[name].items():
        assert_agrees(draws_of(fitted(name, engine), ours), site_of(name, site))


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
