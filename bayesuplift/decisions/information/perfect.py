"""What knowing every effect would be worth before deciding: the most that any test can be worth, in money."""

from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from bayesuplift.decisions.information.standing_decision import (
    StandingDecision,
    averaged,
    number_of_units,
    times,
    with_errors,
)
from bayesuplift.dims import CHAIN, DRAW, SEGMENT, N
from bayesuplift.errors import ArgumentError, did_you_mean, listed
from bayesuplift.estimands.places import Places, unit_costs
from bayesuplift.estimands.value import Economics
from bayesuplift.posterior.diagnostics import effective_draws

By = Literal["everybody", "place"]


def perfect_information(
    posterior: xr.DataTree,
    economics: Economics,
    *,
    by: By = "everybody",
    population_size: float | None = None,
    population: Any = None,
    weight: str = N,
) -> xr.Dataset:
    """Expected value of perfect information (EVPI): what knowing every effect before deciding would earn on average.

        everybody:  n (E[max_a g_a] - max_a E[g_a]),                  g the net gain per unit, 0 of the control
        place:      sum_i n_i (E[max_a g_{i,a}] - max_a E[g_{i,a}])

    It is the expected regret of the best decision that can be taken now: no test, however large, is worth more.

    Parameters
    ----------
    posterior
        A tree in the schema of `bayesuplift.posterior.schema`.
    economics
        What an outcome is worth and what arms cost.
    by
        "everybody": one arm is chosen for all. "place": one for every segment, or unit, of the posterior.
    population_size
        Units that the decision is for (for counts with exposure, units of exposure); those of the population if left out.
    population, weight
        As in `target`.

    Returns
    -------
    xarray.Dataset
        `evpi`, money of all units; `evpi_per_unit`; `gain`, what the best decision now is expected to earn beyond treating
        nobody, money of all units; `prob_wrong`, P(another arm than the one chosen now is the best), by place the share of
        units of which that is expected. Each has its Monte Carlo error `_mcse`, 0 where the posterior is exact. By place
        with segments, also `evpi_of_segment` and its error, (segment,), beside `n`, their units: where knowing more would
        be worth most. Attributes: `method`, "exact" or "draws"; for everybody `arm`, the one that is best now.

    Raises
    ------
    PosteriorError, DataError, ColumnNotFoundError
        The tree does not follow the schema, or its segments cannot be weighed.
    ArgumentError
        An argument is outside its range.
    ArmNotFoundError
        A cost names an arm that there is not.

    Notes
    -----
    Howard Raiffa and Robert Schlaifer (1961), Applied Statistical Decision Theory, chapter 4. From draws, the best
    decision now is that of the highest average over the draws: where two are closer than their Monte Carlo error, the value
    is too low by up to that error.
    """
    if by not in get_args(By):
        raise ArgumentError(f"by = {by!r}; expected one of {listed(get_args(By))}.{did_you_mean(by, get_args(By))}")
    decision = StandingDecision.of(posterior, economics, population, weight=weight)
    places = Places.of(posterior, population, weight=weight)
    within = float(places.weight.sum())
    size = within if population_size is None else number_of_units("population_size", population_size)
    if by == "place":
        table = _by_place(places, economics, size / within)
        table.attrs = {"method": "draws"}
    else:
        figures = dict(decision.perfect())
        per_unit, gain = figures.pop("evpi"), decision.expected_gain()
        money = {"evpi": times(per_unit, size), "evpi_per_unit": per_unit, "gain": times(gain, size)}
        table = with_errors({**money, **figures})
        table.attrs = {"method": decision.method, "arm": decision.arm}
    return table.assign_attrs(by=by, n=size, economics=str(economics), outcome=places.outcome, units="money")


def _by_place(places: Places, economics: Economics, scale: float) -> xr.Dataset:
    """The value by place, from one pass over the draws."""
    cost = unit_costs(places, economics)
    share = places.weight / places.weight.sum()
    chains, draws = places.draws
    every = {name: np.zeros(chains * draws) for name in ("evpi", "gain", "prob_wrong")}
    of_segment = np.empty((len(places) if places.dim == SEGMENT else 0, chains * draws))
    for where, effect in places.blocks():
        gain = economics.value_per_outcome * effect - cost[:, None]
        gain = np.concatenate([np.zeros((len(gain), 1, chains * draws)), gain], axis=1)
        best = gain.mean(axis=-1).argmax(axis=-1)
        chosen = np.take_along_axis(gain, best[:, None, None], axis=1)[:, 0]
        regret = gain.max(axis=1) - chosen
        every["evpi"] += scale * places.weight[where] @ regret
        every["gain"] += scale * places.weight[where] @ chosen
        every["prob_wrong"] += share[where] @ (regret > 0)
        if places.dim == SEGMENT:
            of_segment[where] = scale * places.weight[where][:, None] * regret
    labelled = {name: xr.DataArray(places.by_draw(one), dims=(CHAIN, DRAW)) for name, one in every.items()}
    effective = float(effective_draws(labelled["gain"]))
    unseen = float(labelled["gain"].std()) / effective
    figures = {
        "evpi": averaged(labelled["evpi"], unseen),
        "evpi_per_unit": times(averaged(labelled["evpi"], unseen), 1.0 / (scale * float(places.weight.sum()))),
        "gain": averaged(labelled["gain"], 0.0),
        "prob_wrong": averaged(labelled["prob_wrong"], 1.0 / effective),
    }
    table = with_errors(figures)
    if places.dim == SEGMENT:
        regrets = xr.DataArray(places.by_draw(of_segment), dims=(SEGMENT, CHAIN, DRAW))
        found = with_errors({"evpi_of_segment": averaged(regrets, unseen)}, (SEGMENT,))
        table = table.merge(found).assign_coords({**places.coords, N: (SEGMENT, scale * places.weight)})
    return table
