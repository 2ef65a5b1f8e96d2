"""What every registered model promises of its posterior, by every engine that it has."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.data.cells import Cells
from bayesuplift.dims import CONTRAST, COVARIATE, LEVEL, OTHER, SEGMENT, TERM, TREATMENT
from bayesuplift.inference import predict_segments
from bayesuplift.inference.fit import Engine, engines
from bayesuplift.inference.pooled_coordinates import POOLED
from bayesuplift.posterior.diagnostics import monte_carlo_error
from bayesuplift.posterior.factors import levels_of
from bayesuplift.posterior.schema import mean_outcome, validate
from bayesuplift.spec import registered
from tests.support.catalogue import (
    DRAWS,
    NAMES,
    NAMES_AND_ENGINES,
    draws_a_chain,
    fitted,
    latent_sites,
    resolved_prior,
)
from tests.support.examples import ARMS, LEVELS, cells_of_units, example, units
from tests.support.mcse import assert_within_mcse
from tests.support.worlds import HILLSTROM_VISITS, relabelled, seed_of

EXACT = 1e-10  # what compare_proportions promises of its probabilities; the order of arms turns its sums around

every_engine = pytest.mark.parametrize(("name", "engine"), NAMES_AND_ENGINES)
of_cells = pytest.mark.parametrize(
    ("name", "engine"), [one for one in NAMES_AND_ENGINES if registered()[one[0]].data == "cells"]
)


@every_engine
def test_a_posterior_follows_the_schema_and_carries_the_labels_of_the_data(name: str, engine: Engine) -> None:
    tree, data = fitted(name, engine), example(name)
    assert validate(tree) is tree
    draws = tree["posterior"]["mean_outcome"]
    place = [dim for dim in ("segment", "unit") if dim in data.statistics.coords]
    assert draws.dims == ("chain", "draw", *place, "arm")
    assert tuple(draws.coords["arm"].values) == data.design.arms
    assert draws.dtype == np.float64
    for statistic, values in data.statistics.data_vars.items():
        xr.testing.assert_identical(
            tree["observed_data"][str(statistic)].drop_vars("probability", errors="ignore"), values
        )


@every_engine
def test_every_site_is_there_over_the_labels_of_the_data(name: str, engine: Engine) -> None:
    found = fitted(name, engine)["posterior"].to_dataset()
    assert {*latent_sites(name), "mean_outcome"} <= set(found.data_vars)
    own = {COVARIATE, TREATMENT} if registered()[name].data == "units" else set(_labels_of_pooled(name))
    assert own <= set(found.dims)
    for site in found.data_vars.values():
        assert set(site.dims) <= set(found["mean_outcome"].dims) | own
        assert bool(np.isfinite(site).all())


@pytest.mark.parametrize("name", sorted(POOLED))
def test_what_a_pooled_predictor_has_beside_segments_and_arms_is_labelled(name: str) -> None:
    found = fitted(name, engines(name)[0])["posterior"].to_dataset()
    for dim, labels in _labels_of_pooled(name).items():
        assert dim == CONTRAST or tuple(found[dim].values) == labels  # contrasts have no names: levels are read instead


@pytest.mark.parametrize("name", sorted(POOLED))
def test_new_segments_are_predicted_by_the_programs_own_formula(name: str) -> None:
    tree, data = fitted(name, engines(name)[0]), example(name)
    assert isinstance(data, Cells)
    draws, levels = tree["posterior"].to_dataset(), levels_of(mean_outcome(tree), data.factors)
    parts, mean = predict_segments.POOLED_MEANS[name]
    generator = np.random.default_rng(0)
    predictors = {
        part: predict_segments._predictor(draws, part, levels, data.design.control, generator) for part in parts
    }
    # exponentials of sums that are added up in another order
    np.testing.assert_allclose(mean(draws, predictors), mean_outcome(tree).values, rtol=1e-10)


def _labels_of_pooled(name: str) -> dict[str, tuple[str, ...]]:
    """Labels of the dimensions that only pooled predictors have, on the examples' crossed factors."""
    if name not in POOLED:
        return {}
    treatments = tuple(ARMS[1:])
    levels = tuple(f"{factor}={label}" for factor, labels in LEVELS.items() for label in labels)
    contrasts = ("",) * (len(levels) - len(LEVELS))
    return {TERM: (*LEVELS, SEGMENT), LEVEL: levels, CONTRAST: contrasts, TREATMENT: treatments, OTHER: treatments}


