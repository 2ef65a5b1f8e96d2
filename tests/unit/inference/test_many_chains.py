"""Many short chains: what they are given, what they refuse, and what happens where they cannot be trusted."""

import functools
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.special import logit

import bayesuplift as bu
from bayesuplift.data.cells import Cells
from bayesuplift.errors import ArgumentError
from bayesuplift.inference import many_chains, nuts, pooled_coordinates
from bayesuplift.inference.many_chains import van_der_corput
from bayesuplift.posterior.diagnostics import monte_carlo_error
from bayesuplift.posterior.schema import mean_outcome
from tests.support.mcse import assert_within_mcse
from tests.support.pooled import crossed, dealt
from tests.support.worlds import binary_cells, seed_of

CHAIN_AND_DRAW = ("chain", "draw")
CELLS = dealt((2, 3, 3), seed=seed_of("many chains"))


@functools.cache
def example() -> xr.DataTree:
    """A fit with everything left to its defaults."""
    return fitted(CELLS, "kind")


def fitted(cells: Cells, name: str, **options: Any) -> xr.DataTree:
    return bu.fit("partial_pooling", cells, seed=seed_of(name), progress=False, **options)


def test_lengths_are_spread_evenly() -> None:
    np.testing.assert_array_equal(van_der_corput(7), [1 / 2, 1 / 4, 3 / 4, 1 / 8, 5 / 8, 3 / 8, 7 / 8])


def test_the_model_is_the_one_of_the_kind_and_the_engine_is_named() -> None:
    tree = example()
    assert tree.attrs["model"] == "partial_pooling_binary"
    assert tree.attrs["method"].startswith("HMC, many chains")
    assert "fallback" not in tree.attrs
    assert tree.attrs["superchains"] == 4
    assert mean_outcome(tree).sizes["chain"] == 32
    assert set(tree.children) >= {"posterior", "sample_stats", "alternatives", "observed_data"}


