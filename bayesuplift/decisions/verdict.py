"""CHOOSE, EQUIVALENT, CONTINUE or INVALID, and the sentence that a reader sees."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import xarray as xr

from bayesuplift.data.checks import Check
from bayesuplift.decisions import wording
from bayesuplift.dims import ARM, Kind

Name = Literal["CHOOSE", "EQUIVALENT", "CONTINUE", "INVALID"]

EQUIVALENT_ABOVE = 0.95
_ERRORS_TO_SPARE = 2.0  # Monte Carlo errors of a loss below the threshold, for a choice from draws
_ONE_LOOK = (
    "This holds for one planned look at the data; a test that is looked at repeatedly needs a monitor whose error rates "
    "are known."
)


@dataclass(frozen=True)
class Verdict:
    """What to do, in a word and in a sentence.

    Parameters
    ----------
    name
        "CHOOSE" (the arm named), "EQUIVALENT" (any arm will do), "CONTINUE" (the data do not decide), or "INVALID" (a
        check failed, and no arm is named).
    arm
        The chosen arm; None unless the name is CHOOSE.
    sentence
        The verdict with its figures, for a reader.
    """

    name: Name
    arm: str | None
    sentence: str


def decide(
    table: xr.Dataset, *, outcome: str, kind: Kind, checks: Sequence[Check], threshold: float, rope: float | None
) -> Verdict:
    """Apply the rules in their order: failed checks, equivalence, the threshold of caring.

    Parameters
    ----------
    table
        Over (arm,), from `comparison`.
    outcome, kind
        What the arms are compared on.
    checks
        Data checks and diagnostics; any that failed makes the verdict INVALID.
    threshold
        Expected loss, in outcome units, small enough to stop for.
    rope
        Half-width of the region of practical equivalence, or none.
    """
    failed = [check for check in checks if not check.passed]
    if failed:
        reasons = " ".join(check.sentence for check in failed)
        return Verdict("INVALID", None, f"No verdict on {outcome}, because a check failed. {reasons}")
    best, name = leading(table, threshold=threshold, rope=rope)
    row = table.sel({ARM: best})
    loss = wording.loss(float(row["expected_loss"]), kind, _error(row, "expected_loss"))
    chance = wording.probability(float(row["prob_best"]), _error(row, "prob_best"))
    limit = wording.stated(threshold, kind)
    if name == "EQUIVALENT":
        together = wording.probability(float(table["prob_all_equivalent"]), _error(table, "prob_all_equivalent"))
        width = wording.stated(rope or 0.0, kind)
        text = f"Any arm will do on {outcome}: with probability {together} every arm lies within {width} of the best."
        return Verdict("EQUIVALENT", None, f"{text} {_ONE_LOOK}")
    if name == "CHOOSE":
        text = (
            f"Choose {best} on {outcome}: it is the best arm with probability {chance}, and the expected loss of choosing "
            f"it ({loss}) is within the threshold of caring ({limit})."
        )
        return Verdict("CHOOSE", best, f"{text} {_ONE_LOOK}")
    if float(row["expected_loss"]) <= threshold:
        text = (
            f"The draws do not decide on {outcome}: {best} leads, best with probability {chance}, and the expected loss of "
            f"choosing it ({loss}) cannot be told from the threshold of caring ({limit}). Draw more."
        )
        return Verdict("CONTINUE", None, f"{text} {_ONE_LOOK}")
    text = (
        f"The data do not decide on {outcome} yet: {best} leads, best with probability {chance}, but the expected loss of "
        f"choosing it ({loss}) is above the threshold of caring ({limit})."
    )
    return Verdict("CONTINUE", None, f"{text} {_ONE_LOOK}")


def leading(table: xr.Dataset, *, threshold: float, rope: float | None) -> tuple[str, Name]:
    """The arm of smallest expected loss, and the verdict's name if every check has passed."""
    losses = table["expected_loss"]
    best = str(losses.idxmin(ARM).item())
    if rope is not None and float(table["prob_all_equivalent"]) >= EQUIVALENT_ABOVE:
        return best, "EQUIVALENT"
    surely = float(losses.min()) + _ERRORS_TO_SPARE * _error(table.sel({ARM: best}), "expected_loss")
    return best, "CHOOSE" if surely <= threshold else "CONTINUE"


def _error(row: xr.Dataset, name: str) -> float:
    """Monte Carlo error of a quantity; an exact one has none."""
    return float(row[f"{name}_mcse"]) if f"{name}_mcse" in row else 0.0
