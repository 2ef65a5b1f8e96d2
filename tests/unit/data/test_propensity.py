"""The propensity of units in cells: the sum of its log odds, in every engine and through every way that cells are made."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bayesuplift.data.cells import Cells
from bayesuplift.data.fingerprints import ten_digits_of
from bayesuplift.data.propensity import by_segment
from bayesuplift.data.readers import read_cells, read_experiment
from bayesuplift.dims import LOG_ODDS_TOTAL
from bayesuplift.errors import ArgumentError, ColumnNotFoundError, DataError
from tests.support.engines import CHEAP, ENGINES, as_told_by, in_engine

KINDS = ("binary", "count", "continuous", "revenue")
CELLS = [(channel, arm) for channel in ("Phone", "Web") for arm in ("control", "offer")]


@pytest.fixture
def table() -> pd.DataFrame:
    generator = np.random.default_rng(19)
    rows = 600
    chance = generator.uniform(0.02, 0.98, rows)
    return pd.DataFrame(
        {
            "group": np.where(generator.random(rows) < chance, "offer", "control"),
            "channel": generator.choice(["Phone", "Web"], rows),
            "day": generator.integers(0, 3, rows),
            "chance": chance,
            "before": generator.normal(50, 9, rows),
            "binary": generator.integers(0, 2, rows),
            "count": generator.poisson(1.5, rows),
            "continuous": generator.normal(20, 3, rows),
            "revenue": np.round(np.exp(generator.normal(3, 1, rows)), 2) * (generator.random(rows) < 0.4),
        }
    )


def read(source: Any, kind: str, **options: Any) -> Cells:
    roles: dict[str, Any] = {"segments": ["channel"], "propensity": "chance", "outcome": kind} | options
    return read_cells(source, arm="group", control="control", kind=kind, **roles)


def log_odds(table: pd.DataFrame) -> list[float]:
    return [math.log(p) - math.log1p(-p) for p in table.chance]


def expected(table: pd.DataFrame) -> list[float]:
    """Sum of the log odds of every cell, exact but for the roundings of the logarithms."""
    rows = [table[(table.channel == channel) & (table.group == arm)] for channel, arm in CELLS]
    return [math.fsum(log_odds(row)) for row in rows]


def rounding(table: pd.DataFrame) -> float:
    """Of a sum in any order: as many roundings as rows, each of the largest partial sum."""
    return len(table) * float(np.finfo(float).eps) * sum(map(abs, log_odds(table)))


def assert_summed(table: pd.DataFrame, source: Any, kind: str) -> None:
    """The cells of the source hold the sums, and everything else as without a propensity."""
    cells, without = read(source, kind), read(table, kind, propensity=None)
    assert cells.has_propensity
    assert not without.has_propensity
    assert abs(cells.propensity_log_odds_total.ravel() - expected(table)).max() < rounding(table)
    assert cells.fingerprint == read(table, kind).fingerprint
    for name in map(str, without.statistics.data_vars):
        np.testing.assert_allclose(cells.statistics[name], without.statistics[name], rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["binary", "count"])
def test_every_engine_gives_the_sum_of_the_log_odds(
    table: pd.DataFrame, kind: str, engine: str, tmp_path: Path
) -> None:
    assert_summed(table, in_engine(table, engine, tmp_path), kind)


@pytest.mark.parametrize("engine", CHEAP)
@pytest.mark.parametrize("kind", ["continuous", "revenue"])
def test_the_other_kinds_of_outcome_do_as_binary_ones(
    table: pd.DataFrame, kind: str, engine: str, tmp_path: Path
) -> None:
    assert_summed(table, in_engine(table, engine, tmp_path), kind)


def test_the_fingerprint_counts_the_propensity_and_not_its_rounding(table: pd.DataFrame) -> None:
    cells = read(table, "binary")
    without = read(table, "binary", propensity=None)
    assert without != cells
    assert replace(cells, statistics=cells.statistics.drop_vars(LOG_ODDS_TOTAL)) == without
    assert cells != read(table.assign(chance=table.chance.where(table.index != 7, 0.3)), "binary")
    # log odds that cancel: of their sum only rounding is left, in an order's own digits
    pairs = table.assign(chance=np.where(table.index % 2 == 0, table.chance, 1.0 - table.chance.shift(1)))
    pairs["channel"], pairs["group"] = (
        pairs[name].iloc[table.index // 2 * 2].to_numpy() for name in ("channel", "group")
    )
    ways = [read(pairs.sample(frac=1.0, random_state=seed), "binary") for seed in range(4)]
    assert len({str(ten_digits_of(one.propensity_log_odds_total)) for one in ways}) > 1
    assert len({one.fingerprint for one in ways}) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_parts_and_segments_add_up(table: pd.DataFrame, kind: str) -> None:
    whole = read(table, kind)
    days = [read(rows, kind) for _, rows in table.groupby("day")]
    for merged, direct in ((days[0].merge(*days[1:]), whole), (whole.by(), read(table, kind, segments=()))):
        assert merged == direct
        np.testing.assert_allclose(
            merged.propensity_log_odds_total, direct.propensity_log_odds_total, rtol=0, atol=rounding(table)
        )


def test_a_part_without_a_propensity_is_refused(table: pd.DataFrame) -> None:
    cells, without = read(table, "binary"), read(table, "binary", propensity=None)
    with pytest.raises(ArgumentError, match="part 2 differs in its propensity: unknown, not known as part 1"):
        cells.merge(without)
    with pytest.raises(ArgumentError, match="part 2 differs in its propensity: known, not unknown"):
        without.merge(cells)


@pytest.mark.parametrize("kind", KINDS)
def test_cells_of_units_keep_their_propensity(table: pd.DataFrame, kind: str) -> None:
    roles: dict[str, Any] = {"arm": "group", "control": "control", "outcome": kind, "kind": kind}
    units = read_experiment(table, **roles, segments=["channel"], propensity="chance")
    assert units.cells() == read(table, kind)
    assert units.cells([]) == read(table, kind, segments=())
    assert not read_experiment(table, **roles, segments=["channel"]).cells().has_propensity


def test_a_covariate_stands_beside_it(table: pd.DataFrame) -> None:
    both = read(table, "continuous", covariate="before")
    assert (both.covariate, both.has_propensity) == ("before", True)
    np.testing.assert_array_equal(both.propensity_log_odds_total, read(table, "continuous").propensity_log_odds_total)


@pytest.mark.parametrize("kind", ["binary", "count"])
@pytest.mark.parametrize("named", [True, False])
def test_a_table_of_cells_may_hold_it(table: pd.DataFrame, kind: str, *, named: bool) -> None:
    by = ["day", "channel", "group"] + (["count"] if kind == "count" else [])
    facts: dict[str, Any] = {"n": ("chance", "size"), LOG_ODDS_TOTAL: ("odds", "sum")}
    facts |= {} if kind == "count" else {"total": (kind, "sum")}
    made = table.assign(odds=log_odds(table)).groupby(by).agg(**facts).reset_index().rename(columns={"count": "value"})
    statistics = {LOG_ODDS_TOTAL: "odds"} if named else {}
    cells = Cells.from_table(
        made.rename(columns={LOG_ODDS_TOTAL: "odds"}) if named else made,
        arm="group",
        control="control",
        kind=kind,
        outcome=kind,
        segments=["channel"],
        statistics=statistics,
    )
    assert cells == read(table, kind)


def test_a_table_of_cells_with_log_odds_of_nobody_is_refused() -> None:
    made = pd.DataFrame({"arm": list("abab"), "s": list("xxyy"), "n": [3, 2, 0, 4], "total": [1, 1, 0, 2]})
    with pytest.raises(DataError, match=f"'{LOG_ODDS_TOTAL}'.*is not 0 where 'n'"):
        Cells.from_table(
            made.assign(**{LOG_ODDS_TOTAL: [0.1, -0.2, 0.3, 0.1]}),
            arm="arm",
            control="a",
            kind="binary",
            outcome="y",
            segments=["s"],
        )


@pytest.mark.parametrize("engine", CHEAP)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "is missing in 1 of 600 rows, first in data row 4"),
        (0.0, r"is not strictly between 0 and 1 in 1 of 600 rows, first in data row 4 \(0.*trim them"),
        (1.0, r"is not strictly between 0 and 1 in 1 of 600 rows, first in data row 4 \(1.*trim them"),
        (-np.inf, "is infinite in 1 of 600 rows, first in data row 4"),
    ],
)
def test_a_row_without_a_propensity_is_refused(  # noqa: PLR0917 -- fixtures
    table: pd.DataFrame, engine: str, kind: str, value: Any, words: str, tmp_path: Path
) -> None:
    table.loc[3, "chance"] = value
    with pytest.raises(DataError, match=r"'chance' \(propensity\) " + as_told_by(engine, words)):
        read(in_engine(table, engine, tmp_path), kind)


def test_a_propensity_is_a_column_of_numbers_for_two_arms(table: pd.DataFrame) -> None:
    with pytest.raises(ArgumentError, match="'binary' is named as outcome and as propensity"):
        read(table, "binary", propensity="binary")
    with pytest.raises(DataError, match=r"'channel' \(propensity\) is not a number"):
        read(table, "binary", segments=(), propensity="channel")
    with pytest.raises(ColumnNotFoundError, match=r"'chanse' \(propensity\).*Did you mean 'chance'"):
        read(table, "binary", propensity="chanse")
    table.loc[:50, "group"] = "gift"
    with pytest.raises(ArgumentError, match="there are 3 arms; one number a unit says"):
        read(table, "binary")
    with pytest.raises(ArgumentError, match="hold no propensity_log_odds_total; they hold n, total"):
        _ = read(table, "binary", propensity=None).propensity_log_odds_total


@pytest.mark.parametrize(("value", "words"), [(np.nan, "not finite"), (1.0, "not 0 in a cell with nobody")])
def test_sums_that_no_units_could_have_are_refused(value: float, words: str) -> None:
    table = pd.DataFrame({"arm": list("abb"), "s": list("xxy"), "y": [0, 0, 1], "p": [0.3, 0.5, 0.2]})
    with pytest.warns(UserWarning, match="lack an arm"):
        cells = read_cells(table, arm="arm", control="a", outcome="y", kind="binary", segments=["s"], propensity="p")
    statistics = cells.statistics.copy(deep=True)
    changed = statistics[LOG_ODDS_TOTAL].to_numpy().copy()
    assert changed[1, 0] == 0
    changed[1, 0] = value
    statistics[LOG_ODDS_TOTAL] = (("segment", "arm"), changed)
    with pytest.raises(DataError, match=words):
        replace(cells, statistics=statistics)


def test_segments_are_told_by_all_their_units_about_the_mean_of_all() -> None:
    away, centre = by_segment([[1, 3], [2, 2], [0, 0]], [[0.5, 2.5], [-1.0, -1.0], [0.0, 0.0]])
    assert centre == pytest.approx(1 / 8)
    assert away.tolist() == pytest.approx([3 / 4 - 1 / 8, -1 / 2 - 1 / 8, 0.0])
