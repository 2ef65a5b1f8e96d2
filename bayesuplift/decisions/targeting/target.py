"""Whom to treat with what: a rule, applied to a posterior, gives a policy."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.decisions.allocation.allocate import Prices, allocate
from bayesuplift.decisions.allocation.whole_units import whole
from bayesuplift.decisions.targeting.gain_statistics import Statistic, gain_statistics
from bayesuplift.decisions.targeting.limits import AtMost, Never, treatment_index
from bayesuplift.decisions.targeting.policy import Policy, labelled_shares, with_control
from bayesuplift.decisions.targeting.rules import BestArm, Rule
from bayesuplift.dims import UNIT, N
from bayesuplift.errors import ArgumentError
from bayesuplift.estimands.places import Places, unit_costs
from bayesuplift.estimands.value import Economics

Values = NDArray[np.float64]


def target(
    posterior: xr.DataTree,
    economics: Economics,
    *,
    rule: Rule | None = None,
    population: Any = None,
    weight: str = N,
) -> Policy:
    """Choose an arm for every segment or unit.

    With score s_{i,a} of place i, n_i units, and treatment a by the rule (the control scores 0), shares x maximise

        sum_i n_i sum_a s_{i,a} x_{i,a},     x >= 0,  sum_a x_{i,a} <= 1,  and the rule's limits

    Parameters
    ----------
    posterior
        A tree in the schema of `bayesuplift.posterior.schema`, over segments, over units, or by arm alone: then everybody
        is one place.
    economics
        What an outcome is worth and what arms cost.
    rule
        `BestArm()`, if left out; or `RiskAdjusted`, `CredibleBound`, `CVaR`, `Threshold`, `TopShare` or `Budget`, each of
        which takes limits: `RiskAdjusted(0.3).subject_to(AtMost(share=0.2), Never({"channel": "Web"}))`.
    population
        None for the observed units, or a table of segments and their weights: see `ate`.
    weight
        The table's column of weights.

    Returns
    -------
    Policy
        Units get whole arms; where a limit cuts through a segment, a part of it is treated.

    Raises
    ------
    PosteriorError, DataError, ColumnNotFoundError
        The tree does not follow the schema, or the population is not a table of its segments.
    ArmNotFoundError, FactorNotFoundError
        A cost or a limit names an arm or factor that there is not.
    ArgumentError
        An argument is outside its range, or the rule has no meaning for these draws.

    Notes
    -----
    Draws are taken as they are. Whether chains agree, and whether units were assigned at random, is asked by `choose_arm`;
    a report shows no policy where its verdict is INVALID.
    """
    rule = BestArm() if rule is None else rule
    if not isinstance(rule, Rule):
        raise ArgumentError(f"rule = {rule!r}; give a rule, such as RiskAdjusted(risk_aversion=0.3)")
    if not isinstance(economics, Economics):
        raise ArgumentError(
            f"economics is {type(economics).__name__}; give Economics(value_per_outcome=..., cost_per_unit=...)"
        )
    places = Places.of(posterior, population, weight=weight)
    return chosen(places, economics, rule, gain_statistics(places, economics, rule.statistics))


def chosen(places: Places, economics: Economics, rule: Rule, values: Mapping[Statistic, Values]) -> Policy:
    """The policy of a rule, from statistics of the net gain that are known."""
    score = rule.score(values)
    scored = np.where(ruled_out(places, rule), -np.inf, score)
    share, prices = _allocated(places, economics, rule, scored)
    shares = with_control(places, share, np.maximum(1.0 - share.sum(axis=1), 0.0))
    labelled = labelled_shares(places, shares)
    return Policy(
        share=labelled,
        control=places.control,
        outcome=places.outcome,
        rule=rule,
        economics=economics,
        score=labelled.copy(data=with_control(places, scored, 0.0)).rename("score"),
        prices=prices,
    )


def _allocated(places: Places, economics: Economics, rule: Rule, score: Values) -> tuple[Values, Prices]:
    """Shares (place, treatment) of highest total score under the rule's limits, and what these cost."""
    units = float(places.weight.sum())
    cap = np.inf
    caps = np.full(len(places.treatments), np.inf)
    for limit in rule.limits:
        if isinstance(limit, AtMost) and limit.arm is None:
            cap = min(cap, limit.most(units))
        elif isinstance(limit, AtMost):
            k = treatment_index(limit.arm or "", places)
            caps[k] = min(caps[k], limit.most(units))
    raised = 0.0
    allowed = np.isfinite(score)
    if rule.fills is not None and allowed.any():
        # with all allowed scores above 0 the limit is met by the highest of them, and met exactly
        lowest, highest = float(score[allowed].min()), float(score[allowed].max())
        raised = (highest - lowest or 1.0) - lowest
        cap = min(cap, rule.fills * units)
    # nobody is where the weight is 0: an allocation has nothing to give there
    empty = places.weight == 0
    asked = (np.where(empty[:, None], -np.inf, score + raised), unit_costs(places, economics))
    weight = np.where(empty, 1.0, places.weight)
    limits: dict[str, Any] = {
        "budget": rule.budget,
        "cap": None if np.isinf(cap) else cap,
        "caps": None if np.isinf(caps).all() else caps,
    }
    found = allocate(*asked, weight, **limits)
    share = whole(found, *asked, weight, **limits).share if places.dim == UNIT else found.share
    return share, replace(found.prices, cap=found.prices.cap - raised) if raised else found.prices


def ruled_out(places: Places, rule: Rule) -> NDArray[np.bool_]:
    """Treatments that limits rule out, (place, treatment)."""
    out = np.zeros((len(places), len(places.treatments)), dtype=bool)
    for limit in rule.limits:
        if isinstance(limit, Never):
            columns = slice(None) if limit.arm is None else [treatment_index(limit.arm, places)]
            out[np.ix_(limit.meant(places), np.arange(out.shape[1])[columns])] = True
    return out
