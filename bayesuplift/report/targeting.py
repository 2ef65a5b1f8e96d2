"""Whom to treat: policies of several rules, what they earn, and what that rests on, as plain values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import xarray as xr

from bayesuplift.decisions.choice import Choice
from bayesuplift.decisions.targeting.policy import Policy
from bayesuplift.decisions.targeting.rules import Rule
from bayesuplift.decisions.trees.policy_tree import PolicyTree, policy_tree
from bayesuplift.dims import SEGMENT, UNIT
from bayesuplift.errors import BayesupliftError
from bayesuplift.estimands.places import Places
from bayesuplift.estimands.value import Economics
from bayesuplift.posterior.schema import observed_cells
from bayesuplift.report.information_part import information_facts
from bayesuplift.report.policy_tree_part import policy_tree_facts
from bayesuplift.report.targeting_policies import ALPHA, SHOWN, Valued, usual_rules, valued_policies
from bayesuplift.report.targeting_prices import price_grid, share_curve
from bayesuplift.report.targeting_receivers import receivers
from bayesuplift.report.targeting_segments import actions, bounds
from bayesuplift.report.targeting_words import refusal, sentences

Facts = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Targeting:
    """Whom to treat.

    Parameters
    ----------
    policies
        By the name of their rule; none where a check failed.
    facts
        What a report says of them; see `targeting`.
    """

    policies: Mapping[str, Policy]
    facts: Facts


def targeting(
    posterior: xr.DataTree,
    choice: Choice,
    economics: Economics,
    rules: Mapping[str, Rule] | None = None,
    *,
    by_segment: xr.DataTree | None = None,
    doubt: str | None = None,
    tree: PolicyTree | None = None,
) -> Targeting:
    """Choose whom to treat by several rules, and tell what that earns.

    Parameters
    ----------
    posterior
        A tree over segments, over units, or by arm alone.
    choice
        The decision on it: where that is INVALID, there are no policies.
    economics
        What an outcome is worth and what arms cost.
    rules
        By name; risk aversions of 0, .3, .7 and 1 where there are none.
    by_segment
        Of a posterior over units, the same averaged over units of equal levels.
    doubt
        What the chains say against single units, or None.
    tree
        Of a posterior over units, the policy as a tree; of segments it is grown here.

    Returns
    -------
    Targeting
        Its facts are `refused`, why there is no policy, with the `checks` that failed; or `refused` = None and `economics`,
        `alpha`; `dim`, `places`, their number, `units`, and whether these were `counted`; `arms`; `policies`, one row a
        rule and a reference, the best of these in `reference`; `frontier`, rows by risk aversion, and in `who` who gets
        what; `who` of the rules, where they are others than these; `curve`, profit by share treated, or None of one place;
        `grid` over prices; `actions` and `buckets` by level, `tree` and `information`, or None; `left_out`, what could
        not be told and why; `sentences`.
    """
    outcome = str(posterior.attrs.get("outcome", "the outcome"))
    failed = [{"name": one.name, "sentence": one.sentence} for one in choice.checks if not one.passed]
    if choice.verdict.name == "INVALID":
        return Targeting({}, {"refused": refusal(outcome, failed), "checks": failed})
    prob = choice.standards.get("prob", 0.95)
    named = rules or usual_rules()
    places = Places.of(posterior)
    found = valued_policies(places, economics, named, prob=prob)
    left_out = list(found.left_out)
    of_segments = posterior if by_segment is None else by_segment
    facts: Facts = {
        "refused": None,
        "economics": str(economics),
        "alpha": ALPHA,
        "dim": places.dim,
        "places": len(places),
        "units": float(places.weight.sum()),
        "counted": places.dim == UNIT or observed_cells(posterior) is not None,
        "arms": list(places.arms),
        "policies": found.rows,
        "reference": found.reference,
        "frontier": _frontier(found, places),
        "who": receivers(found.rules, places) if rules else None,
        "curve": None,
        "grid": _told("prices", left_out, lambda: price_grid(posterior, economics, named, prob=prob)),
        "actions": _told("segments", left_out, lambda: actions(of_segments, economics, prob=prob)),
        "buckets": _told("buckets", left_out, lambda: bounds(of_segments, economics, prob=prob)),
    }
    seed = int(posterior.attrs.get("seed", 0))
    facts["tree"] = _told("a tree", left_out, lambda: _tree(posterior, economics, places, tree, prob=prob, seed=seed))
    facts["information"] = None
    if facts["counted"]:
        informed = partial(information_facts, posterior, economics, seed=seed)
        facts["information"] = _told("knowing more", left_out, informed)
    if len(places) > 1:
        facts["curve"] = _told("shares", left_out, lambda: share_curve(posterior, economics, prob=prob))
    pooled = posterior.attrs.get("pooled") in (SEGMENT, UNIT)
    facts["left_out"] = left_out
    facts["sentences"] = sentences(facts, outcome=outcome, pooled=pooled, doubt=doubt)
    return Targeting(found.rules, facts)


def _frontier(found: Valued, places: Places) -> Facts:
    shown = {f"λ = {one:g}": found.frontier[one] for one in SHOWN if one in found.frontier}
    return {"rows": found.frontier_rows, "who": receivers(shown, places)}


def _tree(
    posterior: xr.DataTree, economics: Economics, places: Places, tree: PolicyTree | None, *, prob: float, seed: int
) -> Facts | None:
    """The policy as a tree; None of one place, or of units whose covariates nobody gave."""
    if tree is None and places.dim == SEGMENT and len(places) > 1 and places.factors:
        tree = policy_tree(posterior, economics, seed=seed)
    return None if tree is None else policy_tree_facts(tree, prob=prob)


def _told(what: str, left_out: list[str], make: Callable[[], Facts | None]) -> Facts | None:
    """A part of the facts; where it has no meaning for these draws the others do not rest on it, and it is said."""
    try:
        return make()
    except BayesupliftError as refusal_:
        left_out.append(f"What would be told of {what} is left out: {refusal_}")
        return None
