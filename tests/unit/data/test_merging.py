"""Cells of different units, merged: a stream of batches equals one batch."""

import math
import warnings
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bayesuplift.data.cells import Cells
from bayesuplift.data.readers import read_cells
from bayesuplift.errors import ArgumentError, DataWarning

KINDS = ("binary", "count", "continuous", "revenue")


def weekly(kind: str, weeks: int = 5) -> pd.DataFrame:
    """Weeks of units; the segment "Fax" is there from week 3 on, in that week in the control only."""
    generator = np.random.default_rng(KINDS.index(kind))
    rows = 400 * weeks
    table = pd.DataFrame(
        {
            "week": np.repeat(np.arange(weeks), 400),
            "arm": generator.choice(["control", "gift", "offer"], rows),
            "channel": generator.choice(["Phone", "Web"], rows),
            "newbie": generator.integers(0, 2, rows),
            "days": generator.choice([0.5, 1.0, 7.0], rows),
            "before": generator.normal(50, 9, rows),
        }
    )
    late = (table.week >= 3) & (generator.random(rows) < 0.2)
    table.loc[late, "channel"] = "Fax"
    table.loc[late & (table.week == 3), "arm"] = "control"
    outcomes: dict[str, Any] = {
        "binary": generator.integers(0, 2, rows),
        "count": generator.poisson(1.5, rows),
        "continuous": table.before / 3 + generator.normal(0, 2, rows),
        "revenue": np.round(np.exp(generator.normal(3, 1, rows)), 2) * (generator.random(rows) < 0.3),
    }
    return table.assign(y=outcomes[kind])


