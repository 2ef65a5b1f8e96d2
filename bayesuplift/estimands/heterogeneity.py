"""How much effects differ between segments, and whether the data or the prior say so."""

from typing import Any, Final

import numpy as np
import xarray as xr
from scipy.special import logit

from bayesuplift.dims import ARM, CHAIN, DRAW, N
from bayesuplift.errors import ArgumentError, is_finite_number, listed
from bayesuplift.estimands.population import population_weights
from bayesuplift.estimands.scales import contrasted
from bayesuplift.estimands.summary import equal_tails
from bayesuplift.posterior.diagnostics import effective_draws, event_error, monte_carlo_error, quantile_error
from bayesuplift.posterior.factors import place_of
from bayesuplift.posterior.schema import arms, mean_outcome, validate

_SHARE: Final = 0.1
_SPREAD, _AVERAGE = "spread", "average"


def effect_spread(posterior: xr.DataTree, *, population: Any = None, weight: str = N) -> xr.DataArray:
    """Spread of the effects over the population, in every draw: (chain, draw, arm), outcome units.

        sqrt( sum_s w_s (tau_{s,a} - tau_a)^2 ),     tau_a = sum_s w_s tau_{s,a},     weights summing to one

    Parameters
    ----------
    posterior
        A tree over segments or units.
    population, weight
        As in `ate`.

    Returns
    -------
    xarray.DataArray
        All arms but the control; of differences of mean outcomes.

    Raises
    ------
    ArgumentError
        The posterior has neither segments nor units.
    PosteriorError, DataError, ColumnNotFoundError
        As `ate`.
    """
    validate(posterior)
    return _spread(posterior, _weights(posterior, population, weight))[_SPREAD]


def heterogeneity(
    posterior: xr.DataTree,
    *,
    prior: xr.DataTree | None = None,
    population: Any = None,
    weight: str = N,
    negligible: float | None = None,
    prob: float = 0.95,
) -> xr.Dataset:
    """Summarize the spread of effects by arm, and whether they are practically alike.

    Parameters
    ----------
    posterior
        A tree over segments or units.
    prior
        Draws of the same model before it saw data, in the same layout; with it, what the data added can be told from what
        the prior put in: a spread is never negative, so that its posterior mean is above 0 without any difference.
    population, weight
        As in `ate`; the same weights serve posterior and prior.
    negligible
        Spread, in outcome units, below which effects are practically alike. None for a tenth of the average effect,
        |tau_a| / 10, of each draw.
    prob
        Mass of the equal-tailed credible interval.

    Returns
    -------
    xarray.Dataset
        Over (arm,), all but the control: `spread` (posterior mean, outcome units) with `spread_mcse`, `spread_lower` and
        `spread_upper` (with `_mcse`), and `prob_negligible`, P(spread < negligible), with `prob_negligible_mcse`. With
        `prior` the same named `prior_…`, and

            bayes_factor = posterior odds of a negligible spread / its prior odds

        with `bayes_factor_mcse` (delta method). Where no draw, or every draw, is negligible, odds are not known: one in the
        effective number of draws takes the place of the missing ones, `bayes_factor_bound` says "at most" or "at least",
        and the error is NaN. Where posterior and prior both leave it open, the factor is NaN and the bound "unknown".

    Raises
    ------
    ArgumentError
        No segments or units, an option outside its range, or a prior of other arms or segments.
    PosteriorError, DataError, ColumnNotFoundError
        As `ate`.

    Notes
    -----
    The ratio of odds is the Bayes factor of "the spread is negligible" against "it is not", both under the model's own
    prior confined to them (Klugkist and Hoijtink, 2007, The Bayes factor for inequality and about equality constrained
    models, Computational Statistics & Data Analysis 51, section 2). It depends on the prior of the spread, as it has to.
    """
    validate(posterior)
    tails = equal_tails(prob)
    if negligible is not None and not (is_finite_number(negligible) and negligible > 0):
        raise ArgumentError(
            f"negligible = {negligible!r}; give a positive spread in outcome units, or None for a tenth"
        )
    weights = _weights(posterior, population, weight)
    table, odds = _summary(_spread(posterior, weights), negligible, tails)
    if prior is not None:
        validate(prior)
        _check_same(posterior, prior)
        before, prior_odds = _summary(_spread(prior, weights), negligible, tails)
        table = table.assign({f"prior_{name}": values for name, values in before.items()})
        table = table.assign(_bayes_factor(table, odds, prior_odds))
    table.attrs = {
        "outcome": str(posterior.attrs.get("outcome", "the outcome")),
        "control": str(posterior.attrs["control"]),
        "prob": prob,
        "negligible": "a tenth of the average effect" if negligible is None else float(negligible),
    }
    return table


