"""The one entry to inference."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import numpy as np
import xarray as xr

import bayesuplift.models  # noqa: F401 -- importing the package of models registers them
from bayesuplift.data.cells import Cells
from bayesuplift.data.effects import Effects
from bayesuplift.data.experiment import Experiment
from bayesuplift.data.unit_limits import check_limits
from bayesuplift.data.units import Units
from bayesuplift.dims import ARM, CHAIN, CONSTANT_DATA, COVARIATE, OBSERVED_DATA, POSITION, SEGMENT, UNIT, Kind, N
from bayesuplift.errors import ArgumentError, FrameTypeError, check_whole, listed
from bayesuplift.inference import conjugate, direct, many_chains, nuts
from bayesuplift.inference.density import Data
from bayesuplift.inference.reparametrised import STANDARDISED
from bayesuplift.inference.vectorised import SUPERCHAINS
from bayesuplift.posterior import diagnostics
from bayesuplift.posterior.schema import assemble
from bayesuplift.posterior.storage import provenance
from bayesuplift.spec import ModelSpec, find, registered

Engine = Literal["closed_form", "direct", "gibbs", "hmc", "nuts"]
_METHODS: dict[Engine, str] = {
    "closed_form": "closed form",
    "direct": "independent draws",
    "gibbs": "Gibbs sampling of forests of trees (kernel of bartz)",
    "hmc": "HMC, many chains stepped together (NumPyro program)",
    "nuts": "NUTS (NumPyro)",
}
_DRAWING_UNDER_OTHERS: Final = ("gibbs", "hmc")
_LENGTH = {"chains": 4, "draws": 1000, "warmup": 1000}
_LENGTH_OF_MANY = {"chains": 32, "draws": 125, "warmup": 150}
_LENGTH_OF_FORESTS = {"chains": 4, "draws": 500, "warmup": 500}
_ROUNDS_OF_FORESTS = 4
PARTIAL_POOLING = "partial_pooling"
"""Name that stands for the partially pooled model of the outcome's kind."""


