"""Why effects differ: the facts of summaries, and where the page shows them."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesuplift as bu
from bayesuplift.report.content import OutcomeResult, Report
from bayesuplift.report.explanation import Explanation, explaining_figures, explanation
from bayesuplift.report.render import to_html, to_json, to_markdown
from tests.support.over_units import noisy, over_units

UNITS = 400
HOSTILE = "<b>x</b>|y"


def table() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    return pd.DataFrame({"age": rng.uniform(20, 80, UNITS).round(), "place": rng.choice(["a", HOSTILE], UNITS)})


def explained() -> tuple[Any, Explanation]:
    """Effects of .1 on those who are 50 or older, of .02 on the others."""
    frame = table()
    means = np.column_stack([np.full(UNITS, 0.3), 0.3 + np.where(frame["age"] >= 50, 0.1, 0.02)])
    tree = over_units(noisy(means, sd=0.01, seed=2), arms=("none", "offer"), kind="binary", outcome="visit")
    parts = (bu.effect_tree, bu.effect_curves, bu.subgroups)
    found = [one(tree, frame, covariates=["age", "place"]) for one in parts]
    return tree, Explanation("offer", found[0], found[1], found[2])


def page_of(found: tuple[Explanation, ...], tree: Any) -> dict[str, Any]:
    result = OutcomeResult(tree, bu.choose_arm(tree, threshold_of_caring=0.001), explanations=found)
    return Report(title="visits", outcomes=(result,)).facts()


def test_each_treatment_has_its_tree_its_curves_and_its_subgroups() -> None:
    tree, found = explained()
    (facts,) = explanation([found])
    effect, old = bu.cate(tree).sel(arm="offer"), (table()["age"] >= 50).to_numpy()
    leaves = sorted(facts["tree"]["leaves"], key=lambda row: -row["difference"])
    for row, members in zip(leaves, (old, ~old), strict=True):
        assert row["n"] == members.sum()
        expected = bu.summarize(effect.isel(unit=np.flatnonzero(members)).mean("unit"))
        assert row["difference"] == pytest.approx(float(expected["mean"]), rel=1e-6)
    assert facts["curves"]["curves"][0]["covariate"] == "age"
    assert "age" in facts["subgroups"]["rows"][0]["rule"]


def test_the_renderings_show_them_and_escape_their_names() -> None:
    tree, found = explained()
    facts = page_of((found,), tree)
    assert json.loads(to_json(facts)) == facts
    (told,) = facts["outcomes"][0]["units"]["explanation"]
    markdown, page = to_markdown(facts), to_html(facts)
    for row in told["tree"]["leaves"]:
        assert row["shown"]["difference"] in markdown
        assert row["shown"]["difference"].split(" [")[0] in page
    assert told["tree"]["fidelity"]["shown"]["r_squared"] in markdown
    assert f"of {told['subgroups']['considered']} groups that were looked at" in page
    assert HOSTILE not in page
    ((tree_drawn, curves, subgroups),) = explaining_figures(facts["outcomes"][0])
    assert page.count("Plotly.newPlot(") == 4 + 3 + 3
    assert all(one.alt and one.caption for one in (tree_drawn, curves, subgroups))
    columns = 0
    for line in markdown.splitlines():
        columns = (columns or line.replace("\\|", "").count("|")) if line.startswith("|") else 0
        assert not line.startswith("|") or line.replace("\\|", "").count("|") == columns, line


def test_what_there_is_no_summary_of_is_left_out() -> None:
    tree, found = explained()
    assert page_of((), tree)["outcomes"][0]["units"]["explanation"] == []
    facts = page_of((Explanation("offer", found.tree),), tree)
    (told,) = facts["outcomes"][0]["units"]["explanation"]
    assert told["curves"] is None
    assert told["subgroups"] is None
    assert "groups that were looked at" not in to_html(facts)
    assert [len(one) for one in explaining_figures(facts["outcomes"][0])] == [1]
