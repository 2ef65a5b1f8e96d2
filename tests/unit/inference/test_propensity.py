"""A fit whose levels follow the propensity: what it is for, and what it says of segments that were never seen."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import expit, logit

import bayesuplift as bu
from bayesuplift.dims import LOG_ODDS_TOTAL
from bayesuplift.errors import ArgumentError, BayesupliftError, PosteriorError
from bayesuplift.posterior.schema import mean_outcome
from tests.support.worlds import seed_of

AGES, PLACES, UNITS, SD = 4, 5, 8, 2.0
UNSEEN = ("a3", "p4")


def confounded(*, shuffled: bool = False) -> pd.DataFrame:
    """Cells of a world without any effect, in which segments of a high level are treated more often.

    Every cell has the mean and the spread that are expected of it, so that an average effect that is found is its bias.
    Levels have a standard deviation of 1 between segments and a correlation of 0.8 with the log odds of treatment.
    """
    generator = np.random.default_rng(seed_of("confounded"))
    segments = pd.DataFrame([(f"a{k}", f"p{j}") for k in range(AGES) for j in range(PLACES)], columns=["age", "place"])
    drawn = np.linalg.qr(np.column_stack([np.ones(len(segments)), generator.normal(size=(len(segments), 2))]))[0]
    log_odds, other = np.sqrt(len(segments)) * drawn[:, 1:].T
    level, chance = 20.0 + 0.8 * log_odds + 0.6 * other, expit(1.5 * log_odds)
    treated = np.clip(np.round(UNITS * chance), 1, UNITS - 1)
    told = generator.permutation(chance) if shuffled else chance
    rows = [
        segments.assign(
            arm=arm,
            n=n,
            total=n * level,
            sum_squared_deviations=(n - 1) * SD**2,
            **{LOG_ODDS_TOTAL: n * logit(told)},
        )
        for arm, n in (("a", UNITS - treated), ("b", treated))
    ]
    table = pd.concat(rows)
    return table[(table["age"] != UNSEEN[0]) | (table["place"] != UNSEEN[1])]


def fitted(table: pd.DataFrame) -> xr.DataTree:
    cells = bu.Cells.from_table(
        table,
        arm="arm",
        control="a",
        kind="continuous",
        outcome="y",
        segments=["age", "place"],
        assignment="observational",
    )
    return bu.fit("partial_pooling", cells, seed=1, sensitivity=False, progress=False)


@pytest.fixture(scope="module")
def posterior() -> xr.DataTree:
    return fitted(confounded())


def bias(tree: xr.DataTree) -> float:
    """Of the average effect, which is 0, in standard deviations of a unit."""
    return float(bu.ate(tree).mean()) / SD


def test_levels_that_follow_the_propensity_leave_less_of_it_for_the_effect(posterior: xr.DataTree) -> None:
    assert all(check.passed for check in bu.diagnose(posterior))
    assert float((posterior["posterior"]["propensity_slope"] > 0).mean()) > 0.95
    without = bias(fitted(confounded().drop(columns=LOG_ODDS_TOTAL)))
    assert without > 0.1
    assert abs(bias(posterior)) < 0.5 * without
    # the propensity of another segment says nothing of this one's level
    assert bias(fitted(confounded(shuffled=True))) > 0.75 * without


def new(*chances: float) -> pd.DataFrame:
    """The segment that was not seen, and one of a new place."""
    return pd.DataFrame({"age": ["a3", "a0"], "place": ["p4", "new"], "propensity": chances})


def test_a_new_segments_level_follows_its_propensity(posterior: xr.DataTree) -> None:
    table = confounded()
    centre = table[LOG_ODDS_TOTAL].sum() / table["n"].sum()
    chances = (0.9, 0.2)
    found = mean_outcome(bu.predict(posterior, new(*chances), seed=2))
    # the same draws of what is new, about a slope of 0
    flat = posterior.copy(deep=True)
    flat["posterior"]["propensity_slope"] *= 0.0
    level = mean_outcome(bu.predict(flat, new(*chances), seed=2))
    slope = posterior["posterior"].to_dataset()["propensity_slope"]
    for segment, chance in zip(("age=a3, place=p4", "age=a0, place=new"), chances, strict=True):
        for arm in ("a", "b"):
            moved = (found - level).sel(segment=segment, arm=arm).transpose("chain", "draw")
            # differences of sums near 20
            np.testing.assert_allclose(moved.values, slope.values * (logit(chance) - centre), atol=1e-12)


def test_a_seen_segment_keeps_its_own_propensity_and_its_draws(posterior: xr.DataTree) -> None:
    table = confounded()[["age", "place"]].drop_duplicates()
    for chance in (0.1, 0.7):
        found = bu.predict(posterior, table.assign(propensity=chance), seed=1)
        np.testing.assert_array_equal(mean_outcome(found).values, mean_outcome(posterior).values)
        assert found.attrs["new_segments"] == 0


def test_a_saved_posterior_predicts_alike(posterior: xr.DataTree, tmp_path: Path) -> None:
    bu.save(posterior, tmp_path / "posterior.nc")
    again = bu.predict(bu.load(tmp_path / "posterior.nc"), new(0.9, 0.2), seed=3)
    expected = bu.predict(posterior, new(0.9, 0.2), seed=3)
    np.testing.assert_array_equal(mean_outcome(again).values, mean_outcome(expected).values)
    lost = posterior.copy()
    del lost["observed_data"]
    with pytest.raises(PosteriorError, match=f"lacks observed_data/{LOG_ODDS_TOTAL}"):
        bu.predict(lost, new(0.9, 0.2), seed=3)


def test_rows_of_one_segment_have_one_propensity(posterior: xr.DataTree) -> None:
    once = bu.predict(posterior, new(0.9, 0.2), seed=4)
    again = bu.predict(posterior, pd.concat([new(0.9, 0.2)[::-1], new(0.9, 0.2)]), seed=4)
    xr.testing.assert_identical(once["posterior"].to_dataset(), again["posterior"].to_dataset())
    with pytest.raises(BayesupliftError, match=r"'age=a0, place=new' has 0\.2 and 0\.25"):
        bu.predict(posterior, pd.concat([new(0.9, 0.2), new(0.9, 0.25)]), seed=4)


@pytest.mark.parametrize(
    ("chance", "said"),
    [
        (None, r"segments are told by age, place, propensity: .*'propensity'"),
        (1.0, "'propensity' .*is not strictly between 0 and 1 in 2 of 2 rows"),
        (np.nan, "'propensity' .*is missing in 2 of 2 rows"),
        ("often", r"'propensity' \(propensity\) is not a number"),
    ],
)
def test_a_table_without_propensities_is_refused(posterior: xr.DataTree, chance: Any, said: str) -> None:
    table = new(0.9, 0.2).drop(columns="propensity")
    with pytest.raises(BayesupliftError, match=said):
        bu.predict(posterior, table if chance is None else table.assign(propensity=chance), seed=1)


def test_a_factor_called_propensity_is_told_from_it(posterior: xr.DataTree) -> None:
    renamed = posterior.copy()
    renamed["posterior"] = posterior["posterior"].to_dataset().rename(place="propensity")
    with pytest.raises(ArgumentError, match="'propensity' is named as factor and as propensity"):
        bu.predict(renamed, new(0.9, 0.2), seed=1)
