"""Parts of predictive checks: draws matched with cells, tails averaged over draws, and the two forms of a check."""

from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import betainc, betaincc, chdtrc

from bayesuplift.data.cells import Cells
from bayesuplift.data.checks import Check
from bayesuplift.dims import ARM, CHAIN, DRAW, MEAN_OUTCOME, POSTERIOR, SEGMENT, N
from bayesuplift.errors import PosteriorError, listed
from bayesuplift.posterior.schema import mean_outcome

SAMPLE: Final = "sample"
# Family-wise over cells: under a true model one analysis in a hundred sees a cell, or a spread, called unlikely.
UNLIKELY: Final = 0.01
_DRAWS: Final = 2000
_WIDE: Final = 20.0

Tails = tuple[xr.DataArray, xr.DataArray]
"""P(replicated < observed) and P(replicated > observed) at every draw."""


def matched(posterior: xr.DataTree, cells: Cells, sites: tuple[str, ...]) -> xr.Dataset:
    """At most 2,000 draws of each site for every cell, (sample, [segment], arm); segments alike where the model has none.

    Raises
    ------
    PosteriorError
        A site is not in the posterior or not by cell, or its arms or segments are not those of the cells.
    """
    group = posterior[POSTERIOR].to_dataset()
    absent = [site for site in sites if site not in group]
    if absent:
        raise PosteriorError(
            f"to be checked against {cells.kind} outcomes, the posterior needs draws of {listed(sites)}; it lacks "
            f"{listed(absent)}. Name them so, over (chain, draw, [segment], arm), beside mean_outcome."
        )
    n = cells.statistics[N]
    return xr.Dataset(
        {site: _of_cells(mean_outcome(posterior) if site == MEAN_OUTCOME else group[site], n) for site in sites}
    )


def _of_cells(draws: xr.DataArray, n: xr.DataArray) -> xr.DataArray:
    if not {CHAIN, DRAW, ARM} <= set(draws.dims) <= {CHAIN, DRAW, SEGMENT, ARM}:
        raise PosteriorError(
            f"{draws.name} has dimensions {listed(draws.dims)}; expected chain, draw, [segment], arm to be checked by cell"
        )
    if set(map(str, draws[ARM].values)) != set(map(str, n[ARM].values)):
        raise PosteriorError("the posterior's arms are not those of the cells")
    if SEGMENT in draws.dims and (
        SEGMENT not in n.dims or set(map(str, draws[SEGMENT].values)) != set(map(str, n[SEGMENT].values))
    ):
        raise PosteriorError("the posterior's segments are not those of the cells")
    stacked = draws.astype(np.float64).stack({SAMPLE: (CHAIN, DRAW)}, create_index=False)
    every = stacked.sizes[SAMPLE]
    kept = stacked.isel({SAMPLE: np.linspace(0, every - 1, min(every, _DRAWS)).astype(int)}).reset_coords(drop=True)
    kept = kept.sel({dim: n[dim] for dim in n.dims if dim in kept.dims})
    return kept.broadcast_like(n).transpose(SAMPLE, *n.dims).assign_coords(n.coords)


