"""From a policy that was chosen to one that new units can be put to."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import xarray as xr

from bayesuplift.decisions.deployment.deployed_policy import DeployedPolicy, Origin
from bayesuplift.decisions.deployment.leaves import TreeArms
from bayesuplift.decisions.deployment.scores import ScoreThresholds
from bayesuplift.decisions.deployment.segments import SegmentArms, Unknown
from bayesuplift.decisions.targeting.policy import Policy
from bayesuplift.decisions.trees.decision_tree import DecisionTree
from bayesuplift.decisions.trees.policy_tree import PolicyTree
from bayesuplift.dims import ARM, SEGMENT
from bayesuplift.errors import ArgumentError, listed
from bayesuplift.posterior.schema import arms as arms_of
from bayesuplift.posterior.schema import validate
from bayesuplift.posterior.storage import provenance

Told = tuple[tuple[str, str | float], ...]

_KEPT: Final = (
    *("model", "method", "fallback", "prior", "seed", "outcome", "kind", "assignment", "data_fingerprint"),
    *("created_at", "versions"),
)
"""Attributes of a posterior that a policy remembers."""


def deploy(
    policy: Policy | PolicyTree | DecisionTree,
    *,
    posterior: xr.DataTree | None = None,
    control: str | None = None,
    salt: str | None = None,
    unknown: Unknown | None = None,
    columns: Mapping[str, str] | None = None,
) -> DeployedPolicy:
    """Make a policy one that any row can be put to.

    A policy over segments goes by their factors. One over units goes by the scores of its rule: what limits took from the
    units that it was made for becomes a threshold for each treatment (see `ScoreThresholds`). A tree is one already.

    Parameters
    ----------
    policy
        Of `target`, of `assign` over segments, of `policy_tree`, or the tree alone.
    posterior
        What it was made from, to be remembered.
    control
        Label of the control of a tree alone, which knows none by itself; the posterior's, if that is given.
    salt
        Of segments, what the hash begins with that deals their units to arms; made of the policy where it is left out, so
        that another policy deals anew. Give the last policy's to keep its units where they are as far as shares allow.
    unknown
        Of segments, what units of others get: "control", by default, or "refuse".
    columns
        Of scores, the column of each treatment; "score_" and its label where it is left out.

    Raises
    ------
    ArgumentError
        A policy over units was given and not chosen; an option is of no meaning for it, or a tree's control is left out; or
        the posterior has other arms.
    PosteriorError
        The posterior does not follow the schema.
    """
    if isinstance(policy, DecisionTree | PolicyTree):
        _no_meaning("a tree", salt=salt, unknown=unknown, columns=columns)
        if isinstance(policy, DecisionTree):
            return _of_tree(policy, posterior, control)
        _no_meaning("a tree whose control is known", control=control)
        return _of_chosen_tree(policy, posterior)
    if not isinstance(policy, Policy):
        raise ArgumentError(f"policy is {type(policy).__name__}; give one, as target returns, or a decision tree")
    _no_meaning(f"{policy.dim}s, whose control is known", control=control)
    arms = _arms(policy)
    told = () if posterior is None else remembered(posterior, arms, policy.control)
    differs = 0
    by: SegmentArms | ScoreThresholds
    if policy.dim == SEGMENT:
        _no_meaning("segments", columns=columns)
        by = SegmentArms.of(policy, salt=salt, unknown=unknown or "control")
    else:
        _no_meaning("scores", salt=salt, unknown=unknown)
        if policy.rule is None or policy.score is None:
            raise ArgumentError(
                "the policy gives arms to the units of a posterior, and says nothing of others: it was not chosen by a "
                "rule. Save one of target(...), or a tree"
            )
        by = ScoreThresholds.of(policy, columns or {})
        differs = _differs(by, policy)
    return DeployedPolicy(
        by=by,
        outcome=policy.outcome,
        origin=_origin(policy.why, dict(zip(arms, policy.units.to_numpy().tolist(), strict=True)), told, differs),
        rule=policy.rule,
        economics=policy.economics,
    )


def _of_chosen_tree(chosen: PolicyTree, posterior: xr.DataTree | None) -> DeployedPolicy:
    policy = chosen.policy
    arms = _arms(policy)
    return DeployedPolicy(
        by=TreeArms(arms, policy.control, chosen.tree),
        outcome=policy.outcome,
        origin=_origin(
            str(chosen.tree),
            dict(zip(arms, policy.units.to_numpy().tolist(), strict=True)),
            () if posterior is None else remembered(posterior, arms, policy.control),
        ),
        economics=policy.economics,
    )


def _of_tree(tree: DecisionTree, posterior: xr.DataTree | None, control: str | None) -> DeployedPolicy:
    told: Told = ()
    if posterior is not None:
        validate(posterior)
        arms, known = arms_of(posterior), str(posterior.attrs["control"])
        if control not in (None, known):
            raise ArgumentError(f"control = {control!r}, and the posterior's is '{known}'; leave it out")
        told = remembered(posterior, arms, known)
    elif control is None:
        raise ArgumentError("a tree does not know which arm is the control; give control=... or the posterior")
    else:
        arms, known = tuple(dict.fromkeys([control, *tree.arms])), control
    units = [(leaf.arm, leaf.units) for leaf in tree.rules()]
    counts = {arm: sum(one for other, one in units if other == arm and one is not None) for arm in arms}
    outcome = "the outcome" if posterior is None else str(posterior.attrs.get("outcome", "the outcome"))
    by = TreeArms(arms, known, tree)
    return DeployedPolicy(by=by, outcome=outcome, origin=_origin(str(tree), counts, told))


def remembered(posterior: xr.DataTree, arms: tuple[str, ...], control: str) -> Told:
    """What a policy remembers of the posterior that it comes from.

    Raises
    ------
    ArgumentError
        It has other arms.
    PosteriorError
        It does not follow the schema.
    """
    validate(posterior)
    if set(arms_of(posterior)) != set(arms) or str(posterior.attrs["control"]) != control:
        raise ArgumentError(
            f"the posterior has the arms {listed(arms_of(posterior))} and the control '{posterior.attrs['control']}'; the "
            f"policy has {listed(arms)} and '{control}': it does not come from it"
        )
    values = {name: posterior.attrs[name] for name in _KEPT if name in posterior.attrs}
    told = {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}
    return tuple((name, value) for name, value in told.items() if isinstance(value, str | int | float))


def _arms(policy: Policy) -> tuple[str, ...]:
    return tuple(str(arm) for arm in policy.share[ARM].to_numpy().tolist())


def _origin(why: str, units: Mapping[str, float], posterior: Told, differs: int = 0) -> Origin:
    made = provenance()
    return Origin(made["created_at"], made["versions"], why, tuple(units.items()), differs, posterior)


def _differs(by: ScoreThresholds, policy: Policy) -> int:
    """To how many of the policy's own units thresholds give another arm."""
    assert policy.score is not None
    closed = {arm for ban in by.bans if not ban.where for arm in ban.arms}  # what others ban has no score already
    threshold = [np.inf if arm in closed else one for arm, one in zip(by.treatments, by.thresholds, strict=True)]
    margin = policy.score.sel({ARM: list(by.treatments)}).to_numpy() - np.array(threshold)
    best = margin.argmax(axis=1)
    found = np.where(margin[np.arange(len(margin)), best] > 0.0, np.array(by.treatments)[best], by.control)
    return int((found != policy.arm.to_numpy()).sum())


def _no_meaning(kind: str, **options: Any) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ArgumentError(f"{listed(given)}: of no meaning for a policy that goes by {kind}; leave it out")
