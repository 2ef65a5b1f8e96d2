"""One generative story per file; importing this package registers them all."""

import importlib
import pkgutil
import sys
import types

from bayesuplift.spec import registered

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def questions() -> dict[str, str]:
    """Return every registered model with the question that it answers."""
    return {name: spec.question for name, spec in sorted(registered().items())}


class _Callable(types.ModuleType):
    """`bayesuplift.models` is this package and, for users, the function that lists its models: so the package answers."""

    def __call__(self) -> dict[str, str]:
        """Return every registered model with the question that it answers."""
        return questions()


sys.modules[__name__].__class__ = _Callable
