"""The diagram of a tree: where its nodes stand, and the lines between them with their answers."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from bayesuplift.report.facets import INK, escaped

Facts = Mapping[str, Any]

_SMALL: Final = 11  # pixels of type
_LONGEST: Final = 60


def tree_places(nodes: Sequence[Facts], height: Mapping[int, int]) -> dict[int, tuple[float, float]]:
    """Abscissa, steps from the root, and ordinate, between what hangs below, of every node."""
    depth: dict[int, int] = {}
    for node in nodes:
        depth[node["node"]] = 0 if node["parent"] is None else depth[node["parent"]] + 1
    at: dict[int, float] = {}
    for node in reversed(nodes):
        below = [at[one["node"]] for one in nodes if one["parent"] == node["node"]]
        at[node["node"]] = sum(below) / len(below) if below else float(height[node["leaf"]])
    return {number: (float(depth[number]), at[number]) for number in depth}


def draw_branch(figure: go.Figure, node: Facts, places: Mapping[int, tuple[float, float]]) -> None:
    """The line that leads to a node, with the answer upon it."""
    if node["parent"] is None:
        return
    (x0, y0), (x1, y1) = places[node["parent"]], places[node["node"]]
    figure.add_scatter(
        x=[x0, x0, x1], y=[y0, y1, y1], mode="lines", line={"color": INK, "width": 1.5}, hoverinfo="skip", row=1, col=1
    )
    figure.add_annotation(
        x=x0 + 0.03,
        y=y1,
        text=escaped(short(node["answer"])),
        hovertext=escaped(node["answer"]),
        showarrow=False,
        xanchor="left",
        yanchor="bottom",
        font={"size": _SMALL},
        row=1,
        col=1,
    )


def short(text: str) -> str:
    """An answer, cut where it is too long for a line of the diagram."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
