"""What a posterior says against its own verdict."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesuplift as bu
from bayesuplift.errors import ArgumentError, PosteriorError
from tests.support.examples import example
from tests.support.factored import factored, rates
from tests.support.worlds import binary_cells

SEGMENTS = 50


def many_small_cells(n: tuple[int, int], conversions: int) -> bu.Cells:
    """Segments that all have so many units by arm; the first arm converts so often in each, the second in every other."""
    units = np.tile(n, (SEGMENTS, 1))
    every_other = np.arange(SEGMENTS) % 2
    return binary_cells(units, np.stack([np.full(SEGMENTS, conversions), every_other], axis=1))


def failed(choice: bu.Choice) -> set[str]:
    return {check.name for check in choice.checks if not check.passed}


def test_priors_of_many_small_cells_do_not_decide() -> None:
    # 1.0% against 0.5%, and yet the average over cells of Beta(1, 1) posteriors puts the second arm ahead
    cells = many_small_cells((900, 100), 9)
    tree = bu.fit("beta_binomial", cells, seed=1)
    choice = bu.choose_arm(tree, threshold_of_caring=0.0005)
    assert float(choice.prob_best.sel(arm="b").mean()) > 0.5
    assert failed(choice) == {"segment_priors"}
    assert choice.verdict.name == "INVALID"
    assert "without segments" in choice.verdict.sentence
    pooled = bu.choose_arm(bu.fit("beta_binomial", cells.by(), seed=1), threshold_of_caring=0.0005)
    assert (pooled.verdict.name, pooled.verdict.arm) == ("CHOOSE", "a")
    assert failed(bu.choose_arm(bu.fit("exchangeable_rates", cells, seed=1), threshold_of_caring=0.0005)) == set()


def test_an_average_over_large_cells_is_decided_on() -> None:
    cells = binary_cells([[5000, 5000], [8000, 7900]], [[500, 560], [400, 460]])
    assert failed(bu.choose_arm(bu.fit("beta_binomial", cells, seed=1), threshold_of_caring=0.001)) == set()


EMPTY_CELL = ((100, 60, 40), (10, 20, 30), (300, 300, 0), (7, 5, 8))
EMPTY_ARM = ((100, 60, 0), (10, 20, 0), (300, 300, 0), (7, 5, 0))


@pytest.mark.parametrize(
    ("n", "attributes", "told"),
    [
        (EMPTY_CELL, {"pooled": "segment"}, None),
        (EMPTY_CELL, {}, "An arm has no unit in newbie=1, channel=Phone"),
        (EMPTY_CELL, {"pooled": "unit"}, "An arm has no unit in"),
        (EMPTY_CELL, {"pooled": "unit", "grouped_by": "newbie, channel"}, None),
        (EMPTY_ARM, {"pooled": "segment"}, "No unit is in women"),
        (EMPTY_ARM, {}, "No unit is in women"),
    ],
)
def test_an_empty_cell_is_no_fault_where_segments_are_pooled_and_an_empty_arm_is(
    n: tuple[tuple[int, ...], ...], attributes: dict[str, Any], told: str | None
) -> None:
    tree = factored(rates(seed=3, chains=4, draws=250), observed={"n": n}, **attributes)
    choice = bu.choose_arm(tree, threshold_of_caring=0.001)
    found = [check.sentence for check in choice.checks if check.name == "units"]
    assert bool(found) == (told is not None)
    assert choice.verdict.name == ("CONTINUE" if told is None else "INVALID")
    assert told is None or told in found[0]


def counts(exposures: tuple[float, float], rates: dict[str, tuple[float, float]]) -> pd.DataFrame:
    rng = np.random.default_rng(20261122)
    rows = [
        pd.DataFrame({"arm": arm, "place": place, "days": days, "events": rng.poisson(rate * days, 2000)})
        for arm, both in rates.items()
        for place, days, rate in zip(("short", "long"), exposures, both, strict=True)
    ]
    return pd.concat(rows)


def test_rates_are_averaged_over_segments_by_their_exposure() -> None:
    # b is better where little is seen, and worse where nearly all exposure is
    table = counts((0.1, 10.0), {"a": (1.0, 1.0), "b": (1.5, 0.8)})
    named = {"arm": "arm", "control": "a", "outcome": "events", "kind": "count", "exposure": "days"}
    by_place = bu.read_cells(table, segments=["place"], **named)
    found = {}
    for name, cells in (("segments", by_place), ("whole", by_place.by())):
        choice = bu.choose_arm(bu.fit("negative_binomial", cells, seed=1), threshold_of_caring=0.01)
        found[name] = (choice.verdict.arm, choice.overall["mean_outcome"].to_numpy())
    assert found["segments"][0] == found["whole"][0] == "a"
    observed = by_place.by().total / by_place.by().exposure
    np.testing.assert_allclose(found["segments"][1], observed, rtol=0.01)


def test_a_model_without_exposure_refuses_counts_that_differ_in_theirs() -> None:
    table = counts((1.0, 2.0), {"a": (1.0, 1.0), "b": (1.5, 0.8)})
    named = {"arm": "arm", "control": "a", "outcome": "events", "kind": "count"}
    with pytest.raises(ArgumentError, match="takes no exposure"):
        bu.fit("normal", bu.read_cells(table, exposure="days", **named), seed=1)
    assert bu.fit("normal", bu.read_cells(table, **named), seed=1).attrs["model"] == "normal"


def test_amounts_that_nobody_paid_decide_nothing() -> None:
    table = pd.DataFrame({"arm": ["a", "b"] * 500, "spend": 0.0})
    with pytest.warns(bu.errors.DataWarning, match="constant"):
        cells = bu.read_cells(table, arm="arm", control="a", outcome="spend", kind="revenue")
    choice = bu.choose_arm(bu.fit("hurdle_lognormal", cells, seed=1), threshold_of_caring=0.1)
    assert "amounts" in failed(choice)
    assert choice.verdict.name == "INVALID"


def test_past_experiments_have_no_population_to_decide_for() -> None:
    with pytest.raises(PosteriorError, match="EffectPrior"):
        bu.choose_arm(bu.fit("portfolio", example("portfolio"), seed=1), threshold_of_caring=0.1)


def test_a_learned_prior_needs_a_flat_one_to_replace() -> None:
    learned = bu.EffectPrior.learned_from(bu.fit("portfolio", example("portfolio"), seed=1))
    tree = bu.fit("hurdle_lognormal", example("hurdle_lognormal"), seed=1)
    with pytest.raises(ArgumentError, match="cannot take its place"):
        bu.choose_arm(tree, threshold_of_caring=0.1, effect_prior=learned)
    with pytest.raises(ArgumentError, match="learned_from"):
        bu.choose_arm(tree, threshold_of_caring=0.1, effect_prior=tree)
