"""Effects by segment or unit, and by groups of segments."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from bayesuplift.data.grid import segments_of
from bayesuplift.data.labels import segment_label
from bayesuplift.dims import ARM, CHAIN, DRAW, SEGMENT, N
from bayesuplift.errors import ArgumentError
from bayesuplift.estimands.population import observed_weights, population_weights
from bayesuplift.estimands.scales import Scale, contrasted, weighted
from bayesuplift.posterior.factors import chosen_factors, factors_of, levels_of, place_of
from bayesuplift.posterior.schema import mean_outcome, validate


def cate(posterior: xr.DataTree, *, scale: Scale = "difference") -> xr.DataArray:
    """Effect of each arm against the control in every segment, or for every unit: (chain, draw, segment | unit, arm).

    Parameters
    ----------
    posterior
        A tree in the schema of `bayesuplift.posterior.schema`, over segments or units.
    scale
        "difference" mu_a - mu_0 (outcome units), "relative" mu_a / mu_0 - 1, or "mean_outcome" mu_a (outcome units; of a
        binary outcome the probability).

    Returns
    -------
    xarray.DataArray
        All arms but the control; on the scale "mean_outcome" all arms. Factors stay coordinates, beside `n`, the weight of
        each segment (units in all arms; exposure for counts) where the posterior holds it. Attributes `scale`, `outcome`,
        `control`, `arms`, `units`, and `pooled`, over what the model pooled.

    Raises
    ------
    PosteriorError
        The tree does not follow the schema.
    ArgumentError
        No such scale; no segments and no units; or a relative effect where the control's mean outcome is not positive in
        some draw.
    """
    validate(posterior)
    draws = mean_outcome(posterior)
    if place_of(draws) is None:
        raise ArgumentError(
            "the posterior has one mean outcome an arm, and neither segments nor units that effects could differ between; "
            "its average effect is ate(posterior)"
        )
    return weighted(contrasted(posterior, draws, scale), observed_weights(posterior, draws))


def gate(
    posterior: xr.DataTree,
    *,
    by: str | Iterable[str],
    scale: Scale = "difference",
    population: Any = None,
    weight: str = N,
) -> xr.DataArray:
    """Effect of each arm against the control in groups of segments: (chain, draw, segment, arm).

        mu_{g,a} = sum_{s in g} w_s mu_{s,a} / sum_{s in g} w_s,     then contrasted

    Mean outcomes are averaged first: a relative effect is the ratio of averages, not the average of ratios.

    Parameters
    ----------
    posterior
        A tree over segments that are made of factors; or over units with factors as coordinates.
    by
        One factor or several. One called like a word of ours ("segment") may be written so, or "factor_segment".
    scale
        As in `cate`.
    population
        None for the observed units, or a table of weights to post-stratify to: see `ate`.
    weight
        The table's column of weights.

    Returns
    -------
    xarray.DataArray
        The dimension is called `segment` again; its labels are "channel=Phone, newbie=0" in natural order, the factors stay
        coordinates, and `n` is each group's weight. A group that nobody of the population is in has no average: it is left
        out, and the attribute `left_out` names it.

    Raises
    ------
    FactorNotFoundError
        There is no such factor.
    PosteriorError, ArgumentError, DataError, ColumnNotFoundError
        As `ate`.
    """
    validate(posterior)
    draws = mean_outcome(posterior)
    kept = chosen_factors(by, factors_of(draws))
    place = place_of(draws)
    weights = population_weights(posterior, draws, population, weight=weight).to_numpy()
    coordinates, position = segments_of(levels_of(draws, kept), draws.sizes[place])
    n = np.bincount(position, weights=weights)
    names = [segment_label(dict(zip(kept, row, strict=True))) for row in zip(*coordinates.values(), strict=True)]
    groups = np.flatnonzero(n > 0)
    values = draws.transpose(CHAIN, DRAW, place, ARM).to_numpy()
    averaged = np.empty((*values.shape[:2], len(groups), values.shape[3]))
    for i, group in enumerate(groups):  # one by one: a matrix of groups and units would be larger than the draws
        members = np.flatnonzero((position == group) & (weights > 0))
        averaged[:, :, i] = np.tensordot(values[:, :, members], weights[members] / n[group], axes=([2], [0]))
    means = xr.DataArray(
        averaged,
        dims=(CHAIN, DRAW, SEGMENT, ARM),
        coords={
            **{name: draws.coords[name] for name in (CHAIN, DRAW) if name in draws.coords},
            SEGMENT: [names[group] for group in groups],
            ARM: draws[ARM],
            **{factor: (SEGMENT, [column[group] for group in groups]) for factor, column in coordinates.items()},
        },
    )
    effect = contrasted(posterior, means, scale).assign_coords({N: (SEGMENT, n[groups])})
    left_out = [name for name, there in zip(names, n, strict=True) if not there > 0]
    if left_out:
        effect.attrs["left_out"] = "nobody in " + "; ".join(left_out)
    return effect
