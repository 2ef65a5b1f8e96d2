"""Priors that data contradict, and data far from 0: draws agree with quadrature, and pile up nowhere."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.special import gammaln

import bayesuplift as bu
from bayesuplift.posterior.schema import mean_outcome
from tests.support.worlds import seed_of

ERRORS = 4.5


def read(outcome: Any, kind: str, **columns: Any) -> bu.Cells:
    """Two arms that show the same outcomes."""
    one = pd.DataFrame({"outcome": outcome, **columns})
    table = pd.concat([one.assign(arm="a"), one.assign(arm="b")])
    optional = {name: name for name in columns}
    return bu.read_cells(table, arm="arm", control="a", outcome="outcome", kind=kind, **optional)


def sites(model: str, cells: bu.Cells, prior: Any, site: str) -> np.ndarray:
    tree = bu.fit(model, cells, seed=seed_of(f"{model} contradicted"), prior=prior, draws=5000)
    return tree["posterior"][site].sel(arm="a").to_numpy().ravel()


def moments(log_density: Any, low: float, high: float) -> tuple[float, float]:
    """Mean and standard deviation of a density on an interval that holds it."""
    top = max(log_density(x) for x in np.linspace(low, high, 2001))
    parts = [quad(lambda x, k=k: x**k * np.exp(log_density(x) - top), low, high, limit=400)[0] for k in range(3)]
    mean = parts[1] / parts[0]
    return mean, float(np.sqrt(parts[2] / parts[0] - mean**2))


def test_a_spread_far_above_its_prior_is_drawn_where_it_is() -> None:
    values = np.random.default_rng(1).normal(0.0, 1000.0, 1000)
    n, squares = len(values), float(((values - values.mean()) ** 2).sum())
    draws = sites("normal", read(values, "continuous"), bu.NormalPrior(0.0, 1e6, 2.0, 0.001), "sd")
    # the mean integrated out under its vague prior
    mean, sd = moments(lambda s: -(n - 1) * np.log(s) - 0.5 * squares / s**2 - 0.5 * (s / 2.0) ** 2, 150.0, 400.0)
    assert abs(draws.mean() - mean) < ERRORS * sd / np.sqrt(draws.size)
    assert abs(draws.std() / sd - 1.0) < ERRORS / np.sqrt(2 * draws.size)


def test_a_rate_far_above_its_prior_is_drawn_where_it_is() -> None:
    events = np.random.default_rng(2).poisson(3.0, 4000).astype(float)
    cells = read(events, "count")
    prior = bu.CountPrior(log_rate=0.0, log_rate_sd=0.05, overdispersion=1e-4)  # Poisson, all but
    draws = np.log(sites("negative_binomial", cells, prior, "rate"))
    total, n = float(events.sum()), len(events)
    mean, sd = moments(lambda x: total * x - n * np.exp(x) - gammaln(3) - 0.5 * (x / 0.05) ** 2, 0.5, 1.3)
    assert abs(draws.mean() - mean) < 0.01
    assert draws.std() == pytest.approx(sd, rel=0.05)


@pytest.mark.parametrize("far", [1e4, 1e6, 1e8])
def test_means_far_from_their_prior_keep_their_residuals(far: float) -> None:
    rng = np.random.default_rng(3)
    before = rng.normal(0.0, 2.0, 20_000)
    noise = rng.normal(0.0, 1.0, 20_000)
    cells = read(far + 0.5 * before + noise, "continuous", covariate=before)
    prior = bu.RegressionPrior(0.0, 10.0 * far, 5.0, 0.001, slope_sd=10.0)
    tree = bu.fit("normal_adjusted", cells, seed=4, prior=prior)
    sd = tree["posterior"]["sd"].sel(arm="a").to_numpy()
    assert sd.mean() == pytest.approx(1.0, abs=5 / np.sqrt(2 * 20_000))
    assert sd.std() == pytest.approx(1 / np.sqrt(2 * 20_000), rel=0.1)
    assert mean_outcome(tree).sel(arm="a").to_numpy().std() == pytest.approx(1 / np.sqrt(20_000), rel=0.1)


def test_what_is_stated_of_the_mean_leaves_the_slope_alone() -> None:
    rng = np.random.default_rng(5)
    before = rng.normal(100.0, 20.0, 500)
    cells = read(5.0 * before + rng.normal(0.0, 10.0, 500), "continuous", covariate=before)
    left, stated = (
        bu.RegressionPrior().resolved(cells),
        bu.RegressionPrior(location=500.0, location_sd=1.0).resolved(cells),
    )
    assert left.slope_sd == stated.slope_sd
    tree = bu.fit("normal_adjusted", cells, seed=1, prior=stated)
    assert float(tree["posterior"]["slope"].mean()) == pytest.approx(5.0, abs=0.2)


def test_alternatives_are_weaker_and_stronger_than_what_is_stated() -> None:
    counts = read(np.random.default_rng(6).poisson(2.0, 200).astype(float), "count")
    assert bu.CountPrior(log_rate_sd=0.01).resolved(counts).alternatives(counts)["strong"].log_rate_sd == 0.01
    revenue = read(np.random.default_rng(7).lognormal(3.0, 1.0, 200), "revenue")
    wide = bu.HurdlePrior(bu.RatePrior(0.2, 0.2), bu.LogAmountPrior(location_sd=10.0)).resolved(revenue)
    weak = wide.alternatives(revenue)["weak"]
    assert weak.amount.location_sd == 10.0
    assert (weak.buying.alpha, weak.buying.beta) == (0.2, 0.2)
