"""A policy for the field: a pure function from a row's columns to an arm, as a value that a file can hold."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd
import xarray as xr

from bayesuplift.decisions.deployment.rows import Asked, Decided, Rows, read_rows
from bayesuplift.decisions.deployment.scores import ScoreThresholds
from bayesuplift.decisions.deployment.sql import name_in_sql, table_in_sql
from bayesuplift.decisions.targeting.gain_statistics import gain_statistics
from bayesuplift.decisions.targeting.rules import Rule
from bayesuplift.dims import UNIT
from bayesuplift.errors import ArgumentError, DataError, DataWarning, listed
from bayesuplift.estimands.places import Places
from bayesuplift.estimands.value import Economics

_ARM: Final = "arm"
_SHOWN: Final = 3  # segments that are named where they are not known
_FINGERPRINT: Final = "data_fingerprint"


class ArmsByRow(Protocol):
    """What leads from a row to an arm: segments, scores or a tree."""

    @property
    def kind(self) -> str:
        """Which of them."""

    @property
    def arms(self) -> tuple[str, ...]:
        """Labels, the control's included."""

    @property
    def control(self) -> str:
        """Label of the control."""

    def asked(self, unit: str | None) -> Asked:
        """What is asked of every unit, whose names are in a column."""

    def decide(self, rows: Rows) -> Decided:
        """Position of each unit's arm."""

    def in_sql(self, unit: str | None) -> str:
        """A CASE expression."""


@dataclass(frozen=True)
class Origin:
    """Where a policy comes from.

    Parameters
    ----------
    created_at, versions
        When it was made, and with which versions.
    why
        By what rule, and which limits bind at what price, in words.
    units
        By arm, how many units get it of those that the policy was made for.
    differs
        To how many of these units the deployed policy gives another arm: with the same score as others at a threshold, or
        between two arms where several limits meet.
    posterior
        Attributes of the posterior that it was made from: model, seed, a hash of the data and others.
    """

    created_at: str
    versions: str
    why: str = ""
    units: tuple[tuple[str, float], ...] = ()
    differs: int = 0
    posterior: tuple[tuple[str, str | float], ...] = ()


