"""The analysis file: what to read, what to decide, and by which standards. Unknown keys are errors."""

import math
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args

from bayesuplift.analysis_rules import rules_of
from bayesuplift.analysis_sections import (
    MODELS,
    ROLES,
    ChecksSection,
    DataSection,
    EconomicsSection,
    EngineName,
    ModelSection,
    OutcomeSection,
    OutputSection,
)
from bayesuplift.data.grid import COVARIATE_KINDS
from bayesuplift.decisions.targeting.rules import Rule
from bayesuplift.dims import ASSIGNMENTS, KINDS
from bayesuplift.errors import (
    AnalysisError,
    MissingFileError,
    did_you_mean,
    is_finite_number,
    listed,
)
from bayesuplift.estimands.value import Economics


@dataclass(frozen=True)
class AnalysisFile:
    """An analysis, read and checked.

    Parameters
    ----------
    name
        Name of the analysis: the file's, without its ending.
    folder
        Folder that the data path is relative to.
    data, outcomes, model, economics, checks, output
        The sections; economics only where the file has them.
    rules
        By which it is chosen whom to treat, by name; none where the file leaves that to the report.
    """

    name: str
    folder: Path
    data: DataSection
    outcomes: tuple[OutcomeSection, ...]
    model: ModelSection = field(default_factory=ModelSection)
    economics: EconomicsSection | None = None
    checks: ChecksSection = field(default_factory=ChecksSection)
    output: OutputSection = field(default_factory=OutputSection)
    rules: Mapping[str, Rule] = field(default_factory=dict)

    @property
    def data_path(self) -> Path:
        """The table's path."""
        return self.folder / self.data.path

    def model_of(self, outcome: OutcomeSection) -> ModelSection:
        """What is fitted to an outcome: what it says itself, else what `[model]` says, else its kind's model."""
        shared = self.model
        own = outcome.model is not None
        return ModelSection(
            name=outcome.model or shared.name or MODELS[outcome.kind],
            prior=outcome.prior if own or outcome.prior is not None else shared.prior,
            seed=shared.seed,
            engine=outcome.engine if own or outcome.engine is not None else shared.engine,
            chains=outcome.chains if own or outcome.chains is not None else shared.chains,
            draws=outcome.draws if own or outcome.draws is not None else shared.draws,
            warmup=outcome.warmup if own or outcome.warmup is not None else shared.warmup,
            prob=shared.prob,
        )

    def economics_of(self, outcome: OutcomeSection) -> Economics | None:
        """What an outcome is worth and its arms cost; None where the file does not say what it is worth."""
        return None if self.economics is None else self.economics.of(outcome)


_SECTIONS = {
    "data": DataSection,
    "model": ModelSection,
    "economics": EconomicsSection,
    "checks": ChecksSection,
    "output": OutputSection,
}
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
    known = [*_SECTIONS, "outcome", "rule"]
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
    data = sections["data"]
    if data.trials is not None and (data.unit is not None or data.propensity is not None or data.covariates):
        raise AnalysisError(
            "[data]: unit, propensity and covariates are columns of unit rows; with trials, a row holds statistics of many"
        )
    _check_shared(content.get("model", {}), parsed)
    for one in parsed:
        _check_columns(one, by_cell=data.trials is not None)
    names = [one.name for one in parsed]
    if len(set(names)) < len(names):
        raise AnalysisError(f"two outcomes share a name: {listed(names)}")
    order = sorted(parsed, key=lambda one: ROLES.index(one.role))
    if "rule" in content and "economics" not in content:
        raise AnalysisError(
            "[[rule]] chooses whom to treat by net gain; add [economics] with value_per_outcome and cost_per_unit"
        )
    rules = rules_of(content.get("rule", []))
    analysis = AnalysisFile(name=name, folder=folder, outcomes=tuple(order), rules=rules, **sections)
    if analysis.economics is not None:
        analysis.economics.check(analysis.outcomes, analysis.data.intended_split)
    return analysis


def _check_shared(model: Mapping[str, Any], outcomes: Iterable[OutcomeSection]) -> None:
    """Refuse keys of `[model]` that count for no outcome, since each says so itself or has a model of its own."""
    for key in sorted(model.keys() & _SHARED):
        own = ["model", *_SHARED[key]]
        if all(any(getattr(one, name) is not None for name in own) for one in outcomes):
            raise AnalysisError(
                f"[model] {key} = {model[key]!r} counts for no outcome: each has its own {listed(own)}. Say it under "
                f"[[outcome]]"
            )


