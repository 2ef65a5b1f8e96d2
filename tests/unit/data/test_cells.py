import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayesuplift.data.cells import Cells
from bayesuplift.data.design import Design
from bayesuplift.data.readers import read_cells
from bayesuplift.errors import ArgumentError, DataError, FactorNotFoundError

DESIGN = Design(arms=("control", "offer"), control="control")


def binary(n: list[int], total: list[float], **options: object) -> Cells:
    statistics = xr.Dataset({"n": ("arm", n), "total": ("arm", total)}, coords={"arm": ["control", "offer"]})
    return Cells(design=DESIGN, outcome="sale", kind="binary", statistics=statistics, **options)  # type: ignore[arg-type]


@pytest.fixture
def revenue() -> Cells:
    generator = np.random.default_rng(11)
    table = pd.DataFrame(
        {
            "arm": generator.choice(["control", "offer"], 400),
            "channel": generator.choice(["Web", "Phone", "Mail"], 400),
            "newbie": generator.integers(0, 2, 400),
            "spend": np.round(generator.exponential(20, 400), 2) * generator.integers(0, 2, 400),
        }
    )
    return read_cells(
        table, arm="arm", control="control", outcome="spend", kind="revenue", segments=["channel", "newbie"]
    )


def test_a_binary_outcome_needs_n_and_total_only() -> None:
    cells = binary([10, 5], [4, 0])
    assert set(cells.statistics.data_vars) == {"n", "total"}
    assert cells.factors == ()
    # y(n - y)/n is 4·6/10; of ten values, four 1 and six 0, about .4: 4·.36 + 6·.16.
    assert cells.sum_squared_deviations.tolist() == [2.4, 0.0]
    assert cells.raw_mean.to_numpy().tolist() == [0.4, 0.0]


def test_a_statistic_of_another_kind_is_refused() -> None:
    with pytest.raises(ArgumentError, match="kind 'binary' hold no positives; they hold n, total"):
        _ = binary([1, 1], [0, 1]).positives


def test_arrays_cannot_be_written(revenue: Cells) -> None:
    for array in (revenue.n, revenue.total, revenue.sum_squared_deviations, revenue.maximum):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        revenue.statistics["n"].to_numpy()[0] = 1


def test_the_callers_dataset_is_not_held(revenue: Cells) -> None:
    statistics = revenue.statistics.copy(deep=True)
    mine = Cells(design=revenue.design, outcome="spend", kind="revenue", statistics=statistics)
    statistics["n"].to_numpy()[0] = 0
    assert np.array_equal(mine.n, revenue.n)


@pytest.mark.parametrize(
    ("n", "total", "words"),
    [
        ([10, 5], [11, 0], "total above their n"),
        ([-1, 5], [0, 0], "n is negative"),
        ([0, 0], [0, 0], "not a single unit"),
        ([1.5, 1], [0, 0], "n holds a value that is not a whole number"),
        ([2, 2], [1, -1], "total is negative"),
    ],
)
def test_statistics_that_no_data_could_have_are_refused(n: list[int], total: list[float], words: str) -> None:
    with pytest.raises(DataError, match=words):
        binary(n, total)


def test_arms_that_are_not_the_designs_are_refused() -> None:
    statistics = xr.Dataset({"n": ("arm", [1, 1]), "total": ("arm", [0, 0])}, coords={"arm": ["offer", "control"]})
    with pytest.raises(DataError, match="cells have the arms offer, control; the design has control, offer"):
        Cells(design=DESIGN, outcome="y", kind="binary", statistics=statistics)


def test_missing_statistics_and_unknown_kinds_are_refused() -> None:
    statistics = xr.Dataset({"n": ("arm", [1, 1])}, coords={"arm": ["control", "offer"]})
    with pytest.raises(DataError, match="lack total"):
        Cells(design=DESIGN, outcome="y", kind="binary", statistics=statistics)
    with pytest.raises(ArgumentError, match="Did you mean 'binary'"):
        Cells(design=DESIGN, outcome="y", kind="binry", statistics=statistics)  # type: ignore[arg-type]


