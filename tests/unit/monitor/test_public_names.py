"""Every public name of the monitor is there, and none is hidden by a module of its name."""

import importlib
import pkgutil

from bayesuplift import monitor


def test_every_name_is_what_its_home_calls_so() -> None:
    modules = {one.name for one in pkgutil.iter_modules(monitor.__path__)}
    for name in monitor.__all__:
        assert name not in modules  # importing the module would put it in the name's place
        assert getattr(monitor, name).__name__ == name
    importlib.import_module("bayesuplift.monitor.portfolio")
    assert callable(monitor.update)
