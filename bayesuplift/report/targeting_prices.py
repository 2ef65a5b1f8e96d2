"""Profit by the share of units treated, and by what an outcome is worth and treatments cost, as plain values."""

from collections.abc import Mapping
from typing import Any, Final

import xarray as xr

from bayesuplift.decisions import wording
from bayesuplift.decisions.targeting.frontier import COST, VALUE, profit_by_share, value_grid
from bayesuplift.decisions.targeting.gain_statistics import PROB_POSITIVE
from bayesuplift.decisions.targeting.rules import BestArm, Rule
from bayesuplift.estimands.value import Economics
from bayesuplift.posterior.schema import arms
from bayesuplift.report.money import counted, money
from bayesuplift.report.plain import plain
from bayesuplift.report.responder_words import share_of
from bayesuplift.report.shown import as_text, with_interval
from bayesuplift.report.targeting_words import called

FACTORS: Final = (0.5, 0.75, 1.0, 1.5, 2.0)  # of the stated value, and of all costs
_TOLD: Final = 5  # of the curve's shares, every so many are told in a table

Facts = dict[str, Any]


def share_curve(posterior: xr.DataTree, economics: Economics, *, prob: float) -> Facts:
    """Profit when the units of highest mean net gain are treated first: the curve, and rows of what a table tells of it.

    Returns
    -------
    dict
        The variables of `profit_by_share`, a list each, beside `share`; `best_share`, `best_text`; `rows` at some shares.
    """
    table = profit_by_share(posterior, economics, prob=prob)
    curve: Facts = {"share": table["share"].to_numpy().tolist()}
    curve |= {str(name): plain(values.to_numpy().tolist()) for name, values in table.data_vars.items()}
    rows = []
    for place in range(0, len(curve["share"]), _TOLD):
        row = {str(name): values[place] for name, values in curve.items()}
        shown = {
            "share": share_of(row["share"]),
            "number_treated": counted(row["number_treated"]),
            "profit": with_interval(row | _bounds(row), "profit", money) if row["share"] > 0 else "0",
        }
        rows.append(row | {"shown": shown})
    best = float(table.attrs["best_share"])
    return curve | {"best_share": best, "best_text": share_of(best), "rows": rows}


def _bounds(row: Mapping[str, Any]) -> Facts:
    """The interval of a point of the curve, named as that of any profit."""
    return {f"profit_{name}": row[name] for name in ("lower", "lower_mcse", "upper", "upper_mcse")}


def price_grid(posterior: xr.DataTree, economics: Economics, rules: Mapping[str, Rule], *, prob: float) -> Facts:
    """Profit of one rule, chosen anew, under other values of an outcome and other costs.

    The rule is the first that scores by sums of money; probabilities of a gain would take another pass over the draws for
    every price.

    Returns
    -------
    dict
        `rule`, its name; `values` and `cost_multipliers`; `stated`, their places of the stated prices; `cells`, one row a
        value, of one entry a multiplier.
    """
    name, rule = next(
        ((name, rule) for name, rule in rules.items() if PROB_POSITIVE not in rule.statistics),
        (called(BestArm()), BestArm()),
    )
    costs = economics.costs(arms(posterior), str(posterior.attrs["control"]))
    values = [factor * economics.value_per_outcome for factor in FACTORS]
    multipliers = list(FACTORS) if bool((costs != 0).any()) else [1.0]
    table = value_grid(posterior, economics, rule=rule, values=values, cost_multipliers=multipliers, prob=prob)
    stated = values.index(economics.value_per_outcome), multipliers.index(1.0)
    # the policy of the stated prices keeps its effect, and with it the error of that, in units of outcome
    error = float(table["profit_mcse"][stated]) / abs(economics.value_per_outcome)
    cells = [
        [_cell(table.isel({VALUE: row, COST: column}), error * abs(value)) for column in range(len(multipliers))]
        for row, value in enumerate(values)
    ]
    return {
        "rule": name,
        "values": values,
        "cost_multipliers": multipliers,
        "stated": list(stated),
        "cells": cells,
    }


def _cell(table: xr.Dataset, as_chosen_error: float) -> Facts:
    """What the rule earns at one value and cost, as numbers and as text."""
    row: Facts = {str(name): plain(value) for name, value in table.data_vars.items()}
    row["as_chosen_mcse"] = as_chosen_error
    nobody = row["share_treated"] == 0
    shown = {
        "profit": "0" if nobody else with_interval(row, "profit", money),
        "mean": "0" if nobody else money(row["profit"], row["profit_mcse"]),
        "prob_loss": "0%" if nobody else as_text(row, "prob_loss", wording.probability),
        "share_treated": share_of(row["share_treated"]),
        "as_chosen": as_text(row, "as_chosen", money),
    }
    return row | {"shown": shown}
