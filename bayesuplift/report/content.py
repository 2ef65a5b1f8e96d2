"""The facts of a report, without layout: plain numbers, strings and lists, ready for JSON."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import xarray as xr

from bayesuplift.data.checks import Check
from bayesuplift.decisions.choice import Choice
from bayesuplift.decisions.targeting.rules import Rule
from bayesuplift.decisions.trees.policy_tree import PolicyTree
from bayesuplift.dims import (
    ARM,
    OBSERVED_DATA,
    PRIOR,
    SEGMENT,
    UNIT,
    Kind,
    N,
)
from bayesuplift.estimands.value import Economics
from bayesuplift.posterior.schema import validate
from bayesuplift.report.arm_rows import arm_rows, counted_columns, observed_by_arm, unit_words
from bayesuplift.report.density import density
from bayesuplift.report.explanation import Explanation, explanation
from bayesuplift.report.method_words import method_words, model_note
from bayesuplift.report.plain import plain
from bayesuplift.report.responders import responders
from bayesuplift.report.shown import shown
from bayesuplift.report.targeting import Targeting, targeting
from bayesuplift.report.unit_responders import unit_responders

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
        "method": method_words(posterior, choice),
        "unit": unit_words(posterior),
        "pooled": attributes.get("pooled") in (SEGMENT, UNIT),
        "interval": f"{100.0 * options['prob']:g}%",
        "verdict": {
            "name": choice.verdict.name,
            "arm": choice.verdict.arm,
            "sentence": choice.verdict.sentence,
        },
        "arms": arm_rows(choice.overall, observed_by_arm(posterior, result.observed), str(attributes["control"]), kind),
        "prob_all_equivalent": plain(choice.overall.get("prob_all_equivalent")),
        "density": density(posterior, choice),
        "sensitivity": _sensitivity(choice.sensitivity, kind),
        "checks": [_check_facts(check) for check in choice.checks],
        "model_checks": [_check_facts(check) for check in result.model_checks],
        "model_note": model_note(result.model_checks, attributes.get("pooled")),
        "units": result.units,
        "responders": result.responders,
        "segmentations": [_segmentation(one) for one in result.segmentations],
        "targeting": None if result.targeting is None else result.targeting.facts,
        "provenance": {name: plain(attributes[name]) for name in _PROVENANCE if name in attributes},
    }


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


def _segmentation(one: Segmentation) -> dict[str, Any]:
    observed = counted_columns(one.posterior[OBSERVED_DATA].to_dataset())
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
                "arms": arm_rows(of_level, observed.isel({SEGMENT: position}), control, kind),
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
