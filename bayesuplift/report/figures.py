"""Figures of a report, drawn from its facts alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

# Okabe and Ito's colours, told apart by colour-blind readers and in grey print; the control is grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
CONTROL_COLOUR = "#6B7280"
RAW = {"symbol": "x-thin", "size": 9, "line": {"width": 2}}
ROW_PIXELS = 34
FRAME_PIXELS = 96
_FEWEST_LEVELS = 2
_ROOM_FOR_LABELS = 1.25  # of the longest bar, to its right

Facts = Mapping[str, Any]


def figures(outcome: Facts) -> dict[str, go.Figure]:
    """Figures of one outcome, by caption, in reading order."""
    name, control, interval = outcome["name"], outcome["control"], outcome["interval"]
    drawn = {
        f"Posterior of the mean {name} under each arm. Crosses: raw figures.": _densities(outcome),
        f"Effect on {name}, against {control}, with {interval} credible intervals. Crosses: raw figures.": _effects(
            outcome
        ),
        "Probability of being the best arm.": _probabilities(outcome),
        "Expected loss of choosing the arm. Dotted line: threshold of caring.": _losses(outcome),
    }
    # one figure of all levels together takes the place of these where segments are pooled
    for segmentation in () if outcome["responders"] else outcome["segmentations"]:
        if len(segmentation["levels"]) >= _FEWEST_LEVELS:
            caption = f"Effect on {name} by {segmentation['factor']}, against {control}. Crosses: raw figures."
            drawn[caption] = _segments(outcome, segmentation)
    return drawn


def colours(outcome: Facts) -> dict[str, str]:
    """One colour an arm, the same in every figure."""
    treatments = [row["arm"] for row in outcome["arms"] if not row["is_control"]]
    return {outcome["control"]: CONTROL_COLOUR} | {arm: _COLOURS[i % len(_COLOURS)] for i, arm in enumerate(treatments)}


def scale_of(outcome: Facts) -> tuple[float, str, str]:
    """Factor, unit of levels, unit of differences."""
    unit = outcome["unit"]
    return (100.0, "%", "percentage points") if outcome["kind"] == "binary" else (1.0, unit, unit)


def laid_out(figure: go.Figure, *, x: str, height: int, legend: bool = False) -> go.Figure:
    """Give a figure the report's fonts and margins, a title of its abscissa and a height in pixels; zooming is off."""
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 8, "r": 16, "t": 12, "b": 8},
        font={"family": "system-ui, -apple-system, 'Segoe UI', sans-serif", "size": 13, "color": "#1f2937"},
        showlegend=legend,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        dragmode=False,
    )
    figure.update_xaxes(title_text=x, automargin=True, fixedrange=True, zeroline=False)
    figure.update_yaxes(automargin=True, fixedrange=True)
    return figure


def _densities(outcome: Facts) -> go.Figure:
    factor, unit, _ = scale_of(outcome)
    paint = colours(outcome)
    figure = go.Figure()
    x = [factor * value for value in outcome["density"]["x"]]
    for arm, curve in outcome["density"]["arms"].items():
        figure.add_scatter(
            x=x,
            y=curve,
            mode="lines",
            name=arm,
            line={"color": paint[arm], "width": 2},
            fill="tozeroy",
            hovertemplate=f"{arm}: %{{x:.4g}}<extra></extra>",
        )
    for row in outcome["arms"]:
        if row.get("raw_mean") is not None:
            figure.add_scatter(
                x=[factor * row["raw_mean"]],
                y=[0],
                mode="markers",
                marker=RAW | {"color": paint[row["arm"]]},
                showlegend=False,
                hovertemplate=f"{row['arm']}, raw: %{{x:.4g}}<extra></extra>",
            )
    figure.update_yaxes(visible=False)
    return laid_out(figure, x=f"{outcome['name']} ({unit})", height=300, legend=True)


