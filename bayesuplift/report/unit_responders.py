"""Who responds, unit by unit: how far effects differ, for how many an arm pays, which arm is best for whom."""

from functools import partial
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.decisions import wording
from bayesuplift.decisions.choice import Standards, compared
from bayesuplift.dims import ARM, CHAIN, COVARIATE, DRAW, MEAN_OUTCOME, POSTERIOR, SEGMENT, TREATMENT, UNIT
from bayesuplift.estimands.scales import contrasted
from bayesuplift.estimands.summary import summarize
from bayesuplift.estimands.unit_summary import EVERY_ARM, UnitSummary, sorted_groups, split, unit_summary
from bayesuplift.estimands.value import Economics
from bayesuplift.posterior.diagnostics import check_of_units
from bayesuplift.report.effect_rows import Asked
from bayesuplift.report.plain import plain
from bayesuplift.report.responder_words import ERRORS_TO_SPARE, SURE, share_of
from bayesuplift.report.shown import as_text, with_interval
from bayesuplift.report.unit_words import sentences

BINS: Final = 100  # of units alike in their expected effect, or in a probability, that a figure shows
GROUPS: Final = 10  # of units alike in their expected effect, that the table shows
_BY_TREES: Final = {
    "of": "decisions",
    "caption": "What the trees of effects ask for: of all their decisions the share that asks for the covariate",
    "head": "share of decisions",
}
_BY_SLOPES: Final = {
    "of": "slopes",
    "caption": "By how much an effect changes where a covariate is larger by one standard deviation, all others the same",
    "head": "change of the effect",
}
_BANDS: Final = ("lower", "half_lower", "half_upper", "upper")

Array = NDArray[np.float64]


def unit_responders(posterior: xr.DataTree, standards: Standards, economics: Economics | None) -> dict[str, Any] | None:
    """Facts about the effects of single units; None where the posterior is not over units that its model regularises.

    Parameters
    ----------
    posterior
        A tree over units, with the root attribute `pooled` = "unit".
    standards
        Those of the decision: mass of the intervals, and which direction is better.
    economics
        What the outcome is worth and what arms cost, if that is known.

    Returns
    -------
    dict or None
        `units`, their number; `question`, `economics`, `breakeven` (outcome units, by arm); `average` rows by arm, as those
        of `effect_rows`; `arms`, for each its `spread` over the units, `share_gaining`, the share of the units that it pays
        for (with intervals and errors), the shares that it `surely` and `hardly` pays for (P at least .95 and at most .05,
        two Monte Carlo errors to spare), `bins` of units sorted by their expected effect and by the probability that it
        pays, and `groups`, rows of the average effects of tenths; `best`, for every arm the share of the units that it is
        best for, the same `surely`, that for whom it is the `likeliest`, and `bins`; `covariates`, what effects depend on,
        or None; `doubt`, what the chains say against single units, or None; `sentences`.
    """
    draws = posterior[POSTERIOR].to_dataset()
    if UNIT not in draws[MEAN_OUTCOME].dims or posterior.attrs.get("pooled") != UNIT:
        return None
    asked = Asked.of(posterior, standards, economics)
    found = unit_summary(posterior, economics=economics, higher_is_better=asked.higher_is_better, prob=asked.prob)
    average = contrasted(posterior, compared(posterior), "difference")
    groups = asked.table(sorted_groups(posterior, found.by_unit["mean"], GROUPS))
    facts: dict[str, Any] = {
        "units": draws.sizes[UNIT],
        "question": asked.question,
        "economics": None if economics is None else str(economics),
        "breakeven": asked.breakeven(posterior),
        "average": asked.rows(asked.table(average)),
        "arms": [_arm(found, groups, str(arm), asked) for arm in found.by_unit[ARM].to_numpy()],
        "best": [_best(found, str(arm), posterior, asked) for arm in found.by_unit[EVERY_ARM].to_numpy()],
        "covariates": _covariates(draws, asked),
    }
    check = check_of_units(posterior)
    facts["doubt"] = None if check is None or check.passed else check.sentence
    return facts | {"sentences": sentences(facts, outcome=str(posterior.attrs.get("outcome", "the outcome")))}


def _arm(found: UnitSummary, groups: xr.Dataset, arm: str, asked: Asked) -> dict[str, Any]:
    """What is told of one arm's effects on single units."""
    of_unit, of_draw = found.by_unit.sel({ARM: arm}), found.by_draw.sel({ARM: arm})
    spread, average = of_draw["spread"], of_draw["average"]
    told = _told("spread", spread, asked) | _told("share_gaining", of_draw["share_gaining"], asked)
    alike = summarize(abs(average) / 10.0 - spread)
    told |= {
        "prob_negligible": plain(alike["prob_positive"]),
        "prob_negligible_mcse": plain(alike["prob_positive_mcse"]),
    }
    amount = partial(wording.amount, kind=asked.kind)
    return {
        "arm": arm,
        **told,
        **_surely(of_unit["prob_gain"].to_numpy(), of_unit["prob_gain_mcse"].to_numpy()),
        "bins": _bins(of_unit),
        "groups": [
            asked.rows(groups.isel({SEGMENT: place}).sel({ARM: [arm]}))[0] for place in range(groups.sizes[SEGMENT])
        ],
        "shown": {
            "spread": with_interval(told, "spread", amount),
            "share_gaining": with_interval(told, "share_gaining", _share),
            "prob_negligible": as_text(told, "prob_negligible", wording.probability),
        },
    }


