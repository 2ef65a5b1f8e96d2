"""The one entry to inference."""

from typing import Any, Literal

import numpy as np
import xarray as xr

import bayesuplift.models  # noqa: F401 -- importing the package of models registers them
from bayesuplift.data.cells import Cells
from bayesuplift.data.experiment import Experiment
from bayesuplift.dims import ARM, CONSTANT_DATA, OBSERVED_DATA, Kind
from bayesuplift.errors import ArgumentError, FrameTypeError, listed
from bayesuplift.inference import conjugate, nuts
from bayesuplift.posterior.schema import assemble
from bayesuplift.posterior.storage import provenance
from bayesuplift.priors import RatePrior
from bayesuplift.spec import ModelSpec, find, registered

Engine = Literal["closed_form", "nuts"]
_LARGEST_SEED = 2**63 - 1


def fit(
    model: str,
    data: Cells | Experiment,
    *,
    seed: int,
    prior: RatePrior | None = None,
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
        Cells; an `Experiment` is reduced to them by its segments.
    seed
        Seed of everything random here, from 0.
    prior
        The prior; the model's own default if left out.
    engine
        "closed_form" where the posterior has one, and then the default; "nuts" samples the NumPyro program of any model.
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
    if not isinstance(data, Cells):
        raise FrameTypeError(
            f"data is {type(data).__name__}; read it first: read_cells, read_counts or read_experiment"
        )
    spec = model_for(model, outcome=data.outcome, kind=data.kind)
    for name, value, least in (("seed", seed, 0), ("chains", chains, 1), ("draws", draws, 4), ("warmup", warmup, 1)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= _LARGEST_SEED:
            raise ArgumentError(f"{name} = {value!r}; give a whole number from {least}")
    engines: list[Engine] = ["closed_form", "nuts"] if model in conjugate.CLOSED_FORMS else ["nuts"]
    chosen = engines[0] if engine is None else engine
    if chosen not in engines:
        raise ArgumentError(f"engine = {engine!r}; model {model!r} has {listed(engines)}")
    stated = spec.default_prior if prior is None else prior
    if not isinstance(stated, type(spec.default_prior)):
        raise ArgumentError(
            f"prior is {type(stated).__name__}; model {model!r} takes {type(spec.default_prior).__name__}"
        )
    # half a conversion added, so that the alternatives are centred inside (0, 1)
    pooled_rate = (data.total.sum() + 0.5) / (data.n.sum() + 1.0)
    priors = stated.alternatives(float(pooled_rate))
    if chosen == "closed_form":
        groups = conjugate.solve(data, priors, seed=int(seed), chains=chains, draws=draws)
    else:
        groups = nuts.sample(
            spec, data, priors, seed=int(seed), chains=chains, draws=draws, warmup=warmup, progress=progress
        )
    groups[OBSERVED_DATA] = data.statistics
    if data.design.intended_split is not None:
        shares = xr.DataArray(list(data.design.intended_split), dims=ARM, coords={ARM: list(data.design.arms)})
        groups[CONSTANT_DATA] = xr.Dataset({"intended_split": shares})
    return assemble(groups, _attributes(spec, data, stated, chosen, int(seed)))


def _attributes(spec: ModelSpec, data: Cells, prior: object, engine: Engine, seed: int) -> dict[str, Any]:
    return {
        "model": spec.name,
        "question": spec.question,
        "prior": str(prior),
        "method": "closed form" if engine == "closed_form" else "NUTS (NumPyro)",
        "seed": seed,
        "outcome": data.outcome,
        "kind": data.kind,
        "control": data.design.control,
        "assignment": data.design.assignment,
        "data_fingerprint": data.fingerprint,
        **provenance(),
    }


def model_for(name: str, *, outcome: str, kind: Kind) -> ModelSpec:
    """Return the model of that name, if it describes outcomes of that kind.

    Raises
    ------
    ModelNotFoundError
        No such model.
    ArgumentError
        It is for another kind of outcome.
    """
    spec = find(name)
    if kind != spec.outcome:
        others = [other for other, one in registered().items() if one.outcome == kind]
        raise ArgumentError(
            f"model {name!r} is for {spec.outcome} outcomes; {outcome!r} is {kind}. "
            f"Models for {kind} outcomes: {listed(others) or 'none in this release'}"
        )
    return spec
