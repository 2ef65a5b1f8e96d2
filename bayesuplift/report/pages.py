"""What pages are made of, whatever they tell: parts of sentences, tables and figures, and templates."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import jinja2
import plotly.graph_objects as go
import plotly.io

from bayesuplift.report.facets import Drawn
from bayesuplift.report.tables import Table

_CONFIG: Final = {"displayModeBar": False, "responsive": True, "scrollZoom": False}


@dataclass(frozen=True, eq=False)
class Part:
    """One part of what is told.

    Parameters
    ----------
    heading
        Its heading.
    sentences
        What is said before figures and tables.
    tables
        Its tables.
    draw
        Makes its figures; they take time, and text does not need them.
    """

    heading: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]
    draw: Callable[[], list[Drawn]]


def part_of_page(part: Part) -> dict[str, Any]:
    """A part with its figures drawn."""
    shown = {"heading": part.heading, "sentences": part.sentences, "tables": part.tables}
    return shown | {"drawn": [drawn_of_page(one) for one in part.draw()]}


def drawn_of_page(one: Drawn) -> dict[str, str]:
    """A figure as a part of the page, with what stands under it and what it shows."""
    return {"caption": one.caption, "alt": one.alt, "html": figure_of_page(one.figure)}


def figure_of_page(figure: go.Figure) -> str:
    """The HTML of a figure, without the program that draws it."""
    return str(plotly.io.to_html(figure, include_plotlyjs=False, full_html=False, config=_CONFIG, default_width="100%"))


def template(name: str, *, escape: bool) -> jinja2.Template:
    """A template of the report; in one of a page names are escaped, in one of text the filter `cell` does so."""
    environment = jinja2.Environment(
        autoescape=escape,  # noqa: S701 -- Markdown is text; the page escapes
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        loader=jinja2.PackageLoader("bayesuplift.report"),
    )
    environment.filters["cell"] = _cell
    return environment.get_template(name)


def _cell(text: str) -> str:
    """Escape a name for a Markdown table or heading."""
    return str(text).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
