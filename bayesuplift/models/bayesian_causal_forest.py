"""The effect of every unit, from forests of trees: what it would have without treatment, and what treatment changes."""

from typing import TYPE_CHECKING

import numpy as np

from bayesuplift.data.causal_rows import CausalRows
from bayesuplift.errors import ArgumentError
from bayesuplift.priors import ForestPrior
from bayesuplift.spec import register

if TYPE_CHECKING:  # units know tables, and a program needs none
    from bayesuplift.data.units import Units

_ARMS = 2


@register(outcome=("continuous", "binary"), data="units", supplies={"ate", "cate"}, forest=True)
def bayesian_causal_forest(units: "Units", *, prior: ForestPrior = ForestPrior()) -> CausalRows:  # noqa: ARG001, B008
    """By how much treatment changes the outcome of every unit, when effects depend on covariates in no stated way.

        y_i = intercept + mu(x_i, p_i) + c_i (average + scale t(x_i)) + e_i,     e_i ~ Normal(0, sigma^2)

    A binary outcome is 1 where such a value, of sigma = 1, is above 0.

    mu and t are sums of trees, each with a prior of its own, Hahn, Murray and Carvalho (2020), Bayesian regression tree
    models for causal inference, Bayesian Analysis 15(3), equation 3; c codes the treatment, and p is the propensity: among
    the covariates of mu, and not of t.

    Raises
    ------
    ArgumentError
        There are more than two arms, or units were not assigned at random and have no propensity.
    """
    experiment, design = units.experiment, units.design
    if len(design.arms) != _ARMS:
        raise ArgumentError(
            f"bayesian_causal_forest compares two arms; there are {len(design.arms)}. Read the two that are compared"
        )
    prognostic = units.columns
    if experiment.propensity is not None:
        prognostic = np.column_stack([prognostic, experiment.propensity])
    elif design.assignment == "observational":
        raise ArgumentError(
            "units were not assigned at random, and their propensity is not known: levels that trees shrink would leave a "
            "part of their difference for the treatment to explain. Estimate P(treatment | covariates), and give its "
            "column: read_experiment(..., propensity=...)"
        )
    return CausalRows(
        outcome=experiment.outcome,
        treated=experiment.arm.astype(np.float64),  # the control stands first
        prognostic=prognostic,
        moderators=units.columns,
        binary=units.kind == "binary",
    )
