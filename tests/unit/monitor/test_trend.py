"""The trend of an effect: periods, standard errors and the line, against computations by hand and by numpy."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from bayesuplift.dims import Kind
from bayesuplift.errors import ArgumentError
from bayesuplift.monitor.batch import batch_of
from bayesuplift.monitor.plan_file import plan_from
from bayesuplift.monitor.trend import effect_trends, trends

DAYS = np.arange(1.0, 15.0)


def _rates(rng: np.random.Generator, control: Any, treatment: Any, units: tuple[int, int]) -> tuple[Any, Any]:
    """Units and outcomes (day, 2)."""
    n = np.broadcast_to(np.array(units), (len(control), 2))
    return n, rng.binomial(n, np.column_stack([control, treatment]))


def _p(days: Any, n: Any, y: Any) -> float:
    (one,) = effect_trends(days, n, y, y, kind="binary", arms=("A", "B"))
    assert one.p is not None
    return one.p


def test_effects_and_errors_of_rates_by_hand() -> None:
    y = [[40, 30], [50, 25], [60, 20]]
    (one,) = effect_trends([1, 2, 3], [[1000, 500]] * 3, y, y, kind="binary", arms=("A", "B"))
    assert one.day == (0.5, 1.5, 2.5)
    # period 1: log(30.5/470.5) - log(40.5/960.5), and the common rate 71/1502 of 1001 and 501 units
    assert_allclose(one.effect[0], np.log(30.5 / 470.5) - np.log(40.5 / 960.5), rtol=1e-12)
    assert_allclose(one.se[0], np.sqrt((1 / 1001 + 1 / 501) / (71 / 1502 * (1 - 71 / 1502))), rtol=1e-12)


def test_the_line_is_that_of_a_weighted_fit() -> None:
    rng = np.random.default_rng(3)
    n, y = _rates(rng, np.full(14, 0.06), np.linspace(0.075, 0.062, 14), units=(2000, 4000))
    n = n * np.where(np.arange(14) % 3 == 0, 3, 1)[:, None]
    y = rng.binomial(n, y / n.min(axis=0))
    (one,) = effect_trends(DAYS, n, y, y, kind="binary", arms=("A", "B"))
    week, weight = np.array(one.day) / 7.0, 1.0 / np.array(one.se)
    (slope, level), covariance = np.polyfit(week, one.effect, 1, w=weight, cov="unscaled")
    residual = (one.effect - level - slope * week) * weight
    error = np.sqrt(covariance[0, 0] * max(1.0, (residual @ residual) / 12))
    assert one.slope is not None
    assert one.slope == pytest.approx(slope, rel=1e-9)
    assert (one.lower, one.upper) == pytest.approx(slope + error * 1.959963984540054 * np.array([-1, 1]), rel=1e-9)
    assert (one.first, one.last) == pytest.approx(level + slope * week[[0, -1]], rel=1e-9)
    # planted fault: days of few units weigh as much as others
    assert abs(np.polyfit(week, one.effect, 1)[0] - one.slope) > 1e-3


@pytest.mark.parametrize("kind", ["continuous", "revenue"])
def test_amounts_by_hand(kind: Kind) -> None:
    rng = np.random.default_rng(4)
    outcomes = [[rng.gamma(2.0, 5.0, 40), rng.gamma(2.0, 5.5, 60)] for _ in range(4)]
    n = [[40, 60]] * 4
    total = [[arm.sum() for arm in day] for day in outcomes]
    squares = [[(arm**2).sum() for arm in day] for day in outcomes]
    (one,) = effect_trends([1, 2, 3, 4], n, total, squares, kind=kind, arms=("A", "B"))
    control, treatment = outcomes[0]
    pooled = (39 * control.var(ddof=1) + 59 * treatment.var(ddof=1)) / 98
    difference = treatment.mean() - control.mean()
    if kind == "revenue":
        difference = np.log(treatment.mean() / control.mean())
        pooled /= np.concatenate([control, treatment]).mean() ** 2
    assert_allclose(one.effect[0], difference, rtol=1e-10)
    assert_allclose(one.se[0], np.sqrt(pooled * (1 / 40 + 1 / 60)), rtol=1e-9)


def test_a_fading_effect_is_said_to_fade_and_a_steady_one_is_not() -> None:
    rng = np.random.default_rng(5)
    n, y = _rates(rng, np.full(14, 0.1), 0.1 * (1 + 0.4 * np.exp(-DAYS / 4)), units=(8000, 8000))
    (one,) = effect_trends(DAYS, n, y, y, kind="binary", arms=("A", "B"))
    assert one.sentence.startswith("The effect of B faded: its log odds ratio changed by -")
    assert f"{one.slope:+.3g} a week (95% interval {one.lower:+.3g} to {one.upper:+.3g}" in one.sentence
    n, y = _rates(rng, np.full(14, 0.1), np.full(14, 0.11), units=(8000, 8000))
    (one,) = effect_trends(DAYS, n, y, y, kind="binary", arms=("A", "B"))
    assert one.sentence.startswith("No trend of B's effect is shown")


def test_without_a_trend_few_are_called_one_although_the_baseline_moves() -> None:
    rng = np.random.default_rng(6)
    days = np.arange(1.0, 22.0)
    control = 0.05 + 0.02 * np.sin(2 * np.pi * days / 7)
    told, sums_so_far = [], []
    for _ in range(400):
        n, y = _rates(rng, control, control * 1.1, units=(1500, 500))
        told.append(_p(days, n, y) < 0.05)
        # planted fault: sums so far in place of what came in the period
        sums_so_far.append(_p(days, n.cumsum(axis=0), y.cumsum(axis=0)) < 0.05)
    assert np.mean(told) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert np.mean(sums_so_far) > 0.15


def test_periods_are_whole_days_with_enough_outcomes() -> None:
    n = np.full((48, 2), 100)
    y = np.full((48, 2), 4)  # 10 outcomes need 250 units: three hours, and never less than a day
    (one,) = effect_trends(np.repeat([1, 2, 3, 4], 12), n, y, y, kind="binary", arms=("A", "B"))
    assert one.day == (0.5, 1.5, 2.5, 3.5)
    (one,) = effect_trends(np.arange(1, 9), n[:8], y[:8], y[:8], kind="binary", arms=("A", "B"))
    assert one.day == (1.5, 5.5)  # three days, and five: what is left belongs to the last
    assert one.slope is None
    assert one.sentence == "No trend of B's effect can be told from 2 periods with enough outcomes; it takes 3."


def test_periods_that_tell_nothing_are_left_out_and_counted() -> None:
    n = np.full((4, 2), 50)
    total = np.array([[50.0, 60], [0, 55], [50, 60], [52, 61]])
    squares = np.array([[90.0, 120], [0, 110], [90, 130], [95, 120]])
    (one,) = effect_trends([1, 2, 3, 4], n, total, squares, kind="count", arms=("A", "B"))
    assert (one.left_out, one.day) == (1, (0.5, 2.5, 3.5))


def test_no_batch_and_no_outcome_tell_no_trend() -> None:
    for n in (np.zeros((0, 3)), np.full((5, 3), 100.0)):
        found = effect_trends(np.arange(len(n)), n, 0 * n, 0 * n, kind="binary", arms=("A", "B", "C"))
        assert [one.slope for one in found] == [None, None]


def test_batches_and_sums_so_far_tell_one_trend() -> None:
    plan = plan_from(
        {
            "name": "novelty",
            "arms": ["A", "B"],
            "control": "A",
            "start": "2026-01-05",
            "metric": {"name": "visits", "kind": "count", "baseline": 2.0, "sd": 1.5},
            "prior": {"kind": "flat"},
            "looks": {"number": 9, "units": 400},
            "rule": {"promise": "decision"},
            "segments": ["country"],
        }
    )
    rng = np.random.default_rng(7)
    apart, so_far = [], []
    sums: dict[tuple[str, str], Any] = {}
    for day in range(9):
        rows = []
        for arm in "AB":
            for country in ("de", "fr"):
                outcome = rng.poisson(2.0, 100)
                sums[arm, country] = sums.get((arm, country), 0) + np.array([100, outcome.sum(), (outcome**2).sum()])
                rows.append((arm, country, 100, outcome.sum(), (outcome**2).sum()))
        at = f"2026-01-{5 + day:02d}"
        apart.append(batch_of(plan, _table(rows), id=at, at=at))
        told = [(*key, *values) for key, values in sums.items()]
        so_far.append(batch_of(plan, _table(told), id=at, at=at, cumulative=True))
    assert trends(plan, apart) == trends(plan, so_far)
    assert len(trends(plan, apart)[0].day) == 9
    assert trends(plan, [])[0].slope is None


def _table(rows: list[tuple[Any, ...]]) -> list[dict[str, str]]:
    columns = ("arm", "country", "n", "visits", "visits_squares")
    return [dict(zip(columns, (str(v) for v in row), strict=True)) for row in rows]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"until": [2.0, 1.0]}, "never fall"),
        ({"n": [[1.0, 2.0]]}, "n has shape"),
        ({"total": [[1.0, np.nan], [1.0, 1.0]]}, "total has shape"),
        ({"kind": "rate"}, "kind = 'rate'"),
        ({"prob": 1.0}, "prob = 1.0"),
    ],
)
def test_refusals(given: dict[str, Any], words: str) -> None:
    sound: dict[str, Any] = {
        "until": [1.0, 2.0],
        "n": [[9.0, 9]] * 2,
        "total": [[1.0, 1]] * 2,
        "squares": [[1.0, 1]] * 2,
    }
    with pytest.raises(ArgumentError, match=words):
        effect_trends(**({"kind": "binary", "arms": ("A", "B")} | sound | given))
