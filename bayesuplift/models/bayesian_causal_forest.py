"""The effect of every unit, from forests of trees: what it would have without treatment, and what treatment changes."""

from typing import TYPE_CHECKING

import numpy as np

from bayesuplift.data.causal_rows import CausalRows
from bayesuplift.errors import ArgumentError
from bayesuplift.priors import ForestPrior
from bayesuplift.priors.doses import doses_of
from bayesuplift.spec import register

if TYPE_CHECKING:  # units know tables, and a program needs none
    from bayesuplift.data.units import Units


@register(outcome=("continuous", "binary"), data="units", supplies={"ate", "cate"}, forest=True)
def bayesian_causal_forest(units: "Units", *, prior: ForestPrior = ForestPrior()) -> CausalRows:  # noqa: B008
    """By how much treatments change the outcome of every unit, when effects depend on covariates in no stated way.

        y_i = intercept + mu(x_i, p_i) + u_i + sum_a c_ia (average_a + scale_a t_a(x_i) + v_ia) + e_i
        e_i ~ Normal(0, sigma^2 / w_i)
        u_i = sum_f u_f[level of i],    u_f ~ Normal(0, omega_f^2)
        v_ia = sum_f v_fa[level of i],  v_fa ~ Normal(0, psi_f^2)

    A binary outcome is 1 where such a value, of sigma = 1, is above 0; w is the units' precision, 1 where none is given.

    mu and every t_a are sums of trees, each with a prior of its own, Hahn, Murray and Carvalho (2020), Bayesian regression
    tree models for causal inference, Bayesian Analysis 15(3), equation 3; c codes the treatments, and p is the propensity:
    among the covariates of mu, and of t where the prior says `propensity_in_effect`; of several treatments one for each,
    Imbens (2000), The role of the propensity score in estimating dose-response functions, Biometrika 87(3). Every factor
    of the segments is a term of its own. Where arms are doses of one treatment, coding "dose", all share one a: c is the
    dose of the unit's arm less the control's, and the effect is that of a unit of dose.

    Raises
    ------
    ArgumentError
        Units were not assigned at random and have no propensity, or effects are to follow one and there is none; or arms
        are coded by dose, and their labels are not different finite numbers.
    """
    experiment = units.experiment
    prognostic = units.columns
    if experiment.propensity is not None:
        prognostic = np.column_stack([prognostic, experiment.propensity])
    elif units.design.assignment == "observational":
        raise ArgumentError(
            "units were not assigned at random, and their propensity is not known: levels that trees shrink would leave a "
            "part of their difference for the treatment to explain. Estimate it: "
            "experiment.with_propensity(bu.propensity(experiment, seed=1).estimates); or give its column: "
            "read_experiment(..., propensity=...)"
        )
    elif prior.propensity_in_effect:
        raise ArgumentError(
            "ForestPrior: propensity_in_effect, and these units were assigned at random, with no propensity for effects to "
            "follow; leave it out, or give a column: read_experiment(..., propensity=...)"
        )
    return CausalRows(
        outcome=experiment.outcome,
        arm=experiment.arm,  # the control stands first
        prognostic=prognostic,
        moderators=prognostic if prior.propensity_in_effect else units.columns,
        weight=experiment.precision,
        binary=units.kind == "binary",
        groups=tuple(position for _, position in units.levels.values()) if prior.segments else (),
        doses=doses_of(units.design.arms) if prior.coding == "dose" else None,
    )
