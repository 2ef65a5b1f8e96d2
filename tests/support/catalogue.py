"""The catalogue's evidence as tests read it: cards, twins, references, and one fit of every model by every engine."""

import functools
import importlib.util
import inspect
import json
import re
import types
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from numpyro import handlers

import bayesuplift as bu
import bayesuplift.models
from bayesuplift.data.cells import Cells
from bayesuplift.inference import conjugate
from bayesuplift.inference.density import conditioned
from bayesuplift.inference.fit import Engine
from bayesuplift.spec import ModelSpec, registered
from tests.support.worlds import example, seed_of

CATALOGUE: Final = Path(__file__).parents[2] / "models"
PROGRAMS: Final = Path(bayesuplift.models.__file__).parent
NAMES: Final = tuple(sorted(registered()))
COLUMNS: Final = ("site", "prior", "units", "why")


def engines(name: str) -> tuple[Engine, ...]:
    """Engines that a model has."""
    return ("closed_form", "nuts") if name in conjugate.CLOSED_FORMS else ("nuts",)


NAMES_AND_ENGINES: Final = tuple((name, engine) for name in NAMES for engine in engines(name))


@functools.cache
def fitted(name: str, engine: Engine, seed: int | None = None) -> xr.DataTree:
    """One fit on the model's example cells; cached, because compiling a sampler takes longer than all that reads it."""
    given = seed_of(f"{name} by {engine}") if seed is None else seed
    return bu.fit(name, example(registered()[name].outcome), seed=given, engine=engine, progress=False)


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


def program_priors(spec: ModelSpec, cells: Cells) -> dict[str, str]:
    """Prior of every latent site of a model's program under its default prior, as the card writes it."""
    with handlers.seed(rng_seed=0):
        trace = handlers.trace(conditioned(spec, cells)).get_trace(cells)
    latent = {k: site["fn"] for k, site in trace.items() if site["type"] == "sample" and not site["is_observed"]}
    return {name: written(distribution) for name, distribution in latent.items()}


def written(distribution: Any) -> str:
    """A NumPyro distribution as `Name(parameter, ...)`; of a parameter that differs within a plate, all its values."""
    while hasattr(distribution, "base_dist"):
        distribution = distribution.base_dist
    shown = []
    for name in distribution.arg_constraints:
        values = np.unique(np.asarray(getattr(distribution, name)))
        shown.append(f"{values[0]:g}" if values.size == 1 else str([round(float(value), 6) for value in values]))
    return f"{type(distribution).__name__}({', '.join(shown)})"


@functools.cache
def twin(name: str) -> types.ModuleType:
    """The module models/<name>/twin.py, which imports PyMC."""
    specification = importlib.util.spec_from_file_location(f"twin_of_{name}", CATALOGUE / name / "twin.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def twin_model(name: str, cells: Cells, **changed: Any) -> Any:
    """The twin on these cells: each parameter without a default is the statistic of its name."""
    build = twin(name).build
    needed = [k for k, one in inspect.signature(build).parameters.items() if one.default is inspect.Parameter.empty]
    return build(**{k: cells.statistics[k].to_numpy() for k in needed} | changed)


def draws_of(trace: Any, site: str, group: str = "posterior") -> np.ndarray:
    """Draws (chain, draw, ...) of a site, from ArviZ's InferenceData (PyMC 5) or a DataTree (PyMC 6, ours)."""
    return trace[group][site].transpose("chain", "draw", ...).to_numpy()
