"""A causal forest under other priors than the stated one: draws of its averages, beside those of fits that state them."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.data.units import Units
from bayesuplift.errors import ArgumentError
from bayesuplift.inference import causal_forest
from bayesuplift.inference.forest import run
from bayesuplift.inference.forest.planting import numbers
from bayesuplift.inference.forest.run import Sampler
from bayesuplift.inference.forest.settings import resolve
from bayesuplift.inference.session import jax_session
from bayesuplift.posterior.diagnostics import monte_carlo_error
from bayesuplift.priors import ForestPrior
from bayesuplift.report.render import to_markdown
from bayesuplift.spec import find
from tests.support.forests import TINY
from tests.support.mcse import assert_within_mcse
from tests.support.worlds import seed_of

# As many units, columns, trees and chains as in test_forest_refusals.py: one compiled program serves both.
UNITS = 240
# An average effect and forests of effects far narrower than the effect that there is: twice and a third of it differ.
EFFECT_SD: Final = 0.1
PRIOR: Final = replace(TINY, average_sd=0.15, effect_sd=EFFECT_SD)
LENGTH: dict[str, Any] = {"prior": PRIOR, "chains": 2, "progress": False}
SHORT: dict[str, Any] = LENGTH | {"seed": 3, "draws": 25, "warmup": 10}
CHAIN_AND_DRAW = ("chain", "draw")


def table() -> pd.DataFrame:
    rng = np.random.default_rng(seed_of("a forest under other priors"))
    age, treated = rng.normal(50.0, 10.0, UNITS), np.arange(UNITS) % 2
    effect = np.where(age > 50.0, 1.0, 0.4)
    return pd.DataFrame(
        {
            "age": age,
            "channel": rng.choice(["Multi", "Phone", "Web"], UNITS),
            "arm": np.where(treated, "offer", "none"),
            "spend": 5.0 + 0.05 * age + treated * effect + rng.normal(size=UNITS),
        }
    )


@functools.cache
def experiment() -> bu.Experiment:
    roles: dict[str, Any] = {"arm": "arm", "control": "none", "outcome": "spend", "kind": "continuous"}
    return bu.read_experiment(table(), covariates=["age", "channel"], **roles)


def fitted(**options: Any) -> xr.DataTree:
    return bu.fit("bayesian_causal_forest", experiment(), **SHORT | options)


def others() -> dict[str, ForestPrior]:
    units = Units.of(experiment())
    stated, *_ = found = PRIOR.resolved(units).alternatives(units)
    return {name: prior for name, prior in found.items() if name != stated}


def averages(tree: xr.DataTree) -> xr.DataArray:
    return tree["posterior"].to_dataset()["mean_outcome"].mean("unit", dtype=np.float64)


@functools.cache
def alone(name: str) -> xr.DataArray:
    """Averages of a long fit that states the other prior."""
    return averages(fitted(prior=others()[name], seed=seed_of(name), draws=2000, warmup=500, sensitivity=False))


def at_length(monkeypatch: pytest.MonkeyPatch) -> xr.DataArray:
    """Averages under other priors, of more draws than decisions need."""
    monkeypatch.setattr(causal_forest, "_DRAWS_OF_OTHERS", 1000)
    found = fitted(seed=seed_of("at length"), draws=1000, warmup=200)["alternatives"].to_dataset()["mean_outcome"]
    assert found.dims == ("prior", "chain", "draw", "arm")
    assert found["prior"].to_numpy().tolist() == ["weak", "strong"]
    return found


def assert_as_alone(found: xr.DataArray, name: str) -> None:
    expected = alone(name)
    assert_within_mcse(found.sel(prior=name), expected.mean(CHAIN_AND_DRAW), monte_carlo_error(expected), comparisons=2)


def test_draws_under_other_priors_are_those_of_fits_that_state_them(monkeypatch: pytest.MonkeyPatch) -> None:
    found = at_length(monkeypatch)
    for name in others():
        assert_as_alone(found, name)


def test_draws_under_the_stated_prior_are_told_from_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the other priors' numbers never reach the sampler."""
    stated = PRIOR.resolved(Units.of(experiment()))
    monkeypatch.setattr(run, "numbers", lambda _prior, _resolved, rows: numbers(stated, resolve(stated, rows), rows))
    found = at_length(monkeypatch)
    for name in others():
        with pytest.raises(AssertionError, match="Monte Carlo errors apart"):
            assert_as_alone(found, name)