def fit(
    model: str,
    data: Cells | Experiment | Effects | Units,
    *,
    seed: int,
    prior: Any = None,
    engine: Engine | None = None,
    chains: int | None = None,
    draws: int | None = None,
    warmup: int | None = None,
    progress: bool | None = None,
    sensitivity: bool = True,
    start: xr.DataTree | None = None,
) -> xr.DataTree:
    """Fit a registered model.

    Parameters
    ----------
    model
        Name of the model; `models()` lists them. "partial_pooling" is the partially pooled model of the outcome's kind.
    data
        Cells, the effects of past experiments, or an `Experiment`: models of cells take its cells by its segments, models
        of units its units with their covariates.
    seed
        Seed of everything random here, from 0.
    prior
        The prior, of the model's family; its own default if left out. What a prior leaves open is filled in from the data.
    engine
        "closed_form" where the posterior has one, "direct" where it can be drawn from without a Markov chain, else "hmc",
        many short chains of the NumPyro program stepped together: these are the defaults. "nuts" samples the NumPyro
        program of any model by the no-U-turn sampler. Where "hmc" was not asked for and its draws fail a diagnostic it is
        run again with smaller steps; where that fails "nuts" takes its place, and the attribute `fallback` says why.
        Forests of trees have "gibbs", and no other.
    chains, draws, warmup
        Number of chains, of draws kept in each, and of adaptation steps before them (Markov chains only). By default 4
        chains of 1,000 draws after 1,000 steps; "hmc": 32 chains of 125 draws after 150 steps; "gibbs": 4 chains of 500
        draws after 500 sweeps, and unless `draws` says how many, draws that fail a diagnostic are drawn again from where
        the chains are, up to three times, with twice as many sweeps from one to the next.
    progress
        Whether to show a progress bar on standard error; by default only when that is a terminal.
    sensitivity
        Whether "hmc" and "gibbs" draw under the alternative priors, too, of models of units averages over these alone: a
        sensitivity table of decisions needs it. "hmc" takes more steps for it than for the fit itself, "gibbs" 200 sweeps
        a chain under each prior, from where the chains ended: two fifths of a fit by default.
    start
        Posterior of an earlier fit by "gibbs" of the same data with the same prior: its chains go on from where they stood,
        with their own random streams, and `seed` decides nothing. The draws that follow are returned, without those before.

    Returns
    -------
    xarray.DataTree
        The posterior in the layout of `bayesuplift.posterior.schema`.

    Raises
    ------
    ModelNotFoundError
        No such model.
    ArgumentError
        Data of another kind than the model's, an engine it does not have, a count or seed out of range, or a `start` that
        is of something else.
    """
    data = conditioned_on(model, data)
    spec = model_of(model, data)
    model = spec.name
    if spec.forest:
        assert isinstance(data, Units)
        check_limits(data, one_effect=getattr(prior, "coding", None) == "dose")
    known = engines(model)
    chosen = known[0] if engine is None else engine
    if chosen not in known:
        raise ArgumentError(f"engine = {engine!r}; model {model!r} has {listed(known)}")
    stated = chosen_prior(spec, prior, data)
    asked = {"chains": chains, "draws": draws, "warmup": warmup}
    if start is not None:
        asked |= _as_it_stands(
            start, chosen, {"model": model, "data_fingerprint": data.fingerprint, "prior": str(stated)}
        )
    length = _length(chosen, seed, asked, least_warmup=1 if start is None else 0)
    priors = stated.alternatives(data)
    own_seed = int(seed if start is None else start.attrs["seed"])

    def by(engine: Engine, length: Mapping[str, int], *, careful: bool = False, **told: Any) -> xr.DataTree:
        markov: dict[str, Any] = {"seed": int(seed), "progress": progress, **length}
        markov |= {"sensitivity": sensitivity} if engine in _DRAWING_UNDER_OTHERS else {}
        if engine == "hmc":
            markov["careful"] = careful
        if engine == "gibbs":
            markov["rounds"] = _ROUNDS_OF_FORESTS if draws is None else 1
            markov["position"] = None if start is None else start[POSITION].to_dataset()
        groups = _groups(spec, data, priors, engine, markov)
        groups[OBSERVED_DATA] = _observed(spec, data)
        if constant := _constants(data):
            groups[CONSTANT_DATA] = xr.Dataset(constant)
        told |= {diagnostics.SUPERCHAINS: SUPERCHAINS} if engine == "hmc" else {}
        return assemble(groups, provenance_of(spec, data, stated, own_seed) | {"method": _METHODS[engine], **told})

    found = by(chosen, length)
    if chosen != "hmc" or engine is not None or not (failed := _failed(found)):
        return found
    careful = by("hmc", length | {"warmup": 2 * length["warmup"]}, careful=True)
    if not (still := _failed(careful)):
        return careful
    why = f"{_METHODS['hmc']} was not trusted: {failed} With smaller steps: {still}"
    return by("nuts", _LENGTH, fallback=why)


def _as_it_stands(start: xr.DataTree, engine: Engine, these: Mapping[str, str]) -> dict[str, int | None]:
    """Length of a run that goes on from a posterior, as far as that decides it; refused where it is of something else."""
    if engine != "gibbs":
        raise ArgumentError(f"start is given, and engine {engine!r} always starts anew; only 'gibbs' goes on")
    if POSITION not in start.children:
        raise ArgumentError("start does not hold where its chains stood; only posteriors of engine 'gibbs' do")
    for name, value in these.items():
        if start.attrs.get(name) != value:
            raise ArgumentError(f"start is of another {name}: {start.attrs.get(name)!r}, and this fit's is {value!r}")
    return {"chains": start[POSITION].sizes[CHAIN], "warmup": 0}