@dataclass(frozen=True)
class DeployedPolicy:
    """A policy that any row can be put to.

    It holds no draws and no units: what it says of a row follows from the row's columns alone, so that batches, partitions
    and a warehouse agree with each other.

    Parameters
    ----------
    by
        What leads from a row to an arm.
    outcome
        Name of the outcome whose value counts.
    origin
        Where it comes from.
    rule, economics
        What it was chosen by and for; None of a policy that was given.
    """

    by: ArmsByRow
    outcome: str
    origin: Origin
    rule: Rule | None = None
    economics: Economics | None = None

    @property
    def kind(self) -> str:
        """What an arm follows from: "segments", "scores" or "tree"."""
        return self.by.kind

    @property
    def arms(self) -> tuple[str, ...]:
        """Labels of the arms, the control's included."""
        return self.by.arms

    @property
    def control(self) -> str:
        """Label of the control."""
        return self.by.control

    def arm_of(self, units: Any, *, unit: str | None = None) -> pd.Series:
        """Label of each unit's arm (unit,), in the order of the rows; with the index of a pandas dataframe.

        A pure function of the batch, which may be empty: `ddf.map_partitions(policy.arm_of, unit="customer")` on Dask.

        Parameters
        ----------
        units
            A path, or any dataframe that narwhals knows, with the columns that the policy asks for: factors, compared as
            text; scores of its treatments, see `scores`; or the covariates of its tree.
        unit
            Column that names the unit: needed, and looked at, where of some segments a part is treated.

        Raises
        ------
        ArgumentError
            Units need names and no column is given.
        ColumnNotFoundError
            A column is not there.
        DataError
            A value is missing, a column holds what engines do not tell alike, or the policy refuses segments that it does
            not know.
        FrameTypeError, MissingFileError, UnreadableFileError
            The units cannot be read.

        Warns
        -----
        DataWarning
            Units are in segments that the policy does not know, and get the control.
        """
        rows = read_rows(units, self.by.asked(unit))
        decided = self._decided(rows)
        if decided.unknown:
            warnings.warn(f"{unknown_words(decided.unknown, len(rows))}: control", DataWarning, stacklevel=2)
        return self._labelled(decided, rows)

    def counted(self, units: Any, *, unit: str | None = None) -> tuple[pd.Series, int]:
        """What `arm_of` returns, and how many units are in segments that the policy does not know, without a warning."""
        rows = read_rows(units, self.by.asked(unit))
        decided = self._decided(rows)
        return self._labelled(decided, rows), len(decided.unknown)

    def scores(self, predicted: xr.DataTree) -> pd.DataFrame:
        """Score of each unit and treatment by the policy's rule, money per unit, in columns as `arm_of` asks for them.

        Parameters
        ----------
        predicted
            A posterior over units, such as `predict` gives of new ones.

        Raises
        ------
        ArgumentError
            The policy does not go by scores, or the posterior has other arms or is not over units.
        PosteriorError
            The tree does not follow the schema.

        Warns
        -----
        DataWarning
            The posterior was fitted on other data than the one that the policy comes from.
        """
        by = self.by
        if not isinstance(by, ScoreThresholds) or self.rule is None or self.economics is None:
            raise ArgumentError(f"the policy goes by {self.kind}, not by scores; it needs no posterior")
        places = Places.of(predicted)
        if places.dim != UNIT or set(places.arms) != set(by.arms) or places.control != by.control:
            raise ArgumentError(
                f"a posterior over {places.dim}s with the arms {listed(places.arms)} and the control '{places.control}'; "
                f"expected one over units with {listed(by.arms)} and '{by.control}'"
            )
        made_from = dict(self.origin.posterior).get(_FINGERPRINT)
        if made_from is not None and predicted.attrs.get(_FINGERPRINT) != made_from:
            warnings.warn(
                "the posterior was fitted on other data than the one that the policy and its thresholds come from",
                DataWarning,
                stacklevel=2,
            )
        score = self.rule.score(gain_statistics(places, self.economics, self.rule.statistics))
        order = [places.treatments.index(arm) for arm in by.treatments]
        return pd.DataFrame(score[:, order], columns=list(by.columns))

    def sql(self, table: str | Sequence[str], *, unit: str | None = None, name: str = _ARM) -> str:
        """A SELECT with the arm of every row of a table, as `arm_of` gives it.

        Parameters
        ----------
        table
            Name of the table, "schema.table" or its parts as a list; taken literally, letter by letter.
        unit
            Column that names the unit: then the statement selects it and the arm; else all columns and the arm. Text or
            whole numbers, as in `arm_of`.
        name
            What the column of the arm is called.

        Returns
        -------
        str
            Standard SQL, with names in double quotes and text compared by its bytes; where of some segments a part is
            treated it needs `md5` of a text, as DuckDB, PostgreSQL or Snowflake have it, in lower case. Where `arm_of`
            refuses a row, for a missing value or an unknown segment, the arm is NULL.

        Raises
        ------
        ArgumentError
            Units need names and no column is given; a name or a label cannot be written in SQL.
        """
        if unit == name:
            raise ArgumentError(f"the unit's column and the arm's are both called '{name}'; give another name=...")
        selected = "*" if unit is None else name_in_sql(unit)
        return f"SELECT {selected}, {self.case(unit=unit)} AS {name_in_sql(name)}\nFROM {table_in_sql(table)}"

    def case(self, *, unit: str | None = None) -> str:
        """The arm as an expression of SQL, for a statement of your own; as in `sql`."""
        return self.by.in_sql(unit)

    def __str__(self) -> str:
        parts = [
            f"Arms of '{self.outcome}' by {self.kind}: {listed(self.arms)}, of which '{self.control}' is the control."
        ]
        return " ".join([*parts, self.origin.why]).rstrip()

    def _decided(self, rows: Rows) -> Decided:
        decided = self.by.decide(rows)
        if (decided.arm < 0).any():
            raise DataError(
                f"{unknown_words(decided.unknown, len(rows))}, and it refuses them. Leave them out, make the policy from "
                f'segments that include them, or save it with unknown="control"'
            )
        return decided

    def _labelled(self, decided: Decided, rows: Rows) -> pd.Series:
        labels = np.array(self.arms, dtype=object)[decided.arm]
        return pd.Series(labels, index=rows.index, name=_ARM, dtype="str")


def unknown_words(unknown: Sequence[str], units: int) -> str:
    """How many units are in segments that a policy does not know, and which these are."""
    names = list(dict.fromkeys(unknown))
    which = "; ".join(names[:_SHOWN]) + (f"; and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return f"{len(unknown):,} of {units:,} units are in segments that the policy does not know ({which})"
