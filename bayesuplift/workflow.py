"""The whole path in one call: read, check, fit, decide, report."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from tqdm import tqdm

from bayesuplift.analysis_data import cells_of, data_checks, read_noted, read_outcome
from bayesuplift.analysis_file import AnalysisFile, prior_of, read_analysis
from bayesuplift.analysis_rules import check_rules
from bayesuplift.analysis_sections import ModelSection, OutcomeSection
from bayesuplift.data.cells import Cells
from bayesuplift.data.checks import Check, randomization
from bayesuplift.data.experiment import Experiment
from bayesuplift.decisions.choice import Choice, Standards, choose_arm
from bayesuplift.decisions.deployment.policy_file import save_policy
from bayesuplift.decisions.trees.policy_tree import PolicyTree, policy_tree
from bayesuplift.dims import POSTERIOR, SEGMENT, TERM
from bayesuplift.errors import AnalysisError, BayesupliftError, PosteriorError, UnreadableFileError, listed
from bayesuplift.estimands.grouped import grouped
from bayesuplift.estimands.projection_curves import effect_curves
from bayesuplift.estimands.projection_tree import effect_tree
from bayesuplift.estimands.subgroups import subgroups
from bayesuplift.estimands.value import Economics
from bayesuplift.files import folder_within
from bayesuplift.inference.fit import Engine, engines, fit, model_for
from bayesuplift.posterior.predictive import predictive_check
from bayesuplift.posterior.storage import save
from bayesuplift.report.content import OutcomeResult, Report, Segmentation
from bayesuplift.report.explanation import Explanation
from bayesuplift.report.render import write_report
from bayesuplift.spec import ModelSpec, registered

_MOST_SEGMENTS = 1_000  # of units, whose effects are summarized one by one
FILES = ("posterior.nc", "result.json", "report.md", "report.html")
POLICY = "policy.json"  # where an outcome has economics, and no check failed


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
    data = {
        outcome.name: read_noted(analysis, outcome, notes, by_unit=fits[outcome.name].by_unit)
        for outcome in analysis.outcomes
    }
    first = cells_of(next(iter(data.values())))
    _check_money(analysis, fits, data)
    checks = data_checks(analysis, first)
    steps = len(data) * (1 + len(analysis.data.segments))
    results = []
    with tqdm(total=steps, desc="fitting", unit="fit", disable=None if progress is None else not progress) as bar:
        for position, outcome in enumerate(analysis.outcomes):
            run = _Run(fits[outcome.name], seeds=_seeds(analysis.model.seed, position), progress=progress, bar=bar)
            own, left_out = _decide(analysis, outcome, data[outcome.name], run, checks=checks)
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
    """Write `posterior.nc`, `result.json`, `report.md` and `report.html` into a folder; return their paths.

    Where there are policies, `policy.json` is that of the first rule on the first outcome that has them, ready for new
    units; where there are none, a file of that name from an earlier run goes.
    """
    target = Path(folder)
    occupied = [name for name in (*FILES, POLICY) if (target / name).is_dir()]
    if occupied:
        raise UnreadableFileError(f"cannot write {target / occupied[0]}: it is a folder")
    posteriors: dict[str, xr.DataTree] = {}
    for result in report.outcomes:
        outcome = str(result.posterior.attrs["outcome"])
        posteriors[outcome] = result.posterior
        posteriors |= {f"{outcome} by {one.factor}": one.posterior for one in result.segmentations}
    written = list(FILES)
    # All are whole before the first takes its name: a folder never holds the results of two runs.
    with folder_within(target) as staged:
        save(posteriors, staged / FILES[0])
        for name in FILES[1:]:
            write_report(staged / name, report)
        chosen = next((one for one in report.outcomes if one.targeting is not None and one.targeting.policies), None)
        if chosen is not None and chosen.targeting is not None:
            first = next(iter(chosen.targeting.policies.values()))
            save_policy(first, staged / POLICY, posterior=chosen.posterior)
            written.append(POLICY)
        for name in written:
            (staged / name).replace(target / name)
    if chosen is None:
        (target / POLICY).unlink(missing_ok=True)
    return [target / name for name in written]


def check(path: str | os.PathLike[str]) -> list[Check]:
    """Read the data of an analysis file and check them; fit nothing."""
    analysis = read_analysis(path)
    fits = {outcome.name: _fit_of(analysis, outcome) for outcome in analysis.outcomes}
    data = {one.name: read_outcome(analysis, one, by_unit=fits[one.name].by_unit) for one in analysis.outcomes}
    first = cells_of(next(iter(data.values())))
    _check_money(analysis, fits, data)
    return [randomization(analysis.data.assignment), *data_checks(analysis, first)]


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


@dataclass(frozen=True)
class _Fit:
    """Model, prior, engine and length of one outcome's fit; whether the model pools, and whether it sees single units."""

    model: str
    prior: Any
    engine: Engine | None
    length: dict[str, int | None]
    pools: bool
    by_unit: bool


