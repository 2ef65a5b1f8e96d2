"""The table of prior predictive effects on a pooled model's card is that of its prior, up to Monte Carlo error."""

import functools
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtri

from bayesuplift.inference.pooled_coordinates import POOLED
from tests.support.catalogue import card, tables
from tests.support.mcse import LEVEL
from tests.support.prior_effects import COLUMNS, DRAWS, QUANTILES, effects
from tests.support.worlds import seed_of

CHAINS = 4
FRESH = 10_000
"""Draws of each chain here, of another seed than the card's."""

every_model = pytest.mark.parametrize("name", sorted(POOLED))
Effects = Mapping[tuple[str, str], NDArray[np.float64]]


@functools.cache
def drawn(name: str) -> Effects:
    return effects(name, draws=FRESH, seed=seed_of(f"fresh prior effects of {name}"))


@functools.cache
def told(name: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """The card's quantiles, as they are written, by alternative and effect."""
    (table,) = [rows for rows in tables(card(name)) if rows and tuple(rows[0]) == COLUMNS]
    return {(row["prior"], row["effect"]): tuple(row[column] for column in COLUMNS[2:]) for row in table}


def wrong(card_of: Mapping[tuple[str, str], tuple[str, ...]], found: Effects, *, factor: float = 1.0) -> list[str]:
    """Quantiles of the card that fresh draws contradict.

    The share of fresh draws below a quantile of the card's own draws is off by the binomial errors of both; the card's
    number may lie half a unit of its last digit to either side.
    """
    limit = -ndtri(LEVEL / (2 * len(card_of) * len(QUANTILES)))
    contradicted = []
    for key, quantiles in card_of.items():
        for share, text in zip(QUANTILES, quantiles, strict=True):
            half = 0.5 * 10.0 ** -len(text.partition(".")[2])
            error = limit * np.sqrt(share * (1 - share) * (1 / (CHAINS * FRESH) + 1 / (CHAINS * DRAWS)))
            below = [(found[key] < factor * float(text) + side).mean() for side in (-half, half)]
            if not (below[0] <= share + error and below[1] >= share - error):
                contradicted.append(f"{key} {share}")
    return contradicted


@every_model
def test_the_card_tells_the_effects_of_its_prior(name: str) -> None:
    assert set(told(name)) == set(drawn(name))
    assert wrong(told(name), drawn(name)) == []


@every_model
def test_a_table_that_is_a_tenth_off_is_rejected(name: str) -> None:
    assert wrong(told(name), drawn(name), factor=1.1)


@every_model
def test_a_table_of_another_prior_is_rejected(name: str) -> None:
    turned = {("stated", kind): found for (alternative, kind), found in told(name).items() if alternative == "weak"}
    # the lower end of the average alone may agree: a mean outcome near 0 falls no further
    wider = {f"{('stated', kind)} {share}" for kind, share in (("average", 0.95), ("sd", 0.05), ("sd", 0.95))}
    assert wider <= set(wrong(turned, drawn(name)))
