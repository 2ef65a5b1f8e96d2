"""Policies as files: `policy.json`, written whole or not at all, and read strictly."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import xarray as xr

from bayesuplift.decisions.deployment.deploy import deploy
from bayesuplift.decisions.deployment.deployed_policy import DeployedPolicy, Origin
from bayesuplift.decisions.deployment.leaves import TreeArms
from bayesuplift.decisions.deployment.policy_json import (
    NUMBER,
    Kinds,
    economics_of_json,
    economics_to_json,
    parts_of,
    rule_of_json,
    rule_to_json,
    texts_of,
)
from bayesuplift.decisions.deployment.scores import Ban, ScoreThresholds
from bayesuplift.decisions.deployment.segments import SegmentArms, Unknown
from bayesuplift.decisions.targeting.policy import Policy
from bayesuplift.decisions.trees.decision_tree import DecisionTree
from bayesuplift.decisions.trees.policy_tree import PolicyTree
from bayesuplift.errors import ArgumentError, BayesupliftError, MissingFileError, UnreadableFileError, listed
from bayesuplift.files import whole_or_nothing

_FORMAT: Final = "bayesuplift policy"
_VERSION: Final = 1
_PARTS: Final[Mapping[str, Kinds]] = {
    **dict.fromkeys(("format", "kind", "control", "outcome"), str),
    "version": int,
    "arms": list,
    "rule": (dict, type(None)),
    "economics": (dict, type(None)),
    "origin": dict,
}


def save_policy(
    policy: Policy | PolicyTree | DecisionTree | DeployedPolicy,
    path: str | os.PathLike[str],
    *,
    posterior: xr.DataTree | None = None,
    control: str | None = None,
    salt: str | None = None,
    unknown: Unknown | None = None,
    columns: Mapping[str, str] | None = None,
) -> DeployedPolicy:
    """Write a policy to a file of JSON, from which new units get their arms.

    The file appears under its name when it is complete; a file that stood there before stays until then. Numbers keep every
    bit.

    Parameters
    ----------
    policy
        Of `target`, `assign` or `policy_tree`, a decision tree, or one that was loaded.
    path
        The file, such as policy.json.
    posterior, control, salt, unknown, columns
        As in `deploy`; of a policy that was loaded, none of them.

    Returns
    -------
    DeployedPolicy
        The policy as `load_policy` reads it.

    Raises
    ------
    ArgumentError, PosteriorError
        As `deploy`; or the policy's rule is one of the caller's own.
    UnreadableFileError
        The file cannot be written.
    """
    if isinstance(policy, DeployedPolicy):
        options = {"posterior": posterior, "control": control, "salt": salt, "unknown": unknown, "columns": columns}
        given = [name for name, value in options.items() if value is not None]
        if given:
            raise ArgumentError(f"{listed(given)}: the policy is deployed already, and keeps what it has; leave it out")
        made = policy
    else:
        made = deploy(policy, posterior=posterior, control=control, salt=salt, unknown=unknown, columns=columns)
    text = json.dumps(_to_json(made), indent=1, ensure_ascii=False, allow_nan=False)
    with whole_or_nothing(path) as partial:
        partial.write_text(f"{text}\n", encoding="utf-8")
    return made


def load_policy(path: str | os.PathLike[str]) -> DeployedPolicy:
    """Read a policy that `save_policy` wrote.

    Raises
    ------
    MissingFileError
        There is no such file.
    UnreadableFileError
        It is not a policy, is of a later release, or holds what a policy does not have.
    """
    source = Path(path)
    if not source.is_file():
        raise MissingFileError(f"no file {source}")
    try:
        value = json.loads(source.read_text(encoding="utf-8"), object_pairs_hook=_once, parse_constant=_refuse_constant)
        return _of_json(value)
    except (ValueError, RecursionError, OverflowError, BayesupliftError) as error:  # of JSON, its text or numbers
        raise UnreadableFileError(f"{source} is not a policy: {error}") from error
    except OSError as error:
        raise UnreadableFileError(f"cannot read {source}: {error}") from error


def _to_json(policy: DeployedPolicy) -> dict[str, Any]:
    origin = policy.origin
    return {
        "format": _FORMAT,
        "version": _VERSION,
        "kind": policy.kind,
        "arms": list(policy.arms),
        "control": policy.control,
        "outcome": policy.outcome,
        "rule": rule_to_json(policy.rule),
        "economics": economics_to_json(policy.economics),
        policy.kind: _by_to_json(policy.by),
        "origin": {
            "created_at": origin.created_at,
            "versions": origin.versions,
            "why": origin.why,
            "units": dict(origin.units),
            "differs": origin.differs,
            "posterior": dict(origin.posterior),
        },
    }


def _of_json(value: object) -> DeployedPolicy:
    if not isinstance(value, dict) or value.get("format") != _FORMAT:
        raise ArgumentError(f'it lacks "format": "{_FORMAT}"')
    version = value.get("version")
    if version != _VERSION or isinstance(version, bool):
        raise ArgumentError(f"it has version {version!r}; this release reads version {_VERSION}")
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ArgumentError(f"its kind is {kind!r}; expected one of {listed(_KINDS)}")
    told = parts_of(value, "the policy", {**_PARTS, kind: dict})
    arms, control = texts_of(told["arms"], "arms"), told["control"]
    if len(set(arms)) < max(len(arms), 2) or control not in arms:
        raise ArgumentError(f"arms {listed(arms)} and the control '{control}'; expected two or more, and it among them")
    return DeployedPolicy(
        by=_KINDS[kind](told[kind], arms, control),
        outcome=told["outcome"],
        origin=_origin(told["origin"]),
        rule=rule_of_json(told["rule"]),
        economics=economics_of_json(told["economics"]),
    )


def _by_to_json(by: Any) -> dict[str, Any]:
    if isinstance(by, SegmentArms):
        rows = [
            {"levels": list(levels), "share": {arm: one for arm, one in zip(by.arms, row, strict=True) if one > 0}}
            for levels, row in zip(by.levels, by.share, strict=True)
        ]
        return {"factors": list(by.factors), "unknown": by.unknown, "salt": by.salt, "rows": rows}
    if isinstance(by, TreeArms):
        tree: dict[str, Any] = json.loads(by.tree.to_json())
        return tree
    assert isinstance(by, ScoreThresholds)
    return {
        "columns": dict(zip(by.treatments, by.columns, strict=True)),
        "thresholds": dict(zip(by.treatments, by.thresholds, strict=True)),
        "bans": [
            {"where": {name: list(levels) for name, levels in ban.where}, "arms": list(ban.arms)} for ban in by.bans
        ],
    }


def _segments(value: object, arms: tuple[str, ...], control: str) -> SegmentArms:
    told = parts_of(value, "segments", {"factors": list, "unknown": str, "salt": str, "rows": list})
    rows = [parts_of(row, "a row of segments", {"levels": list, "share": dict}) for row in told["rows"]]
    shares = [parts_of(row["share"], "a share", {}, dict.fromkeys(arms, NUMBER)) for row in rows]
    return SegmentArms(
        arms=arms,
        control=control,
        factors=texts_of(told["factors"], "factors"),
        levels=tuple(texts_of(row["levels"], "levels") for row in rows),
        share=tuple(tuple(float(share.get(arm, 0.0)) for arm in arms) for share in shares),
        salt=told["salt"],
        unknown=told["unknown"],
    )


def _scores(value: object, arms: tuple[str, ...], control: str) -> ScoreThresholds:
    told = parts_of(value, "scores", {"columns": dict, "thresholds": dict, "bans": list})
    treatments = [arm for arm in arms if arm != control]
    columns = parts_of(told["columns"], "columns", dict.fromkeys(treatments, str))
    thresholds = parts_of(told["thresholds"], "thresholds", dict.fromkeys(treatments, NUMBER))
    bans = []
    for one in told["bans"]:
        ban = parts_of(one, "a ban", {"where": dict, "arms": list})
        where = tuple((column, texts_of(levels, "levels")) for column, levels in ban["where"].items())
        bans.append(Ban(where, texts_of(ban["arms"], "arms of a ban")))
    return ScoreThresholds(
        arms=arms,
        control=control,
        columns=tuple(columns[arm] for arm in treatments),
        thresholds=tuple(float(thresholds[arm]) for arm in treatments),
        bans=tuple(bans),
    )


def _tree(value: object, arms: tuple[str, ...], control: str) -> TreeArms:
    tree = DecisionTree.from_json(json.dumps(value))
    if json.loads(tree.to_json()) != value:
        raise ArgumentError("its tree has parts that trees do not have")
    return TreeArms(arms, control, tree)


_KINDS: Final[Mapping[str, Any]] = {SegmentArms.kind: _segments, ScoreThresholds.kind: _scores, TreeArms.kind: _tree}
"""How each kind is read."""


def _origin(value: object) -> Origin:
    types = {"created_at": str, "versions": str, "why": str, "units": dict, "differs": int, "posterior": dict}
    told = parts_of(value, "origin", types)
    units = parts_of(told["units"], "units", {}, dict.fromkeys(told["units"], NUMBER))
    posterior = parts_of(told["posterior"], "posterior", {}, dict.fromkeys(told["posterior"], (str, *NUMBER)))
    return Origin(
        created_at=told["created_at"],
        versions=told["versions"],
        why=told["why"],
        units=tuple(units.items()),
        differs=told["differs"],
        posterior=tuple(posterior.items()),
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose parts all have names of their own."""
    names = [name for name, _ in pairs]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ArgumentError(f"'{twice[0]}' stands twice in one object")
    return dict(pairs)


def _refuse_constant(text: str) -> float:
    raise ArgumentError(f"it holds {text}, which is no number of JSON")