@dataclass(frozen=True)
class _Run:
    """How one outcome is fitted: what is fitted to it, with which seeds, and where progress is shown."""

    of: _Fit
    seeds: Iterator[int]
    progress: bool | None
    bar: Any

    def fitted(self, data: Cells | Experiment, seed: int) -> xr.DataTree:
        """Fit the model; one that sees units takes its time, and shows how far it is."""
        shown = self.progress if self.of.by_unit else False
        options: dict[str, Any] = {"prior": self.of.prior, "engine": self.of.engine, **self.of.length}
        posterior = fit(self.of.model, data, seed=seed, progress=shown, **options)
        self.bar.update()
        return posterior


def _fit_of(analysis: AnalysisFile, outcome: OutcomeSection) -> _Fit:
    """What is fitted to an outcome; refused before any data are read where it does not exist."""
    section = analysis.model_of(outcome)
    where = f"[[outcome]] {outcome.name}"
    spec = _spec_of(analysis, outcome, section, where)
    name = spec.name  # one word of the user's may stand for a model of each kind
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
    return _Fit(name, prior, section.engine, section.length, pools=spec.pools, by_unit=spec.data == "units")


def _spec_of(analysis: AnalysisFile, outcome: OutcomeSection, section: ModelSection, where: str) -> ModelSpec:
    """The model of an outcome, if it describes outcomes of its kind in a table such as this one."""
    assert section.name is not None, "every kind of outcome has a model"
    spec = registered().get(section.name)
    if spec is None or spec.data != "units":
        return model_for(section.name, outcome=outcome.name, kind=outcome.kind)
    if outcome.kind not in spec.outcomes:
        raise AnalysisError(f"{where} is {outcome.kind}; model {spec.name!r} is for {listed(spec.outcomes)} outcomes")
    if analysis.data.trials is not None:
        raise AnalysisError(
            f"{where}: model {spec.name!r} sees units one by one, and with [data] trials a row holds statistics of many; "
            f"give a table of units"
        )
    if not analysis.data.covariates:
        raise AnalysisError(
            f"{where}: model {spec.name!r} asks what effects depend on; name its columns: [data] covariates = [...]"
        )
    return spec


def _check_money(analysis: AnalysisFile, fits: Mapping[str, _Fit], data: Mapping[str, Cells | Experiment]) -> None:
    """Refuse costs, and limits of rules, that name what is not in the data, before anything is fitted."""
    for outcome in analysis.outcomes:
        economics = analysis.economics_of(outcome)
        if economics is not None:
            cells, fitted = cells_of(data[outcome.name]), fits[outcome.name]
            economics.costs(cells.design.arms, cells.design.control)
            check_rules(analysis.rules, economics, cells, pools=fitted.pools or fitted.by_unit)


