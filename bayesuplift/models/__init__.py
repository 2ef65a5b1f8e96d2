"""One generative story per file; importing this package registers them all."""

import importlib
import pkgutil
import sys
import types

from bayesuplift.spec import registered

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


class _Callable(types.ModuleType):
    """Importing this package makes `bayesuplift.models` the module, and hides the public function of that name."""

    def __call__(self) -> dict[str, str]:
        """Return every registered model with the question that it answers."""
        return {name: spec.question for name, spec in sorted(registered().items())}


sys.modules[__name__].__class__ = _Callable
