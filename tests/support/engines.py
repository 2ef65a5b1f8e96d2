"""The same table in every engine that a caller may bring."""

from collections.abc import Callable
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
    makers: dict[str, Callable[[], Any]] = {
        "pandas": lambda: table,
        "polars": lambda: pl.from_arrow(arrow),
        "polars lazy": lambda: pl.LazyFrame(pl.from_arrow(arrow)),
        "pyarrow": lambda: arrow,
        "duckdb": lambda: duckdb.connect().from_arrow(arrow),
        "csv path": lambda: written(table, folder / "table.csv"),
        "csv.gz path": lambda: str(written(table, folder / "table.csv.gz")),
        "parquet path": lambda: written(table, folder / "table.parquet"),
    }
    return makers[engine]()


def written(table: pd.DataFrame, path: Path) -> Path:
    """The table as a file of the suffix's format."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path)
    else:
        table.to_csv(path, index=False)
    return path