def _check_columns(outcome: OutcomeSection, *, by_cell: bool) -> None:
    """Refuse columns that this kind of outcome, or of table, does not have."""
    where = f"[[outcome]] {outcome.name}"
    if outcome.exposure is not None and (outcome.kind != "count" or by_cell):
        instead = "name its column in statistics" if by_cell else "only counts have one"
        raise AnalysisError(f"{where}: exposure is given for a {outcome.kind} outcome; {instead}")
    if outcome.covariate is not None and outcome.kind not in COVARIATE_KINDS:
        raise AnalysisError(
            f"{where}: covariate is given for a {outcome.kind} outcome; only {listed(COVARIATE_KINDS)} outcomes are "
            f"adjusted for one"
        )
    taken = {"n": "[data] trials", ("value" if outcome.kind == "count" else "total"): "column"}
    for statistic, key in taken.items():
        if statistic in (outcome.statistics or {}) and (key != "column" or outcome.column is not None):
            raise AnalysisError(f"{where}: statistics names {statistic!r}, which {key} names too. Name it once.")
    if outcome.statistics is not None and not by_cell:
        raise AnalysisError(
            f"{where}: statistics names columns of cells made elsewhere; [data] trials then names the column of units"
        )


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
    "engine": get_args(EngineName),
}
_LARGEST_SEED = 2**63 - 1
_WHOLE = {"seed": (0, _LARGEST_SEED), "chains": (1, 1_000), "draws": (4, 1_000_000), "warmup": (1, 1_000_000)}
_SHARED: dict[str, tuple[str, ...]] = {"name": ()} | {
    key: (key,) for key in ("prior", "engine", "chains", "draws", "warmup")
}
"""Keys of `[model]`, and what an outcome has in the place of each beside a model of its own."""
_LISTS = ("segments", "covariates")
_MONEY = {"value_per_outcome": "outcome", "cost_per_unit": "arm"}
_NUMBERS = ("threshold_of_caring", "rope", "prob")
_RANGES = {"threshold_of_caring": (0.0, math.inf), "rope": (0.0, math.inf), "prob": (0.0, 1.0)}
_FLAGS = ("higher_is_better", "missingness", "predictive")


def _value(where: str, key: str, value: Any) -> Any:  # noqa: C901, PLR0911, PLR0912 -- one branch a type of key, read from top to bottom
    """One key's value, of the type that the key has."""
    if key in _CHOICES:
        if value not in _CHOICES[key]:
            raise AnalysisError(
                f"{where} = {value!r}. Choices: {listed(_CHOICES[key])}.{did_you_mean(value, _CHOICES[key])}"
            )
        return value
    if key == "prior":
        if not isinstance(value, Mapping):
            raise AnalysisError(f"{where} = {value!r}; expected a table such as {{ alpha = 1.0, beta = 1.0 }}")
        return dict(value)
    if key == "statistics":
        if not isinstance(value, Mapping) or not all(isinstance(one, str) and one for one in value.values()):
            raise AnalysisError(f"{where} = {value!r}; expected a table of statistic = column")
        return dict(value)
    if key == "intended_split":
        if not isinstance(value, Mapping) or not all(_is(share, float) for share in value.values()):
            raise AnalysisError(f"{where}: expected a table of arm = share")
        return {str(arm): float(share) for arm, share in value.items()}
    if key in _MONEY:
        if isinstance(value, Mapping) and all(_is(money, float) for money in value.values()):
            return {str(name): float(money) for name, money in value.items()}
        if not _is(value, float):
            raise AnalysisError(f"{where} = {value!r}; expected a table of {_MONEY[key]} = money, or a number")
        return float(value)
    if key in _LISTS:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise AnalysisError(f"{where} = {value!r}; expected {_EXPECTED[tuple]}")
        return tuple(value)
    expected = float if key in _NUMBERS else bool if key in _FLAGS else int if key in _WHOLE else str
    if not _is(value, expected):
        raise AnalysisError(f"{where} = {value!r}; expected {_EXPECTED[expected]}")
    least, most = _RANGES.get(key, (-math.inf, math.inf))
    if expected is float and not least <= value <= most:
        raise AnalysisError(f"{where} = {value!r}; expected a number from {least:g}, to {most:g}")
    if key == "prob" and value in (least, most):
        raise AnalysisError(f"{where} = {value!r}; expected a probability strictly between 0 and 1")
    fewest, largest = _WHOLE.get(key, (0, 0))
    if expected is int and not fewest <= value <= largest:
        raise AnalysisError(f"{where} = {value}; expected a whole number from {fewest} to {largest}")
    if expected is str and not value:
        raise AnalysisError(f"{where} is empty")
    return float(value) if expected is float else value


def _is(value: Any, expected: type) -> bool:
    if isinstance(value, bool):
        return expected is bool
    return is_finite_number(value) if expected is float else isinstance(value, expected)


def prior_of(family: type, table: Mapping[str, Any] | None, where: str) -> Any:
    """Make a prior of a family from its table; what the table leaves out is the family's default.

    Parameters
    ----------
    family
        Class of the prior, from `bayesuplift.priors`.
    table
        Numbers by the names of its fields; a field that is a prior itself is a table. None: the default prior.
    where
        What the table is called in a refusal.

    Raises
    ------
    AnalysisError
        A key that is none of the family's, or a table where a number is expected, or the reverse.
    ArgumentError
        A number out of its range.
    """
    known = {one.name: one for one in fields(family)}
    values = {}
    for key, value in (table or {}).items():
        if key not in known:
            raise AnalysisError(
                f"{where}: {family.__name__} has no {key!r}. Keys: {listed(known)}.{did_you_mean(key, known)}"
            )
        inner: Any = known[key].default_factory  # a prior within a prior is its field's default
        nested = inner is not MISSING and is_dataclass(inner)
        if nested != isinstance(value, Mapping):
            raise AnalysisError(
                f"{where} {key} = {value!r}; expected {'a table of its numbers' if nested else 'a number'}"
            )
        values[key] = prior_of(inner, value, f"{where} {key}") if nested else value
    return family(**values)
