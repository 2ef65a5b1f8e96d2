"""The whole path in one call: read, check, fit, decide, report."""

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from tqdm import tqdm

from bayesuplift.analysis_file import AnalysisFile, prior_of, read_analysis
from bayesuplift.analysis_sections import OutcomeSection
from bayesuplift.data.cells import Cells
from bayesuplift.data.checks import Check, checks_of, duplicates, missingness, randomization
from bayesuplift.data.readers import read_cells, read_counts
from bayesuplift.decisions.choice import Standards, choose_arm
from bayesuplift.dims import POSTERIOR, TERM
from bayesuplift.errors import AnalysisError, BayesupliftError, DataWarning, UnreadableFileError, listed
from bayesuplift.estimands.grouped import grouped
from bayesuplift.files import folder_within
from bayesuplift.inference.fit import Engine, engines, fit, model_for
from bayesuplift.posterior.predictive import predictive_check
from bayesuplift.posterior.storage import save
from bayesuplift.report.content import OutcomeResult, Report, Segmentation
from bayesuplift.report.render import write_report

FILES = ("posterior.nc", "result.json", "report.md", "report.html")


def analyze(path: str | os.PathLike[str], *, progress: bool | None = None) -> Report:
    """Run an analysis file from data to decisions.

    Parameters
    ----------
    path
        The analysis file (TOML); see `analysis_file`.
    progress
        Whether to show a progress bar on standard error; by default only when that is a terminal.

    Returns
    -------
    Report
        One result an outcome, for `write_report` or `write_results`.

    Raises
    ------
    AnalysisError, MissingFileError, DataError, ColumnNotFoundError, ArmNotFoundError
        The file, the table or what it holds is not what the analysis says; nothing is fitted.
    """
    analysis = read_analysis(path)
    fits = {outcome.name: _fit_of(analysis, outcome) for outcome in analysis.outcomes}
    notes: list[str] = []
    cells = {outcome.name: _noted(analysis, outcome, notes) for outcome in analysis.outcomes}
    first = next(iter(cells.values()))
    _check_costs(analysis, first)
    checks = _data_checks(analysis, first)
    steps = len(cells) * (1 + len(analysis.data.segments))
    results = []
    with tqdm(total=steps, desc="fitting", unit="fit", disable=None if progress is None else not progress) as bar:
        for position, outcome in enumerate(analysis.outcomes):
            seeds = _seeds(analysis.model.seed, position)
            own, left_out = _decide(
                analysis, outcome, cells[outcome.name], fits[outcome.name], checks=checks, seeds=seeds, bar=bar
            )
            results.append(own)
            notes += left_out
    units = int(first.n.sum())
    return Report(
        title=analysis.output.title or f"Analysis of {analysis.name}",
        outcomes=tuple(results),
        source=f"{analysis.data.path}: {units:,} units in {len(first.design.arms)} arms",
        checks=tuple(checks),
        notes=tuple(dict.fromkeys(notes)),  # outcomes of one table share what is said of its segments
    )


def write_results(folder: str | os.PathLike[str], report: Report) -> list[Path]:
    """Write `posterior.nc`, `result.json`, `report.md` and `report.html` into a folder; return their paths."""
    target = Path(folder)
    occupied = [name for name in FILES if (target / name).is_dir()]
    if occupied:
        raise UnreadableFileError(f"cannot write {target / occupied[0]}: it is a folder")
    posteriors: dict[str, xr.DataTree] = {}
    for result in report.outcomes:
        outcome = str(result.posterior.attrs["outcome"])
        posteriors[outcome] = result.posterior
        posteriors |= {f"{outcome} by {one.factor}": one.posterior for one in result.segmentations}
    # All four are whole before the first takes its name: a folder never holds the results of two runs.
    with folder_within(target) as staged:
        save(posteriors, staged / FILES[0])
        for name in FILES[1:]:
            write_report(staged / name, report)
        for name in FILES:
            (staged / name).replace(target / name)
    return [target / name for name in FILES]


def check(path: str | os.PathLike[str]) -> list[Check]:
    """Read the data of an analysis file and check them; fit nothing."""
    analysis = read_analysis(path)
    for outcome in analysis.outcomes:
        _fit_of(analysis, outcome)
    cells = [_read(analysis, outcome) for outcome in analysis.outcomes]
    _check_costs(analysis, cells[0])
    return [randomization(analysis.data.assignment), *_data_checks(analysis, cells[0])]


def output_folder(path: str | os.PathLike[str]) -> Path:
    """Folder of an analysis' results: the one it names, else out/<its name>."""
    analysis = read_analysis(path)
    return Path(analysis.output.folder or f"out/{analysis.name}")


def seed_of(path: str | os.PathLike[str]) -> int:
    """Seed of an analysis, for the log."""
    return read_analysis(path).model.seed


def _seeds(seed: int, outcome: int) -> Iterator[int]:
    """Seeds of one outcome's fits, independent of each other and of other outcomes'."""
    stream = np.random.SeedSequence([seed, outcome])
    while True:
        yield int(stream.spawn(1)[0].generate_state(1)[0])


