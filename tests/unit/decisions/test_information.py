"""Values of information against sums over all outcomes in fractions, integrals, closed forms, and each other."""

import itertools
import json
from fractions import Fraction
from math import comb, factorial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.integrate import quad
from scipy.special import betainc
from scipy.stats import beta as beta_law
from scipy.stats import norm

from bayesuplift.decisions.information import preposterior, preposterior_beta
from bayesuplift.decisions.information.perfect import perfect_information
from bayesuplift.decisions.information.planned_test import PlannedTest
from bayesuplift.decisions.information.sample import sample_information
from bayesuplift.errors import ArgumentError, ArmNotFoundError, PosteriorError
from bayesuplift.estimands.value import Economics
from tests.support.planned import errors_apart, limit, of_betas, of_draws

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "beta_comparison.json").read_text())["cases"]
FREE = Economics(value_per_outcome=1.0, cost_per_unit=0.0)


@pytest.fixture(autouse=True)
def _fewer_outcomes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the simulated outcomes: figures carry errors that are a little larger, and tests take less time."""
    monkeypatch.setattr(preposterior, "_SIMULATED", 2**15)


# Rounding of sums of some hundred terms.
EXACT = 1e-12


def courses(
    alpha: list[int], beta: list[int], units: list[int], value: Fraction, cost: list[Fraction]
) -> tuple[Fraction, Fraction]:
    """Gain per unit of deciding now, and of deciding after the test, by every outcome in exact fractions."""

    def rising(a: int, b: int) -> Fraction:
        return Fraction(factorial(a - 1) * factorial(b - 1), factorial(a + b - 1))

    def gains(rates: list[Fraction]) -> list[Fraction]:
        return [value * (rate - rates[0]) - c for rate, c in zip(rates, cost, strict=True)]

    now = max(gains([Fraction(a, a + b) for a, b in zip(alpha, beta, strict=True)]))
    after = Fraction(0)
    for outcome in itertools.product(*(range(n + 1) for n in units)):
        chance = Fraction(1)
        for a, b, n, y in zip(alpha, beta, units, outcome, strict=True):
            chance *= comb(n, y) * rising(a + y, b + n - y) / rising(a, b)
        rates = [Fraction(a + y, a + b + n) for a, b, n, y in zip(alpha, beta, units, outcome, strict=True)]
        after += chance * max(gains(rates))
    return now, after


PROBLEMS = {
    "two arms": ([2, 3], [7, 6], [9, 12], Fraction(10), [Fraction(0), Fraction(3, 2)]),
    "the control leads": ([5, 4], [5, 6], [8, 8], Fraction(10), [Fraction(0), Fraction(1, 2)]),
    "three arms": ([2, 3, 1], [5, 6, 3], [4, 6, 5], Fraction(7), [Fraction(0), Fraction(1, 3), Fraction(-1, 5)]),
    "outcomes that cost": ([2, 3, 1], [5, 6, 3], [5, 3, 4], Fraction(-7), [Fraction(0), Fraction(1, 3), Fraction(1)]),
    "an arm left out": ([2, 3, 1], [5, 6, 3], [6, 0, 7], Fraction(7), [Fraction(0), Fraction(1, 3), Fraction(0)]),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_test_of_rates_is_worth_the_sum_over_all_its_outcomes(name: str) -> None:
    alpha, beta, units, value, cost = PROBLEMS[name]
    now, after = courses(alpha, beta, units, value, cost)
    shapes = np.array([alpha, beta], dtype=np.float64)
    found = preposterior_beta.after_test(
        shapes[0], shapes[1], np.array(units), float(value), np.array(cost, dtype=np.float64)
    )
    assert after > now
    assert found == pytest.approx(float(after - now), rel=EXACT)


def test_the_net_value_is_the_difference_between_both_courses() -> None:
    alpha, beta, units, value, cost = PROBLEMS["three arms"]
    now, after = courses(alpha, beta, units, value, cost)
    rates = [Fraction(a, a + b) for a, b in zip(alpha, beta, strict=True)]
    in_test = sum(n * (value * (rate - rates[0]) - c) for n, rate, c in zip(units, rates, cost, strict=True))
    # the whole population, with the test's units in the arms that they were dealt to, and 2 a unit and 5 for the test
    tested, everybody = sum(units), 100
    course = in_test + (everybody - tested) * after - 2 * tested - 5
    economics = Economics(float(value), {"c": 0.0, "x": float(cost[1]), "y": float(cost[2])})
    options: dict[str, Any] = {"units_per_arm": [1], "population_size": everybody, "seed": 1}
    options |= {"allocation": {arm: float(n) for arm, n in zip("cxy", units, strict=True)}}
    options |= {"cost_per_unit_of_test": 2.0, "fixed_cost": 5.0}
    table = sample_information(of_betas(alpha, beta), economics, **options)
    assert table["units"].to_numpy().tolist() == [units]
    assert float(table["net_value"][0]) == pytest.approx(float(course - everybody * now), rel=EXACT)
    # held elsewhere, its units cost what their arms cost, and everybody is decided for afterwards
    elsewhere = everybody * after - 2 * tested - 5 - sum(n * c for n, c in zip(units, cost, strict=True))
    table = sample_information(of_betas(alpha, beta), economics, from_population=False, **options)
    assert float(table["net_value"][0]) == pytest.approx(float(elsewhere - everybody * now), rel=EXACT)
    assert not table["net_value_mcse"].any()


@pytest.mark.parametrize(
    "case", [case for case in GOLDEN if len(case["alpha"]) <= 10], ids=lambda case: str(case["name"])
)
def test_perfect_information_of_rates_is_the_golden_expected_loss(case: dict[str, Any]) -> None:
    losses = [float(loss) for loss in case["expected_loss"]]
    best = int(np.argmin(losses))
    alpha, beta = (np.array(case[name], dtype=np.float64) for name in ("alpha", "beta"))
    worth, wrong = preposterior_beta.perfect(alpha, beta, 3.0, np.zeros(len(alpha)))
    assert worth == pytest.approx(3.0 * losses[best], rel=1e-10)
    assert wrong == pytest.approx(1.0 - float(case["prob_best"][best]), abs=1e-6)


@pytest.mark.parametrize("value", [10.0, -10.0])
def test_perfect_information_of_rates_with_costs_is_a_double_integral(value: float) -> None:
    (a0, a1), (b0, b1), cost = (3.0, 8.0), (9.0, 17.0), 0.6

    def inner(rate: float) -> float:
        """E[max(0, value (rate - Y) - cost)] of the control's rate Y, by the incomplete mean of a Beta law."""
        at = np.clip(rate - cost / value, 0.0, 1.0)
        below, mean = betainc(a0, b0, at), a0 / (a0 + b0) * betainc(a0 + 1, b0, at)
        if value > 0:
            return float((value * rate - cost) * below - value * mean)
        return float((value * rate - cost) * (1.0 - below) - value * (a0 / (a0 + b0) - mean))

    whole, _ = quad(lambda rate: inner(rate) * beta_law.pdf(rate, a1, b1), 0.0, 1.0, epsabs=1e-13)
    now = max(value * (a1 / (a1 + b1) - a0 / (a0 + b0)) - cost, 0.0)
    economics = Economics(value, {"x": cost})
    found = perfect_information(of_betas([a0, a1], [b0, b1]), economics, population_size=1000)
    assert found.attrs["method"] == "exact"
    assert float(found["evpi"]) == pytest.approx(1000 * (whole - now), rel=1e-9)
    assert float(found["gain"]) == pytest.approx(1000 * now, rel=EXACT)


