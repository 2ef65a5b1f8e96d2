"""The same table in every engine that a caller may bring."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.spark import in_spark

# narwhals announces that its support of Dask moves into a package that is not published yet: nothing here can act on it.
_DASK: Final = pytest.mark.filterwarnings("ignore:Dask support is moving out of Narwhals:FutureWarning")

ENGINES: Final[tuple[Any, ...]] = (
    *("pandas", "polars", "polars lazy", "pyarrow", "duckdb", "csv path", "csv.gz path", "parquet path"),
    pytest.param("dask", marks=_DASK),
    pytest.param("pyspark", marks=pytest.mark.spark),
)
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
        "dask": lambda: in_dask(table),
        "pyspark": lambda: in_spark(arrow),
    }
    return makers[engine]()


def written(table: pd.DataFrame, path: Path) -> Path:
    """The table as a file of the suffix's format."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path)
    else:
        table.to_csv(path, index=False)
    return path


def in_dask(table: pd.DataFrame, partitions: int = 3) -> Any:
    """The table in Dask, in several partitions."""
    import dask.dataframe  # noqa: PLC0415 - takes a second, which only its own tests need to wait

    made: Any = dask.dataframe
    return made.from_pandas(table, npartitions=partitions, sort=False)


def as_told_by(engine: str, words: str) -> str:
    """A pattern of an error's words, as this engine can tell it: rows in Spark have no order, hence no number."""
    return words.partition(r", first in data row")[0] if engine == "pyspark" else words
