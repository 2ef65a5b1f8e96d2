"""What a tree must be to count as a posterior; every refusal names what it found."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from bayesuplift.errors import BayesupliftError, PosteriorError
from bayesuplift.posterior.schema import arms, assemble, mean_outcome, validate
from tests.support.worlds import foreign, normal_draws

DRAWS = normal_draws([1.0, 2.0], 0.1, seed=1, chains=2, draws=5)


def with_values(values: Any, dims: tuple[str, ...] = ("chain", "draw", "arm"), arm: Any = ("a", "b")) -> xr.DataTree:
    coords = {} if arm is None else {"arm": list(arm)}
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset({"mean_outcome": (dims, values)}, coords=coords)})
    tree.attrs["control"] = "a"
    return tree


def one_draw_missing() -> xr.DataTree:
    values = DRAWS.copy()
    values[0, 1, 0], values[1, 2, 1] = np.nan, np.inf
    return foreign(values)


def misspelt() -> xr.DataTree:
    tree = xr.DataTree.from_dict(
        {"posterior": foreign(DRAWS)["posterior"].to_dataset().rename(mean_outcome="mean_outcom")}
    )
    tree.attrs["control"] = "a"
    return tree


def test_plain_draws_with_a_control_are_a_posterior() -> None:
    tree = foreign(DRAWS)
    assert validate(tree) is tree
    assert arms(tree) == ("a", "b")


def test_the_mean_outcome_comes_with_its_dimensions_in_order() -> None:
    turned = with_values(DRAWS.T, dims=("arm", "draw", "chain"))
    assert mean_outcome(validate(turned)).dims == ("chain", "draw", "arm")
    np.testing.assert_array_equal(mean_outcome(turned).values, DRAWS)


def test_assembling_writes_the_schema_version_and_leaves_out_attributes_without_a_value() -> None:
    tree = assemble({"posterior": foreign(DRAWS)["posterior"].to_dataset()}, {"control": "b", "prior": None})
    assert tree.attrs == {"schema_version": 1, "control": "b"}


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "not a tree": (xr.Dataset, "this is Dataset"),
    "no posterior group": (
        lambda: xr.DataTree.from_dict({"prior": xr.Dataset()}),
        "no group 'posterior'. Groups: prior",
    ),
    "no group at all": (xr.DataTree, "Groups: none"),
    "no mean outcome": (
        misspelt,
        "no variable 'mean_outcome', the mean outcome under each arm. Variables: mean_outcom.",
    ),
    "no chains": (lambda: with_values(DRAWS[0], ("draw", "arm")), "has dimensions draw, arm"),
    "an unknown dimension": (
        lambda: with_values(DRAWS[..., None], ("chain", "draw", "arm", "week")),
        "has dimensions chain, draw, arm, week",
    ),
    "segments and units": (
        lambda: with_values(DRAWS[:, :, None, None], ("chain", "draw", "segment", "unit", "arm")),
        "expected chain, draw, [segment or unit], arm",
    ),
    "arms without labels": (lambda: with_values(DRAWS, arm=None), "no labels for its arms"),
    "arms with numbers for labels": (lambda: with_values(DRAWS, arm=(0, 1)), "a coordinate of texts"),
    "one arm": (lambda: with_values(DRAWS[..., :1], arm=("a",)), "arms a: expected at least two"),
    "the same arm twice": (lambda: with_values(DRAWS, arm=("a", "a")), "arms a, a: expected at least two different"),
    "no control": (lambda: xr.DataTree.from_dict({"posterior": foreign(DRAWS)["posterior"]}), "'control' is None"),
    "a control that is no arm": (
        lambda: foreign(DRAWS, arms=["control", "offer"], control="contol"),
        "'control' is 'contol'; expected one of the arms: control, offer. Did you mean 'control'?",
    ),
    "draws that are missing": (one_draw_missing, "holds 2 missing or infinite draws of 20"),
    "no draws": (lambda: foreign(DRAWS[:, :0]), "holds 0 values of float64"),
    "draws that are text": (lambda: foreign(DRAWS.astype(str)), "expected draws as numbers"),
    "draws that are complex": (lambda: foreign(DRAWS + 1j), "20 values of complex128"),
    "a later schema": (lambda: foreign(DRAWS, schema_version=2), "follows schema 2; this release reads up to 1"),
    "a schema that is no number": (lambda: foreign(DRAWS, schema_version="new"), "follows schema new"),
}


@pytest.mark.parametrize(("made", "found"), REFUSED.values(), ids=REFUSED)
def test_a_tree_that_is_no_posterior_is_refused_and_told_why(made: Callable[[], Any], found: str) -> None:
    with pytest.raises(PosteriorError) as refusal:
        validate(made())
    assert found in str(refusal.value)


def test_the_refusal_is_also_the_built_in_that_it_stands_for() -> None:
    assert issubclass(PosteriorError, ValueError)
    assert issubclass(PosteriorError, BayesupliftError)
