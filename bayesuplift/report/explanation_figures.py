"""Figures of who benefits, and why, drawn from the facts alone: a tree with its leaves, curves, and subgroups."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from bayesuplift.report.facets import INK, TITLE_PIXELS, Drawn, escaped
from bayesuplift.report.figures import CONTROL_COLOUR, FRAME_PIXELS, colours, laid_out, scale_of
from bayesuplift.report.tree_diagram import draw_branch, short, tree_places

Facts = Mapping[str, Any]

MOST_CURVES: Final = 9
MOST_POINTS: Final = 12  # levels of text that a figure shows
_COLUMNS: Final = 3
_PANEL_PIXELS: Final = 230
_LEAF_PIXELS: Final = 46
_ROW_PIXELS: Final = 26
_SMALL: Final = 11  # pixels of type
_BAND: Final = 0.22  # opacity
_LONGEST: Final = 60
_TREE_WIDTH: Final = (0.6, 0.4)  # of the diagram and of its leaves' effects


def tree_figure(outcome: Facts, facts: Facts) -> Drawn:
    """The tree of `tree_facts` as a diagram, with the effect in each leaf beside it.

    Parameters
    ----------
    outcome
        Facts of the outcome: its name, kind, unit and arms.
    facts
        Of the tree.
    """
    factor, _, unit = scale_of(outcome)
    leaves, paint = facts["leaves"], colours(outcome)[facts["arm"]]
    height = {row["leaf"]: len(leaves) - i for i, row in enumerate(leaves)}
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, column_widths=list(_TREE_WIDTH), horizontal_spacing=0.02)
    places = tree_places(facts["nodes"], height)
    for node in facts["nodes"]:
        draw_branch(figure, node, places)
    deepest = max(x for x, _ in places.values())
    for row in leaves:
        x, y = places[next(one["node"] for one in facts["nodes"] if one["leaf"] == row["leaf"])]
        # a leaf that hangs higher up is led to the edge of the diagram, beside its effect
        figure.add_scatter(
            x=[x, deepest + 1.0],
            y=[y, y],
            mode="lines",
            line={"color": CONTROL_COLOUR, "width": 1, "dash": "dot"},
            hoverinfo="skip",
            row=1,
            col=1,
        )
        text = f"{row['leaf']}: {row['n']:,} units ({row['share_text']})"
        figure.add_annotation(
            x=deepest + 1.0,
            y=y,
            text=text,
            showarrow=False,
            xanchor="right",
            yanchor="bottom",
            font={"size": _SMALL},
            row=1,
            col=1,
        )
    _intervals(figure, leaves, [height[row["leaf"]] for row in leaves], factor, paint, column=2, label="rule")
    figure.add_vline(x=0.0, line={"color": INK, "dash": "dot", "width": 1.5}, row=1, col=2)
    laid_out(figure, x="", height=FRAME_PIXELS + _LEAF_PIXELS * len(leaves))
    figure.update_xaxes(visible=False, range=[-0.05, deepest + 1.05], row=1, col=1)
    figure.update_xaxes(title_text=f"effect ({unit})", row=1, col=2)
    figure.update_yaxes(visible=False, range=[0.4, len(leaves) + 0.6])
    caption = (
        f"Who benefits: effect of {facts['arm']} on {outcome['name']}, against {facts['control']}, in the groups of a tree "
        f"that was grown on mean effects, with {_interval(facts)} credible intervals of each group's average. The tree "
        f"tells {_told(facts)} of the differences between units' effects (R²). Dotted line: no effect."
    )
    alt = f"Tree of {len(leaves)} groups. {_ends(leaves, 'rule')}"
    return Drawn(caption, alt, figure)


def curve_figure(outcome: Facts, facts: Facts) -> Drawn:
    """The curves of `curve_facts`, those with the largest parts of R², in panels with one ordinate."""
    factor, _, unit = scale_of(outcome)
    held, paint = facts["curves"][:MOST_CURVES], colours(outcome)[facts["arm"]]
    columns = min(len(held), _COLUMNS)
    rows = -(-len(held) // columns)
    titles = [escaped(f"{one['covariate']} ({one['shown']['share'].split(' ')[0]})") for one in held]
    figure = make_subplots(
        rows=rows,
        cols=columns,
        shared_yaxes="all",
        subplot_titles=titles,
        horizontal_spacing=0.04,
        vertical_spacing=0.24 / rows,
    )
    for place, one in enumerate(held):
        at = {"row": place // columns + 1, "col": place % columns + 1}
        (_curve if one["is_number"] else _levels)(figure, one["points"], factor, paint, at)
        figure.add_hline(y=0.0, line={"color": INK, "dash": "dot", "width": 1}, **at)
    laid_out(figure, x="", height=FRAME_PIXELS + TITLE_PIXELS + _PANEL_PIXELS * rows)
    figure.update_layout(margin={"t": TITLE_PIXELS + 8})
    figure.update_annotations(font={"size": 13, "color": INK})
    figure.update_yaxes(title_text=f"deviation ({unit})", col=1)
    left = len(facts["curves"]) - len(held)
    rest = f" {left} curves that tell less are left out." if left else ""
    many = any(not one["is_number"] and len(one["points"]) > MOST_POINTS for one in held)
    rest += f" Of covariates with many levels the {MOST_POINTS} of most units are shown." if many else ""
    caption = (
        f"What the effect of {facts['arm']} on {outcome['name']} depends on: deviations from its average, "
        f"{facts['average']['shown']['difference']}, by each covariate beside the others, with pointwise "
        f"{_interval(facts)} credible bands. Their sum tells {_told(facts)} of the differences between units' effects "
        f"(R²); in brackets, what of it is each covariate's.{rest}"
    )
    return Drawn(caption, f"Panels of curves by covariate. {' '.join(map(_range, held))}", figure)


def subgroup_figure(outcome: Facts, facts: Facts) -> Drawn:
    """The rows of `subgroup_facts` as a forest of differences from the rest."""
    factor, _, unit = scale_of(outcome)
    rows, paint = facts["rows"], colours(outcome)[facts["arm"]]
    places = [len(rows) - i for i in range(len(rows))]
    figure = make_subplots(rows=1, cols=1)
    _intervals(figure, rows, places, factor, paint, column=1, label="rule")
    figure.add_vline(x=0.0, line={"color": INK, "dash": "dot", "width": 1.5})
    laid_out(figure, x=f"difference from the rest ({unit})", height=FRAME_PIXELS + _ROW_PIXELS * len(rows))
    labels = [f"{short(row['rule'])} ({row['share_text']})" for row in rows]
    figure.update_yaxes(tickvals=places, ticktext=labels, tickfont={"size": _SMALL}, range=[0.25, len(rows) + 0.75])
    caption = (
        f"Subgroups whose average effect of {facts['arm']} on {outcome['name']} differs most from the rest's, of "
        f"{facts['considered']:,} that were looked at, with {_interval(facts)} credible intervals and, in brackets, their "
        "share of the units. The first has the largest difference of these with probability "
        f"{rows[0]['shown']['prob_largest']}; the largest, whichever it is, is expected to be "
        f"{facts['shown']['expected_largest']}."
    )
    return Drawn(caption, f"Forest plot of {len(rows)} subgroups. {_ends(rows, 'rule')}", figure)


def _intervals(
    figure: go.Figure,
    rows: Sequence[Facts],
    places: Sequence[int],
    factor: float,
    paint: str,
    *,
    column: int,
    label: str,
) -> None:
    """Points with intervals, one a row."""
    ends = [[factor * row[f"difference_{end}"] for end in ("lower", "upper")] for row in rows]
    figure.add_scatter(
        x=[value for pair in ends for value in (*pair, None)],
        y=[value for y in places for value in (y, y, None)],
        mode="lines",
        line={"color": paint, "width": 2},
        hoverinfo="skip",
        row=1,
        col=column,
    )
    figure.add_scatter(
        x=[factor * row["difference"] for row in rows],
        y=list(places),
        mode="markers",
        marker={"size": 9, "color": paint, "line": {"width": 1, "color": "#ffffff"}},
        customdata=[[escaped(row[label]), row["shown"]["difference"]] for row in rows],
        hovertemplate="%{customdata[0]}: %{customdata[1]}<extra></extra>",
        row=1,
        col=column,
    )


def _curve(figure: go.Figure, points: Sequence[Facts], factor: float, paint: str, at: Mapping[str, int]) -> None:
    """A line with its band, and its knots."""
    x = [one["position"] for one in points]
    low, high = ([factor * one[f"difference_{end}"] for one in points] for end in ("lower", "upper"))
    figure.add_scatter(
        x=[*x, *reversed(x)],
        y=[*high, *reversed(low)],
        mode="lines",
        fill="toself",
        fillcolor=paint,
        opacity=_BAND,
        line={"width": 0},
        hoverinfo="skip",
        **at,
    )
    figure.add_scatter(
        x=x,
        y=[factor * one["difference"] for one in points],
        mode="lines+markers",
        line={"color": paint, "width": 2},
        marker={"size": 5, "color": paint},
        customdata=[[one["value"], one["shown"]["difference"]] for one in points],
        hovertemplate="%{customdata[0]}: %{customdata[1]}<extra></extra>",
        **at,
    )


def _levels(figure: go.Figure, points: Sequence[Facts], factor: float, paint: str, at: Mapping[str, int]) -> None:
    """A point with its interval a level, those of most units."""
    shown = points[:MOST_POINTS]
    figure.add_scatter(
        x=[escaped(one["value"]) for one in shown],
        y=[factor * one["difference"] for one in shown],
        mode="markers",
        marker={"size": 8, "color": paint},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [factor * (one["difference_upper"] - one["difference"]) for one in shown],
            "arrayminus": [factor * (one["difference"] - one["difference_lower"]) for one in shown],
            "thickness": 2,
            "width": 4,
        },
        customdata=[one["shown"]["difference"] for one in shown],
        hovertemplate="%{x}: %{customdata}<extra></extra>",
        **at,
    )
    figure.update_xaxes(type="category", **at)


def _interval(facts: Facts) -> str:
    return f"{100.0 * facts['prob']:g}%"


def _told(facts: Facts) -> str:
    fidelity = facts["fidelity"]
    text = str(fidelity["shown"]["r_squared"])
    undefined = fidelity["undefined_draws"]
    if undefined:
        text += f" (of {fidelity['draws'] - undefined:,} draws; in {undefined:,} others all effects are equal)"
    return text


def _ends(rows: Sequence[Facts], name: str) -> str:
    """The largest and the smallest in words."""
    high, low = (pick(rows, key=lambda row: row["difference"]) for pick in (max, min))
    return f"From {low['shown']['amount']} ({low[name]}) to {high['shown']['amount']} ({high[name]})."


def _range(curve: Facts) -> str:
    return f"{curve['covariate']}: {_ends(curve['points'], 'value')}"
