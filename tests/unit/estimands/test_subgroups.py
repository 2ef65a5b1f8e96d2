"""Subgroups that differ: every candidate by hand, what is pruned, and what picking the largest does to a posterior."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import ndtri

import bayesuplift as bu
from bayesuplift.errors import ArgumentError
from bayesuplift.estimands import subgroup_candidates, unit_effects
from tests.support.unit_worlds import customers, drawn, of_units
from tests.support.worlds import seed_of

FRAME = customers(400, seed=seed_of("subgroups"))
NAMES = list(FRAME)
TRUTH = np.where((FRAME["channel"] == "Phone") & (FRAME["newbie"] == 1), 1.0, 0.0)
EFFECTS = drawn(TRUTH, seed=seed_of("subgroup draws"))


def found_in(posterior: xr.DataTree | None = None, frame: Any = FRAME, **options: Any) -> Any:
    tree = of_units(EFFECTS, outcome="sales") if posterior is None else posterior
    return bu.subgroups(tree, frame, **({"covariates": NAMES} | options))


def rules(found: Any) -> list[str]:
    return [str(rule) for rule in found.table["rule"].values]


def test_a_difference_is_that_of_two_averages_of_every_draw() -> None:
    found = found_in()
    masks = {
        "channel = Phone": FRAME["channel"] == "Phone",
        "newbie = 1 and channel = Phone": (FRAME["channel"] == "Phone") & (FRAME["newbie"] == 1),
    }
    for rule, mask in masks.items():
        inside = mask.to_numpy()
        expected = EFFECTS[:, :, inside].mean(axis=2) - EFFECTS[:, :, ~inside].mean(axis=2)
        np.testing.assert_allclose(found.draws.sel(subgroup=rule), expected, atol=1e-12)
        row = found.table.sel(subgroup=rule)
        assert int(row["n"]) == inside.sum()
        assert float(row["share"]) == inside.mean()
        assert float(row["effect"]) == pytest.approx(EFFECTS[:, :, inside].mean(), abs=1e-12)
    assert rules(found)[0] == "newbie = 1 and channel = Phone"
    summary = bu.summarize(found.draws)
    for name in ("mean", "mcse", "lower", "upper", "prob_positive", "prob_positive_mcse"):
        np.testing.assert_array_equal(found.table[name], summary[name])
    assert (np.diff(found.table["mean"]) <= 0).all()


def test_halves_thirds_levels_and_pairs_are_the_candidates() -> None:
    frame = FRAME[["age", "channel"]]
    found = bu.subgroups(
        of_units(EFFECTS), frame, covariates=["age", "channel"], pairs=False, overlap=1.0, most=50, least_units=1
    )
    # two halves, of which one is the rest of the other; three thirds; three levels
    assert len(rules(found)) == 1 + 3 + 3
    assert int(found.table["considered"]) == 2 + 3 + 3
    ranks = FRAME["age"].rank()
    middle = ((ranks > 400 / 3) & (ranks <= 800 / 3 + 0.5)).to_numpy()  # 133, 134 and 133 units
    (third,) = (i for i, rule in enumerate(rules(found)) if " ≤ " in rule)
    assert int(found.table["n"][third]) == middle.sum() == 134
    expected = EFFECTS[:, :, middle].mean(axis=2) - EFFECTS[:, :, ~middle].mean(axis=2)
    np.testing.assert_allclose(found.draws[..., third], expected, atol=1e-12)
    both = bu.subgroups(of_units(EFFECTS), frame, covariates=["age", "channel"], most=1, least_units=1)
    assert int(both.table["considered"]) == 8 + 5 * 3
    assert both.table.sizes["subgroup"] == 1


def test_the_largest_of_all_pairs_is_the_one_that_a_loop_finds() -> None:
    rng = np.random.default_rng(seed_of("loop"))
    frame = pd.DataFrame({name: rng.choice(list("pqrs"), 200) for name in "abc"})
    mean = rng.normal(size=200)
    found = bu.subgroups(
        of_units(drawn(mean, seed=1)), frame, covariates=list("abc"), least_units=5, overlap=1.0, most=500
    )
    effect = drawn(mean, seed=1).mean(axis=(0, 1))
    expected: dict[str, float] = {}
    for first, second in (("a", "b"), ("a", "c"), ("b", "c")):
        for one, other in product("pqrs", "pqrs"):
            inside = ((frame[first] == one) & (frame[second] == other)).to_numpy()
            parts = [(frame[first] == one).to_numpy(), (frame[second] == other).to_numpy()]
            gap, *alone = (effect[mask].mean() - effect[~mask].mean() for mask in (inside, *parts))
            if min(inside.sum(), (~inside).sum()) >= 5 and abs(gap) > max(map(abs, alone)):
                expected[f"{first} = {one} and {second} = {other}"] = gap
    ours = {
        rule: mean
        for rule, mean in zip(rules(found), found.table["mean"].values.tolist(), strict=True)
        if "and" in rule
    }
    assert ours.keys() == expected.keys()
    for rule, gap in expected.items():
        assert ours[rule] == pytest.approx(gap, abs=1e-12)
    # the fault that this would catch: differences from everybody, the subgroup included
    wrong = effect[(frame["a"] == "p").to_numpy()].mean() - effect.mean()
    assert abs(wrong - float(found.table["mean"].sel(subgroup="a = p"))) > 1e-3


def test_groups_of_nearly_the_same_units_are_told_once_and_simply() -> None:
    close = np.where(np.arange(400) % 50 == 0, "Web", FRAME["channel"])  # another column, the same but for eight units
    frame = FRAME[["channel", "newbie"]].assign(close=close, opposite=1.0 - FRAME["newbie"])
    names = ["channel", "newbie", "close", "opposite"]
    found = found_in(frame=frame, covariates=names)
    words = rules(found)
    assert sum("Phone" in rule and "and" not in rule for rule in words) == 1
    assert sum("newbie" in rule or "opposite" in rule for rule in words if "and" not in rule) == 1
    apart = found_in(frame=frame, covariates=names, overlap=1.0, most=200)
    assert {"channel = Phone", "close = Phone"} <= set(rules(apart))
    members = {
        "newbie = 1": (FRAME["newbie"] == 1).to_numpy(),
        "newbie = 0": (FRAME["newbie"] == 0).to_numpy(),
    }
    assert len(members.keys() & set(words)) <= 1


def test_probabilities_are_shares_of_draws() -> None:
    found = found_in(negligible=0.3)
    draws = found.draws
    np.testing.assert_array_equal(found.table["prob_beyond"], (abs(draws) > 0.3).mean(("chain", "draw")))
    np.testing.assert_array_equal(found.table["prob_largest"], (draws == draws.max("subgroup")).mean(("chain", "draw")))
    assert float(found.table["expected_largest"]) == pytest.approx(float(draws.max("subgroup").mean()), rel=1e-14)
    assert float(found.table["expected_largest"]) >= float(found.table["mean"].max())
    assert float(found.table["prob_largest"].sum()) == pytest.approx(1.0, abs=1e-12)
    default = found_in()
    limit = 0.1 * abs(EFFECTS.mean(axis=2))
    np.testing.assert_array_equal(
        default.table["prob_beyond"], (abs(default.draws) > limit[..., None]).mean(("chain", "draw"))
    )
    assert (found.table["prob_positive_mcse"] > 0).all()


def test_relabelled_units_a_constant_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = found_in(negligible=0.1)
    order = np.random.default_rng(4).permutation(len(FRAME))
    turned = found_in(of_units(EFFECTS[:, :, order]), FRAME.iloc[order], negligible=0.1)
    shifted = found_in(of_units(EFFECTS + 5.0), negligible=0.1)
    monkeypatch.setattr(unit_effects, "_BLOCK", 3 * len(FRAME))
    monkeypatch.setattr(subgroup_candidates, "_BLOCK", 500)
    blocked = found_in(negligible=0.1)
    for other in (turned, shifted, blocked):
        assert rules(other) == rules(found)
        np.testing.assert_allclose(other.draws, found.draws, atol=1e-11)
        np.testing.assert_array_equal(other.table["prob_beyond"], found.table["prob_beyond"])


WORLDS, GROUPS, ERROR, SPREAD = 40, 8, 1.0, 0.5


def picked(*, shrink: bool) -> float:
    """Over worlds, how far the truth of the row that is picked lies beyond its mean, in standard errors; 0 if calibrated.

    Groups' effects are Normal(0, 0.5), estimates add Normal(0, 1); the posterior under that prior, or under a flat one.
    """
    weight = SPREAD**2 / (SPREAD**2 + ERROR**2) if shrink else 1.0
    rng, gaps, sds = np.random.default_rng(seed_of("picked")), [], []
    frame = pd.DataFrame({"town": np.repeat([f"t{k}" for k in range(GROUPS)], 2)})
    noise = (
        np.sqrt(weight) * ERROR * ndtri((np.arange(200) + 0.5) / 200.0)
    )  # draws without Monte Carlo error of their own
    for _ in range(WORLDS):
        truth = SPREAD * rng.standard_normal(GROUPS)
        centre = weight * (truth + ERROR * rng.standard_normal(GROUPS))
        draws = np.stack([centre[k] + rng.permutation(noise) for k in range(GROUPS)], axis=1)
        tree = of_units(np.repeat(draws, 2, axis=1).reshape(4, 50, -1))
        row = bu.subgroups(tree, frame, covariates="town", pairs=False, least_units=1, most=1).table.isel(subgroup=0)
        inside = int(str(row["rule"].item()).removeprefix("town = t"))
        gap = truth[inside] - np.delete(truth, inside).mean() - float(row["mean"])
        gaps.append(np.sign(float(row["mean"])) * gap)
        sds.append(np.sqrt(weight) * ERROR * np.sqrt(1.0 + 1.0 / (GROUPS - 1)))
    return float(np.sum(gaps) / np.sqrt(np.square(sds).sum()))


def test_the_largest_is_right_on_average_under_the_right_prior_and_too_large_under_a_flat_one() -> None:
    # standard normal if calibrated: |z| > 4 once in 16,000
    assert abs(picked(shrink=True)) < 4.0
    assert picked(shrink=False) < -6.0


def test_the_text_names_the_search() -> None:
    text = str(found_in())
    assert text.splitlines()[0].startswith("Effect of offer on sales, against control")
    assert text.splitlines()[2].startswith("newbie = 1 and channel = Phone: ")
    assert f"of {int(found_in().table['considered'])} subgroups. The first has the largest difference" in text


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"pairs": 1}, "pairs = 1"),
        ({"least_units": 0}, "least_units = 0"),
        ({"most": 0}, "most = 0"),
        ({"overlap": 0.0}, "overlap = 0.0"),
        ({"overlap": 1.1}, "overlap = 1.1"),
        ({"negligible": -1.0}, "negligible = -1.0"),
        ({"negligible": float("nan")}, "negligible = nan"),
        ({"prob": 0}, "prob = 0"),
        ({"least_units": 201}, "has 201 units, and the rest as many, of 400; lower least_units"),
    ],
)
def test_options_outside_their_range_are_refused(options: Any, told: str) -> None:
    with pytest.raises(ArgumentError, match=told):
        found_in(**options)


def test_differences_are_no_effects_to_price() -> None:
    found = found_in()
    with pytest.raises(ArgumentError, match="net gain needs differences of mean outcomes"):
        bu.Economics(2.0, {"offer": 0.5}).net_gain(found.draws)
