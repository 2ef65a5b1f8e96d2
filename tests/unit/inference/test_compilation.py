"""How programs are compiled is a matter of time, never of whether they compile."""

import jax.numpy as jnp
import pytest

from bayesuplift.inference import compilation
from bayesuplift.inference.compilation import SMALL_PARTS, jitted


def test_the_compiler_of_these_tests_has_every_option() -> None:
    assert compilation._known_of_small_parts() == SMALL_PARTS


def test_a_compiler_without_an_option_is_not_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "SMALL_PARTS", {"xla_no_such_option": True} | SMALL_PARTS)
    compilation._known_of_small_parts.cache_clear()
    try:
        assert compilation._known_of_small_parts() == SMALL_PARTS
        assert jitted(lambda one: one + 1.0, density=True)(jnp.zeros(3)).tolist() == [1.0, 1.0, 1.0]
    finally:
        compilation._known_of_small_parts.cache_clear()
