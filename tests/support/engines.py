"""The same table in every engine that a caller may bring."""

from pathlib import Path
from typing import Any, Final

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

ENGINES: Final = ("pandas", "polars", "polars lazy", "pyarrow", "duckdb", "csv path", "csv.gz path", "parquet path")
CHEAP: Final = ("pandas", "polars lazy", "csv path")


def in_engine(table: pd.DataFrame, engine: str, folder: Path) -> Any:
    """The table in this engine, or the path of a file that holds it."""
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    match engine:
        case "pandas":
            return table
        case "polars":
            return pl.from_arrow(arrow)
        case "polars lazy":
            return pl.LazyFrame(pl.from_arrow(arrow))
        case "pyarrow":
            return arrow
        case "duckdb":
            return duckdb.connect().from_arrow(arrow)
        case "csv path":
            return written(table, folder / "table.csv")
        case "csv.gz path":
            return str(written(table, folder / "table.csv.gz"))
        case "parquet path":
            pq.write_table(arrow, folder / "table.parquet")
            return str(folder / "table.parquet")
    raise ValueError(engine)


def written(table: pd.DataFrame, path: Path) -> Path:
    table.to_csv(path, index=False)
    return path
