"""Causal forests of units that come in a few kinds: sampled by kind, told by unit."""

from typing import Any

import numpy as np
import pandas as pd

import bayesuplift as bu
from bayesuplift.data.experiment import Experiment
from tests.support.forests import TINY
from tests.support.worlds import seed_of

SHORT: dict[str, Any] = {"chains": 2, "draws": 20, "warmup": 50, "progress": False, "seed": 3}


def trial() -> pd.DataFrame:
    """Twenty units of each of six kinds in either arm."""
    rng = np.random.default_rng(seed_of("kinds"))
    kinds = pd.MultiIndex.from_product([[0, 1], ["Web", "Phone", "Shop"], ["none", "offer"], range(20)]).to_frame()
    table = kinds.set_axis(["loyal", "channel", "arm", "number"], axis=1).sample(frac=1.0, random_state=1)
    gain = 1.0 + table["loyal"] * (table["arm"] == "offer")
    return table.assign(spend=gain + rng.normal(size=len(table))).drop(columns="number").reset_index(drop=True)


def read(table: pd.DataFrame) -> Experiment:
    return bu.read_experiment(
        table, arm="arm", control="none", outcome="spend", kind="continuous", covariates=["loyal", "channel"]
    )


def test_units_of_a_kind_share_a_row_and_keep_their_own_draws() -> None:
    table = trial()
    tree = bu.fit("bayesian_causal_forest", read(table), prior=TINY, **SHORT)
    assert tree["sample_stats"].attrs["sampled_rows"] == 12
    draws = tree["posterior"]["mean_outcome"]
    assert draws.sizes["unit"] == len(table)
    # each unit has the draws of its own kind: those that its covariates get from the stored trees
    again = bu.predict(tree, table[["loyal", "channel"]], seed=1)["posterior"]["mean_outcome"]
    np.testing.assert_allclose(again.transpose(*draws.dims), draws, rtol=2e-5)
    average = draws.mean("unit", dtype="float64")
    found = average.sel(arm="offer") - average.sel(arm="none")
    np.testing.assert_allclose(bu.ate(tree).squeeze("arm", drop=True), found, rtol=1e-5)
    # under other priors chains go on from there, and are averages over units too
    assert set(tree["alternatives"]["prior"].to_numpy()) == {"weak", "strong"}
    later = bu.fit("bayesian_causal_forest", read(table), start=tree, prior=TINY, **SHORT | {"seed": 4})
    assert later["sample_stats"].attrs["sampled_rows"] == 12
