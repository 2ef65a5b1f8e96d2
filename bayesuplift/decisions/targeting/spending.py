"""What a growing budget buys, step by step, and what one more unit of money would."""

from typing import Any, Final

import numpy as np
import xarray as xr

from bayesuplift.decisions.allocation.budget_path import budget_path as path_of
from bayesuplift.decisions.targeting.gain_statistics import gain_statistics
from bayesuplift.decisions.targeting.limits import AtMost
from bayesuplift.decisions.targeting.rules import BestArm, Rule
from bayesuplift.decisions.targeting.target import ruled_out
from bayesuplift.dims import N
from bayesuplift.errors import ArgumentError
from bayesuplift.estimands.places import Places, unit_costs
from bayesuplift.estimands.value import Economics

STEP: Final = "step"


def budget_path(
    posterior: xr.DataTree,
    economics: Economics,
    *,
    by: Rule | None = None,
    population: Any = None,
    weight: str = N,
) -> xr.Dataset:
    """All budgets at once: the order in which money is spent best, (step,).

    Each step gives one place its treatment, or a dearer one than it had. What a step scores for one unit of money never
    rises, so that the first steps, and a part of the next, are the best use of what they cost: the policy of
    `Budget(amount)` at every amount.

    Parameters
    ----------
    posterior, economics, population, weight
        As in `target`.
    by
        The rule that scores; it may rule places out (`Never`), and has no other limits. The mean net gain if left out.

    Returns
    -------
    xarray.Dataset
        `spend` and `score`, money in all after each step; `price`, the score that the step has for one unit of money, which
        is the shadow price of budgets within it; `place`, `arm` and `instead`, the label of the place, of the arm it gets
        and of the one it had. Attribute `free`: the score of treatments that cost nothing, before anything is spent.

    Raises
    ------
    ArgumentError
        The rule has limits of its own beside `Never`, or a treatment costs less than the control.
    PosteriorError, ArmNotFoundError, FactorNotFoundError, DataError, ColumnNotFoundError
        As `target`.
    """
    rule = BestArm() if by is None else by
    places = Places.of(posterior, population, weight=weight)
    out = ruled_out(places, rule)
    if rule.budget is not None or rule.fills is not None or any(isinstance(one, AtMost) for one in rule.limits):
        raise ArgumentError(
            f"by = {rule}: the budget is the limit here; give a rule without one, or with `Never` alone"
        )
    score = np.where(out, -np.inf, rule.score(gain_statistics(places, economics, rule.statistics)))
    there = places.weight > 0
    found = path_of(score[there], unit_costs(places, economics), places.weight[there])
    arms = np.array([*places.treatments, places.control])  # the control is -1, the last
    return xr.Dataset(
        {
            "spend": (STEP, found.spend),
            "score": (STEP, found.gain),
            "price": (STEP, found.ratio),
            "place": (STEP, places.labels[there][found.unit]),
            "arm": (STEP, arms[found.arm]),
            "instead": (STEP, arms[found.instead]),
        },
        attrs={"economics": str(economics), "rule": str(rule), "units": "money", "free": found.begin},
    )