def test_a_test_is_worth_more_the_larger_it_is_up_to_perfect_information() -> None:
    sizes = [1, 3, 10, 100, 1000, 10_000, 300_000, 10_000_000]
    economics = Economics(3.0, {"x": 0.02, "y": 0.1})
    table = sample_information(
        of_betas([11, 14, 9], [90, 88, 70]), economics, units_per_arm=sizes, population_size=1e9, seed=1
    )
    worth = table["evsi_per_unit"].to_numpy()
    ceiling = float(table["evpi"]) / 1e9
    assert (worth >= 0).all()
    assert (np.diff(worth) > 0).all()
    assert worth[-1] < ceiling
    # what is left to learn is of the order of one unit's variance by their number
    assert worth[-1] == pytest.approx(ceiling, rel=1e-4)


def test_counts_that_are_summed_in_groups_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = (np.array([11.0, 14.0, 9.0]), np.array([90.0, 88.0, 70.0]), np.full(3, 60_000), 3.0, np.zeros(3))
    one_by_one = preposterior_beta.after_test(*arguments)
    monkeypatch.setattr(preposterior_beta, "_MOST_STEPS", 3000)
    grouped = preposterior_beta.after_test(*arguments)
    assert grouped != one_by_one
    # the rule of midpoints over 1,000 groups of some 20 standard deviations: (20 / 1000)^2 / 24
    assert grouped == pytest.approx(one_by_one, rel=1e-4)