def _length(engine: Engine, seed: int, given: Mapping[str, int | None], *, least_warmup: int) -> dict[str, int]:
    """Length of a run: the engine's own, but for what is given."""
    many = engine == "hmc"
    own = {"hmc": _LENGTH_OF_MANY, "gibbs": _LENGTH_OF_FORESTS}.get(engine, _LENGTH)
    length = own | {name: value for name, value in given.items() if value is not None}
    least = {"seed": 0, "chains": SUPERCHAINS if many else 1, "draws": 4, "warmup": least_warmup}
    for name, value in {"seed": seed, **length}.items():
        check_whole(name, value, least[name])
    if many and length["chains"] % SUPERCHAINS:
        raise ArgumentError(f"chains = {length['chains']}; engine 'hmc' takes a multiple of {SUPERCHAINS}")
    return length


def _failed(posterior: xr.DataTree) -> str:
    """What diagnostics say against the draws; empty where they say nothing."""
    return " ".join(check.sentence for check in diagnostics.diagnose(posterior) if not check.passed)


def chosen_prior(spec: ModelSpec, prior: Any, data: Data) -> Any:
    """The prior that was given, or the model's own, with what it leaves open filled in from the data.

    Raises
    ------
    ArgumentError
        It is of another family than the model's.
    """
    stated = spec.default_prior if prior is None else prior
    if not isinstance(stated, type(spec.default_prior)):
        raise ArgumentError(
            f"prior is {type(stated).__name__}; model {spec.name!r} takes {type(spec.default_prior).__name__}"
        )
    return stated.resolved(data)


def _groups(
    spec: ModelSpec, data: Data, priors: Mapping[str, Any], engine: Engine, run: Mapping[str, Any]
) -> dict[str, xr.Dataset]:
    """What an engine finds, by group."""
    if engine == "hmc":
        return many_chains.sample(spec, data, priors, **run)
    if engine == "nuts":
        return nuts.sample(spec, data, priors, **run)
    if engine == "gibbs":
        from bayesuplift.inference import causal_forest  # noqa: PLC0415 -- its kernel is slow to import

        assert isinstance(data, Units)
        return causal_forest.sample(spec, data, priors, **run)
    independent = {name: run[name] for name in ("seed", "chains", "draws")}
    if engine == "direct":
        return direct.solve(spec, data, priors, **independent)
    assert isinstance(data, Cells)
    return conjugate.solve(data, priors, **independent)


def engines(model: str) -> list[Engine]:
    """Engines of a model, the default first."""
    if find(model).forest:
        return ["gibbs"]
    own: list[Engine] = ["closed_form"] if model in conjugate.CLOSED_FORMS else []
    if model in direct.SOLVERS:
        own.append("direct")
    if model in STANDARDISED:
        own.append("hmc")
    return [*own, "nuts"]


def _observed(spec: ModelSpec, data: Data) -> xr.Dataset:
    """The statistics that were conditioned on, and what the amounts' tail is checked against; of forests units by arm."""
    if spec.forest:
        assert isinstance(data, Units)
        n = np.bincount(data.experiment.arm, minlength=len(data.design.arms))
        return xr.Dataset({N: (ARM, n)}, coords=data.labels)
    if isinstance(data, Cells) and data.quantiles is not None:
        return data.statistics.assign(quantile=data.quantiles)
    return data.statistics


def _constants(data: Data) -> dict[str, xr.DataArray]:
    """What was fixed before the outcomes: the intended split; of units the mean and spread of each covariate."""
    constants = {}
    if data.design.intended_split is not None:
        constants["intended_split"] = xr.DataArray(
            list(data.design.intended_split), dims=ARM, coords={ARM: list(data.design.arms)}
        )
    if isinstance(data, Units):
        names = {COVARIATE: list(data.coding.names)}
        constants["covariate_mean"] = xr.DataArray(data.middle, dims=COVARIATE, coords=names)
        constants["covariate_sd"] = xr.DataArray(data.spread, dims=COVARIATE, coords=names)
    return constants