def _decide(
    analysis: AnalysisFile, outcome: OutcomeSection, data: Cells | Experiment, run: _Run, *, checks: list[Check]
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
    cells = cells_of(data)
    # A model whose segments borrow from each other is decided on over all of them; others would only lose by the split.
    posterior = run.fitted(data if run.of.by_unit else cells if run.of.pools else cells.by(), next(run.seeds))
    choice = choose_arm(posterior, checks=others, **options)
    segmentations, left_out = [], []
    by_segment = None
    if run.of.by_unit and cells.factors:
        if cells.statistics.sizes[SEGMENT] <= _MOST_SEGMENTS:
            by_segment = grouped(posterior, by=cells.factors, observed=cells.statistics)
        else:
            left_out.append(
                f"{outcome.name}: {cells.statistics.sizes[SEGMENT]:,} segments are too many to be told one by one; effects "
                f"are told by level of each factor, and by unit"
            )
    fitted_by = _fitted_by(posterior if by_segment is None else by_segment, cells, run)
    for factor, seed in zip(cells.factors, run.seeds, strict=False):
        # A segment may hold what its model cannot be fitted to; the decision for everybody does not rest on it.
        try:
            by_factor = fitted_by(factor, seed)
            found = Segmentation(factor, by_factor, choose_arm(by_factor, checks=others, **options))
        except BayesupliftError as refusal:
            left_out.append(f"{outcome.name} by {factor} is left out: {refusal}")
        else:
            segmentations.append(found)
    economics = analysis.economics_of(outcome)
    tree = None
    if isinstance(data, Experiment):
        tree = _tree(posterior, data, choice, economics, seed=next(run.seeds), left_out=left_out)
    result = OutcomeResult(
        posterior=posterior,
        choice=choice,
        role=outcome.role,
        model_checks=_predicted(posterior, data, seed=next(run.seeds), left_out=left_out)
        if analysis.checks.predictive
        else (),
        segmentations=tuple(segmentations),
        economics=economics,
        by_segment=by_segment,
        observed=cells.by().statistics if run.of.by_unit else None,
        explanations=_explained(posterior, data, analysis.model.prob, left_out) if isinstance(data, Experiment) else (),
        rules=analysis.rules,
        policy_tree=tree,
    )
    return result, left_out


def _predicted(
    posterior: xr.DataTree, data: Cells | Experiment, *, seed: int, left_out: list[str]
) -> tuple[Check, ...]:
    """Whether the posterior predicts the data; of a model of units whose noise it does not know, that this is not known."""
    try:
        return predictive_check(posterior, data, seed=seed)
    except PosteriorError as refusal:
        if not isinstance(data, Experiment):
            raise
        left_out.append(f"{data.outcome_name}: predictive checks are left out: {refusal}")
        return ()


def _tree(
    posterior: xr.DataTree,
    data: Experiment,
    choice: Choice,
    economics: Economics | None,
    *,
    seed: int,
    left_out: list[str],
) -> PolicyTree | None:
    """The policy on units as a tree over what is known of them; None without economics, or where a check failed."""
    if economics is None or choice.verdict.name == "INVALID":
        return None
    try:
        return policy_tree(posterior, economics, data, seed=seed)
    except BayesupliftError as refusal:
        left_out.append(f"{data.outcome_name}: a tree to treat by is left out: {refusal}")
        return None


def _explained(posterior: xr.DataTree, units: Experiment, prob: float, left_out: list[str]) -> tuple[Explanation, ...]:
    """What the effects of each treatment depend on; and which summaries there are none of."""
    found = []
    for arm in units.design.treatments:
        summaries: dict[str, Any] = {}
        for name, summary in (("tree", effect_tree), ("curves", effect_curves), ("subgroups", subgroups)):
            try:
                summaries[name] = summary(posterior, units, arm=arm, prob=prob)
            except BayesupliftError as refusal:
                left_out.append(f"{units.outcome_name}, {name} of the effects of {arm} are left out: {refusal}")
        if "tree" in summaries:
            found.append(Explanation(arm, **summaries))
    return tuple(found)


def _fitted_by(posterior: xr.DataTree, cells: Cells, run: _Run) -> Callable[[str, int], xr.DataTree]:
    """How the posterior over the levels of a factor is come by: averaged from the one there is, or fitted."""
    # A term for every factor, or effects of every unit: this posterior speaks of each, and another fit would only let go of
    # what the others teach.
    of_factors = run.of.by_unit or TERM in posterior[POSTERIOR].dims

    def fitted_by(factor: str, seed: int) -> xr.DataTree:
        if not of_factors:
            return run.fitted(cells.by(factor), seed)
        run.bar.update()
        return grouped(posterior, by=factor, observed=cells.by(factor).statistics)

    return fitted_by
