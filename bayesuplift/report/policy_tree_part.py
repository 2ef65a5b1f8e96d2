"""The policy as a tree that everybody can apply: facts, and what a page tells of it."""

from collections.abc import Mapping
from typing import Any, Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from bayesuplift.decisions.targeting.evaluation import POLICY, summarize_value
from bayesuplift.decisions.trees.policy_tree import PolicyTree
from bayesuplift.decisions.trees.questions import Branch, Leaf
from bayesuplift.dims import COVARIATE
from bayesuplift.report.facets import Drawn, escaped
from bayesuplift.report.figures import CONTROL_COLOUR, FRAME_PIXELS, colours, laid_out
from bayesuplift.report.money import counted, money
from bayesuplift.report.plain import plain
from bayesuplift.report.responder_words import share_of
from bayesuplift.report.shown import with_interval
from bayesuplift.report.tables import Table
from bayesuplift.report.tree_diagram import draw_branch, tree_places

Facts = Mapping[str, Any]

_LEAF_PIXELS: Final = 46
_SMALL: Final = 11  # pixels of type


def policy_tree_facts(found: PolicyTree, *, prob: float) -> dict[str, Any]:
    """Facts of a policy tree.

    Returns
    -------
    dict
        `leaves` with their number `leaf`, `rule`, `arm`, `units`, `share` and `share_text`; `nodes` as of an effect tree;
        `profit`, rows of "tree" and of "each place its best" with their intervals; `part`, mean profit of the first by that
        of the second, None where that earns nothing; `chosen`, what grew it; `roots`, shares of the covariates asked first
        in trees of single draws; `method`.
    """
    rules = found.tree.rules()
    every = sum(rule.units or 0.0 for rule in rules)
    leaves = [
        {
            "leaf": number,
            "rule": rule.words,
            "arm": rule.arm,
            "units": rule.units,
            "share": (rule.units or 0.0) / every,
            "share_text": share_of((rule.units or 0.0) / every),
        }
        for number, rule in enumerate(rules, start=1)
    ]
    nodes: list[dict[str, Any]] = []
    _add(nodes, found.tree.root, None, "", iter(range(1, len(leaves) + 1)))
    told = summarize_value(found.value, prob=prob)
    profit = {}
    for name in ("tree", "each place its best"):
        of_policy = told.sel({POLICY: name})
        names = ("profit", "profit_mcse", *(f"profit_{end}" for end in ("lower", "lower_mcse", "upper", "upper_mcse")))
        row = {one: plain(of_policy[one]) for one in names}
        profit[name] = row | {"shown": {"profit": with_interval(row, "profit", money)}}
    best = profit["each place its best"]["profit"]
    return {
        "leaves": leaves,
        "nodes": nodes,
        "profit": profit,
        "part": profit["tree"]["profit"] / best if best > 0 else None,
        "chosen": str(found.candidates.attrs["chosen"]),
        "judged": float(found.candidates.attrs["prob"]),
        "roots": {
            str(name): float(share) for name, share in zip(found.roots[COVARIATE].values, found.roots, strict=True)
        },
        "method": found.method,
    }


def policy_tree_sentences(outcome: Facts) -> tuple[str, ...]:
    """What is said of the tree."""
    facts = outcome["targeting"]["tree"]
    profit, best = (facts["profit"][name]["shown"]["profit"] for name in ("tree", "each place its best"))
    kept = "" if facts["part"] is None else f": the tree keeps {share_of(facts['part'])} of that"
    roots = ", ".join(
        f"{'nothing' if name == 'none' else name} in {share_of(share)}"
        for name, share in sorted(facts["roots"].items(), key=lambda one: -one[1])
        if share
    )
    dim = outcome["targeting"]["dim"]
    halves = "on half of the units" if dim == "unit" else "with half of the draws"
    earned = f"As a tree the policy earns {profit}, and an arm for each {dim} earns {best}{kept}."
    grown = (
        f"It was grown {halves} ({facts['chosen']}), and has the highest lower quantile of profit on the other half among "
        f"trees for several risk aversions and for single draws; search: {facts['method']}."
    )
    return (
        earned,
        grown,
        f"Asked first by trees of single draws: {roots}. The less they agree, the less its shape means.",
    )


def policy_tree_table(outcome: Facts) -> Table:
    """One row a leaf."""
    return Table(
        name="leaves of the tree",
        caption="Who gets what by the tree",
        head=("leaf", "who", "arm", "units", "share"),
        rows=tuple(
            (str(row["leaf"]), row["rule"], row["arm"], counted(row["units"]), row["share_text"])
            for row in outcome["targeting"]["tree"]["leaves"]
        ),
        words=frozenset({1, 2}),
        folded=False,
    )


def policy_tree_figure(outcome: Facts) -> Drawn:
    """The tree as a diagram, with the arm at the end of every way."""
    facts, paint = outcome["targeting"]["tree"], colours(outcome)
    leaves = facts["leaves"]
    height = {row["leaf"]: len(leaves) - i for i, row in enumerate(leaves)}
    figure: go.Figure = make_subplots(rows=1, cols=1)
    places = tree_places(facts["nodes"], height)
    for node in facts["nodes"]:
        draw_branch(figure, node, places)
    deepest = max(x for x, _ in places.values())
    for row in leaves:
        x, y = places[next(one["node"] for one in facts["nodes"] if one["leaf"] == row["leaf"])]
        line = {"color": CONTROL_COLOUR, "width": 1, "dash": "dot"}
        figure.add_scatter(x=[x, deepest], y=[y, y], mode="lines", line=line, hoverinfo="skip")
        figure.add_annotation(
            x=deepest + 0.03,
            y=y,
            text=f"<b>{escaped(row['arm'])}</b>: {counted(row['units'])} units ({row['share_text']})",
            showarrow=False,
            xanchor="left",
            font={"size": _SMALL, "color": paint.get(row["arm"], CONTROL_COLOUR)},
        )
    laid_out(figure, x="", height=FRAME_PIXELS + _LEAF_PIXELS * len(leaves))
    figure.update_xaxes(visible=False, range=[-0.05, deepest + 0.9])
    figure.update_yaxes(visible=False, range=[0.4, len(leaves) + 0.6])
    said = " ".join(f"{row['rule']}: {row['arm']}." for row in leaves)
    return Drawn("The policy as a tree: which arm whom.", f"Tree of {len(leaves)} groups. {said}", figure)


def _add(nodes: list[dict[str, Any]], node: Branch | Leaf, parent: int | None, answer: str, leaves: Any) -> None:
    """Put a place of the tree, and what lies below it, at the end."""
    number = len(nodes)
    leaf = next(leaves) if isinstance(node, Leaf) else None
    nodes.append({"node": number, "parent": parent, "answer": answer, "leaf": leaf})
    if isinstance(node, Branch):
        for yes, below in ((True, node.yes), (False, node.no)):
            _add(nodes, below, number, node.question.words(answer=yes), leaves)
