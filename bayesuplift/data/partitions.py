"""Group-bys, whole or partition by partition."""

from collections.abc import Iterable, Mapping
from typing import Any

import narwhals.stable.v2 as nw
import pandas as pd

from bayesuplift.data.frames import TASK_ERRORS, Frame, collect, translated


def grouped(rows: Frame, keys: Iterable[str], facts: Mapping[str, nw.Expr]) -> dict[str, Any]:
    """Groups of rows, by column; of Dask the groups of every partition, so that a key may come several times.

    Dask merges the variances of its partitions by their sums of squares, which loses the digits of groups that lie far
    from the common shift. Its partitions are grouped one by one instead, and merged by Chan's formula with all else.
    """
    names = list(keys)
    if not rows.implementation.is_dask():
        return collect(rows.group_by(*names).agg(**facts))
    found = each_partition(rows, _groups, names, dict(facts))
    return {name: found[name].to_list() for name in (*names, *facts)}


def each_partition(rows: Frame, function: Any, *arguments: Any) -> pd.DataFrame:
    """The function's answers to every partition of a Dask table, one under the other."""
    native = rows.to_native()
    # The answer to a table without rows has the columns that Dask asks to know; computing one would read the data.
    columns = function(native._meta, *arguments)  # noqa: SLF001
    with translated("the table", TASK_ERRORS):
        answers = native.map_partitions(function, *arguments, meta=columns, enforce_metadata=False).compute()
    return pd.DataFrame(answers)


def first_rows(rows: Frame, limit: int) -> dict[str, list[Any]]:
    """Some of the first rows, by column; of Dask from the first partition that has any."""
    if not rows.implementation.is_dask():
        return collect(rows.head(limit))
    # Dask's own head looks into every partition.
    partitions = rows.to_native().partitions
    found: dict[str, list[Any]] = {}
    for i in range(rows.to_native().npartitions):
        found = collect(nw.from_native(partitions[i]).head(limit))
        if any(found.values()):
            break
    return found


def _groups(part: pd.DataFrame, keys: list[str], facts: Mapping[str, nw.Expr]) -> pd.DataFrame:
    return nw.from_native(part, eager_only=True).group_by(*keys).agg(**facts).to_native()
