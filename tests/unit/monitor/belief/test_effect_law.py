"""The law of effects as a value, and how near it comes to the prior that past experiments taught."""

import re
from typing import Any

import numpy as np
import pytest

from bayesuplift.decisions.learned_prior import EffectPrior
from bayesuplift.errors import ArgumentError
from bayesuplift.monitor.effect_law import EffectLaw

LARGEST_ERROR_OF_CDF = 0.01


def learned_prior(df: float, spread: float, *, seed: int = 1, draws: int = 400) -> EffectPrior:
    """Hyperparameters as a fit leaves them: means, and scales that differ by a factor of e^spread."""
    generator = np.random.default_rng(seed)
    return EffectPrior(
        mean=0.01 + 0.01 * generator.normal(size=draws),
        scale=0.05 * np.exp(spread * generator.normal(size=draws)),
        df=df * np.exp(0.3 * generator.normal(size=draws)),
        effect_scale="log_odds",
        outcome="order",
        experiments=100,
        fingerprint="",
    )


def largest_error(law: EffectLaw, prior: EffectPrior) -> float:
    places = np.concatenate([-np.geomspace(1e-3, 100, 300), np.geomspace(1e-3, 100, 300), np.linspace(-0.3, 0.3, 601)])
    return float(np.abs(law.prob_below(places) - prior.prob_below(places)).max())


@pytest.mark.parametrize(("df", "spread"), [(1.5, 0.1), (4.0, 0.1), (4.0, 0.6), (30.0, 0.6), (np.inf, 0.1)])
def test_a_learned_law_has_the_distribution_of_its_prior(df: float, spread: float) -> None:
    prior = learned_prior(df, spread)
    law = EffectLaw.learned(prior)
    assert law.weights.size <= 24
    assert largest_error(law, prior) < LARGEST_ERROR_OF_CDF
    assert abs(float(law.prob_below(float(prior.quantile(0.01)))) - 0.01) < 0.004


def test_one_normal_in_place_of_the_mixture_is_rejected() -> None:
    prior = learned_prior(8.0, 0.6)
    assert largest_error(EffectLaw.normal(float(prior.mean.mean()), prior.sd), prior) > LARGEST_ERROR_OF_CDF


def test_a_law_of_one_component_has_the_moments_of_its_prior() -> None:
    prior = learned_prior(30.0, 0.3)
    law = EffectLaw.learned(prior, components=1)
    assert law.weights.size == 1
    assert law.means[0] == pytest.approx(prior.mean.mean(), rel=1e-9)
    assert law.sd == pytest.approx(prior.sd, rel=0.01)  # the mean of 1/L by sixteen nodes


def test_a_law_keeps_to_itself() -> None:
    sds = np.array([0.1, 0.2])
    law = EffectLaw(np.array([0.25, 0.75]), np.zeros(2), sds)
    sds[0] = 5.0
    assert law.sds[0] == 0.1
    with pytest.raises(ValueError, match="read-only"):
        law.weights[0] = 1.0
    assert float(law.prob_below(law.quantile(0.3))) == pytest.approx(0.3, abs=1e-12)
    assert str(EffectLaw.normal(0.0, 0.05)) == "Normal(0, sd 0.05) on the link scale"
    assert str(law).startswith("mixture of 2 normals")


@pytest.mark.parametrize(
    ("weights", "means", "sds", "said"),
    [
        ([0.5, 0.4], [0, 0], [1, 1], "sum to 0.9"),
        ([1.0], [0, 0], [1, 1], "weights holds 1 values for 2 means"),
        ([0.5, 0.5], [0, np.nan], [1, 1], "1 of them not allowed"),
        ([0.5, 0.5], [0, 0], [1, 0], "sds"),
        ([1.0, 0.0], [0, 0], [1, 1], "weights"),
        ([], [], [], "0 values"),
    ],
)
def test_what_is_no_law_is_refused(weights: list[float], means: list[float], sds: list[float], said: str) -> None:
    with pytest.raises(ArgumentError, match=re.escape(said)):
        EffectLaw(np.array(weights), np.array(means, float), np.array(sds, float))


@pytest.mark.parametrize("arguments", [(0.0, 0.0), (np.nan, 1.0), (0.0, np.inf), ("0", 1.0)])
def test_a_stated_prior_that_is_none_is_refused(arguments: tuple[Any, Any]) -> None:
    with pytest.raises(ArgumentError, match="sd above 0"):
        EffectLaw.normal(*arguments)
    with pytest.raises(ArgumentError, match="whole number"):
        EffectLaw.learned(learned_prior(4.0, 0.1), components=0)
    with pytest.raises(ArgumentError, match="strictly between"):
        EffectLaw.normal(0.0, 1.0).quantile(1.0)
