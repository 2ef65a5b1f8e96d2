"""Whose effects are explained: the posterior's units, in its order, by covariates that differ; and read in blocks."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.data.units import Units
from bayesuplift.errors import ArgumentError, ArmNotFoundError, ColumnNotFoundError, DataError, PosteriorError
from bayesuplift.estimands import unit_effects
from tests.support.unit_worlds import customers, drawn, experiment_of, of_units
from tests.support.worlds import seed_of

FRAME = customers(60, seed=seed_of("units"))
NAMES = list(FRAME)
EFFECTS = drawn(np.where(FRAME["channel"] == "Web", 1.0, 0.0), seed=seed_of("unit draws"))
IDS = np.array([f"c{k:03d}" for k in range(60)])
TREE = of_units(EFFECTS)
EXPLAINERS = [bu.effect_tree, bu.effect_curves, bu.subgroups]


@pytest.mark.parametrize("explained", EXPLAINERS)
def test_the_treatment_is_named_where_there_are_several(explained: Any) -> None:
    both = np.stack([EFFECTS, -EFFECTS], axis=-1)
    tree = of_units(both, arms=("control", "men", "women"))
    with pytest.raises(ArgumentError, match=r"treatments men, women; name the one to explain, such as arm='men'"):
        explained(tree, FRAME, covariates=NAMES)
    with pytest.raises(ArmNotFoundError, match=r"no arm named 'man'\. Arms: control, men, women. Did you mean 'men'"):
        explained(tree, FRAME, covariates=NAMES, arm="man")
    with pytest.raises(ArgumentError, match="'control' is the control; effects are of men, women"):
        explained(tree, FRAME, covariates=NAMES, arm="control")
    men, women = (explained(tree, FRAME, covariates="channel", arm=arm) for arm in ("men", "women"))
    assert (men.draws["arm"].item(), women.draws["arm"].item()) == ("men", "women")
    assert float(men.draws.max()) == pytest.approx(-float(women.draws.min()), abs=1e-12)


@pytest.mark.parametrize("explained", EXPLAINERS)
def test_only_posteriors_over_units_have_effects_by_unit(explained: Any) -> None:
    draws = TREE["posterior"].to_dataset()["mean_outcome"]
    over = draws.rename(unit="segment").assign_coords(segment=IDS)
    for array, told in ((over, "over segments.*gate"), (draws.mean("unit"), "by arm alone")):
        tree = xr.DataTree.from_dict({"posterior": array.rename("mean_outcome").to_dataset()})
        tree.attrs = {"control": "control"}
        with pytest.raises(ArgumentError, match=f"the posterior is {told}"):
            explained(tree, FRAME, covariates=NAMES)
    with pytest.raises(PosteriorError):
        explained(xr.DataTree(), FRAME, covariates=NAMES)


@pytest.mark.parametrize("explained", EXPLAINERS)
@pytest.mark.parametrize("as_experiment", [True, False])
def test_units_of_another_number_are_refused(explained: Any, *, as_experiment: bool) -> None:
    fewer = FRAME.iloc[:59]
    units = experiment_of(fewer) if as_experiment else fewer
    with pytest.raises(ArgumentError, match=r"of 60 units, and the (experiment|table) has 59"):
        explained(TREE, units, covariates=NAMES)


def test_units_in_another_order_are_refused_where_they_have_names() -> None:
    tree, order = of_units(EFFECTS, units=IDS), np.random.default_rng(1).permutation(60)
    assert bu.effect_tree(tree, experiment_of(FRAME, unit=IDS)).draws.sizes["leaf"] > 1
    told = r"another order, first in row 1: 'c\d+', where the posterior has 'c000'"
    with pytest.raises(ArgumentError, match=told):
        bu.effect_tree(tree, experiment_of(FRAME.iloc[order], unit=IDS[order]))
    named = FRAME.assign(customer=IDS)
    assert bu.effect_tree(tree, named, covariates=NAMES, unit="customer").draws.sizes["leaf"] > 1
    with pytest.raises(ArgumentError, match=told):
        bu.effect_tree(tree, named.iloc[order], covariates=NAMES, unit="customer")
    with pytest.raises(ArgumentError, match="the posterior has no unit d000, d001, d002 and 57 more"):
        bu.effect_tree(tree, named.assign(customer=[f"d{k:03d}" for k in range(60)]), covariates=NAMES, unit="customer")
    with pytest.raises(ArgumentError, match="names a column of a dataframe"):
        bu.effect_tree(tree, experiment_of(FRAME, unit=IDS), unit="customer")


def test_units_in_another_order_are_refused_where_their_segments_differ() -> None:
    tree = of_units(EFFECTS)
    tree["posterior"] = xr.DataTree(
        tree["posterior"].to_dataset().assign_coords(factor_segment=("unit", FRAME["channel"].to_numpy()))
    )
    frame = FRAME.rename(columns={"channel": "segment"})
    order = np.arange(60)[::-1]
    bu.effect_tree(tree, experiment_of(frame, segments=["segment"]))
    bu.effect_tree(tree, frame, covariates=["age", "newbie"])
    for units, options in (
        (experiment_of(frame.iloc[order], segments=["segment"]), {}),
        (frame.iloc[order], {"covariates": ["age", "newbie"]}),
        (frame.iloc[order], {"covariates": ["segment"]}),
    ):
        with pytest.raises(ArgumentError, match=r"units have another 'segment' than in the posterior, first in row"):
            bu.effect_tree(tree, units, **options)


def test_a_posterior_that_was_fitted_knows_its_data_and_its_covariates() -> None:
    units = experiment_of(FRAME)
    told = {"coding": Units.of(units).coding.to_json(), "data_fingerprint": Units.of(units).fingerprint}
    posterior = of_units(EFFECTS, model="interaction_horseshoe", **told)
    tree = bu.effect_tree(posterior, units)
    by_frame = bu.effect_tree(
        posterior, FRAME.assign(sales=np.arange(60.0))
    )  # without the outcome, which was not fitted on
    assert by_frame.table["rule"].values.tolist() == tree.table["rule"].values.tolist()
    np.testing.assert_array_equal(by_frame.draws, tree.draws)
    turned = experiment_of(FRAME.reindex([*range(1, 60), 0]))
    with pytest.raises(ArgumentError, match=r"fitted on other data than this experiment, .* in another order"):
        bu.effect_tree(posterior, turned)
    posterior.attrs["predicted_units"] = 60  # of other units: what was fitted says nothing of them
    assert bu.effect_tree(posterior, turned).draws.sizes["leaf"] > 1


@pytest.mark.parametrize("explained", EXPLAINERS)
def test_covariates_are_there_complete_and_differ(explained: Any) -> None:
    with pytest.raises(ColumnNotFoundError, match=r"no column named 'aeg' .*Did you mean 'age'"):
        explained(TREE, FRAME, covariates=["aeg"])
    with pytest.raises(ColumnNotFoundError, match=r"no column named 'aeg' .*Did you mean 'age'"):
        explained(TREE, experiment_of(FRAME), covariates=["aeg"])
    with pytest.raises(DataError, match=r"'age' .* is missing in 1"):
        explained(TREE, FRAME.assign(age=[np.nan, *FRAME["age"][1:]]), covariates=["age"])
    with pytest.raises(ArgumentError, match=r"name the covariates, covariates=\[...\], of its columns age, spend"):
        explained(TREE, FRAME)
    with pytest.raises(ArgumentError, match="covariates names none"):
        explained(TREE, FRAME, covariates=[])
    same = FRAME.assign(country="nl", year=2024.0)
    with pytest.raises(ArgumentError, match="country: the same for every unit, so that no effect depends on it"):
        explained(TREE, same, covariates=["age", "country"])
    found = explained(TREE, experiment_of(same))
    assert found.left_out == {"country": "the same for every unit", "year": "the same for every unit"}
    with pytest.raises(ArgumentError, match=r"no covariate differs between the units \(country, year\)"):
        explained(TREE, experiment_of(same.filter(["country", "year"])))


@pytest.mark.parametrize("explained", EXPLAINERS)
def test_effects_that_are_all_equal_are_refused(explained: Any) -> None:
    same = np.broadcast_to(np.random.default_rng(1).standard_normal((4, 50, 1)), EFFECTS.shape)
    with pytest.raises(ArgumentError, match="the R² of a summary is not defined"):
        explained(of_units(same, dtype=np.float32), FRAME, covariates=NAMES)


@pytest.mark.parametrize("explained", EXPLAINERS)
def test_the_order_of_dimensions_and_the_type_of_draws_change_nothing(explained: Any) -> None:
    rounded = np.round(EFFECTS * 64.0) / 64.0
    tree = of_units(rounded)
    data = tree["posterior"].to_dataset()
    data["mean_outcome"] = np.round(data["mean_outcome"] * 64.0) / 64.0  # which single precision holds exactly
    tree["posterior"] = xr.DataTree(data)
    other = tree.copy()
    other["posterior"] = xr.DataTree(
        data.assign(mean_outcome=data["mean_outcome"].astype(np.float32).transpose("arm", "unit", "draw", "chain"))
    )
    one, two = (explained(each, FRAME, covariates=NAMES) for each in (tree, other))
    np.testing.assert_allclose(two.draws, one.draws, atol=1e-13)


def test_experiments_and_files_give_the_same(tmp_path: Any) -> None:
    FRAME.to_csv(tmp_path / "units.csv", index=False)
    one = bu.effect_tree(TREE, tmp_path / "units.csv", covariates=NAMES)
    two = bu.effect_tree(TREE, experiment_of(FRAME))
    assert one.table["rule"].values.tolist() == two.table["rule"].values.tolist()
    np.testing.assert_array_equal(one.leaf_of(tmp_path / "units.csv"), two.leaf_of(FRAME))


def test_chains_that_are_many_and_short_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    effects = np.random.default_rng(3).standard_normal((50, 4, 60))
    for block in (1, 60 * 4 * 7, 60 * 3, 2**22):
        monkeypatch.setattr(unit_effects, "_BLOCK", block)
        read = unit_effects.UnitEffects.of(of_units(effects), None)
        whole = np.empty_like(effects)
        for where, part in read.blocks():
            assert part.size <= max(block, 60)
            whole[where] = part
        np.testing.assert_allclose(whole, effects, atol=1e-15)
        np.testing.assert_allclose(read.moments.mean, effects.mean(axis=(0, 1)), atol=1e-13)
        np.testing.assert_allclose(read.moments.total, effects.var(axis=2) * 60, rtol=1e-12)


@pytest.mark.parametrize("explained", EXPLAINERS)
def test_no_copy_of_the_draws_is_made(explained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = customers(8_000, seed=4)
    effects = drawn(np.where(frame["channel"] == "Web", 1.0, 0.0), seed=5, draws=200).astype(np.float32)
    tree = of_units(effects, dtype=np.float32)
    size = tree["posterior"]["mean_outcome"].nbytes
    monkeypatch.setattr(unit_effects, "_BLOCK", 2**18)
    tracemalloc.start()
    explained(tree, frame, covariates=NAMES)
    peak = tracemalloc.get_traced_memory()[1]
    # what `validate` needs is two truth values for each number of four bytes
    assert peak < 0.8 * size
    # the fault that this would catch: the draws in double precision
    tracemalloc.reset_peak()
    bu.cate(tree)
    assert tracemalloc.get_traced_memory()[1] > 2.0 * size
    tracemalloc.stop()
