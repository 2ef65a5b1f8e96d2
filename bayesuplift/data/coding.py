"""Covariates as columns of numbers: how is learned once, from the units of an experiment, and holds for any others."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesuplift.data.labels import kind_of_labels, natural_order
from bayesuplift.errors import ColumnNotFoundError, DataError, DataWarning, did_you_mean, listed

MOST_LEVELS: Final = 1000
"""Levels of text that become columns of their own; a covariate with more is refused."""

LARGEST: Final = 2**27
"""Numbers of coded covariates, units times columns: 1 GB; a fit of forests holds three times as much."""

_TWO: Final = 2
_FEW: Final = 12  # levels of a rating or a month, which may well be meant as levels
_CONVERSION: Final = {
    "numbers": "convert the column to numbers",
    "dates": "give it as a number, such as the days since one of them",
}


@dataclass(frozen=True)
class Column:
    """One column of numbers.

    Parameters
    ----------
    covariate
        Name of the covariate that it is made from.
    level
        Of text: the level that it is 1 for, and 0 for any other, unseen ones included. None of a number, taken as it is.
    base
        Of text of two levels: the other, which has no column. None of anything else.
    """

    covariate: str
    level: str | None = None
    base: str | None = None

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
        """Learn the coding of covariates (unit,): numbers, or text.

        Raises
        ------
        DataError
            Text has more than 1,000 levels, or a level of its own for most of the units; or two columns would have one
            name.

        Warns
        -----
        DataWarning
            Text spells nothing but numbers, or dates, and many of them.
        """
        columns: list[Column] = []
        for name, values in covariates.items():
            if np.issubdtype(values.dtype, np.number):
                columns.append(Column(name))
                continue
            counts = pd.Series(values.astype(np.str_)).value_counts()
            _check_levels(name, counts)
            levels = natural_order(counts.index)
            if len(levels) == _TWO:
                columns.append(Column(name, levels[1], base=levels[0]))
            elif len(levels) > 1:
                columns += [Column(name, level) for level in levels]
        _check_names(columns)
        return cls(tuple(columns))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        return cls(tuple(Column(**one) for one in json.loads(text)))

    def to_json(self) -> str:
        """Write it down, for a posterior that is saved."""
        parts = (asdict(column) for column in self.columns)
        # a base is written where there is one: of anything else the text stays as it was before bases were kept
        told = [{name: value for name, value in part.items() if name != "base" or value is not None} for part in parts]
        return json.dumps(told, ensure_ascii=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of every column."""
        return tuple(column.name for column in self.columns)

    def unseen(self, covariates: Mapping[str, Any]) -> dict[str, NDArray[np.bool_]]:
        """By covariate of text: where (unit,) its level is none of those that the coding was learned from.

        Not told of two levels whose coding was stored before both were kept.
        """
        levels: dict[str, set[str]] = {}
        for column in self.columns:
            if column.level is not None:
                levels.setdefault(column.covariate, set()).update({column.level, column.base or column.level})
        alone = {column.covariate for column in self.columns if column.base is not None}
        known = {name: found for name, found in levels.items() if len(found) > 1 or name in alone}
        return {name: ~np.isin(np.asarray(covariates[name], np.str_), sorted(known[name])) for name in known}

    def apply(self, covariates: Mapping[str, Any]) -> NDArray[np.float64]:
        """Code covariates (unit,): numbers (unit, column).

        Raises
        ------
        ColumnNotFoundError
            A covariate is not there.
        DataError
            A covariate of numbers holds text; or units and columns are too many.
        """
        units = len(next(iter(covariates.values()))) if covariates else 0
        self._check_size(units)
        coded = np.zeros((units, len(self.columns)))
        places: dict[str, dict[str, int]] = {}
        for place, column in enumerate(self.columns):
            if column.covariate not in covariates:
                raise ColumnNotFoundError(
                    f"no covariate named '{column.covariate}'. Covariates: {listed(covariates) or 'none'}."
                    f"{did_you_mean(column.covariate, covariates)}"
                )
            if column.level is not None:
                places.setdefault(column.covariate, {})[column.level] = place
                continue
            values = np.asarray(covariates[column.covariate])
            if not np.issubdtype(values.dtype, np.number):
                raise DataError(
                    f"the covariate '{column.covariate}' holds text, and was numbers when the model was fitted; expected "
                    f"numbers."
                )
            coded[:, place] = values
        for name, place_of in places.items():
            texts = pd.Index(np.asarray(covariates[name]).astype(np.str_))
            position = pd.Index(list(place_of)).get_indexer(texts)
            known = np.flatnonzero(position >= 0)
            coded[known, np.array(list(place_of.values()))[position[known]]] = 1.0
        return coded

    def _check_size(self, units: int) -> None:
        """Refuse more numbers than fit, before there are any."""
        if units * len(self.columns) <= LARGEST:
            return
        count = pd.Series([column.covariate for column in self.columns]).value_counts()
        raise DataError(
            f"{units:,} units x {len(self.columns):,} columns of covariates are {units * len(self.columns):,} numbers; "
            f"expected at most {LARGEST:,}, 1 GB. '{count.index[0]}' alone has {int(count.iloc[0]):,} columns. Leave "
            f"covariates out, group levels of text, or take a random sample of at most {LARGEST // len(self.columns):,} "
            f"units, and predict the rest so many at a time."
        )


def _check_levels(name: str, counts: pd.Series) -> None:
    """Refuse text with too many levels, or that names units; warn of text that may be numbers or dates.

    Parameters
    ----------
    name
        The covariate.
    counts
        Units by level.
    """
    levels, units = len(counts), int(counts.sum())
    alone = int((counts == 1).sum())
    kind = kind_of_labels(counts.index) if levels > _FEW else None
    convert = f"{_CONVERSION[kind]}; else " if kind else ""
    if levels > MOST_LEVELS or 2 * alone > units:
        found = (
            f"{alone:,} of {units:,} units have a level of '{name}' (covariate) for themselves"
            if 2 * alone > units
            else f"the column '{name}' (covariate) has {levels:,} levels; expected at most {MOST_LEVELS:,}"
        )
        raise DataError(
            f"{found} ({listed(counts.index[:3])}, ...), and each level of text becomes a column. If it names units, leave "
            f"it out; {convert}group its levels, or give it as a segment factor, whose levels share what they know."
        )
    if kind:
        warnings.warn(
            f"the {levels:,} levels of '{name}' (covariate) are text that spells {kind}, and each becomes a column without "
            f"order. If their order means something, {_CONVERSION[kind]}.",
            DataWarning,
            stacklevel=4,
        )


def _check_names(columns: list[Column]) -> None:
    """Refuse columns of one name: a covariate "x=1" beside the level "1" of the covariate "x"."""
    names = [column.name for column in columns]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise DataError(f"'{twice[0]}' would name a covariate and the level of another. Rename that covariate.")
