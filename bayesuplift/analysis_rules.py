"""`[[rule]]` of an analysis file: by which rules, and within which limits, it is chosen whom to treat."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, Final

import numpy as np
import xarray as xr

from bayesuplift.data.cells import Cells
from bayesuplift.decisions.targeting.gain_statistics import gain_statistics
from bayesuplift.decisions.targeting.limits import AtMost, Limit, Never
from bayesuplift.decisions.targeting.rules import (
    BestArm,
    Budget,
    CredibleBound,
    CVaR,
    RiskAdjusted,
    Rule,
    Threshold,
    TopShare,
)
from bayesuplift.decisions.targeting.target import chosen
from bayesuplift.dims import ARM, CHAIN, DRAW, SEGMENT, N
from bayesuplift.errors import (
    AnalysisError,
    ArgumentError,
    BayesupliftError,
    FactorNotFoundError,
    did_you_mean,
    is_finite_number,
    listed,
)
from bayesuplift.estimands.places import EVERYBODY, Places
from bayesuplift.estimands.value import Economics
from bayesuplift.report.targeting_words import called

RULES: Final[Mapping[str, type[Any]]] = {
    "best_arm": BestArm,
    "risk_adjusted": RiskAdjusted,
    "credible_bound": CredibleBound,
    "cvar": CVaR,
    "threshold": Threshold,
    "top_share": TopShare,
    "budget": Budget,
}
"""Rules by the kind that a file names them with; their keys are the fields of the class."""

_BESIDE: Final = ("kind", "name", "at_most", "never")  # keys that every rule has
_SCORER: Final = "by"  # of a rule that leaves the scores to another


def rules_of(content: Any) -> dict[str, Rule]:
    """Rules by name, in the order of the file.

        [[rule]]
        name = "cautious"                                   # shown; made from the rule where it is left out
        kind = "budget"
        amount = 2000
        by = { kind = "risk_adjusted", risk_aversion = 0.3 }
        at_most = [{ share = 0.2 }, { units = 500, arm = "Mens E-Mail" }]
        never = [{ where = { channel = ["Web", "Phone"] } }, { where = { newbie = 1 }, arm = "Mens E-Mail" }]

    Raises
    ------
    AnalysisError
        A key is unknown, missing or of the wrong type, a number is out of its range, or two rules share a name.
    """
    if not isinstance(content, list):
        raise AnalysisError("[rule] is one table; rules are a list: write [[rule]]")
    found: dict[str, Rule] = {}
    for place, table in enumerate(content, start=1):
        where = f"[[rule]] {place}"
        if not isinstance(table, Mapping):
            raise AnalysisError(f"{where} is {type(table).__name__}; expected a table of keys")
        rule = _rule(where, table, beside=_BESIDE)
        at_most = [_limit(f"{where} at_most", AtMost, one) for one in _list(where, table, "at_most", "{ share = 0.2 }")]
        never = [
            _limit(f"{where} never", Never, one)
            for one in _list(where, table, "never", '{ where = { channel = "Web" } }')
        ]
        rule = rule.subject_to(*at_most, *never)
        name = table.get("name", called(rule))
        if not isinstance(name, str) or not name:
            raise AnalysisError(f"{where} name = {name!r}; expected text")
        if name in found:
            raise AnalysisError(f"{where}: another rule is named {name!r}, too; give each a name of its own")
        found[name] = rule
    return found


def check_rules(rules: Mapping[str, Rule], economics: Economics, cells: Cells, *, pools: bool) -> None:
    """Refuse rules whose limits name what is not in the data, or that have no meaning at these costs.

    They are applied to effects of 0 on the very places that a policy will be made for: hours of fitting later is too late
    to learn of a misspelt level.

    Parameters
    ----------
    rules
        By name.
    economics
        What an outcome is worth and what arms cost.
    cells
        Of the outcome.
    pools
        Whether the model tells segments, or units, apart; else everybody is one place.

    Raises
    ------
    AnalysisError
        A rule cannot be applied.
    """
    statistics = cells.statistics if pools else cells.by().statistics
    n = statistics[N].sum(ARM)
    blank = xr.zeros_like(statistics[N], dtype=np.float64)
    if SEGMENT not in blank.dims:
        blank, n = blank.expand_dims({SEGMENT: [EVERYBODY]}), n.expand_dims({SEGMENT: [EVERYBODY]})
    places = Places(
        means=blank.expand_dims({CHAIN: 1, DRAW: 1}).transpose(CHAIN, DRAW, SEGMENT, ARM),
        dim=SEGMENT,
        weight=n.to_numpy().astype(np.float64),
        control=cells.design.control,
        outcome=cells.outcome,
    )
    for name, rule in rules.items():
        try:
            chosen(places, economics, rule, gain_statistics(places, economics, rule.statistics))
        except BayesupliftError as error:
            apart = "" if pools else " The outcome's model tells no segments apart; one that pools them, does."
            told = apart if isinstance(error, FactorNotFoundError) else ""
            raise AnalysisError(f"[[rule]] {name!r}: {error}{told}") from error


def _rule(where: str, table: Mapping[str, Any], *, beside: Sequence[str]) -> Rule:
    """A rule without its limits."""
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in RULES:
        told = "kind is missing" if kind is None else f"kind = {kind!r}"
        raise AnalysisError(f"{where}: {told}. Kinds: {listed(RULES)}.{did_you_mean(kind, RULES)}")
    family = RULES[kind]
    own = {one.name: one for one in fields(family) if one.init}
    known = [*beside, *own]
    for key in table:
        if key not in known:
            elsewhere = "; limits belong to the rule itself, not to the one within" if key in _BESIDE else ""
            raise AnalysisError(
                f"{where}: {kind} has no {key!r}{elsewhere}. Keys: {listed(known)}.{did_you_mean(key, known)}"
            )
    absent = [
        name
        for name, one in own.items()
        if one.default is MISSING and one.default_factory is MISSING and name not in table
    ]
    if absent:
        raise AnalysisError(f"{where}: {listed(absent)} missing")
    values = {name: _field(f"{where} {name}", name, table[name]) for name in own if name in table}
    try:
        rule: Rule = family(**values)
    except ArgumentError as error:
        raise AnalysisError(f"{where}: {error}") from error
    return rule


def _field(where: str, name: str, value: Any) -> Any:
    """A number, or the rule that scores."""
    if name == _SCORER:
        if not isinstance(value, Mapping):
            raise AnalysisError(
                f'{where} = {value!r}; expected a table such as {{ kind = "risk_adjusted", risk_aversion = 0.3 }}'
            )
        return _rule(where, value, beside=("kind",))
    if not is_finite_number(value):
        raise AnalysisError(f"{where} = {value!r}; expected a number")
    return value


def _list(where: str, table: Mapping[str, Any], key: str, example: str) -> list[Mapping[str, Any]]:
    given = table.get(key, [])
    if not isinstance(given, list) or not all(isinstance(one, Mapping) for one in given):
        raise AnalysisError(f"{where} {key} = {given!r}; expected a list of tables such as [{example}]")
    return given


def _limit(where: str, family: type[AtMost] | type[Never], table: Mapping[str, Any]) -> Limit:
    known = [one.name for one in fields(family)]
    for key in table:
        if key not in known:
            inside = " A level stands within where: { where = { channel = 'Web' } }." if family is Never else ""
            raise AnalysisError(
                f"{where}: unknown key {key!r}. Keys: {listed(known)}.{did_you_mean(key, known) or inside}"
            )
    if family is Never:
        _check_levels(where, table.get("where"))
    if not isinstance(table.get("arm", ""), str):
        raise AnalysisError(f"{where} arm = {table['arm']!r}; expected the label of a treatment as text")
    try:
        return family(**table)
    except ArgumentError as error:
        raise AnalysisError(f"{where}: {error}") from error


def _check_levels(where: str, levels: Any) -> None:
    """Refuse what is no table of one level, or of several, by factor."""
    several = [
        one if isinstance(one, list) else [one] for one in (levels.values() if isinstance(levels, Mapping) else ())
    ]
    if not several or not all(isinstance(one, str | int | float) for level in several for one in level):
        raise AnalysisError(
            f"{where}: where = {levels!r}; expected levels by factor, such as {{ channel = 'Web' }} or "
            f"{{ channel = ['Web', 'Phone'], newbie = 1 }}"
        )