@pytest.mark.parametrize(
    ("name", "engine"), [one for one in NAMES_AND_ENGINES if registered()[one[0]].data != "effects"]
)
def test_the_decision_is_made_under_other_priors_too(name: str, engine: Engine) -> None:
    tree = fitted(name, engine)
    if "alternatives" in tree.children:  # of units averages alone
        assert "unit" not in tree["alternatives"].dims
    told = bu.choose_arm(tree, threshold_of_caring=0.001).sensitivity
    assert str(told["prior"][0].item()) == "stated"
    others = set(map(str, told["prior"].to_numpy()[1:]))
    assert others == {"weak", "strong"} or (engine == "nuts" and told.attrs["left_out"])


@every_engine
def test_a_posterior_says_where_it_comes_from(name: str, engine: Engine) -> None:
    tree, spec = fitted(name, engine), registered()[name]
    cells = example(name)
    told = {
        "model": name,
        "question": spec.question,
        "prior": str(resolved_prior(name)),
        "seed": seed_of(f"{name} by {engine}"),
        "outcome": cells.outcome,
        "kind": spec.outcome,
        "control": cells.design.control,
        "assignment": cells.design.assignment,
        "data_fingerprint": cells.fingerprint,
    }
    assert {key: tree.attrs[key] for key in told} == told
    assert pd.Timestamp(tree.attrs["created_at"]).tzinfo is not None
    assert "jax " in tree.attrs["versions"]
    assert "bayesuplift " in tree.attrs["versions"]


@every_engine
def test_the_same_seed_gives_the_same_draws_and_another_seed_others(name: str, engine: Engine) -> None:
    # as many steps as another compiled program is not needed for: of hmc, as many as under another prior
    draws = {"nuts": 200, "hmc": 75}.get(engine, DRAWS)
    seeds = [seed_of(f"{name} by {engine}") + more for more in (0, 0, 1)]
    first, again, other = (
        bu.fit(name, example(name), seed=seed, engine=engine, draws=draws, progress=False) for seed in seeds
    )
    for group in set(first.children) - {"observed_data"}:
        assert first[group].to_dataset().identical(again[group].to_dataset()), group
    drawn = mean_outcome(first).values
    assert not np.isin(
        drawn[drawn != 0], mean_outcome(other).values
    ).any()  # 0 is the origin that effects are told from


@every_engine
def test_a_posterior_comes_back_from_its_file_as_it_was(name: str, engine: Engine, tmp_path: Path) -> None:
    tree = fitted(name, engine)
    bu.save(tree, tmp_path / "posterior.nc")
    back = bu.load(tmp_path / "posterior.nc")
    assert set(back.children) == set(tree.children)
    for group in tree.children:
        assert back[group].to_dataset().identical(tree[group].to_dataset()), group
    assert dict(back.attrs) == dict(tree.attrs)


@every_engine
def test_the_engine_passes_its_own_diagnostics(name: str, engine: Engine) -> None:
    assert [check.sentence for check in bu.diagnose(fitted(name, engine)) if not check.passed] == []


