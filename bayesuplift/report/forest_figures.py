"""Effects with their intervals in rows: of the levels of every factor, and of segments."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from bayesuplift.report.facets import (
    INK,
    TITLE_PIXELS,
    Drawn,
    Entry,
    by_arm,
    escaped,
    extremes,
    facets,
    finished,
    segment_name,
)
from bayesuplift.report.figures import FRAME_PIXELS, RAW, colours, scale_of
from bayesuplift.report.responders import MOST_LEVELS

Facts = Mapping[str, Any]

_ROW_PIXELS: Final = 22
_RAW_CROSS: Final = {**RAW, "size": 6, "line": {"width": 1.5}, "color": INK}


def level_forest(outcome: Facts, arms: Sequence[str]) -> Drawn:
    """Effects of some arms by level of every factor, beside the raw differences."""
    facts = outcome["responders"]
    entries: list[Entry] = []
    left_out = 0
    for factor in facts["factors"]:
        largest = sorted(factor["levels"], key=lambda one: -one["n"])[:MOST_LEVELS]
        left_out += len(factor["levels"]) - len(largest)
        entries += [Entry("", None)] if entries else []
        entries += [
            Entry(f"{factor['factor']}: {level['levels'][0]}", by_arm(level["effects"]))
            for level in factor["levels"]
            if any(level is one for one in largest)
        ]
    rest = f" Of factors with many levels the {MOST_LEVELS} largest are shown." if left_out else ""
    caption = (
        f"Effect on {outcome['name']} by level of each factor, against {outcome['control']}: posterior mean, 50% (thick) "
        f"and {outcome['interval']} (thin) credible intervals. Crosses: raw figures. {_lines_said(facts)}{rest}"
    )
    alt = f"Forest plot of effects by level of each factor. {extremes(entries, arms)}"
    return Drawn(caption, alt, _forest(outcome, entries, arms, raw=True))


def segment_forest(outcome: Facts, arms: Sequence[str]) -> Drawn:
    """Effects of some arms in the largest segments, sorted by the arm with the largest average effect."""
    facts = outcome["responders"]
    held = facts["segments"]
    rows = held["rows"][: held["most_rows"]]
    averages = {row["arm"]: row["difference"] for row in facts["average"]}
    leader = max(arms, key=lambda arm: averages[arm])
    ordered = sorted(rows, key=lambda one: -by_arm(one["effects"])[leader]["difference"])
    entries = [Entry(segment_name(held["factors"], one["levels"]), by_arm(one["effects"])) for one in ordered]
    count = held["left_out"]["segments"]
    which = f"the {len(rows)} largest segments" if count else "every segment"
    rest = (
        f" {count} smaller segments, {100 * held['left_out']['share']:.2g}% of the units, are left out."
        if count
        else ""
    )
    made_of = f" A segment is {', '.join(held['factors'])}." if held["factors"] else ""
    caption = (
        f"Effect on {outcome['name']} in {which}, sorted by the posterior mean under {leader}: 50% (thick) and "
        f"{outcome['interval']} (thin) credible intervals.{made_of}{rest} {_lines_said(facts)}"
    )
    alt = f"Forest plot of effects by segment. {extremes(entries, arms)}"
    return Drawn(caption, alt, _forest(outcome, entries, arms, raw=False))


def _lines_said(facts: Facts) -> str:
    breakeven = "breakeven" if facts["economics"] else "no effect"
    return f"Dashed line: average effect. Dotted line: {breakeven}."


def _marks(figure: go.Figure, facts: Facts, arm: str, column: int, factor: float) -> None:
    """Lines of the average effect and of the effect from which an arm pays."""
    average = next(row["difference"] for row in facts["average"] if row["arm"] == arm)
    figure.add_vline(x=factor * average, line={"color": INK, "dash": "dash", "width": 1}, row=1, col=column)
    figure.add_vline(
        x=factor * facts["breakeven"][arm], line={"color": INK, "dash": "dot", "width": 1.5}, row=1, col=column
    )


def _forest(outcome: Facts, entries: Sequence[Entry], arms: Sequence[str], *, raw: bool) -> go.Figure:
    factor, _, unit = scale_of(outcome)
    paint = colours(outcome)
    figure = facets(arms, shared_xaxes=True)
    # labels stand at numbers: two that were cut short alike stay two rows
    places = [len(entries) - i for i in range(len(entries))]
    for column, arm in enumerate(arms, start=1):
        held = [(y, one.label, one.effects[arm]) for y, one in zip(places, entries, strict=True) if one.effects]
        # lines, not error bars: the mean of a skewed posterior may lie outside its inner interval
        for part, width in (("", 1.5), ("_half", 5.0)):
            ends = [[factor * row[f"difference{part}_{end}"] for end in ("lower", "upper")] for _, _, row in held]
            figure.add_scatter(
                x=[value for pair in ends for value in (*pair, None)],
                y=[value for y, _, _ in held for value in (y, y, None)],
                mode="lines",
                line={"color": paint[arm], "width": width},
                hoverinfo="skip",
                showlegend=False,
                row=1,
                col=column,
            )
        figure.add_scatter(
            x=[factor * row["difference"] for _, _, row in held],
            y=[y for y, _, _ in held],
            mode="markers",
            marker={"size": 8, "color": paint[arm], "line": {"width": 1, "color": "#ffffff"}},
            customdata=[[label, row["shown"]["difference"], row["shown"]["prob_gain"]] for _, label, row in held],
            hovertemplate="%{customdata[0]}: %{customdata[1]}, "
            + escaped(outcome["responders"]["question"])
            + " %{customdata[2]}<extra></extra>",
            showlegend=False,
            row=1,
            col=column,
        )
        known = [(y, row["raw_difference"]) for y, _, row in held if "raw_difference" in row] if raw else []
        figure.add_scatter(
            x=[factor * value for _, value in known],
            y=[y for y, _ in known],
            mode="markers",
            marker=_RAW_CROSS,
            hoverinfo="skip",
            showlegend=False,
            row=1,
            col=column,
        )
        _marks(figure, outcome["responders"], arm, column, factor)
    height = FRAME_PIXELS + TITLE_PIXELS + _ROW_PIXELS * len(entries)
    finished(figure, x=unit, height=height)  # short: columns are narrow in print
    figure.update_yaxes(range=[0.25, len(entries) + 0.75], showgrid=False, zeroline=False)
    figure.update_yaxes(tickvals=places, ticktext=[one.label for one in entries], tickfont={"size": 11}, col=1)
    figure.update_xaxes(rangemode="tozero", matches="x")
    return figure
