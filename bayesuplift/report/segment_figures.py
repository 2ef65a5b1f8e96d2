"""Figures of who responds, drawn from the facts alone: place, dash and shade tell arms apart, and grey print keeps them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bayesuplift.report.facets import (
    INK,
    TITLE_PIXELS,
    Drawn,
    Entry,
    by_arm,
    escaped,
    extremes,
    facets,
    falling,
    finished,
    segment_name,
)
from bayesuplift.report.figures import FRAME_PIXELS, colours, scale_of
from bayesuplift.report.forest_figures import level_forest, segment_forest

Facts = Mapping[str, Any]

_COLUMNS: Final = 3  # arms side by side; more are drawn in another figure
_CELL_PIXELS: Final = 46
_SHRINKAGE_PIXELS: Final = 380
_LARGEST_DOT: Final = 18  # pixels across
# Light enough for black figures on the darkest; they stand in every cell, so that shade alone tells nothing.
_SHADES: Final = ((0.0, "#ffffff"), (1.0, "#86b3dd"))


def segment_figures(outcome: Facts) -> list[Drawn]:
    """Figures of an outcome's `responders`, in reading order; none where there are none."""
    facts = outcome["responders"]
    if facts is None:
        return []
    arms = [row["arm"] for row in facts["average"]]
    blocks = [arms[i : i + _COLUMNS] for i in range(0, len(arms), _COLUMNS)]
    drawn: list[Drawn] = []
    for block in blocks:
        if facts["factors"]:
            drawn.append(level_forest(outcome, block))
        if facts["interaction"]:
            drawn.append(_interaction(outcome, block))
    of_units = outcome["units"] is not None
    if not of_units:  # else the same is told unit by unit
        drawn.append(_paying(outcome, arms))
    for block in blocks:
        drawn.append(segment_forest(outcome, block))
        if not of_units and any(
            "raw_difference" in effect for one in facts["segments"]["rows"] for effect in one["effects"]
        ):
            drawn.append(_shrinkage(outcome, block))
    return drawn


def _shrinkage(outcome: Facts, arms: Sequence[str]) -> Drawn:
    factor, _, unit = scale_of(outcome)
    paint, rows = colours(outcome), outcome["responders"]["segments"]["rows"]
    largest, held_by = max(one["n"] for one in rows), outcome["responders"]["segments"]["factors"]
    figure = facets(arms, shared_xaxes=True)
    for column, arm in enumerate(arms, start=1):
        held = [(one, by_arm(one["effects"])[arm]) for one in rows]
        known = [(one, row) for one, row in held if "raw_difference" in row]
        figure.add_scatter(
            x=[factor * row["raw_difference"] for _, row in known],
            y=[factor * row["difference"] for _, row in known],
            mode="markers",
            marker={
                "size": [max(one["n"], 1) for one, _ in known],
                "sizemode": "area",
                "sizeref": max(largest, 1) / _LARGEST_DOT**2 * 2.0,
                "sizemin": 1.5,
                "color": paint[arm],
                "opacity": 0.55,
                "line": {"width": 0.5, "color": INK},
            },
            customdata=[[segment_name(held_by, one["levels"]), one["n"]] for one, _ in known],
            hovertemplate="%{customdata[0]}, %{customdata[1]:,} units: raw %{x:.3g}, pooled %{y:.3g}<extra></extra>",
            showlegend=False,
            row=1,
            col=column,
        )
        shown = [factor * row["difference"] for _, row in known] or [0.0]
        ends = [min(shown), max(shown)]
        figure.add_scatter(
            x=ends,
            y=ends,
            mode="lines",
            line={"color": INK, "width": 1},
            hoverinfo="skip",
            showlegend=False,
            row=1,
            col=column,
        )
        average = next(row["difference"] for row in outcome["responders"]["average"] if row["arm"] == arm)
        figure.add_hline(y=factor * average, line={"color": INK, "dash": "dash", "width": 1}, row=1, col=column)
    finished(figure, x=f"raw difference ({unit})", height=_SHRINKAGE_PIXELS)
    figure.update_yaxes(title_text=f"pooled effect ({unit})", col=1)
    caption = (
        f"What pooling does: the pooled effect on {outcome['name']} in every segment beside its raw difference. A dot's "
        "area is its units. Solid line: no pooling. Dashed line: average effect. Segments are drawn away from the solid "
        "line, the small ones most, towards what the levels of their factors say."
    )
    alt = (
        "Scatter of pooled effects against raw differences by segment: raw differences of small segments lie far apart, "
        "and their pooled effects close together."
    )
    return Drawn(caption, alt, figure)