def _best(found: UnitSummary, arm: str, posterior: xr.DataTree, asked: Asked) -> dict[str, Any]:
    """For which share of the units an arm is the best one."""
    chance = found.by_unit["prob_best"].sel({EVERY_ARM: arm}).to_numpy()
    error = found.by_unit["prob_best_mcse"].sel({EVERY_ARM: arm}).to_numpy()
    surely = _surely(chance, error)
    told = _told("share_best", found.by_draw["share_best"].sel({EVERY_ARM: arm}), asked)
    likeliest = found.by_unit["prob_best"].to_numpy().argmax(axis=1) == list(found.by_unit[EVERY_ARM]).index(arm)
    return {
        "arm": arm,
        "is_control": arm == str(posterior.attrs["control"]),
        **told,
        **surely,
        "surely_text": share_of(surely["surely"]),
        "likeliest": float(likeliest.mean()),
        "likeliest_text": share_of(float(likeliest.mean())),
        "bins": [float(chance[one].mean()) for one in split(chance, BINS)],
        "shown": {"share_best": with_interval(told, "share_best", _share)},
    }


def _told(name: str, draws: xr.DataArray, asked: Asked) -> dict[str, Any]:
    """Mean and interval of a quantity of every draw, with their errors."""
    table = summarize(draws, prob=asked.prob)
    told = {name: plain(table["mean"]), f"{name}_mcse": plain(table["mcse"])}
    return told | {f"{name}_{end}": plain(table[end]) for end in ("lower", "lower_mcse", "upper", "upper_mcse")}


def _surely(chance: Array, error: Array) -> dict[str, float]:
    """Shares of the units with a probability of at least .95, and of at most .05, two Monte Carlo errors to spare."""
    return {
        "surely": float((chance - ERRORS_TO_SPARE * error >= SURE).mean()),
        "hardly": float((chance + ERRORS_TO_SPARE * error <= 1.0 - SURE).mean()),
    }


def _bins(of_unit: xr.Dataset) -> dict[str, list[float]]:
    """Units sorted by their expected effect: the medians of it, and of the ends of its intervals, in each bin."""
    values = {name: of_unit[name].to_numpy() for name in ("mean", *_BANDS, "prob_gain")}
    groups = split(values["mean"], BINS)
    bins = {name: [float(np.median(values[name][one])) for one in groups] for name in ("mean", *_BANDS)}
    bins["prob_gain"] = [float(values["prob_gain"][one].mean()) for one in split(values["prob_gain"], BINS)]
    return bins


def _covariates(draws: xr.Dataset, asked: Asked) -> dict[str, Any] | None:
    """What effects depend on: decisions of the effects' trees by covariate, or slopes of a linear model's effects."""
    if "effect_inclusion" in draws and {CHAIN, DRAW, COVARIATE} <= set(draws["effect_inclusion"].dims):
        counts = draws["effect_inclusion"].astype(np.float64)
        total = counts.sum(COVARIATE)
        # trees of a draw that decide nothing ask for nothing
        share = counts / total.where(total > 0, 1.0)
        return _BY_TREES | {"by_arm": TREATMENT in share.dims, "rows": _covariate_rows(share, asked, share=True)}
    if "interaction" in draws and set(draws["interaction"].dims) == {CHAIN, DRAW, COVARIATE, TREATMENT}:
        return _BY_SLOPES | {"by_arm": True, "rows": _covariate_rows(draws["interaction"], asked, share=False)}
    return None


def _covariate_rows(values: xr.DataArray, asked: Asked, *, share: bool) -> list[dict[str, Any]]:
    """One row a covariate and treatment, those that matter most first."""
    write = _share if share else partial(wording.amount, kind=asked.kind)
    treatments = [str(one) for one in values[TREATMENT].to_numpy()] if TREATMENT in values.dims else [None]
    rows = []
    for treatment in treatments:
        of_treatment = values if treatment is None else values.sel({TREATMENT: treatment})
        for covariate in [str(one) for one in values[COVARIATE].to_numpy()]:
            row = {
                "covariate": covariate,
                "arm": treatment,
                **_told("value", of_treatment.sel({COVARIATE: covariate}), asked),
            }
            rows.append(row | {"shown": {"value": with_interval(row, "value", write)}})
    return sorted(rows, key=lambda row: -abs(row["value"]))


def _share(value: float, error: float = 0.0) -> str:
    """Write a share of the units; that nobody is left out, or in, takes no digits."""
    return f"{value:.0%}" if value in (0.0, 1.0) and error == 0.0 else wording.level(value, "binary", error)
