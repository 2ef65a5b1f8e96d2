"""The one entry to inference."""

from typing import Any, Literal

import numpy as np
import xarray as xr

import bayesuplift.models  # noqa: F401 -- importing the package of models registers them
from bayesuplift.data.cells import Cells
from bayesuplift.data.effects import Effects
from bayesuplift.data.experiment import Experiment
from bayesuplift.dims import ARM, CONSTANT_DATA, OBSERVED_DATA, SEGMENT, Kind
from bayesuplift.errors import ArgumentError, FrameTypeError, listed
from bayesuplift.inference import conjugate, direct, nuts
from bayesuplift.inference.density import Data
from bayesuplift.posterior.schema import assemble
from bayesuplift.posterior.storage import provenance
from bayesuplift.spec import ModelSpec, find, registered

Engine = Literal["closed_form", "direct", "nuts"]
_METHODS: dict[Engine, str] = {
    "closed_form": "closed form",
    "direct": "independent draws",
    "nuts": "NUTS (NumPyro)",
}
_LARGEST_SEED = 2**63 - 1


def fit(
    model: str,
    data: Cells | Experiment | Effects,
    *,
    seed: int,
    prior: Any = None,
    engine: Engine | None = None,
    chains: int = 4,
    draws: int = 1000,
    warmup: int = 1000,
    progress: bool | None = None,
) -> xr.DataTree:
    """Fit a registered model.

    Parameters
    ----------
    model
        Name of the model; `models()` lists them.
    data
        Cells, or the effects of past experiments; an `Experiment` is reduced to cells by its segments.
    seed
        Seed of everything random here, from 0.
    prior
        The prior, of the model's family; its own default if left out. What a prior leaves open is filled in from the data.
    engine
        "closed_form" where the posterior has one, "direct" where it can be drawn from without a Markov chain: these are the
        defaults. "nuts" samples the NumPyro program of any model.
    chains, draws, warmup
        Number of chains, of draws kept in each, and of adaptation steps before them (NUTS only).
    progress
        Whether to show a progress bar on standard error; by default only when that is a terminal.

    Returns
    -------
    xarray.DataTree
        The posterior in the layout of `bayesuplift.posterior.schema`.

    Raises
    ------
    ModelNotFoundError
        No such model.
    ArgumentError
        Data of another kind than the model's, an engine it does not have, or a count or seed out of range.
    """
    if isinstance(data, Experiment):
        data = data.cells()
    if not isinstance(data, Cells | Effects):
        raise FrameTypeError(
            f"data is {type(data).__name__}; read it first: read_cells, read_counts, read_effects or read_experiment"
        )
    spec = _model_of(model, data)
    for name, value, least in (("seed", seed, 0), ("chains", chains, 1), ("draws", draws, 4), ("warmup", warmup, 1)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= _LARGEST_SEED:
            raise ArgumentError(f"{name} = {value!r}; give a whole number from {least}")
    known = engines(model)
    chosen = known[0] if engine is None else engine
    if chosen not in known:
        raise ArgumentError(f"engine = {engine!r}; model {model!r} has {listed(known)}")
    stated = spec.default_prior if prior is None else prior
    if not isinstance(stated, type(spec.default_prior)):
        raise ArgumentError(
            f"prior is {type(stated).__name__}; model {model!r} takes {type(spec.default_prior).__name__}"
        )
    stated = stated.resolved(data)
    priors = stated.alternatives(data)
    if chosen == "nuts":
        groups = nuts.sample(
            spec, data, priors, seed=int(seed), chains=chains, draws=draws, warmup=warmup, progress=progress
        )
    elif chosen == "direct":
        groups = direct.solve(spec, data, priors, seed=int(seed), chains=chains, draws=draws)
    else:
        assert isinstance(data, Cells)
        groups = conjugate.solve(data, priors, seed=int(seed), chains=chains, draws=draws)
    groups[OBSERVED_DATA] = _observed(data)
    if data.design.intended_split is not None:
        shares = xr.DataArray(list(data.design.intended_split), dims=ARM, coords={ARM: list(data.design.arms)})
        groups[CONSTANT_DATA] = xr.Dataset({"intended_split": shares})
    return assemble(groups, _attributes(spec, data, stated, chosen, int(seed)))


def engines(model: str) -> list[Engine]:
    """Engines of a model, the default first."""
    own: list[Engine] = ["closed_form"] if model in conjugate.CLOSED_FORMS else []
    if model in direct.SOLVERS:
        own.append("direct")
    return [*own, "nuts"]


def _observed(data: Data) -> xr.Dataset:
    """The statistics that were conditioned on, and what the amounts' tail is checked against."""
    if isinstance(data, Cells) and data.quantiles is not None:
        return data.statistics.assign(quantile=data.quantiles)
    return data.statistics


def _attributes(spec: ModelSpec, data: Data, prior: object, engine: Engine, seed: int) -> dict[str, Any]:
    return {
        "model": spec.name,
        "question": spec.question,
        "prior": str(prior),
        "method": _METHODS[engine],
        "seed": seed,
        "outcome": data.outcome,
        "kind": data.kind,
        "flat_in": spec.flat_in,
        "pooled": SEGMENT if spec.pools else None,
        "effect_scale": data.scale if isinstance(data, Effects) else None,
        "control": data.design.control,
        "assignment": data.design.assignment,
        "data_fingerprint": data.fingerprint,
        **provenance(),
    }


def _model_of(name: str, data: Data) -> ModelSpec:
    """Return the model, if these data can be fitted with it."""
    if isinstance(data, Cells):
        spec = model_for(name, outcome=data.outcome, kind=data.kind)
        if data.kind == "count" and not spec.per_exposure and not np.array_equal(data.exposure, data.n):
            raise ArgumentError(
                f"model {name!r} takes no exposure, and units of {data.outcome!r} differ in theirs; fit "
                f"'negative_binomial', or read the counts without exposure"
            )
        for statistic, advice in spec.needs.items():
            if statistic not in data.statistics:
                raise ArgumentError(f"model {name!r} needs {statistic}, which the cells lack: {advice}")
        return spec
    spec = find(name)
    if spec.data != "effects":
        raise ArgumentError(f"model {name!r} is fitted on {spec.data}; these data are effects of past experiments")
    return spec


def model_for(name: str, *, outcome: str, kind: Kind) -> ModelSpec:
    """Return the model of that name, if it describes cells of outcomes of that kind.

    Raises
    ------
    ModelNotFoundError
        No such model.
    ArgumentError
        It is for another kind of outcome, or for other data than cells.
    """
    spec = find(name)
    others = [other for other, one in registered().items() if kind in one.outcomes and one.data == "cells"]
    if spec.data != "cells":
        raise ArgumentError(f"model {name!r} is fitted on {spec.data}, not on cells. Models of cells: {listed(others)}")
    if kind not in spec.outcomes:
        raise ArgumentError(
            f"model {name!r} is for {listed(spec.outcomes)} outcomes; {outcome!r} is {kind}. "
            f"Models for {kind} outcomes: {listed(others)}"
        )
    return spec
