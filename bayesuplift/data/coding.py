"""Covariates as columns of numbers: how is learned once, from the units of an experiment, and holds for any others."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesuplift.data.labels import natural_order
from bayesuplift.errors import ColumnNotFoundError, DataError, did_you_mean, listed

_TWO = 2


@dataclass(frozen=True)
class Column:
    """One column of numbers.

    Parameters
    ----------
    covariate
        Name of the covariate that it is made from.
    level
        Of text: the level that it is 1 for, and 0 for any other, unseen ones included. None of a number, taken as it is.
    """

    covariate: str
    level: str | None = None

    @property
    def name(self) -> str:
        """Name of the covariate, with the level of text: "channel=Phone"."""
        return self.covariate if self.level is None else f"{self.covariate}={self.level}"


@dataclass(frozen=True)
class Coding:
    """Columns of numbers, in order.

    Text of two levels has one column, for the second; of more levels one for each.

    Parameters
    ----------
    columns
        What each is made of.
    """

    columns: tuple[Column, ...]

    @classmethod
    def of(cls, covariates: Mapping[str, NDArray[np.generic]]) -> Self:
        """Learn the coding of covariates (unit,): numbers, or text."""
        columns: list[Column] = []
        for name, values in covariates.items():
            if np.issubdtype(values.dtype, np.number):
                columns.append(Column(name))
                continue
            levels = natural_order(map(str, pd.unique(values)))
            told = levels[1:] if len(levels) == _TWO else levels
            columns += [Column(name, level) for level in told if len(levels) > 1]
        return cls(tuple(columns))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        return cls(tuple(Column(**one) for one in json.loads(text)))

    def to_json(self) -> str:
        """Write it down, for a posterior that is saved."""
        return json.dumps([asdict(column) for column in self.columns], ensure_ascii=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of every column."""
        return tuple(column.name for column in self.columns)

    def apply(self, covariates: Mapping[str, Any]) -> NDArray[np.float64]:
        """Code covariates (unit,): numbers (unit, column).

        Raises
        ------
        ColumnNotFoundError
            A covariate is not there.
        DataError
            A covariate of numbers holds text.
        """
        coded = []
        for column in self.columns:
            if column.covariate not in covariates:
                raise ColumnNotFoundError(
                    f"no covariate named '{column.covariate}'. Covariates: {listed(covariates) or 'none'}."
                    f"{did_you_mean(column.covariate, covariates)}"
                )
            values = np.asarray(covariates[column.covariate])
            if column.level is not None:
                coded.append((values.astype(np.str_) == column.level).astype(np.float64))
                continue
            if not np.issubdtype(values.dtype, np.number):
                raise DataError(
                    f"the covariate '{column.covariate}' holds text, and was numbers when the model was fitted; expected "
                    f"numbers."
                )
            coded.append(values.astype(np.float64))
        units = len(next(iter(covariates.values()))) if covariates else 0
        return np.stack(coded, axis=1) if coded else np.zeros((units, 0))
