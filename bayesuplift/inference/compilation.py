"""How programs are compiled: for the time from a call to its draws, not for the last tenth of a long run."""

from collections.abc import Callable
from typing import Any, Final

import jax

MANY_CALLS: Final = {"xla_backend_optimization_level": 1}
"""Of what runs for many steps: programs of models are long and their loops short, so that above this level LLVM takes
longer for code that is no faster (`python -m benchmarks.compilation`)."""

ONE_CALL: Final = {"xla_backend_optimization_level": 0}
"""Of what runs once, where slow code costs less than the time to make it fast."""


def jitted(function: Callable[..., Any], *, once: bool = False, **told: Any) -> Any:
    """Compile a function when it is called, as `jax.jit` does with the arguments `told`.

    Parameters
    ----------
    function
        A function that JAX can trace.
    once
        Whether a fit calls it once, on little data.
    **told
        Which arguments are static, as of `jax.jit`.
    """
    return jax.jit(function, compiler_options=ONE_CALL if once else MANY_CALLS, **told)
