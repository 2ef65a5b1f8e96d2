"""The facts of a report, without layout: plain numbers, strings and lists, ready for JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats
from scipy.special import betaln, xlog1py, xlogy

from bayesuplift.data.checks import Check
from bayesuplift.decisions.choice import Choice, compared
from bayesuplift.decisions.targeting.rules import Rule
from bayesuplift.decisions.trees.policy_tree import PolicyTree
from bayesuplift.dims import (
    ARM,
    CHAIN,
    DRAW,
    EXPOSURE,
    OBSERVED_DATA,
    PRIOR,
    SAMPLE_STATS,
    SEGMENT,
    TOTAL,
    UNIT,
    Kind,
    N,
)
from bayesuplift.estimands.population import population_mean
from bayesuplift.estimands.value import Economics
from bayesuplift.posterior.closed_form import parameters
from bayesuplift.posterior.schema import STATED, group, observed_cells, validate
from bayesuplift.report.explanation import Explanation, explanation
from bayesuplift.report.plain import plain
from bayesuplift.report.responders import responders
from bayesuplift.report.shown import shown
from bayesuplift.report.targeting import Targeting, targeting
from bayesuplift.report.unit_responders import unit_responders

_GRID = 161
_REACH = 4.5  # of the widest arm's standard deviations shown on either side
_PROVENANCE = (
    "model",
    "question",
    "prior",
    "method",
    "fallback",
    "seed",
    "outcome",
    "kind",
    "assignment",
    "data_fingerprint",
    "created_at",
    "versions",
)

_OF_SHAPE = frozenset({"zeros", "large_counts", "mean_amounts", "amount_quantiles", "largest_amounts"})


@dataclass(frozen=True, eq=False)
class Segmentation:
    """One factor's segments, each with its own comparison of arms.

    Parameters
    ----------
    factor
        Name of the factor.
    posterior
        Posterior over (segment, arm).
    choice
        The comparison made from it.
    """

    factor: str
    posterior: xr.DataTree
    choice: Choice


@dataclass(frozen=True, eq=False)
class OutcomeResult:
    """One outcome: its posterior, the decision on it, and what was checked.

    Parameters
    ----------
    posterior
        Posterior over ([segment | unit], arm).
    choice
        The decision made from it.
    role
        "primary", "secondary" or "guardrail".
    model_checks
        Posterior predictive checks. They speak of the model, not of the data, and leave the verdict as it is.
    segmentations
        Comparisons within the segments of each factor.
    economics
        What the outcome is worth and what arms cost, if that is known.
    by_segment
        Of a posterior over units with factors, the same averaged over units of equal levels (`grouped`).
    observed
        Units and totals by arm, of a posterior that does not hold them.
    explanations
        Of a posterior over units, what the effects of each treatment depend on.
    rules
        By which it is chosen whom to treat, by name; those of `usual_rules` where there are none.
    policy_tree
        Of a posterior over units with economics, the policy as a tree.
    """

    posterior: xr.DataTree
    choice: Choice
    role: str = "primary"
    model_checks: tuple[Check, ...] = ()
    segmentations: tuple[Segmentation, ...] = ()
    economics: Economics | None = None
    by_segment: xr.DataTree | None = None
    observed: xr.Dataset | None = None
    explanations: tuple[Explanation, ...] = ()
    rules: Mapping[str, Rule] = field(default_factory=dict)
    policy_tree: PolicyTree | None = None

    @cached_property
    def responders(self) -> dict[str, Any] | None:
        """Who responds, by segment, of a posterior that pools; None under weights of another prior than its own."""
        if self.choice.weights is not None:
            return None
        of_segments = self.posterior if self.by_segment is None else self.by_segment
        return responders(of_segments, self.choice.standards, self.economics)

    @cached_property
    def units(self) -> dict[str, Any] | None:
        """Who responds, unit by unit, of a posterior over units that are regularised; None for any other."""
        if self.choice.weights is not None:
            return None
        found = unit_responders(self.posterior, self.choice.standards, self.economics)
        return None if found is None else found | {"explanation": explanation(self.explanations)}

    @cached_property
    def targeting(self) -> Targeting | None:
        """Whom to treat; None without economics, and under weights of another prior than the posterior's own."""
        if self.economics is None or self.choice.weights is not None:
            return None
        doubt = None if self.units is None else self.units["doubt"]
        return targeting(
            self.posterior,
            self.choice,
            self.economics,
            self.rules,
            by_segment=self.by_segment,
            doubt=doubt,
            tree=self.policy_tree,
        )


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that a report shows.

    Parameters
    ----------
    title
        Its heading.
    outcomes
        Results by outcome, the primary ones first.
    source
        Where the data came from, in words.
    checks
        Checks of the data that all outcomes share.
    notes
        What reading the data warned of.
    """

    title: str
    outcomes: tuple[OutcomeResult, ...]
    source: str = ""
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        posterior: xr.DataTree,
        choice: Choice,
        *,
        title: str | None = None,
        economics: Economics | None = None,
        rules: Mapping[str, Rule] | None = None,
    ) -> "Report":
        """Report one decision; with economics, also what effects by segment are worth, and whom to treat by the rules."""
        validate(posterior)
        name = posterior.attrs.get("outcome", "the outcome")
        result = OutcomeResult(posterior=posterior, choice=choice, economics=economics, rules=dict(rules or {}))
        return cls(title=title or f"Which arm for {name}?", outcomes=(result,))

    def facts(self) -> dict[str, Any]:
        """Everything shown, as plain values: finite floats, integers, strings, booleans, None, lists and dicts."""
        return {
            "title": self.title,
            "source": self.source,
            "checks": [_check_facts(check) for check in self.checks],
            "notes": list(self.notes),
            "outcomes": [_outcome_facts(result) for result in self.outcomes],
        }


def _outcome_facts(result: OutcomeResult) -> dict[str, Any]:
    posterior, choice = result.posterior, result.choice
    attributes = {str(name): value for name, value in posterior.attrs.items()}
    options: Mapping[str, Any] = choice.standards
    kind: Kind = attributes.get("kind", "continuous")
    return {
        "name": str(attributes.get("outcome", "the outcome")),
        "kind": kind,
        "role": result.role,
        "control": str(attributes["control"]),
        "options": {name: plain(value) for name, value in options.items()},
        "exact": choice.exact,
        "method": _method(choice, attributes, kept_one_in=_kept_one_in(posterior)),
        "unit": _unit(posterior),
        "pooled": attributes.get("pooled") in (SEGMENT, UNIT),
        "interval": f"{100.0 * options['prob']:g}%",
        "verdict": {
            "name": choice.verdict.name,
            "arm": choice.verdict.arm,
            "sentence": choice.verdict.sentence,
        },
        "arms": _rows(choice.overall, _observed(posterior, result.observed), str(attributes["control"]), kind),
        "prob_all_equivalent": plain(choice.overall.get("prob_all_equivalent")),
        "density": _density(posterior, choice),
        "sensitivity": _sensitivity(choice.sensitivity, kind),
        "checks": [_check_facts(check) for check in choice.checks],
        "model_checks": [_check_facts(check) for check in result.model_checks],
        "model_note": _model_note(result.model_checks, attributes.get("pooled")),
        "units": result.units,
        "responders": result.responders,
        "segmentations": [_segmentation(one) for one in result.segmentations],
        "targeting": None if result.targeting is None else result.targeting.facts,
        "provenance": {name: plain(attributes[name]) for name in _PROVENANCE if name in attributes},
    }


def _observed(posterior: xr.DataTree, beside: xr.Dataset | None = None) -> xr.Dataset | None:
    """Units and totals by arm, over all segments, where the posterior holds them, or where they are known beside it."""
    found = observed_cells(posterior)
    found = beside if found is None or TOTAL not in found else found
    if found is None:
        return None
    data = _counted(found)
    return data.sum(SEGMENT) if SEGMENT in data.dims else data


def _counted(observed: xr.Dataset) -> xr.Dataset:
    """What raw figures are made of."""
    return observed[[name for name in (N, TOTAL, EXPOSURE) if name in observed]]


def _unit(posterior: xr.DataTree) -> str:
    """What a mean outcome is told in."""
    observed = _observed(posterior)
    exposed = observed is not None and EXPOSURE in observed and not bool((observed[EXPOSURE] == observed[N]).all())
    return "per unit of exposure" if exposed else "outcome units"


def _rows(table: xr.Dataset, observed: xr.Dataset | None, control: str, kind: Kind) -> list[dict[str, Any]]:
    """One row an arm: every variable of the comparison, beside the raw figures."""
    rows = []
    for arm in [str(label) for label in table[ARM].values]:
        row: dict[str, Any] = {"arm": arm, "is_control": arm == control}
        if observed is not None:
            row |= _raw(observed, arm, control)
        of_arm = table.sel({ARM: arm})
        row |= {
            str(name): plain(values)
            for name, values in of_arm.data_vars.items()
            if values.ndim == 0 and not str(name).startswith("prob_all")
        }
        row["shown"] = shown(row, kind)
        rows.append(row)
    return rows


def _raw(observed: xr.Dataset, arm: str, control: str) -> dict[str, Any]:
    """Units, total and mean outcome as observed; of counts the mean is per unit of exposure, as the model's is."""
    per = observed[EXPOSURE if EXPOSURE in observed else N]
    means = {}
    for name in (arm, control):
        whole = float(per.sel({ARM: name}))
        means[name] = float(observed[TOTAL].sel({ARM: name})) / whole if whole else None
    mean, reference = means[arm], means[control]
    row = {"n": int(observed[N].sel({ARM: arm})), "total": plain(observed[TOTAL].sel({ARM: arm})), "raw_mean": mean}
    if mean is not None and reference is not None:
        row["raw_difference"] = mean - reference
        if reference > 0:
            row["raw_relative_lift"] = mean / reference - 1.0
    return row


