"""Why effects differ: summaries of single units' effects by their covariates, gathered for a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bayesuplift.estimands.projection_curves import EffectCurves
from bayesuplift.estimands.projection_tree import EffectTree
from bayesuplift.estimands.subgroups import Subgroups
from bayesuplift.report.explanation_facts import curve_facts, subgroup_facts, tree_facts
from bayesuplift.report.explanation_figures import curve_figure, subgroup_figure, tree_figure
from bayesuplift.report.facets import Drawn

Facts = Mapping[str, Any]

_FIGURES = {"tree": tree_figure, "curves": curve_figure, "subgroups": subgroup_figure}


@dataclass(frozen=True, eq=False)
class Explanation:
    """What the effects of one treatment on single units depend on, as far as summaries tell.

    Parameters
    ----------
    arm
        The treatment.
    tree
        Its effects as a shallow tree.
    curves
        Its effects as a sum of curves; None where their covariates cannot be told apart.
    subgroups
        Groups that differ most from the rest; None where no group is large enough.
    """

    arm: str
    tree: EffectTree
    curves: EffectCurves | None = None
    subgroups: Subgroups | None = None


def explanation(found: Sequence[Explanation]) -> list[dict[str, Any]]:
    """Facts of the summaries, one entry a treatment: its `arm`, and facts of its `tree`, `curves` and `subgroups`."""
    return [
        {
            "arm": one.arm,
            "tree": tree_facts(one.tree),
            "curves": None if one.curves is None else curve_facts(one.curves),
            "subgroups": None if one.subgroups is None else subgroup_facts(one.subgroups),
        }
        for one in found
    ]


def explaining_figures(outcome: Facts) -> list[list[Drawn]]:
    """Figures of an outcome's summaries, one list a treatment."""
    facts = [] if outcome["units"] is None else outcome["units"]["explanation"]
    return [[draw(outcome, one[name]) for name, draw in _FIGURES.items() if one[name] is not None] for one in facts]
