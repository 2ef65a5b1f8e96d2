"""How programs are compiled: for the time from a call to its draws, not for the last tenth of a long run."""

from collections.abc import Callable
from typing import Any, Final

import jax

_MANY_CALLS: Final = {"xla_backend_optimization_level": 1}
"""Of what runs for many steps: programs of models are long and their loops short, so that above this level LLVM takes up to
five times as long for code that is no faster."""

_ONE_CALL: Final = {"xla_backend_optimization_level": 0}
"""Of what runs once: code that is not optimised is several times slower, and there a tenth of a second."""


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
    return jax.jit(function, compiler_options=_ONE_CALL if once else _MANY_CALLS, **told)
