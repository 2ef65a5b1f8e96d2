"""Who benefits, and why, as plain values: the leaves of a tree, curves, and subgroups."""

from functools import partial
from typing import Any, Final, cast

import numpy as np
import xarray as xr

from bayesuplift.decisions import wording
from bayesuplift.dims import ARM, COVARIATE, Kind, N
from bayesuplift.estimands.explained import UNDEFINED
from bayesuplift.estimands.projection_curves import POINT, POSITION, EffectCurves
from bayesuplift.estimands.projection_tree import LEAF, EffectTree, Node
from bayesuplift.estimands.subgroups import SUBGROUP, Subgroups
from bayesuplift.estimands.summary import summarize
from bayesuplift.report.plain import plain
from bayesuplift.report.responder_words import share_of
from bayesuplift.report.shown import as_text, with_interval

_PARTS: Final = ("", "_mcse", "_lower", "_lower_mcse", "_upper", "_upper_mcse")


def tree_facts(tree: EffectTree) -> dict[str, Any]:
    """Facts of a tree of effects.

    Returns
    -------
    dict
        `arm`, `control`, `prob`; `fidelity`, R² of the summary; `leaves` from left to right, rows of the effect with the
        leaf's number `leaf`, its `rule`, `n`, `share` and `share_text`; `nodes` from the root on, each with its number
        `node`, its `parent` (None of the root), the `answer` that leads to it, and its `leaf` (None where it asks on);
        `left_out`, covariates with the reason.
    """
    table = tree.table
    rows = []
    for leaf in table[LEAF].to_numpy().tolist():
        of_leaf = table.sel({LEAF: leaf})
        rows.append(
            {"leaf": int(leaf), "rule": str(of_leaf["rule"].item()), **_units(of_leaf), **_effect(of_leaf, tree.draws)}
        )
    nodes: list[dict[str, Any]] = []
    _add(nodes, tree.root, None, "")
    return {
        **_heading(tree.draws, table),
        **_fidelity(table),
        "leaves": rows,
        "nodes": nodes,
        "left_out": dict(tree.left_out),
    }


def curve_facts(curves: EffectCurves) -> dict[str, Any]:
    """Facts of curves of effects.

    Returns
    -------
    dict
        `arm`, `control`, `prob`; `fidelity`; `average`, a row of the average effect; `curves`, that with the largest part
        of R² first, each with its `covariate`, whether it `is_number`, the part of R² `share` with its error and interval,
        and its `points`: rows of the curve with `value` as text, `position` (None of text) and `n`, units nearest to it;
        `left_out`, covariates with the reason.
    """
    table, held = curves.table, []
    names = table[COVARIATE].to_numpy()
    for place in np.argsort(-table["share"].to_numpy(), kind="stable"):
        of_curve = table.isel({POINT: np.flatnonzero(table["curve"].to_numpy() == names[place])})
        points = [of_curve.isel({POINT: i}) for i in range(of_curve.sizes[POINT])]
        share = _named(table.sel({COVARIATE: names[place]}), "share", "share")
        rows = [
            {
                "value": str(one["value"].item()),
                "position": plain(one[POSITION]),
                "n": int(one[N]),
                **_effect(one, curves.draws),
            }
            for one in points
        ]
        held.append(
            {
                "covariate": str(names[place]),
                "is_number": rows[0]["position"] is not None,
                **share,
                "shown": {"share": with_interval(share, "share", _percent)},
                "points": rows,
            }
        )
    average = _effect(summarize(curves.average, prob=table.attrs["prob"]), curves.draws)
    told = {"average": average, "curves": held, "left_out": dict(curves.left_out)}
    return {**_heading(curves.draws, table), **_fidelity(table), **told}