def _density(posterior: xr.DataTree, choice: Choice) -> dict[str, Any]:
    """Posterior density of each arm's mean outcome on one grid: exact, or a kernel estimate from the draws."""
    labels = [str(label) for label in choice.overall[ARM].values]
    if choice.exact:
        alpha, beta = parameters(posterior)
        mean = alpha / (alpha + beta)
        sd = np.sqrt(mean * (1 - mean) / (alpha + beta + 1))
        low = max(float((mean - _REACH * sd).min()), 0.0)
        high = min(float((mean + _REACH * sd).max()), 1.0)
        grid = low + (high - low) * (np.arange(_GRID) + 0.5) / _GRID
        log_density = xlogy(alpha - 1, grid[:, None]) + xlog1py(beta - 1, -grid[:, None]) - betaln(alpha, beta)
        curves = np.exp(log_density)
        return {
            "x": grid.tolist(),
            "arms": {arm: curves[:, i].tolist() for i, arm in enumerate(labels)},
            "estimate": False,
        }
    draws = population_mean(posterior, compared(posterior)).transpose(CHAIN, DRAW, ARM)
    kept = _every(draws) if choice.weights is None else _as_often_as_they_weigh(choice.weights)
    curves_by_arm = {}
    for arm in labels:
        values = draws.sel({ARM: arm}).values.ravel()[kept]
        if np.ptp(values) == 0.0:  # a mean that is known has no density
            continue
        x, y, _ = array_stats.kde(values, grid_len=_GRID)
        if not (np.isfinite(x).all() and np.isfinite(y).all()):  # a range too small, or too large, for the estimate
            continue
        curves_by_arm[arm] = {"x": np.asarray(x).tolist(), "y": np.asarray(y).tolist()}
    if not curves_by_arm:
        return {"x": [], "arms": {}, "estimate": True}
    low = min(curve["x"][0] for curve in curves_by_arm.values())
    high = max(curve["x"][-1] for curve in curves_by_arm.values())
    grid = np.linspace(low, high, _GRID)
    arms = {
        arm: np.interp(grid, curve["x"], curve["y"], left=0.0, right=0.0).tolist()
        for arm, curve in curves_by_arm.items()
    }
    return {"x": grid.tolist(), "arms": arms, "estimate": True}