@contextmanager
def compiled() -> Iterator[list[float]]:
    """Seconds of every compilation meanwhile, of programs found in the cache on disk too."""
    found: list[float] = []

    def listen(event: str, seconds: float, **_: Any) -> None:
        if event.endswith("backend_compile_duration"):
            found.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def sampler(prior: ForestPrior = PRIOR) -> Sampler:
    units = Units.of(experiment())
    resolved = prior.resolved(units)
    rows = find("bayesian_causal_forest").program(units, prior=resolved)
    return Sampler(rows, resolved, seed=seed_of("other priors"), chains=2)


def test_other_priors_are_sampled_by_the_program_that_there_is() -> None:
    with jax_session():
        stated = sampler()
        stated.draw(5)
        with compiled() as programs:
            for place, prior in enumerate(others().values()):
                other = stated.under(prior, stream=place)
                other.burn_in(5)
                assert np.isfinite(other.averages(5)).all()
        assert programs == []
        # planted: a program that was not there
        with compiled() as programs:
            jax.jit(lambda one: one + 1.0)(np.zeros(5))
        assert len(programs) == 1


def test_the_spread_of_effects_is_as_wide_as_the_other_prior_allows() -> None:
    with jax_session():
        stated = sampler()
        stated.burn_in(50)
        own = stated.draw(200).effect_sd
        found = {
            name: stated.under(prior, stream=place).draw(200).effect_sd
            for place, (name, prior) in enumerate(others().items())
        }
    limit = 2.0 * EFFECT_SD
    assert own.max() < limit
    # no weights of the stated draws make these
    assert (found["weak"] > limit).mean() > 0.1
    assert found["weak"].max() < 2.0 * limit
    # chains that began beyond what is possible do not stay there
    assert (own > limit / 3.0).mean() > 0.1
    assert found["strong"].max() < limit / 3.0


def test_spreads_that_are_not_learned_are_the_other_priors() -> None:
    fixed, prior = replace(PRIOR, learned=False), replace(others()["strong"], learned=False)
    with jax_session():
        stated, expected = sampler(fixed), sampler(prior)
        found = stated.under(prior, stream=0)
    # powers of float32, one divided by another
    np.testing.assert_allclose(found.states.leaf_precision, expected.states.leaf_precision, rtol=1e-6)
    assert (stated.states.leaf_precision[:, 1:] < 0.2 * expected.states.leaf_precision[:, 1:]).all()


def test_chains_go_on_under_a_prior_of_other_scales_alone() -> None:
    with jax_session():
        stated = sampler()
    for change in ({"expanded": True}, {"location": 3.0}, {"most_cuts": 7}):
        with pytest.raises(ArgumentError, match=r"differs in .*effect_sd.* alone"):
            stated.under(replace(others()["weak"], **change), stream=0)


def test_the_stated_draws_are_the_same_with_and_without_other_priors(tmp_path: Path) -> None:
    tree, without = fitted(), fitted(sensitivity=False)
    assert set(tree.children) - set(without.children) == {"alternatives"}
    for group in without.children:
        assert without[group].to_dataset().identical(tree[group].to_dataset()), group
    found = tree["alternatives"].to_dataset()
    assert found.sizes == {"prior": 2, "chain": 2, "draw": 25, "arm": 2}
    assert [str(one) for one in others().values()] == found["description"].to_numpy().tolist()
    assert fitted()["alternatives"].to_dataset().identical(found)
    drawn = found["mean_outcome"].to_numpy()
    assert not np.isin(fitted(seed=4)["alternatives"]["mean_outcome"].to_numpy(), drawn).any()
    # each prior has a stream of its own, and a fit that goes on others again
    assert not np.isin(drawn[0], drawn[1]).any()
    bu.save(tree, tmp_path / "forest.nc")
    further = fitted(start=bu.load(tmp_path / "forest.nc"), warmup=None)
    assert not np.isin(further["alternatives"]["mean_outcome"].to_numpy(), drawn).any()
    assert (
        further["posterior"]
        .to_dataset()
        .identical(fitted(start=without, warmup=None, sensitivity=False)["posterior"].to_dataset())
    )


