"""The fit of a causal forest: from units to the groups of a posterior, and from stored trees to new units."""

import sys
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import ndtr
from tqdm import tqdm

from bayesuplift.data.coding import Coding
from bayesuplift.data.unit_table import coded_units
from bayesuplift.data.units import Units
from bayesuplift.dims import (
    ARM,
    CHAIN,
    COVARIATE,
    DRAW,
    FORESTS,
    MEAN_OUTCOME,
    POSTERIOR,
    SAMPLE_STATS,
    TREATMENT,
    UNIT,
)
from bayesuplift.errors import PosteriorError
from bayesuplift.inference.forest.draws import ForestDraws
from bayesuplift.inference.forest.run import Sampler
from bayesuplift.inference.session import jax_session
from bayesuplift.inference.thinning import KEPT_ONE_IN, check_fits, one_in
from bayesuplift.priors import ForestPrior
from bayesuplift.spec import ModelSpec

PROPENSITY: Final = "propensity"
"""Column of the table of new units that holds P(treatment | covariates), where the fit had one."""


def sample(
    spec: ModelSpec,
    units: Units,
    prior: ForestPrior,
    *,
    seed: int,
    chains: int,
    draws: int,
    warmup: int,
    progress: bool | None,
) -> dict[str, xr.Dataset]:
    """Draw from the posterior by Gibbs sampling; an interrupt from the keyboard keeps what all chains had drawn by then.

    Where mean outcomes of all draws at all units would take more than 1 GB, one draw in so many is kept, trees included.

    Returns
    -------
    dict
        The groups `posterior`: `mean_outcome` (float32), `average_effect` over the units, `sd` of the noise where the
        outcome is not binary, and how many decisions of each draw's trees ask for each covariate; `sample_stats`; and
        `forests`, which `predicted_by_trees` reads.
    """
    rows = spec.program(units, prior=prior)
    every = one_in(chains, draws, {UNIT: len(rows.outcome), ARM: len(units.design.arms)})
    hidden = None if progress is None else not progress
    with jax_session(), tqdm(total=chains * (warmup + draws), desc="sampling", disable=hidden, file=sys.stderr) as bar:
        sampler = Sampler(rows, prior, seed=seed, chains=chains)
        sampler.burn_in(warmup, bar.update)
        kept = sampler.draw(draws // every, thin=every, progress=bar.update)
    index = {CHAIN: np.arange(kept.shape[0]), DRAW: np.arange(kept.shape[1])}
    assert kept.prognostic_at_rows is not None
    assert kept.effect_at_rows is not None
    means = _by_arm(kept, kept.prognostic_at_rows, kept.effect_at_rows)
    average = means.mean(axis=2, dtype=np.float64)
    posterior = xr.Dataset(
        {
            MEAN_OUTCOME: ((CHAIN, DRAW, UNIT, ARM), means),
            "average_effect": ((CHAIN, DRAW, TREATMENT), average[..., 1:] - average[..., :1]),
            **({} if kept.binary else {"sd": ((CHAIN, DRAW), kept.sigma)}),
            **_inclusion(kept, units),
        },
        coords={**index, **units.labels, TREATMENT: list(units.design.treatments), COVARIATE: list(units.coding.names)},
    )
    stats = xr.Dataset(
        {"acceptance_rate": ((CHAIN, DRAW), kept.acceptance)},
        coords=index,
        attrs={KEPT_ONE_IN: every} if every > 1 else {},
    )
    return {POSTERIOR: posterior, SAMPLE_STATS: stats, FORESTS: kept.to_dataset()}


def predicted_by_trees(posterior: xr.DataTree, units: Any, *, unit: str | None) -> tuple[xr.Dataset, dict[str, int]]:
    """Mean outcome (chain, draw, unit, arm), float32, of a table's units, from the stored trees, and their number.

    Parameters
    ----------
    posterior
        From a model of forests.
    units
        A path or any dataframe with the covariates of the fit; and `propensity` where the fit had one.
    unit
        Column that names the unit.

    Raises
    ------
    PosteriorError
        The posterior lacks its trees, or how covariates were coded.
    ArgumentError
        There are so many units that their draws would take more than 2 GB.
    ColumnNotFoundError, DataError
        As `coded_units`.
    """
    if FORESTS not in posterior.children or "coding" not in posterior.attrs:
        raise PosteriorError("the posterior lacks its group 'forests', or how its covariates were coded; fit it again")
    kept = ForestDraws.from_dataset(posterior[FORESTS].to_dataset())
    coding = Coding.from_json(posterior.attrs["coding"])
    with_propensity = len(kept.prognostic_cuts.number) > len(coding.columns)
    labels, columns, propensity = coded_units(
        units, coding, unit=unit, propensity=PROPENSITY if with_propensity else None
    )
    draws = posterior[POSTERIOR].to_dataset()
    check_fits(len(labels), kept.average.size * draws.sizes[ARM])
    prognostic = columns if propensity is None else np.column_stack([columns, propensity])
    found = _by_arm(kept, kept.prognostic_at(prognostic), kept.effect_at(columns))
    coords = {**{name: draws[name] for name in (CHAIN, DRAW, ARM)}, UNIT: labels}
    predicted = xr.Dataset({MEAN_OUTCOME: ((CHAIN, DRAW, UNIT, ARM), found)}, coords=coords)
    return predicted, {"predicted_units": len(labels)}


def _by_arm(kept: ForestDraws, level: NDArray[np.float32], effect: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean outcome (chain, draw, unit, arm), the control first, from mu and tau, (chain, draw, unit) each."""
    found = np.empty((*level.shape, 2), dtype=np.float32)
    found[..., 0] = level - np.float32(kept.centre) * effect
    found[..., 1] = found[..., 0] + effect
    return ndtr(found, out=found) if kept.binary else found


def _inclusion(kept: ForestDraws, units: Units) -> dict[str, tuple[tuple[str, ...], NDArray[np.int64]]]:
    """Decisions of each draw by the covariate that they ask for; of the propensity, where it is there, apart."""
    count = len(units.coding.columns)
    prognostic = kept.prognostic.decisions_by_column(kept.prognostic_cuts.varying, len(kept.prognostic_cuts.number))
    effect = kept.effect.decisions_by_column(kept.effect_cuts.varying, count)
    over: tuple[str, ...] = (CHAIN, DRAW, COVARIATE)
    found = {"prognostic_inclusion": (over, prognostic[..., :count]), "effect_inclusion": (over, effect)}
    if prognostic.shape[-1] > count:
        return found | {"propensity_inclusion": ((CHAIN, DRAW), prognostic[..., count])}
    return found
