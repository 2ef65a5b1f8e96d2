"""The same decision under other priors: exact, from fresh draws, and by importance weights, and what the reader is told."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.decisions.comparison import per_draw
from bayesuplift.posterior.importance import smoothed
from bayesuplift.posterior.schema import mean_outcome
from tests.support.catalogue import fitted
from tests.support.mcse import assert_within_mcse
from tests.support.worlds import binary_cells, foreign, hillstrom_visits, normal_draws, seed_of

CLOSE = binary_cells([1000, 1200, 900], [100, 135, 98])


def sensitivity(tree: xr.DataTree, threshold: float = 0.001, **options: Any) -> xr.Dataset:
    return bu.choose_arm(tree, threshold_of_caring=threshold, **options).sensitivity


def log_beta(rate: xr.DataArray, alpha: float, beta: float) -> xr.DataArray:
    """Log density of Beta(alpha, beta) without its constant, summed over arms, (chain, draw)."""
    return rate.copy(data=(alpha - 1) * np.log(rate.values) + (beta - 1) * np.log1p(-rate.values)).sum("arm")


def weighed(cells: Any, priors: dict[str, tuple[float, float]], seed: int, draws: int = 5000) -> xr.DataTree:
    """Draws under the first prior with log weights for the others, as a sampler would leave them."""
    stated, *_ = priors.values()
    tree = bu.fit("beta_binomial", cells, seed=seed, prior=bu.RatePrior(*stated), draws=draws)
    rate = mean_outcome(tree)
    density = [log_beta(rate, alpha, beta) for alpha, beta in priors.values()]
    weights = xr.concat(
        [one - density[0] for one in density], dim=xr.DataArray(list(priors), dims="prior", name="prior")
    )
    group = xr.Dataset({"log_weight": weights, "description": ("prior", [f"Beta{pair}" for pair in priors.values()])})
    made = tree.filter(lambda node: node.name != "closed_form")
    made["prior_sensitivity"] = xr.DataTree(group)
    return made


def test_the_table_of_a_closed_form_is_that_of_fits_under_each_prior() -> None:
    tree = bu.fit("beta_binomial", CLOSE, seed=1)
    table = sensitivity(tree)
    assert table["prior"].values.tolist() == ["stated", "weak", "strong"]
    for name, prior in bu.RatePrior().alternatives(CLOSE).items():
        alone = bu.choose_arm(bu.fit("beta_binomial", CLOSE, seed=1, prior=prior), threshold_of_caring=0.001)
        for quantity in ("prob_best", "expected_loss"):
            np.testing.assert_allclose(table[quantity].sel(prior=name), alone.table[quantity], rtol=1e-9)
        assert str(table["description"].sel(prior=name).values) == str(prior)


def test_importance_weights_agree_with_the_exact_answer_under_the_other_prior() -> None:
    priors = {"stated": (1.0, 1.0), "other": (20.0, 80.0)}
    tree = weighed(CLOSE, priors, seed_of("importance weights"))
    table = sensitivity(tree)
    exact = bu.choose_arm(
        bu.fit("beta_binomial", CLOSE, seed=1, prior=bu.RatePrior(20, 80)), threshold_of_caring=0.001
    ).table
    weights, pareto_k = smoothed(tree["prior_sensitivity"].to_dataset()["log_weight"].sel(prior="other"))
    assert pareto_k < 0.7
    parts = per_draw(mean_outcome(tree), higher_is_better=True)
    for name, part in parts.items():
        expected = exact[name]
        np.testing.assert_allclose(table[name].sel(prior="other"), (part * weights).sum(("chain", "draw")), rtol=1e-10)
        # A self-normalised average is off by the mean of w (f - E f), to first order.
        assert_within_mcse((weights * weights.size * (part - expected)).values, 0.0, comparisons=len(parts))
    stated = table["prob_best"].sel(prior="stated")
    assert (abs(stated - exact["prob_best"]) > 0.02).any(), "the two priors must differ for this to say anything"


def test_weights_of_nuts_agree_with_the_closed_form() -> None:
    tree = fitted("beta_binomial", "nuts")
    log_weight = tree["prior_sensitivity"]["log_weight"]
    rate = mean_outcome(tree)
    found = log_weight.sel(prior="weak") - log_beta(rate, 0.5, 0.5)
    # Only the constants of the densities are left: 3 (B(1,1) - B(1/2,1/2)) in logarithms, -3 log pi.
    np.testing.assert_allclose(found, -3 * np.log(np.pi), atol=1e-12)
    table, exact = sensitivity(tree), sensitivity(fitted("beta_binomial", "closed_form"))
    told = table["prior"].values.tolist()  # the sceptic's prior lies where few draws carry weight, and may be left out
    assert {"stated", "weak"} <= set(told)
    assert table["verdict"].values.tolist() == exact["verdict"].sel(prior=told).values.tolist()
    np.testing.assert_allclose(
        table["expected_loss"].sel(prior="weak"), exact["expected_loss"].sel(prior="weak"), atol=5e-4
    )


def test_a_prior_too_far_from_the_draws_is_left_out_and_this_is_said() -> None:
    tree = weighed(CLOSE, {"stated": (1.0, 1.0), "far": (900.0, 100.0)}, seed_of("far"), draws=1000)
    choice = bu.choose_arm(tree, threshold_of_caring=0.001)
    assert choice.sensitivity["prior"].values.tolist() == ["stated"]
    assert (
        "far, Beta(900.0, 100.0): too far from the draws to be weighed (Pareto k "
        in choice.sensitivity.attrs["left_out"]
    )
    assert "Prior sensitivity is incomplete" in choice.verdict.sentence


def test_weights_that_are_all_the_same_leave_the_draws_as_they_are() -> None:
    tree = weighed(CLOSE, {"stated": (1.0, 1.0), "same": (1.0, 1.0)}, 1, draws=500)
    table = sensitivity(tree)
    np.testing.assert_allclose(table["prob_best"].sel(prior="same"), table["prob_best"].sel(prior="stated"), rtol=1e-12)


def test_priors_that_agree_leave_nothing_to_say() -> None:
    choice = bu.choose_arm(bu.fit("beta_binomial", hillstrom_visits(), seed=1), threshold_of_caring=0.001)
    assert choice.sensitivity.attrs == {"sentence": "", "left_out": ""}
    assert "prior" not in choice.verdict.sentence


def test_priors_that_disagree_on_whether_to_stop_are_told() -> None:
    cells = binary_cells([60, 60], [4, 12])
    losses = sensitivity(bu.fit("beta_binomial", cells, seed=1))["expected_loss"].min("arm")
    between = float(losses.sel(prior=["stated", "strong"]).mean())
    choice = bu.choose_arm(bu.fit("beta_binomial", cells, seed=1), threshold_of_caring=between)
    assert choice.verdict.name == "CHOOSE"
    assert choice.sensitivity["verdict"].sel(prior="strong") == "CONTINUE"
    assert "The prior matters here: under Beta(" in choice.verdict.sentence
    assert "(strong) the verdict would be CONTINUE, with b in the lead" in choice.verdict.sentence


def test_a_prior_that_names_another_arm_is_told() -> None:
    cells = binary_cells([40, 40], [10, 11])
    tree = bu.fit("beta_binomial", cells, seed=1)
    tree["closed_form"]["alpha"].loc[{"prior": "weak", "arm": "a"}] += 30.0
    sentence = bu.choose_arm(tree, threshold_of_caring=0.05).verdict.sentence
    assert "under Beta(0.5, 0.5) (weak) the verdict would be CHOOSE a" in sentence


def test_segments_are_averaged_from_fresh_draws_under_each_prior() -> None:
    cells = binary_cells([[200, 200], [300, 250]], [[20, 25], [40, 45]])
    tree = bu.fit("beta_binomial", cells, seed=seed_of("fresh"), draws=5000)
    table = sensitivity(tree)
    strong = bu.RatePrior().alternatives(cells)["strong"]
    alone = bu.fit("beta_binomial", cells, seed=seed_of("fresh, again"), prior=strong, draws=5000)
    weights = xr.DataArray([400 / 950, 550 / 950], dims="segment")
    pooled = (mean_outcome(alone) * weights).sum("segment").transpose(..., "arm")
    best = per_draw(pooled, higher_is_better=True)["prob_best"]
    error = np.sqrt(0.25 / 20_000)
    assert_within_mcse(best.values, table["prob_best"].sel(prior="strong").values, expected_mcse=error)


@pytest.mark.parametrize("rope", [None, 0.05])
def test_the_rope_holds_under_every_prior(rope: float | None) -> None:
    table = sensitivity(bu.fit("beta_binomial", CLOSE, seed=1), rope=rope)
    assert set(table["verdict"].values.tolist()) == ({"EQUIVALENT"} if rope else {"CONTINUE"})


def test_draws_made_elsewhere_have_one_row_and_say_who_stated_the_prior() -> None:
    table = sensitivity(foreign(normal_draws([1.0, 2.0], 0.1, seed=1)))
    assert table["description"].values.tolist() == ["stated by the posterior's maker"]
    assert table["best"].values.tolist() == ["b"]
