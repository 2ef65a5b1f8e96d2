"""Posteriors to target on, and facts of whom to treat as a report has them."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.report.content import Report
from bayesuplift.report.targeting import targeting
from tests.support.factored import factored
from tests.support.over_units import noisy, over_units
from tests.support.worlds import seed_of

ECONOMICS = bu.Economics(2.0, {"men": 0.14, "women": 0.06})
# men's is best for one segment, women's for two, and little for the largest
RATES = np.array([[0.10, 0.20, 0.14], [0.12, 0.13, 0.20], [0.20, 0.23, 0.22], [0.2, 0.19, 0.3]])
BINARY: dict[str, Any] = {"kind": "binary", "outcome": "visit", "pooled": "segment"}
RULES = {
    "sure": bu.Threshold(0.8),
    "few": bu.BestArm().subject_to(bu.AtMost(share=0.05), bu.Never({"channel": "Web"}, arm="women")),
    "little": bu.Budget(5.0, by=bu.RiskAdjusted(0.3)),
}


def near(means: Any, *, sd: float = 0.02, draws: int = 250) -> np.ndarray:
    """Independent draws about means (segment, arm)."""
    return np.random.default_rng(seed_of("targeting report")).normal(means, sd, (2, draws, *np.shape(means)))


TREES = {
    "segments": factored(near(RATES), **BINARY),
    "units": over_units(
        noisy(
            0.3 + np.random.default_rng(7).normal(0.0, 0.05, (60, 3)),
            sd=0.03,
            seed=seed_of("people"),
            chains=2,
            draws=250,
        ),
        factors={"channel": ["Web", "Phone"] * 30},
        kind="binary",
        outcome="visit",
    ),
}
EVERY_TREE = pytest.mark.parametrize("name", list(TREES))
SEGMENTS = TREES["segments"]


def told_of(tree: xr.DataTree, economics: bu.Economics = ECONOMICS, **options: Any) -> dict[str, Any]:
    """Facts of whom to treat, as a report has them."""
    choice = bu.choose_arm(tree, threshold_of_caring=0.001, prob=0.9)
    return targeting(tree, choice, economics, **options).facts


@cache
def reported() -> dict[str, Any]:
    """Facts of a report of the segments."""
    choice = bu.choose_arm(SEGMENTS, threshold_of_caring=0.001, prob=0.9)
    return Report.of(SEGMENTS, choice, economics=ECONOMICS, rules=RULES).facts()


@cache
def facts_of(name: str, *, ruled: bool = True) -> dict[str, Any]:
    """Facts of whom to treat in one of the trees."""
    if name == "segments" and ruled:
        facts: dict[str, Any] = reported()["outcomes"][0]["targeting"]
        return facts
    return told_of(TREES[name], rules=RULES if ruled else None)


def with_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """An outcome whose other facts are those of the segments'."""
    return {**reported()["outcomes"][0], "targeting": facts}


def close(found: float | None, expected: Any) -> None:
    """Sums of the same draws in another order."""
    if found is None:
        assert np.isnan(float(expected))
    else:
        assert found == pytest.approx(float(expected), rel=1e-9, abs=1e-9)
