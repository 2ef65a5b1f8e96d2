"""Every bad input of compare_proportions is refused, and the message names what was found."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

from bayesuplift.decisions.proportions import compare_proportions
from bayesuplift.errors import ArgumentError, ArmNotFoundError, BayesupliftError
from bayesuplift.priors import RatePrior


@pytest.mark.parametrize(
    ("successes", "trials", "found"),
    [
        ([5, 11], [10, 10], r"successes exceeds trials at 1 place\(s\); first \(1,\): 11"),
        ([[5, 1], [2, 9]], [[10, 10], [10, 8]], r"first \(1, 1\): 9"),
        ([-1, 5], [10, 10], r"successes is negative .* -1"),
        ([0, 0], [10, -10], r"trials is negative .* -10"),
        ([1.5, 5], [10, 10], r"successes is not a whole number .* 1\.5"),
        ([1, 5], [10, 10.25], r"trials is not a whole number .* 10\.25"),
        ([np.nan, 5], [10, 10], "successes is missing or infinite .* nan"),
        ([1, 5], [10, np.nan], "trials is missing or infinite .* nan"),
        ([1, 5], [np.inf, 10], "trials is missing or infinite .* inf"),
        ([1, 5], [10, 2.0**54], r"trials is above 2\^53"),
        ([1, 5, 6], [10, 10], r"shape \(3,\) and trials \(2,\)"),
        ([[1, 5]], [10, 10], r"shape \(1, 2\) and trials \(2,\)"),
        ([5], [10], r"shape \(1,\): give at least two arms"),
        ([[5], [6]], [[10], [10]], r"shape \(2, 1\): give at least two arms"),
        ([], [], r"shape \(0,\): give at least two arms"),
        (5, 10, r"shape \(\): give at least two arms"),
        (["5", "6"], [10, 10], "successes holds <U1; give counts"),
        ("56", "89", "successes holds <U2; give counts"),
        ([1, 2], [10, None], "trials holds object; give counts"),
        ([None, None], [10, 10], "successes holds object; give counts"),
        ([[1, 2], [3]], [[10, 10], [10]], "successes is not a rectangular array"),
        ([1 + 1j, 2], [10, 10], "successes holds complex128; give counts"),
        ([0, 0], [0, 0], r"an experiment has no trial in any arm at 1 place\(s\)"),
        ([[1, 2], [0, 0]], [[5, 5], [0, 0]], r"no trial in any arm at 1 place\(s\); first \(1,\): 0"),
    ],
)
def test_counts_that_are_none_are_refused(successes: Any, trials: Any, found: str) -> None:
    with pytest.raises(ArgumentError, match=found):
        compare_proportions(successes, trials)


def test_a_refusal_is_also_the_built_in_error_that_it_stands_for() -> None:
    with pytest.raises(ValueError, match="exceeds") as refusal:
        compare_proportions([5, 11], [10, 10])
    assert isinstance(refusal.value, BayesupliftError)
    with pytest.raises(KeyError):
        compare_proportions([5, 1], [10, 10], control=2)


@pytest.mark.parametrize("prob", [0.0, 1.0, -0.5, 95.0, float("nan"), float("inf")])
def test_an_intervals_mass_outside_its_range_is_refused(prob: float) -> None:
    with pytest.raises(ArgumentError, match=r"prob = .*between 0 and 1"):
        compare_proportions([1, 2], [9, 9], prob=prob)


@pytest.mark.parametrize("prob", ["0.95", True, [0.9]])
def test_an_intervals_mass_that_is_no_number_is_refused(prob: Any) -> None:
    with pytest.raises(ArgumentError, match="prob = "):
        compare_proportions([1, 2], [9, 9], prob=prob)


@pytest.mark.parametrize("rope", [0.0, -0.01, float("nan"), float("inf"), "0.01", True, [0.01]])
def test_a_rope_that_is_no_positive_width_is_refused(rope: Any) -> None:
    with pytest.raises(ArgumentError, match=r"rope = .*positive half-width"):
        compare_proportions([1, 2], [9, 9], rope=rope)


@pytest.mark.parametrize("control", [2, -1, "control", 0.5, None])
def test_a_control_that_is_no_arm_is_refused_with_the_arms(control: Any) -> None:
    with pytest.raises(ArmNotFoundError, match=r"no arm .*Arms: 0, 1"):
        compare_proportions([1, 2], [9, 9], control=control)


def test_a_misspelt_control_gets_a_hint() -> None:
    successes = xr.DataArray([1, 2], dims="arm", coords={"arm": ["control", "offer"]})
    with pytest.raises(ArmNotFoundError, match="Did you mean 'control'"):
        compare_proportions(successes, successes, control="contol")


@pytest.mark.parametrize(
    ("alpha", "beta"),
    [(0, 1), (1, -2), (float("nan"), 1), (1, float("inf")), (0.001, 1), ("1", 1), (True, 1), (None, 1)],
)
def test_a_prior_out_of_range_is_refused(alpha: Any, beta: Any) -> None:
    with pytest.raises(ArgumentError, match=r"RatePrior: (alpha|beta) = .*at least 0\.1"):
        RatePrior(alpha, beta)


def test_a_prior_of_another_kind_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"prior = \(1, 1\)"):
        compare_proportions([1, 2], [9, 9], prior=(1, 1))  # type: ignore[arg-type]


def labelled(values: list[int], *labels: str) -> xr.DataArray:
    return xr.DataArray(values, dims="arm", coords={"arm": list(labels)})


def test_labelled_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ArgumentError, match="different coordinates"):
        compare_proportions(labelled([1, 2], "a", "b"), labelled([9, 9], "a", "c"), control="a")
    with pytest.raises(ArgumentError, match="both be plain arrays, or both"):
        compare_proportions(labelled([1, 2], "a", "b"), [9, 9])
    with pytest.raises(ArgumentError, match="has dimensions x; one must be called 'arm'"):
        compare_proportions(xr.DataArray([1, 2], dims="x"), xr.DataArray([9, 9], dims="x"))
    wider = xr.DataArray([[9, 9]], dims=("country", "arm"))
    with pytest.raises(ArgumentError, match="dimensions"):
        compare_proportions(xr.DataArray([1, 2], dims="arm"), wider)
    with pytest.raises(ArgumentError, match="dimensions"):
        compare_proportions(wider, xr.DataArray([9, 9], dims="arm"))
    with pytest.raises(ArgumentError, match="holds <U1"):
        compare_proportions(xr.DataArray(["1", "2"], dims="arm"), xr.DataArray([9, 9], dims="arm"))
    with pytest.raises(ArgumentError, match="arm 'a' stands twice"):
        compare_proportions(labelled([1, 2], "a", "a"), labelled([9, 9], "a", "a"), control="a")
