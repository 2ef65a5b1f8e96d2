"""Effects as a sum of curves: against least squares of every draw by NumPy, on a basis written down apart."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.errors import ArgumentError
from bayesuplift.estimands import unit_effects
from tests.support.mcse import assert_within_mcse
from tests.support.unit_worlds import customers, drawn, experiment_of, of_units
from tests.support.worlds import seed_of

FRAME = customers(300, seed=seed_of("curves"))
NAMES = [str(name) for name in FRAME]
LEVEL = FRAME["channel"].map({"Mail": 0.0, "Phone": 0.5, "Web": -0.2}).to_numpy()
TRUTH = 0.02 * FRAME["age"].to_numpy() + LEVEL + 0.3 * FRAME["newbie"].to_numpy()
EFFECTS = drawn(TRUTH, seed=seed_of("curve draws"))


def curves(posterior: xr.DataTree | None = None, frame: Any = FRAME, **options: Any) -> Any:
    tree = of_units(EFFECTS, outcome="sales") if posterior is None else posterior
    return bu.effect_curves(tree, frame, **({"covariates": NAMES} | options))


def curve_of(found: Any, name: str) -> xr.DataArray:
    draws = found.draws
    return draws.isel(point=np.flatnonzero(draws["curve"].values == name))


def at_units(found: Any, name: str, frame: pd.DataFrame = FRAME) -> np.ndarray:
    """The curve's values at the units, (chain, draw, unit)."""
    curve = curve_of(found, name)
    if frame[name].dtype.kind == "f":
        rows = curve.to_numpy().reshape(-1, curve.sizes["point"])
        values = np.array([np.interp(frame[name], curve["position"].values, row) for row in rows])
        return values.reshape(*curve.shape[:2], -1)
    place = {value: i for i, value in enumerate(curve["value"].values.tolist())}
    return np.asarray(curve.to_numpy()[:, :, [place[value] for value in frame[name]]])


def design(found: Any, frame: pd.DataFrame = FRAME) -> np.ndarray:
    """Columns of an additive function: of numbers truncated lines at the inner knots, of text an indicator a level."""
    columns = [np.ones(len(frame))]
    for name in dict.fromkeys(found.draws["curve"].values.tolist()):
        curve = curve_of(found, name)
        if frame[name].dtype.kind == "f":
            knots = curve["position"].values
            columns += [frame[name].to_numpy(), *(np.maximum(frame[name] - knot, 0.0) for knot in knots[1:-1])]
        else:
            columns += [(frame[name] == value).to_numpy(float) for value in curve["value"].values[1:]]
    return np.stack(columns, axis=1)


def test_every_draw_is_the_least_squares_fit() -> None:
    found = curves()
    columns = design(found)
    rows = EFFECTS.reshape(-1, len(FRAME)).T
    coefficients, *_ = np.linalg.lstsq(columns, rows, rcond=None)
    fitted = (columns @ coefficients).T.reshape(EFFECTS.shape)
    ours = found.average.to_numpy()[..., None] + np.sum([at_units(found, name) for name in NAMES], axis=0)
    np.testing.assert_allclose(ours, fitted, atol=1e-10)  # two ways to solve systems of some 20 columns
    residual = ((EFFECTS - fitted) ** 2).sum(axis=2)
    total = ((EFFECTS - EFFECTS.mean(axis=2, keepdims=True)) ** 2).sum(axis=2)
    np.testing.assert_allclose(found.r_squared, 1.0 - residual / total, atol=1e-10)


def test_curves_average_nothing_over_the_units() -> None:
    found = curves()
    for name in NAMES:
        np.testing.assert_allclose(at_units(found, name).mean(axis=2), 0.0, atol=1e-12)
    np.testing.assert_allclose(found.average, EFFECTS.mean(axis=2), atol=1e-13)
    assert found.table["n"].groupby(found.table["curve"]).sum().values.tolist() == [300] * 4