def test_terms_levels_and_treatments_are_labelled() -> None:
    group = example()["posterior"].to_dataset()
    assert list(group["term"].values) == ["age", "place", "segment"]
    assert list(group["level"].values) == ["age=a0", "age=a1", "place=p0", "place=p1", "place=p2"]
    assert list(group["treatment"].values) == ["b", "c"]
    assert group["effect_segment"].dims == ("chain", "draw", "segment", "treatment")
    np.testing.assert_allclose(group["prognostic_level"].sel(level=["age=a0", "age=a1"]).sum("level"), 0.0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"chains": 30}, "multiple of 4"),
        ({"chains": 0}, "from 4"),
        ({"draws": 0}, "draws = 0"),
        ({"engine": "direct"}, "has hmc, nuts"),
        ({"prior": bu.RatePrior()}, "BinaryPoolingPrior"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        fitted(CELLS, "refused", **({"engine": "hmc"} | options))


def test_cells_without_segments_are_refused() -> None:
    with pytest.raises(ArgumentError, match="pools over segments, and the cells have none"):
        fitted(binary_cells([10, 20], [3, 4]), "no segments")


def stuck(found: dict[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """The groups of a run in which one transition diverged."""
    stats = found["sample_stats"].copy(deep=True)
    stats["diverging"][0, 0] = True
    return found | {"sample_stats": stats}


def test_draws_that_fail_a_diagnostic_are_drawn_again_with_smaller_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    right = many_chains.sample
    seen = []

    def sample(*args: Any, careful: bool, **options: Any) -> dict[str, xr.Dataset]:
        seen.append(careful)
        found = right(*args, careful=careful, **options)
        return found if careful else stuck(found)

    monkeypatch.setattr(many_chains, "sample", sample)
    tree = fitted(CELLS, "careful", sensitivity=False)
    assert seen == [False, True]
    assert "fallback" not in tree.attrs


def test_draws_that_fail_twice_are_nuts_and_the_posterior_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    right = many_chains.sample

    def instead(*args: Any, chains: int, draws: int, warmup: int, **options: Any) -> dict[str, xr.Dataset]:
        assert (chains, draws, warmup) == (4, 1000, 1000)
        return right(*args, chains=32, draws=125, warmup=150, sensitivity=False, careful=False, **options)

    monkeypatch.setattr(nuts, "sample", instead)  # compiling it takes half a minute; contracts run it on every model
    monkeypatch.setattr(many_chains, "sample", lambda *args, **options: stuck(right(*args, **options)))
    asked = fitted(CELLS, "asked for", engine="hmc", sensitivity=False)
    assert [check.name for check in bu.diagnose(asked) if not check.passed] == ["divergences"]
    tree = fitted(CELLS, "fallback", sensitivity=False)
    assert tree.attrs["method"].startswith("NUTS")
    assert "1 divergent transitions of 4000" in tree.attrs["fallback"]
    assert_within_mcse(
        mean_outcome(tree).values,
        mean_outcome(asked).mean(CHAIN_AND_DRAW).values,
        monte_carlo_error(mean_outcome(asked)).values,
    )


def test_coordinates_decide_how_chains_move_and_not_where(monkeypatch: pytest.MonkeyPatch) -> None:
    told = fitted(CELLS, "told", engine="hmc", sensitivity=False)
    right = pooled_coordinates.coordinates

    def wrong(*args: Any) -> Any:
        found = right(*args)
        for site in found.values.values():
            site.values["estimate"] = np.asarray(site.estimate) + 0.1
            site.values["information"] = 0.7 * np.asarray(site.information)
        return found

    monkeypatch.setattr("bayesuplift.inference.reparametrised.coordinates", wrong)
    misled = fitted(CELLS, "misled", engine="hmc", sensitivity=False)
    assert_within_mcse(
        mean_outcome(misled).values,
        mean_outcome(told).mean(CHAIN_AND_DRAW).values,
        monte_carlo_error(mean_outcome(told)).values,
    )


def test_draws_under_other_priors_are_those_of_fits_under_them() -> None:
    tree = fitted(CELLS, "alternatives")
    prior = bu.BinaryPoolingPrior().resolved(CELLS)
    for name, other in list(prior.alternatives(CELLS).items())[1:]:
        drawn = tree["alternatives"]["mean_outcome"].sel(prior=name)
        alone = mean_outcome(fitted(CELLS, name, prior=other, sensitivity=False))
        assert_within_mcse(
            drawn.values, alone.mean(CHAIN_AND_DRAW).values, monte_carlo_error(alone).values, comparisons=2
        )


def test_a_segment_without_an_arm_has_a_pooled_answer_with_a_wider_interval() -> None:
    n, total = np.full((2, 3, 3), 300), np.full((2, 3, 3), 60)
    total[..., 1] += np.array([[10, -10, 10], [-10, 10, -10]])
    n[1, 2, 1] = total[1, 2, 1] = 0
    tree = fitted(crossed(n, total), "empty cell", sensitivity=False)
    assert [check.sentence for check in bu.diagnose(tree) if not check.passed] == []
    effect = bu.summarize(bu.cate(tree)).sel(arm="b")
    own = effect["sd"].sel(segment="age=a1, place=p2")
    assert float(own) > 1.2 * float(effect["sd"].drop_sel(segment="age=a1, place=p2").max())
    assert bu.choose_arm(tree, threshold_of_caring=0.5).verdict.name != "INVALID"


def test_a_level_in_one_arm_only_and_cells_without_any_success_have_finite_answers() -> None:
    n = np.full((2, 3, 3), 300)
    n[:, 2, 1] = 0
    total = np.array([[[3, 5, 2], [0, 0, 0], [4, 0, 3]], [[2, 9, 6], [0, 3, 0], [0, 0, 1]]])
    tree = fitted(crossed(n, total), "one arm only", sensitivity=False)
    assert [check.sentence for check in bu.diagnose(tree) if not check.passed] == []
    rates = mean_outcome(tree)
    log_odds_ratio = rates.copy(data=logit(rates.values)).sel(arm="b") - rates.copy(data=logit(rates.values)).sel(
        arm="a"
    )
    width = log_odds_ratio.std(CHAIN_AND_DRAW)
    unseen = width.sel(segment=["age=a0, place=p2", "age=a1, place=p2"])
    seen = width.sel(segment=["age=a0, place=p0", "age=a1, place=p0"])
    assert float(unseen.min()) > float(seen.max())


def test_cells_of_a_million_units_need_no_other_engine() -> None:
    n = np.full((2, 3, 3), 1_000_000)
    rate = 0.2 + 0.03 * np.random.default_rng(5).standard_normal(n.shape)
    tree = fitted(crossed(n, (rate * n).astype(int)), "a million", sensitivity=False)
    assert tree.attrs["method"].startswith("HMC")
    assert abs(mean_outcome(tree).mean(CHAIN_AND_DRAW).values.reshape(n.shape) - rate).max() < 0.002


@pytest.mark.parametrize("shape", [(1, 3), (2, 1, 3)])
def test_factors_of_one_level_are_fitted(shape: tuple[int, ...]) -> None:
    cells = dealt(shape, seed=seed_of(f"one level {shape}"))
    tree = fitted(cells, "one level", sensitivity=False)
    assert [check.sentence for check in bu.diagnose(tree) if not check.passed] == []
    raw = cells.total / cells.n
    assert abs(mean_outcome(tree).mean(CHAIN_AND_DRAW).values - raw).max() < 0.05


def test_nuts_of_the_same_program_agrees() -> None:
    cells = dealt((5, 2), seed=seed_of("by NUTS"))
    many = fitted(cells, "by hmc", engine="hmc", sensitivity=False)
    # whole pieces of a run: each other length of one would be compiled anew
    four = fitted(cells, "by NUTS", engine="nuts", warmup=400, draws=400)
    assert four.attrs["method"].startswith("NUTS")
    assert_within_mcse(
        mean_outcome(four).values,
        mean_outcome(many).mean(CHAIN_AND_DRAW).values,
        monte_carlo_error(mean_outcome(many)).values,
    )
