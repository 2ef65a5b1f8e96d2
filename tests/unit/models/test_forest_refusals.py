"""Each kind of bad input of a causal forest has a clear answer, before any sampling."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesuplift as bu
from bayesuplift.data.unit_limits import check_limits
from bayesuplift.data.units import Units
from bayesuplift.errors import ArgumentError, DataError, DataWarning
from bayesuplift.priors import ForestPrior, ForestShape
from tests.support.forests import TINY
from tests.support.worlds import seed_of

UNITS = 240
SHORT: dict[str, Any] = {"seed": 1, "prior": TINY, "chains": 2, "draws": 10, "warmup": 10, "progress": False}


def world() -> pd.DataFrame:
    rng = np.random.default_rng(seed_of("refusals of a forest"))
    age, treated = rng.normal(50.0, 10.0, UNITS), np.arange(UNITS) % 2
    return pd.DataFrame(
        {
            "age": age,
            "channel": rng.choice(["Multi", "Phone", "Web"], UNITS),
            "arm": np.where(treated, "offer", "none"),
            "spend": age + treated + rng.normal(size=UNITS),
            "chance": 0.5,
        }
    )


def fitted(table: pd.DataFrame, *covariates: str, **options: Any) -> Any:
    experiment = bu.read_experiment(
        table,
        arm="arm",
        control="none",
        outcome="spend",
        kind="continuous",
        covariates=covariates or ("age", "channel"),
        **options,
    )
    return bu.fit("bayesian_causal_forest", experiment, **SHORT)


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (lambda table: table.assign(age=1.0, channel="Web"), {}, "no covariate differs between the units"),
        (
            lambda table: table.assign(age=table["age"].where(table.index != 4)),
            {},
            r"'age' \(covariate\) is missing, .* row 5",
        ),
        (
            lambda table: table.assign(age=table["age"].where(table.index != 4, np.inf)),
            {},
            r"'age' .* not finite in 1 of",
        ),
        (
            lambda table: table.assign(channel=table["channel"].where(table.index != 4)),
            {},
            r"'channel' .* missing, empty",
        ),
        (lambda table: table.assign(channel=[f"u{k}" for k in range(UNITS)]), {}, "'channel' .* for themselves"),
        (lambda table: table.assign(channel=pd.date_range("2024-01-01", periods=UNITS)), {}, "days since one of them"),
        (
            lambda table: table.assign(chance=np.where(table.index == 4, 1.0, 0.5)),
            {"propensity": "chance"},
            "trim them",
        ),
        (lambda table: table.assign(age=(table["arm"] == "offer") * 1.0), {}, "'age' tells every unit of offer"),
        (lambda table: table.assign(spend=table["spend"] + 1e12), {}, "Subtract a round number near 1e\\+12"),
        (lambda table: table.head(8), {}, "there are 8 units"),
        (lambda table: table.assign(channel=[[1]] * UNITS), {}, "'channel' holds lists"),
    ],
)
def test_bad_input_is_refused_by_name(change: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        fitted(change(world()), **options)


def test_a_covariate_named_twice_is_refused() -> None:
    with pytest.raises(ArgumentError, match="'age' twice"):
        fitted(world(), "age", "age")


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.assign(age=table["age"] > 50.0),
        lambda table: table.assign(age=table["age"] * 1e300),
        lambda table: table.assign(age=np.sign(table["age"] - 50.0) * 1e-320),
        lambda table: table.assign(channel=np.array(["1", "2", "3"])[table.index % 3]),
    ],
)
def test_odd_input_that_can_be_fitted_is(change: Any) -> None:
    tree = fitted(change(world()))
    draws = tree["posterior"]["mean_outcome"].to_numpy()
    assert np.isfinite(draws).all()


def test_a_covariate_that_does_not_vary_is_asked_for_by_no_tree() -> None:
    tree = fitted(world().assign(weight=1.0), "age", "channel", "weight")
    for asked in ("prognostic_inclusion", "effect_inclusion"):
        assert tree["posterior"][asked]["covariate"].to_numpy().tolist()[-1] == "weight"
        assert (tree["posterior"][asked].sel(covariate="weight") == 0).all()
    assert (tree["posterior"]["prognostic_inclusion"].sel(covariate="age") > 0).any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.head(40), "there are 40 units, fewer than 50"),
        (
            lambda table: table.assign(arm=np.where(table.index < 3, "offer", "none")),
            r"fewer than 10 units are in offer \(3",
        ),
    ],
)
def test_few_units_are_warned_of(change: Any, said: str) -> None:
    table = change(world())
    roles: dict[str, Any] = {"arm": "arm", "control": "none", "outcome": "spend", "kind": "continuous"}
    units = Units.of(bu.read_experiment(table, covariates=["age", "channel"], **roles))
    with pytest.warns(DataWarning, match=said):
        check_limits(units)


def test_an_arm_of_few_units_is_fitted() -> None:
    with pytest.warns(DataWarning, match="fewer than 10 units"):
        tree = fitted(world().assign(arm=np.where(np.arange(UNITS) < 3, "offer", "none")))
    assert np.isfinite(tree["posterior"]["mean_outcome"].to_numpy()).all()


def test_new_units_of_unseen_levels_are_predicted_with_a_warning() -> None:
    tree = fitted(world())
    new = world().head(4).assign(channel=["Fax", "Web", "Phone", "Multi"])
    with pytest.warns(DataWarning, match=r"1 of 4 units have a level of 'channel' .*\(Fax\): 0 in each"):
        found = bu.predict(tree, new, seed=1)
    assert np.isfinite(found["posterior"]["mean_outcome"].to_numpy()).all()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ForestPrior(effect_sd=0.0), "effect_sd = 0.0"),
        (lambda: ForestPrior(coding="odd"), "coding = 'odd'"),  # type: ignore[arg-type]
        (lambda: ForestShape(trees=0, depth=4, base=0.9, power=2.0), "trees = 0"),
        (lambda: ForestShape(trees=10, depth=4, base=1.0, power=2.0), "base = 1.0"),
        (lambda: ForestPrior(most_cuts=2**16), "most_cuts"),
    ],
)
def test_priors_that_are_none_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        make()
