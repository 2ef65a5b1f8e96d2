"""The one entry to inference: what it refuses, what it leaves as it was, and what it writes."""

import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.errors import ArgumentError, FrameTypeError, ModelNotFoundError
from bayesuplift.inference.session import jax_session
from bayesuplift.posterior.schema import mean_outcome
from tests.support.catalogue import fitted
from tests.support.worlds import binary_cells, hillstrom_visits

CELLS = binary_cells([50, 60], [5, 9])
SETTINGS = (
    "jax_enable_x64",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_platforms",
    "jax_debug_nans",
)


def fit(**changed: Any) -> xr.DataTree:
    given: dict[str, Any] = {"model": "beta_binomial", "data": CELLS, "seed": 1} | changed
    return bu.fit(given.pop("model"), given.pop("data"), **given)


def settings() -> dict[str, Any]:
    return {name: getattr(jax.config, name) for name in SETTINGS}


def divided_by(zero: int) -> float:
    return 1 / zero


def revenue() -> Any:
    table = pd.DataFrame({"arm": ["a", "b"] * 3, "spend": [0.0, 1.0, 2.0, 0.0, 5.0, 7.5]})
    return bu.read_cells(table, arm="arm", control="a", outcome="spend", kind="revenue")


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        (
            {"model": "beta_binomal"},
            ModelNotFoundError,
            "no model 'beta_binomal'. Models: .*Did you mean 'beta_binomial'?",
        ),
        ({"data": {"n": [1, 2]}}, FrameTypeError, "data is dict; read it first"),
        ({"data": pd.DataFrame()}, FrameTypeError, "data is DataFrame"),
        ({"seed": -1}, ArgumentError, "seed = -1; give a whole number from 0"),
        ({"seed": 2**63}, ArgumentError, "seed = 9223372036854775808"),
        ({"seed": 1.0}, ArgumentError, "seed = 1.0"),
        ({"seed": True}, ArgumentError, "seed = True"),
        ({"seed": None}, ArgumentError, "seed = None"),
        ({"chains": 0}, ArgumentError, "chains = 0; give a whole number from 1"),
        ({"draws": 3}, ArgumentError, "draws = 3; give a whole number from 4"),
        ({"warmup": 0}, ArgumentError, "warmup = 0"),
        ({"draws": "1000"}, ArgumentError, "draws = '1000'"),
        ({"engine": "vi"}, ArgumentError, "engine = 'vi'; model 'beta_binomial' has closed_form, nuts"),
        ({"prior": (1.0, 1.0)}, ArgumentError, "prior is tuple; model 'beta_binomial' takes RatePrior"),
    ],
)
def test_what_cannot_be_answered_is_refused_before_any_sampling(changed: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        fit(**changed)


def test_an_outcome_of_another_kind_is_refused() -> None:
    with pytest.raises(ArgumentError, match="'beta_binomial' is for binary outcomes; 'spend' is revenue"):
        fit(data=revenue())


def test_refusals_are_the_built_ins_that_they_stand_for() -> None:
    with pytest.raises(KeyError):
        fit(model="no such model")
    with pytest.raises(ValueError, match="seed"):
        fit(seed=-1)
    with pytest.raises(TypeError):
        fit(data=None)


def test_numpy_integers_are_whole_numbers() -> None:
    xr.testing.assert_identical(mean_outcome(fit(seed=np.int32(7))), mean_outcome(fit(seed=7)))


def test_chains_and_draws_are_as_many_as_were_asked_for() -> None:
    assert dict(mean_outcome(fit(chains=3, draws=5)).sizes) == {"chain": 3, "draw": 5, "arm": 2}


def test_units_are_reduced_to_cells_by_their_segments() -> None:
    table = pd.DataFrame({"arm": ["a", "b"] * 40, "y": [0, 1, 1, 0, 0] * 16, "place": ["x", "x", "y", "y"] * 20})
    named = {"arm": "arm", "control": "a", "outcome": "y", "kind": "binary", "segments": ["place"]}
    units, cells = bu.read_experiment(table, **named), bu.read_cells(table, **named)
    xr.testing.assert_identical(mean_outcome(fit(data=units)), mean_outcome(fit(data=cells)))


def test_the_prior_is_named_and_set_beside_a_weak_and_a_strong_one() -> None:
    tree = fit(prior=bu.RatePrior(2, 8))
    assert tree.attrs["prior"] == "Beta(2, 8)"
    exact = tree["closed_form"]
    assert exact["prior"].to_numpy().tolist() == ["stated", "weak", "strong"]
    assert exact["description"].to_numpy()[:2].tolist() == ["Beta(2, 8)", "Beta(0.5, 0.5)"]
    strong = exact.to_dataset().sel(prior="strong")
    pooled = (14 + 0.5) / (110 + 1)
    size = float((strong["alpha"] + strong["beta"])[0]) - 50
    assert size == pytest.approx(2 / (0.01 * pooled * (1 - pooled)), rel=1e-12)


def test_an_intended_split_travels_with_the_posterior() -> None:
    assert "constant_data" not in fit().children
    cells = binary_cells([50, 100], [5, 9], intended_split={"a": 1, "b": 3})
    assert fit(data=cells)["constant_data"]["intended_split"].to_numpy().tolist() == [0.25, 0.75]


def test_a_fit_by_nuts_leaves_the_settings_of_jax_as_they_were() -> None:
    before = settings()
    tree = bu.fit("beta_binomial", hillstrom_visits(), seed=1, engine="nuts", progress=False)
    assert settings() == before
    assert not jax.config.jax_enable_x64
    assert mean_outcome(tree).dtype == np.float64


def test_a_session_that_fails_leaves_the_settings_of_jax_as_they_were() -> None:
    before = settings()
    with pytest.raises(ZeroDivisionError), jax_session():
        divided_by(int(settings() == before))
    assert settings() == before


def test_importing_the_package_and_its_models_leaves_the_settings_of_jax_as_they_were() -> None:
    script = (
        "import jax\n"
        f"read = lambda: [getattr(jax.config, name) for name in {SETTINGS!r}]\n"
        "before = read()\n"
        "import bayesuplift as bu, bayesuplift.inference.fit, bayesuplift.inference.nuts\n"
        "assert read() == before, (before, read())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_caller_that_set_a_compilation_cache_keeps_it(tmp_path: Any) -> None:
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    try:
        with jax_session():
            assert jax.config.jax_compilation_cache_dir == str(tmp_path)
    finally:
        jax.config.update("jax_compilation_cache_dir", None)


def test_nuts_records_what_its_diagnostics_need() -> None:
    stats = fitted("beta_binomial", "nuts")["sample_stats"]
    assert stats["diverging"].dtype == bool
    assert (stats["n_steps"] >= 1).all()
    assert ((stats["acceptance_rate"] >= 0) & (stats["acceptance_rate"] <= 1)).all()


def test_the_recorded_energy_is_the_hamiltonian_so_that_its_spread_over_its_steps_can_be_judged() -> None:
    # E-BFMI of a well mixing sampler is near 1; of the potential energy alone, which is what moves slowly, it is not.
    energy = fitted("beta_binomial", "nuts")["sample_stats"]["energy"].to_numpy()
    bfmi = (np.diff(energy, axis=1) ** 2).mean(axis=1) / energy.var(axis=1)
    assert (bfmi > 0.5).all()


def test_the_weights_of_the_stated_prior_are_zero() -> None:
    weights = fitted("beta_binomial", "nuts")["prior_sensitivity"]["log_weight"]
    assert (weights.sel(prior="stated") == 0).all()
    assert (weights.sel(prior="strong").std() > 0).item()
