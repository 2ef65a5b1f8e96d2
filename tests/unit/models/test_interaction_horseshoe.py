"""The sparse regression of effects: noughts are drawn to nought, what is not nought is left alone."""

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.data.units import Units
from bayesuplift.errors import ArgumentError, DataWarning, PosteriorError
from bayesuplift.inference import thinning
from bayesuplift.priors import HorseshoePrior
from tests.support.worlds import seed_of

COLUMNS = [f"x{k}" for k in range(12)]
MODIFIES = 0.4  # what the first covariate adds to the effect of treatment, outcome units a standard deviation
UNITS = 1200


@functools.cache
def world() -> tuple[pd.DataFrame, np.ndarray]:
    """Units of which one of twelve covariates changes the effect, and the true effect of each."""
    rng = np.random.default_rng(seed_of("one of twelve"))
    x = rng.normal(size=(UNITS, len(COLUMNS)))
    treated = rng.integers(0, 2, UNITS)
    effect = 0.2 + MODIFIES * x[:, 0]
    outcome = 5.0 + x @ rng.normal(0.0, 0.3, len(COLUMNS)) + treated * effect + rng.normal(0.0, 1.0, UNITS)
    table = pd.DataFrame(x, columns=COLUMNS).assign(arm=np.where(treated, "offer", "control"), spend=outcome)
    return table, effect


def experiment(table: pd.DataFrame) -> Any:
    return bu.read_experiment(
        table, arm="arm", control="control", outcome="spend", kind="continuous", covariates=COLUMNS
    )


@functools.cache
def fitted(*, shuffled: bool = False) -> xr.DataTree:
    """One fit; of a table whose first covariate belongs to other units, where it is shuffled."""
    table, _ = world()
    order = np.random.default_rng(seed_of("shuffled")).permutation(UNITS) if shuffled else np.arange(UNITS)
    given = experiment(table.assign(x0=table["x0"].to_numpy()[order]))
    return bu.fit("interaction_horseshoe", given, seed=seed_of("horseshoe"), sensitivity=False, progress=False)


def errors_of(effects: np.ndarray) -> float:
    return float(np.sqrt(((effects - world()[1]) ** 2).mean()))


def least_squares() -> np.ndarray:
    """Effects of units by a regression in each arm."""
    table, _ = world()
    rows = np.column_stack([np.ones(UNITS), table[COLUMNS]])
    fits = {
        arm: np.linalg.lstsq(rows[part.index], part["spend"].to_numpy(), rcond=None)[0]
        for arm, part in table.groupby("arm")
    }
    return rows @ (fits["offer"] - fits["control"])


def mean_effects(tree: xr.DataTree) -> np.ndarray:
    return bu.cate(tree).mean(("chain", "draw")).to_numpy()[:, 0]


def test_effects_are_closer_to_the_truth_than_least_squares() -> None:
    assert errors_of(mean_effects(fitted())) < 0.6 * errors_of(least_squares())
    # planted: the covariate that changes the effect belongs to other units
    assert errors_of(mean_effects(fitted(shuffled=True))) > 0.9 * MODIFIES


def test_what_is_nought_is_drawn_to_nought_and_what_is_not_is_left_alone() -> None:
    interaction = fitted()["posterior"]["interaction"].sel(treatment="offer")
    mean = interaction.mean(("chain", "draw")).to_numpy()
    sd = interaction.std(("chain", "draw")).to_numpy()
    standard_error = 2.0 / np.sqrt(UNITS)
    spread = world()[0]["x0"].std(ddof=0)
    assert abs(mean[0] / spread - MODIFIES) < 3.0 * standard_error
    assert np.sqrt((mean[1:] ** 2).mean()) < 0.6 * standard_error
    assert sd[1:].mean() < 0.8 * standard_error


def test_diagnostics_pass_and_every_unit_has_its_effect() -> None:
    tree = fitted()
    assert [check.sentence for check in bu.diagnose(tree) if not check.passed] == []
    assert bu.cate(tree).dims == ("chain", "draw", "unit", "arm")
    assert tree.attrs["pooled"] == "unit"
    lower, upper = bu.cate(tree).quantile([0.05, 0.95], ("chain", "draw")).to_numpy()[:, :, 0]
    assert ((lower < world()[1]) & (world()[1] < upper)).mean() > 0.8


