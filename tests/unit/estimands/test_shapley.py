"""Shapley values of effects: exact over all orders, near over drawn ones, and of lines in coded covariates."""

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.data.coding import Coding
from bayesuplift.errors import ArgumentError, ArmNotFoundError, ColumnNotFoundError, MissingExtraError, PosteriorError
from bayesuplift.estimands.shapley import Mixed, Orders, shapley
from tests.support.over_units import noisy, over_units

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "shapley.json").read_text())
BACKGROUND, UNITS, VALUES = (np.array(GOLDEN[name]) for name in ("background", "units", "values"))
PLAYERS = BACKGROUND.shape[1]


def mixed_with(unit: np.ndarray, background: np.ndarray = BACKGROUND) -> Mixed:
    def at(coalition: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = np.where(coalition, unit, background[others])
        wave = x[:, 0] * x[:, 1] * x[:, 3] + np.sin(2.0 * x[:, 2]) + np.where(x[:, 3] > 0.0, x[:, 0], 0.0)
        # two draws: the function, and three times as much
        return np.array([[wave, 3.0 * wave]]), np.arange(len(x))

    return at


def test_over_all_orders_and_the_whole_background_values_are_shaps() -> None:
    every = np.array([np.argsort(order) for order in itertools.permutations(range(PLAYERS))])
    background = np.repeat(np.arange(len(BACKGROUND)), len(every))
    orders = Orders(background, np.tile(every, (len(BACKGROUND), 1)))
    for unit, expected in zip(UNITS, VALUES, strict=True):
        found, by_sample = shapley(mixed_with(unit), orders)
        np.testing.assert_allclose(found[0, 0], expected, atol=1e-12)
        np.testing.assert_allclose(found[0, 1], 3.0 * expected, atol=1e-12)
        np.testing.assert_allclose(by_sample.mean(axis=0), 2.0 * expected, atol=1e-12)


def test_drawn_orders_are_within_their_error_and_another_background_is_not() -> None:
    generator = np.random.default_rng(4)
    orders = Orders.drawn(2000, background=len(BACKGROUND), players=PLAYERS, generator=generator)
    assert (np.sort(orders.place, axis=1) == np.arange(PLAYERS)).all()
    for background, right in ((BACKGROUND, True), (BACKGROUND + 0.5, False)):  # planted: other units
        far = []
        for unit, expected in zip(UNITS, VALUES, strict=True):
            _, by_sample = shapley(mixed_with(unit, background), orders)
            error = by_sample.std(axis=0, ddof=1) / np.sqrt(len(by_sample))
            far.append((by_sample.mean(axis=0) - 2.0 * expected) / error)
        assert bool(np.abs(far).max() < 4.0) is right


def test_the_error_of_drawn_orders_is_what_they_are_off_by() -> None:
    unit, off, told = UNITS[0], [], []
    for seed in range(200):
        orders = Orders.drawn(
            50, background=len(BACKGROUND), players=PLAYERS, generator=np.random.default_rng([7, seed])
        )
        by_sample = shapley(mixed_with(unit), orders)[1]
        off.append(by_sample.mean(axis=0) - 2.0 * VALUES[0])
        told.append(by_sample.std(axis=0, ddof=1) / np.sqrt(50))
    ratio = np.sqrt(np.square(off).mean(axis=0) / np.square(told).mean(axis=0))
    # 200 squares of a nearly normal error: their root is known to 1 / sqrt(400), and these are four of them
    assert (np.abs(ratio - 1.0) < 4.0 / np.sqrt(400.0)).all()


NAMES = ["age", "channel=Phone", "channel=Shop", "channel=Web", "vip=yes"]
TABLE = pd.DataFrame(
    {
        "age": [31.0, 40.0, 55.0, 28.0, 61.0, 47.0],
        "channel": ["Web", "Phone", "Shop", "Web", "Phone", "Web"],
        "vip": ["no", "yes", "no", "no", "yes", "yes"],
        "arm": ["none", "offer", "none", "offer", "offer", "none"],
        "spend": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        "customer": list("abcdef"),
    }
)


def lines() -> tuple[xr.DataTree, np.ndarray]:
    """A posterior of lines in coded covariates, as of `interaction_horseshoe`, and their slopes (chain, draw, column)."""
    rng = np.random.default_rng(8)
    coding = Coding.of({name: TABLE[name].to_numpy() for name in ("age", "channel", "vip")})
    columns = coding.apply({name: TABLE[name].to_numpy() for name in ("age", "channel", "vip")})
    slopes = rng.normal(size=(2, 50, 1, len(NAMES)))
    draws, index = ("chain", "draw"), {"chain": [0, 1], "draw": np.arange(50)}
    posterior = xr.Dataset(
        {
            "base": (draws, rng.normal(5.0, 1.0, (2, 50))),
            "prognostic": ((*draws, "covariate"), rng.normal(size=(2, 50, len(NAMES)))),
            "average_effect": ((*draws, "treatment"), rng.normal(size=(2, 50, 1))),
            "interaction": ((*draws, "treatment", "covariate"), slopes),
            "mean_outcome": ((*draws, "unit", "arm"), rng.normal(size=(2, 50, len(TABLE), 2))),
        },
        coords=index | {"arm": ["none", "offer"], "treatment": ["offer"], "covariate": NAMES, "unit": np.arange(6)},
    )
    mean, sd = columns.mean(axis=0), columns.std(axis=0)
    constants = xr.Dataset({"covariate_mean": ("covariate", mean), "covariate_sd": ("covariate", sd)})
    tree = xr.DataTree.from_dict({"posterior": posterior, "constant_data": constants})
    tree.attrs = {
        "model": "interaction_horseshoe",
        "control": "none",
        "outcome": "spend",
        "pooled": "covariate",
        "coding": coding.to_json(),
    }
    return tree, slopes[:, :, 0] / sd


def test_of_a_line_each_covariate_adds_its_slope_times_what_is_its_own() -> None:
    tree, slopes = lines()
    found = bu.shapley_values(tree, TABLE.iloc[[4, 2]], background=TABLE, unit="customer", samples=300, seed=6)
    assert found.draws.dims == ("chain", "draw", "unit", "covariate")
    assert found.draws["unit"].to_numpy().tolist() == ["e", "c"]
    assert found.draws["covariate"].to_numpy().tolist() == ["age", "channel", "vip"]
    assert found.values.to_numpy().tolist() == [[61.0, "Phone", "yes"], [55.0, "Shop", "no"]]
    generator = np.random.Generator(np.random.PCG64(6))
    drawn = Orders.drawn(300, background=6, players=3, generator=generator).background
    columns = Coding.from_json(tree.attrs["coding"]).apply({name: TABLE[name] for name in ("age", "channel", "vip")})
    for place, row in enumerate((4, 2)):
        parts = slopes * (columns[row] - columns[drawn].mean(axis=0))
        expected = np.stack([parts[..., 0], parts[..., 1:4].sum(-1), parts[..., 4]], axis=-1)
        np.testing.assert_allclose(found.draws.isel(unit=place).to_numpy(), expected, atol=1e-10)
    effect = bu.cate(bu.predict(tree, TABLE, seed=1)).sel(arm="offer")
    np.testing.assert_allclose(found.effect.to_numpy(), effect.isel(unit=[4, 2]).to_numpy(), rtol=1e-10)
    np.testing.assert_allclose(found.base.to_numpy(), effect.to_numpy()[:, :, drawn].mean(axis=2), rtol=1e-10)
    # without interactions an order changes nothing: the error is that of the units that were drawn
    by_sample = (slopes[..., :1].mean() * (61.0 - columns[drawn, 0])).std(ddof=1) / np.sqrt(300)
    error = found.table["sampling_error"].sel(unit="e", covariate="age")
    np.testing.assert_allclose(float(error), by_sample, rtol=1e-10)


def test_values_are_printed_and_repeat_themselves_by_seed() -> None:
    tree, _ = lines()
    found, again, other = (
        bu.shapley_values(tree, TABLE.head(2), background=TABLE, samples=20, seed=seed) for seed in (1, 1, 2)
    )
    assert found.to_dataset().identical(again.to_dataset())
    assert not found.to_dataset().identical(other.to_dataset())
    assert found.to_dataset()["value"].to_numpy().tolist() == [["31.0", "Web", "no"], ["40.0", "Phone", "yes"]]
    text = str(found)
    assert "Effect of offer on spend, against none" in text
    assert "average of the background: " in text
    assert "channel = Phone: " in text
    assert "age = 31: " in text


@pytest.mark.filterwarnings("ignore:The set_:PendingDeprecationWarning")  # of colour maps, which shap makes on import
def test_posterior_means_go_to_the_plots_of_shap(monkeypatch: pytest.MonkeyPatch) -> None:
    tree, _ = lines()
    found = bu.shapley_values(tree, TABLE.head(2), background=TABLE, samples=20, seed=1)
    there = found.explanation()
    np.testing.assert_array_equal(there.values, found.table["mean"].to_numpy())
    total = there.values.sum(axis=1) + there.base_values
    np.testing.assert_allclose(total, found.effect.mean(("chain", "draw")).to_numpy(), rtol=1e-12)
    assert there.feature_names == ["age", "channel", "vip"]
    assert there.display_data[1].tolist() == [40.0, "Phone", "yes"]
    assert there.data.tolist() == [[31.0, 1.0, 0.0], [40.0, 0.0, 1.0]]  # text by its place: Phone, Web; no, yes
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'bayesuplift\[shap\]'"):
        found.explanation()


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"samples": 5}, ArgumentError, "samples = 5"),
    ({"seed": -1}, ArgumentError, "seed"),
    ({"prob": 1.0}, ArgumentError, "prob"),
    ({"arm": "none"}, ArgumentError, "'none' is the control"),
    ({"arm": "ofer"}, ArmNotFoundError, "Did you mean 'offer'"),
    ({"background": TABLE.drop(columns="vip")}, ColumnNotFoundError, "background: no column named 'vip'"),
    ({"units": TABLE.drop(columns="age")}, ColumnNotFoundError, "units: no column named 'age'"),
]