def _weights(posterior: xr.DataTree, population: Any, weight: str) -> xr.DataArray:
    """Weights that sum to one, over segments or units."""
    draws = mean_outcome(posterior)
    if place_of(draws) is None:
        raise ArgumentError(
            "the posterior has one mean outcome an arm, and neither segments nor units that effects could differ between"
        )
    weights = population_weights(posterior, draws, population, weight=weight)
    return weights / weights.sum()


def _spread(posterior: xr.DataTree, weights: xr.DataArray) -> xr.Dataset:
    """Spread of the effects and their average, (chain, draw, arm)."""
    effect = contrasted(posterior, mean_outcome(posterior), "difference")
    attributes, place = effect.attrs, str(weights.dims[0])
    average = (effect * weights).sum(place)
    spread = ((effect - average) ** 2 * weights).sum(place) ** 0.5
    return xr.Dataset(
        {
            _SPREAD: spread.transpose(CHAIN, DRAW, ARM).assign_attrs(attributes),
            _AVERAGE: average.transpose(CHAIN, DRAW, ARM),
        }
    )


def _summary(
    found: xr.Dataset, negligible: float | None, tails: tuple[float, float]
) -> tuple[xr.Dataset, tuple[xr.DataArray, xr.DataArray]]:
    """Numbers of the spread by arm; and the log odds of a negligible one, with the probability that no draw can show."""
    spread = found[_SPREAD]
    limit = _SHARE * abs(found[_AVERAGE]) if negligible is None else negligible
    table = xr.Dataset({_SPREAD: spread.mean((CHAIN, DRAW)), f"{_SPREAD}_mcse": monte_carlo_error(spread)})
    for name, q in zip(("lower", "upper"), tails, strict=True):
        table[f"{_SPREAD}_{name}"] = spread.quantile(q, (CHAIN, DRAW)).drop_vars("quantile")
        table[f"{_SPREAD}_{name}_mcse"] = quantile_error(spread, q)
    event = (spread < limit).astype(np.float64)
    unseen = 1.0 / effective_draws(spread)
    table["prob_negligible"] = event.mean((CHAIN, DRAW))
    table["prob_negligible_mcse"] = event_error(event, unseen)
    for values in table.values():
        values.attrs = {}
    likely = table["prob_negligible"].clip(unseen, 1.0 - unseen)
    return table, (xr.apply_ufunc(logit, likely), table["prob_negligible_mcse"] / (likely * (1.0 - likely)))


def _bayes_factor(
    table: xr.Dataset, odds: tuple[xr.DataArray, xr.DataArray], prior_odds: tuple[xr.DataArray, xr.DataArray]
) -> dict[str, xr.DataArray]:
    """Posterior odds over prior odds, with error, or as a bound."""
    after, before = table["prob_negligible"], table["prior_prob_negligible"]
    at_most, at_least = (after == 0) | (before == 1), (after == 1) | (before == 0)
    known = ~(at_most | at_least)
    factor = xr.apply_ufunc(np.exp, odds[0] - prior_odds[0]).where(~(at_most & at_least))
    bound = xr.full_like(factor, "", dtype="<U8")
    for where, word in ((at_most, "at most"), (at_least, "at least"), (at_most & at_least, "unknown")):
        bound = bound.where(~where, word)
    error = (factor * xr.apply_ufunc(np.hypot, odds[1], prior_odds[1])).where(known)
    return {"bayes_factor": factor, "bayes_factor_mcse": error, "bayes_factor_bound": bound}


def _check_same(posterior: xr.DataTree, prior: xr.DataTree) -> None:
    """Refuse a prior of other arms, another control or other segments: xarray would compare what both have."""
    if set(arms(posterior)) != set(arms(prior)) or posterior.attrs["control"] != prior.attrs["control"]:
        raise ArgumentError(
            f"the prior has arms {listed(arms(prior))}, control {prior.attrs['control']}; the posterior has "
            f"{listed(arms(posterior))}, control {posterior.attrs['control']}"
        )
    here, there = mean_outcome(posterior), mean_outcome(prior)
    place = place_of(here)
    assert place is not None
    if place_of(there) != place or sorted(map(str, here[place].to_numpy())) != sorted(
        map(str, there[place].to_numpy())
    ):
        found = "no such dimension" if place_of(there) != place else listed(there[place].to_numpy(), 3)
        raise ArgumentError(f"the prior has other {place}s than the posterior: {found}; draw it for the same {place}s")
