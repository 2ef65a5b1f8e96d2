"""A file of units, put to a policy batch by batch: arms of any number of units in little memory."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import narwhals.stable.v2 as nw
import pandas as pd
import xarray as xr

from bayesuplift.data.frames import Frame, Schema, translated
from bayesuplift.data.opening import opened, with_numbers
from bayesuplift.data.validation import check_unit
from bayesuplift.decisions.deployment.deployed_policy import DeployedPolicy
from bayesuplift.decisions.deployment.scores import ScoreThresholds
from bayesuplift.decisions.deployment.sql import text_in_sql
from bayesuplift.errors import (
    ArgumentError,
    BayesupliftError,
    ColumnNotFoundError,
    DataError,
    UnreadableFileError,
    check_whole,
    listed,
)
from bayesuplift.files import whole_or_nothing

Predict = Callable[[pd.DataFrame], xr.DataTree]

_ARM: Final = "arm"
_ROW: Final = "row"
_FORMATS: Final = {
    ".csv": "FORMAT csv, HEADER",
    ".csv.gz": "FORMAT csv, HEADER, COMPRESSION gzip",
    ".parquet": "FORMAT parquet",
}
_VECTOR: Final = 2048  # rows that DuckDB hands out at least
_ROWS: Final = 48 * _VECTOR
_ROWS_TO_PREDICT: Final = _VECTOR  # with 4,000 draws of three arms some 200 MB


@dataclass(frozen=True)
class AssignedUnits:
    """How many units of a file got which arm.

    Parameters
    ----------
    by_arm
        Units by arm, those of the control included.
    unknown
        Units in segments that the policy does not know: they got the control.
    """

    by_arm: tuple[tuple[str, int], ...]
    unknown: int

    @property
    def units(self) -> int:
        """All of them."""
        return sum(count for _, count in self.by_arm)

    def __str__(self) -> str:
        told = f"{self.units:,} units: {listed(f'{count:,} get {arm}' for arm, count in self.by_arm if count)}"
        return f"{told}; {self.unknown:,} are in segments that the policy does not know" if self.unknown else told


@translated("the table of units")
def write_arms(
    policy: DeployedPolicy,
    units: str | Path,
    output: str | Path,
    *,
    unit: str | None = None,
    predict: Predict | None = None,
    rows: int | None = None,
) -> AssignedUnits:
    """Give every unit of a file its arm, and write them to another file.

    The output has the unit, or the number of its row from 1 in the column `row`; its `arm`; and where the policy goes by
    scores, these, as its SQL asks for them. It appears under its name when it is complete.

    Parameters
    ----------
    policy
        The policy.
    units
        A CSV, TSV or Parquet file, one row a unit, with the columns that `policy.arm_of` asks for.
    output
        A file that ends in .csv, .csv.gz or .parquet.
    unit
        Column that names the unit, as it is written in a CSV file; a unit that is missing or comes twice is refused.
    predict
        Where the policy goes by scores and the units have none: a function from some rows of the file to a posterior over
        them, such as `lambda rows: predict(posterior, rows, seed=1)`. What it draws for levels that are new is drawn for
        each batch by itself.
    rows
        Rows of a batch, at most; some 100,000 by default, and 2,048 where they are predicted.

    Raises
    ------
    ArgumentError
        The output is of no format that is known; a prediction is not needed; names of columns clash; units need names.
    ColumnNotFoundError, DataError, MissingFileError, UnreadableFileError
        As `DeployedPolicy.arm_of`; there is no unit, or the output cannot be written.
    """
    source, target = Path(units), Path(output)
    style = next((style for suffix, style in _FORMATS.items() if target.name.lower().endswith(suffix)), None)
    if style is None:
        raise ArgumentError(f"output = '{target}'; expected a file that ends in {listed(_FORMATS)}")
    if rows is not None:
        check_whole("rows", rows, 1)
    size = rows or (_ROWS if predict is None else _ROWS_TO_PREDICT)
    _check_names(policy, unit, predicts=predict is not None)
    counts, unknown, begin = dict.fromkeys(policy.arms, 0), 0, 0
    with (
        tempfile.TemporaryDirectory(prefix="bayesuplift.") as folder,
        whole_or_nothing(target) as partial,
        closing(_Kept(Path(folder) / "arms.duckdb")) as kept,
    ):
        for batch, guessed in _batches(
            policy, source, unit, size, Path(folder) / "units.parquet", every=predict is not None
        ):
            try:
                scored = batch if predict is None else _scored(policy, batch, predict(guessed))
                arms, new = policy.counted(scored, unit=unit)
            except BayesupliftError as error:
                raise type(error)(f"among the data rows {begin + 1:,} to {begin + len(batch):,}, {error}") from error
            names = pd.RangeIndex(begin + 1, begin + len(batch) + 1) if unit is None else batch[unit].array
            told = pd.DataFrame({unit or _ROW: names, _ARM: arms.array})
            kept.add(told.join(scored[list(_score_columns(policy))]))
            for arm, count in arms.value_counts().items():
                counts[str(arm)] += int(count)
            unknown, begin = unknown + new, begin + len(batch)
        if not begin:
            raise DataError("the table of units has no row.")
        kept.write(partial, style)
    return AssignedUnits(tuple(counts.items()), unknown)


class _Kept:
    """Rows that are kept on disk until all of them are there."""

    def __init__(self, path: Path) -> None:
        self._connection = duckdb.connect(str(path))
        self._store = "CREATE TABLE arms AS SELECT * FROM batch"

    def add(self, rows: pd.DataFrame) -> None:
        """Keep some more."""
        self._connection.register("batch", rows)
        self._connection.execute(self._store)
        self._connection.unregister("batch")
        self._store = "INSERT INTO arms SELECT * FROM batch"

    def write(self, path: Path, style: str) -> None:
        """Write all of them to a file."""
        try:
            self._connection.execute(f"COPY arms TO {text_in_sql(str(path))} ({style})")
        except duckdb.Error as error:
            raise UnreadableFileError(f"cannot write {path.name}: {error}") from error

    def close(self) -> None:
        """Let go of them."""
        self._connection.close()


def _check_names(policy: DeployedPolicy, unit: str | None, *, predicts: bool) -> None:
    """Refuse what cannot be told before a row is read."""
    policy.by.asked(unit)
    if predicts and not isinstance(policy.by, ScoreThresholds):
        raise ArgumentError(f"the policy goes by {policy.kind}, not by scores; it needs no posterior")
    if unit in (_ARM, *_score_columns(policy)):
        raise ArgumentError(f"unit = '{unit}': the output has a column of that name; rename the column of the units")


def _score_columns(policy: DeployedPolicy) -> tuple[str, ...]:
    return policy.by.columns if isinstance(policy.by, ScoreThresholds) else ()


def _opened(policy: DeployedPolicy, source: Path, unit: str | None, *, every: bool) -> tuple[Frame, dict[str, str]]:
    """The columns that are needed, or all; and where numbers are beside those that are read as text."""
    asked = policy.by.asked(unit)
    named = {} if unit is None else {"unit": unit}
    if not every:
        _refuse_unscored(policy, opened(source, {})[1])
        frame, schema = opened(source, named | dict(asked.numbers), asked.texts)
        # a CSV file has no number for minus infinity, which rules a treatment out: a column with one is read as text
        written = [column for column in _score_columns(policy) if schema[column] == nw.String]
        frame = (
            frame.with_columns(**{column: nw.col(column).cast(nw.Float64) for column in written}) if written else frame
        )
        twins: dict[str, str] = {}
        columns = list(dict.fromkeys([*named.values(), *asked.columns]))
        frame = frame.select(*columns) if columns else frame
    else:
        frame, _ = opened(source, named, asked.texts)
        frame, twins = with_numbers(frame, source, list(asked.texts))
    if unit is not None:
        check_unit(frame, unit)
    return frame, twins


def _refuse_unscored(policy: DeployedPolicy, schema: Schema) -> None:
    absent = [column for column in _score_columns(policy) if column not in schema]
    if absent:
        raise ColumnNotFoundError(
            f"no column named '{absent[0]}' (score). Columns: {listed(schema)}. Give the scores of all treatments, or the "
            f"posterior that units are scored by"
        )


def _batches(
    policy: DeployedPolicy, source: Path, unit: str | None, size: int, spool: Path, *, every: bool
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Some rows at a time, in the order of the file: columns as the policy asks for them, and with numbers as numbers."""
    frame, twins = _opened(policy, source, unit, every=every)
    # a relation reads its file anew for every part that it is asked for; a result can be read on
    frame.to_native().write_parquet(str(spool))
    connection = duckdb.connect()
    result = connection.execute("SELECT * FROM read_parquet(?)", [str(spool)])
    try:
        while len(chunk := result.fetch_df_chunk(max(size // _VECTOR, 1))):
            for begin in range(0, len(chunk), size):
                batch = chunk.iloc[begin : begin + size].reset_index(drop=True)
                numbers = {name: batch[twin] for name, twin in twins.items()}
                own = batch.drop(columns=list(twins.values()))
                yield own, own.assign(**numbers)
    finally:
        connection.close()


def _scored(policy: DeployedPolicy, batch: pd.DataFrame, predicted: xr.DataTree) -> pd.DataFrame:
    """The batch with its scores."""
    scores = policy.scores(predicted)
    if len(scores) != len(batch):
        raise ArgumentError(
            f"predict gave {len(scores):,} units for {len(batch):,} rows; expected one for each, in their order"
        )
    return batch.assign(**{str(name): scores[name].to_numpy() for name in scores.columns})