def binomial_tails(
    trials: NDArray[np.float64], chance: NDArray[np.float64], observed: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """P(X < x) and P(X > x) of a binomial count, whose number of trials need not be whole."""
    trials, chance, observed = np.broadcast_arrays(trials, chance, observed)
    inside = np.clip(observed, 1.0, None)
    below = np.where(observed - 1.0 >= trials, 1.0, betaincc(inside, np.maximum(trials - inside + 1.0, 1e-12), chance))
    room = trials - observed
    above = np.where(room > 0, betainc(observed + 1.0, np.where(room > 0, room, 1.0), chance), 0.0)
    return np.where(observed > 0, below, 0.0), above


def bernoulli_sum_tails(
    n: NDArray[np.float64], powers: NDArray[np.float64], observed: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """P(X < x) and P(X > x) of a sum of n events with a chance p each, from sums (3, ...) of p, p^2 and p^3.

    Where the variance is 20 or more, the binomial that is moved to have the same mean, variance and third moment stands
    for the sum; it is the sum where chances are one. Below, where the range of that binomial may end before the sum's
    does, the binomial of n events with the mean chance does: farther than 1 from the mean its tails are never smaller
    than the sum's, Hoeffding (1956), On the distribution of the number of successes in independent trials, Annals of
    Mathematical Statistics 27(3), theorem 4.
    """
    mean, squares, cubes = powers
    variance = mean - squares
    wide = variance >= _WIDE
    leaning = np.where(wide, mean - 3.0 * squares + 2.0 * cubes, 0.0) / np.where(wide, variance, 1.0)
    chance = (1.0 - leaning) / 2.0
    trials = variance / (chance * (1.0 - chance))
    moved = np.where(wide, mean - trials * chance, 0.0)
    chance = np.where(wide, chance, mean / np.maximum(n, 1.0))
    return binomial_tails(np.where(wide, trials, n), np.clip(chance, 0.0, 1.0), observed - moved)


def mixed_binomial_tails(
    trials: NDArray[np.float64], chance: NDArray[np.float64], observed: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """P(X < x) and P(X > x) of a sum of binomial counts with different chances (sample, group): `bernoulli_sum_tails`."""
    powers = np.stack([(trials * chance**power).sum(axis=-1) for power in (1, 2, 3)])
    return bernoulli_sum_tails(np.asarray(trials.sum()), powers, np.asarray(observed, dtype=np.float64))


def cellwise(
    name: str,
    tails: Tails,
    counted: xr.DataArray,
    *,
    noun: str,
    unit: str = "cell",
    facts: dict[str, float] | None = None,
) -> Check | None:
    """Two-sided p-value of every cell, Bonferroni over those counted; None where none is.

    The tails are exact given each draw and averaged over draws: no replication can run out of digits. The smaller one is
    doubled, with half the probability of the observed value itself (mid-p).
    """
    count = int(counted.sum())
    if count == 0:
        return None
    below, above = tails
    middle = (1.0 - below - above) / 2
    tail = np.minimum((below + middle).mean(SAMPLE), (above + middle).mean(SAMPLE))
    p = np.minimum(2 * tail, 1.0).where(counted, 1.0)  # a cell with nobody in it contradicts nothing
    place = p.isel(p.argmin(...))
    worst = {str(dim): str(place[dim].item()) for dim in counted.dims}
    adjusted = min(float(p.min()) * count, 1.0)
    passed = adjusted >= UNLIKELY
    where = ", ".join(worst.values())
    few = f"adjusted for {count} {unit}s"
    sentence = (
        f"Every {unit}'s {noun} is as the model predicts (smallest p {adjusted:.3f}, {few}, at {where})."
        if passed
        else f"The model does not predict the {noun} at {where} (p {adjusted:.1e}, {few})."
    )
    every = {f"{unit}s": count, "adjusted_p": adjusted, "worst": worst, **(facts or {})}
    return Check(name=name, passed=passed, facts=every, sentence=sentence)


def spread_check(name: str, p: float, ratio: float, *, noun: str, draws: int, resolved: bool) -> Check:
    """Whether segments differ as much as predicted: fails below .01 and above .99.

    Parameters
    ----------
    name, noun
        What varies over segments.
    p
        P(T(replicated) >= T(observed)).
    ratio
        Observed over expected T.
    draws
        Replications or draws behind p.
    resolved
        Whether p is an average of exact tails; a share of replications cannot be told from 0 below 1 / draws.
    """
    passed = UNLIKELY <= p <= 1.0 - UNLIKELY
    shown = f"p {p:.3f}" if p >= UNLIKELY else f"p {p:.1e}" if resolved or p > 0 else f"p < {1 / draws:.4f}"
    sentence = (
        f"{noun} vary over segments as the model predicts ({shown})."
        if passed
        else f"{noun} vary over segments {ratio:.1f} times as much as the model predicts ({shown})."
    )
    return Check(name=name, passed=passed, facts={"p": p, "ratio": ratio, "replications": draws}, sentence=sentence)


def replicated_spread(
    name: str,
    observed: xr.DataArray,
    replicated: xr.DataArray,
    base: xr.DataArray,
    scale: xr.DataArray,
    *,
    noun: str,
) -> Check:
    """T = sum over cells of base (level - level of the arm)^2 / scale, of the data and of each draw's own replication.

    Gelman et al. (2013), BDA3, section 6.3. A level is a total over its base, the units or their exposure; the scale is
    the variance of one unit of the base, by draw and arm.
    """
    every = base.sum(SEGMENT)

    def discrepancy(totals: xr.DataArray) -> xr.DataArray:
        level = totals / base.where(base > 0)
        of_arm = totals.sum(SEGMENT) / every.where(every > 0)
        return (base * (level - of_arm) ** 2 / scale).sum([SEGMENT, ARM])

    seen, simulated = discrepancy(observed), discrepancy(replicated)
    expected = float(simulated.mean())
    ratio = float(seen.mean()) / expected if expected > 0 else 1.0
    p = float((simulated >= seen).mean())
    return spread_check(name, p, ratio, noun=noun, draws=replicated.sizes[SAMPLE], resolved=False)


def exact_spread(
    name: str, residual: xr.DataArray, precision: xr.DataArray, counted: xr.DataArray, *, noun: str
) -> Check | None:
    """The same of normal levels, without replications: None where no arm has two segments with anybody.

    T = sum over cells of w (r - r of the arm)^2 is chi-square at every draw, with a degree of freedom for each cell but
    one of every arm: r is the level less its expectation, w its precision.
    """
    weight = precision.where(counted, 0.0)
    residual = residual.where(counted, 0.0)
    total = weight.sum(SEGMENT)
    of_arm = (weight * residual).sum(SEGMENT) / total.where(total > 0, 1.0)
    degrees = int(counted.sum()) - int(counted.any(SEGMENT).sum())
    if degrees < 1:
        return None
    found = (weight * (residual - of_arm) ** 2).sum([SEGMENT, ARM])
    p = float(chdtrc(degrees, found.to_numpy()).mean())
    ratio = float(found.mean()) / degrees
    return spread_check(name, p, ratio, noun=noun, draws=found.sizes[SAMPLE], resolved=True)
