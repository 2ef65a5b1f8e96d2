"""Differences and ratios of two Beta rates against 40-digit arithmetic: distributions, interval ends, equivalence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bayesuplift.decisions.beta_contrasts import contrast_cdf, contrast_tables
from bayesuplift.decisions.beta_integrals import tables_of
from bayesuplift.decisions.beta_table import tail
from bayesuplift.decisions.proportions import compare_betas

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "beta_contrasts.json").read_text())
LARGEST_RESIDUAL = 1e-9  # of an interval end's tail mass
KINDS = (("difference", False), ("log_ratio", True))


def parameters(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    (control_alpha, control_beta), (alpha, beta) = case["control"], case["treatment"]
    return np.array([control_alpha, alpha], float), np.array([control_beta, beta], float)


def compared(alpha: np.ndarray, beta: np.ndarray, **options: Any) -> dict[str, np.ndarray]:
    return compare_betas(alpha, beta, **{"control": 0, "higher_is_better": True, "rope": None, "prob": None, **options})


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_the_distributions_are_those_of_the_golden_file(case: dict[str, Any]) -> None:
    tables = contrast_tables(tables_of(*parameters(case)))
    for kind, ratio in KINDS:
        for point in case[kind]:
            cdf, _ = contrast_cdf(tables, 1, 0, ratio, point["value"])
            assert abs(cdf - float(point["cdf"])) <= LARGEST_RESIDUAL


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_an_interval_that_asks_for_a_golden_tail_ends_at_its_point(case: dict[str, Any]) -> None:
    """The end's distance from the golden point, times the density there, is its error in mass."""
    alpha, beta = parameters(case)
    tables = contrast_tables(tables_of(alpha, beta))
    for (kind, ratio), name in zip(KINDS, ("difference", "relative_lift"), strict=True):
        for point in case[kind]:
            cdf = float(point["cdf"])
            share = min(cdf, 1 - cdf)
            if share < 1e-12:  # 1 - 2 share would round to 1
                continue
            end = compared(alpha, beta, prob=1 - 2 * share)[f"{name}_{'lower' if cdf < 0.5 else 'upper'}"][1]
            value = np.log1p(end) if ratio else end
            _, density = contrast_cdf(tables, 1, 0, ratio, point["value"])
            assert abs(value - point["value"]) * density <= LARGEST_RESIDUAL


@pytest.mark.parametrize(
    "case",
    # at a rate of one half and two hundred million units the approximation is right to 1e-9
    [case for case in GOLDEN["cases"] if case["name"] != "two hundred million, rate .5"],
    ids=lambda case: case["name"],
)
def test_a_normal_approximation_of_the_difference_is_rejected(case: dict[str, Any]) -> None:
    alpha, beta = parameters(case)
    mean = alpha / (alpha + beta)
    sd = np.sqrt((mean * (1 - mean) / (alpha + beta + 1)).sum())
    errors = [abs(stats.norm.cdf(p["value"], mean[1] - mean[0], sd) - float(p["cdf"])) for p in case["difference"]]
    assert max(errors) > LARGEST_RESIDUAL


def test_the_chance_of_lying_in_the_rope_is_the_golden_distributions_rise_over_it() -> None:
    checked = 0
    ratio = False
    for case in GOLDEN["cases"]:
        alpha, beta = parameters(case)
        tables = contrast_tables(tables_of(alpha, beta))
        for point in case["difference"]:
            rope = abs(point["value"])
            other = contrast_cdf(tables, 1, 0, ratio, -point["value"])[0]
            rise = abs(float(point["cdf"]) - other)
            result = compared(alpha, beta, rope=rope)
            assert abs(result["prob_rope"][1] - rise) <= LARGEST_RESIDUAL
            assert abs(result["prob_all_equivalent"] - rise) <= LARGEST_RESIDUAL  # of two arms the same event
            checked += 1
    assert checked > 80


@pytest.mark.parametrize("case", GOLDEN["together"], ids=lambda case: case["name"])
def test_the_chance_that_all_arms_are_equivalent_is_the_golden_one(case: dict[str, Any]) -> None:
    result = compared(np.array(case["alpha"], float), np.array(case["beta"], float), rope=case["rope"])
    assert abs(result["prob_all_equivalent"] - float(case["prob"])) <= 1e-10


@pytest.mark.parametrize("prob", [0.5, 0.8, 0.95, 0.999, 0.999999])
def test_an_interval_holds_its_stated_mass(prob: float) -> None:
    for case in GOLDEN["cases"]:
        alpha, beta = parameters(case)
        tables = contrast_tables(tables_of(alpha, beta))
        result = compared(alpha, beta, prob=prob)
        for name, ratio in (("difference", False), ("relative_lift", True)):
            ends = [result[f"{name}_{side}"][1] for side in ("lower", "upper")]
            below = [contrast_cdf(tables, 1, 0, ratio, np.log1p(end) if ratio else end)[0] for end in ends]
            np.testing.assert_allclose(below, [(1 - prob) / 2, (1 + prob) / 2], rtol=0, atol=LARGEST_RESIDUAL)


def test_the_density_is_the_distributions_slope() -> None:
    tables = contrast_tables(tables_of(np.array([31.0, 44.0]), np.array([270.0, 301.0])))
    for ratio in (False, True):
        for value in (-0.04, 0.02, 0.06):
            step = 1e-5
            rise = (
                contrast_cdf(tables, 1, 0, ratio, value + step)[0] - contrast_cdf(tables, 1, 0, ratio, value - step)[0]
            )
            assert contrast_cdf(tables, 1, 0, ratio, value)[1] == pytest.approx(rise / (2 * step), rel=1e-6)


def test_a_tail_beyond_the_table_is_good_to_a_percent() -> None:
    alpha, beta = np.array([30.0, 40.0]), np.array([70.0, 60.0])
    log_total = tables_of(alpha, beta)[5]
    for rate in (0.82, 0.88):
        _, beyond = tail(alpha[0], beta[0], log_total[0], np.log(rate / (1 - rate)))
        assert beyond == pytest.approx(stats.beta.sf(rate, alpha[0], beta[0]), rel=0.01)
    for rate in (0.02, 0.005):
        _, beyond = tail(alpha[0], beta[0], log_total[0], np.log(rate / (1 - rate)))
        assert beyond == pytest.approx(stats.beta.cdf(rate, alpha[0], beta[0]), rel=0.01)
