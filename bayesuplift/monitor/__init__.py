"""Running experiments looked at again and again, under a promise that holds: plans, states, looks."""

import importlib
from typing import Any

_HOME = {
    "Batch": "batch",
    "batch_of": "batch",
    "plan_from": "plan_file",
    "State": "state",
    "init": "state",
    "state_from": "state",
    "update": "step",
    "calibrate": "operating.threshold",
    "simulate": "operating.characteristics",
    "design": "operating.design",
    "open_ledger": "ledger.opening",
    "start": "running",
    "record": "running",
    "last_look": "running",
    "looks_of": "running",
    "replay": "running",
    "rebuild": "running",
    "run_portfolio": "portfolio",
    "trends": "trend",
    "thompson_weights": "weights",
    "top_two_weights": "weights",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 -- one table, not two lists to keep alike


def __getattr__(name: str) -> Any:
    """Import a public name from the module it lives in: `update` loads no simulation until it is asked for."""
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
