"""A row of facts as its reader sees it: text in the outcome's units, with the digits that Monte Carlo error supports."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bayesuplift.decisions import wording
from bayesuplift.dims import Kind

_NOTHING = "–"  # noqa: RUF001 -- the typographer's dash of an empty cell
_Writer = Callable[..., str]


def shown(row: Mapping[str, Any], kind: Kind) -> dict[str, str]:
    """Return one text a quantity; a dash where there is none, as for the control against itself."""
    level, amount = partial(wording.level, kind=kind), partial(wording.amount, kind=kind)
    control = bool(row["is_control"])
    return {
        "n": f"{row['n']:,}" if "n" in row else _NOTHING,
        "raw_mean": as_text(row, "raw_mean", level),
        "raw_difference": _NOTHING if control else as_text(row, "raw_difference", amount),
        "raw_relative_lift": _NOTHING if control else as_text(row, "raw_relative_lift", wording.lift),
        "mean_outcome": with_interval(row, "mean_outcome", level),
        "difference": _NOTHING if control else with_interval(row, "difference", amount),
        "relative_lift": _NOTHING if control else with_interval(row, "relative_lift", wording.lift),
        "prob_beats_control": _NOTHING if control else as_text(row, "prob_beats_control", wording.probability),
        "prob_best": as_text(row, "prob_best", wording.probability),
        "expected_loss": as_text(row, "expected_loss", partial(wording.loss, kind=kind)),
    }


def as_text(row: Mapping[str, Any], name: str, write: _Writer) -> str:
    """Write one quantity of a row with its error `<name>_mcse`, if it has one."""
    if name not in row:
        return _NOTHING
    if row[name] is None:
        return "unbounded" if name == "relative_lift" else _NOTHING
    error = row.get(f"{name}_mcse") or 0.0
    text = write(row[name], error=error)
    if error == 0.0 or text.startswith(("<", ">")):
        return text
    scale = 100.0 if text.endswith(("%", "pp")) else 1.0
    return f"{text} {wording.plus_minus(scale * error)}"


def with_interval(row: Mapping[str, Any], name: str, write: _Writer) -> str:
    """Write one quantity of a row and, in brackets, the ends of its interval."""
    if f"{name}_lower" not in row:
        return as_text(row, name, write)
    ends = (write(row[f"{name}_{end}"], error=row.get(f"{name}_{end}_mcse") or 0.0) for end in ("lower", "upper"))
    return f"{as_text(row, name, write)} [{', '.join(ends)}]"