def test_shares_are_covariances_and_add_up_to_r_squared() -> None:
    found = curves()
    about = EFFECTS - EFFECTS.mean(axis=2, keepdims=True)
    for name in NAMES:
        expected = (at_units(found, name) * about).sum(axis=2) / (about**2).sum(axis=2)
        np.testing.assert_allclose(found.shares.sel(covariate=name), expected, atol=1e-10)
    np.testing.assert_allclose(found.shares.sum("covariate"), found.r_squared, atol=1e-12)
    assert float(found.table["share"].sel(covariate="age")) == pytest.approx(
        float(found.shares.sel(covariate="age").mean()), rel=1e-12
    )


def test_an_additive_truth_is_told_whole_with_the_right_curves() -> None:
    exact = TRUTH + 0.1 * np.random.default_rng(2).standard_normal((4, 250, 1))
    found = curves(of_units(exact))
    np.testing.assert_allclose(found.r_squared, 1.0, rtol=1e-10)
    knots = curve_of(found, "age")["position"].values
    line = 0.02 * (knots - FRAME["age"].mean())
    np.testing.assert_allclose(curve_of(found, "age").mean(("chain", "draw")), line, atol=1e-10)
    levels = curve_of(found, "channel")
    gap = (
        levels[..., levels["value"].values.tolist().index("Phone")]
        - levels[..., levels["value"].values.tolist().index("Web")]
    )
    np.testing.assert_allclose(gap, 0.7, atol=1e-10)
    # the fault that this would catch: curves of one covariate at a time, which take over what is another's
    away = FRAME["channel"].map(pd.Series(TRUTH).groupby(FRAME["channel"]).mean()).to_numpy() - LEVEL
    assert np.ptp(away) > 0.01


def test_noise_about_an_additive_truth_moves_curves_by_their_stated_spread() -> None:
    effects = drawn(TRUTH, seed=seed_of("noise"), chains=4, draws=500)
    found = curves(of_units(effects))
    # of independent errors with sd 0.1 least squares is unbiased, with the covariance 0.01 (X'X)^-1
    assert_within_mcse(curve_of(found, "newbie"), 0.3 * (np.array([0.0, 1.0]) - FRAME["newbie"].mean()))
    columns = design(found)
    slope_sd = 0.1 * np.sqrt(np.linalg.inv(columns.T @ columns)[-3, -3])
    gap = curve_of(found, "newbie").diff("point")
    assert float(gap.std()) == pytest.approx(slope_sd, rel=5 / np.sqrt(2 * 2000))


def test_an_interaction_is_not_told() -> None:
    sign = np.where(FRAME["newbie"] == 1, 1.0, -1.0) * np.where(FRAME["channel"] == "Web", 1.0, -1.0)
    found = curves(of_units(np.broadcast_to(sign, (2, 4, len(sign)))), covariates=["newbie", "channel"])
    # all that is left of it is what unequal groups share
    assert float(found.r_squared.max()) < 0.25
    assert (
        float(bu.effect_tree(of_units(np.broadcast_to(sign, (2, 4, 300))), FRAME, covariates=NAMES).r_squared.max())
        > 0.99
    )


def test_few_distinct_values_are_all_knots_and_heavy_ones_leave_knots_to_the_others() -> None:
    found = curves(knots=5)
    assert curve_of(found, "newbie")["value"].values.tolist() == ["0", "1"]
    spend = curve_of(found, "spend")["position"].values
    assert len(spend) == 5
    assert (spend[0], spend[-1]) == (FRAME["spend"].min(), FRAME["spend"].max())
    assert (spend > 0).sum() >= 3  # where a third of the units spend nothing
    assert np.isnan(curve_of(found, "channel")["position"]).all()
    assert curve_of(found, "channel")["value"].values.tolist() == FRAME["channel"].value_counts().index.tolist()


