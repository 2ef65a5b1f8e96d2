"""The analysis file: what to read, what to decide, and by which standards. Unknown keys are errors."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from bayesuplift.dims import ASSIGNMENTS, KINDS, Assignment, Kind
from bayesuplift.errors import AnalysisError, MissingFileError, did_you_mean, is_finite_number, listed
from bayesuplift.priors import RatePrior

Role = Literal["primary", "secondary", "guardrail"]
ROLES: tuple[Role, ...] = get_args(Role)


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
        Column of units, where the table holds counts already made; each row of the table is one unit otherwise.
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
        Column of the outcome; of the conversions, where the table holds counts.
    role
        "primary", "secondary" or "guardrail".
    higher_is_better
        Whether more is better.
    rope
        Half-width of the region of practical equivalence, in outcome units.
    """

    name: str
    kind: Kind
    threshold_of_caring: float
    column: str | None = None
    role: Role = "primary"
    higher_is_better: bool = True
    rope: float | None = None


@dataclass(frozen=True)
class ModelSection:
    """`[model]`: what is fitted. `prior` is a table of alpha and beta; `seed` makes the run repeatable."""

    name: str = "beta_binomial"
    prior: RatePrior = field(default_factory=RatePrior)
    seed: int = 1
    engine: Literal["closed_form", "nuts"] | None = None
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


@dataclass(frozen=True)
class AnalysisFile:
    """An analysis, read and checked.

    Parameters
    ----------
    name
        Name of the analysis: the file's, without its ending.
    folder
        Folder that the data path is relative to.
    data, outcomes, model, checks, output
        The sections.
    """

    name: str
    folder: Path
    data: DataSection
    outcomes: tuple[OutcomeSection, ...]
    model: ModelSection = ModelSection()
    checks: ChecksSection = ChecksSection()
    output: OutputSection = OutputSection()

    @property
    def data_path(self) -> Path:
        """The table's path."""
        return self.folder / self.data.path


_SECTIONS = {"data": DataSection, "model": ModelSection, "checks": ChecksSection, "output": OutputSection}
_EXPECTED = {
    str: "text",
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    tuple: "a list of texts",
}


def read_analysis(path: str | os.PathLike[str]) -> AnalysisFile:
    """Read an analysis file.

    Raises
    ------
    MissingFileError
        There is no such file.
    AnalysisError
        It is not TOML, a key is unknown, missing or of the wrong type, or two outcomes share a name.
    """
    source = Path(path)
    if not source.is_file():
        raise MissingFileError(f"no analysis file {source}")
    try:
        content = tomllib.loads(source.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AnalysisError(f"{source} is not TOML: {error}") from error
    return _parse(content, name=source.stem, folder=source.parent)


def _parse(content: Mapping[str, Any], *, name: str, folder: Path) -> AnalysisFile:
    known = [*_SECTIONS, "outcome"]
    for key in content:
        if key not in known:
            raise AnalysisError(f"unknown section {key!r}. Sections: {listed(known)}.{did_you_mean(key, known)}")
    if "data" not in content:
        raise AnalysisError("section [data] is missing: it names the table, its column of arms and the control")
    outcomes = content.get("outcome", [])
    if not isinstance(outcomes, list) or not outcomes:
        raise AnalysisError("no [[outcome]]: name at least one, with its kind and threshold_of_caring")
    sections = {key: _section(f"[{key}]", kind, content[key]) for key, kind in _SECTIONS.items() if key in content}
    parsed = tuple(_section(f"[[outcome]] {i + 1}", OutcomeSection, one) for i, one in enumerate(outcomes))
    for one in parsed:
        if sections["data"].trials is not None and one.kind != "binary":
            raise AnalysisError(
                f"outcome {one.name!r} is {one.kind}, and [data] trials says that the table holds counts already made, "
                f"which only a binary outcome can be"
            )
    data = sections["data"]
    if data.trials is not None and (data.unit is not None or data.covariates):
        raise AnalysisError("[data]: unit and covariates are columns of unit rows; with trials, a row holds counts")
    names = [one.name for one in parsed]
    if len(set(names)) < len(names):
        raise AnalysisError(f"two outcomes share a name: {listed(names)}")
    order = sorted(parsed, key=lambda one: ROLES.index(one.role))
    return AnalysisFile(name=name, folder=folder, outcomes=tuple(order), **sections)


def _section(where: str, kind: type, content: Any) -> Any:
    if not isinstance(content, Mapping):
        raise AnalysisError(f"{where} is {type(content).__name__}; expected a table of keys")
    allowed = {one.name: one for one in fields(kind)}
    for key in content:
        if key not in allowed:
            raise AnalysisError(
                f"{where}: unknown key {key!r}. Keys: {listed(allowed, 20)}.{did_you_mean(key, allowed)}"
            )
    absent = [
        one.name
        for one in allowed.values()
        if one.default is MISSING and one.default_factory is MISSING and one.name not in content
    ]
    if absent:
        raise AnalysisError(f"{where}: {listed(absent)} missing")
    return kind(**{key: _value(f"{where} {key}", key, value) for key, value in content.items()})


_CHOICES: dict[str, tuple[str, ...]] = {
    "kind": KINDS,
    "role": ROLES,
    "assignment": ASSIGNMENTS,
    "engine": ("closed_form", "nuts"),
}
_LARGEST_SEED = 2**63 - 1
_LISTS = ("segments", "covariates")
_NUMBERS = ("threshold_of_caring", "rope", "prob")
_FLAGS = ("higher_is_better", "missingness", "predictive")


def _value(where: str, key: str, value: Any) -> Any:  # noqa: C901 -- one branch a type of key, read from top to bottom
    """One key's value, of the type that the key has."""
    if key in _CHOICES:
        if value not in _CHOICES[key]:
            raise AnalysisError(
                f"{where} = {value!r}. Choices: {listed(_CHOICES[key])}.{did_you_mean(value, _CHOICES[key])}"
            )
        return value
    if key == "prior":
        return _prior(where, value)
    if key == "intended_split":
        if not isinstance(value, Mapping) or not all(_is(share, float) for share in value.values()):
            raise AnalysisError(f"{where}: expected a table of arm = share")
        return {str(arm): float(share) for arm, share in value.items()}
    if key in _LISTS:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise AnalysisError(f"{where} = {value!r}; expected {_EXPECTED[tuple]}")
        return tuple(value)
    expected = float if key in _NUMBERS else bool if key in _FLAGS else int if key == "seed" else str
    if not _is(value, expected):
        raise AnalysisError(f"{where} = {value!r}; expected {_EXPECTED[expected]}")
    if key == "seed" and not 0 <= value <= _LARGEST_SEED:
        raise AnalysisError(f"{where} = {value}; expected a whole number from 0 to {_LARGEST_SEED}")
    if expected is str and not value:
        raise AnalysisError(f"{where} is empty")
    return float(value) if expected is float else value


def _is(value: Any, expected: type) -> bool:
    if isinstance(value, bool):
        return expected is bool
    return is_finite_number(value) if expected is float else isinstance(value, expected)


def _prior(where: str, value: Any) -> RatePrior:
    if not isinstance(value, Mapping) or set(value) != {"alpha", "beta"}:
        raise AnalysisError(f"{where} = {value!r}; expected {{ alpha = 1.0, beta = 1.0 }}")
    return RatePrior(value["alpha"], value["beta"])
