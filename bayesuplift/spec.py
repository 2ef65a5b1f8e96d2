"""What a model is to the rest of the package, and the register that `bayesuplift.models` fills."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpyro

from bayesuplift.data.cells import Cells
from bayesuplift.dims import Kind
from bayesuplift.errors import ModelNotFoundError, did_you_mean, listed

Estimand = Literal["ate", "cate"]
Program = Callable[..., None]


@dataclass(frozen=True)
class ModelSpec:
    """A registered model.

    Parameters
    ----------
    name
        Name of its function and of its folder of evidence.
    outcome
        Kind of outcome it describes.
    data
        What it is conditioned on: sufficient statistics by cell, or rows by unit.
    supplies
        Estimands it identifies in a randomized experiment.
    program
        The NumPyro program. It takes the data and `prior=`, tells the generative story without `obs=`, names every plate
        after a dimension, every observed site after a statistic of the data, and the mean outcome `mean_outcome`.
    """

    name: str
    outcome: Kind
    data: Literal["cells", "units"]
    supplies: frozenset[Estimand]
    program: Program

    @property
    def question(self) -> str:
        """First line of the program's docstring."""
        return (self.program.__doc__ or "").strip().splitlines()[0]

    @property
    def default_prior(self) -> Any:
        """The prior in the program's signature."""
        return (self.program.__kwdefaults__ or {})["prior"]


_REGISTER: dict[str, ModelSpec] = {}


def register(
    *, outcome: Kind, data: Literal["cells", "units"], supplies: set[Estimand]
) -> Callable[[Program], Program]:
    """Enrol a NumPyro program as a model, under its function's name; the program itself stays as it is."""

    def enrol(program: Program) -> Program:
        name = program.__name__
        if name in _REGISTER:
            raise ValueError(f"two models are called {name!r}")
        _REGISTER[name] = ModelSpec(
            name=name, outcome=outcome, data=data, supplies=frozenset(supplies), program=program
        )
        return program

    return enrol


def registered() -> MappingProxyType[str, ModelSpec]:
    """Every model that has been imported, by name."""
    return MappingProxyType(_REGISTER)


def find(name: str) -> ModelSpec:
    """Return the model of that name.

    Raises
    ------
    ModelNotFoundError
        There is none.
    """
    if name not in _REGISTER:
        raise ModelNotFoundError(f"no model {name!r}. Models: {listed(_REGISTER)}.{did_you_mean(name, _REGISTER)}")
    return _REGISTER[name]


@contextmanager
def cell_plates(cells: Cells) -> Iterator[None]:
    """One plate for each dimension of the cells, named after it: (arm), or (segment, arm)."""
    sizes = cells.statistics["n"].sizes
    with ExitStack() as stack:
        for place, (name, size) in enumerate(sizes.items()):
            stack.enter_context(numpyro.plate(str(name), size, dim=place - len(sizes)))
        yield
