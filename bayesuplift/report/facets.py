"""Parts that figures of who responds share: one column an arm, names of segments, and what a figure shows in words."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from bayesuplift.report.figures import CONTROL_COLOUR, colours, laid_out

Facts = Mapping[str, Any]

INK: Final = "#111827"
TITLE_PIXELS: Final = 24
_LONGEST_LABEL: Final = 70
_CURVE_PIXELS: Final = 320
_DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


class Drawn(NamedTuple):
    """A figure, what stands under its name, and what it shows for those who cannot see it."""

    caption: str
    alt: str
    figure: go.Figure


class Entry(NamedTuple):
    """A row of a forest: its label and one row of facts an arm; None for a gap."""

    label: str
    effects: Mapping[str, Facts] | None


def by_arm(effects: Sequence[Facts]) -> dict[str, Facts]:
    """Rows of effects by their arm."""
    return {effect["arm"]: effect for effect in effects}


def segment_name(factors: Sequence[str], levels: Sequence[str]) -> str:
    """Name of a segment on an axis: its levels, with the factor's name where a level is a bare number."""
    named = factors if len(factors) == len(levels) else [""] * len(levels)
    text = " · ".join(f"{f} {level}" if level.isnumeric() else level for f, level in zip(named, levels, strict=True))
    return text if len(text) <= _LONGEST_LABEL else f"{text[: _LONGEST_LABEL - 1]}…"


def extremes(entries: Sequence[Entry], arms: Sequence[str]) -> str:
    """The largest and the smallest effect of each arm, in words."""
    said = []
    for arm in arms:
        rows = [(one.label, one.effects[arm]) for one in entries if one.effects is not None]
        high, low = (pick(rows, key=lambda row: row[1]["difference"]) for pick in (max, min))
        said.append(f"{arm}: from {low[1]['shown']['effect']} ({low[0]}) to {high[1]['shown']['effect']} ({high[0]}).")
    return " ".join(said)


def facets(arms: Sequence[str], **options: Any) -> go.Figure:
    """One column an arm, on one ordinate."""
    return make_subplots(
        rows=1, cols=len(arms), shared_yaxes=True, subplot_titles=list(arms), horizontal_spacing=0.04, **options
    )


def falling(
    outcome: Facts, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, x: str, y: str
) -> go.Figure:
    """Probabilities by share of the units, one line of steps an arm: abscissas and ordinates of their corners."""
    paint, figure = colours(outcome), go.Figure()
    for (arm, (shares, chances)), dash in zip(curves.items(), _cycled(_DASHES), strict=False):
        figure.add_scatter(
            x=list(shares),
            y=list(chances),
            mode="lines",
            name=arm,
            line={"color": paint[arm], "width": 2.5, "dash": dash, "shape": "vh"},
            hoverinfo="skip",
        )
    figure.add_hline(y=0.95, line={"color": CONTROL_COLOUR, "dash": "dot", "width": 1})
    laid_out(figure, x=x, height=_CURVE_PIXELS, legend=True)
    figure.update_xaxes(range=[0.0, 1.005], tickvals=[0.0, 0.2, 0.4, 0.6, 0.8, 1.0], tickformat=".0%")
    figure.update_yaxes(range=[-0.02, 1.02], tickformat=".0%", title_text=escaped(y))
    return figure


def _cycled(values: Sequence[str]) -> Iterator[str]:
    while True:
        yield from values


def finished(figure: go.Figure, *, x: str, height: int) -> go.Figure:
    """The report's layout, with room for the names of the arms."""
    laid_out(figure, x=x, height=height)
    figure.update_layout(margin={"t": TITLE_PIXELS + 8})
    figure.update_annotations(font={"size": 13, "color": INK})
    return figure


def escaped(text: str) -> str:
    """Plotly reads a small part of HTML in its texts."""
    return text.replace("<", "&lt;").replace(">", "&gt;")