SIZES = [10, 40, 200, 1000, 5000, 50_000]


def test_simulated_outcomes_of_rates_say_what_all_outcomes_say() -> None:
    economics = Economics(30.0, {"x": 0.2, "y": 1.0})
    betas = [11, 14, 9], [90, 88, 70]
    options: dict[str, Any] = {"units_per_arm": SIZES, "population_size": 1e6, "seed": 4, "cost_per_unit_of_test": 0.01}
    exact = sample_information(of_betas(*betas), economics, **options)
    drawn = sample_information(of_betas(*betas, exact=False), economics, **options)
    assert (exact.attrs["method"], drawn.attrs["method"]) == ("exact", "draws")
    assert exact.attrs["best_units_per_arm"] == drawn.attrs["best_units_per_arm"] > 0
    for name in ("evsi", "evsi_per_unit", "forgone", "net_value"):
        apart = errors_apart(drawn[name], drawn[f"{name}_mcse"], exact[name])
        assert apart < limit(4 * len(SIZES) + 1), name
    assert errors_apart(drawn["evpi"], drawn["evpi_mcse"], exact["evpi"]) < limit(4 * len(SIZES) + 1)
    np.testing.assert_array_equal(drawn["cost"], exact["cost"])


def normal_loss(mean: float, sd: Any) -> Any:
    """E[max(0, -d)] of d ~ N(|mean|, sd^2): the unit normal loss integral of Raiffa and Schlaifer, times sd."""
    away = abs(mean) / sd
    return sd * (norm.pdf(away) - away * norm.sf(away))


MEANS, SDS, OUTCOME_SD = np.array([1.0, 0.7]), np.array([0.5, 1.0]), np.array([20.0, 30.0])


def known_of_normals(sizes: Any) -> Any:
    """Value per unit of a test of two normal means: posterior means vary by v^2 / (v + sd^2 / n)."""
    variance = SDS**2
    learnt = (variance**2 / (variance + OUTCOME_SD**2 / np.asarray(sizes)[:, None])).sum(axis=1)
    return normal_loss(MEANS[1] - MEANS[0], np.sqrt(learnt))


def normals(seed: int = 2, draws: int = 4000) -> xr.DataTree:
    return of_draws(np.random.default_rng(seed).normal(MEANS, SDS, (draws, 2)), kind="continuous")


@pytest.mark.parametrize("fault", [False, True])
def test_two_normal_means_are_worth_the_unit_normal_loss(*, fault: bool) -> None:
    told = dict(zip("cx", OUTCOME_SD / (2.0 if fault else 1.0), strict=True))
    table = sample_information(
        normals(), FREE, units_per_arm=SIZES, population_size=1e6, seed=3, outcome_sd=told, from_population=False
    )
    apart = errors_apart(table["evsi_per_unit"], table["evsi_per_unit_mcse"], known_of_normals(SIZES))
    assert (apart < limit(len(SIZES))) != fault
    ceiling = normal_loss(MEANS[1] - MEANS[0], np.hypot(*SDS))
    assert errors_apart(table["evpi"] / 1e6, table["evpi_mcse"] / 1e6, ceiling) < limit(1)


