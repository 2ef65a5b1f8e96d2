"""The parts of a pooled predictor, by the labels they carry, add up to the mean outcome."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.data.cells import Cells
from bayesuplift.dims import ARM, SEGMENT
from bayesuplift.priors import NormalPoolingPrior
from tests.support.examples import SEGMENTS
from tests.support.worlds import seed_of

SUMS = 64 * float(np.finfo(np.float64).eps)  # of a dozen terms, relative to the largest
PRIOR = NormalPoolingPrior(10.0, 2.0, 1.0, 1.0, 0.5, scale=3.0, smallest_scale=0.01)


def cells_of(factors: list[str], arms: tuple[str, ...], control: str) -> Cells:
    """Three units in every cell of the examples' segments, by some of their factors."""
    segments = SEGMENTS[factors].drop_duplicates()
    rows = segments.loc[segments.index.repeat(3 * len(arms))].reset_index(drop=True)
    table = rows.assign(arm=np.tile(np.repeat(arms, 3), len(segments)), y=np.arange(len(rows), dtype=float))
    return bu.read_cells(table, arm="arm", control=control, outcome="y", kind="continuous", segments=factors)


def put_together(cells: Cells, sites: xr.Dataset, *, without: str = "") -> Any:
    """The card's formula, term by term over labels, one of the sites left out."""
    parts = {str(name): 0.0 * site if name == without else site for name, site in sites.data_vars.items()}
    of_arms = []
    for arm in cells.design.arms:
        of_segments = []
        for segment in cells.statistics[SEGMENT].to_numpy():
            levels = str(segment).split(", ")
            found = parts["base"] + sum(parts["prognostic_level"].sel(level=level) for level in levels)
            if "prognostic_segment" in parts:
                found = found + parts["prognostic_segment"].sel(segment=segment)
            if arm != cells.design.control:
                found = found + parts["average_effect"].sel(treatment=arm)
                found = found + sum(parts["effect_level"].sel(treatment=arm, level=level) for level in levels)
                if "effect_segment" in parts:
                    found = found + parts["effect_segment"].sel(treatment=arm, segment=segment)
            of_segments.append(found.drop_vars(("level", "treatment", SEGMENT), errors="ignore"))
        of_arms.append(xr.concat(of_segments, dim=SEGMENT))
    return xr.concat(of_arms, dim=ARM).transpose("chain", "draw", SEGMENT, ARM).to_numpy()


@pytest.mark.parametrize(
    ("factors", "control", "arms"),
    [
        (["channel"], "a", ("a", "b")),
        (["channel"], "b", ("a", "b", "c")),
        (["newbie", "channel"], "b", ("a", "b")),
        (["newbie", "channel", "visits"], "b", ("a", "b", "c")),
    ],
)
def test_levels_and_effects_add_up_to_the_mean_outcome(factors: list[str], control: str, arms: tuple[str, ...]) -> None:
    cells = cells_of(factors, arms, control)
    tree = bu.draw_prior("partial_pooling_normal", cells, seed=seed_of("levels"), prior=PRIOR, draws=5)
    sites = tree["posterior"].to_dataset()
    drawn = sites["mean_outcome"].to_numpy()
    assert abs(put_together(cells, sites) - drawn).max() <= SUMS * abs(drawn).max()
    for name in ("average_effect", "effect_level", "prognostic_level"):
        assert abs(put_together(cells, sites, without=name) - drawn).max() > 0.01
    crossed = len(factors) > 1
    assert {"prognostic_segment", "effect_segment"} & set(map(str, sites)) == (
        {"prognostic_segment", "effect_segment"} if crossed else set()
    )
    assert tuple(sites["term"].values) == (*factors, *((SEGMENT,) if crossed else ()))
    assert ("effect_cholesky" in sites) == (len(arms) > 2)


@pytest.mark.parametrize("kind", ["prognostic_level", "effect_level"])
def test_levels_of_a_factor_sum_to_zero(kind: str) -> None:
    cells = cells_of(["newbie", "channel", "visits"], ("a", "b"), "a")
    tree = bu.draw_prior("partial_pooling_normal", cells, seed=seed_of("sums"), prior=PRIOR, draws=5)
    levels = tree["posterior"].to_dataset()[kind]
    factor = pd.Series(levels["level"].to_numpy()).str.partition("=")[0].to_numpy()
    sums = levels.groupby(xr.DataArray(factor, dims="level", name="factor")).sum()
    assert float(abs(sums).max()) <= SUMS * float(abs(levels).max())
