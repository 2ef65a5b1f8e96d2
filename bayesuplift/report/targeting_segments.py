"""What to do about each treatment in each segment, and what its two means say of the four buckets, as plain values."""

from functools import partial
from typing import Any, Final

import xarray as xr

from bayesuplift.decisions import wording
from bayesuplift.decisions.targeting.buckets import BUCKET, BUCKETS, buckets
from bayesuplift.decisions.targeting.segment_actions import segment_actions
from bayesuplift.dims import ARM, MEAN_OUTCOME, POSTERIOR, SEGMENT, Kind, N
from bayesuplift.errors import BayesupliftError
from bayesuplift.estimands.value import Economics
from bayesuplift.posterior.factors import as_called, factors_of, place_of
from bayesuplift.report.effect_rows import PER_UNITS
from bayesuplift.report.money import money
from bayesuplift.report.plain import plain
from bayesuplift.report.responder_words import share_of
from bayesuplift.report.shown import as_text, with_interval

SURE: Final = 0.9  # of a gain, to expand; of a loss, to reduce

Facts = dict[str, Any]


def actions(posterior: xr.DataTree, economics: Economics, *, prob: float) -> Facts | None:
    """Whether to expand, hold or reduce each treatment, by level of every factor; None of a posterior without segments.

    Returns
    -------
    dict
        `sure`, `question`, `breakeven` (text); `factors`, each with its name (None: segments one by one) and `rows`: one a
        level and treatment, the variables of `segment_actions` beside `level`, `n` and `arm`.
    """
    draws = posterior[POSTERIOR].to_dataset()[MEAN_OUTCOME]
    factors = factors_of(draws)
    if not factors and place_of(draws) != SEGMENT:
        return None
    kind: Kind = posterior.attrs.get("kind", "continuous")
    tables = {
        factor: segment_actions(posterior, economics, by=factor, prob=prob, sure=SURE) for factor in factors or (None,)
    }
    return {
        "sure": SURE,
        "question": f"P(effect {'>' if economics.value_per_outcome > 0 else '<'} breakeven)",
        "breakeven": next(iter(tables.values())).attrs["breakeven"],
        "factors": [
            {"factor": None if factor is None else as_called(factor), "rows": _action_rows(table, factor, kind)}
            for factor, table in tables.items()
        ],
    }


def _action_rows(table: xr.Dataset, factor: str | None, kind: Kind) -> list[Facts]:
    amount = partial(wording.amount, kind=kind)
    rows = []
    for place in range(table.sizes[SEGMENT]):
        of_level = table.isel({SEGMENT: place})
        for arm in [str(label) for label in table[ARM].to_numpy()]:
            row: Facts = {"level": str(of_level[factor or SEGMENT].item()), "n": plain(of_level[N]), "arm": arm}
            values = of_level.sel({ARM: arm}).data_vars.items()
            row |= {str(name): plain(value) for name, value in values}
            gain = {name: PER_UNITS * value for name, value in row.items() if name.startswith("net_gain")}
            shown = {
                "share": share_of(row["share"]),
                "effect": with_interval(row, "effect", amount),
                "net_gain": with_interval(gain, "net_gain", money),
                "prob_gain": as_text(row, "prob_gain", wording.probability),
            }
            rows.append(row | {"shown": shown})
    return rows


def bounds(posterior: xr.DataTree, economics: Economics, *, prob: float) -> Facts | None:
    """Bounds of the four buckets by level of every factor, or for everybody; None of an outcome that has none.

    They are of a binary outcome of which 1 is the good one.

    Returns
    -------
    dict
        `factors`, each with its name (None: everybody, or segments one by one), `rows`, one a level and treatment: `level`,
        `n`, `arm`, `buckets` (`lower`, `upper`, posterior means of the bounds, and `lower_lower`, `upper_upper`, the outer
        ends of their intervals, by bucket), and where no outcome is assumed to be prevented, `closed` and
        `prob_assumption`, else None; `refused`, why there is nothing under that assumption, or None.
    """
    if posterior.attrs.get("kind") != "binary" or economics.value_per_outcome < 0:
        return None
    factors = factors_of(posterior[POSTERIOR].to_dataset()[MEAN_OUTCOME])
    return {"factors": [_bounds_by(posterior, factor, prob) for factor in factors or (None,)]}


def _bounds_by(posterior: xr.DataTree, factor: str | None, prob: float) -> Facts:
    open_ = buckets(posterior, by=factor, prob=prob)
    closed, refused = None, None
    try:
        closed = buckets(posterior, by=factor, monotone=True, prob=prob)
    except BayesupliftError as refusal:
        refused = str(refusal)
    rows = []
    for place in range(open_.sizes[SEGMENT]):
        for arm in [str(label) for label in open_[ARM].to_numpy()]:
            at = {SEGMENT: place, ARM: open_[ARM].to_numpy().tolist().index(arm)}
            of_level = open_.isel(at)
            rows.append(
                {
                    "level": str(of_level[factor or SEGMENT].item()),
                    "n": plain(of_level[N]),
                    "arm": arm,
                    "buckets": _by_bucket(of_level, _range),
                    "closed": None if closed is None else _by_bucket(closed.isel(at), _point),
                    "prob_assumption": None if closed is None else plain(closed["prob_assumption"].isel(at)),
                }
            )
    return {"factor": None if factor is None else as_called(factor), "rows": rows, "refused": refused}


def _by_bucket(table: xr.Dataset, shown: Any) -> dict[str, Facts]:
    found = {}
    for bucket in BUCKETS:
        values = {
            str(name): plain(value) for name, value in table.sel({BUCKET: bucket}).data_vars.items() if value.ndim == 0
        }
        values.pop("prob_assumption", None)  # of the level, not of a bucket
        found[bucket] = values | {"shown": shown(values)}
    return found


def _range(values: Facts) -> str:
    """Both bounds, and in brackets the outer ends of their intervals."""
    ends = [
        wording.level(values[name], "binary", values[f"{name}_mcse"])
        for name in ("lower", "upper", "lower_lower", "upper_upper")
    ]
    return f"{ends[0]} to {ends[1]} [{ends[2]}, {ends[3]}]"


def _point(values: Facts) -> str:
    return wording.level(values["lower"], "binary", values["lower_mcse"])
