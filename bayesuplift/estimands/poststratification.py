"""A population as a table of weights by factor: post-stratification, Gelman and Little (1997), Survey Methodology 23."""

from collections.abc import Mapping
from typing import Any, Final

import narwhals.stable.v2 as nw
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.data.frames import Schema, collect, open_frame, schema_of, translated
from bayesuplift.data.labels import label_among, segment_label
from bayesuplift.data.opening import opened
from bayesuplift.data.validation import (
    Fault,
    check_numeric,
    check_roles,
    diagnose,
    key_faults,
    number_faults,
    number_of,
)
from bayesuplift.dims import SEGMENT
from bayesuplift.errors import ColumnNotFoundError, DataError, PosteriorError, did_you_mean, listed
from bayesuplift.posterior.factors import as_called, factors_of, levels_of

_SHOWN: Final = 3


@translated("the population")
def table_weights(table: Any, draws: xr.DataArray, weight: str) -> NDArray[np.float64]:
    """Weights (segment,) of the draws' segments, rows of one segment added up; 0 for a segment without a row.

    Parameters
    ----------
    table
        A path to a CSV, TSV or Parquet file, or any dataframe that narwhals knows: one column a factor, levels compared
        as text, and one of weights. A factor that hides one of our words may have its own name, or the prefixed one.
        Where segments have labels only, the column "segment" holds these.
    draws
        Over segments.
    weight
        Column of the weights: finite, 0 or more, not all 0.

    Raises
    ------
    ColumnNotFoundError
        A factor, or the weights, have no column.
    DataError
        A weight or a level is missing, a weight is negative or infinite, none is positive, or a row with a positive one
        is of a segment that the posterior does not have.
    PosteriorError
        Two segments have the same levels.
    """
    factors = factors_of(draws)
    schema = schema_of(open_frame(table))
    columns = {factor: _column(factor, schema, weight) for factor in factors or (SEGMENT,)}
    check_roles({"weight": (weight,), "factor": tuple(columns.values())})
    frame, schema = opened(table, {"weight": weight}, tuple(columns.values()))
    check_numeric(frame, weight, "weight", schema[weight])
    value = number_of(weight, schema[weight])
    faults = [fault for column in columns.values() for fault in key_faults(column, "factor", schema[column])]
    faults += number_faults(weight, "weight", schema[weight])
    diagnose(frame, [*faults, Fault(weight, "weight", value < 0, "is negative", "Expected 0 or more.")])
    keys = {f"k{i}": nw.col(column) for i, column in enumerate(columns.values())}
    grouped = frame.select(**keys, w=value).group_by(list(keys)).agg(weight=nw.col("w").sum())
    found = collect(grouped)
    rows = list(zip(*(found[key] for key in keys), strict=True))
    levels = levels_of(draws, factors or (SEGMENT,))
    return _placed(rows, np.array(found["weight"], dtype=np.float64), levels)


def _column(factor: str, schema: Schema, weight: str) -> str:
    """The column of a factor, as it is spelt in the table."""
    spellings = dict.fromkeys((factor, as_called(factor)))
    for name in spellings:
        if name in schema and name != weight:
            return name
    raise ColumnNotFoundError(
        f"the population has no column for the factor '{as_called(factor)}'. Columns: {listed(schema)}."
        f"{did_you_mean(as_called(factor), schema)} Give one column a factor and the weights as '{weight}'"
    )


def _placed(
    rows: list[tuple[Any, ...]], weights: NDArray[np.float64], levels: Mapping[str, list[str]]
) -> NDArray[np.float64]:
    """Add each row's weight to its segment's."""
    segments = list(zip(*levels.values(), strict=True))
    place = {segment: i for i, segment in enumerate(segments)}
    if len(place) < len(segments):
        twice = next(segment for i, segment in enumerate(segments) if place[segment] != i)
        named = segment_label(dict(zip(levels, twice, strict=True)))
        raise PosteriorError(f"two segments of the posterior are {named}: a table of factors cannot tell them apart")
    known = {factor: set(column) for factor, column in levels.items()}
    result = np.zeros(len(segments))
    unknown = []
    for row, weight in zip(rows, weights.tolist(), strict=True):
        if weight == 0.0:  # of a full cross table: nobody is there, and nothing needs to be known of them
            continue
        segment = tuple(label_among(level, known[factor]) for level, factor in zip(row, levels, strict=True))
        if segment in place:
            result[place[segment]] += weight
        else:
            unknown.append(segment_label(dict(zip(levels, segment, strict=True))))
    if unknown:
        raise DataError(
            f"{len(unknown):,} of the population's {len(rows):,} segments are not in the posterior: "
            f"{'; '.join(sorted(unknown)[:_SHOWN])}{' …' if len(unknown) > _SHOWN else ''}. Predict them first, with "
            f"bu.predict(posterior, table, seed=…), or leave them out"
        )
    total = sum(result.tolist())  # Python's sum is infinite where numpy's would warn as well
    if not total > 0:
        raise DataError("the population's weights add up to 0; expected some weight above 0")
    if not np.isfinite(total):
        raise DataError("the population's weights add up to more than a number can hold; divide them by a constant")
    return result
