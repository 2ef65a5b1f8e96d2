"""What a page tells of whom to treat, part by part: a heading, sentences, figures and tables, all from the facts."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from bayesuplift.report.bucket_figures import bucket_figure
from bayesuplift.report.facets import Drawn
from bayesuplift.report.information_part import information_sentences, information_table
from bayesuplift.report.pages import Part
from bayesuplift.report.policy_tree_part import policy_tree_figure, policy_tree_sentences, policy_tree_table
from bayesuplift.report.receiver_figures import receiver_figures
from bayesuplift.report.tables import as_text
from bayesuplift.report.targeting_figures import curve_figure, frontier_figure, grid_figure, policy_figure
from bayesuplift.report.targeting_tables import (
    action_table,
    bucket_table,
    curve_table,
    frontier_table,
    grid_table,
    policy_table,
    receiver_table,
)
from bayesuplift.report.targeting_words import limits_that_bind

Facts = Mapping[str, Any]


def parts(outcome: Facts) -> list[Part]:
    """Parts of an outcome's `targeting`, in reading order; none where there is none, or where a check failed."""
    facts = outcome["targeting"]
    if facts is None or facts["refused"] is not None:
        return []
    return [part for make in _PARTS if (part := make(outcome)) is not None]


def policies_text(outcome: Facts) -> str:
    """The table of policies for a terminal, or why there is none; nothing where no economics were given."""
    facts = outcome["targeting"]
    if facts is None:
        return ""
    return str(facts["refused"]) if facts["refused"] is not None else as_text(policy_table(outcome))


def _policies(outcome: Facts) -> Part:
    facts = outcome["targeting"]
    bound = [text for row in facts["policies"] for text in limits_that_bind(row)]
    tables = (policy_table(outcome), *(() if facts["who"] is None else (receiver_table(facts["who"]),)))

    def draw() -> list[Drawn]:
        who = [] if facts["who"] is None else receiver_figures(outcome, facts["who"])
        return [policy_figure(outcome), *who]

    return Part("Whom to treat", (*facts["sentences"], *bound, *facts["left_out"]), tables, draw)


def _frontier(outcome: Facts) -> Part | None:
    facts = outcome["targeting"]["frontier"]
    if not facts["rows"]:
        return None
    who = facts["who"]
    tables = (frontier_table(outcome), *(() if who is None else (receiver_table(who),)))

    def draw() -> list[Drawn]:
        return [frontier_figure(outcome), *([] if who is None else receiver_figures(outcome, who))]

    return Part("What caution earns", (), tables, draw)


def _curve(outcome: Facts) -> Part | None:
    if outcome["targeting"]["curve"] is None:
        return None
    return Part("How many to treat", (), (curve_table(outcome),), lambda: [curve_figure(outcome)])


def _actions(outcome: Facts) -> Part | None:
    if outcome["targeting"]["actions"] is None:
        return None
    return Part("Where to expand, to hold and to reduce", (), (action_table(outcome),), list)


def _buckets(outcome: Facts) -> Part | None:
    facts = outcome["targeting"]["buckets"]
    if facts is None:
        return None
    refused = tuple(
        f"{one['factor'] or 'Everybody'}: nothing is told under the assumption that treating prevents nobody's outcome. "
        f"{one['refused']}."
        for one in facts["factors"]
        if one["refused"]
    )
    return Part("Who would respond in any case", refused, (bucket_table(outcome),), lambda: [bucket_figure(outcome)])


def _grid(outcome: Facts) -> Part | None:
    if outcome["targeting"]["grid"] is None:
        return None
    return Part("If prices were others", (), (grid_table(outcome),), lambda: [grid_figure(outcome)])


def _tree(outcome: Facts) -> Part | None:
    if outcome["targeting"]["tree"] is None:
        return None
    figures = [policy_tree_figure] if len(outcome["targeting"]["tree"]["leaves"]) > 1 else []
    drawn = lambda: [draw(outcome) for draw in figures]  # noqa: E731 -- drawn only where a page shows it
    return Part("A tree to treat by", policy_tree_sentences(outcome), (policy_tree_table(outcome),), drawn)


def _information(outcome: Facts) -> Part | None:
    if outcome["targeting"]["information"] is None:
        return None
    return Part("Whether to test first", information_sentences(outcome), (information_table(outcome),), list)


_PARTS: Final[tuple[Callable[[Facts], Part | None], ...]] = (
    _policies,
    _frontier,
    _curve,
    _tree,
    _actions,
    _buckets,
    _grid,
    _information,
)
