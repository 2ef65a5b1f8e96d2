"""Policies to be deployed, and units that they are put to."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import duckdb
import numpy as np
import pandas as pd
import xarray as xr

from bayesuplift.data.coding import Coding, Column
from bayesuplift.decisions.deployment.deployed_policy import DeployedPolicy
from bayesuplift.decisions.targeting.policy import Policy
from bayesuplift.decisions.trees.decision_tree import DecisionTree
from bayesuplift.decisions.trees.questions import Branch, Leaf, Question
from bayesuplift.estimands.places import EVERYBODY

AWKWARD: Final = ("control", 'men\'s "best"', "für Frauen; --", "a, b\n%s")
"""Labels of arms that SQL, JSON or CSV could stumble over; the first is the control."""

TYPES: Final[Mapping[str, tuple[Any, ...]]] = {
    'it\'s "text"': ("Web", "o'Clock", "ß, ü\n", "", "1", "01", "1.0", "true"),
    "whole": (0, 1, -7, 10, 2**53 + 1),
    "float whole": (0.0, 1.0, -7.0, 2.5, 1e16),
    "truth": (True, False),
    "day": tuple(np.array(["2024-02-29", "2024-03-01", "1999-12-31"], dtype="datetime64[s]")),
}
"""Values of columns that factors may have, by name."""


def over_segments(
    share: Any, factors: Mapping[str, Sequence[str]], *, arms: Sequence[str] = AWKWARD, weight: Any = None
) -> Policy:
    """A policy (segment, arm) over segments of these factors that was given; without factors it is for everybody."""
    values = np.asarray(share, dtype=np.float64)
    coords: dict[str, Any] = {
        "arm": list(arms),
        "segment": [f"s{i}" if factors else EVERYBODY for i in range(len(values))],
    }
    coords |= {factor: ("segment", list(levels)) for factor, levels in factors.items()}
    coords["n"] = ("segment", np.ones(len(values)) if weight is None else weight)
    return Policy(xr.DataArray(values, dims=("segment", "arm"), coords=coords, name="share"), arms[0], "visit")


def random_tree(rng: np.random.Generator, *, depth: int = 3, arms: Sequence[str] = AWKWARD) -> DecisionTree:
    """A tree that asks a number and a text."""

    def grown(left: int) -> Branch | Leaf:
        if left == 0 or (left < depth and rng.random() < 0.2):
            return Leaf(str(rng.choice(list(arms))), float(rng.integers(1, 50)))
        if rng.random() < 0.5:
            asked = Question('the "age"', below=float(rng.choice([0.1, 40.0, rng.normal(), 1e-7])))
        else:
            asked = Question("channel", level=str(rng.choice(["Web", "o'Clock", "ß"])))
        return Branch(asked, grown(left - 1), grown(left - 1))

    return DecisionTree(grown(depth))


def arms_by_sql(policy: DeployedPolicy, table: pd.DataFrame, *, unit: str) -> list[Any]:
    """Arm of each row, by the policy's statement in DuckDB; the unit's names are all different."""
    connection = duckdb.connect()
    connection.register("rows", table)
    connection.execute('CREATE TABLE "the units" AS SELECT * FROM rows')
    arms = dict(connection.execute(policy.sql(("the units",), unit=unit)).fetchall())
    return [arms[name] for name in table[unit].tolist()]


def linear_posterior(*, seed: int, draws: int = 20) -> xr.DataTree:
    """A posterior in the shape of `interaction_horseshoe`, with draws that no data made, of units with x and a channel."""
    rng = np.random.default_rng(seed)
    chain, names = 2, ["x", "channel=Web"]
    arms = ["control", "men", "women"]

    def normal(*shape: int, at: float = 0.0, sd: float = 0.3) -> np.ndarray:
        return rng.normal(at, sd, (chain, draws, *shape))

    posterior = xr.Dataset(
        {
            "base": (("chain", "draw"), normal(at=1.0)),
            "prognostic": (("chain", "draw", "covariate"), normal(2)),
            "average_effect": (("chain", "draw", "treatment"), normal(2)),
            "interaction": (("chain", "draw", "treatment", "covariate"), normal(2, 2, sd=1.0)),
            "mean_outcome": (("chain", "draw", "unit", "arm"), normal(5, 3)),
        },
        coords={"arm": arms, "unit": np.arange(5), "covariate": names},
    )
    constants = xr.Dataset(
        {"covariate_mean": ("covariate", [0.0, 0.5]), "covariate_sd": ("covariate", [1.0, 0.5])},
        coords={"covariate": names},
    )
    tree = xr.DataTree.from_dict({"posterior": posterior, "constant_data": constants})
    coding = Coding((Column("x"), Column("channel", "Web", "Phone")))
    tree.attrs = {
        "control": "control",
        "outcome": "spend",
        "model": "interaction_horseshoe",
        "pooled": "unit",
        "coding": coding.to_json(),
        "seed": 3,
        "data_fingerprint": "of no data",
    }
    return tree
