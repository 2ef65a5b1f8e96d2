"""Would the fitted model have made these data? Replicated rates of every cell, and their spread over segments."""

from typing import Final

import numpy as np
import xarray as xr
from scipy.special import bdtr, bdtrc

from bayesuplift.data.cells import Cells
from bayesuplift.data.checks import Check
from bayesuplift.dims import ARM, CHAIN, DRAW, SEGMENT, TOTAL, N
from bayesuplift.errors import ArgumentError, PosteriorError
from bayesuplift.posterior.schema import mean_outcome

# Family-wise over cells: under a true model one analysis in a hundred sees a cell, or a spread, called unlikely.
_UNLIKELY: Final = 0.01
_DRAWS: Final = 2000


def predictive_check(posterior: xr.DataTree, cells: Cells, *, seed: int) -> tuple[Check, ...]:
    """Compare the conversion rate of every cell, and the spread over segments, with what the posterior predicts.

    A posterior with one rate an arm predicts the same rate in every segment: it may be right for the average and wrong for
    each of them. That is what the second check shows.

    Parameters
    ----------
    posterior
        A posterior of a binary outcome over (arm) or over the same (segment, arm).
    cells
        The observed cells, ([segment], arm).
    seed
        Seed of the replications.

    Returns
    -------
    tuple of Check
        "cell_rates": of each cell P(replicated total at least, at most, the observed one), exact given each draw, the
        smaller of both doubled (mid-p), Bonferroni over cells. With segments also "spread_over_segments":
        P(T(replicated) >= T(observed)) for T = sum over cells of n (rate - rate of the arm)^2 / (p (1 - p)), p the arm's
        predicted rate: Gelman et al. (2013), BDA3, section 6.3. The first fails below .01, the second below .01 and
        above .99.

    Raises
    ------
    ArgumentError
        The outcome is not binary.
    PosteriorError
        The posterior's arms or segments are not those of the cells.
    """
    if cells.kind != "binary":
        raise ArgumentError(f"the predictive check is for binary outcomes; {cells.outcome!r} is {cells.kind}")
    n, total = cells.statistics[N], cells.statistics[TOTAL]
    rates = _thinned(mean_outcome(posterior), n)
    checks = [_cell_rates(rates, total, n)]
    if SEGMENT in n.dims:
        generator = np.random.Generator(np.random.PCG64(seed))
        replicated = rates.copy(data=generator.binomial(n.values, rates.values))
        checks.append(_spread(replicated, total, n, rates))
    return tuple(checks)


def _thinned(draws: xr.DataArray, n: xr.DataArray) -> xr.DataArray:
    """At most 2,000 draws of the rate of every cell, (sample, [segment], arm), segments alike where the model has none."""
    if set(map(str, draws[ARM].values)) != set(map(str, n[ARM].values)):
        raise PosteriorError("the posterior's arms are not those of the cells")
    if SEGMENT in draws.dims and (
        SEGMENT not in n.dims or set(map(str, draws[SEGMENT].values)) != set(map(str, n[SEGMENT].values))
    ):
        raise PosteriorError("the posterior's segments are not those of the cells")
    stacked = draws.stack(sample=(CHAIN, DRAW), create_index=False)
    every = stacked.sizes["sample"]
    kept = stacked.isel(sample=np.linspace(0, every - 1, min(every, _DRAWS)).astype(int)).reset_coords(drop=True)
    labels = n.coords
    kept = kept.sel({dim: n[dim] for dim in n.dims if dim in kept.dims})
    return kept.broadcast_like(n).transpose("sample", *n.dims).assign_coords(labels)


def _cell_rates(rates: xr.DataArray, total: xr.DataArray, n: xr.DataArray) -> Check:
    """Exact binomial tails at every draw, averaged: no replication can run out of digits here."""
    below = xr.apply_ufunc(bdtr, total - 1.0, n, rates).where(total > 0, 0.0)
    above = xr.apply_ufunc(bdtrc, total, n, rates).where(total < n, 0.0)
    middle = (1.0 - below - above) / 2
    tail = np.minimum((below + middle).mean("sample"), (above + middle).mean("sample"))
    p = np.minimum(2 * tail, 1.0).where(n > 0, 1.0)  # a cell with nobody in it contradicts nothing
    count = int((n > 0).sum())
    place = p.isel(p.argmin(...))
    worst = {str(dim): str(place[dim].item()) for dim in n.dims}
    adjusted = min(float(p.min()) * count, 1.0)
    passed = adjusted >= _UNLIKELY
    where = ", ".join(worst.values())
    sentence = (
        f"Every cell's rate is as the model predicts (smallest p {adjusted:.3f}, adjusted for {count} cells, at {where})."
        if passed
        else f"The model does not predict the rate at {where} (p {adjusted:.1e}, adjusted for {count} cells)."
    )
    return Check(
        name="cell_rates",
        passed=passed,
        facts={"cells": count, "adjusted_p": adjusted, "worst": worst},
        sentence=sentence,
    )


def _spread(replicated: xr.DataArray, total: xr.DataArray, n: xr.DataArray, rates: xr.DataArray) -> Check:
    """Discrepancy between segments, of the data and of each replication against its own draw."""
    units = n.sum(SEGMENT)
    arm_rate = (rates * n).sum(SEGMENT) / units.where(units > 0)
    scale = arm_rate * (1 - arm_rate)

    def discrepancy(totals: xr.DataArray) -> xr.DataArray:
        rate = totals / n.where(n > 0)
        mean = totals.sum(SEGMENT) / units.where(units > 0)
        return (n * (rate - mean) ** 2 / scale).sum([SEGMENT, ARM])

    observed, simulated = discrepancy(total), discrepancy(replicated)
    p = float((simulated >= observed).mean())
    passed = p >= _UNLIKELY and p <= 1.0 - _UNLIKELY
    ratio = float(observed.mean() / simulated.mean())
    draws = replicated.sizes["sample"]
    shown = f"p {p:.3f}" if p > 0 else f"p < {1 / draws:.4f}"
    sentence = (
        f"Rates vary over segments as the model predicts ({shown})."
        if passed
        else f"Rates vary over segments {ratio:.1f} times as much as the model predicts ({shown})."
    )
    facts = {"p": p, "ratio": ratio, "replications": draws}
    return Check(name="spread_over_segments", passed=passed, facts=facts, sentence=sentence)
