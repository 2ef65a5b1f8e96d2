"""A model's card tells the defaults that the code has."""

from pathlib import Path

import bayesuplift as bu

MODELS = Path(__file__).resolve().parents[2] / "models"


def test_the_card_of_the_forest_tells_what_trees_there_are_by_default() -> None:
    card = (MODELS / "bayesian_causal_forest" / "README.md").read_text(encoding="utf-8")
    prior = bu.ForestPrior()
    rows = dict(line.split(" | ")[:2] for line in card.splitlines() if line.startswith("| ") and line.count(" | ") > 1)
    assert rows["| prognostic"] == str(prior.prognostic)
    assert rows["| effect"] == str(prior.effect)
    # the equation of the generative story
    for forest, letter in ((prior.prognostic, "T"), (prior.effect, "T'")):
        assert rf"{forest.base:g} / (1 + d)^{forest.power:g} \text{{ in }} {letter}" in card
        assert rf"\sum_{{k=1}}^{{{forest.trees}}} g(\cdot\,; {letter}_" in card.replace("T'_{ak}", "T'_")
