"""Markdown tables, and their places in README.md."""

from collections.abc import Sequence
from pathlib import Path

README = Path(__file__).resolve().parent / "README.md"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows])


def put(place: str, text: str) -> None:
    """Replace what README.md has between the two marks of that place."""
    begin, end = f"<!-- {place}: begin -->", f"<!-- {place}: end -->"
    before, _, rest = README.read_text().partition(begin)
    after = rest.partition(end)[2]
    README.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")
