"""Who responds: what a pooled posterior says of the levels of every factor and of every segment, as plain values."""

from functools import partial
from itertools import combinations
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.decisions import wording
from bayesuplift.decisions.choice import Standards
from bayesuplift.dims import ARM, CHAIN, DRAW, MEAN_OUTCOME, POSTERIOR, SEGMENT, UNIT
from bayesuplift.estimands.conditional import cate, gate
from bayesuplift.estimands.effects import ate
from bayesuplift.estimands.heterogeneity import heterogeneity
from bayesuplift.estimands.summary import summarize
from bayesuplift.estimands.value import Economics
from bayesuplift.posterior.factors import as_called, factors_of, levels_of
from bayesuplift.report.effect_rows import Asked, Observed
from bayesuplift.report.plain import plain
from bayesuplift.report.responder_words import MULTIPLICITY, sentences, share_of
from bayesuplift.report.shown import as_text, with_interval

MOST_ROWS: Final = 40  # segments of the forest plot
MOST_LEVELS: Final = 20  # levels of one factor that a figure shows
_MOST_CELLS: Final = 12  # levels of one factor in the heat map
_FEWEST: Final = 2


def responders(posterior: xr.DataTree, standards: Standards, economics: Economics | None) -> dict[str, Any] | None:
    """Facts about who responds; None where the posterior does not pool its segments: then nothing holds extremes back.

    Parameters
    ----------
    posterior
        A tree over segments, with the root attribute `pooled` = "segment", or "unit" where segments are averages of units
        whose effects are regularised.
    standards
        Those of the decision: mass of the intervals, and which direction is better.
    economics
        What the outcome is worth and what arms cost, if that is known.

    Returns
    -------
    dict or None
        `question`, `economics`, `breakeven` (outcome units, by arm), `multiplicity` (what pooling does to comparisons);
        `average` rows by arm; `factors`, each with its `levels`; `apart`, for every factor and arm the two levels that are
        furthest apart; `interaction`, effects by the two factors that tell effects apart most, or None; `segments` by
        units, the largest first; `spread` by arm; `sentences`. Rows are those of `effect_rows`; `share` is of all units.
    """
    draws = posterior[POSTERIOR].to_dataset()[MEAN_OUTCOME]
    if posterior.attrs.get("pooled") not in (SEGMENT, UNIT) or draws.sizes.get(SEGMENT, 1) < _FEWEST:
        return None
    asked = Asked.of(posterior, standards, economics)
    factors = factors_of(draws)
    levels = {factor: np.array(column) for factor, column in levels_of(draws, factors).items()}
    observed = Observed.of(posterior, draws[SEGMENT].to_numpy().tolist())
    effects = {factor: gate(posterior, by=factor) for factor in factors}
    facts: dict[str, Any] = {
        "question": asked.question,
        "economics": None if economics is None else str(economics),
        "breakeven": asked.breakeven(posterior),
        "multiplicity": MULTIPLICITY[str(posterior.attrs["pooled"])],
        "average": asked.rows(asked.table(ate(posterior))),
        "factors": [
            {"factor": as_called(factor), "levels": _levels(effects[factor], {factor: levels[factor]}, observed, asked)}
            for factor in factors
        ],
        "apart": _apart(effects, asked),
        "interaction": _interaction(posterior, levels, observed, asked),
        "segments": _segments(posterior, levels, observed, asked),
        "spread": _spread(posterior, asked),
    }
    outcome, of_units = str(posterior.attrs.get("outcome", "the outcome")), posterior.attrs["pooled"] == UNIT
    return facts | {"sentences": sentences(facts, outcome=outcome, of_units=of_units)}


def _levels(
    effect: xr.DataArray, levels: dict[str, NDArray[np.str_]], observed: Observed, asked: Asked
) -> list[dict[str, Any]]:
    """One entry a group of segments: its levels, units and effects."""
    table, entries = asked.table(effect), []
    for position in range(effect.sizes[SEGMENT]):
        of_group = table.isel({SEGMENT: position})
        held = {factor: str(effect[factor].to_numpy()[position]) for factor in levels}
        members = np.all([column == held[factor] for factor, column in levels.items()], axis=0)
        n, share = observed.share(members)
        rows = asked.rows(of_group, observed.raw(members))
        entries.append(
            {"levels": list(held.values()), "n": n, "share": share, "share_text": share_of(share), "effects": rows}
        )
    return entries


