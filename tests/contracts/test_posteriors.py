"""What every registered model promises of its posterior, by every engine that it has."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.inference.fit import Engine
from bayesuplift.posterior.diagnostics import monte_carlo_error
from bayesuplift.posterior.schema import mean_outcome, validate
from bayesuplift.spec import registered
from tests.support.catalogue import NAMES, NAMES_AND_ENGINES, fitted
from tests.support.mcse import assert_within_mcse
from tests.support.worlds import HILLSTROM_VISITS, example, relabelled, seed_of

EXACT = 1e-10  # what compare_proportions promises of its probabilities; the order of arms turns its sums around

every_engine = pytest.mark.parametrize(("name", "engine"), NAMES_AND_ENGINES)


@every_engine
def test_a_posterior_follows_the_schema_and_carries_the_labels_of_the_data(name: str, engine: Engine) -> None:
    tree, cells = fitted(name, engine), example(registered()[name].outcome)
    assert validate(tree) is tree
    draws = tree["posterior"]["mean_outcome"]
    assert draws.dims == ("chain", "draw", *cells.statistics["n"].dims)
    assert tuple(draws.coords["arm"].values) == cells.design.arms
    assert draws.dtype == np.float64
    assert tree["observed_data"].to_dataset().identical(cells.statistics)


@every_engine
def test_a_posterior_says_where_it_comes_from(name: str, engine: Engine) -> None:
    tree, spec = fitted(name, engine), registered()[name]
    cells = example(spec.outcome)
    told = {
        "model": name,
        "question": spec.question,
        "prior": str(spec.default_prior),
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
    first = fitted(name, engine)
    cells, seed = example(registered()[name].outcome), int(first.attrs["seed"])
    again = bu.fit(name, cells, seed=seed, engine=engine, progress=False)
    other = fitted(name, engine, seed + 1)
    for group in set(first.children) - {"observed_data"}:
        assert first[group].to_dataset().identical(again[group].to_dataset()), group
    assert not np.isin(mean_outcome(first).values, mean_outcome(other).values).any()


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


@every_engine
def test_arms_under_other_names_have_the_same_posterior(name: str, engine: Engine) -> None:
    tree, cells = fitted(name, engine), example(registered()[name].outcome)
    names = dict(zip(cells.design.arms, ("x", "z", "y"), strict=True))
    turned = bu.fit(name, relabelled(cells, names), seed=11, engine=engine, progress=False)
    assert tuple(mean_outcome(turned)["arm"].values) == ("x", "y", "z")
    order = {"arm": [names[arm] for arm in cells.design.arms]}
    if engine == "closed_form":
        parameters = turned["closed_form"].to_dataset().sel(order).drop_vars("arm")
        assert parameters.identical(tree["closed_form"].to_dataset().drop_vars("arm"))
    draws = mean_outcome(turned).sel(order)
    assert_within_mcse(
        draws.values, mean_outcome(tree).mean(("chain", "draw")).values, monte_carlo_error(mean_outcome(tree)).values
    )


def test_an_exact_choice_is_permuted_with_the_arms() -> None:
    cells = example("binary")
    names = dict(zip(cells.design.arms, ("x", "z", "y"), strict=True))
    options = {"threshold_of_caring": 0.001, "rope": 0.01}
    given = bu.choose_arm(fitted("beta_binomial", "closed_form"), **options)
    turned = bu.choose_arm(bu.fit("beta_binomial", relabelled(cells, names), seed=1), **options)
    back = turned.table.sel(arm=list(names.values())).assign_coords(arm=list(names))
    xr.testing.assert_allclose(back, given.table, rtol=EXACT, atol=EXACT)
    assert turned.verdict.name == given.verdict.name
    assert turned.verdict.arm == names[str(given.verdict.arm)]


@pytest.mark.parametrize("batches", [1, 2, 7])
@pytest.mark.parametrize("name", [name for name in NAMES if registered()[name].outcome == "binary"])
def test_data_in_batches_give_the_posterior_of_all_at_once(name: str, batches: int) -> None:
    whole = example("binary")
    table = split_into(batches, seed=seed_of(f"{name} in {batches}"))
    by_batch = bu.read_counts(
        table, arm="arm", control="No E-Mail", trials="n", successes="visit", segments=["batch"], outcome="visit"
    )
    added_up = bu.read_counts(table, arm="arm", control="No E-Mail", trials="n", successes="visit")
    for merged in (by_batch.by(), added_up):
        assert merged == whole
        assert merged.statistics.identical(whole.statistics)
        if (name, "closed_form") in NAMES_AND_ENGINES:
            seed = int(fitted(name, "closed_form").attrs["seed"])
            assert mean_outcome(bu.fit(name, merged, seed=seed)).identical(mean_outcome(fitted(name, "closed_form")))


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