@of_cells
def test_arms_under_other_names_have_the_same_posterior(name: str, engine: Engine) -> None:
    tree, cells = fitted(name, engine), example(name)
    assert isinstance(cells, Cells)
    names = dict(zip(cells.design.arms, ("x", "z", "y"), strict=False))
    length = {"draws": draws_a_chain(engine)} if engine == "hmc" else {}  # the compiled program of the other fit
    turned = bu.fit(name, relabelled(cells, names), seed=11, engine=engine, progress=False, **length)
    assert tuple(mean_outcome(turned)["arm"].values) == tuple(sorted(names.values()))
    order = {"arm": [names[arm] for arm in cells.design.arms]}
    if engine == "closed_form":
        parameters = turned["closed_form"].to_dataset().sel(order).drop_vars("arm")
        assert parameters.identical(tree["closed_form"].to_dataset().drop_vars("arm"))
    draws = mean_outcome(turned).sel(order)
    assert_within_mcse(
        draws.values, mean_outcome(tree).mean(("chain", "draw")).values, monte_carlo_error(mean_outcome(tree)).values
    )


def test_an_exact_choice_is_permuted_with_the_arms() -> None:
    cells = example("beta_binomial")
    assert isinstance(cells, Cells)
    names = dict(zip(cells.design.arms, ("x", "z", "y"), strict=True))
    options = {"threshold_of_caring": 0.001, "rope": 0.01}
    given = bu.choose_arm(fitted("beta_binomial", "closed_form"), **options)
    turned = bu.choose_arm(bu.fit("beta_binomial", relabelled(cells, names), seed=1), **options)
    back = turned.table.sel(arm=list(names.values())).assign_coords(arm=list(names))
    xr.testing.assert_allclose(back, given.table, rtol=EXACT, atol=EXACT)
    assert turned.verdict.name == given.verdict.name
    assert turned.verdict.arm == names[str(given.verdict.arm)]


@pytest.mark.parametrize("batches", [1, 2, 7])
def test_counts_in_batches_give_the_posterior_of_all_at_once(batches: int) -> None:
    whole = example("beta_binomial")
    assert isinstance(whole, Cells)
    table = split_into(batches, seed=seed_of(f"beta_binomial in {batches}"))
    by_batch = bu.read_counts(
        table, arm="arm", control="No E-Mail", trials="n", successes="visit", segments=["batch"], outcome="visit"
    )
    added_up = bu.read_counts(table, arm="arm", control="No E-Mail", trials="n", successes="visit")
    tree = fitted("beta_binomial", "closed_form")
    for merged in (by_batch.by(), added_up):
        assert merged == whole
        assert merged.statistics.identical(whole.statistics)
        again = bu.fit("beta_binomial", merged, seed=int(tree.attrs["seed"]), draws=DRAWS)
        assert mean_outcome(again).identical(mean_outcome(tree))


@pytest.mark.parametrize("name", [name for name in NAMES if len(units(name))])
def test_units_in_batches_give_the_posterior_of_all_at_once(name: str) -> None:
    whole, engine = example(name), engines(name)[0]
    assert isinstance(whole, Cells)
    table = units(name)
    batch = np.random.default_rng(seed_of(f"{name} in batches")).integers(0, 4, len(table))
    parts = [cells_of_units(name, table[batch == k]) for k in range(4)]
    merged = parts[0].merge(*parts[1:])
    assert merged == replace(whole, quantiles=None)
    # sums in another order, whose rounding a Markov chain amplifies step by step, so that few are taken
    length = {"warmup": 25, "draws": 25, "sensitivity": False} if engine == "hmc" else {"draws": DRAWS}
    at_once, again = (bu.fit(name, one, seed=5, engine=engine, progress=False, **length) for one in (whole, merged))
    np.testing.assert_allclose(mean_outcome(again), mean_outcome(at_once), rtol=1e-8)


def split_into(batches: int, *, seed: int) -> pd.DataFrame:
    """The visits of the e-mail test, its units dealt into batches at random."""
    generator = np.random.default_rng(seed)
    shares = np.full(batches, 1.0 / batches)
    rows = []
    for arm, n, visits in HILLSTROM_VISITS.itertuples(index=False):
        came, stayed = generator.multinomial(visits, shares), generator.multinomial(n - visits, shares)
        rows += [
            {"batch": f"batch {k}", "arm": arm, "n": came[k] + stayed[k], "visit": came[k]} for k in range(batches)
        ]
    return pd.DataFrame(rows).sample(frac=1.0, random_state=seed % 2**32)
