"""What commands print alike."""

import json
from typing import Any

import click

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON instead of a table.")


def print_json(content: Any) -> None:
    """Facts as JSON on standard output."""
    click.echo(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))


def aligned(rows: list[list[str]]) -> list[str]:
    """Lines of a table: the first column to the left, the others to the right, each as wide as its widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
