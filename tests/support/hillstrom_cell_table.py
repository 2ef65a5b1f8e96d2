"""Makes the bundled cell table of the e-mail test from the published file, by exact sums over plain rows.

Run from the project's root: python -m tests.support.hillstrom_cell_table [path of the published file]
"""

import csv
import io
import math
import sys
from collections import defaultdict
from fractions import Fraction
from pathlib import Path

import pandas as pd

from bayesuplift.data import datasets

BUNDLED = Path(datasets.__file__).parent / "bundled" / "hillstrom_cells.csv"
KEYS = ("merchandise", "newbie", "channel", "zip_area", "arm")
MERCHANDISE = {(1, 0): "mens", (0, 1): "womens", (1, 1): "both"}


def squared_deviations(values: list[float]) -> float:
    """Exact about the exact mean, rounded once."""
    if not values:
        return 0.0
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    return float(sum(((value - mean) ** 2 for value in exact), Fraction(0)))


def cell_rows(table: pd.DataFrame) -> list[dict[str, object]]:
    """One row for each cell, in the order of the keys."""
    cells = defaultdict(list)
    columns = ("mens", "womens", "newbie", "channel", "zip_code", "segment", "visit", "conversion", "spend")
    for mens, womens, newbie, channel, area, arm, *outcomes in zip(*(table[name] for name in columns), strict=True):
        cells[MERCHANDISE[int(mens), int(womens)], str(newbie), channel, area, arm].append(outcomes)
    rows = []
    for key in sorted(cells):
        visits, conversions, spends = zip(*cells[key], strict=True)
        amounts = [float(value) for value in spends]
        logs = [math.log(value) for value in amounts if value > 0]
        rows.append(
            dict(zip(KEYS, key, strict=True))
            | {
                "n": len(amounts),
                "visits": sum(map(int, visits)),
                "conversions": sum(map(int, conversions)),
                "spenders": len(logs),
                "spend_total": math.fsum(amounts),
                "spend_sum_squared_deviations": squared_deviations(amounts),
                "spend_total_log": math.fsum(logs),
                "spend_sum_squared_log_deviations": squared_deviations(logs),
                "spend_maximum": max(amounts),
            }
        )
    return rows


def cell_text(table: pd.DataFrame) -> str:
    """The bundled file's text; repr keeps every digit of a float."""
    rows = cell_rows(table)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


if __name__ == "__main__":
    BUNDLED.write_text(cell_text(datasets.hillstrom(sys.argv[1] if len(sys.argv) > 1 else None)), encoding="utf-8")
