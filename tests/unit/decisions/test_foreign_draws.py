"""Draws made elsewhere: of any number type, and arms that nobody is in."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.errors import ArgumentError, PosteriorError


def tree_of(values: np.ndarray, **attributes: object) -> xr.DataTree:
    draws = xr.DataArray(values, dims=("chain", "draw", "arm"), coords={"arm": ["old", "new"]}, name="mean_outcome")
    tree = xr.DataTree.from_dict({"posterior": draws.to_dataset()})
    tree.attrs = {"control": "old", **attributes}
    return tree


@pytest.mark.parametrize("kind", ["u1", "i2", "f4"])
def test_the_number_type_of_draws_changes_nothing(kind: str) -> None:
    values = np.random.default_rng(1).poisson([20.0, 25.0], size=(4, 2000, 2)).astype(kind)
    found = bu.choose_arm(tree_of(values), threshold_of_caring=0.1, rope=2.0).table
    expected = bu.choose_arm(tree_of(values.astype(np.float64)), threshold_of_caring=0.1, rope=2.0).table
    xr.testing.assert_identical(found, expected)


def test_single_precision_does_not_drift_in_sums() -> None:
    values = (1e7 + np.random.default_rng(2).normal(size=(4, 5000, 2))).astype(np.float32)
    mean = bu.choose_arm(tree_of(values), threshold_of_caring=10.0).table["mean_outcome"]
    np.testing.assert_allclose(mean, values.astype(np.float64).mean(axis=(0, 1)), rtol=1e-12)


def test_an_arm_that_nobody_is_in_is_never_chosen() -> None:
    frame = pd.DataFrame({"arm": ["old", "new", "empty"], "n": [1000, 1000, 0], "y": [100, 130, 0]})
    cells = bu.read_counts(frame, arm="arm", control="old", trials="n", successes="y")
    verdict = bu.choose_arm(bu.fit("beta_binomial", cells, seed=1), threshold_of_caring=0.5).verdict
    assert (verdict.name, verdict.arm) == ("INVALID", None)
    assert "No unit is in empty" in verdict.sentence


def test_segments_that_lack_an_arm_are_not_averaged_over_the_prior() -> None:
    frame = xr.Dataset(
        {
            "arm": ("row", ["c", "t", "t"]),
            "s": ("row", ["x", "x", "y"]),
            "n": ("row", [1000, 1000, 500]),
            "y": ("row", [100, 90, 40]),
        }
    ).to_dataframe()
    with pytest.warns(bu.errors.DataWarning, match="lack an arm"):
        cells = bu.read_counts(frame, arm="arm", control="c", trials="n", successes="y", segments="s")
    by_segment = bu.choose_arm(bu.fit("beta_binomial", cells, seed=1), threshold_of_caring=0.05)
    assert by_segment.verdict.name == "INVALID"
    assert "An arm has no unit in s=y" in by_segment.verdict.sentence
    assert bu.choose_arm(bu.fit("beta_binomial", cells.by(), seed=1), threshold_of_caring=0.05).verdict.name == "CHOOSE"


def test_draws_too_few_to_tell_a_loss_from_the_threshold_do_not_choose() -> None:
    values = np.random.default_rng(3).normal([0.0, 5000.0], 1000.0, size=(4, 200, 2))
    verdict = bu.choose_arm(tree_of(values), threshold_of_caring=1e-3).verdict
    assert verdict.name == "CONTINUE"
    sure = np.random.default_rng(3).normal([0.0, 50000.0], 1000.0, size=(4, 200, 2))
    verdict = bu.choose_arm(tree_of(sure), threshold_of_caring=1e-3).verdict
    assert verdict.name == "CONTINUE"
    assert "Draw more" in verdict.sentence
    assert bu.choose_arm(tree_of(sure), threshold_of_caring=100.0).verdict.name == "CHOOSE"


def test_a_direction_that_is_not_true_or_false_is_refused() -> None:
    tree = tree_of(np.random.default_rng(4).normal(size=(4, 200, 2)))
    with pytest.raises(ArgumentError, match="higher_is_better = 'lower'; give True or False"):
        bu.choose_arm(tree, threshold_of_caring=0.1, higher_is_better="lower")


@pytest.mark.parametrize(
    ("attributes", "told"),
    [({"assignment": "Observational"}, "'assignment' is 'Observational'"), ({"control": ["old"]}, "'control' is")],
)
def test_attributes_that_would_be_misread_are_refused(attributes: dict[str, object], told: str) -> None:
    values = np.random.default_rng(5).normal(size=(4, 200, 2))
    with pytest.raises(PosteriorError, match=told):
        bu.choose_arm(tree_of(values, **attributes), threshold_of_caring=0.1)


def test_negative_units_are_refused_and_another_programs_raw_data_are_ignored() -> None:
    tree = tree_of(np.random.default_rng(6).normal(size=(4, 200, 2)))
    tree["observed_data"] = xr.DataTree(xr.Dataset({"n": ("obs", [1.0, 2.0])}))
    assert bu.choose_arm(tree, threshold_of_caring=5.0).verdict.name == "CHOOSE"
    tree["observed_data"] = xr.DataTree(xr.Dataset({"n": ("arm", [-1, 2])}, coords={"arm": ["old", "new"]}))
    with pytest.raises(PosteriorError, match="units that are negative"):
        bu.choose_arm(tree, threshold_of_caring=5.0)