def test_few_large_effects_among_many_that_are_nil_need_the_bent_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    shares, spreads = np.array([0.8, 0.2]), np.array([0.02, 0.6])
    level, cost, outcome_sd, sizes = 0.5, 0.06, 20.0, [1000, 10_000]
    known = np.array([_mixture_worth(shares, spreads, level, cost=cost, noise=outcome_sd**2 / size) for size in sizes])
    generator = np.random.default_rng(5)
    large = generator.random(8000) < shares[1]
    effect = generator.normal(0.0, np.where(large, spreads[1], spreads[0]))
    control = generator.normal(0.0, level, 8000)
    tree = of_draws(np.stack([control, control + effect], axis=1))
    economics = Economics(1.0, cost)
    options: dict[str, Any] = {"units_per_arm": sizes, "population_size": 1.0, "seed": 1, "outcome_sd": outcome_sd}
    options |= {"from_population": False}
    table = sample_information(tree, economics, **options)
    assert errors_apart(table["evsi"], table["evsi_mcse"], known) < limit(len(sizes))
    # the best linear prediction by itself treats too rarely, or too often, and says so by earning less
    monkeypatch.setattr(preposterior, "_bent", lambda predicted, _: predicted)
    straight = sample_information(tree, economics, **options)
    assert errors_apart(straight["evsi"], straight["evsi_mcse"], known) > limit(len(sizes))
    assert (straight["evsi"] < table["evsi"]).all()


def _mixture_worth(shares: Any, spreads: Any, level: float, *, cost: float, noise: float) -> float:
    """The value of the test by a sum over a grid of both averages: E[effect | averages] is a mixture of linear ones."""
    reach = 8.0 * np.sqrt(level**2 + spreads.max() ** 2 + noise)
    grid = np.linspace(-reach, reach, 801)
    first, second = np.meshgrid(grid, grid, indexing="ij")
    expected = np.zeros_like(first)
    for share, spread in zip(shares, spreads, strict=True):
        variance = np.array([[level**2 + noise, level**2], [level**2, level**2 + spread**2 + noise]])
        inverse = np.linalg.inv(variance)
        square = inverse[0, 0] * first**2 + 2 * inverse[0, 1] * first * second + inverse[1, 1] * second**2
        density = share * np.exp(-square / 2) / (2 * np.pi * np.sqrt(np.linalg.det(variance)))
        slope = np.array([0.0, spread**2]) @ inverse
        expected += density * (slope[0] * first + slope[1] * second - cost)
    return float(np.maximum(expected, 0.0).sum() * (grid[1] - grid[0]) ** 2)


@pytest.mark.parametrize("arms", [2, 5])
def test_simulated_values_never_fall_and_never_pass_perfect_information(arms: int) -> None:
    generator = np.random.default_rng(arms)
    values = generator.normal(generator.normal(0, 0.3, arms), generator.uniform(0.2, 1, arms), (2000, arms))
    sizes = np.unique(np.geomspace(5, 200_000, 12).astype(int)).tolist()
    table = sample_information(
        of_draws(values), FREE, units_per_arm=sizes, population_size=1e9, seed=1, outcome_sd=20.0, from_population=False
    )
    assert (np.diff(table["evsi"], prepend=0.0) >= 0).all()
    assert float(table["evsi"].max()) <= float(table["evpi"])
    assert float(table["evsi"][-1]) == pytest.approx(float(table["evpi"]), rel=0.02)


def test_an_arm_left_out_of_the_test_is_learnt_of_through_others_only() -> None:
    generator = np.random.default_rng(8)
    control = generator.normal(0.0, 0.01, 4000)
    shared = generator.normal(0.0, 1.0, 4000)
    alike = of_draws(np.stack([control, control + shared, control + 2.0 * shared], axis=1))
    alone = of_draws(np.stack([control, control, control + 2.0 * shared], axis=1))
    options: dict[str, Any] = {"units_per_arm": [100_000], "population_size": 1.0, "seed": 1, "outcome_sd": 1.0}
    options |= {"allocation": {"y": 0.0}, "from_population": False}
    through = sample_information(alike, FREE, **options)
    assert float(through["evsi"][0]) == pytest.approx(float(through["evpi"]), rel=0.05)
    assert through["units"].to_numpy().tolist() == [[100_000, 100_000, 0]]
    nothing = sample_information(alone, FREE, **options)
    assert float(nothing["evsi"][0]) < 3 * float(nothing["evsi_mcse"][0])


