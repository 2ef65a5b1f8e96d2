"""Rules, limits and economics as values of JSON and back, and the strict reading of both."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from bayesuplift.decisions.targeting.limits import AtMost, Limit, Never
from bayesuplift.decisions.targeting.rules import (
    BestArm,
    Budget,
    CredibleBound,
    CVaR,
    Limited,
    RiskAdjusted,
    Rule,
    Threshold,
    TopShare,
)
from bayesuplift.errors import ArgumentError, did_you_mean, listed
from bayesuplift.estimands.value import Economics

_RULES: Final[Mapping[str, type[Rule]]] = {
    one.__name__: one for one in (BestArm, RiskAdjusted, CredibleBound, CVaR, Threshold, TopShare, Budget, Limited)
}
_LIMITS: Final[Mapping[str, type[Any]]] = {one.__name__: one for one in (AtMost, Never)}

Kinds = type | tuple[type, ...]
NUMBER: Final = (int, float)


def parts_of(
    value: object, what: str, needed: Mapping[str, Kinds], optional: Mapping[str, Kinds] | None = None
) -> dict[str, Any]:
    """The parts of an object of JSON, each of its type.

    Parameters
    ----------
    value
        What was read.
    what
        Its name, for the message.
    needed, optional
        Types of its parts, by name; a part that is optional may be missing.

    Raises
    ------
    ArgumentError
        It is no object, lacks a part, has one that there is not, or one of another type.
    """
    if not isinstance(value, dict):
        raise ArgumentError(f"{what} is {value!r}; expected an object with {listed(needed)}")
    known = {**needed, **(optional or {})}
    for name, part in value.items():
        if name not in known:
            raise ArgumentError(f"{what} has a part '{name}'; it has {listed(known)}.{did_you_mean(name, known)}")
        kinds = known[name]
        if not isinstance(part, kinds) or (isinstance(part, bool) and kinds is not bool):
            raise ArgumentError(f"{what}: '{name}' is {part!r}; expected {_called(kinds)}")
    absent = [name for name in needed if name not in value]
    if absent:
        raise ArgumentError(f"{what} lacks {listed(absent)}")
    return value


def texts_of(value: object, what: str) -> tuple[str, ...]:
    """A list of texts.

    Raises
    ------
    ArgumentError
        It is none.
    """
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ArgumentError(f"{what} is {value!r}; expected a list of texts")
    return tuple(value)


def rule_to_json(rule: Rule | None) -> Any:
    """A rule with its limits.

    Raises
    ------
    ArgumentError
        It is a rule of the caller's own, which nobody who reads the file would know.
    """
    if rule is None:
        return None
    if _RULES.get(type(rule).__name__) is not type(rule):
        raise ArgumentError(f"{rule!r} is a rule of your own, which a file cannot hold; it holds {listed(_RULES)}")
    return {"rule": type(rule).__name__, **{name: _told(getattr(rule, name)) for name in _given(type(rule))}}


def rule_of_json(value: object) -> Rule | None:
    """Read what `rule_to_json` gave: a rule that equals it.

    Raises
    ------
    ArgumentError
        It is no rule, or one of the numbers is outside its range.
    """
    if value is None:
        return None
    kind = _kind(value, "rule", _RULES)
    given = _given(kind)
    told = parts_of(value, f"rule {kind.__name__}", {"rule": str, **{name: _TYPES[name] for name in given}})
    made = {name: told[name] for name in given}
    if "by" in made:
        made["by"] = rule_of_json(made["by"])
    if "added" in made:
        made["added"] = tuple(_limit_of_json(one) for one in made["added"])
    return kind(**made)


def economics_to_json(economics: Economics | None) -> Any:
    """What an outcome is worth and what arms cost."""
    if economics is None:
        return None
    cost = economics.cost_per_unit
    return {
        "value_per_outcome": economics.value_per_outcome,
        "cost_per_unit": dict(cost) if isinstance(cost, Mapping) else cost,
    }


def economics_of_json(value: object) -> Economics | None:
    """Read what `economics_to_json` gave.

    Raises
    ------
    ArgumentError
        It is none, or one of its numbers is outside its range.
    """
    if value is None:
        return None
    return Economics(**parts_of(value, "economics", {"value_per_outcome": NUMBER, "cost_per_unit": (*NUMBER, dict)}))


_TYPES: Final[Mapping[str, Kinds]] = {
    **dict.fromkeys(("risk_aversion", "prob", "alpha", "share", "amount"), NUMBER),
    "by": dict,
    "added": list,
}
"""Types of what rules are given, by its name."""


def _limit_of_json(value: object) -> Limit:
    kind = _kind(value, "limit", _LIMITS)
    nothing = type(None)
    some = (*NUMBER, nothing)
    types: dict[str, Kinds] = {"arm": (str, nothing), "where": dict, "share": some, "units": some}
    told = parts_of(value, f"limit {kind.__name__}", {"limit": str, **{name: types[name] for name in _given(kind)}})
    limit: Limit = kind(**{name: told[name] for name in _given(kind)})
    return limit


def _kind(value: object, name: str, known: Mapping[str, type[Any]]) -> type[Any]:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, str) or found not in known:
        raise ArgumentError(f"{value!r} is no {name}: '{name}' is one of {listed(known)}.{did_you_mean(found, known)}")
    return known[found]


def _given(kind: type[Any]) -> list[str]:
    """What a rule or a limit is made from."""
    return [field.name for field in fields(kind) if field.init]


def _told(value: object) -> Any:
    if isinstance(value, Rule):
        return rule_to_json(value)
    if isinstance(value, AtMost | Never):
        return {"limit": type(value).__name__, **{name: _told(getattr(value, name)) for name in _given(type(value))}}
    if isinstance(value, Mapping):
        return {name: list(levels) for name, levels in value.items()}
    if isinstance(value, tuple):
        return [_told(one) for one in value]
    return value if value is None or isinstance(value, str | int) else float(value)  # type: ignore[arg-type]


def _called(kinds: Kinds) -> str:
    words = {dict: "an object", list: "a list", str: "a text", int: "a number", float: "a number", type(None): "null"}
    every = kinds if isinstance(kinds, tuple) else (kinds,)
    return " or ".join(dict.fromkeys(words[one] for one in every))