def _segments(
    posterior: xr.DataTree, levels: dict[str, NDArray[np.str_]], observed: Observed, asked: Asked
) -> dict[str, Any]:
    """Every segment with its effects, the largest first."""
    effect = cate(posterior)
    table, names = asked.table(effect), [str(name) for name in effect[SEGMENT].to_numpy()]
    entries = []
    for position in np.argsort(-observed.n.sum(axis=1), kind="stable"):
        members = np.arange(len(names)) == position
        n, share = observed.share(members)
        held = [str(column[position]) for column in levels.values()] or [names[position]]
        rows = asked.rows(table.isel({SEGMENT: int(position)}), observed.raw(members))
        entry = {"segment": names[position], "levels": held, "n": n, "share": share, "share_text": share_of(share)}
        entries.append(entry | {"effects": rows})
    left_out = entries[MOST_ROWS:]
    return {
        "factors": [as_called(factor) for factor in levels],
        "rows": entries,
        "most_rows": MOST_ROWS,
        "left_out": {"segments": len(left_out), "share": sum(one["share"] for one in left_out)},
    }


def _apart(effects: dict[str, xr.DataArray], asked: Asked) -> list[dict[str, Any]]:
    """For every factor and arm the levels of the largest and of the smallest mean effect, the furthest apart first."""
    found = []
    amount = partial(wording.amount, kind=asked.kind)
    for factor, effect in effects.items():
        if effect.sizes[SEGMENT] < _FEWEST:
            continue
        means = effect.mean((CHAIN, DRAW))
        for arm in effect[ARM].to_numpy():
            of_arm = means.sel({ARM: arm}).to_numpy()
            high, low = int(of_arm.argmax()), int(of_arm.argmin())
            between = effect.sel({ARM: arm})
            gap = between.isel({SEGMENT: high}, drop=True) - between.isel({SEGMENT: low}, drop=True)
            table = summarize(gap, prob=asked.prob)
            row = {"difference": plain(table["mean"]), "difference_mcse": plain(table["mcse"])}
            row |= {f"difference_{name}": plain(table[name]) for name in ("lower", "lower_mcse", "upper", "upper_mcse")}
            row |= {
                "prob_greater": plain(table["prob_positive"]),
                "prob_greater_mcse": plain(table["prob_positive_mcse"]),
            }
            higher, lower = (str(effect[factor].to_numpy()[end]) for end in (high, low))
            shown = {
                "difference": with_interval(row, "difference", amount),
                "prob_greater": as_text(row, "prob_greater", wording.probability),
            }
            found.append(
                {"factor": as_called(factor), "arm": str(arm), "higher": higher, "lower": lower, **row, "shown": shown}
            )
    return sorted(found, key=lambda one: -one["difference"])


def _interaction(
    posterior: xr.DataTree, levels: dict[str, NDArray[np.str_]], observed: Observed, asked: Asked
) -> dict[str, Any] | None:
    """Effects by two factors: those whose groups' mean effects are spread the most over the units."""
    allowed = [factor for factor, column in levels.items() if _FEWEST <= len(set(column.tolist())) <= _MOST_CELLS]
    if len(allowed) < _FEWEST:
        return None
    # means of groups are averages of the segments' means: no draws are needed to compare pairs of factors
    effect = cate(posterior)
    means, n = effect.mean((CHAIN, DRAW)).transpose(SEGMENT, ARM).to_numpy(), observed.n.sum(axis=1)

    def spread(pair: tuple[str, str]) -> float:
        _, group = np.unique(np.stack([levels[factor] for factor in pair]), axis=1, return_inverse=True)
        group = group.reshape(-1)
        weight = np.bincount(group, n)
        kept = weight > 0
        of_group = np.stack([np.bincount(group, n * column)[kept] / weight[kept] for column in means.T], axis=1)
        away = of_group - np.average(of_group, axis=0, weights=weight[kept])
        return float(np.average(away**2, axis=0, weights=weight[kept]).max())

    pair = max(combinations(allowed, 2), key=spread)
    crossed = gate(posterior, by=pair)
    return {
        "factors": [as_called(factor) for factor in pair],
        "levels": [list(dict.fromkeys(gate(posterior, by=factor)[factor].to_numpy().tolist())) for factor in pair],
        "cells": _levels(crossed, {factor: levels[factor] for factor in pair}, observed, asked),
    }


def _spread(posterior: xr.DataTree, asked: Asked) -> list[dict[str, Any]]:
    """Standard deviation of the effects over the units, by arm."""
    table, rows = heterogeneity(posterior, prob=asked.prob), []
    amount = partial(wording.amount, kind=asked.kind)
    for arm in [str(label) for label in table[ARM].to_numpy()]:
        row = {"arm": arm, **{str(name): plain(value) for name, value in table.sel({ARM: arm}).data_vars.items()}}
        shown = {
            "spread": with_interval(row, "spread", amount),
            "prob_negligible": as_text(row, "prob_negligible", wording.probability),
        }
        rows.append(row | {"shown": shown})
    return rows
