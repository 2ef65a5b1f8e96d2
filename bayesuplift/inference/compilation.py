"""How programs are compiled: for the time from a call to its draws, not for the last tenth of a long run."""

import functools
from collections.abc import Callable
from typing import Any, Final

import jax
from jax.errors import JaxRuntimeError

MANY_CALLS: Final[dict[str, Any]] = {"xla_backend_optimization_level": 1}
"""Of what runs for many steps over many rows: above this level LLVM takes longer for code that is no faster (`python -m
benchmarks.compilation`)."""

ONE_CALL: Final[dict[str, Any]] = {"xla_backend_optimization_level": 0}
"""Of what runs once, where slow code costs less than the time to make it fast."""

SMALL_PARTS: Final[dict[str, Any]] = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}
"""Of densities and their gradients, hundreds of small fusions of which each would run a pipeline of compiler passes of its
own: as code of one module they compile in half the time, and run about a tenth slower. A forest's few loops over rows
would run nearly half as fast."""


def jitted(function: Callable[..., Any], *, once: bool = False, density: bool = False, **told: Any) -> Any:
    """Compile a function when it is called, as `jax.jit` does with the arguments `told`.

    Parameters
    ----------
    function
        A function that JAX can trace.
    once
        Whether a fit calls it once, on little data.
    density
        Whether what it computes is a model's program, its log density or their parts.
    **told
        Which arguments are static, as of `jax.jit`.
    """
    options = (ONE_CALL if once else MANY_CALLS) | (_known_of_small_parts() if once or density else {})
    return jax.jit(function, compiler_options=options, **told)


@functools.cache
def _known_of_small_parts() -> dict[str, Any]:
    """Options of one backend: those that the compiler at hand has."""
    return {name: value for name, value in SMALL_PARTS.items() if _knows(name, value)}


def _knows(name: str, value: Any) -> bool:
    """Whether the compiler takes an option: it refuses to compile with one that it has no name for."""
    try:
        jax.jit(lambda: 0, compiler_options={name: value})()
    except JaxRuntimeError:
        return False
    return True
