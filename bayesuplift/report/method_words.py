"""How figures were computed, and what checks of the model say of them, in words."""

from collections.abc import Sequence

import xarray as xr

from bayesuplift.data.checks import Check
from bayesuplift.decisions.choice import Choice
from bayesuplift.dims import PRIOR, SAMPLE_STATS, SEGMENT, UNIT
from bayesuplift.posterior.schema import STATED, group

_OF_SHAPE = frozenset(
    {
        *("zeros", "large_counts", "mean_amounts", "amount_quantiles", "largest_amounts"),
        *("shape_of_residuals", "largest_residuals"),
    }
)
_OF_NOISE = "spread_of_residuals"


def _kept_one_in(posterior: xr.DataTree) -> int:
    """Of how many draws one was kept: those of very many units would not fit."""
    stats = group(posterior, SAMPLE_STATS)
    return 1 if stats is None else int(stats.attrs.get("kept_one_in", 1))


def method_words(posterior: xr.DataTree, choice: Choice) -> str:
    """How the figures were computed, and with which error."""
    attributes, every = posterior.attrs, _kept_one_in(posterior)
    caution = ""
    if choice.verdict.name == "INVALID":
        caution = (
            " A check failed: the figures are here for the search for the cause, and no decision may rest on them."
        )
    model = attributes.get("model", "a model fitted elsewhere")
    if choice.exact:
        return f"Model {model}, prior {attributes.get('prior')}; closed form, by quadrature: no Monte Carlo error.{caution}"
    how = attributes.get("method", "draws")
    if every > 1:
        how = f"{how}, one draw in {every} kept, since those of all units would take more than 1 GB"
    if choice.weights is not None:
        how = f"{how}, weighed by a prior {choice.sensitivity['description'].sel({PRIOR: STATED}).item()}"
    return (
        f"Model {model}, {how}; figures come from draws: ± is one Monte Carlo standard error, and no more digits are shown "
        f"than it supports.{caution}"
    )


def model_note(checks: Sequence[Check], pooled: str | None) -> str:
    """What follows, and what does not, from predictive checks that failed, or that there are none of."""
    if pooled == UNIT and not checks:
        return (
            "No predictive check of this model of units was made. Its effects by level of a factor stand beside the raw "
            "differences, which tell where it is wrong."
        )
    failed = {check.name for check in checks if not check.passed}
    shape = failed & _OF_SHAPE
    levels = failed - shape - {_OF_NOISE}
    parts = []
    if levels and pooled in (SEGMENT, UNIT):
        some, one = ("units", "such units") if pooled == UNIT else ("segments", "such a segment")
        parts.append(
            f"Some {some} are not as the pooled model says. The average effect of randomized arms hardly rests on it; of "
            f"{one} the raw figures tell more than the pooled ones."
        )
    elif levels:
        parts.append(
            "One level an arm does not describe every segment. The average effect of randomized arms does not rest on it; "
            "a statement about a segment needs the figures by segment."
        )
    if _OF_NOISE in failed:
        parts.append(
            "Outcomes vary about their predictions more for some units than for others, or a few lie far from the rest, "
            "and the model has one spread an arm: the average effect hardly rests on it, intervals of effects of units and "
            "of segments do."
        )
    if shape:
        parts.append(
            "Single outcomes are not distributed as the model says: nothing about quantiles or single units may be read "
            "from it."
        )
    if shape and failed & {"mean_amounts"}:
        parts.append("The means that it implies rest on the same distribution.")
    return " ".join(parts)
