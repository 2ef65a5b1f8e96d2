"""JAX as inference needs it, and as the caller had it afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
import platformdirs
from jax.experimental.compilation_cache import compilation_cache

# Programs that compile faster than this are compiled again: reading them back would take as long.
_WORTH_KEEPING_SECONDS = 0.2


@contextmanager
def jax_session() -> Iterator[None]:
    """Run with float64, and compiled programs kept in the user's cache folder unless the caller has set another."""
    folder = jax.config.jax_compilation_cache_dir
    seconds = jax.config.jax_persistent_cache_min_compile_time_secs
    with jax.enable_x64(True):  # noqa: FBT003 -- JAX's own signature
        if folder is not None:
            yield
            return
        ours = Path(platformdirs.user_cache_dir("bayesuplift")) / "jax"
        jax.config.update("jax_compilation_cache_dir", str(ours))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _WORTH_KEEPING_SECONDS)
        compilation_cache.reset_cache()
        try:
            yield
        finally:
            jax.config.update("jax_compilation_cache_dir", folder)
            jax.config.update("jax_persistent_cache_min_compile_time_secs", seconds)
            compilation_cache.reset_cache()
