"""The catalogue's evidence as tests read it: cards, twins, references, and one fit of every model by every engine."""

import dataclasses
import functools
import importlib.util
import inspect
import json
import re
import types
from pathlib import Path
from typing import Any, Final

import jax
import numpy as np
import xarray as xr
from numpyro import handlers
from numpyro.distributions import InverseGamma, LogNormal
from numpyro.distributions.truncated import LeftTruncatedDistribution

import bayesuplift as bu
import bayesuplift.models
from bayesuplift.data.cells import Cells
from bayesuplift.data.units import Units
from bayesuplift.inference.compilation import jitted
from bayesuplift.inference.density import Data, conditioned, given
from bayesuplift.inference.fit import Engine, engines
from bayesuplift.inference.reparametrised import STANDARDISED
from bayesuplift.inference.session import jax_session
from bayesuplift.spec import Given, registered
from tests.support.examples import example, units
from tests.support.worlds import seed_of

CATALOGUE: Final = Path(__file__).parents[2] / "models"
PROGRAMS: Final = Path(bayesuplift.models.__file__).parent
EVERY: Final = tuple(sorted(registered()))
NAMES: Final = tuple(name for name in EVERY if not registered()[name].forest)
"""Models that are NumPyro programs: what has sites, a twin and a reference."""

COLUMNS: Final = ("site", "prior", "units", "why")
DRAWS: Final = 2000  # a chain, of four: enough for the fourth moments that the error of a variance rests on
NAMES_AND_ENGINES: Final = tuple(
    (name, engine) for name in NAMES for engine in engines(name) if not (name in STANDARDISED and engine == "nuts")
)
"""Of every test of a fit. NUTS takes minutes a fit of some models: one short run is compared with the pooled model's engine
(tests/unit/inference/test_many_chains.py), and `make calibrate` runs it on each."""


def resolved_prior(name: str) -> Any:
    """The model's default prior, what it leaves open filled in from the example."""
    return registered()[name].default_prior.resolved(example(name))


@functools.cache
def fitted(name: str, engine: Engine) -> xr.DataTree:
    """One fit of the model's example; cached, because compiling a sampler takes longer than all that reads it."""
    seed = seed_of(f"{name} by {engine}")
    return bu.fit(name, example(name), seed=seed, engine=engine, draws=draws_a_chain(engine), progress=False)


def draws_a_chain(engine: Engine) -> int:
    """As many as make `DRAWS` of each of four chains, in the chains that the engine has."""
    return DRAWS * 4 // 32 if engine == "hmc" else DRAWS


def card(name: str) -> str:
    """Text of a model's card."""
    return (CATALOGUE / name / "README.md").read_text(encoding="utf-8")


def reference(name: str) -> dict[str, Any]:
    """A model's reference posterior."""
    return json.loads((CATALOGUE / name / "reference.json").read_text(encoding="utf-8"))


def tables(markdown: str) -> list[list[dict[str, str]]]:
    """Every table of a Markdown text, as rows by column."""
    found = []
    for block in re.findall(r"(?:^\|.*\|[ ]*\n)+", markdown, flags=re.MULTILINE):
        lines = [line.strip().strip("|").split("|") for line in block.splitlines()]
        header, _, *rows = [[cell.strip() for cell in line] for line in lines]
        found.append([dict(zip(header, row, strict=True)) for row in rows])
    return found


def card_priors(markdown: str) -> dict[str, str]:
    """Prior of every site, from the one table of a card with the columns of a prior table."""
    (table,) = [rows for rows in tables(markdown) if rows and tuple(rows[0]) == COLUMNS]
    return {row["site"]: row["prior"] for row in table}


def program_priors(name: str) -> dict[str, str]:
    """Prior of every latent site of a model's program under its default prior, as the card writes it.

    Of a site whose distribution depends on another site only the family is told, as `Beta(...)`.
    """
    first, second = (_latent(name, seed) for seed in (0, 1))
    return {site: text if text == second[site] else f"{text.split('(')[0]}(...)" for site, text in first.items()}


def latent_sites(name: str) -> tuple[str, ...]:
    """Names of the sites of a model's program that are drawn."""
    return tuple(site for site, observed in _traced(name) if not observed)


def observed_sites(name: str) -> tuple[str, ...]:
    """Names of the sites of a model's program that the data are conditioned on."""
    return tuple(site for site, observed in _traced(name) if observed)


