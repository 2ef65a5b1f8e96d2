"""Leave-one-out over units: against its closed form, and against rows of units."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import xarray as xr
from arviz_stats.base import array_stats

import bayesuplift as bu
from bayesuplift.errors import ArgumentError, PosteriorError
from tests.support.worlds import binary_cells, foreign, normal_draws, seed_of

N = np.array([[40, 7], [300, 250], [12, 0]])
Y = np.array([[9, 3], [60, 75], [0, 0]])


def posterior(n: Any = N, y: Any = Y, *, name: str = "loo", draws: int = 2000) -> xr.DataTree:
    return bu.fit("beta_binomial", binary_cells(n, y), seed=seed_of(name), draws=draws)


def by_arm(tree: xr.DataTree, draws: np.ndarray) -> xr.DataTree:
    """Draws (chain, draw, arm) as the posterior of the same cells by a model that knows no segments."""
    arms = tree["posterior"]["arm"].values
    group = xr.Dataset({"mean_outcome": (("chain", "draw", "arm"), draws)}, coords={"arm": arms})
    other = xr.DataTree.from_dict({"posterior": group, "observed_data": tree["observed_data"].to_dataset()})
    other.attrs = dict(tree.attrs)
    return other


def units_of(tree: xr.DataTree) -> tuple[np.ndarray, np.ndarray]:
    """One row a unit: log likelihood (chain, draw, unit), and whether it converted."""
    draws = tree["posterior"].to_dataset()["mean_outcome"].transpose("chain", "draw", "segment", "arm").values
    observed = tree["observed_data"].to_dataset()
    rows, values = [], []
    for s, a in np.ndindex(draws.shape[2:]):
        for value, count in (
            (1, observed["total"].values[s, a]),
            (0, (observed["n"] - observed["total"]).values[s, a]),
        ):
            p = draws[:, :, s, a]
            rows += [np.log(p if value else 1 - p)] * int(count)
            values += [value] * int(count)
    return np.stack(rows, axis=-1), np.array(values)


def test_every_unit_is_predicted_as_the_closed_form_without_it_does() -> None:
    tree = posterior(draws=5000)
    table = bu.unit_loo(tree)
    draws = tree["posterior"]["mean_outcome"].transpose("chain", "draw", "segment", "arm").values
    for s, a in np.ndindex(N.shape):
        n, y = int(N[s, a]), int(Y[s, a])
        # Beta(1 + y, 1 + n - y) without a unit that converted is Beta(y, 1 + n - y)
        for value, count in ((1, y), (0, n - y)):
            one = {"segment": s, "arm": a, "value": value}
            assert float(table["n"][one]) == count
            if count == 0:
                assert np.isnan(table["elpd_unit"][one])
                continue
            exact = np.log(count / (n + 1))
            inverse = 1 / (draws[:, :, s, a] if value else 1 - draws[:, :, s, a])
            # PSIS estimates -log E[1 / p] by independent draws: the error of the log of a mean is its relative error
            error = inverse.std() / inverse.mean() / np.sqrt(inverse.size)
            assert abs(float(table["elpd_unit"][one]) - exact) <= 5 * error, one
    exact = sum(
        count * np.log(count / (n + 1))
        for n, y in zip(N.ravel().tolist(), Y.ravel().tolist(), strict=True)
        for count in (y, n - y)
        if count
    )
    np.testing.assert_allclose(table["elpd"], exact, atol=0.05)  # 669 units, each within 1e-4, errors shared by cells
    assert float(table["units"]) == N.sum()
    assert float(table["p_loo"]) == pytest.approx(
        5, abs=1.5
    )  # five cells with units, each a rate; small ones count less


def test_rows_of_units_give_the_same_to_the_last_digits() -> None:
    tree = posterior()
    # neighbours on either side of the median make more effective draws than draws, so that both smooth the same tail
    draws = np.sort(
        tree["posterior"]["mean_outcome"].transpose("segment", "arm", "chain", "draw").values.reshape(3, 2, -1)
    )
    dealt = np.stack([draws, draws[..., ::-1]], axis=-1).reshape(3, 2, -1)[..., : draws.shape[-1]]
    shuffled = np.random.default_rng(1).permutation(draws.shape[-1] // 2)
    dealt = dealt.reshape(3, 2, -1, 2)[:, :, shuffled].reshape(3, 2, 4, -1)
    tree = tree.copy()
    tree["posterior"] = xr.DataTree(
        xr.Dataset({"mean_outcome": (("segment", "arm", "chain", "draw"), dealt)}, coords=tree["posterior"].coords)
    )
    rows, _ = units_of(tree)
    elpd, pareto_k, p_loo = array_stats.loo(np.moveaxis(rows, -1, 0), r_eff=1.0)
    ours = bu.unit_loo(tree)
    np.testing.assert_allclose(ours["elpd"], elpd.sum(), rtol=1e-10)
    np.testing.assert_allclose(ours["elpd_se"], np.sqrt(len(elpd) * elpd.var()), rtol=1e-10)
    np.testing.assert_allclose(ours["p_loo"], p_loo.sum(), rtol=1e-8)
    assert float(ours["units_above"]) == int((pareto_k > float(ours["threshold"])).sum())
    np.testing.assert_allclose(np.unique(ours["pareto_k"].values[ours["n"].values > 0]), np.unique(pareto_k), rtol=1e-8)


def test_models_of_the_same_units_are_compared_unit_by_unit() -> None:
    n, y = [[2000, 2000], [2000, 2000]], [[200, 260], [600, 900]]
    apart = posterior(n, y, name="apart")
    rate = (np.sum(y, axis=0) + 1) / (np.sum(n, axis=0) + 2)
    alike = by_arm(apart, normal_draws(rate, np.sqrt(rate * (1 - rate) / 4000), seed=seed_of("alike")))
    table = bu.compare_loo({"alike": alike, "apart": apart})
    assert table["model"].values.tolist() == ["apart", "alike"]
    assert [float(table[name][0]) for name in ("difference", "difference_se")] == [0.0, 0.0]
    # two log densities a unit, from the cells' own rates: what one parameter a cell is worth is all that is left out
    own = np.array(y) / np.array(n)
    pooled = np.broadcast_to(rate, own.shape)
    gap = np.stack([np.log(pooled / own), np.log((1 - pooled) / (1 - own))])
    count = np.stack([np.array(y), np.array(n) - np.array(y)])
    expected = (gap * count).sum()
    error = np.sqrt((gap**2 * count).sum() - expected**2 / count.sum())
    assert abs(float(table["difference"][1]) - expected) < 4  # p_loo of both is 4 and 2
    assert float(table["difference_se"][1]) == pytest.approx(error, rel=0.01)
    # the fault that this would catch: errors of unpaired units are many times as large
    assert float(table["difference_se"][1]) < 0.5 * float(np.hypot(*table["elpd_se"].values))
    assert table.attrs["sentence"] == ""
    same = bu.compare_loo({"one": apart, "other": apart})
    assert same["difference"].values.tolist() == [0.0, 0.0]


def test_a_unit_that_decides_its_cell_is_told() -> None:
    # without its one unit the cell's posterior is its prior, Beta(.1, .1): 1 / p has a tail with k = 1 / 1.1
    cells = binary_cells([[1, 50], [50, 50]], [[1, 20], [25, 20]])
    tree = bu.fit("beta_binomial", cells, seed=seed_of("one unit"), draws=2000, prior=bu.RatePrior(0.1, 0.1))
    table = bu.unit_loo(tree)
    assert float(table["pareto_k"].sel(value=1, arm="a")[0]) > float(table["threshold"])
    assert float(table["units_above"]) == 1
    assert float(table["share_above"]) == 1 / 151
    assert table.attrs["sentence"].startswith("Pareto k is above 0.70 for 1 of 151 units")
    assert "Not to be relied on: x, y" in bu.compare_loo({"x": tree, "y": tree}).attrs["sentence"]


def test_rates_that_round_to_one_and_rates_that_never_move_have_an_answer() -> None:
    draws = normal_draws([[0.5, 1.0]], [[0.01, 0.0]], seed=1)
    tree = foreign(draws, segments={"x": [10, 10]}, kind="binary")
    observed = tree["observed_data"].to_dataset()
    tree["observed_data"] = xr.DataTree(observed.assign(total=observed["n"].copy(data=[[5, 10]])))
    table = bu.unit_loo(tree)
    assert float(table["elpd_unit"].sel(arm="b", value=1)[0]) == 0.0
    assert float(table["pareto_k"].sel(arm="b", value=1)[0]) == -np.inf
    assert np.isfinite(table["elpd"])


@pytest.mark.parametrize("kind", ["count", "continuous", "revenue", None])
def test_other_kinds_are_refused_with_what_is_possible(kind: str | None) -> None:
    tree = posterior()
    tree.attrs["kind"] = kind
    with pytest.raises(ArgumentError, match="predictive_check"):
        bu.unit_loo(tree)


def test_posteriors_of_other_data_are_not_compared() -> None:
    one, other = posterior(), posterior(N, Y + (Y > 0), name="other")
    with pytest.raises(ArgumentError, match="'a' and 'b' are posteriors of different data"):
        bu.compare_loo({"a": one, "b": other})
    for tree in (one, other):  # made elsewhere, without fingerprints: the counts tell
        del tree.attrs["data_fingerprint"]
    with pytest.raises(ArgumentError, match="different data"):
        bu.compare_loo({"a": one, "b": other})
    wrong: Sequence[Any] = ({"a": one}, [one, other])
    for posteriors in wrong:
        with pytest.raises(ArgumentError, match="two posteriors or more by name"):
            bu.compare_loo(posteriors)


def test_a_posterior_without_its_cells_is_refused() -> None:
    tree = foreign(np.full((2, 4, 2), 0.5), kind="binary")
    with pytest.raises(PosteriorError, match="no counts n and total"):
        bu.unit_loo(tree)