class Bar:
    """In place of a progress bar: how far a run came, interrupted where more than `until` sweeps are done."""

    until = np.inf
    seen: list["Bar"]

    def __init__(self, *, total: int, **_: Any) -> None:
        self.total, self.n = total, 0
        self.seen.append(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, sweeps: int) -> None:
        self.n += sweeps
        if self.n > self.until:
            raise KeyboardInterrupt


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[Bar]:
    monkeypatch.setattr(causal_forest, "tqdm", Bar)
    monkeypatch.setattr(Bar, "seen", [], raising=False)
    return Bar.seen


def test_an_interrupt_among_other_priors_leaves_the_stated_draws(
    bars: list[Bar], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fitted()
    (bar,) = bars
    assert bar.n == bar.total
    last = bar.total - 2 * 35
    for sweeps in (1, 110, 140, last // 2, last - 1):  # in burn-in, among draws, and with the last ones of either prior
        monkeypatch.setattr(Bar, "until", 2 * 35 + sweeps)
        tree = fitted()
        assert "alternatives" not in tree.children
        assert tree["posterior"].to_dataset().identical(whole["posterior"].to_dataset())


def test_draws_that_were_interrupted_have_no_other_priors(bars: list[Bar], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bar, "until", 200)
    tree = fitted(draws=2000)
    assert 25 <= tree["posterior"].sizes["draw"] < 2000
    assert "alternatives" not in tree.children
    assert len(bars) == 1


def test_other_priors_are_drawn_once_and_as_far_apart_as_diagnostics_asked_for(
    bars: list[Bar], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bayesuplift.inference.fit._LENGTH_OF_FORESTS", {"chains": 2, "draws": 10, "warmup": 5})
    tree = fitted(draws=None, warmup=None)
    thin = int(tree["sample_stats"].attrs["sweeps_per_draw"])
    assert thin == 8  # ten draws a chain never hold the effective draws that are asked for
    assert tree["alternatives"].sizes["draw"] == 10
    (bar,) = bars
    stated = causal_forest.GROWN + 5 + 10 * (1 + 2 + 4 + 8)
    assert bar.n == bar.total == 2 * (stated + 2 * (causal_forest._LEFT_OUT_OF_OTHERS + 10 * thin))


def test_a_decision_is_made_under_three_priors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    length = {"prior": PRIOR, "chains": 2, "draws": 400, "warmup": 100}
    monkeypatch.setattr("bayesuplift.workflow.fit", lambda *args, **options: bu.fit(*args, **options | length))
    table().to_csv(tmp_path / "units.csv", index=False)
    path = tmp_path / "units.toml"
    path.write_text(
        """
[data]
path = "units.csv"
arm = "arm"
control = "none"
covariates = ["age", "channel"]

[[outcome]]
name = "spend"
kind = "continuous"
threshold_of_caring = 0.05
model = "bayesian_causal_forest"

[model]
seed = 3
""",
        encoding="utf-8",
    )
    report = bu.analyze(path, progress=False)
    (outcome,) = report.facts()["outcomes"]
    assert outcome["verdict"]["name"] == "CHOOSE", outcome["verdict"]["sentence"]
    assert "incomplete" not in outcome["verdict"]["sentence"]
    told = outcome["sensitivity"]
    assert [row["prior"] for row in told["rows"]] == ["stated", "weak", "strong"]
    assert told["left_out"] == ""
    assert all(str(prior) in to_markdown(report.facts()) for prior in others().values())