@pytest.mark.parametrize(("options", "error", "words"), REFUSED)
def test_what_cannot_be_explained_is_refused(options: dict[str, Any], error: type[Exception], words: str) -> None:
    tree, _ = lines()
    given: dict[str, Any] = {"units": TABLE.head(1), "background": TABLE, "seed": 1} | options
    with pytest.raises(error, match=words):
        bu.shapley_values(tree, given.pop("units"), **given)


def test_more_than_fits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bayesuplift.effect_shapley._LARGEST", 6 * 3 * 100 - 1)
    with pytest.raises(ArgumentError, match=r"6 units x 3 covariates x 100 draws are 1,800 numbers.*at a time"):
        bu.shapley_values(lines()[0], TABLE, background=TABLE, seed=1)


def test_an_experiment_names_its_units_itself_and_other_models_are_refused() -> None:
    tree, _ = lines()
    roles: dict[str, Any] = {"arm": "arm", "control": "none", "outcome": "spend", "kind": "continuous"}
    given = bu.read_experiment(TABLE, covariates=["age", "channel", "vip"], unit="customer", **roles)
    found = bu.shapley_values(tree, given, background=given, samples=20, seed=1)
    assert found.draws["unit"].to_numpy().tolist() == list("abcdef")
    with pytest.raises(ArgumentError, match="an experiment names its units itself"):
        bu.shapley_values(tree, given, background=given, unit="customer", seed=1)
    foreign = over_units(noisy(np.zeros((6, 3)), sd=1.0, seed=1))
    with pytest.raises(PosteriorError, match="this posterior was not made here"):
        bu.shapley_values(foreign, TABLE, background=TABLE, arm="men", seed=1)


def test_text_that_no_unit_of_the_fit_had_is_shown_as_it_is() -> None:
    tree, _ = lines()
    with pytest.warns(bu.errors.DataWarning, match="have a level of 'vip' that no unit had"):
        found = bu.shapley_values(tree, TABLE.head(1).assign(vip="maybe"), background=TABLE, samples=20, seed=1)
    assert found.values.sel(covariate="vip").item() == "maybe"


def test_more_orders_than_fit_at_once_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    tree, _ = lines()
    whole = bu.shapley_values(tree, TABLE.head(1), background=TABLE, samples=40, seed=1)
    monkeypatch.setattr("bayesuplift.effect_shapley._AT_ONCE", 10 * 2 * 3 * 100 * 2)  # ten orders
    parts = bu.shapley_values(tree, TABLE.head(1), background=TABLE, samples=40, seed=1)
    xr.testing.assert_allclose(parts.table, whole.table, rtol=1e-10)
    np.testing.assert_allclose(parts.base, whole.base, rtol=1e-12)
