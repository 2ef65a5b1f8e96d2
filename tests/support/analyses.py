"""A small table of counts and its analysis file, written where a test asks."""

from pathlib import Path

COUNTS = """arm,channel,n,orders
control,Phone,1000,100
control,Web,1200,90
offer,Phone,1010,150
offer,Web,1190,140
"""

ANALYSIS = """
[data]
path = "counts.csv"
arm = "arm"
control = "control"
trials = "n"
segments = ["channel"]
intended_split = { control = 1, offer = 1 }

[[outcome]]
name = "order"
column = "orders"
kind = "binary"
threshold_of_caring = 0.001

[model]
seed = 7
"""


def written(folder: Path, *, analysis: str = ANALYSIS, counts: str = COUNTS) -> Path:
    """Write both files; return the analysis file's path."""
    (folder / "counts.csv").write_text(counts, encoding="utf-8")
    path = folder / "offer.toml"
    path.write_text(analysis, encoding="utf-8")
    return path
