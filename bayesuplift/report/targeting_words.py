"""Whom to treat, in words: names of rules, and what a page says of policies, of their profit and of its limits."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

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
from bayesuplift.dims import UNIT
from bayesuplift.report.money import counted, money
from bayesuplift.report.responder_words import share_of

Facts = Mapping[str, Any]

NOBODY: Final = "nobody"
_USUAL: Final = 0.95  # mass of an interval that goes without saying

_UNCHECKED: Final = (
    "Rules are chosen and valued on the same posterior: their profit is right as far as the model is right. No units were "
    "held out to check it."
)
_UNPOOLED: Final = (
    "Nothing holds the extremes of these effects back: of many effects the largest are large by chance, too, and the "
    "profit of treating just them is overstated."
)


def called(rule: Rule) -> str:
    """Name of a rule that has none of its own.

    >>> called(RiskAdjusted(0.3)), called(CredibleBound(0.8)), called(Budget(500, by=CVaR(0.1)))
    ('risk aversion 0.3', '80% lower bound', 'budget of 500 by mean of the worst 10%')
    """
    match rule:  # a lower bound is risk-adjusted, too, and comes first
        case Limited():
            name = ", ".join([called(rule.by), *map(str, rule.added)])
        case TopShare():
            name = f"top {100.0 * rule.share:g}%{_by(rule.by)}"
        case Budget():
            name = f"budget of {rule.amount:,g}{_by(rule.by)}"
        case CredibleBound():
            name = f"{100.0 * rule.prob:g}% lower bound"
        case RiskAdjusted():
            interval = "" if rule.prob == _USUAL else f" with {100.0 * rule.prob:g}% intervals"
            name = f"risk aversion {rule.risk_aversion:g}{interval}"
        case CVaR():
            name = f"mean of the worst {100.0 * rule.alpha:g}%"
        case Threshold():
            name = f"P(gain) at least {100.0 * rule.prob:g}%"
        case _:
            name = "highest mean gain" if rule == BestArm() else str(rule)
    return name


def _by(rule: Rule) -> str:
    return "" if rule == BestArm() else f" by {called(rule)}"


def everybody_with(arm: str) -> str:
    """Name of the policy that gives everybody one arm."""
    return f"everybody: {arm}"


def refusal(outcome: str, checks: Sequence[Facts]) -> str:
    """Why no policy is shown."""
    failed = " ".join(check["sentence"] for check in checks)
    return f"No policy for {outcome}, because a check failed. {failed}"


def sentences(facts: Facts, *, outcome: str, pooled: bool, doubt: str | None) -> list[str]:
    """What is said of the policies: whose profit it is, what it rests on, and which rule earns most."""
    analysed = f"the {counted(facts['units'])} units analysed" if facts["counted"] else "one unit, on average"
    said = [
        f"Profit is that of {analysed}, beyond treating nobody, in money. It counts {outcome} alone: {facts['economics']}.",
        _decided(facts),
        _UNCHECKED,
    ]
    if doubt is not None:
        said.insert(0, f"{doubt} Profits are sums and can be relied on; draw longer before deciding on single units.")
    if facts["places"] > 1 and not pooled:
        said.append(_UNPOOLED)
    return [*said, *_best(facts)]


def _decided(facts: Facts) -> str:
    """What is decided on by itself."""
    if facts["places"] == 1:
        return "One decision is made for everybody: this posterior tells no segments or units apart."
    of_each = (
        "a unit gets one arm" if facts["dim"] == UNIT else "where a limit cuts through one, a part of it is treated"
    )
    return f"Each of the {facts['places']:,} {facts['dim']}s is decided on by itself; {of_each}."


def _best(facts: Facts) -> list[str]:
    """The rule of highest mean profit, beside the best way to treat all alike."""
    rules = [row for row in facts["policies"] if row["is_rule"]]
    if not rules:
        return []
    best = max(rules, key=lambda row: row["profit"])  # the first of equals
    treated = f"treats {share_of(best['share_treated'])} of the units" if best["share_treated"] else "treats nobody"
    text = f"Of the rules '{best['name']}' has the highest mean profit, {best['shown']['profit']}; it {treated}"
    alike = "treating nobody" if facts["reference"] == NOBODY else f"'{facts['reference']}'"
    if best["as_reference"]:
        return [f"{text}, and is no other policy than {alike}."]
    if facts["reference"] == NOBODY:
        return [f"{text}. Treating everybody alike loses on average."]
    beyond = best["shown"]["beyond_reference"]
    return [f"{text}. Its profit is {beyond} beyond that of {alike}, the best way to treat all alike."]


def limits_that_bind(row: Facts) -> list[str]:
    """What one more of each limit that binds would add, of one policy's row."""
    told = [f"one more {what} would add {money(price)}" for what, price in row["prices"].items()]
    return [f"'{row['name']}' is held back by a limit: {', '.join(told)} to its score."] if told else []
