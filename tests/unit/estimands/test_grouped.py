"""A posterior over the levels of a factor is an average of the same draws."""

import numpy as np
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.errors import FactorNotFoundError
from bayesuplift.estimands.grouped import grouped
from tests.support.factored import UNITS, factored, rates
from tests.support.over_units import over_units


def observed(n: list[list[int]]) -> xr.Dataset:
    coords = {
        "segment": ["newbie=0", "newbie=1"],
        "arm": ["control", "men", "women"],
        "newbie": ("segment", ["0", "1"]),
    }
    return xr.Dataset({"n": (("segment", "arm"), n)}, coords=coords)


def pairs() -> list[list[int]]:
    n = np.array(UNITS)
    return [list(n[:2].sum(axis=0)), list(n[2:].sum(axis=0))]


def test_levels_average_their_segments_by_units_and_the_whole_stays_the_whole() -> None:
    values = rates(seed=8)
    tree = factored(values, kind="binary", outcome="visit", pooled="segment", seed=5)
    by_newbie = grouped(tree, by="newbie", observed=observed(pairs()))
    weights = np.array(UNITS).sum(axis=1)
    means = by_newbie["posterior/mean_outcome"].transpose("chain", "draw", "segment", "arm").to_numpy()
    for level, members in enumerate(([0, 1], [2, 3])):
        expected = np.average(values[:, :, members], axis=2, weights=weights[members])
        np.testing.assert_allclose(means[:, :, level], expected, rtol=1e-13)
    np.testing.assert_allclose(bu.ate(by_newbie).to_numpy(), bu.ate(tree).to_numpy(), rtol=0, atol=1e-14)
    assert {**tree.attrs, "grouped_by": "newbie"}.items() <= by_newbie.attrs.items()


def test_what_speaks_of_the_draws_is_kept() -> None:
    tree = factored(rates(seed=9), pooled="segment")
    tree["sample_stats"] = xr.DataTree(xr.Dataset({"diverging": (("chain", "draw"), np.zeros((2, 50), dtype=bool))}))
    kept = grouped(tree, by="newbie", observed=observed(pairs()))
    assert not kept["sample_stats/diverging"].to_numpy().any()
    assert "n" not in kept["posterior"].coords


def test_other_priors_say_of_everybody_what_they_said() -> None:
    values = rates(seed=10)
    tree = factored(values, pooled="segment")
    others = factored(rates(seed=11))["posterior"].to_dataset().expand_dims(prior=["weak"])
    tree["alternatives"] = xr.DataTree(others.assign(description=("prior", ["another prior"])))
    by_newbie = grouped(tree, by="newbie", observed=observed(pairs()))
    kept = by_newbie["alternatives"].to_dataset()
    assert kept["mean_outcome"].dims == ("prior", "chain", "draw", "arm")
    assert "segment" not in kept.coords
    expected = np.average(rates(seed=11), axis=2, weights=np.array(UNITS).sum(axis=1))
    np.testing.assert_allclose(kept["mean_outcome"].sel(prior="weak"), expected, rtol=1e-13)
    whole, divided = (bu.choose_arm(one, threshold_of_caring=0.01).sensitivity for one in (tree, by_newbie))
    xr.testing.assert_allclose(divided, whole, rtol=1e-12)
    assert divided.attrs["left_out"] == ""


def test_averages_of_units_under_other_priors_stay_as_they_are() -> None:
    rng = np.random.default_rng(5)
    tree = over_units(rng.uniform(size=(2, 10, 6, 3)), factors={"newbie": list("001011")}, kind="binary")
    other = xr.Dataset(
        {"mean_outcome": (("prior", "chain", "draw", "arm"), rng.uniform(size=(1, 2, 4, 3)))},
        coords={"prior": ["weak"], "arm": tree["posterior"]["arm"].to_numpy()},
    )
    tree["alternatives"] = xr.DataTree(other.assign(description=("prior", ["another prior"])))
    by_newbie = grouped(tree, by="newbie", observed=observed([[1, 1, 1], [1, 1, 1]]))
    assert by_newbie["alternatives"].to_dataset().identical(tree["alternatives"].to_dataset())


def test_a_factor_that_is_not_there_is_named() -> None:
    with pytest.raises(FactorNotFoundError, match="Did you mean 'newbie'"):
        grouped(factored(rates(seed=1)), by="newby", observed=observed(pairs()))


def test_units_are_averaged_over_crossed_factors_and_the_whole_stays_the_whole() -> None:
    rng = np.random.default_rng(4)
    values = rng.uniform(0.1, 0.9, (2, 10, 12, 3)).astype(np.float32)
    factors = {"newbie": list("001100110011"), "channel": ["Web", "Phone"] * 6}
    tree = over_units(values, factors=factors, kind="binary")
    coords = {
        "segment": [f"newbie={a}, channel={b}" for a in "01" for b in ("Phone", "Web")],
        "arm": ["control", "men", "women"],
        "newbie": ("segment", list("0011")),
        "channel": ("segment", ["Phone", "Web"] * 2),
    }
    crossed = grouped(
        tree,
        by=["newbie", "channel"],
        observed=xr.Dataset({"n": (("segment", "arm"), np.ones((4, 3), dtype=int))}, coords=coords),
    )
    assert crossed.attrs["grouped_by"] == "newbie, channel"
    for place, (newbie, channel) in enumerate((a, b) for a in "01" for b in ("Phone", "Web")):
        members = (np.array(factors["newbie"]) == newbie) & (np.array(factors["channel"]) == channel)
        expected = values[:, :, members].astype(np.float64).mean(axis=2)
        np.testing.assert_allclose(crossed["posterior/mean_outcome"].isel(segment=place), expected, rtol=1e-12)
    # three units in each of the four: segments of equal weight
    np.testing.assert_allclose(bu.ate(crossed), bu.ate(tree), rtol=0, atol=1e-12)