@functools.cache
def _traced(name: str) -> tuple[tuple[str, bool], ...]:
    """Every sample site and whether it is observed. The program is not run: every process lists tests by these names."""
    spec, found = registered()[name], list[tuple[str, bool]]()
    program, prior = conditioned(spec), Given.of_prior(resolved_prior(name))

    def traced(data: Given) -> None:
        trace = handlers.trace(handlers.seed(program, rng_seed=0)).get_trace(data, prior=prior)
        found.extend((site, bool(one["is_observed"])) for site, one in trace.items() if one["type"] == "sample")

    with jax_session():
        jax.eval_shape(traced, given(spec, example(name)))
    return tuple(found)


@functools.cache
def _latent(name: str, seed: int) -> dict[str, str]:
    """Distribution of every latent site, as a card writes it, in one run of the program."""
    spec = registered()[name]
    program, prior = conditioned(spec), Given.of_prior(resolved_prior(name))

    def laws(data: Given) -> dict[str, Any]:
        trace = handlers.trace(handlers.seed(program, rng_seed=seed)).get_trace(data, prior=prior)
        return {site: trace[site]["fn"] for site in latent_sites(name)}

    with jax_session():  # some distributions work out their parameters when they are asked for them
        # one compiled program instead of one for each operation
        found = jitted(laws, once=True)(given(spec, example(name)))
        return {site: written(found[site]) for site in latent_sites(name)}


def agrees(card_text: str, program_text: str) -> bool:
    """Whether a card tells of a site what its program tells: all of it, or its family where it depends on others."""
    family, rest = program_text.split("(", 1)
    return card_text.startswith(f"{family}(") if rest == "...)" else card_text == program_text


def written(distribution: Any) -> str:
    """A NumPyro distribution as `Name(parameter, ...)`; of a parameter that differs within a plate, all its values."""
    while hasattr(distribution, "base_dist") and not isinstance(distribution, InverseGamma | LogNormal):
        if isinstance(distribution, LeftTruncatedDistribution):
            base = distribution.base_dist
            parts = [_parameter(one) for one in (base.loc, base.scale, distribution.low)]
            return f"Truncated{type(base).__name__}({parts[0]}, {parts[1]}, low={parts[2]})"
        distribution = distribution.base_dist
    shown = [_parameter(getattr(distribution, name)) for name in distribution.arg_constraints]
    return f"{type(distribution).__name__}({', '.join(shown)})"


def _parameter(value: Any) -> str:
    values = np.unique(np.asarray(value))
    return f"{values[0]:g}" if values.size == 1 else str([round(float(one), 6) for one in values])


@functools.cache
def twin(name: str) -> types.ModuleType:
    """The module models/<name>/twin.py, which imports PyMC."""
    specification = importlib.util.spec_from_file_location(f"twin_of_{name}", CATALOGUE / name / "twin.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def twin_model(name: str, data: Data | None = None, **changed: Any) -> Any:
    """The twin on the example, or on other data with its statistics.

    Each parameter without a default is looked up by its name: a column of the example's units, of units their `arm`,
    `outcome` and coded `covariates`, a statistic of the data, `factors`, the labels (segment, factor) of its segments, or a
    number of the resolved prior, numbers of a prior within it after the name of that prior and an underscore.
    """
    build, given_data = twin(name).build, example(name) if data is None else data
    known: dict[str, Any] = _numbers(registered()[name].default_prior.resolved(given_data))
    known |= {str(statistic): part.to_numpy() for statistic, part in given_data.statistics.items()}
    if isinstance(given_data, Cells) and given_data.factors:
        statistics = given_data.statistics
        known["factors"] = np.stack([statistics[factor].to_numpy() for factor in given_data.factors], axis=-1)
    known |= {str(column): values.to_numpy() for column, values in units(name).items()}
    if isinstance(given_data, Units):
        rows = given_data.experiment
        known |= {"arm": rows.arm, "outcome": rows.outcome, "covariates": given_data.columns}
    needed = [k for k, one in inspect.signature(build).parameters.items() if one.default is inspect.Parameter.empty]
    return build(**{k: known[k] for k in needed if k not in changed} | changed)


def _numbers(prior: Any, within: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for part in dataclasses.fields(prior):
        value = getattr(prior, part.name)
        name = f"{within}{part.name}"
        found |= _numbers(value, f"{name}_") if dataclasses.is_dataclass(value) else {name: value}
    return found


def draws_of(trace: Any, site: str, group: str = "posterior") -> np.ndarray:
    """Draws (chain, draw, ...) of a site, from ArviZ's InferenceData (PyMC 5) or a DataTree (PyMC 6, ours)."""
    return trace[group][site].transpose("chain", "draw", ...).to_numpy()
