"""Figures of who gets what, drawn from the facts alone."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from textwrap import wrap
from typing import Any, Final

import plotly.graph_objects as go

from bayesuplift.report.facets import TITLE_PIXELS, Drawn, escaped, facets, finished
from bayesuplift.report.figures import FRAME_PIXELS, colours
from bayesuplift.report.responder_words import share_of

Facts = Mapping[str, Any]

BARE_PIXELS: Final = FRAME_PIXELS - 32  # of a frame whose abscissa has no title
COLUMNS: Final = 4  # policies side by side; more are drawn in another figure
_ROW_PIXELS: Final = 22
LEGEND_PIXELS: Final = 26
_LINE_PIXELS: Final = 16
_LINE: Final = 24  # letters of a line above a column
_LINES: Final = 2
_PALE: Final = "#d1d5db"


def receiver_figures(outcome: Facts, facts: Facts) -> list[Drawn]:
    """Who gets what under each policy, facts of `receivers`: four policies a figure."""
    policies = facts["policies"]
    figures = -(-len(policies) // COLUMNS)
    ends = [round(len(policies) * place / figures) for place in range(figures + 1)]  # alike in size
    return [_receivers(outcome, facts, policies[start:end]) for start, end in pairwise(ends)]


def _receivers(outcome: Facts, facts: Facts, policies: Sequence[Facts]) -> Drawn:
    paint, groups, arms = colours(outcome), facts["groups"], facts["arms"]
    titles = [_title(one["name"]) for one in policies]
    figure = facets(titles, shared_xaxes=True)
    heights = [len(groups) - place for place in range(len(groups))]
    ordered = [*(arm for arm in arms if arm != outcome["control"]), outcome["control"]]
    for column, policy in enumerate(policies, start=1):
        for arm in ordered:
            shares = [of_group[arms.index(arm)] for of_group in policy["shares"]]
            figure.add_bar(
                x=shares,
                y=heights,
                orientation="h",
                name=arm,
                legendgroup=arm,
                showlegend=column == 1,
                marker={"color": _PALE if arm == outcome["control"] else paint[arm]},
                hovertemplate=f"{arm}: %{{x:.0%}}<extra></extra>",
                row=1,
                col=column,
            )
    above = LEGEND_PIXELS + _LINE_PIXELS * any("<br>" in title for title in titles)
    height = BARE_PIXELS + TITLE_PIXELS + above + _ROW_PIXELS * len(groups)
    finished(figure, x="", height=height)
    with_legend(figure, height, above)
    figure.update_layout(barmode="stack", bargap=0.25)
    figure.update_xaxes(range=[0.0, 1.0], tickvals=[0.0, 0.5, 1.0], ticktext=["0", "50", "100"], showgrid=False)
    figure.update_yaxes(range=[0.4, len(groups) + 0.6], showgrid=False, zeroline=False)
    labels = [f"{one['label']} ({one['share_text']})" for one in groups]
    figure.update_yaxes(tickvals=heights, ticktext=labels, tickfont={"size": 11}, col=1)
    caption = (
        "Who gets what, by policy, in percent of the units of each group. In brackets: the group's share of all units. "
        "Pale: the control."
    )
    said = " ".join(
        f"Under {policy['name']}, {share_of(_treated(facts, policy, outcome['control']))} of the units are treated."
        for policy in policies
    )
    return Drawn(caption, f"Stacked bars of arms by group, one panel a policy. {said}", figure)


def _treated(facts: Facts, policy: Facts, control: str) -> float:
    """Share treated of the units of all groups: levels of several factors hold every unit as often as there are factors."""
    place = facts["arms"].index(control)
    held = sum(one["share"] for one in facts["groups"])
    idle = sum(one["share"] * of[place] for one, of in zip(facts["groups"], policy["shares"], strict=True))
    return 1.0 - idle / held


def with_legend(figure: go.Figure, height: int, above: int = LEGEND_PIXELS) -> None:
    """A legend above the names of the columns; so many pixels are above a name of one line."""
    figure.update_layout(showlegend=True, margin={"t": TITLE_PIXELS + above + 8})
    inside = height - BARE_PIXELS - TITLE_PIXELS - above
    names = TITLE_PIXELS + above - LEGEND_PIXELS
    figure.update_layout(legend={"y": 1.0 + names / max(inside, _ROW_PIXELS), "traceorder": "normal"})


def _title(name: str) -> str:
    """A policy's name above its column, in two lines at most."""
    lines = [escaped(line) for line in wrap(name, _LINE)]
    return "<br>".join([lines[0], f"{lines[1]}…"] if len(lines) > _LINES else lines)
