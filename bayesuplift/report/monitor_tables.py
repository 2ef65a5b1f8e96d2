"""Tables of a monitored experiment, from the facts of its page."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from bayesuplift.decisions import wording
from bayesuplift.report.tables import Table

Facts = Mapping[str, Any]

NOTHING: Final = "–"  # noqa: RUF001 -- the typographer's dash of an empty cell
_LEAST_LOSS: Final = 1e-6


def share(value: float) -> str:
    """Write a relative loss, which is never negative; one too small to matter as a bound.

    >>> share(0.0016), share(2e-9), share(0.0)
    ('0.160%', '< 0.0001%', '0.00%')
    """
    return f"< {100.0 * _LEAST_LOSS:.4f}%" if 0.0 < value < _LEAST_LOSS else wording.level(value, "binary")


def lift(value: float | None) -> str:
    """Write a relative effect, which has no Monte Carlo error.

    >>> lift(0.01234), lift(-0.2)
    ('+1.23%', '-20.00%')
    """
    return NOTHING if value is None else f"{100.0 * value:+,.2f}%"


def evidence(value: float | None) -> str:
    """Write a logarithm of evidence."""
    return NOTHING if value is None else f"{value:+.2f}"


def arm_table(facts: Facts) -> Table:
    """The arms at the last look."""
    level = partial(wording.level, kind=facts["kind"])
    calibrated = facts["promise"] == "calibrated"
    rows = tuple(
        (
            row["arm"] + (" (control)" if row["is_control"] else ""),
            f"{row['n']:,}",
            NOTHING if row["mean"] is None else level(row["mean"]),
            lift(row["raw_lift"]),
            _with_interval(row),
            wording.probability(row["prob_best"]),
            NOTHING if row["prob_beats_control"] is None else wording.probability(row["prob_beats_control"]),
            share(row["relative_loss"]),
            *((evidence(row["log_evidence"]),) if calibrated else ()),
            evidence(row["log10_e_value"]),
            evidence(row["log10_e_value_harm"]),
        )
        for row in facts["arms"]
    )
    head = (
        "arm",
        "units",
        f"mean {facts['metric']}",
        "raw lift",
        "lift",
        "P(best)",
        "P(beats control)",
        "relative loss",
        *(("log Bayes factor",) if calibrated else ()),
        "log10 e-value, benefit",
        "log10 e-value, harm",
    )
    caption = (
        "The arms at the last look. Raw lift: of plain means. Lift: posterior mean, with its 95% credible interval. "
        "Relative loss: what choosing the arm is expected to lose, as a share of the control's mean."
    )
    return Table("the last look", caption, head, rows, folded=False)


def looks_table(facts: Facts) -> Table:
    """Every look in a row."""
    loss = facts["evidence"]["quantity"] == "relative_loss"
    write = share if loss else evidence
    rows = tuple(
        (
            row["batch"],
            row["at"],
            NOTHING if row["look"] is None else str(row["look"]),
            f"{row['units']:,}",
            row["treatment"],
            _with_interval(row),
            wording.probability(row["prob_best"]),
            share(row["relative_loss"]),
            *(() if loss else (evidence(row["evidence"]),)),
            write(row["threshold"]),
            f"{row['verdict']} {row['chosen'] or ''}".rstrip(),
        )
        for row in facts["looks"]
    )
    head = (
        "batch",
        "taken",
        "look",
        "units",
        "treatment",
        "lift",
        "P(best)",
        "relative loss",
        *(() if loss else (facts["evidence"]["name"],)),
        "threshold",
        "verdict",
    )
    caption = (
        "Every look, with the treatment of the least expected loss at that time; a dash: no declared look was due."
    )
    return Table("all looks", caption, head, rows, words=frozenset({1, 4, len(head) - 1}))


def sensitivity_table(facts: Facts) -> Table:
    """P(best) and losses under other priors."""
    names = [row["arm"] for row in facts["arms"]]
    rows = tuple(
        (
            one["prior"],
            one["description"],
            *(wording.probability(one["prob_best"][arm]) for arm in names),
            *(share(one["relative_loss"][arm]) for arm in names),
        )
        for one in facts["sensitivity"]
    )
    head = ("prior", "of effects", *(f"P({arm} best)" for arm in names), *(f"loss of {arm}" for arm in names))
    caption = "The last look under other priors. The verdict rests on the stated one."
    return Table("priors", caption, head, rows, words=frozenset({1}), folded=False)


def guardrail_table(facts: Facts) -> Table:
    """The guardrails at the last look."""
    rows = tuple(
        (
            one["name"],
            arm,
            lift(worsening),
            f"{100.0 * one['margin']:g}%",
            evidence(one["log10_e_value"][-1]),
            evidence(one["bar"]),
            "passed" if one["passed"] else "FAILED",
        )
        for one in facts["guardrails"]
        for arm, worsening in one["worsening"].items()
    )
    head = ("guardrail", "treatment", "worse by", "margin", "log10 e-value, harm", "bar", "")
    caption = (
        "A guardrail fails where the evidence of harm reaches the bar and that treatment is worse by more than the margin. "
        "The evidence shown is the strongest of the treatments or, where one fails, that of the worst."
    )
    return Table("guardrails", caption, head, rows, words=frozenset({1, 6}), folded=False)


def trend_table(facts: Facts) -> Table:
    """Effects by period."""
    rows = tuple(
        (one["arm"], f"{day:.4g}", f"{effect:+.3g}", f"{se:.2g}")
        for one in facts["trend"]["arms"]
        for day, effect, se in zip(one["day"], one["effect"], one["se"], strict=True)
    )
    scales = sorted({one["scale"] for one in facts["trend"]["arms"]})
    caption = f"The effect in each period ({', '.join(scales)}), without a prior, and its standard error."
    return Table("effects by period", caption, ("treatment", "middle of the period, day", "effect", "se"), rows)


def plan_table(facts: Facts) -> Table:
    """The plan as it was frozen."""
    caption = "The plan, frozen when the experiment started."
    return Table("the plan", caption, ("", ""), tuple(_plan_rows(facts)), words=frozenset({1}), folded=False)


def deviation_table(facts: Facts) -> Table:
    """Where the experiment left its plan."""
    rows = tuple((text,) for text in facts["deviations"])
    return Table("departures from the plan", "Departures from the plan, in their order.", ("departure",), rows)


def provenance_table(facts: Facts) -> Table:
    """Hashes of what the page was made from."""
    names = {
        "batch_hash": "last batch",
        "plan_hash": "plan",
        "state_hash": "state",
        "version": "version of bayesuplift",
    }
    rows = tuple((names[key], str(value)) for key, value in facts["provenance"].items())
    caption = "SHA-256 of the plan, of the last batch and of the state after it, and the version that wrote them."
    return Table("hashes and version", caption, ("", ""), rows, words=frozenset({1}), folded=False)


def _plan_rows(facts: Facts) -> list[tuple[str, str]]:
    plan = facts["plan"]
    rule, looks, split = plan["rule"], plan["looks"], plan["split"]
    # "alpha" bounds no error of the promise "decision", and "anytime" leaves the loss of a treatment out.
    asked = {
        "alpha": rule["promise"] != "decision" and f"{100.0 * rule['alpha']:g}%",
        "relative loss": rule["promise"] != "anytime" and f"{100.0 * rule['relative_loss']:g}% for a treatment",
    }
    declared = f"{looks['number']}, each after {looks['units']:,} units and {_days(looks['days'])}"
    rows = [
        ("metric", _metric(plan["metric"])),
        ("arms, with the intended split", ", ".join(f"{arm} {100.0 * split[arm]:.4g}%" for arm in plan["arms"])),
        ("control", plan["control"]),
        ("start", plan["start"]),
        ("prior", facts["prior"]),
        ("promise", rule["promise"]),
        *((name, text) for name, text in asked.items() if text),
        ("relative loss of the control", f"{100.0 * rule['control_loss']:g}%"),
        ("looks", declared if rule["promise"] == "calibrated" else f"after every batch; {declared} expected"),
        ("before a treatment is shipped", f"{_days(rule['minimum_days'])} and {rule['minimum_units']:,} units"),
        *([("practical equivalence", f"within {100.0 * rule['rope']:g}%")] if rule["rope"] is not None else []),
        *((f"guardrail, margin {100.0 * one['margin']:g}%", _metric(one)) for one in plan["guardrail"]),
        *([("segments", ", ".join(plan["segments"]))] if plan["segments"] else []),
        *([("attribution window", _days(plan["attribution_days"]))] if plan["attribution_days"] else []),
        *(_cost_rows(plan["costs"]) if "costs" in plan else []),
        ("level of the sample-ratio check", f"{plan['sample_ratio_level']:g}"),
    ]
    if rule["promise"] == "calibrated":
        rows.append(("simulated experiments, seed", f"{rule['experiments']:,}, {rule['seed']}"))
    return rows


def _metric(metric: Facts) -> str:
    sd = "" if metric["sd"] is None else f", sd {metric['sd']:g}"
    better = "; less is better" if metric["lower_is_better"] else ""
    return f"{metric['name']} ({metric['kind']}), {metric['baseline']:g} expected without treatment{sd}{better}"


def _days(number: float) -> str:
    return "1 day" if number == 1.0 else f"{number:g} days"


def _cost_rows(costs: Facts) -> list[tuple[str, str]]:
    by_arm = ", ".join(f"{arm} {cost:g}" for arm, cost in costs["cost_per_unit"].items())
    return [("value of an outcome", f"{costs['value_per_outcome']:g}"), ("cost per unit", by_arm or "none")]


def _with_interval(row: Facts) -> str:
    if row["lift"] is None or row["lift_lower"] is None or row["lift_upper"] is None:
        return lift(row["lift"])
    return f"{lift(row['lift'])} [{lift(row['lift_lower'])}, {lift(row['lift_upper'])}]"
