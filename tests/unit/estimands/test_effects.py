"""Effects by segment, by group and over everybody: against loops that say what they are."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.errors import ArgumentError, FactorNotFoundError, PosteriorError
from tests.support.catalogue import fitted
from tests.support.factored import ARMS, FACTORS, UNITS, factored, rates
from tests.support.worlds import binary_cells, foreign, normal_draws, seed_of

DRAWS = rates(seed=seed_of("estimands"))
TREE = factored(DRAWS, kind="binary", outcome="visit", pooled="segment")
WEIGHTS = np.array(UNITS).sum(axis=1).astype(float)
ROUNDING = 1e-14  # both sides add a handful of numbers below 1, in another order


def by_loop(members: list[int], arm: int, scale: str, weights: np.ndarray = WEIGHTS) -> np.ndarray:
    """The effect of one arm in a group, (chain, draw), from the definition."""
    total = sum(weights[s] for s in members)
    mean, reference = (sum(weights[s] * DRAWS[:, :, s, a] for s in members) / total for a in (arm, 0))
    return {"difference": mean - reference, "relative": mean / reference - 1, "mean_outcome": mean}[scale]


@pytest.mark.parametrize("scale", ["difference", "relative", "mean_outcome"])
def test_cate_gate_and_ate_are_their_definitions(scale: Any) -> None:
    effect, group, average = (
        bu.cate(TREE, scale=scale),
        bu.gate(TREE, by="channel", scale=scale),
        bu.ate(TREE, scale=scale),
    )
    shown = ARMS if scale == "mean_outcome" else ARMS[1:]
    for one in (effect, group, average):
        assert one["arm"].values.tolist() == list(shown)
    for arm in shown:
        k = ARMS.index(arm)
        for s in range(4):
            np.testing.assert_allclose(effect.isel(segment=s).sel(arm=arm), by_loop([s], k, scale), atol=ROUNDING)
        for g, members in enumerate(([0, 2], [1, 3])):
            np.testing.assert_allclose(group.isel(segment=g).sel(arm=arm), by_loop(members, k, scale), atol=ROUNDING)
        np.testing.assert_allclose(average.sel(arm=arm), by_loop([0, 1, 2, 3], k, scale), atol=ROUNDING)


def test_factors_weights_and_provenance_stay_with_the_effect() -> None:
    effect, group, average = bu.cate(TREE), bu.gate(TREE, by=["channel"]), bu.ate(TREE)
    assert effect.dims == ("chain", "draw", "segment", "arm")
    assert effect["channel"].values.tolist() == list(FACTORS["channel"])
    assert effect["n"].values.tolist() == WEIGHTS.tolist()
    assert group.dims == ("chain", "draw", "segment", "arm")
    assert group["segment"].values.tolist() == ["channel=Phone", "channel=Web"]
    assert group["channel"].values.tolist() == ["Phone", "Web"]
    assert group["n"].values.tolist() == [800.0, 80.0]
    assert "newbie" not in group.coords
    assert average.dims == ("chain", "draw", "arm")
    expected = {"scale": "difference", "outcome": "visit", "control": "control", "units": "probability"}
    for one in (effect, group, average):
        assert expected.items() <= one.attrs.items()
        assert one.attrs["pooled"] == "segment"
        assert one.attrs["arms"] == list(ARMS)
        assert one.dtype == np.float64


def test_a_relative_effect_of_a_group_is_not_the_average_of_relative_effects() -> None:
    relative = bu.cate(TREE, scale="relative")
    averaged = (relative * WEIGHTS[:, None] / WEIGHTS.sum()).sum("segment")
    assert (abs(averaged - bu.ate(TREE, scale="relative")) > 1e-3).any()


def test_groups_by_all_factors_are_the_segments_and_labels_are_those_of_cells() -> None:
    frame = pd.DataFrame(
        [
            {"newbie": newbie, "channel": channel, "arm": arm, "n": 50, "y": 10}
            for newbie in (0, 1)
            for channel in ("Web", "Phone")
            for arm in ("a", "b")
        ]
    )
    cells = bu.read_counts(frame, arm="arm", control="a", trials="n", successes="y", segments=["channel", "newbie"])
    tree = bu.fit("beta_binomial", cells, seed=1, draws=50)
    effect, every = bu.cate(tree), bu.gate(tree, by=["channel", "newbie"])
    xr.testing.assert_identical(effect.reset_coords(drop=True), every.reset_coords(drop=True))
    for by in ("channel", ["newbie"], ["newbie", "channel"]):
        merged = cells.by(by).statistics
        group = bu.gate(tree, by=by)
        assert group["segment"].values.tolist() == merged["segment"].values.tolist()
        assert group["n"].values.tolist() == merged["n"].sum("arm").values.tolist()


def test_counts_are_weighted_by_exposure() -> None:
    exposure = np.array([[1.0, 2.0, 3.0], [4.0, 0.5, 2.0], [9.0, 9.0, 9.0], [1.0, 1.0, 2.5]])
    tree = factored(DRAWS, observed={"n": UNITS, "exposure": exposure}, kind="count")
    np.testing.assert_allclose(
        bu.ate(tree).sel(arm="men"), by_loop([0, 1, 2, 3], 1, "difference", exposure.sum(axis=1)), atol=ROUNDING
    )
    assert bu.gate(tree, by="newbie")["n"].values.tolist() == [12.5, 31.5]
    # the fault that this would catch: weighing by units
    assert (abs(bu.ate(tree) - bu.ate(TREE)) > 1e-3).any()


def test_segments_of_observed_data_in_another_order_are_matched_by_label() -> None:
    turned = TREE.copy()
    turned["observed_data"] = xr.DataTree(TREE["observed_data"].to_dataset().isel(segment=[2, 0, 3, 1], arm=[1, 2, 0]))
    xr.testing.assert_identical(bu.ate(turned), bu.ate(TREE))
    xr.testing.assert_identical(bu.gate(turned, by="channel"), bu.gate(TREE, by="channel"))
    xr.testing.assert_identical(bu.cate(turned), bu.cate(TREE))


def test_a_factor_called_like_a_word_of_ours_has_both_names() -> None:
    tree = factored(DRAWS, factors={"factor_segment": FACTORS["newbie"], "channel": FACTORS["channel"]})
    xr.testing.assert_identical(bu.gate(tree, by="segment"), bu.gate(tree, by="factor_segment"))
    assert bu.gate(tree, by="segment")["segment"].values.tolist() == ["factor_segment=0", "factor_segment=1"]


def test_by_arm_alone_there_is_an_average_and_nothing_else() -> None:
    tree = fitted("beta_binomial", "closed_form")
    draws = tree["posterior"]["mean_outcome"]
    np.testing.assert_array_equal(
        bu.ate(tree).sel(arm="Mens E-Mail"), draws.sel(arm="Mens E-Mail") - draws.sel(arm="No E-Mail")
    )
    with pytest.raises(ArgumentError, match=r"neither segments nor units .* ate\(posterior\)"):
        bu.cate(tree)
    with pytest.raises(FactorNotFoundError, match=r"no factor named 'channel'\. Factors: none"):
        bu.gate(tree, by="channel")


def test_units_are_averaged_alike_and_may_have_factors() -> None:
    draws = normal_draws([[1.0, 2.0], [3.0, 1.0], [2.0, 9.0]], 0.1, seed=seed_of("units"), draws=20)
    coords = {"arm": ["a", "b"], "place": ("unit", ["x", "y", "x"])}
    tree = xr.DataTree.from_dict(
        {"posterior": xr.Dataset({"mean_outcome": (("chain", "draw", "unit", "arm"), draws)}, coords=coords)}
    )
    tree.attrs["control"] = "a"
    gain = draws[..., 1] - draws[..., 0]
    assert bu.cate(tree).dims == ("chain", "draw", "unit", "arm")
    np.testing.assert_array_equal(bu.cate(tree).sel(arm="b"), gain)
    np.testing.assert_allclose(bu.ate(tree).sel(arm="b"), gain.mean(axis=2), atol=1e-14)
    group = bu.gate(tree, by="place")
    np.testing.assert_allclose(group.sel(arm="b").isel(segment=0), gain[:, :, [0, 2]].mean(axis=2), atol=1e-14)
    assert group["n"].values.tolist() == [2.0, 1.0]


def test_a_relative_effect_needs_a_positive_control_and_says_where_it_has_none() -> None:
    draws = DRAWS.copy()
    draws[0, 3, 1, 0] = 0.0
    draws[1, 4, 1, 0] = -0.1
    tree = factored(draws)
    with pytest.raises(ArgumentError, match=r"not positive in 2 of 400 draws, in segment newbie=0, channel=Web\. Use"):
        bu.cate(tree, scale="relative")
    assert np.isfinite(bu.ate(tree, scale="relative")).all()  # the average is positive in every draw


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        (
            {"by": "chanel"},
            FactorNotFoundError,
            "no factor named 'chanel'. Factors: newbie, channel. Did you mean 'channel'",
        ),
        ({"by": ["channel", "channel"]}, ArgumentError, "by names a factor twice"),
        ({"by": []}, ArgumentError, r"by names no factor; .* ate\(posterior\)"),
        ({"by": 3}, ArgumentError, "by holds 3; expected names of factors as text"),
        ({"by": "channel", "scale": "diffrence"}, ArgumentError, "Did you mean 'difference'"),
        ({"by": "channel", "scale": "probability"}, ArgumentError, "mean_outcome is the probability"),
    ],
)
def test_a_group_or_scale_that_there_is_not_is_refused(options: Any, error: Any, told: str) -> None:
    with pytest.raises(error, match=told):
        bu.gate(TREE, **options)


def test_segments_without_units_have_effects_and_no_average() -> None:
    alone = TREE.copy()
    del alone["observed_data"]
    assert "n" not in bu.cate(alone).coords
    with pytest.raises(PosteriorError, match="has no 'n'"):
        bu.ate(alone)
    nobody = factored(DRAWS, observed={"n": np.zeros((4, 3))})
    with pytest.raises(PosteriorError, match=r"0 units in .*population=…"):
        bu.gate(nobody, by="channel")


def test_an_effect_is_read_from_a_file_again(tmp_path: Any) -> None:
    group = bu.gate(TREE, by="channel")
    group.to_netcdf(tmp_path / "group.nc", engine="h5netcdf")
    again = xr.load_dataarray(tmp_path / "group.nc", engine="h5netcdf")
    np.testing.assert_array_equal(again, group)
    assert list(again.attrs["arms"]) == list(ARMS)


def test_the_average_of_a_fit_is_near_the_pooled_difference() -> None:
    tree = bu.fit("beta_binomial", binary_cells([[4000, 4000], [9000, 9000]], [[400, 800], [900, 1800]]), seed=2)
    assert float(bu.ate(tree).mean()) == pytest.approx(0.1, abs=0.01)  # 2 posterior standard deviations are 0.01


def test_labels_that_come_twice_are_refused() -> None:
    tree = foreign(rates(seed=1, segments=2, arms=2), segments={"x": [1, 1], "y": [1, 1]})
    doubled = xr.DataTree.from_dict(
        {name: node.to_dataset().assign_coords(segment=["x", "x"]) for name, node in tree.children.items()}
    )
    doubled.attrs = tree.attrs
    with pytest.raises(PosteriorError, match="a segment's label stands twice among x, x"):
        bu.ate(doubled)