def _interaction(outcome: Facts, arms: Sequence[str]) -> Drawn:
    facts = outcome["responders"]
    crossed, (factor, _, _) = facts["interaction"], scale_of(outcome)
    names, levels = crossed["factors"], crossed["levels"]
    figure = facets(arms)
    cells = {tuple(one["levels"]): one for one in crossed["cells"]}
    for column, arm in enumerate(arms, start=1):
        values: list[list[float | None]] = []
        texts: list[list[str]] = []
        for row in levels[0]:
            found = [cells.get((row, of)) for of in levels[1]]
            effects = [None if one is None else by_arm(one["effects"])[arm] for one in found]
            values.append([None if one is None else factor * one["difference"] for one in effects])
            texts.append(["" if one is None else _in_cell(one["shown"]) for one in effects])
        figure.add_heatmap(
            z=values,
            x=list(range(len(levels[1]))),
            y=list(range(len(levels[0]))),
            text=texts,
            texttemplate="%{text}",
            textfont={"size": 12, "color": INK},
            coloraxis="coloraxis",
            hoverinfo="skip",
            xgap=2,
            ygap=2,
            row=1,
            col=column,
        )
    height = FRAME_PIXELS + TITLE_PIXELS + _CELL_PIXELS * len(levels[0])
    finished(figure, x=names[1], height=height)
    figure.update_xaxes(tickvals=list(range(len(levels[1]))), ticktext=levels[1], showgrid=False)
    figure.update_yaxes(tickvals=list(range(len(levels[0]))), ticktext=levels[0], showgrid=False, autorange="reversed")
    figure.update_yaxes(title_text=names[0], col=1)
    shades = [list(one) for one in _SHADES]
    # without a bar of colours: the figures stand in the cells, and in print they need its room
    figure.update_layout(coloraxis={"colorscale": shades, "showscale": False})
    caption = (
        f"Effect on {outcome['name']} by {names[0]} and {names[1]}, the two factors that tell effects apart most, with "
        f"{facts['question']} below it. An empty field: nobody."
    )
    entries = [Entry(f"{names[0]} {a}, {names[1]} {b}", by_arm(one["effects"])) for (a, b), one in cells.items()]
    return Drawn(caption, f"Heat map of effects by two factors. {extremes(entries, arms)}", figure)


def _paying(outcome: Facts, arms: Sequence[str]) -> Drawn:
    facts = outcome["responders"]
    curves = {}
    for arm in arms:
        rows = [(one, by_arm(one["effects"])[arm]) for one in facts["segments"]["rows"]]
        rows.sort(key=lambda row: -row[1]["prob_gain"])
        edges = [0.0]
        for one, _ in rows:
            edges.append(edges[-1] + one["share"])
        curves[arm] = edges, [rows[0][1]["prob_gain"], *(row["prob_gain"] for _, row in rows)]
    figure = falling(
        outcome, curves, x="share of the units, segments with the highest probability first", y=facts["question"]
    )
    caption = (
        f"For how many it pays: {facts['question']} in every segment, sorted; a step is as wide as its segment. Dotted "
        "line: 95%."
    )
    words = [one for one in facts["sentences"] if facts["question"] in one]
    return Drawn(caption, f"Falling steps, one line an arm. {' '.join(words)}", figure)


def _in_cell(shown: Mapping[str, str]) -> str:
    return f"{shown['effect']}<br>{escaped(shown['prob_gain'])}"
