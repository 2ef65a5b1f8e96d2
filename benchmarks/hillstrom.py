"""The e-mail test of MineThatData as the benchmarks of pooled models take it: visits, six factors, 237 segments."""

import os
from pathlib import Path

import bayesuplift as bu
from bayesuplift.data.cells import Cells

FACTORS = ("newbie", "channel", "zip_code", "history_segment", "mens", "womens")
FOLDER = Path(os.environ.get("BAYESUPLIFT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def visits() -> Cells:
    """Visits by segment and arm, from the folder of study files, else from the publisher."""
    file = FOLDER / "hillstrom.parquet"
    return bu.read_cells(
        bu.datasets.hillstrom(file if file.exists() else None),
        arm="segment",
        control="No E-Mail",
        outcome="visit",
        kind="binary",
        segments=list(FACTORS),
    )