def test_an_average_is_that_of_the_units() -> None:
    tree = fitted()
    xr.testing.assert_allclose(bu.ate(tree), bu.cate(tree).mean("unit"), rtol=1e-10)


def test_new_units_are_predicted_by_the_line_of_the_fit(tmp_path: Any) -> None:
    tree, (table, _) = fitted(), world()
    bu.save(tree, tmp_path / "posterior.nc")
    some = table.iloc[[3, 700, 12]].drop(columns=["arm", "spend"]).assign(name=["c", "a", "b"])
    there = bu.predict(bu.load(tmp_path / "posterior.nc"), some, seed=1, unit="name")
    assert there["posterior"]["unit"].to_numpy().tolist() == ["c", "a", "b"]
    seen = tree["posterior"]["mean_outcome"].isel(unit=[3, 700, 12]).to_numpy()
    np.testing.assert_allclose(there["posterior"]["mean_outcome"].to_numpy(), seen, rtol=1e-12)


def test_predicting_more_units_than_fit_in_memory_is_refused() -> None:
    table = world()[0]
    with pytest.raises(ArgumentError, match=r"units are too many.*at a time"):
        bu.predict(fitted(), pd.concat([table] * 40), seed=1)


def test_predicting_without_the_coding_is_refused() -> None:
    tree = fitted().copy()
    del tree.attrs["coding"]
    with pytest.raises(PosteriorError, match="lacks how its covariates were coded"):
        bu.predict(tree, world()[0].head(2), seed=1)


def test_cells_and_binary_outcomes_are_refused() -> None:
    table = world()[0]
    cells = bu.read_cells(table, arm="arm", control="control", outcome="spend", kind="continuous")
    with pytest.raises(ArgumentError, match=r"fitted on units, not on cells; read the units with read_experiment"):
        bu.fit("interaction_horseshoe", cells, seed=1)
    binary = bu.read_experiment(
        table.assign(spend=(table["spend"] > 5) * 1),
        arm="arm",
        control="control",
        outcome="spend",
        kind="binary",
        covariates=COLUMNS,
    )
    with pytest.raises(ArgumentError, match="is for continuous, revenue outcomes; 'spend' is binary"):
        bu.fit("interaction_horseshoe", binary, seed=1)


def test_the_global_scale_follows_how_many_covariates_are_expected() -> None:
    units = Units.of(experiment(world()[0]))
    one, three = (HorseshoePrior(expected=k).resolved(units).global_scale for k in (1.0, 3.0))
    assert one is not None
    assert three == pytest.approx(one * 11 * 3 / 9)
    arm, outcome = units.experiment.arm, units.experiment.outcome
    within = np.sqrt(np.mean([outcome[arm == k].var() * (arm == k).mean() * 2 for k in (0, 1)]))
    assert one == pytest.approx(within * np.sqrt(4 / UNITS) / 11)


def test_a_prior_of_an_outcome_that_never_varies_must_be_stated() -> None:
    with pytest.warns(DataWarning, match="constant"):
        units = Units.of(experiment(world()[0].assign(spend=1.0)))
    with pytest.raises(ArgumentError, match="'spend' does not vary within any arm; state it"):
        HorseshoePrior().resolved(units)


def test_one_draw_in_so_many_is_kept_where_units_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    few = replace(experiment(world()[0].head(200)))
    monkeypatch.setattr(thinning, "LARGEST", 200 * 2 * 32 * 33)
    options: dict[str, Any] = {"seed": 4, "engine": "hmc", "draws": 101, "sensitivity": False, "progress": False}
    tree = bu.fit("interaction_horseshoe", few, **options)
    assert tree["posterior"].sizes["draw"] == tree["sample_stats"].sizes["draw"] == 25
    assert tree["sample_stats"].attrs["kept_one_in"] == 4
    monkeypatch.undo()
    whole = bu.fit("interaction_horseshoe", few, **options)
    kept = whole["posterior"]["base"].to_numpy()[:, 3::4]
    np.testing.assert_array_equal(tree["posterior"]["base"].to_numpy(), kept[:, :25])
