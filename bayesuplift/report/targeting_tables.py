"""Tables of whom to treat, made from the facts alone."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from bayesuplift.decisions.targeting.buckets import BUCKETS
from bayesuplift.report.effect_rows import PER_UNITS
from bayesuplift.report.money import counted
from bayesuplift.report.responder_words import share_of
from bayesuplift.report.tables import Table

Facts = Mapping[str, Any]

_MOST_OPEN: Final = 24  # rows of a table that is not folded away
_DASH: Final = "–"  # noqa: RUF001 -- the typographer's dash of an empty cell


def policy_table(outcome: Facts) -> Table:
    """One row a rule, and one a reference."""
    facts = outcome["targeting"]
    worst = f"worst {100.0 * facts['alpha']:g}%"
    columns = ("units", "share_treated", "cost", "profit", "prob_loss", "cvar", "roi", "regret")
    return Table(
        name="policies",
        caption=(
            f"What policies earn, with {outcome['interval']} credible intervals. {worst.capitalize()}: mean profit in the "
            f"worst draws (CVaR). ROI: profit by cost. Regret: what knowing every effect would earn beyond it, on average."
        ),
        head=("policy", "who gets what", "treated", "cost", "profit", "P(loss)", worst, "ROI", "regret"),
        rows=tuple((row["name"], *(row["shown"][column] for column in columns)) for row in facts["policies"]),
        words=frozenset({1}),
        folded=False,
    )


def frontier_table(outcome: Facts) -> Table:
    """One row a risk aversion."""
    columns = ("units", "share_treated", "profit", "prob_loss", "cvar", "regret")
    worst = f"worst {100.0 * outcome['targeting']['alpha']:g}%"
    return Table(
        name="risk aversion",
        caption=f"What more caution about every unit or segment earns, with {outcome['interval']} credible intervals",
        head=("λ", "who gets what", "treated", "profit", "P(loss)", worst, "regret"),
        rows=tuple(
            (text, *(row["shown"][column] for column in columns))
            for row, text in spans(outcome["targeting"]["frontier"]["rows"])
        ),
        words=frozenset({1}),
    )


def spans(rows: Sequence[Facts]) -> list[tuple[Facts, str]]:
    """Rows of the frontier, neighbours of one policy once, and their risk aversions as text.

    >>> row = {"units": {"offer": 5.0}, "profit": 2.0}
    >>> [text for _, text in spans([row | {"risk_aversion": one} for one in (0.0, 0.5)])]
    ['0 to 0.5']
    """
    found = []
    for _, alike in groupby(rows, key=lambda row: (row["units"], row["profit"])):
        every = list(alike)
        first, last = every[0], every[-1]
        text = f"{first['risk_aversion']:g}"
        found.append((first, text if len(every) == 1 else f"{text} to {last['risk_aversion']:g}"))
    return found


def receiver_table(facts: Facts) -> Table:
    """Who gets what: one row a group, one column a policy; facts of `receivers`."""
    rows = []
    for place, group in enumerate(facts["groups"]):
        cells = (_split(policy["shares"][place], facts["arms"]) for policy in facts["policies"])
        rows.append((group["label"], counted(group["n"]), group["share_text"], *cells))
    names = [policy["name"] for policy in facts["policies"]]
    return Table(
        name="who gets what",
        caption="Shares of the units of each group under every arm, by policy",
        head=("group", "units", "share", *names),
        rows=tuple(rows),
        words=frozenset(range(3, 3 + len(names))),
    )


def _split(shares: Sequence[float], arms: Sequence[str]) -> str:
    """Arms with their shares; one alone by its name."""
    told = [(arm, share_of(share)) for arm, share in zip(arms, shares, strict=True) if share > 0]
    told = [(arm, text) for arm, text in told if text not in ("0%", "100%")] or told
    return told[0][0] if len(told) == 1 else ", ".join(f"{text} {arm}" for arm, text in told)


def curve_table(outcome: Facts) -> Table:
    """Profit at some shares of the units treated."""
    columns = ("share", "number_treated", "profit")
    return Table(
        name="shares",
        caption=f"Profit by share treated, with {outcome['interval']} credible intervals",
        head=("treated", "units", "profit"),
        rows=tuple(tuple(row["shown"][column] for column in columns) for row in outcome["targeting"]["curve"]["rows"]),
    )


def action_table(outcome: Facts) -> Table:
    """What to do about each treatment, by level of every factor."""
    facts = outcome["targeting"]["actions"]
    of_factors = any(one["factor"] is not None for one in facts["factors"])
    columns = ("share", "effect", "net_gain", "prob_gain")
    rows = tuple(
        (
            f"{one['factor']}: {row['level']}" if of_factors else row["level"],
            row["arm"],
            *(row["shown"][column] for column in columns),
            row["action"],
            row["reason"],
        )
        for one in facts["factors"]
        for row in one["rows"]
    )
    sure = f"{100.0 * facts['sure']:g}%"
    return Table(
        name="segments",
        caption=(
            f"Expand: treating gains with a probability of at least {sure}. Reduce: of at most "
            f"{100.0 - 100.0 * facts['sure']:g}%. Hold: neither. Two Monte Carlo errors are spared. Breakeven effects: "
            f"{facts['breakeven']}. With {outcome['interval']} credible intervals."
        ),
        head=(
            *("level" if of_factors else "segment", "arm", "share", "effect"),
            *(f"net gain per {PER_UNITS:,} units", facts["question"], "action", "because"),
        ),
        rows=rows,
        words=frozenset({1, 6, 7}),
        folded=len(rows) > _MOST_OPEN,
    )


def bucket_table(outcome: Facts) -> Table:
    """Bounds of the four buckets, and what closes them."""
    rows = []
    for one in outcome["targeting"]["buckets"]["factors"]:
        for row in one["rows"]:
            level = row["level"] if one["factor"] is None else f"{one['factor']}: {row['level']}"
            closed, allowed = row["closed"], row["prob_assumption"]
            rows.append(
                (
                    level,
                    row["arm"],
                    *(row["buckets"][bucket]["shown"] for bucket in BUCKETS),
                    _DASH if closed is None else ", ".join(closed[bucket]["shown"] for bucket in BUCKETS[:3]),
                    _DASH if allowed is None else share_of(allowed),
                )
            )
    return Table(
        name="buckets",
        caption=(
            "Bounds of the shares of units in each bucket, posterior means, and in brackets the outer ends of their "
            f"{outcome['interval']} credible intervals. Without sleeping dogs: the shares of the first three under that "
            "assumption, and the share of the draws that allow it."
        ),
        head=("level", "arm", *BUCKETS, "without sleeping dogs", "draws that allow it"),
        rows=tuple(rows),
        words=frozenset({1}),
    )


def grid_table(outcome: Facts) -> Table:
    """Profit of a rule at other prices."""
    facts = outcome["targeting"]["grid"]
    columns = ("share_treated", "profit", "prob_loss", "as_chosen")
    return Table(
        name="prices",
        caption=(
            f"Profit of the rule '{facts['rule']}', chosen anew at every price, with {outcome['interval']} credible "
            "intervals, and mean profit of the policy that was chosen at the stated prices"
        ),
        head=("value of an outcome", "costs times", "treated", "profit", "P(loss)", "profit as chosen"),
        rows=tuple(
            (f"{value:g}", f"{multiplier:g}", *(cell["shown"][column] for column in columns))
            for value, cells in zip(facts["values"], facts["cells"], strict=True)
            for multiplier, cell in zip(facts["cost_multipliers"], cells, strict=True)
        ),
    )
