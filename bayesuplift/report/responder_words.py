"""Who responds, in words: how far effects differ, between whom, and for how many they pay."""

from collections.abc import Mapping
from typing import Any, Final

from bayesuplift.dims import SEGMENT, UNIT

Facts = Mapping[str, Any]

SURE: Final = 0.95
ERRORS_TO_SPARE: Final = 2.0  # as a verdict from draws has them
MULTIPLICITY: Final[Mapping[str, str]] = {
    SEGMENT: "Effects are pooled: the model has drawn segments towards each other by as much as the data ask for, so that "
    "comparisons, however many, need no further correction.",
    UNIT: "Effects are regularised: the prior holds those of all units together, and lets them differ by as much as the "
    "data ask for, so that comparisons, however many, need no further correction as far as that prior is right.",
}
"""What is said of many comparisons, by the dimension that the model pools over."""

CAUTION: Final = (
    "A standard deviation is never negative: its posterior mean lies above 0 even where effects do not differ at all."
)


def sentences(facts: Facts, *, outcome: str, of_units: bool = False) -> list[str]:
    """Sentences for a reader, from the facts of `responders`; of units, without what is told of these one by one."""
    if of_units:
        return _apart(facts)
    average = {row["arm"]: row["shown"]["difference"] for row in facts["average"]}
    said = [
        f"The effect of {row['arm']} on {outcome} is {average[row['arm']]} on average, and has a standard deviation of "
        f"{row['shown']['spread']} over the units of all segments. The probability that this is less than a tenth of the "
        f"average effect, and segments practically alike, is {row['shown']['prob_negligible']}."
        for row in facts["spread"]
    ]
    return [*said, CAUTION, *_apart(facts), *(_paying(facts, row["arm"]) for row in facts["average"])]


def _apart(facts: Facts) -> list[str]:
    """The two levels of a factor that are furthest apart, by arm."""
    said = []
    for row in facts["spread"]:
        widest = next((one for one in facts["apart"] if one["arm"] == row["arm"]), None)
        if widest is not None:
            said.append(
                f"Under {row['arm']}, no two levels of a factor are further apart than {widest['factor']} "
                f"{widest['higher']} and {widest['lower']}: the effect at the first exceeds that at the second by "
                f"{widest['shown']['difference']}, and is the larger one with probability "
                f"{widest['shown']['prob_greater']}."
            )
    return said


def _paying(facts: Facts, arm: str) -> str:
    """For which share of the units an arm surely pays, and surely does not."""
    rows = [(one["share"], effect) for one in facts["segments"]["rows"] for effect in one["effects"]]
    of_arm = [(share, effect["prob_gain"], effect["prob_gain_mcse"]) for share, effect in rows if effect["arm"] == arm]
    surely = sum(share for share, p, error in of_arm if p - ERRORS_TO_SPARE * error >= SURE)
    hardly = sum(share for share, p, error in of_arm if p + ERRORS_TO_SPARE * error <= 1.0 - SURE)
    return (
        f"Under {arm}, {facts['question']} is at least {SURE:.0%} in {_segments_with(surely)}, and at most "
        f"{1.0 - SURE:.0%} in {_segments_with(hardly)} (two Monte Carlo errors to spare)."
    )


def _segments_with(share: float) -> str:
    text = share_of(share)
    return {"0%": "no segment", "100%": "every segment"}.get(text, f"segments with {text} of the units")


def share_of(share: float) -> str:
    """Write a share of units, known exactly, with at least two digits.

    >>> share_of(0.9312), share_of(0.0312), share_of(0.00021), share_of(0.0), share_of(1.0), share_of(0.9999)
    ('93%', '3.1%', '0.021%', '0%', '100%', '99.99%')
    """
    near_all = 0.99  # from here on the rest is what is told
    return f"{100.0 * share:.{4 if share > near_all else 2}g}%"
