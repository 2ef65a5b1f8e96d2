"""One set of facts as HTML, Markdown and JSON."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from bayesuplift.errors import ArgumentError, listed
from bayesuplift.files import whole_or_nothing
from bayesuplift.report.content import Report
from bayesuplift.report.explanation import explaining_figures
from bayesuplift.report.facets import Drawn
from bayesuplift.report.figures import figures
from bayesuplift.report.pages import drawn_of_page, figure_of_page, part_of_page, template
from bayesuplift.report.segment_figures import segment_figures
from bayesuplift.report.targeting_sections import parts
from bayesuplift.report.unit_figures import unit_figures


def write_report(path: str | os.PathLike[str], report: Report) -> None:
    """Write a report; the ending of the path chooses HTML (.html), Markdown (.md) or JSON (.json).

    The HTML is one file that needs no network. The file appears under its name when it is complete.

    Raises
    ------
    ArgumentError
        Another ending.
    UnreadableFileError
        The file cannot be written.
    """
    target = Path(path)
    if target.suffix not in _RENDERERS:
        raise ArgumentError(f"cannot tell the format of {target}; end it with {listed(_RENDERERS)}")
    text = _RENDERERS[target.suffix](report.facts())
    with whole_or_nothing(target) as partial:
        partial.write_text(text, encoding="utf-8")


def to_json(facts: Mapping[str, Any]) -> str:
    """Write the facts as JSON; a number that JSON lacks, such as an infinite mean lift, is null."""
    return json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_markdown(facts: Mapping[str, Any]) -> str:
    """Write the facts as Markdown, without figures."""
    return template("report.md.jinja", escape=False).render(
        **facts, targeted=[parts(outcome) for outcome in facts["outcomes"]]
    )


def to_html(facts: Mapping[str, Any]) -> str:
    """Write the facts as one HTML page with its figures and the program that draws them."""
    drawn = [
        {heading: figure_of_page(figure) for heading, figure in figures(outcome).items()}
        for outcome in facts["outcomes"]
    ]
    of_segments = [_of_page(segment_figures(outcome)) for outcome in facts["outcomes"]]
    of_units = [_of_page(unit_figures(outcome)) for outcome in facts["outcomes"]]
    explaining = [[_of_page(of_arm) for of_arm in explaining_figures(outcome)] for outcome in facts["outcomes"]]
    targeted = [[part_of_page(part) for part in parts(outcome)] for outcome in facts["outcomes"]]
    page = template("report.html.jinja", escape=True)
    return page.render(
        **facts,
        drawn=drawn,
        of_segments=of_segments,
        of_units=of_units,
        explaining=explaining,
        targeted=targeted,
        plotly_program=get_plotlyjs(),
    )


def _of_page(drawn: list[Drawn]) -> list[dict[str, str]]:
    return [drawn_of_page(one) for one in drawn]


_RENDERERS: dict[str, Callable[[Mapping[str, Any]], str]] = {".html": to_html, ".md": to_markdown, ".json": to_json}
