"""How well a model predicts one more unit: leave-one-out over units, computed from cells."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.dims import ARM, CHAIN, DRAW, SEGMENT, TOTAL, UNIT, N
from bayesuplift.errors import ArgumentError, PosteriorError, listed
from bayesuplift.posterior.diagnostics import effective_draws
from bayesuplift.posterior.importance import LARGEST_PARETO_K, smoothed
from bayesuplift.posterior.schema import mean_outcome, observed_cells, validate

_VALUE: Final = "value"
_LEAST: Final = float(np.finfo(np.float64).tiny)
_FINGERPRINT: Final = "data_fingerprint"


def unit_loo(posterior: xr.DataTree) -> xr.Dataset:
    """Expected log predictive density of units, each left out in turn, for a binary outcome.

        elpd = sum_i log p(y_i | y_{-i})

    The units of a cell that did the same are the same unit to the model: a (segment, arm) has two, one that converted,
    with log likelihood log p, and one that did not, with log(1 - p). Each is left out once, by importance weights that
    are the inverse of its likelihood with their tail smoothed, and counts as often as there are such units.

    Cells are never left out: a cell is many units, and to leave it out asks how well a *new segment* is predicted. That
    is another question, and importance weights seldom answer it (their Pareto k is large).

    Parameters
    ----------
    posterior
        A tree of kind "binary" over ([segment], arm), with `observed_data/n` and `total`. A posterior by arm of cells with
        segments predicts alike in all of them.

    Returns
    -------
    xarray.Dataset
        Over ([segment], arm, value), value 0 or 1: `elpd_unit` of one such unit, `lppd_unit` of one that is not left
        out, `pareto_k`, and `n` of them; NaN where there are none. In all: `elpd`, its standard error over units `elpd_se`,
        `p_loo` (effective number of parameters), `units`, and `units_above` and `share_above`, of those whose Pareto k is
        above `threshold`. The attribute `sentence` says whether that can be relied on.

    Raises
    ------
    ArgumentError
        The outcome is not binary.
    PosteriorError
        The tree does not follow the schema, or lacks the counts.

    Notes
    -----
    Vehtari, Gelman and Gabry (2017), Practical Bayesian model evaluation using leave-one-out cross-validation and WAIC,
    Statistics and Computing 27, equations 4 and 23 (standard error). The threshold is min(1 - 1 / log10(S), 0.7) for S
    draws: Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling, section 3.2.4.
    """
    validate(posterior)
    draws, n = mean_outcome(posterior), _counts(posterior)
    dims = [dim for dim in n.dims if dim in draws.dims]
    draws = draws.transpose(CHAIN, DRAW, *dims)
    efficiency = (effective_draws(draws) / (draws.sizes[CHAIN] * draws.sizes[DRAW])).transpose(*dims).to_numpy()
    needed = n.sum([dim for dim in n.dims if dim not in (*dims, _VALUE)]).transpose(*dims, _VALUE).to_numpy() > 0
    values = draws.to_numpy()
    found = np.full((3, *values.shape[2:], 2), np.nan)
    for place in np.ndindex(values.shape[2:]):
        p = values[(slice(None), slice(None), *place)]
        for value in (0, 1):
            if needed[(*place, value)]:
                found[(slice(None), *place, value)] = _left_out(p if value else 1.0 - p, float(efficiency[place]))
    labels = {dim: draws[dim].to_numpy() for dim in dims} | {_VALUE: [0, 1]}
    parts = xr.Dataset(
        {name: ((*dims, _VALUE), one) for name, one in zip(("elpd_unit", "lppd_unit", "pareto_k"), found, strict=True)},
        coords=labels,
    ).broadcast_like(n)
    parts = parts.transpose(*n.dims).where(n > 0).assign({N: n})
    return _totals(parts, posterior, int(values.shape[0] * values.shape[1]))


def compare_loo(posteriors: Mapping[str, xr.DataTree]) -> xr.Dataset:
    """Compare models of the same units by how well they predict one left out, the best first.

    Parameters
    ----------
    posteriors
        Posteriors by name, of the same cells.

    Returns
    -------
    xarray.Dataset
        Over (model,): `elpd`, `elpd_se`, `p_loo` and `share_above` as in `unit_loo`; `difference`, the elpd less the best
        one's, with its standard error over paired units `difference_se`, both 0 for the best. The attribute `sentence`
        names the models whose figures cannot be relied on.

    Raises
    ------
    ArgumentError
        Fewer than two posteriors, or of different data.
    PosteriorError
        As `unit_loo`.

    Notes
    -----
    Vehtari, Gelman and Gabry (2017), equation 24. A difference of a few standard errors, or of less than 4, says little:
    Sivula, Magnusson, Matamoros and Vehtari (2025), Uncertainty in Bayesian leave-one-out cross-validation based model
    comparison, Bayesian Analysis.
    """
    if not isinstance(posteriors, Mapping) or len(posteriors) < 2:  # noqa: PLR2004
        raise ArgumentError("give two posteriors or more by name, such as {'pooled': one, 'by arm': another}")
    found = {str(name): unit_loo(tree) for name, tree in posteriors.items()}
    first_name, first = next(iter(found.items()))
    for name, one in found.items():
        prints = [table.attrs.get(_FINGERPRINT) for table in (first, one)]
        if (None not in prints and prints[0] != prints[1]) or not _same_units(first, one):
            raise ArgumentError(
                f"'{first_name}' and '{name}' are posteriors of different data; fit every model on the same cells, with "
                "the same segments"
            )
    ordered = sorted(found, key=lambda name: (bool(np.isnan(found[name]["elpd"])), -float(found[name]["elpd"])))
    best = found[ordered[0]]
    rows = []
    for name in ordered:
        gap = found[name]["elpd_unit"] - best["elpd_unit"]
        total, error = _sum_over_units(gap, best[N])
        kept = found[name][["elpd", "elpd_se", "p_loo", "share_above"]]
        rows.append(kept.assign(difference=total, difference_se=error))
    result = xr.concat(rows, dim=xr.DataArray(ordered, dims="model", name="model"))
    wrong = [name for name in ordered if float(found[name]["units_above"]) > 0]
    result.attrs = {
        **({_FINGERPRINT: first.attrs[_FINGERPRINT]} if _FINGERPRINT in first.attrs else {}),
        "sentence": f"Not to be relied on: {listed(wrong)}, see unit_loo." if wrong else "",
    }
    return result


def _counts(posterior: xr.DataTree) -> xr.DataArray:
    """Units of each value, ([segment], arm, value)."""
    kind = posterior.attrs.get("kind")
    if kind != "binary":
        raise ArgumentError(
            f"leave-one-out over units is there for kind 'binary', whose units are in the cells; this posterior's is "
            f"{kind!r}. Of other kinds, compare models by bu.predictive_check(posterior, cells, seed=…)"
        )
    draws, observed = mean_outcome(posterior), observed_cells(posterior)
    if UNIT in draws.dims or observed is None or TOTAL not in observed:
        found = "is over units" if UNIT in draws.dims else "has no counts n and total by arm in 'observed_data'"
        raise PosteriorError(f"the posterior {found}; expected ([segment], arm) and the cells that it was fitted on")
    if SEGMENT in draws.dims and (
        SEGMENT not in observed[N].dims or set(observed[SEGMENT].to_numpy()) != set(draws[SEGMENT].to_numpy())
    ):
        raise PosteriorError("the segments of 'observed_data' are not those of mean_outcome")
    if not bool(((draws >= 0) & (draws <= 1)).all()):
        raise PosteriorError("mean_outcome holds draws below 0 or above 1; a binary outcome's mean is a probability")
    cells = observed[[N, TOTAL]].reset_coords(drop=True).sel({ARM: draws[ARM].to_numpy()})
    if SEGMENT in draws.dims:
        cells = cells.sel({SEGMENT: draws[SEGMENT].to_numpy()})
    if not bool(((cells[TOTAL] >= 0) & (cells[TOTAL] <= cells[N])).all()) or float(cells[N].sum()) <= 0:
        raise PosteriorError("observed_data has a total that is not between 0 and n, or not a single unit")
    both = xr.concat([cells[N] - cells[TOTAL], cells[TOTAL]], dim=xr.DataArray([0, 1], dims=_VALUE, name=_VALUE))
    return both.transpose(..., ARM, _VALUE).astype(np.float64).rename(N)


def _left_out(likelihood: NDArray[np.float64], efficiency: float) -> tuple[float, float, float]:
    """Log predictive density of one unit, left out and not, and Pareto k, from its likelihood (chain, draw)."""
    # a rate that rounds to 0 or 1 has a likelihood that float64 cannot hold, and that is not impossible
    p = np.maximum(likelihood, _LEAST)
    lppd = float(np.log(p.mean()))
    weights, pareto_k = smoothed(xr.DataArray(-np.log(p), dims=(CHAIN, DRAW)), efficiency=efficiency)
    if np.isinf(pareto_k):  # nothing to reweight, or no weights to be had
        return (lppd if pareto_k < 0 else np.nan), lppd, pareto_k
    return float(np.log((weights.to_numpy() * p).sum())), lppd, pareto_k


def _totals(parts: xr.Dataset, posterior: xr.DataTree, draws: int) -> xr.Dataset:
    """Add up the units."""
    n = parts[N]
    threshold = min(1.0 - 1.0 / np.log10(max(draws, 2)), LARGEST_PARETO_K)
    total, error = _sum_over_units(parts["elpd_unit"], n)
    above = float(n.where(parts["pareto_k"] > threshold, 0.0).sum())
    units = float(n.sum())
    result = parts.assign(
        elpd=total,
        elpd_se=error,
        p_loo=float(((parts["lppd_unit"] - parts["elpd_unit"]) * n).where(n > 0, 0.0).sum(skipna=False)),
        units=units,
        units_above=above,
        share_above=above / units,
        threshold=threshold,
    )
    sentence = (
        f"Pareto k is above {threshold:.2f} for {above:,.0f} of {units:,.0f} units: leaving one out changes the posterior "
        "too much for its draws to stand for the other. Draw more, or fit without them."
        if above
        else f"Pareto k is at most {threshold:.2f} for all {units:,.0f} units."
    )
    kept = {name: posterior.attrs[name] for name in ("model", "outcome", _FINGERPRINT) if name in posterior.attrs}
    result.attrs = {**kept, "draws": draws, "sentence": sentence}
    return result


def _sum_over_units(per_unit: xr.DataArray, n: xr.DataArray) -> tuple[float, float]:
    """Sum over units, and its standard error sqrt(N var): NaN where a unit's is."""
    units = float(n.sum())
    total = float((per_unit * n).where(n > 0, 0.0).sum(skipna=False))
    squares = float(((per_unit - total / units) ** 2 * n).where(n > 0, 0.0).sum(skipna=False))
    return total, float(np.sqrt(squares))


def _same_units(left: xr.Dataset, right: xr.Dataset) -> bool:
    """Whether both have the same numbers of units in the same cells."""
    if left[N].dims != right[N].dims:
        return False
    try:
        one, other = xr.align(left[N], right[N], join="exact")
    except ValueError:
        return False
    return bool((one == other).all())