def subgroup_facts(found: Subgroups) -> dict[str, Any]:
    """Facts of a search for subgroups.

    Returns
    -------
    dict
        `arm`, `control`, `prob`; `considered`, how many there were; `negligible`, the difference that is; `rows`, from the
        largest difference to the smallest, each the difference from the rest with `rule`, `n`, `share`, `share_text`,
        `prob_positive`, `prob_beyond` and `prob_largest`, and the effect itself as `effect`; `expected_largest`.
    """
    table, kind = found.table, _kind(found.draws)
    amount, rows = partial(wording.amount, kind=kind), []
    for place in range(table.sizes[SUBGROUP]):
        one = table.isel({SUBGROUP: place})
        row = {"rule": str(one["rule"].item()), **_units(one), **_effect(one, found.draws)}
        for name in ("prob_beyond", "prob_largest"):
            row |= {name: plain(one[name]), f"{name}_mcse": plain(one[f"{name}_mcse"])}
            row["shown"][name] = as_text(row, name, wording.probability)
        row |= {f"effect{part}": plain(one[f"effect{part}"]) for part in _PARTS}
        row["shown"]["effect"] = with_interval(row, "effect", amount)
        rows.append(row)
    largest = {f"expected_largest{part}": plain(table[f"expected_largest{part}"]) for part in ("", "_mcse")}
    shown = {"expected_largest": as_text(largest, "expected_largest", amount)}
    told = {"considered": int(table["considered"]), "negligible": plain(table.attrs["negligible"]), "rows": rows}
    return {**_heading(found.draws, table), **told, **largest, "shown": shown, "left_out": dict(found.left_out)}


def _heading(draws: xr.DataArray, table: xr.Dataset) -> dict[str, Any]:
    return {"arm": str(draws[ARM].item()), "control": str(draws.attrs["control"]), "prob": float(table.attrs["prob"])}


def _kind(draws: xr.DataArray) -> Kind:
    return cast("Kind", draws.attrs.get("kind") or "continuous")


def _effect(row: xr.Dataset, draws: xr.DataArray) -> dict[str, Any]:
    """An effect, or a difference of effects, with its errors and as its reader sees it."""
    amount = partial(wording.amount, kind=_kind(draws))
    found = _named(row, "mean", "difference")
    found |= {name: plain(row[name]) for name in ("prob_positive", "prob_positive_mcse")}
    shown = {
        "difference": with_interval(found, "difference", amount),
        "amount": as_text(found, "difference", amount),
        "prob_positive": as_text(found, "prob_positive", wording.probability),
    }
    return found | {"shown": shown}


def _named(row: xr.Dataset, old: str, new: str) -> dict[str, Any]:
    """A figure with its error and interval under the names of the facts; `summarize` has its own for a mean."""
    theirs = (
        (old, "mcse", "lower", "lower_mcse", "upper", "upper_mcse") if old == "mean" else [old + one for one in _PARTS]
    )
    return {new + part: plain(row[name]) for part, name in zip(_PARTS, theirs, strict=True)}


def _units(row: xr.Dataset) -> dict[str, Any]:
    share = float(row["share"])
    return {"n": int(row[N]), "share": share, "share_text": share_of(share)}


def _fidelity(table: xr.Dataset) -> dict[str, Any]:
    found = _named(table, "r_squared", "r_squared")
    told = {UNDEFINED: int(table.attrs[UNDEFINED]), "draws": int(table.attrs["draws"])}
    return {"fidelity": found | told | {"shown": {"r_squared": with_interval(found, "r_squared", _percent)}}}


def _percent(value: float, error: float = 0.0) -> str:
    """Write a share in percent, which may be negative or exactly one.

    >>> _percent(0.9712, 0.002), _percent(1.0), _percent(-0.012, 0.0004)
    ('97.1%', '100.00%', '-1.2%')
    """
    digits = 2 if error <= 0.0 else max(min(int(np.ceil(-np.log10(200.0 * error) - 0.3)), 2), 0)
    return f"{100.0 * value:.{digits}f}%"


def _add(nodes: list[dict[str, Any]], node: Node, parent: int | None, answer: str) -> None:
    """Put a place of the tree, and what lies below it, at the end."""
    number = len(nodes)
    nodes.append({"node": number, "parent": parent, "answer": answer, "n": node.units, "leaf": node.leaf})
    if node.split is None:
        return
    for condition, below in ((node.split.left, node.left), (node.split.right, node.right)):
        assert below is not None
        _add(nodes, below, number, condition.words(node.split.covariate))
