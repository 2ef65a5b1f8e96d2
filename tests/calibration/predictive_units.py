"""How often the predictive checks of units fail: of causal forests that are right, and of ones with a planted fault.

Worlds are steps in covariates and levels of stores, as the trees and terms of the model make them, drawn anew for each fit.

Run from the project's root: python -m tests.calibration.predictive_units
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
from scipy.stats import binom

import bayesuplift as bu
from bayesuplift.dims import Kind
from bayesuplift.priors import ForestPrior
from tests.support.forests import TINY
from tests.support.worlds import seed_of

LEVEL: Final = 0.01
UNITS: Final = 400
THRESHOLD: Final = 0.8
RIGHT, WRONG = 100, 25
LENGTH: Final = {"chains": 2, "draws": 100, "warmup": 100, "progress": False}
COVARIATES: Final = ("age", "income", "recency")
STORES: Final = {"a": 0.5, "b": -0.5, "c": 0.4, "d": -0.4, "e": 0.0}

Change = Callable[[pd.DataFrame, np.random.Generator], pd.Series]


@dataclass(frozen=True)
class Case:
    """A kind of world, and what the model is told of it.

    Parameters
    ----------
    kind, arms
        Kind of the outcome, and number of arms.
    noise
        Noise (unit,) of a continuous outcome.
    change
        What the outcome is beside what the model can make.
    covariates, segments
        What the model is given; the checks are given everything.
    prior
        Prior of the model.
    expected
        The check that the fault is meant for; None where there is no fault.
    least
        The share of worlds in which that check should fail at least.
    """

    kind: Kind = "continuous"
    arms: int = 2
    noise: Change = lambda table, rng: pd.Series(rng.standard_normal(len(table)))
    change: Change = lambda table, rng: table["spend"]  # noqa: ARG005
    covariates: tuple[str, ...] = COVARIATES
    segments: tuple[str, ...] = ("store",)
    prior: ForestPrior = TINY
    expected: str | None = None
    least: float = 0.3


def _t(degrees: float) -> Change:
    return lambda table, rng: pd.Series(rng.standard_t(degrees, len(table)))


def _by_age(size: float, *, treated: bool) -> Change:
    """The older half has more by `size`, and the others less: all of them, or those who were treated."""

    def change(table: pd.DataFrame, _: np.random.Generator) -> pd.Series:
        asked = table["arm"] != "none" if treated else 1.0
        return table["spend"] + size * np.where(table["age"] > 0.0, 1.0, -1.0) * asked

    return change


def _by_product(table: pd.DataFrame, _: np.random.Generator) -> pd.Series:
    return table["spend"] + 0.8 * np.sign(table["age"] * table["income"])


CASES: Final[Mapping[str, Case]] = {
    "right": Case(),
    "right, three arms": Case(arms=3),
    "right, binary": Case(kind="binary"),
    "noise t(2)": Case(noise=_t(2.0), expected="largest_residuals"),
    "noise t(3)": Case(noise=_t(3.0), expected="largest_residuals"),
    "noise t(5)": Case(noise=_t(5.0), expected="largest_residuals", least=0.1),
    "noise exponential": Case(
        noise=lambda table, rng: pd.Series(rng.standard_exponential(len(table))), expected="shape_of_residuals"
    ),
    "noise of sd exp(age / 2)": Case(
        noise=lambda table, rng: np.exp(table["age"] / 2.0) * rng.standard_normal(len(table)),
        expected="spread_of_residuals",
    ),
    "level by age, which is left out": Case(
        change=_by_age(0.5, treated=False), covariates=("income", "recency"), expected="means_by_covariate"
    ),
    "effect by age, which is left out": Case(
        change=_by_age(0.5, treated=True), covariates=("income", "recency"), expected="means_by_covariate"
    ),
    "effect by age, in a prior of hardly any": Case(
        change=_by_age(0.7, treated=True),
        prior=replace(TINY, effect_sd=0.01, learned=False),
        expected="means_by_covariate",
    ),
    "level by store, which is left out": Case(
        change=lambda table, _: table["spend"] + table["store"].map(STORES),
        segments=(),
        expected="means_by_covariate",
    ),
    "level by the product of signs of age and income, its trees of one split": Case(
        change=_by_product,
        prior=replace(TINY, prognostic=replace(TINY.prognostic, depth=2)),
        expected="means_by_effect",  # the effect's trees take it up
    ),
    "the same, all trees of one split": Case(
        change=_by_product,
        prior=replace(TINY, prognostic=replace(TINY.prognostic, depth=2), effect=replace(TINY.effect, depth=2)),
        expected="means_by_covariate",
        least=0.0,  # each of the covariates by itself changes nothing
    ),
}


def world(case: Case, rng: np.random.Generator) -> pd.DataFrame:
    """A table of units, dealt to arms of one size."""
    found = pd.DataFrame(rng.standard_normal((UNITS, 3)), columns=list(COVARIATES))
    found["store"] = rng.choice(list(STORES), UNITS)
    arm = rng.permutation(np.arange(UNITS) % case.arms)
    found["arm"] = np.array(["none", "men", "women"])[arm]

    def steps(count: int, size: float) -> np.ndarray:
        each = [
            rng.normal(0.0, size) * (found[COVARIATES[rng.integers(3)]] > rng.normal(0.0, 0.7)) for _ in range(count)
        ]
        return np.sum(each, axis=0)

    of_store = found["store"].map(dict(zip(STORES, rng.normal(0.0, 0.3, len(STORES)), strict=True)))
    level, effect = of_store + steps(6, 0.4), rng.normal(0.0, 0.3) + steps(2, 0.25)
    found["spend"] = level + effect * np.array([0.0, 1.0, 1.3])[arm] + case.noise(found, rng)
    found["spend"] = case.change(found, rng)
    if case.kind == "binary":
        found["spend"] = (found["spend"] > THRESHOLD).astype(float)
    return found


def p_values(case: Case, name: str) -> dict[str, float]:
    """Adjusted p-value of each check of one world's fit."""
    table = world(case, np.random.default_rng(seed_of(name)))

    def read(covariates: tuple[str, ...], segments: tuple[str, ...]) -> bu.Experiment:
        roles = {"arm": "arm", "control": "none", "outcome": "spend", "kind": case.kind}
        return bu.read_experiment(table, covariates=covariates, segments=segments, **roles)

    posterior = bu.fit(
        "bayesian_causal_forest",
        read(case.covariates, case.segments),
        seed=seed_of(name),
        prior=case.prior,
        **LENGTH,
    )
    every = read(COVARIATES, ("store",))
    return {check.name: check.facts["adjusted_p"] for check in bu.predictive_check(posterior, every, seed=1)}


def main() -> int:
    """Print how often each check fails; 1 where a right model's does too often, or one that was meant to too seldom."""
    passed = True
    for title, case in CASES.items():
        worlds = RIGHT if case.expected is None else WRONG
        found = pd.DataFrame([p_values(case, f"{title} {k}") for k in range(worlds)])
        shares = (found < LEVEL).mean()
        told = ", ".join(f"{name} {share:.2f}" for name, share in shares.items() if share > 0.0) or "none"
        print(f"{title}, {worlds} worlds, share of them that fails: {told}", flush=True)  # noqa: T201
        if case.expected is None:
            # more failures than this have a chance below one in a thousand, were p-values exact
            passed &= bool((shares * worlds <= binom.ppf(0.999, worlds, LEVEL)).all())
        else:
            passed &= float(shares[case.expected]) >= case.least
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
