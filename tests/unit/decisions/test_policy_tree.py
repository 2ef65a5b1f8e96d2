"""Policy trees from a posterior: what grows them, what judges them, and what comes out."""

import duckdb
import numpy as np
import pandas as pd
import pytest

import bayesuplift as bu
from bayesuplift.decisions.trees.policy_tree import PolicyTree
from bayesuplift.errors import ArgumentError, FactorNotFoundError
from tests.support.factored import factored
from tests.support.over_units import noisy, over_units
from tests.support.worlds import seed_of

ECONOMICS = bu.Economics(1.0, {"men": 0.05, "women": 0.02})
RNG = np.random.default_rng(seed_of("policy trees"))
TABLE = pd.DataFrame(
    {
        "age": RNG.uniform(18, 80, 600).round(),
        "spend": RNG.gamma(2, 50, 600).round(2),
        "channel": RNG.choice(["Web", "Phone", "Multi"], 600),
    }
)
CROSSED = np.where((TABLE["age"] < 40) == (TABLE["channel"] == "Web"), 0.5, -0.5)
MEANS = np.stack([np.zeros(600), CROSSED, np.full(600, 0.1)], axis=1)
POSTERIOR = over_units(noisy(MEANS, sd=0.3, seed=seed_of("trees"), draws=50))


@pytest.fixture(scope="module")
def grown() -> PolicyTree:
    return bu.policy_tree(POSTERIOR, ECONOMICS, TABLE, covariates=list(TABLE), draws=5, seed=1)


def test_crossed_effects_are_found_and_earn_almost_what_single_arms_earn(grown: PolicyTree) -> None:
    value = bu.summarize_value(grown.value)["profit"]
    assert float(value.sel(policy="tree")) >= 0.97 * float(value.sel(policy="each place its best"))
    # of the posterior mean no tree beats the best arm of each
    assert float(value.sel(policy="tree")) <= float(value.sel(policy="each place its best"))
    assert set(grown.tree.asked) == {"age", "channel"}
    assert grown.method == "exact"
    right = np.where(CROSSED > 0, "men", "women")
    assert (grown.tree.arm_of({str(name): TABLE[name].to_numpy() for name in TABLE}) == right).mean() > 0.97
    one = bu.policy_tree(POSTERIOR, ECONOMICS, TABLE, covariates=list(TABLE), depth=1, draws=2, seed=1)
    shallow = float(bu.summarize_value(one.value)["profit"].sel(policy="tree"))
    assert shallow < 0.6 * float(value.sel(policy="tree"))  # a greedy root sees next to nothing here


def test_the_policy_its_value_and_its_exports_are_of_one_tree(grown: PolicyTree) -> None:
    columns = {str(name): TABLE[name].to_numpy() for name in TABLE}
    arms = grown.tree.arm_of(columns)
    assert grown.policy.arm.values.tolist() == arms.tolist()
    alone = bu.policy_value(grown.policy, POSTERIOR)
    np.testing.assert_allclose(alone["profit"], grown.value["profit"].sel(policy="tree"), rtol=1e-12)
    frame = TABLE  # noqa: F841 -- duckdb finds it by its name
    query = f"SELECT {grown.tree.sql()} AS arm FROM frame"  # noqa: S608 -- what is tested
    in_sql = duckdb.sql(query).fetchnumpy()["arm"]
    assert in_sql.tolist() == arms.tolist()
    units = [rule.units for rule in grown.tree.rules()]
    assert sum(one for one in units if one is not None) == 600
    assert min(one for one in units if one is not None) >= 20
    assert "asked first in trees of single draws" in str(grown)
    assert (grown.value["profit"].sel(policy="nobody") == 0).all()


def test_the_tree_chosen_has_the_highest_lower_quantile_on_units_that_did_not_grow_it(grown: PolicyTree) -> None:
    lower = grown.candidates["lower"]
    assert str(lower.idxmax().item()) == grown.candidates.attrs["chosen"]
    assert grown.candidates.sizes["candidate"] == 4 + 5
    assert float(grown.roots.sum()) == pytest.approx(1.0)
    # with effects that are surely there, the average decides: full caution treats nobody and earns nothing
    assert float(lower.sel(candidate="risk aversion 0")) > float(lower.sel(candidate="risk aversion 1"))


def test_growing_and_judging_on_the_same_units_would_flatter_a_tree_on_noise() -> None:
    """Without any effect a tree grown on one half finds gain there, and the other half says that there is none."""
    draws = np.random.default_rng(8).normal(0.0, 1.0, (4, 25, 600, 1)) * 0.1
    centre = np.random.default_rng(9).normal(
        0.0, 0.3, (600, 1)
    )  # what a posterior that does not regularise may believe
    tree = over_units(np.concatenate([np.zeros_like(draws), centre + draws], axis=-1), arms=("control", "offer"))
    found = bu.policy_tree(
        tree,
        bu.Economics(1.0, 0.0),
        TABLE,
        covariates=list(TABLE),
        risk_aversions=(0.0,),
        draws=1,
        seed=3,
        least_units=30,
    )
    judged = float(found.candidates["mean"].sel(candidate="risk aversion 0"))
    everywhere = float(bu.summarize_value(found.value)["profit"].sel(policy="tree")) / 600
    assert judged < everywhere


def test_segments_are_asked_for_their_factors() -> None:
    means = np.array([[0.0, 0.5, 0.0], [0.0, -0.5, 0.2], [0.0, -0.5, 0.2], [0.0, 0.5, 0.0]])
    tree = factored(np.random.default_rng(5).normal(means, 0.1, (2, 60, 4, 3)))
    found = bu.policy_tree(tree, ECONOMICS, draws=3, seed=1, least_units=1)
    assert set(found.tree.asked) == {"newbie", "channel"}
    assert found.policy.arm.values.tolist() == ["men", "women", "women", "men"]
    only = bu.policy_tree(tree, ECONOMICS, covariates="channel", draws=3, seed=1)
    assert set(only.tree.asked) <= {"channel"}


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match="units is missing"):
        bu.policy_tree(POSTERIOR, ECONOMICS, seed=1)
    with pytest.raises(ArgumentError, match="their factors are the covariates"):
        bu.policy_tree(factored(np.random.default_rng(1).random((2, 9, 4, 3))), ECONOMICS, TABLE, seed=1)
    with pytest.raises(ArgumentError, match="risk_aversions is empty"):
        bu.policy_tree(POSTERIOR, ECONOMICS, TABLE, risk_aversions=(), seed=1)
    with pytest.raises(ArgumentError, match="least_units = -1"):
        bu.policy_tree(POSTERIOR, ECONOMICS, TABLE, least_units=-1, seed=1)
    with pytest.raises(FactorNotFoundError, match="Did you mean 'channel'"):
        bu.policy_tree(factored(np.random.default_rng(1).random((2, 9, 4, 3))), ECONOMICS, covariates="chanel", seed=1)
