"""Sections of an analysis file: what each key means, and its default."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bayesuplift.dims import Assignment, Kind

Role = Literal["primary", "secondary", "guardrail"]
ROLES: tuple[Role, ...] = get_args(Role)
EngineName = Literal["closed_form", "direct", "nuts"]
MODELS: Mapping[Kind, str] = {
    "binary": "beta_binomial",
    "continuous": "normal",
    "count": "negative_binomial",
    "revenue": "hurdle_lognormal",
}
"""The model of each kind of outcome where the file names none."""


@dataclass(frozen=True)
class DataSection:
    """`[data]`: the table and what its columns mean.

    Parameters
    ----------
    path
        CSV or Parquet file, relative to the analysis file.
    arm, control
        Column of the arms, and the label of the reference.
    trials
        Column of units, where the table holds statistics of cells; each row of the table is one unit otherwise.
    segments, covariates
        Columns to report on, and columns whose missingness is compared between arms.
    unit
        Column that names the unit, for the search for duplicates.
    assignment
        "randomized" or "observational".
    intended_split
        Share of units that each arm was meant to get; without it the sample ratio is not checked.
    """

    path: str
    arm: str
    control: str
    trials: str | None = None
    segments: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    unit: str | None = None
    assignment: Assignment = "randomized"
    intended_split: Mapping[str, float] | None = None


@dataclass(frozen=True)
class OutcomeSection:
    """`[[outcome]]`: what is compared, and how much of it matters.

    Parameters
    ----------
    name
        Name of the outcome, and its column unless `column` names another.
    kind
        "binary", "count", "continuous" or "revenue".
    threshold_of_caring
        Expected loss, in outcome units, small enough to stop for.
    column
        Column of the outcome; of its total, where the table holds statistics of cells.
    role
        "primary", "secondary" or "guardrail".
    higher_is_better
        Whether more is better.
    rope
        Half-width of the region of practical equivalence, in outcome units.
    model
        Name of its model, if not `[model]`'s or the kind's own.
    prior
        Table of the prior's numbers; what it leaves out is the default.
    engine
        "closed_form", "direct" or "nuts", if not `[model]`'s.
    exposure
        Column of each unit's exposure, for counts.
    covariate
        Column of a number known of each unit from before the experiment, for continuous outcomes and revenue.
    statistics
        Column of each statistic, where the table holds statistics of cells; see `Cells.from_table`.
    """

    name: str
    kind: Kind
    threshold_of_caring: float
    column: str | None = None
    role: Role = "primary"
    higher_is_better: bool = True
    rope: float | None = None
    model: str | None = None
    prior: Mapping[str, Any] | None = None
    engine: EngineName | None = None
    exposure: str | None = None
    covariate: str | None = None
    statistics: Mapping[str, str] | None = None


@dataclass(frozen=True)
class ModelSection:
    """`[model]`: what is fitted, for every outcome that does not say so itself.

    Parameters
    ----------
    name
        One model for all outcomes; each kind has its own (`MODELS`) where this is left out.
    prior
        Table of the prior's numbers, for outcomes with neither a model nor a prior of their own.
    seed
        Makes the run repeatable.
    engine
        "closed_form", "direct" or "nuts", for outcomes without a model or an engine of their own.
    prob
        Mass of the intervals.
    """

    name: str | None = None
    prior: Mapping[str, Any] | None = None
    seed: int = 1
    engine: EngineName | None = None
    prob: float = 0.95


@dataclass(frozen=True)
class ChecksSection:
    """`[checks]`: which of the optional checks to run."""

    missingness: bool = True
    predictive: bool = True


@dataclass(frozen=True)
class OutputSection:
    """`[output]`: where results go, relative to the working directory, and the report's title."""

    folder: str | None = None
    title: str | None = None
