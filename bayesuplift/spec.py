"""What a model is to the rest of the package, and the register that `bayesuplift.models` fills."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, Self

import jax
import numpyro

from bayesuplift.dims import Kind
from bayesuplift.errors import ModelNotFoundError, did_you_mean, listed

Estimand = Literal["ate", "cate"]
Conditioned = Literal["cells", "effects", "units"]
Flat = Literal["mean_outcome", "log_mean_outcome"]
Program = Callable[..., Any]

EVENT_DIMS = "event_dims"
"""Key of a site's `infer` under which a program names the dimensions of an event."""


@jax.tree_util.register_pytree_node_class
class Given:
    """Named numbers and arrays that a program is given, as attributes: statistics of the data, or a prior's numbers.

    JAX takes them as arguments of the compiled program, so that other data of the same shape, or another prior of the same
    family, need no other compilation.

    Parameters
    ----------
    values
        Arrays, numbers, or further `Given`, by name.
    sizes
        Size of each dimension of the data, by name and in order; empty for a prior.
    """

    def __init__(self, values: Mapping[str, Any], sizes: Mapping[str, int] | None = None) -> None:
        self.values = dict(values)
        self.sizes = dict(sizes or {})

    def __getattr__(self, name: str) -> Any:
        """Return the value of that name."""
        if name in ("values", "sizes") or name not in self.values:
            raise AttributeError(f"a program is given no {name!r}")
        return self.values[name]

    @classmethod
    def of_prior(cls, prior: Any) -> Self:
        """Give the numbers of a prior, priors within it included."""
        parts = {field.name: getattr(prior, field.name) for field in dataclasses.fields(prior)}
        return cls(
            {name: cls.of_prior(part) if dataclasses.is_dataclass(part) else part for name, part in parts.items()}
        )

    def tree_flatten(self) -> tuple[tuple[Any, ...], Any]:
        """Split into what JAX traces and what it compiles for."""
        return tuple(self.values.values()), (tuple(self.values), tuple(self.sizes.items()))

    @classmethod
    def tree_unflatten(cls, static: Any, values: Any) -> Self:
        """Put together again."""
        names, sizes = static
        return cls(dict(zip(names, values, strict=True)), dict(sizes))


@dataclass(frozen=True)
class ModelSpec:
    """A registered model.

    Parameters
    ----------
    name
        Name of its function and of its folder of evidence.
    outcomes
        Kinds of outcome it describes, the one it is made for first.
    data
        What it is conditioned on: sufficient statistics by cell, effects of past experiments, or rows by unit.
    supplies
        Estimands that one fit supplies in a randomized experiment: "cate" where segments borrow from each other, so that
        the fit with segments is the one to decide on.
    needs
        Statistics that the data must hold beside those of their kind, and what to do to have them.
    per_exposure
        Whether the mean outcome is per unit of exposure.
    factors
        Whether its program is told the factors that segments are made of, which the cells must then have.
    flat_in
        In what the default prior is flat, over any range that an experiment could tell apart: the mean outcome, or its
        logarithm. A prior learned from past experiments can then take its place; None where neither is so.
    forest
        Whether its unknowns are forests of trees, which no NumPyro program draws.
    program
        The NumPyro program. It takes the data as `Given` and `prior=`, tells the generative story without `obs=`, names
        every plate after a dimension, every observed site after a statistic of the data, and the mean outcome
        `mean_outcome`. Of forests: a function of the units and `prior=` that tells which rows each forest sees.
    """

    name: str
    outcomes: tuple[Kind, ...]
    data: Conditioned
    supplies: frozenset[Estimand]
    needs: Mapping[str, str]
    per_exposure: bool
    factors: bool
    flat_in: Flat | None
    forest: bool
    program: Program

    @property
    def outcome(self) -> Kind:
        """The kind of outcome that it is made for."""
        return self.outcomes[0]

    @property
    def pools(self) -> bool:
        """Whether segments borrow from each other, so that the fit with segments is the one to decide on."""
        return "cate" in self.supplies

    @property
    def question(self) -> str:
        """First line of the program's docstring."""
        return (self.program.__doc__ or "").strip().splitlines()[0]

    @property
    def default_prior(self) -> Any:
        """The prior in the program's signature; what it leaves open is filled in from the data (`resolved`)."""
        return (self.program.__kwdefaults__ or {})["prior"]


_REGISTER: dict[str, ModelSpec] = {}


def register(
    *,
    outcome: Kind | tuple[Kind, ...],
    data: Conditioned,
    supplies: set[Estimand],
    needs: Mapping[str, str] | None = None,
    per_exposure: bool = False,
    factors: bool = False,
    flat_in: Flat | None = None,
    forest: bool = False,
) -> Callable[[Program], Program]:
    """Enrol a program as a model, under its function's name; the program itself stays as it is."""

    def enrol(program: Program) -> Program:
        name = program.__name__
        if name in _REGISTER:
            raise ValueError(f"two models are called {name!r}")
        _REGISTER[name] = ModelSpec(
            name=name,
            outcomes=outcome if isinstance(outcome, tuple) else (outcome,),
            data=data,
            supplies=frozenset(supplies),
            needs=MappingProxyType(dict(needs or {})),
            per_exposure=per_exposure,
            factors=factors,
            flat_in=flat_in,
            forest=forest,
            program=program,
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
def cell_plates(data: Given, *, leave_out: str | None = None) -> Iterator[None]:
    """One plate for each dimension of the data, named after it: (arm), or (segment, arm); or all but one of them."""
    with ExitStack() as stack:
        for place, (name, size) in enumerate(data.sizes.items()):
            if name != leave_out:
                stack.enter_context(numpyro.plate(name, size, dim=place - len(data.sizes)))
        yield