def test_a_test_that_costs_more_than_it_is_worth_is_not_recommended() -> None:
    tree = of_betas([11, 14], [90, 88])
    economics = Economics(10.0, 0.05)
    options: dict[str, Any] = {"units_per_arm": [100, 300, 1000], "population_size": 20_000, "seed": 1}
    cheap = sample_information(tree, economics, **options)
    best = int(cheap["net_value"].to_numpy().argmax())
    assert cheap.attrs["best_units_per_arm"] == [100, 300, 1000][best]
    assert "Deciding now, everybody gets x. A test of" in cheap.attrs["sentence"]
    dear = sample_information(tree, economics, fixed_cost=1e6, **options)
    assert dear.attrs["best_units_per_arm"] == 0
    assert "No test of these sizes is worth its price" in dear.attrs["sentence"]
    largest = sample_information(tree, economics, **{**options, "population_size": 1e9})
    assert "a larger one may be worth more" in largest.attrs["sentence"]


def test_perfect_information_by_place_is_the_sum_of_the_places() -> None:
    generator = np.random.default_rng(3)
    values = generator.normal([[[0.0, 0.1, -0.1], [0.0, -0.2, 0.3]]], 0.4, (4, 500, 2, 3))
    tree = of_draws(values, kind="continuous")
    observed = xr.Dataset(
        {"n": (("segment", "arm"), [[30, 30, 40], [100, 100, 100]])}, coords=dict(tree["posterior"].coords)
    )
    tree["observed_data"] = xr.DataTree(observed[["n"]].drop_vars(["chain", "draw"], errors="ignore"))
    economics = Economics(2.0, {"x": 0.05})
    table = perfect_information(tree, economics, by="place")
    gain = 2.0 * (values - values[..., :1]) - np.array([0.0, 0.05, 0.0])
    flat = gain.reshape(-1, 2, 3)
    each = np.array([100.0, 300.0]) * (flat.max(axis=2).mean(axis=0) - flat.mean(axis=0).max(axis=1))
    np.testing.assert_allclose(table["evpi_of_segment"], each, rtol=1e-12)
    assert float(table["evpi"]) == pytest.approx(each.sum(), rel=1e-12)
    np.testing.assert_allclose(table["n"], [100.0, 300.0])
    best = flat.mean(axis=0).argmax(axis=1)
    wrong = (flat.argmax(axis=2) != best).mean(axis=0) @ np.array([0.25, 0.75])
    assert float(table["prob_wrong"]) == pytest.approx(wrong, rel=1e-12)
    everybody = perfect_information(tree, economics)
    pooled = np.einsum("dsa,s->da", flat, [0.25, 0.75])
    known = 400.0 * (pooled.max(axis=1).mean() - pooled.mean(axis=0).max())
    assert float(everybody["evpi"]) == pytest.approx(known, rel=1e-9)
    twice = perfect_information(tree, economics, by="place", population_size=800)
    assert float(twice["evpi"]) == pytest.approx(2.0 * each.sum(), rel=1e-12)


def test_scaling_money_scales_every_figure_in_money() -> None:
    options: dict[str, Any] = {"units_per_arm": [100, 1000], "population_size": 1e5, "seed": 1}
    tree = of_betas([11, 14, 12], [90, 88, 80], exact=False)
    one = sample_information(tree, Economics(3.0, {"x": 0.02}), **options)
    ten = sample_information(tree, Economics(30.0, {"x": 0.2}), **options)
    for name in ("evsi", "evsi_mcse", "net_value", "forgone", "evpi"):
        np.testing.assert_allclose(ten[name], 10.0 * one[name], rtol=1e-9)