def test_rare_levels_share_a_value() -> None:
    frame = FRAME.assign(town=[f"t{min(k, 40)}" for k in np.random.default_rng(1).geometric(0.08, 300)])
    found = curves(frame=frame, covariates=["town"])
    points = found.draws["value"].values.tolist()
    assert len(points) == 20
    assert points[-1] == "(every other level)"
    rest = ~frame["town"].isin(points).to_numpy()
    np.testing.assert_allclose(found.draws[..., -1] + found.average, EFFECTS[:, :, rest].mean(axis=2), atol=1e-12)
    assert int(found.table["n"][-1]) == rest.sum()


def test_curves_that_cannot_be_told_apart_are_refused_by_name_and_left_out_otherwise() -> None:
    frame = FRAME.assign(
        months=FRAME["age"] * 12.0, region=FRAME["channel"].map({"Mail": "n", "Phone": "n", "Web": "s"})
    )
    for other, same in (("months", "age"), ("region", "channel")):
        with pytest.raises(ArgumentError, match=f"the curve of '{other}' cannot be told from that of '{same}'"):
            curves(frame=frame, covariates=[*NAMES, other])
    found = bu.effect_curves(of_units(EFFECTS), experiment_of(frame))
    assert found.left_out == {
        "months": "cannot be told from that of 'age'",
        "region": "cannot be told from that of 'channel'",
    }
    np.testing.assert_allclose(found.r_squared, curves().r_squared, atol=1e-10)
    assert "region: no curve" in str(found)
    pair = pd.DataFrame({"a": [0.0, 1.0] * 150, "b": [0.0, 0.0, 1.0, 1.0] * 75})
    with pytest.raises(ArgumentError, match="'c' cannot be told from those of a, b together"):
        curves(frame=pair.assign(c=pair["a"] + pair["b"]), covariates=["a", "b", "c"], knots=2)


def test_covariates_that_are_nearly_alike_have_curves() -> None:
    near = FRAME["age"] + 5.0 * np.random.default_rng(8).standard_normal(300)
    found = curves(frame=FRAME.assign(near=near), covariates=["age", "near"])
    assert found.shares["covariate"].values.tolist() == ["age", "near"]


def test_relabelled_units_a_constant_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = curves()
    order = np.random.default_rng(4).permutation(len(FRAME))
    turned = curves(of_units(EFFECTS[:, :, order]), FRAME.iloc[order])
    shifted = curves(of_units(EFFECTS - 3.0))
    monkeypatch.setattr(unit_effects, "_BLOCK", 7 * len(FRAME))
    blocked = curves()
    for other, moved in ((turned, 0.0), (shifted, -3.0), (blocked, 0.0)):
        np.testing.assert_allclose(other.draws, found.draws, atol=1e-10)
        np.testing.assert_allclose(other.shares, found.shares, atol=1e-10)
        np.testing.assert_allclose(other.average, found.average + moved, atol=1e-12)


def test_the_table_is_the_summary_and_the_text_says_what_the_bands_are() -> None:
    found = curves(prob=0.8)
    summary = bu.summarize(found.draws, prob=0.8)
    for name in ("mean", "mcse", "lower", "upper", "upper_mcse", "prob_positive"):
        np.testing.assert_array_equal(found.table[name], summary[name])
    text = str(found)
    assert "Intervals are pointwise." in text
    assert "[80% equal-tailed interval]" in text
    assert text.splitlines()[2].startswith("age (")  # the covariate with the largest share comes first
    assert found.table.attrs["bands"] == "pointwise"


def test_draws_whose_effects_are_all_equal_have_no_shares() -> None:
    effects = EFFECTS.copy()
    effects[1, 3] = 2.0
    found = curves(of_units(effects))
    assert int(np.isnan(found.shares).sum()) == 4
    assert found.r_squared.attrs["undefined_draws"] == 1
    assert np.isfinite(found.table["share"]).all()
    np.testing.assert_allclose(found.draws[1, 3], 0.0, atol=1e-12)


@pytest.mark.parametrize("knots", [1, 2.5, True])
def test_too_few_knots_are_refused(knots: Any) -> None:
    with pytest.raises(ArgumentError, match="knots = "):
        curves(knots=knots)