def provenance_of(spec: ModelSpec, data: Data, prior: object, seed: int) -> dict[str, Any]:
    """Root attributes: the model, its prior, the data and the versions."""
    return {
        "model": spec.name,
        "question": spec.question,
        "prior": str(prior),
        "seed": seed,
        "outcome": data.outcome,
        "kind": data.kind,
        "flat_in": spec.flat_in,
        "pooled": (UNIT if spec.data == "units" else SEGMENT) if spec.pools else None,
        "effect_scale": data.scale if isinstance(data, Effects) else None,
        "coding": data.coding.to_json() if isinstance(data, Units) else None,
        "control": data.design.control,
        "assignment": data.design.assignment,
        "data_fingerprint": data.fingerprint,
        **provenance(),
    }


def conditioned_on(model: str, data: object) -> Data:
    """The data as the model takes them: of an experiment its units, or its cells by its segments.

    Raises
    ------
    FrameTypeError
        These are no data of ours.
    DataError
        The model takes units, and no covariate differs between them.
    """
    if isinstance(data, Experiment):
        spec = registered().get(model)
        return Units.of(data) if spec is not None and spec.data == "units" else data.cells()
    if not isinstance(data, Cells | Effects | Units):
        raise FrameTypeError(
            f"data is {type(data).__name__}; read it first: read_cells, read_counts, read_effects or read_experiment"
        )
    return data


def model_of(name: str, data: Data) -> ModelSpec:
    """Return the model, if these data can be fitted with it.

    Raises
    ------
    ModelNotFoundError
        No such model.
    ArgumentError
        It is for other data, or the data lack what it needs.
    """
    if isinstance(data, Cells):
        spec = model_for(name, outcome=data.outcome, kind=data.kind)
        if data.kind == "count" and not spec.per_exposure and not np.array_equal(data.exposure, data.n):
            raise ArgumentError(
                f"model {name!r} takes no exposure, and units of {data.outcome!r} differ in theirs; fit "
                f"'negative_binomial', or read the counts without exposure"
            )
        if spec.factors and not data.factors:
            raise ArgumentError(
                f"model {name!r} pools over segments, and the cells have none; read them with segments=[...]"
            )
        for statistic, advice in spec.needs.items():
            if statistic not in data.statistics:
                raise ArgumentError(f"model {name!r} needs {statistic}, which the cells lack: {advice}")
        return spec
    spec = find(name)
    if isinstance(data, Units):
        _check_kind(spec, data.outcome, data.kind)
        if data.experiment.precision is not None and not spec.forest:
            raise ArgumentError(
                f"model {name!r} takes all outcomes as equally precise, and units of {data.outcome!r} differ in that; fit "
                f"'bayesian_causal_forest', or leave it out: dataclasses.replace(experiment, precision=None)"
            )
        return spec
    if spec.data != "effects":
        raise ArgumentError(f"model {name!r} is fitted on {spec.data}; these data are effects of past experiments")
    return spec


def model_for(name: str, *, outcome: str, kind: Kind) -> ModelSpec:
    """Return the model of that name, if it describes cells of outcomes of that kind; "partial_pooling" is the kind's own.

    Raises
    ------
    ModelNotFoundError
        No such model.
    ArgumentError
        It is for another kind of outcome, or for other data than cells.
    """
    if name == PARTIAL_POOLING:
        name = next(one.name for one in registered().values() if one.factors and one.outcome == kind)
    spec = find(name)
    if spec.data != "cells":
        advice = "; read the units with read_experiment(..., covariates=[...])" if spec.data == "units" else ""
        others = _models(kind, "cells")
        raise ArgumentError(
            f"model {name!r} is fitted on {spec.data}, not on cells{advice}. Models of cells: {listed(others)}"
        )
    _check_kind(spec, outcome, kind)
    return spec


def _check_kind(spec: ModelSpec, outcome: str, kind: Kind) -> None:
    """Refuse an outcome of a kind that the model does not describe."""
    if kind not in spec.outcomes:
        raise ArgumentError(
            f"model {spec.name!r} is for {listed(spec.outcomes)} outcomes; {outcome!r} is {kind}. "
            f"Models for {kind} outcomes: {listed(_models(kind, spec.data))}"
        )


def _models(kind: Kind, data: str) -> list[str]:
    """Names of the models of a kind of outcome that are fitted on such data."""
    return [name for name, one in registered().items() if kind in one.outcomes and one.data == data]
