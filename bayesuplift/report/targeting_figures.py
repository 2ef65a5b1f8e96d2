"""Figures of what policies earn: by rule, risk aversion, share treated and price; drawn from the facts alone."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from bayesuplift.report.facets import INK, Drawn
from bayesuplift.report.figures import CONTROL_COLOUR, FRAME_PIXELS, colours, laid_out
from bayesuplift.report.responder_words import share_of
from bayesuplift.report.targeting_tables import spans

Facts = Mapping[str, Any]

_ACCENT: Final = "#0072B2"
_BANDS: Final = ("rgba(0,114,178,0.13)", "rgba(0,114,178,0.32)")
_ROW_PIXELS: Final = 26
_CURVE_PIXELS: Final = 340
_FRONTIER_PIXELS: Final = 560
_CELL_PIXELS: Final = 46
_LONGEST_NAME: Final = 48
_ROOM: Final = 0.05  # of the range of what is shown, beside it
_LABEL: Final = (0.2, 0.08)  # room that a label takes, of the ranges of what is shown
# Light enough for black figures on the darkest, which stand in every cell.
_SHADES: Final = [[0.0, "#ffffff"], [1.0, "#86b3dd"]]


def policy_figure(outcome: Facts) -> Drawn:
    """Profit of every rule and reference, with its interval."""
    rows = outcome["targeting"]["policies"]
    figure = go.Figure()
    # names stand at numbers: two that were cut short alike stay two rows
    heights = [len(rows) - place for place in range(len(rows))]
    for is_rule, colour, symbol in ((True, _ACCENT, "circle"), (False, CONTROL_COLOUR, "diamond")):
        shown = [(y, row) for y, row in zip(heights, rows, strict=True) if row["is_rule"] is is_rule]
        figure.add_scatter(
            x=[value for _, row in shown for value in (row["profit_lower"], row["profit_upper"], None)],
            y=[value for y, _ in shown for value in (y, y, None)],
            mode="lines",
            line={"color": colour, "width": 2.5},
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=[row["profit"] for _, row in shown],
            y=[y for y, _ in shown],
            mode="markers",
            marker={"size": 9, "color": colour, "symbol": symbol},
            customdata=[[row["shown"]["profit"], row["shown"]["share_treated"]] for _, row in shown],
            hovertemplate="profit %{customdata[0]}, %{customdata[1]} treated<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": CONTROL_COLOUR, "dash": "dot", "width": 1})
    laid_out(figure, x="profit (money)", height=FRAME_PIXELS + _ROW_PIXELS * len(rows))
    names = [_short(row["name"]) for row in rows]
    ends = [value for row in rows for value in (row["profit_lower"], row["profit_upper"], 0.0)]
    figure.update_xaxes(range=_roomy(ends), tickformat=",~g")
    figure.update_yaxes(tickvals=heights, ticktext=names, range=[0.4, len(rows) + 0.6], showgrid=False, zeroline=False)
    caption = (
        f"Profit of every rule (dots) and of treating all alike (diamonds), with {outcome['interval']} credible intervals. "
        "Dotted line: treating nobody. Policies share their draws: they are told apart better than intervals that overlap "
        "suggest."
    )
    said = " ".join(f"{row['name']}: {row['shown']['profit']}." for row in rows)
    return Drawn(caption, f"Profit by policy. {said}", figure)


def frontier_figure(outcome: Facts) -> Drawn:
    """Mean profit against its lower quantile as risk aversion grows, and how many are treated with what."""
    rows, paint = outcome["targeting"]["frontier"]["rows"], colours(outcome)
    figure = make_subplots(rows=2, cols=1, row_heights=[0.58, 0.42], vertical_spacing=0.22)
    points = spans(rows)  # policies that are the same stand at one point
    x, y = ([row[end] for row, _ in points] for end in ("profit_lower", "profit"))
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines+markers+text",
        text=_labels(x, y, [text for _, text in points]),
        customdata=[text for _, text in points],
        textposition=_sides(x),
        textfont={"size": 11, "color": INK},
        line={"color": _ACCENT, "width": 1.5},
        marker={"size": 8, "color": _ACCENT},
        hovertemplate="λ %{customdata}: mean %{y:,.4g}, lower end %{x:,.4g}<extra></extra>",
        showlegend=False,
        row=1,
        col=1,
    )
    units = outcome["targeting"]["units"]
    for arm in rows[0]["units"]:
        figure.add_bar(
            x=[row["risk_aversion"] for row in rows],
            y=[row["units"][arm] / units for row in rows],
            name=arm,
            marker={"color": paint[arm]},
            hovertemplate=f"λ %{{x}}: %{{y:.1%}} {arm}<extra></extra>",
            row=2,
            col=1,
        )
    laid_out(figure, x="", height=_FRONTIER_PIXELS, legend=True)
    figure.update_layout(barmode="stack", bargap=0.25, legend={"y": 0.36, "traceorder": "normal"})
    lower = f"lower end of the {outcome['interval']} interval"
    figure.update_xaxes(title_text=lower, range=_roomy(x, below=3.0, above=3.0), tickformat=",~g", row=1)
    figure.update_yaxes(title_text="mean profit", range=_roomy(y, above=2.5), tickformat=",~g", row=1)
    figure.update_xaxes(title_text="risk aversion λ", tickvals=[row["risk_aversion"] for row in rows], row=2)
    figure.update_yaxes(title_text="share treated", tickformat=".0%", rangemode="tozero", row=2)
    caption = (
        "λ runs from 0 (the mean gain decides) to 1 (its lower bound does). Above: mean profit against the "
        f"{lower}; numbers are λ. Below: who is treated. λ is cautious about every {outcome['targeting']['dim']} by "
        "itself; whether that raises the lower end of the sum is what the upper part shows."
    )
    first, last = rows[0], rows[-1]
    said = " ".join(
        f"At λ = {row['risk_aversion']:g} profit is {row['shown']['profit']}, {row['shown']['share_treated']} are treated."
        for row in (first, last)
    )
    return Drawn(caption, f"Mean profit against its lower end, and shares treated, by risk aversion. {said}", figure)


def curve_figure(outcome: Facts) -> Drawn:
    """Profit by share treated, with its interval and the band that holds the whole curve."""
    facts = outcome["targeting"]
    curve = facts["curve"]
    share = curve["share"]
    figure = go.Figure()
    for lower, upper, colour in (("band_lower", "band_upper", _BANDS[0]), ("lower", "upper", _BANDS[1])):
        figure.add_scatter(
            x=[*share, *reversed(share)],
            y=[*curve[lower], *reversed(curve[upper])],
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor=colour,
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=share,
        y=curve["profit"],
        mode="lines",
        line={"color": _ACCENT, "width": 2.5},
        hovertemplate="%{x:.0%} treated: %{y:,.4g}<extra></extra>",
    )
    rules = [row for row in facts["policies"] if row["is_rule"]]
    figure.add_scatter(
        x=[row["share_treated"] for row in rules],
        y=[row["profit"] for row in rules],
        mode="markers",
        marker={"size": 9, "color": "#ffffff", "line": {"color": INK, "width": 1.5}},
        text=[row["name"] for row in rules],
        hovertemplate="%{text}<extra></extra>",
    )
    figure.add_hline(y=0, line={"color": CONTROL_COLOUR, "dash": "dot", "width": 1})
    figure.add_vline(x=curve["best_share"], line={"color": INK, "dash": "dash", "width": 1})
    laid_out(figure, x="share of the units treated", height=_CURVE_PIXELS)
    figure.update_xaxes(range=[-0.01, 1.01], tickvals=[0.0, 0.2, 0.4, 0.6, 0.8, 1.0], tickformat=".0%")
    figure.update_yaxes(title_text="profit (money)", tickformat=",~g")
    caption = (
        f"Profit when the {facts['dim']}s of highest mean gain come first, each with its best treatment. Line: mean. "
        f"Dark: {outcome['interval']} credible intervals at each share. Light: the whole curve lies in it with that "
        f"probability. Dashed line: the share of highest mean profit, {curve['best_text']}. Circles: the rules."
    )
    at = {row["share"]: row["shown"]["profit"] for row in curve["rows"]}
    said = " ".join(f"At {share_of(one)} treated {text}." for one, text in at.items() if one in (0.5, 1.0))
    return Drawn(caption, f"Curve of profit by share treated, highest at {curve['best_text']}. {said}", figure)


def grid_figure(outcome: Facts) -> Drawn:
    """Profit and share treated at other values and costs."""
    facts = outcome["targeting"]["grid"]
    values, multipliers, cells = facts["values"], facts["cost_multipliers"], facts["cells"]
    figure = go.Figure(
        go.Heatmap(
            z=[[cell["profit"] for cell in row] for row in cells],
            x=list(range(len(multipliers))),
            y=list(range(len(values))),
            text=[[f"{cell['shown']['mean']}<br>{cell['shown']['share_treated']}" for cell in row] for row in cells],
            texttemplate="%{text}",
            textfont={"size": 12, "color": INK},
            colorscale=_SHADES,
            showscale=False,
            hoverinfo="skip",
            xgap=2,
            ygap=2,
        )
    )
    row, column = facts["stated"]
    half = 0.5
    corners = {"x0": column - half, "x1": column + half, "y0": row - half, "y1": row + half}
    figure.add_shape(type="rect", **corners, line={"color": INK, "width": 2})
    laid_out(figure, x="costs, times those stated", height=FRAME_PIXELS + _CELL_PIXELS * len(values))
    figure.update_xaxes(
        tickvals=list(range(len(multipliers))), ticktext=[f"{one:g}" for one in multipliers], showgrid=False
    )
    figure.update_yaxes(tickvals=list(range(len(values))), ticktext=[f"{one:g}" for one in values], showgrid=False)
    figure.update_yaxes(title_text="value of an outcome")
    caption = (
        f"Mean profit of the rule '{facts['rule']}', chosen anew at every price, and below it the "
        "share treated. Framed: the stated prices."
    )
    ends = [cells[0][-1], cells[-1][0]]
    said = " to ".join(f"{cell['shown']['mean']} ({cell['shown']['share_treated']} treated)" for cell in ends)
    return Drawn(caption, f"Heat map of profit by value and cost: from {said}.", figure)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _labels(x: Sequence[float], y: Sequence[float], texts: Sequence[str]) -> list[str]:
    """Labels of points, but for those that would cover another: ends first, then from the first one on."""
    wide, high = (max(values) - min(values) or 1.0 for values in (x, y))
    kept: list[int] = []
    for one in dict.fromkeys((0, len(x) - 1, *range(len(x)))):
        covers = any(
            abs(x[one] - x[other]) < _LABEL[0] * wide and abs(y[one] - y[other]) < _LABEL[1] * high for other in kept
        )
        if not covers:
            kept.append(one)
    return [text if place in kept else "" for place, text in enumerate(texts)]


def _sides(x: Sequence[float]) -> list[str]:
    """Where labels stand beside the points of a line that comes down: off the line before and after."""
    found = []
    for place, own in enumerate(x):
        before, after = x[max(place - 1, 0)], x[min(place + 1, len(x) - 1)]
        if before < own < after:
            found.append("top right")
        elif before > own > after:
            found.append("bottom right")
        else:
            found.append("middle left" if max(before, after) > own else "middle right")
    return found


def _roomy(values: Sequence[float], *, below: float = 1.0, above: float = 1.0) -> list[float]:
    """A range with room beside what is shown, for labels more; of one value alone, about it."""
    low, high = min(values), max(values)
    room = _ROOM * (high - low) or _ROOM * (abs(high) or 1.0)
    return [low - below * room, high + above * room]
