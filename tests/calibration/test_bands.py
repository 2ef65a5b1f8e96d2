"""The judge of calibration: bands that hold together at the stated level, and what they must not let pass."""

import numpy as np
import pytest

from tests.support.sbc import FAMILY_LEVEL, miscalibrated, pointwise_level, ranks, smallest_tail
from tests.support.worlds import seed_of

SIMULATIONS, DRAWS = 400, 63


def uniform_ranks(name: str, families: int = 1) -> np.ndarray:
    return np.random.default_rng(seed_of(name)).integers(0, DRAWS + 1, (families, SIMULATIONS))


def test_ranks_count_the_draws_below_the_truth() -> None:
    draws = np.array([[0.1, 0.9], [0.4, 0.8], [0.5, 0.7]])
    assert ranks([0.45, 0.6], draws).tolist() == [2, 0]


def test_all_pointwise_bands_hold_together_with_the_stated_probability() -> None:
    level, families = 0.05, 4000
    limit = pointwise_level(SIMULATIONS, DRAWS, level)
    assert limit < level / 4
    rejected = sum(smallest_tail(one, DRAWS) < limit for one in uniform_ranks("level", families))
    # four standard deviations of the count, and of the quantile of the 20,000 simulations that set the limit
    margin = 4 * np.sqrt(level * (1 - level) * (1 / families + 1 / 20_000))
    assert abs(rejected / families - level) < margin


def test_uniform_ranks_pass() -> None:
    assert miscalibrated({"uniform": uniform_ranks("uniform")[0]}, DRAWS) == {}


@pytest.mark.parametrize(
    ("fault", "share"),
    [("too low", (1.35, 1.0)), ("too high", (1.0, 1.35)), ("too wide", (2.0, 2.0)), ("too narrow", (0.6, 0.6))],
)
def test_ranks_that_are_not_uniform_are_rejected(fault: str, share: tuple[float, float]) -> None:
    found = np.random.default_rng(seed_of(fault)).beta(*share, SIMULATIONS)
    assert list(miscalibrated({fault: (found * (DRAWS + 1)).astype(int)}, DRAWS)) == [fault]


def test_a_single_rank_that_comes_too_often_is_rejected() -> None:
    found = uniform_ranks("too often")[0]
    found[:30] = DRAWS
    assert miscalibrated({"last": found}, DRAWS)


def test_only_the_quantity_at_fault_is_named_and_the_level_is_shared() -> None:
    good = {f"quantity {k}": one for k, one in enumerate(uniform_ranks("shared", 20))}
    assert miscalibrated(good, DRAWS) == {}
    bad = miscalibrated(good | {"stuck": np.full(SIMULATIONS, 7)}, DRAWS)
    assert list(bad) == ["stuck"]
    assert bad["stuck"] < FAMILY_LEVEL