def _every(draws: xr.DataArray) -> np.ndarray:
    return np.arange(draws.sizes[CHAIN] * draws.sizes[DRAW])


def _as_often_as_they_weigh(weights: xr.DataArray) -> np.ndarray:
    """Positions of draws, each as often as its weight says: systematic resampling from the middle of every step."""
    share = weights.transpose(CHAIN, DRAW).values.ravel().cumsum()
    return np.searchsorted(share / share[-1], (np.arange(share.size) + 0.5) / share.size)


def _sensitivity(table: xr.Dataset, kind: Kind) -> dict[str, Any]:
    rows = []
    for name in [str(label) for label in table[PRIOR].values]:
        of_prior = table.sel({PRIOR: name})
        rows.append(
            {
                "prior": name,
                "description": str(of_prior["description"].item()),
                "verdict": str(of_prior["verdict"].item()),
                "best": str(of_prior["best"].item()),
                "arms": [_sensitivity_of(of_prior.sel({ARM: arm}), kind) for arm in table[ARM].values],
            }
        )
    return {"rows": rows, "sentence": str(table.attrs["sentence"]), "left_out": str(table.attrs["left_out"])}


def _sensitivity_of(of_arm: xr.Dataset, kind: Kind) -> dict[str, Any]:
    best, loss = float(of_arm["prob_best"]), float(of_arm["expected_loss"])
    row = {"arm": str(of_arm[ARM].item()), "is_control": False, "prob_best": best, "expected_loss": loss}
    errors = {name: float(of_arm[name]) for name in ("prob_best_mcse", "expected_loss_mcse") if name in of_arm}
    # beside rows from draws, an exact one has no error
    row |= {name: error for name, error in errors.items() if not math.isnan(error)}
    texts = shown(row, kind)
    return row | {"shown": {name: texts[name] for name in ("prob_best", "expected_loss")}}


