"""A choice under the prior that past experiments taught, and the table from weighted draws that it rests on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import bayesuplift as bu
from bayesuplift.decisions.comparison import compare_draws, compare_weighted
from bayesuplift.posterior.schema import mean_outcome
from tests.support.worlds import binary_cells, foreign, normal_draws, seed_of

OPTIONS: dict[str, Any] = {"control": 0, "higher_is_better": True, "rope": 0.2, "prob": 0.9}
ERRORS = 4.5  # one in 150,000 for each comparison


def learned(scale: float = 0.03) -> bu.EffectPrior:
    """Effects on the log odds from one normal distribution, so that quadrature can follow."""
    return bu.EffectPrior(
        mean=np.zeros(1),
        scale=np.array([scale]),
        df=np.array([np.inf]),
        effect_scale="log_odds",
        outcome="visit",
        experiments=200,
        fingerprint="",
    )


def by_quadrature(successes: tuple[int, int], trials: int, scale: float) -> tuple[float, float]:
    """P(treatment is best), and the expected loss of choosing it: control ~ Beta(1, 1), log odds ratio ~ Normal."""
    effect = np.linspace(-8 * scale, 8 * scale, 1601)
    control = stats.beta(1 + successes[0], 1 + trials - successes[0]).ppf((np.arange(800) + 0.5) / 800)[:, None]
    rate = 1 / (1 + np.exp(-(np.log(control / (1 - control)) + effect)))
    log_mass = successes[1] * np.log(rate) + (trials - successes[1]) * np.log1p(-rate) - 0.5 * (effect / scale) ** 2
    mass = np.exp(log_mass - log_mass.max())
    mass /= mass.sum()
    return float(mass[:, effect > 0].sum()), float((mass * np.maximum(control - rate, 0.0)).sum())


def choice(effect_prior: bu.EffectPrior | None, *, draws: int = 20_000) -> bu.Choice:
    tree = bu.fit("beta_binomial", binary_cells([5000, 5000], [500, 560]), seed=seed_of("learned choice"), draws=draws)
    return bu.choose_arm(tree, threshold_of_caring=0.0001, effect_prior=effect_prior)


def test_the_figures_are_those_of_quadrature() -> None:
    found = choice(learned())
    best, loss = by_quadrature((500, 560), 5000, 0.03)
    row = found.overall.sel(arm="b")
    assert abs(float(row["prob_best"]) - best) < ERRORS * float(row["prob_best_mcse"])
    assert abs(float(row["expected_loss"]) - loss) < ERRORS * float(row["expected_loss_mcse"])
    # the planted fault: the figures without the learned prior
    alone = choice(None).overall.sel(arm="b")
    assert abs(float(alone["prob_best"]) - best) > 10 * float(row["prob_best_mcse"])
    assert not found.exact


def test_the_posterior_by_itself_is_a_row_of_the_sensitivity_table() -> None:
    found, alone = choice(learned()), choice(None)
    assert found.sensitivity["prior"].values.tolist()[:2] == ["stated", "unlearned"]
    assert "200 past experiments" in str(found.sensitivity["description"].sel(prior="stated").item())
    unlearned = found.sensitivity["prob_best"].sel(prior="unlearned")
    np.testing.assert_allclose(unlearned, alone.sensitivity["prob_best"].sel(prior="stated"), rtol=1e-12)
    assert found.verdict.name == "CONTINUE"
    assert alone.verdict.name == "CHOOSE"
    assert "unlearned" in found.verdict.sentence


def test_data_far_from_what_was_learned_get_no_verdict() -> None:
    tree = bu.fit("beta_binomial", binary_cells([5000, 5000], [500, 900]), seed=1)
    found = bu.choose_arm(tree, threshold_of_caring=0.0005, effect_prior=learned(0.001))
    assert found.verdict.name == "INVALID"
    (check,) = [one for one in found.checks if one.name == "learned_prior"]
    assert not check.passed


def weighted(counts: np.ndarray, draws: xr.DataArray) -> xr.DataArray:
    return xr.DataArray(counts / counts.sum(), dims=("chain", "draw"), coords={k: draws[k] for k in ("chain", "draw")})


@pytest.mark.parametrize("higher", [True, False])
def test_weights_count_as_repetitions(higher: bool) -> None:
    draws = mean_outcome(foreign(normal_draws([1.0, 1.1, 1.3], 0.2, seed=seed_of("repetitions"), draws=500)))
    counts = np.random.default_rng(seed_of("counts")).integers(0, 4, (4, 500))
    options = OPTIONS | {"higher_is_better": higher}
    table = compare_weighted(draws, weighted(counts, draws), **options)
    flat = draws.stack(every=("chain", "draw"), create_index=False).transpose("every", "arm")
    repeated = flat.isel(every=np.repeat(np.arange(2000), counts.ravel()))
    expected = compare_draws(repeated.rename(every="draw").expand_dims("chain"), **options)
    for name in ("prob_best", "expected_loss", "prob_beats_control", "mean_outcome", "difference", "prob_rope"):
        np.testing.assert_allclose(table[name], expected[name], rtol=1e-12, atol=1e-12)
    for end in ("lower", "upper"):  # between the neighbours that each rule of interpolation takes
        np.testing.assert_allclose(table[f"difference_{end}"], expected[f"difference_{end}"], atol=0.02)


def test_equal_weights_give_the_errors_of_plain_draws() -> None:
    draws = mean_outcome(foreign(normal_draws([1.0, 1.1, 1.3], 0.2, seed=seed_of("equal"), draws=2000)))
    table = compare_weighted(draws, weighted(np.ones((4, 2000)), draws), **OPTIONS)
    expected = compare_draws(draws, **OPTIONS)
    for name in ("prob_best", "expected_loss", "mean_outcome", "difference"):
        np.testing.assert_allclose(table[name], expected[name], rtol=1e-10, atol=1e-12)
        # the effective draws are those of the worst arm, for all
        np.testing.assert_allclose(table[f"{name}_mcse"], expected[f"{name}_mcse"], rtol=0.25, atol=1e-6)


@pytest.mark.parametrize("suffix", ["json", "md", "html"])
def test_a_choice_under_a_learned_prior_is_reported(tmp_path: Path, suffix: str) -> None:
    tree = bu.fit("beta_binomial", binary_cells([5000, 5000], [500, 560]), seed=1)
    found = bu.choose_arm(tree, threshold_of_caring=0.0005, effect_prior=learned())
    report = bu.Report.of(tree, found)
    bu.write_report(tmp_path / f"report.{suffix}", report)
    assert "200 past experiments" in (tmp_path / f"report.{suffix}").read_text(encoding="utf-8")
    (facts,) = report.facts()["outcomes"]
    assert "200 past experiments" in facts["method"]
    x, density = np.array(facts["density"]["x"]), np.array(facts["density"]["arms"]["b"])
    drawn = float((x * density).sum() / density.sum())
    shown = float(found.overall["mean_outcome"].sel(arm="b"))
    alone = float(mean_outcome(tree).sel(arm="b").mean())
    assert abs(drawn - shown) < 0.2 * abs(alone - shown)