def _interval(figure: go.Figure, rows: Sequence[Facts], names: Sequence[str], *, factor: float, colour: str) -> None:
    """Points with credible intervals, and the raw figures as crosses."""
    quantity = "difference"
    middle = [factor * row[quantity] for row in rows]
    figure.add_scatter(
        x=middle,
        y=list(names),
        mode="markers",
        marker={"size": 9, "color": colour},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [factor * row[f"{quantity}_upper"] - m for row, m in zip(rows, middle, strict=True)],
            "arrayminus": [m - factor * row[f"{quantity}_lower"] for row, m in zip(rows, middle, strict=True)],
            "thickness": 2,
            "width": 5,
        },
        hovertemplate="%{y}: %{x:.4g}<extra></extra>",
        showlegend=False,
    )
    known = [
        (row[f"raw_{quantity}"], name)
        for row, name in zip(rows, names, strict=True)
        if row.get(f"raw_{quantity}") is not None
    ]
    figure.add_scatter(
        x=[factor * value for value, _ in known],
        y=[name for _, name in known],
        mode="markers",
        marker=RAW | {"color": "#111827"},
        hovertemplate="%{y}, raw: %{x:.4g}<extra></extra>",
        showlegend=False,
    )


def _effects(outcome: Facts) -> go.Figure:
    factor, _, unit = scale_of(outcome)
    figure = go.Figure()
    treatments = [row for row in outcome["arms"] if not row["is_control"]]
    paint = colours(outcome)
    for row in reversed(treatments):
        _interval(figure, [row], [row["arm"]], factor=factor, colour=paint[row["arm"]])
    figure.add_vline(x=0, line={"color": CONTROL_COLOUR, "dash": "dot"})
    return laid_out(figure, x=f"difference ({unit})", height=FRAME_PIXELS + ROW_PIXELS * len(treatments))


def _bars(outcome: Facts, values: list[float], labels: list[str], x: str) -> go.Figure:
    paint = colours(outcome)
    names = [row["arm"] for row in outcome["arms"]]
    figure = go.Figure(
        go.Bar(
            x=values[::-1],
            y=names[::-1],
            orientation="h",
            marker={"color": [paint[name] for name in names[::-1]]},
            text=labels[::-1],
            textposition="outside",  # inside, the label of an empty bar would vanish
            cliponaxis=False,
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    figure.update_xaxes(range=[0.0, _ROOM_FOR_LABELS * (max(values) or 1.0)])
    return laid_out(figure, x=x, height=FRAME_PIXELS + ROW_PIXELS * len(names))


def _probabilities(outcome: Facts) -> go.Figure:
    rows = outcome["arms"]
    figure = _bars(outcome, [row["prob_best"] for row in rows], [row["shown"]["prob_best"] for row in rows], "P(best)")
    figure.update_xaxes(range=[0.0, _ROOM_FOR_LABELS], tickvals=[0.0, 0.25, 0.5, 0.75, 1.0], tickformat=".0%")
    return figure


def _losses(outcome: Facts) -> go.Figure:
    factor, _, unit = scale_of(outcome)
    rows = outcome["arms"]
    figure = _bars(
        outcome,
        [factor * row["expected_loss"] for row in rows],
        [row["shown"]["expected_loss"] for row in rows],
        f"expected loss ({unit})",
    )
    threshold = outcome["options"].get("threshold_of_caring")
    if threshold is not None:
        figure.add_vline(x=factor * threshold, line={"color": "#111827", "dash": "dot"})
    return figure


def _segments(outcome: Facts, segmentation: Facts) -> go.Figure:
    factor, _, unit = scale_of(outcome)
    paint = colours(outcome)
    figure = go.Figure()
    treatments = [row["arm"] for row in outcome["arms"] if not row["is_control"]]
    names: list[str] = []
    for level in reversed(segmentation["levels"]):
        for arm in reversed(treatments):
            row = next(one for one in level["arms"] if one["arm"] == arm)
            name = f"{level['level']} · {arm}"
            names.append(name)
            _interval(figure, [row], [name], factor=factor, colour=paint[arm])
    figure.add_vline(x=0, line={"color": CONTROL_COLOUR, "dash": "dot"})
    figure.update_yaxes(categoryorder="array", categoryarray=names)
    return laid_out(figure, x=f"difference ({unit})", height=FRAME_PIXELS + ROW_PIXELS * len(names))
