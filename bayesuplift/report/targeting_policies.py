"""Policies as plain values: what each rule earns beside treating nobody, and beside treating everybody alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.decisions import wording
from bayesuplift.decisions.targeting.evaluation import POLICY, summarize_value, valued
from bayesuplift.decisions.targeting.gain_statistics import gain_statistics
from bayesuplift.decisions.targeting.policy import Policy
from bayesuplift.decisions.targeting.rules import RiskAdjusted, Rule
from bayesuplift.decisions.targeting.target import chosen
from bayesuplift.dims import CHAIN, DRAW
from bayesuplift.errors import BayesupliftError
from bayesuplift.estimands.places import Places
from bayesuplift.estimands.summary import summarize
from bayesuplift.estimands.value import Economics
from bayesuplift.report.money import counted, money, return_on_cost
from bayesuplift.report.plain import plain
from bayesuplift.report.responder_words import share_of
from bayesuplift.report.shown import as_text, with_interval
from bayesuplift.report.targeting_words import NOBODY, called, everybody_with

FRONTIER: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
SHOWN: Final = (0.0, 0.3, 0.7, 1.0)  # risk aversions of which it is told who gets what; rules where none are named
ALPHA: Final = 0.05  # share of the draws that count as the worst
_ENDS: Final = ("lower", "lower_mcse", "upper", "upper_mcse")
_BEYOND: Final = {"": "mean", "_mcse": "mcse", **{f"_{name}": name for name in _ENDS}}

Facts = dict[str, Any]
Name = TypeVar("Name")


def usual_rules() -> dict[str, Rule]:
    """The rules that are shown where none are named: from the mean's to the lower bound's."""
    return {called(rule): rule for rule in map(RiskAdjusted, SHOWN)}


@dataclass(frozen=True, eq=False)
class Valued:
    """Policies, and what they earn.

    Parameters
    ----------
    rules
        Policies of the rules, by the rules' names.
    frontier
        Policies of `RiskAdjusted`, by risk aversion.
    rows
        One row of facts a rule, and after them one a reference: nobody treated, and everybody with each treatment.
    frontier_rows
        One row of facts a risk aversion.
    reference
        Name of the reference of highest mean profit.
    left_out
        Which rules have no meaning for these draws, and why.
    """

    rules: Mapping[str, Policy]
    frontier: Mapping[float, Policy]
    rows: list[Facts]
    frontier_rows: list[Facts]
    reference: str
    left_out: list[str]


def valued_policies(places: Places, economics: Economics, rules: Mapping[str, Rule], *, prob: float) -> Valued:
    """Choose by every rule and along risk aversion, and value all of it on the same draws: two passes over them.

    Parameters
    ----------
    places
        Whom to decide for.
    economics
        What outcomes are worth and arms cost.
    rules
        By name.
    prob
        Mass of the intervals of profit.
    """
    averse = {one: RiskAdjusted(one) for one in FRONTIER}
    statistics = [needed for rule in (*rules.values(), *averse.values()) for needed in rule.statistics]
    values = gain_statistics(places, economics, statistics)
    left_out: list[str] = []

    def policies(asked: Mapping[Name, Rule]) -> dict[Name, Policy]:
        found = {}
        for name, rule in asked.items():
            try:
                found[name] = chosen(places, economics, rule, values)
            except BayesupliftError as refusal:
                left_out.append(f"Rule '{called(rule)}' is left out: {refusal}")
        return found

    by_rule, along, alike = policies(rules), policies(averse), _alike(places)
    plans = [*(one.treated for one in (*by_rule.values(), *along.values())), *alike.values()]
    # keys of their own: a rule may be named as a reference is
    value = valued(places, economics, plans, [str(place) for place in range(len(plans))])
    ends = np.cumsum([len(by_rule), len(along)])
    of_alike = value["profit"].mean((CHAIN, DRAW)).to_numpy()[ends[1] :]
    best_alike = int(of_alike.argmax())
    rows = _rows(value, int(ends[1] + best_alike), places, plans, prob=prob)
    return Valued(
        rules=by_rule,
        frontier=along,
        rows=[
            *(
                {"name": name, "is_rule": True, "rule": str(policy.rule), "prices": _prices(policy, places)} | row
                for (name, policy), row in zip(by_rule.items(), rows[: ends[0]], strict=True)
            ),
            *(
                {"name": name, "is_rule": False, "rule": None, "prices": {}} | row
                for name, row in zip(alike, rows[ends[1] :], strict=True)
            ),
        ],
        frontier_rows=[{"risk_aversion": one} | row for one, row in zip(along, rows[ends[0] : ends[1]], strict=True)],
        reference=list(alike)[best_alike],
        left_out=list(dict.fromkeys(left_out)),
    )


def _alike(places: Places) -> dict[str, NDArray[np.float64]]:
    """Plans (place, treatment) that treat nobody, or everybody with one treatment, by name."""
    nothing = np.zeros((len(places), len(places.treatments)))
    found = {NOBODY: nothing}
    for column, arm in enumerate(places.treatments):
        found[everybody_with(arm)] = nothing.copy()
        found[everybody_with(arm)][:, column] = 1.0
    return found


def _rows(
    value: xr.Dataset, reference: int, places: Places, plans: Sequence[NDArray[np.float64]], *, prob: float
) -> list[Facts]:
    """One row a plan: units by arm, and every figure of `summarize_value` as a number and as text."""
    table = summarize_value(value, prob=prob, alpha=ALPHA)
    profit = value["profit"]
    beyond = summarize(profit - profit.sel({POLICY: str(reference)}, drop=True), prob=prob)
    # profit is known up to its draws, cost exactly: their ratio has the error of the profit
    paid = table["cost"].where(table["cost"] > 0)
    for part in ("", "_lower", "_upper"):
        table[f"roi{part}_mcse"] = table[f"profit{part}_mcse"] / paid
    rows = []
    for place, plan in enumerate(plans):
        row = {str(name): plain(one) for name, one in table.isel({POLICY: place}).data_vars.items()}
        alike = np.array_equal(plan, plans[reference])
        for part, name in _BEYOND.items():
            # two sums of the same numbers may differ by rounding
            row[f"beyond_reference{part}"] = 0.0 if alike else plain(beyond[name].isel({POLICY: place}))
        units = dict(zip(places.treatments, (places.weight @ plan).tolist(), strict=True))
        rows.append({"units": units, "as_reference": alike, **row, "shown": _shown(row, units)})
    return rows


def _prices(policy: Policy, places: Places) -> dict[str, float]:
    """What one more of each limit that binds would add to a policy's score, money."""
    prices = policy.prices
    if prices is None:
        return {}
    every = {"unit of money": prices.budget, "unit treated": prices.cap}
    every |= {f"unit with {arm}": float(price) for arm, price in zip(places.treatments, prices.caps, strict=True)}
    return {what: price for what, price in every.items() if price != 0}


def _shown(row: Mapping[str, Any], units: Mapping[str, float]) -> dict[str, str]:
    """A policy as its reader sees it; treating nobody earns nothing, and that is known."""
    told = {
        "units": ", ".join(f"{counted(n)} {arm}" for arm, n in units.items() if n > 0) or NOBODY,
        "share_treated": share_of(row["share_treated"]),
        "cost": money(row["cost"]),
        "profit": with_interval(row, "profit", money),
        "prob_loss": as_text(row, "prob_loss", wording.probability),
        "cvar": as_text(row, "cvar", money),
        "roi": as_text({}, "roi", money) if row["roi"] is None else with_interval(row, "roi", return_on_cost),
        "regret": as_text(row, "regret", money),
        "beyond_reference": with_interval(row, "beyond_reference", money),
    }
    return told | ({"profit": "0", "prob_loss": "0%", "cvar": "0"} if row["number_treated"] == 0 else {})
