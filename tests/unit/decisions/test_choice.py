"""Which arm, from a closed form and from draws: the numbers agree, and the verdict follows its rules."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.data.checks import Check
from bayesuplift.decisions.comparison import compare_closed_form, compare_draws, per_draw
from bayesuplift.errors import ArgumentError, PosteriorError
from bayesuplift.posterior.schema import mean_outcome
from tests.support.catalogue import fitted
from tests.support.mcse import assert_within_mcse
from tests.support.worlds import binary_cells, foreign, normal_draws, seed_of

CLOSE = binary_cells([1000, 1200, 900], [100, 135, 98])
OPTIONS: dict[str, Any] = {"control": 0, "rope": 0.02, "prob": 0.9}


def without_closed_form(tree: xr.DataTree) -> xr.DataTree:
    """The same draws, whoever made them."""
    return tree.filter(lambda node: node.name != "closed_form")


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_draws_agree_with_the_closed_form_that_they_come_from(higher_is_better: bool) -> None:
    tree = bu.fit("beta_binomial", CLOSE, seed=seed_of("agree"), draws=5000)
    exact = compare_closed_form(tree, higher_is_better=higher_is_better, **OPTIONS)
    draws = mean_outcome(tree)
    control = draws.isel(arm=[0]).values
    better = draws.values > control if higher_is_better else draws.values < control
    parts = {name: values.values for name, values in per_draw(draws, higher_is_better=higher_is_better).items()} | {
        "prob_beats_control": better.astype(float),
        "difference": draws.values - control,
        "relative_lift": draws.values / control - 1,
        "mean_outcome": draws.values,
        "prob_rope": (abs(draws.values - control) <= 0.02).astype(float),
        "prob_all_equivalent": (np.ptp(draws.values, axis=-1) <= 0.02).astype(float),
    }
    for name, values in parts.items():
        assert_within_mcse(values, exact[name].values, comparisons=len(parts))
    table = compare_draws(draws, higher_is_better=higher_is_better, **OPTIONS)
    for name in parts:
        np.testing.assert_allclose(table[name], parts[name].mean((0, 1)), rtol=1e-12, atol=1e-15, err_msg=name)


def test_intervals_from_draws_agree_with_the_exact_ones_within_their_errors() -> None:
    tree = bu.fit("beta_binomial", CLOSE, seed=seed_of("intervals"), draws=5000)
    exact = compare_closed_form(tree, higher_is_better=True, **OPTIONS)
    table = compare_draws(mean_outcome(tree), higher_is_better=True, **OPTIONS)
    for name in ("mean_outcome", "difference", "relative_lift"):
        for end in ("lower", "upper"):
            part = f"{name}_{end}"
            assert (abs(table[part] - exact[part]) <= 5 * table[f"{part}_mcse"]).all(), part


def test_every_quantity_from_draws_carries_its_error_and_exact_ones_have_none() -> None:
    tree = bu.fit("beta_binomial", CLOSE, seed=1)
    drawn = bu.choose_arm(without_closed_form(tree), threshold_of_caring=0.01, rope=0.02)
    quantities = {name for name in map(str, drawn.table) if not name.endswith("_mcse")}
    assert {f"{name}_mcse" for name in quantities} == {name for name in map(str, drawn.table) if name.endswith("_mcse")}
    exact = bu.choose_arm(tree, threshold_of_caring=0.01, rope=0.02)
    assert {str(name) for name in exact.table} == quantities
    assert exact.exact
    assert not drawn.exact


def test_what_no_draw_shows_is_not_known_without_error_and_the_control_against_itself_is() -> None:
    tree = without_closed_form(fitted("beta_binomial", "closed_form"))
    table = bu.choose_arm(tree, threshold_of_caring=0.01).table
    assert table["prob_best"].sel(arm="No E-Mail") == 0
    draws = tree["posterior"]["mean_outcome"].isel(arm=0).size
    assert table["prob_best_mcse"].sel(arm="No E-Mail") >= 1 / draws
    assert table["expected_loss_mcse"].sel(arm="Mens E-Mail") > 0
    assert table["prob_beats_control_mcse"].sel(arm="No E-Mail") == 0


def test_lower_is_better_turns_the_choice_and_not_the_differences() -> None:
    tree = bu.fit("beta_binomial", CLOSE, seed=1)
    for posterior in (tree, without_closed_form(tree)):
        up = bu.choose_arm(posterior, threshold_of_caring=0.5).table
        down = bu.choose_arm(posterior, threshold_of_caring=0.5, higher_is_better=False)
        np.testing.assert_array_equal(up["difference"], down.table["difference"])
        np.testing.assert_allclose(up["prob_beats_control"][1:] + down.prob_beats_control[1:], 1.0, atol=1e-10)
        assert down.verdict.arm == "a"


def test_a_control_that_may_be_zero_or_less_has_no_relative_lift_and_this_is_said() -> None:
    tree = foreign(normal_draws([0.1, 1.0], 0.2, seed=seed_of("not positive")))
    table = bu.choose_arm(tree, threshold_of_caring=0.1).table
    assert not [name for name in table if str(name).startswith("relative_lift")]
    assert table.attrs["left_out"].startswith("relative lift: the control's mean outcome is not positive in ")
    positive = bu.choose_arm(foreign(normal_draws([5.0, 6.0], 0.2, seed=1)), threshold_of_caring=0.1).table
    assert "relative_lift" in positive
    assert "left_out" not in positive.attrs


@pytest.mark.parametrize("exact", [True, False])
def test_overall_is_the_average_over_segments_weighted_by_their_units(exact: bool) -> None:
    n, total = [[100, 300], [500, 100]], [[10, 90], [100, 10]]
    tree = bu.fit("beta_binomial", binary_cells(n, total), seed=seed_of("weighted"), draws=5000)
    choice = bu.choose_arm(tree if exact else without_closed_form(tree), threshold_of_caring=0.1)
    weights = np.array([0.4, 0.6])  # 400 and 600 units over both arms
    means = (np.array(total) + 1) / (np.array(n) + 2)
    pooled = (mean_outcome(tree).values * weights[:, None]).sum(axis=2)
    assert_within_mcse(pooled, weights @ means)
    np.testing.assert_allclose(choice.overall["mean_outcome"], pooled.mean((0, 1)), rtol=1e-12)
    assert choice.table["prob_best"].dims == ("segment", "arm")
    assert choice.overall["prob_best"].dims == ("arm",)
    assert choice.table.coords["place"].values.tolist() == ["p00000", "p00001"]
    assert not choice.exact


def test_one_rate_in_every_segment_is_its_own_average() -> None:
    one = normal_draws([1.0, 2.0], 0.1, seed=seed_of("one rate"))
    twice = np.stack([one, one], axis=2)
    by_segment = bu.choose_arm(foreign(twice, segments={"x": [10, 20], "y": [300, 1]}), threshold_of_caring=0.1)
    xr.testing.assert_allclose(
        by_segment.overall, bu.choose_arm(foreign(one), threshold_of_caring=0.1).overall, rtol=1e-9
    )


def test_units_are_averaged_alike() -> None:
    draws = normal_draws([[1.0, 2.0], [3.0, 1.0], [2.0, 9.0]], 0.1, seed=seed_of("units"))
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(
                {"mean_outcome": (("chain", "draw", "unit", "arm"), draws)}, coords={"arm": ["a", "b"]}
            )
        }
    )
    tree.attrs["control"] = "a"
    table = bu.choose_arm(tree, threshold_of_caring=0.1).table
    np.testing.assert_allclose(table["mean_outcome"], draws.mean((0, 1, 2)))


SEGMENTED = normal_draws(np.ones((2, 2)), 0.1, seed=3)


@pytest.mark.parametrize(
    ("segments", "found"),
    [
        (None, "group 'observed_data' has no 'n'"),
        ({"x": [1, 1], "z": [1, 1]}, "4 units in x, z; mean_outcome has x, y"),
        ({"x": [1, 1]}, "2 units in x; mean_outcome has x, y"),
        ({"x": [0, 0], "y": [0, 0]}, "0 units in x, y"),
    ],
)
def test_segments_that_cannot_be_weighed_are_refused(segments: Any, found: str) -> None:
    tree = foreign(SEGMENTED, segments={"x": [1, 1], "y": [1, 1]})
    del tree["observed_data"]
    if segments is not None:
        tree["observed_data"] = foreign(SEGMENTED[:, :, : len(segments)], segments=segments)["observed_data"]
    with pytest.raises(PosteriorError, match=found):
        bu.choose_arm(tree, threshold_of_caring=0.1)


@pytest.mark.parametrize(
    ("option", "found"),
    [
        ({"threshold_of_caring": -0.1}, "threshold_of_caring = -0.1"),
        ({"threshold_of_caring": float("nan")}, "threshold_of_caring = nan"),
        ({"rope": 0.0}, "rope = 0.0"),
        ({"rope": float("inf")}, "rope = inf"),
        ({"prob": 1.0}, "prob = 1.0"),
        ({"prob": 0.0}, "prob = 0.0"),
    ],
)
def test_an_option_outside_its_range_is_refused(option: dict[str, float], found: str) -> None:
    with pytest.raises(ArgumentError, match=found):
        bu.choose_arm(bu.fit("beta_binomial", CLOSE, seed=1), **({"threshold_of_caring": 0.1} | option))


def test_an_unknown_kind_of_outcome_is_refused() -> None:
    tree = foreign(normal_draws([1.0, 2.0], 0.1, seed=1), kind="binry")
    with pytest.raises(PosteriorError, match=r"'kind' is 'binry'.*Did you mean 'binary'"):
        bu.choose_arm(tree, threshold_of_caring=0.1)


def test_checks_handed_in_come_first_and_are_kept() -> None:
    passed = Check(name="mine", passed=True, facts={}, sentence="It is fine.")
    choice = bu.choose_arm(foreign(normal_draws([1.0, 2.0], 0.1, seed=1)), threshold_of_caring=0.1, checks=[passed])
    assert choice.checks[0] is passed
    assert {check.name for check in choice.checks[1:]} == {"r_hat", "effective_draws_bulk", "effective_draws_tail"}