def _noted(analysis: AnalysisFile, outcome: OutcomeSection, notes: list[str]) -> Cells:
    """Read one outcome's cells; keep for the report what reading warns of, and warn of it still."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cells = _read(analysis, outcome)
    for one in caught:
        if issubclass(one.category, DataWarning):
            notes.append(str(one.message))
        warnings.warn(one.message, one.category, stacklevel=3)
    return cells


def _read(analysis: AnalysisFile, outcome: OutcomeSection) -> Cells:
    data = analysis.data
    shared: dict[str, Any] = {
        "arm": data.arm,
        "control": data.control,
        "segments": list(data.segments),
        "assignment": data.assignment,
        "intended_split": data.intended_split,
    }
    column = outcome.column or outcome.name
    if data.trials is None:
        cells = read_cells(
            analysis.data_path,
            outcome=column,
            kind=outcome.kind,
            unit=data.unit,
            exposure=outcome.exposure,
            covariate=outcome.covariate,
            **shared,
        )
        return cells if column == outcome.name else replace(cells, outcome=outcome.name)
    if outcome.kind == "binary" and outcome.statistics is None:
        return read_counts(analysis.data_path, trials=data.trials, successes=column, outcome=outcome.name, **shared)
    named = {"n": data.trials}
    if outcome.column is not None:
        named["value" if outcome.kind == "count" else "total"] = outcome.column
    return Cells.from_table(
        analysis.data_path,
        kind=outcome.kind,
        outcome=outcome.name,
        statistics=named | dict(outcome.statistics or {}),
        covariate=outcome.covariate,
        **shared,
    )


@dataclass(frozen=True)
class _Fit:
    """Model, prior and engine of one outcome, and whether the model pools over segments."""

    model: str
    prior: Any
    engine: Engine | None
    pools: bool


def _fit_of(analysis: AnalysisFile, outcome: OutcomeSection) -> _Fit:
    """What is fitted to an outcome; refused before any data are read where it does not exist."""
    section = analysis.model_of(outcome)
    assert section.name is not None, "every kind of outcome has a model"
    spec = model_for(section.name, outcome=outcome.name, kind=outcome.kind)
    name = spec.name  # one word of the user's may stand for a model of each kind
    where = f"[[outcome]] {outcome.name}"
    if "covariate_total" in spec.needs and outcome.covariate is None:
        raise AnalysisError(f'{where}: model {name!r} adjusts for a covariate; name its column: covariate = "..."')
    if outcome.covariate is not None and "covariate_total" not in spec.needs:
        raise AnalysisError(
            f'{where}: model {name!r} does not adjust for a covariate; name one that does: model = "normal_adjusted"'
        )
    if outcome.exposure is not None and not spec.per_exposure:
        raise AnalysisError(f"{where}: model {name!r} takes no exposure; the kind's own model does")
    prior = prior_of(type(spec.default_prior), section.prior, f"{where} prior of {name}")
    if section.engine is not None and section.engine not in engines(name):
        raise AnalysisError(f"{where}: engine = {section.engine!r}; model {name!r} has {listed(engines(name))}")
    return _Fit(name, prior, section.engine, pools=spec.pools)


def _check_costs(analysis: AnalysisFile, cells: Cells) -> None:
    """Refuse costs of arms that are not in the data, before anything is fitted."""
    for outcome in analysis.outcomes:
        economics = analysis.economics_of(outcome)
        if economics is not None:
            economics.costs(cells.design.arms, cells.design.control)


def _data_checks(analysis: AnalysisFile, cells: Cells) -> list[Check]:
    data = analysis.data
    checks = checks_of(cells)
    if data.trials is not None:
        return checks
    columns = [*data.covariates]
    if analysis.checks.missingness and columns:
        checks.append(missingness(analysis.data_path, arm=data.arm, columns=columns))
    if data.unit is not None:
        checks.append(duplicates(analysis.data_path, unit=data.unit))
    return checks


def _decide(
    analysis: AnalysisFile,
    outcome: OutcomeSection,
    cells: Cells,
    chosen: _Fit,
    *,
    checks: list[Check],
    seeds: Iterator[int],
    bar: Any,
) -> tuple[OutcomeResult, list[str]]:
    """Fit and decide one outcome, overall and within the segments of every factor; and say which of these could not be."""
    options = Standards(
        threshold_of_caring=outcome.threshold_of_caring,
        rope=outcome.rope,
        higher_is_better=outcome.higher_is_better,
        prob=analysis.model.prob,
    )
    # The posterior repeats the check of the sample ratio on its own, so that it holds for a stored one, too.
    others = [check for check in checks if check.name != "sample_ratio"]

    def fitted(part: Cells, seed: int) -> xr.DataTree:
        posterior = fit(chosen.model, part, prior=chosen.prior, seed=seed, engine=chosen.engine, progress=False)
        bar.update()
        return posterior

    # A model whose segments borrow from each other is decided on over all of them; others would only lose by the split.
    posterior = fitted(cells if chosen.pools else cells.by(), next(seeds))
    choice = choose_arm(posterior, checks=others, **options)
    # A term for every factor: this posterior speaks of each, and another fit would only let go of what the others teach.
    of_factors = TERM in posterior[POSTERIOR].dims

    def fitted_by(factor: str, seed: int) -> xr.DataTree:
        if not of_factors:
            return fitted(cells.by(factor), seed)
        bar.update()
        return grouped(posterior, by=factor, observed=cells.by(factor).statistics)

    segmentations, left_out = [], []
    for factor, seed in zip(cells.factors, seeds, strict=False):
        # A segment may hold what its model cannot be fitted to; the decision for everybody does not rest on it.
        try:
            by_factor = fitted_by(factor, seed)
            found = Segmentation(factor, by_factor, choose_arm(by_factor, checks=others, **options))
        except BayesupliftError as refusal:
            left_out.append(f"{outcome.name} by {factor} is left out: {refusal}")
        else:
            segmentations.append(found)
    result = OutcomeResult(
        posterior=posterior,
        choice=choice,
        role=outcome.role,
        model_checks=predictive_check(posterior, cells, seed=next(seeds)) if analysis.checks.predictive else (),
        segmentations=tuple(segmentations),
        economics=analysis.economics_of(outcome),
    )
    return result, left_out
