"""A figure of who would respond in any case, drawn from the facts alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import plotly.graph_objects as go

from bayesuplift.decisions.targeting.buckets import BUCKETS
from bayesuplift.report.facets import INK, TITLE_PIXELS, Drawn, facets, finished
from bayesuplift.report.figures import colours
from bayesuplift.report.receiver_figures import BARE_PIXELS, LEGEND_PIXELS, with_legend
from bayesuplift.report.responders import MOST_LEVELS

Facts = Mapping[str, Any]

_ROW_PIXELS: Final = 30
_APART: Final = 0.34  # of a row, between its first and last arm
_DIAMOND: Final = {"symbol": "diamond", "size": 7, "color": "#ffffff", "line": {"width": 1.2, "color": INK}}


class _Level(NamedTuple):
    """A level of a factor, or everybody: its label, and one row of facts an arm."""

    label: str
    arms: Sequence[Facts]


def bucket_figure(outcome: Facts) -> Drawn:
    """Bounds of the four buckets by level, and what closes them under an assumption."""
    facts, paint = outcome["targeting"]["buckets"], colours(outcome)
    levels = [level for one in facts["factors"] for level in _levels(one)]
    figure = facets(BUCKETS)
    for column, bucket in enumerate(BUCKETS, start=1):
        for place, row in enumerate(levels[0].arms):
            _of_arm(figure, levels, place, bucket, column=column, colour=paint[row["arm"]])
    height = BARE_PIXELS + TITLE_PIXELS + LEGEND_PIXELS + _ROW_PIXELS * len(levels)
    finished(figure, x="", height=height)
    with_legend(figure, height)
    # shares of a few percent and of nearly all stand beside each other: each bucket has a range of its own
    figure.update_xaxes(tickformat="~g", nticks=4)
    figure.update_yaxes(range=[0.4, len(levels) + 0.6], showgrid=False, zeroline=False)
    figure.update_yaxes(showticklabels=False)
    labels = [level.label for level in levels]
    figure.update_yaxes(tickvals=_heights(levels), ticktext=labels, tickfont={"size": 11}, showticklabels=True, col=1)
    said = " ".join(
        f"{row['arm']}, {level.label}: persuadable {row['buckets'][BUCKETS[0]]['shown']}."
        for level in levels[:2]
        for row in level.arms
    )
    alt = f"Ranges of the shares of four buckets by level. {said}"
    return Drawn(_caption(outcome, facts, levels), alt, figure)


def _caption(outcome: Facts, facts: Facts, levels: Sequence[_Level]) -> str:
    closed = any(row["closed"] is not None for level in levels for row in level.arms)
    assumed = (
        " Diamonds: the shares if the treatment prevents nobody's outcome, which the data cannot show."
        if closed
        else ""
    )
    every = sum(len({row["level"] for row in one["rows"]}) for one in facts["factors"])
    rest = f" Of factors with many levels the {MOST_LEVELS} largest are shown." if every > len(levels) else ""
    return (
        f"Two rates do not tell how outcomes under {outcome['control']} and under a treatment go together: thick lines are "
        f"bounds, in percent of the units, and no unit is put in a bucket. Thin lines: with {outcome['interval']} credible "
        f"intervals of the bounds.{assumed}{rest}"
    )


def _levels(facts: Facts) -> Iterator[_Level]:
    """The largest levels of a factor, in their order."""
    units = {row["level"]: row["n"] for row in facts["rows"]}
    largest = sorted(units, key=lambda level: -units[level])[:MOST_LEVELS]
    for level in units:
        if level in largest:
            label = level if facts["factor"] is None else f"{facts['factor']}: {level}"
            yield _Level(label, [row for row in facts["rows"] if row["level"] == level])


def _heights(levels: Sequence[_Level]) -> list[int]:
    """Ordinates of the levels, the first one on top."""
    return [len(levels) - place for place in range(len(levels))]


def _of_arm(figure: go.Figure, levels: Sequence[_Level], place: int, bucket: str, *, column: int, colour: str) -> None:
    """Bounds of one bucket under one arm, in the arm's place within every row."""
    away = _APART * (0.5 - (place + 0.5) / len(levels[0].arms))
    held = [(height + away, level.arms[place]) for height, level in zip(_heights(levels), levels, strict=True)]
    arm = levels[0].arms[place]["arm"]
    for ends, width in ((("lower_lower", "upper_upper"), 1.5), (("lower", "upper"), 6.0)):
        bounds = [[100.0 * row["buckets"][bucket][end] for end in ends] for _, row in held]
        figure.add_scatter(
            x=[value for pair in bounds for value in (*pair, None)],
            y=[value for y, _ in held for value in (y, y, None)],
            mode="lines",
            line={"color": colour, "width": width},
            name=arm,
            legendgroup=arm,
            showlegend=column == 1 and "lower" in ends,
            hoverinfo="skip",
            row=1,
            col=column,
        )
    closed = [(y, row["closed"][bucket]["lower"]) for y, row in held if row["closed"] is not None]
    figure.add_scatter(
        x=[100.0 * share for _, share in closed],
        y=[y for y, _ in closed],
        mode="markers",
        marker=_DIAMOND,
        hovertemplate="%{x:.3g}% without sleeping dogs<extra></extra>",
        showlegend=False,
        row=1,
        col=column,
    )