def test_dimensions_other_than_ours_are_refused() -> None:
    both = (("day", "arm"), [[1, 1]])
    statistics = xr.Dataset({"n": both, "total": both}, coords={"arm": ["control", "offer"]})
    with pytest.raises(DataError, match=r"expected \(segment, arm\) or \(arm,\)"):
        Cells(design=DESIGN, outcome="y", kind="binary", statistics=statistics)


def test_counts_need_a_frequency_table_that_adds_up() -> None:
    both = ("arm", [1, 1])
    names = ("n", "total", "sum_squared_deviations", "exposure")
    statistics = xr.Dataset(dict.fromkeys(names, both), coords={"arm": ["control", "offer"]})
    with pytest.raises(DataError, match="need a frequency table"):
        Cells(design=DESIGN, outcome="y", kind="count", statistics=statistics)
    table = pd.DataFrame({"segment": [0], "arm": [0], "value": [1.0], "exposure": [1.0], "n": [1]})
    with pytest.raises(DataError, match="does not add up"):
        Cells(design=DESIGN, outcome="y", kind="count", statistics=statistics, frequencies=table)


def test_merging_equals_reading_with_fewer_segments(revenue: Cells) -> None:
    assert revenue.by("channel").statistics.segment.to_numpy().tolist() == [
        "channel=Mail",
        "channel=Phone",
        "channel=Web",
    ]
    assert revenue.by("newbie", "channel").factors == ("newbie", "channel")
    assert revenue.by("channel").by() == revenue.by() == revenue.by("newbie").by()
    assert revenue.by("newbie", "channel").by("channel") == revenue.by("channel")
    assert revenue.by().statistics.sizes == {"arm": 2}


def test_merged_maxima_and_quantiles_stay(revenue: Cells) -> None:
    merged = revenue.by()
    assert merged.maximum.tolist() == revenue.maximum.max(axis=0).tolist()
    assert revenue.quantiles is not None
    assert merged.quantiles is not None
    assert merged.quantiles.equals(revenue.quantiles)


def test_merged_frequencies_add_up() -> None:
    table = pd.DataFrame(
        {"arm": ["a", "b"] * 4, "channel": list("xxyyxxyy"), "y": [0, 1, 0, 1, 2, 1, 0, 0], "t": [1.0] * 8}
    )
    cells = read_cells(table, arm="arm", control="a", outcome="y", kind="count", segments=["channel"], exposure="t")
    merged = cells.by()
    assert merged.frequencies is not None
    assert list(merged.frequencies.itertuples(index=False, name=None)) == [
        (0, 0, 0.0, 1.0, 3),
        (0, 0, 2.0, 1.0, 1),
        (0, 1, 0.0, 1.0, 1),
        (0, 1, 1.0, 1.0, 3),
    ]


def test_an_unknown_factor_is_told_with_the_closest(revenue: Cells) -> None:
    with pytest.raises(FactorNotFoundError, match=r"'chanel'\. Factors: channel, newbie\. Did you mean 'channel'\?"):
        revenue.by("chanel")
    with pytest.raises(FactorNotFoundError, match="none, the cells have no segments"):
        revenue.by().by("channel")
    with pytest.raises(ArgumentError, match="named twice"):
        revenue.by("channel", "channel")


def test_fingerprint_tells_what_differs() -> None:
    cells = binary([10, 5], [4, 0])
    assert cells == binary([10, 5], [4, 0])
    assert hash(cells) == hash(binary([10, 5], [4, 0]))
    assert cells != binary([10, 5], [4, 1])
    assert cells != "cells"
    assert len(cells.fingerprint) == 64
    split = Design(arms=DESIGN.arms, control="control", intended_split=(0.5, 0.5))
    other = Cells(design=split, outcome="sale", kind="binary", statistics=cells.statistics)
    renamed = Cells(design=DESIGN, outcome="visit", kind="binary", statistics=cells.statistics)
    assert len({cells.fingerprint, other.fingerprint, renamed.fingerprint}) == 3


def test_fingerprint_does_not_hang_on_the_last_bits(revenue: Cells) -> None:
    statistics = revenue.statistics.copy(deep=True)
    statistics["total"] = statistics["total"] * (1 + 2e-16)
    assert Cells(design=revenue.design, outcome="spend", kind="revenue", statistics=statistics) == revenue
