"""Effects to look for: quantiles of the favourable half of a law."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import halfnorm, norm

from bayesuplift.errors import ArgumentError
from bayesuplift.monitor.evidence.effect_grid import FLAT_SPREAD, effect_grid, favourable_scale


class Law:
    def __init__(self, weights: list[float], means: list[float], sds: list[float]) -> None:
        self.weights, self.means, self.sds = (np.array(values) for values in (weights, means, sds))


LEARNED = Law([0.6, 0.3, 0.1], [0.0, 0.01, -0.1], [0.01, 0.05, 0.2])


def test_a_centred_normal_gives_the_quantiles_of_a_half_normal() -> None:
    effects, weights = effect_grid(Law([1.0], [0.0], [0.05]), nodes=12)
    np.testing.assert_allclose(effects, halfnorm.ppf((np.arange(12) + 0.5) / 12, scale=0.05), rtol=1e-12)
    assert weights.sum() == pytest.approx(1.0, rel=1e-15)
    np.testing.assert_allclose(
        effect_grid(None)[0], halfnorm.ppf((np.arange(12) + 0.5) / 12, scale=FLAT_SPREAD), rtol=1e-12
    )
    assert favourable_scale(Law([1.0], [0.0], [0.05])) == pytest.approx(0.05, rel=1e-12)
    assert favourable_scale(None) == pytest.approx(FLAT_SPREAD, rel=1e-12)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_mixture_has_its_mass_between_the_nodes(sign: float) -> None:
    effects, _ = effect_grid(LEARNED, sign=sign, nodes=8)

    def above(x: float) -> float:
        return float((LEARNED.weights * norm.sf(x, sign * LEARNED.means, LEARNED.sds)).sum())

    share = np.array([above(x) for x in effects]) / above(0.0)
    np.testing.assert_allclose(share, 1 - (np.arange(8) + 0.5) / 8, rtol=1e-11)


def test_a_law_that_is_sure_of_harm_still_names_effects() -> None:
    effects, _ = effect_grid(Law([1.0], [-0.5], [0.01]))
    assert (effects > 0).all()
    assert (np.diff(effects) > 0).all()
    # far out a normal falls like an exponential of rate |mean| / sd^2
    np.testing.assert_allclose(effects, -np.log1p(-(np.arange(12) + 0.5) / 12) * 0.01**2 / 0.5, rtol=5e-3)


@pytest.mark.parametrize(
    ("law", "given", "named"),
    [
        (Law([1.0], [0.0], [0.0]), {}, "sds above 0"),
        (Law([1.0], [0.0, 1.0], [1.0]), {}, "one of each"),
        (Law([0.0], [0.0], [1.0]), {}, "every weight is 0"),
        (None, {"nodes": 0}, "nodes"),
        (None, {"sign": 2.0}, "sign"),
    ],
)
def test_refuses(law: Law | None, given: dict[str, Any], named: str) -> None:
    with pytest.raises(ArgumentError, match=named):
        effect_grid(law, **given)
