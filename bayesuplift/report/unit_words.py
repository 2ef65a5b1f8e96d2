"""Who responds, unit by unit, in words."""

from collections.abc import Mapping
from typing import Any, Final

from bayesuplift.report.responder_words import CAUTION, SURE, share_of

Facts = Mapping[str, Any]

_OF_ONE: Final = (
    "A probability of a single unit is as good as the model's prior and its covariates: it says what is known of such "
    "units, not what this one would have done."
)


def sentences(facts: Facts, *, outcome: str) -> list[str]:
    """Sentences for a reader, from the facts of `unit_responders`."""
    average = {row["arm"]: row["shown"]["difference"] for row in facts["average"]}
    said = [
        f"The effect of {row['arm']} on {outcome} is {average[row['arm']]} on average, and has a standard deviation of "
        f"{row['shown']['spread']} over the {facts['units']:,} units. The probability that this is less than a tenth of "
        f"the average effect, and units practically alike, is {row['shown']['prob_negligible']}."
        for row in facts["arms"]
    ]
    said.append(CAUTION)
    said += [_sorted(row) for row in facts["arms"] if len(row["groups"]) > 1]
    said += [_paying(row, facts["question"]) for row in facts["arms"]]
    said.append(_best(facts))
    said.append(_OF_ONE)
    if facts["doubt"] is not None:
        said.insert(0, f"{facts['doubt']} Averages can be relied on; draw longer before deciding on single units.")
    return said


def _sorted(row: Facts) -> str:
    first, last = (one["shown"]["difference"] for one in (row["groups"][0], row["groups"][-1]))
    return (
        f"Sorted by their expected effect of {row['arm']}, the first of {len(row['groups'])} groups of units of one size "
        f"has an average effect of {first}, the last one of {last}."
    )


def _paying(row: Facts, question: str) -> str:
    event = question.removeprefix("P(").removesuffix(")")
    return (
        f"Under {row['arm']}, {event} for {row['shown']['share_gaining']} of the units; {question} is at least {SURE:.0%} "
        f"for {share_of(row['surely'])} of them, and at most {1.0 - SURE:.0%} for {share_of(row['hardly'])} (two Monte "
        f"Carlo errors to spare)."
    )


def _best(facts: Facts) -> str:
    """Which arm is best for which share of the units."""
    measure = "by mean outcome" if facts["economics"] is None else "by money"
    each = "; ".join(
        f"{row['arm']} for {row['shown']['share_best']} of the units, surely (P at least {SURE:.0%}) for "
        f"{share_of(row['surely'])}"
        for row in facts["best"]
    )
    return f"The best arm {measure} is {each}."
