"""Sections of an analysis file: what each key means, and its default."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bayesuplift.dims import Assignment, Kind
from bayesuplift.errors import AnalysisError, ArgumentError, did_you_mean, listed
from bayesuplift.estimands.value import Economics

Role = Literal["primary", "secondary", "guardrail"]
ROLES: tuple[Role, ...] = get_args(Role)
EngineName = Literal["closed_form", "direct", "gibbs", "hmc", "nuts"]
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
    segments
        Columns to report on.
    covariates
        Columns that a model of units sees; their missingness is compared between arms, whatever the model.
    unit
        Column that names the unit, for the search for duplicates and, of a model of units, for the labels of effects.
    propensity
        Column of P(treatment | covariates), for tables of two arms; `read_experiment` reads those of more.
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
    propensity: str | None = None
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
        "closed_form", "direct", "gibbs", "hmc" or "nuts", if not `[model]`'s.
    chains, draws, warmup
        Number of chains, of draws of each, and of steps before them, if not `[model]`'s.
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
    chains: int | None = None
    draws: int | None = None
    warmup: int | None = None
    exposure: str | None = None
    covariate: str | None = None
    statistics: Mapping[str, str] | None = None


@dataclass(frozen=True)
class ModelSection:
    """`[model]`: what is fitted, for every outcome that does not say so itself. A key that counts for none is refused.

    Parameters
    ----------
    name
        One model for all outcomes; each kind has its own (`MODELS`) where this is left out.
    prior
        Table of the prior's numbers, for outcomes with neither a model nor a prior of their own.
    seed
        Makes the run repeatable.
    engine
        "closed_form", "direct", "gibbs", "hmc" or "nuts", for outcomes without a model or an engine of their own.
    chains, draws, warmup
        Number of chains, of draws of each, and of steps before them (Markov chains only), for outcomes without a model of
        their own; each is the engine's own where it is left out (see `fit`).
    prob
        Mass of the intervals.
    """

    name: str | None = None
    prior: Mapping[str, Any] | None = None
    seed: int = 1
    engine: EngineName | None = None
    chains: int | None = None
    draws: int | None = None
    warmup: int | None = None
    prob: float = 0.95

    @property
    def length(self) -> dict[str, int | None]:
        """Chains, draws and warm-up, as `fit` takes them."""
        return {"chains": self.chains, "draws": self.draws, "warmup": self.warmup}


@dataclass(frozen=True)
class EconomicsSection:
    """`[economics]`: what outcomes are worth and what arms cost, in one currency.

    Parameters
    ----------
    value_per_outcome
        Money per unit of outcome: by name of the outcome, or one number where there is one outcome. Negative for an outcome
        of which less is better. An outcome left out has no economics.
    cost_per_unit
        Money per unit treated: by arm, those left out costing nothing, or one number for every arm but the control.
    """

    value_per_outcome: Mapping[str, float] | float
    cost_per_unit: Mapping[str, float] | float

    def of(self, outcome: OutcomeSection) -> Economics | None:
        """Economics of an outcome; None where nothing says what it is worth."""
        values = self.value_per_outcome
        value = values.get(outcome.name) if isinstance(values, Mapping) else values
        return None if value is None else Economics(value_per_outcome=value, cost_per_unit=self.cost_per_unit)

    def check(self, outcomes: Sequence[OutcomeSection], arms: Iterable[str] | None) -> None:
        """Refuse money for what there is not, as far as the file alone can tell.

        Parameters
        ----------
        outcomes
            All outcomes of the file.
        arms
            Labels of all arms, where the file names them; else costs are checked against the data.

        Raises
        ------
        AnalysisError
            No outcome or arm of that name, one value for several outcomes, a value that is none, or one whose sign
            contradicts the outcome's direction.
        """
        names = [one.name for one in outcomes]
        values, costs = self.value_per_outcome, self.cost_per_unit
        if not isinstance(values, Mapping) and len(names) > 1:
            raise AnalysisError(
                f"[economics] value_per_outcome = {values:g}, and there are {len(names)} outcomes; say which is worth it: "
                f'{{ "{names[0]}" = {values:g} }}'
            )
        _refuse_unknown("value_per_outcome", "outcome", values, names)
        if arms is not None:
            _refuse_unknown("cost_per_unit", "arm", costs, list(arms))
        for one in outcomes:
            try:
                worth = self.of(one)
            except ArgumentError as error:
                raise AnalysisError(f"[economics] {one.name}: {error}") from error
            if worth is not None and (worth.value_per_outcome > 0) != one.higher_is_better:
                raise AnalysisError(
                    f"[economics] value_per_outcome of {one.name!r} is {worth.value_per_outcome:g}, and its "
                    f"higher_is_better is {str(one.higher_is_better).lower()}; an outcome of which less is better has a "
                    f"value below 0, any other one above 0"
                )


def _refuse_unknown(key: str, what: str, given: Mapping[str, float] | float, known: Sequence[str]) -> None:
    for name in given if isinstance(given, Mapping) else ():
        if name not in known:
            raise AnalysisError(
                f"[economics] {key}: no {what} named {name!r}. {what.capitalize()}s: {listed(known)}."
                f"{did_you_mean(name, known)}"
            )


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
