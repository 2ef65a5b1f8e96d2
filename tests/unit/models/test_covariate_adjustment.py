"""What adjusting for a covariate gains: the width that the correlation says, and no coverage lost for it."""

import functools
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

import bayesuplift as bu
from bayesuplift.data.cells import Cells
from tests.support.worlds import seed_of

UNITS: Final = 4000
DRAWS: Final = 25_000
CORRELATIONS: Final = (0.0, 0.5, 0.7, 0.9)
EFFECT: Final = 1.0
SEGMENTS, FEW = 1000, 30
LEVEL, FALSE_ALARM = 0.9, 1e-4


def units(correlation: float, size: int, generator: np.random.Generator) -> pd.DataFrame:
    """Two arms of that size; an outcome of standard deviation 10 within arms, and what was known before."""
    arm = np.repeat(["control", "offer"], size)
    before, rest = generator.standard_normal((2, 2 * size))
    outcome = 50.0 + EFFECT * (arm == "offer") + 10.0 * (correlation * before + np.sqrt(1.0 - correlation**2) * rest)
    return pd.DataFrame({"arm": arm, "outcome": outcome, "before": 100.0 + 15.0 * before})


def read(table: pd.DataFrame, **options: Any) -> Cells:
    return bu.read_cells(
        table, arm="arm", control="control", outcome="outcome", kind="continuous", covariate="before", **options
    )


def interval(model: str, cells: Cells, prob: float = 0.95, draws: int = DRAWS) -> np.ndarray:
    """Ends of the interval of every other arm's effect, (end, [segment], arm)."""
    seed = seed_of(f"adjustment by {model}")
    mean = bu.fit(model, cells, seed=seed, draws=draws)["posterior"]["mean_outcome"]
    effect = (mean - mean.sel(arm=cells.design.control)).drop_sel(arm=cells.design.control)
    ends = effect.quantile([(1 - prob) / 2, (1 + prob) / 2], ("chain", "draw"))
    return ends.transpose("quantile", ...).to_numpy()


def relative_width(cells: Cells) -> np.ndarray:
    """Width of the 95% interval of the effect, adjusted over unadjusted."""
    adjusted, plain = (np.diff(interval(model, cells), axis=0)[0] for model in ("normal_adjusted", "normal"))
    return np.asarray(adjusted / plain)


def tolerance(correlation: float, size: int) -> float:
    """Four standard errors of the relative width of two arms of that size.

    Of the data: a sample correlation has standard error (1 - rho^2) / N^(1/2), and sqrt(1 - r^2) moves by
    rho / sqrt(1 - rho^2) times that. Of the draws: an end of a 95% interval has (.025 .975)^(1/2) / .0584 = 2.67 standard
    deviations / D^(1/2), two of them 3.78, of a width of 3.92; and there are two widths.
    """
    data = correlation * np.sqrt(1.0 - correlation**2) / np.sqrt(2 * size)
    of_draws = np.sqrt(2.0) * 3.78 / 3.92 / np.sqrt(4 * DRAWS)
    return float(4.0 * np.hypot(data, of_draws))


@functools.cache
def world(correlation: float) -> Cells:
    return read(units(correlation, UNITS, np.random.default_rng(seed_of(f"correlation {correlation}"))))


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_adjustment_narrows_the_interval_by_what_the_correlation_says(correlation: float) -> None:
    expected = np.sqrt(1.0 - correlation**2)
    assert relative_width(world(correlation))[0] == pytest.approx(expected, abs=tolerance(correlation, UNITS))


def test_a_covariate_of_other_units_narrows_nothing() -> None:
    generator = np.random.default_rng(seed_of("covariate of other units"))
    table = units(0.7, UNITS, generator)
    table["before"] = table.groupby("arm")["before"].transform(lambda values: generator.permutation(values.to_numpy()))
    found = relative_width(read(table))[0]
    assert found == pytest.approx(1.0, abs=tolerance(0.0, UNITS))
    assert abs(found - np.sqrt(1.0 - 0.7**2)) > tolerance(0.7, UNITS)


def many_worlds(*, after_assignment: bool = False) -> Cells:
    """Small experiments, one a segment; a covariate measured after assignment is moved by its arm."""
    table = units(0.7, SEGMENTS * FEW, np.random.default_rng(seed_of("many worlds")))
    table["world"] = np.tile(np.repeat([f"w{k:04d}" for k in range(SEGMENTS)], FEW), 2)
    if after_assignment:
        table.loc[table.arm == "offer", "before"] += 15.0
    return read(table, segments=["world"])


def covered(model: str, cells: Cells) -> int:
    low, high = interval(model, cells, LEVEL, draws=250)[..., 0]
    return int(((low <= EFFECT) & (high >= EFFECT)).sum())


def as_often_as_stated(times: int) -> bool:
    # the ends of an interval from 1,000 draws are themselves random, by a tenth of a percent in probability
    least, most = (float(binom.ppf(q, SEGMENTS, LEVEL)) for q in (FALSE_ALARM / 2, 1 - FALSE_ALARM / 2))
    return bool(least <= times <= most)


@pytest.mark.parametrize("model", ["normal", "normal_adjusted"])
def test_intervals_hold_the_effect_as_often_as_they_say(model: str) -> None:
    assert as_often_as_stated(covered(model, many_worlds()))


def test_a_covariate_measured_after_assignment_is_caught() -> None:
    assert not as_often_as_stated(covered("normal_adjusted", many_worlds(after_assignment=True)))


@pytest.mark.real_data
def test_spending_of_the_year_before_explains_next_to_nothing_of_two_weeks(real_data: Path) -> None:
    cells = bu.read_cells(
        real_data / "hillstrom.parquet",
        arm="segment",
        control="No E-Mail",
        outcome="spend",
        kind="revenue",
        covariate="history",
    )
    explained = cells.sum_codeviations**2 / (cells.sum_squared_deviations * cells.covariate_sum_squared_deviations)
    assert (np.sqrt(explained) < 0.03).all()
    variance = cells.sum_squared_deviations / cells.n.astype(float) ** 2
    both = variance[1:] + variance[0]
    left = variance * (1.0 - explained)
    expected = np.sqrt((left[1:] + left[0]) / both)
    assert expected == pytest.approx(0.9998, abs=1e-4)
    assert relative_width(cells) == pytest.approx(expected, abs=tolerance(0.0, int(cells.n.min())))