def read(table: pd.DataFrame, kind: str, **options: Any) -> Cells:
    roles: dict[str, Any] = {"arm": "arm", "control": "control", "outcome": "y", "segments": ["channel", "newbie"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # a week may lack an arm in a segment
        return read_cells(table, kind=kind, **(roles | options))


def by_week(table: pd.DataFrame, kind: str, **options: Any) -> list[Cells]:
    return [read(week, kind, **options) for _, week in table.groupby("week")]


@pytest.mark.parametrize("segments", [["channel", "newbie"], ["newbie"], []])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_of_weeks_equals_one_batch(kind: str, segments: list[str]) -> None:
    table = weekly(kind)
    options: dict[str, Any] = {"segments": segments, "intended_split": {"control": 2, "gift": 1, "offer": 1}}
    if kind == "count":
        options["exposure"] = "days"
    if kind in ("continuous", "revenue"):
        options["covariate"] = "before"
    whole, weeks = read(table, kind, **options), by_week(table, kind, **options)
    if "channel" in segments:
        assert len(weeks[0].n) == 4
        assert weeks[3].n[:2].tolist()[0][1:] == [0, 0], "no arm but the control has the new segment in its first week"
    stream = weeks[0]
    for week in weeks[1:]:
        stream = stream.merge(week)
    for merged in (stream, weeks[0].merge(*weeks[1:]), weeks[-1].merge(*weeks[:-1])):
        assert merged.fingerprint == whole.fingerprint
        assert merged.statistics.coords.equals(whole.statistics.coords)
        assert (merged.factors, merged.covariate, merged.design) == (whole.factors, whole.covariate, whole.design)
    if kind == "count":
        assert stream.frequencies is not None
        assert whole.frequencies is not None
        pd.testing.assert_frame_equal(stream.frequencies, whole.frequencies, check_exact=True)


def exact(x: Sequence[float], y: Sequence[float]) -> float:
    """Co-deviations about the exact means."""
    left, right = [Fraction(value) for value in x], [Fraction(value) for value in y]
    n = len(left)
    mean_left, mean_right = sum(left, Fraction(0)) / n, sum(right, Fraction(0)) / n
    return float(sum(((a - mean_left) * (b - mean_right) for a, b in zip(left, right, strict=True)), Fraction(0)))


@pytest.mark.parametrize("kind", ["continuous", "revenue"])
def test_a_large_mean_keeps_its_deviations_over_the_weeks(kind: str) -> None:
    generator = np.random.default_rng(11)
    table = weekly(kind).drop(columns="channel")
    noise = generator.normal(0, 1, len(table))
    # Mean 1e8, sd 1, and every week a little higher: the weeks' means differ by less than a unit.
    table["y"] = 1e8 + noise + table.week / 4
    table["before"] = 3e8 - noise / 2 + generator.normal(0, 1, len(table))
    stream, *rest = by_week(table, kind, segments=[], covariate="before")
    merged = stream.merge(*rest)
    for position, arm in enumerate(merged.design.arms):
        y, x = (table.loc[table.arm == arm, name].tolist() for name in ("y", "before"))
        # Sums near 1e11 are rounded to 1e-5, means to 1e-8: times the spread of the weeks' means, far below 1e-7.
        assert merged.sum_squared_deviations[position] == pytest.approx(exact(y, y), rel=1e-7)
        assert merged.covariate_sum_squared_deviations[position] == pytest.approx(exact(x, x), rel=1e-7)
        assert merged.sum_codeviations[position] == pytest.approx(exact(x, y), rel=1e-6)
        if kind == "revenue":
            logs = [math.log1p((value - 1e8) / 1e8) for value in y]
            assert merged.sum_squared_log_deviations[position] == pytest.approx(exact(logs, logs), rel=1e-5)


def test_merging_nothing_is_the_same() -> None:
    cells = read(weekly("revenue"), "revenue")
    assert cells.merge() == cells
    assert cells.merge().quantiles is not None


def test_quantiles_are_kept_where_one_part_alone_has_amounts() -> None:
    table = weekly("revenue")
    some, none = read(table, "revenue"), read(table.assign(y=0.0), "revenue")
    assert some.quantiles is not None
    for merged in (none.merge(some), some.merge(none), none.merge(some, none)):
        assert merged.quantiles is not None
        assert merged.quantiles.equals(some.quantiles)
    assert some.merge(some).quantiles is None


def test_the_order_of_factors_is_that_of_the_first() -> None:
    table = weekly("binary")
    one, other = read(table, "binary"), read(table, "binary", segments=["newbie", "channel"])
    assert one.merge(other) == one.merge(one)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "count"}, "differs in its kind: count, not binary as part 1"),
        ({"outcome": "newbie", "segments": ["channel"]}, "differs in its outcome: newbie, not y"),
        ({"control": "offer"}, "differs in its control: offer, not control"),
        ({"assignment": "observational"}, "differs in its assignment: observational, not randomized"),
        ({"segments": ["channel"]}, r"differs in its factors: channel, not channel, newbie .*\.by\("),
        ({"segments": []}, "differs in its factors: none, not channel, newbie"),
        (
            {"intended_split": {"control": 1, "gift": 1, "offer": 1}},
            r"differs in its intended split: \(0\.33.*not None",
        ),
    ],
)
def test_cells_of_another_experiment_are_refused(options: dict[str, Any], words: str) -> None:
    table = weekly("binary")
    other = read(table, **({"kind": "binary"} | options))
    with pytest.raises(ArgumentError, match="part 3 " + words):
        read(table, "binary").merge(read(table, "binary"), other)


def test_a_covariate_in_one_part_only_is_refused() -> None:
    table = weekly("continuous")
    with pytest.raises(ArgumentError, match="part 2 differs in its covariate: before, not None"):
        read(table, "continuous").merge(read(table, "continuous", covariate="before"))


def test_an_arm_that_a_part_lacks_is_told() -> None:
    table = weekly("binary")
    early = read(table[table.arm != "gift"], "binary")
    with pytest.raises(ArgumentError, match=r"differs in its arms: control, offer, not .* read the parts as one table"):
        read(table, "binary").merge(early)


def test_what_is_not_cells_is_refused() -> None:
    with pytest.raises(ArgumentError, match="part 2 is a DataFrame; expected Cells"):
        read(weekly("binary"), "binary").merge(weekly("binary"))  # type: ignore[arg-type]