def test_the_same_seed_gives_the_same_table_and_units_count_as_their_average() -> None:
    values = np.random.default_rng(6).normal([[[0.0, 0.1]]], 0.3, (4, 500, 5, 2))
    by_unit = of_draws(values)
    renamed = xr.DataTree.from_dict({"posterior": by_unit["posterior"].to_dataset().rename({"segment": "unit"})})
    renamed.attrs = by_unit.attrs
    averaged = of_draws(values.mean(axis=2).reshape(-1, 2))
    options: dict[str, Any] = {"units_per_arm": [100, 1000], "population_size": 1e5, "seed": 1, "outcome_sd": 5.0}
    first, again, known = (sample_information(tree, FREE, **options) for tree in (renamed, renamed, averaged))
    xr.testing.assert_identical(first, again)
    np.testing.assert_allclose(first["evsi"], known["evsi"], rtol=1e-9)


def test_the_spread_of_a_unit_is_that_of_all_units_of_its_arm() -> None:
    generator = np.random.default_rng(7)
    outcomes = [
        [generator.normal(segment + arm, 2.0 + arm, 50 + 10 * segment) for arm in range(2)] for segment in range(3)
    ]
    cells = {
        "n": [[len(one) for one in row] for row in outcomes],
        "total": [[one.sum() for one in row] for row in outcomes],
        "sum_squared_deviations": [[((one - one.mean()) ** 2).sum() for one in row] for row in outcomes],
    }
    tree = of_draws(generator.normal(size=(4, 100, 3, 2)), kind="continuous")
    coords = {"segment": tree["posterior"]["segment"].to_numpy(), "arm": ["c", "x"]}
    data = {name: (("segment", "arm"), np.array(values)) for name, values in cells.items()}
    tree["observed_data"] = xr.DataTree(xr.Dataset(data, coords=coords))
    found = PlannedTest.of(tree)
    pooled = [np.concatenate([row[arm] for row in outcomes]).std(ddof=1) for arm in range(2)]
    assert found.sd is not None
    np.testing.assert_allclose(found.sd, pooled, rtol=1e-12)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"units_per_arm": []}, "give one or several sizes"),
        ({"units_per_arm": [100, 100]}, "give sizes that rise"),
        ({"units_per_arm": [10.5]}, "give a whole number from 1"),
        ({"population_size": 0}, "a number of units above 0"),
        ({"population_size": 150}, "takes 200 units, and there are 150"),
        ({"fixed_cost": -1.0}, "give money, 0 or more"),
        ({"seed": -1}, "seed = -1"),
        ({"from_population": "no"}, "give True or False"),
        ({"allocation": {"c": -1.0}}, "0 or more"),
        ({"outcome_sd": 0.0}, "above 0"),
        ({"outcome_sd": {"c": 1.0}}, "has none for x"),
        ({"outcome_sd": "much"}, "give the standard deviation"),
        ({"economics": 3.0}, "give Economics"),
    ],
)
def test_what_cannot_be_answered_is_refused(changed: dict[str, Any], told: str) -> None:
    given: dict[str, Any] = {"economics": FREE, "units_per_arm": [100], "population_size": 1e5, "seed": 1, **changed}
    with pytest.raises(ArgumentError, match=told):
        sample_information(of_betas([11, 14], [90, 88]), **given)


def test_a_spread_that_nobody_knows_an_arm_that_there_is_not_and_rates_beyond_one_are_refused() -> None:
    options: dict[str, Any] = {"units_per_arm": [100], "population_size": 1e5, "seed": 1}
    with pytest.raises(ArgumentError, match="does not tell the spread of one unit's outcome"):
        sample_information(normals(draws=400), FREE, **options)
    with pytest.raises(ArmNotFoundError, match="no arm named 'xx'"):
        sample_information(of_betas([11, 14], [90, 88]), FREE, allocation={"xx": 1.0}, **options)
    beyond = of_draws(np.random.default_rng(1).normal(1.0, 0.1, (400, 2)), kind="binary")
    with pytest.raises(PosteriorError, match="below 0 or above 1"):
        sample_information(beyond, FREE, **options)
    with pytest.raises(ArgumentError, match="by = 'segment'"):
        perfect_information(normals(draws=400), FREE, by="segment")  # type: ignore[arg-type]