def _kept_one_in(posterior: xr.DataTree) -> int:
    """Of how many draws one was kept: those of very many units would not fit."""
    stats = group(posterior, SAMPLE_STATS)
    return 1 if stats is None else int(stats.attrs.get("kept_one_in", 1))


def _method(choice: Choice, attributes: Mapping[str, Any], *, kept_one_in: int) -> str:
    """How the figures were computed, and with which error."""
    caution = ""
    if choice.verdict.name == "INVALID":
        caution = (
            " A check failed: the figures are here for the search for the cause, and no decision may rest on them."
        )
    model = attributes.get("model", "a model fitted elsewhere")
    if choice.exact:
        return f"Model {model}, prior {attributes.get('prior')}; closed form, by quadrature: no Monte Carlo error.{caution}"
    how = attributes.get("method", "draws")
    if kept_one_in > 1:
        how = f"{how}, one draw in {kept_one_in} kept, since those of all units would take more than 1 GB"
    if choice.weights is not None:
        how = f"{how}, weighed by a prior {choice.sensitivity['description'].sel({PRIOR: STATED}).item()}"
    return (
        f"Model {model}, {how}; figures come from draws: ± is one Monte Carlo standard error, and no more digits are shown "
        f"than it supports.{caution}"
    )


def _segmentation(one: Segmentation) -> dict[str, Any]:
    observed = _counted(one.posterior[OBSERVED_DATA].to_dataset())
    control = str(one.posterior.attrs["control"])
    kind: Kind = one.posterior.attrs["kind"]
    table = one.choice.table
    levels = []
    for position in range(table.sizes[SEGMENT]):
        of_level = table.isel({SEGMENT: position})
        levels.append(
            {
                "level": str(of_level[one.factor].item()),
                "n": int(observed[N].isel({SEGMENT: position}).sum()),
                "arms": _rows(of_level, observed.isel({SEGMENT: position}), control, kind),
            }
        )
    return {"factor": one.factor, "levels": levels}


def _check_facts(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "passed": bool(check.passed),
        "sentence": check.sentence,
        "facts": {str(name): plain(value) for name, value in check.facts.items()},
    }


def _model_note(checks: Sequence[Check], pooled: str | None) -> str:
    """What follows, and what does not, from predictive checks that failed, or that there are none of."""
    if pooled == UNIT and not checks:
        return (
            "Predictive checks are made of models of cells: none was made of this model of units. Its effects by level of "
            "a factor stand beside the raw differences, which tell where it is wrong."
        )
    failed = {check.name for check in checks if not check.passed}
    shape = failed & _OF_SHAPE
    parts = []
    if failed - shape and pooled in (SEGMENT, UNIT):
        parts.append(
            "Some segments are not as the pooled model says. The average effect of randomized arms hardly rests on it; of "
            "such a segment the raw figures tell more than the pooled ones."
        )
    elif failed - shape:
        parts.append(
            "One level an arm does not describe every segment. The average effect of randomized arms does not rest on it; "
            "a statement about a segment needs the figures by segment."
        )
    if shape:
        parts.append(
            "Single outcomes are not distributed as the model says: nothing about quantiles or single units may be read "
            "from it."
        )
    if shape and failed & {"mean_amounts"}:
        parts.append("The means that it implies rest on the same distribution.")
    return " ".join(parts)
