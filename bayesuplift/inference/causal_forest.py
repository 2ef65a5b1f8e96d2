"""The fit of a causal forest: from units to the groups of a posterior, and from stored trees to new units."""

import hashlib
import sys
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from bayesuplift.data.coding import Coding
from bayesuplift.data.labels import segment_label
from bayesuplift.data.unit_table import CodedUnits
from bayesuplift.data.units import Units
from bayesuplift.dims import (
    ALTERNATIVES,
    ARM,
    CHAIN,
    COVARIATE,
    DRAW,
    FORESTS,
    LEVEL,
    MEAN_OUTCOME,
    OTHER,
    POSITION,
    POSTERIOR,
    SAMPLE_STATS,
    TERM,
    TREATMENT,
    UNIT,
)
from bayesuplift.errors import PosteriorError
from bayesuplift.inference.forest.draws import ForestDraws
from bayesuplift.inference.forest.gathering import Gathered, gathered
from bayesuplift.inference.forest.run import Progress, Sampler
from bayesuplift.inference.labelled import alternatives
from bayesuplift.inference.session import jax_session
from bayesuplift.inference.thinning import KEPT_ONE_IN, check_fits, one_in
from bayesuplift.inference.unit_predictor import UnitPredictor
from bayesuplift.posterior.diagnostics import diagnose
from bayesuplift.posterior.factors import as_called
from bayesuplift.priors import ForestPrior
from bayesuplift.spec import ModelSpec

SWEEPS: Final = "sweeps_per_draw"
"""Attribute of `sample_stats`: sweeps from one draw to the next."""

SAMPLED_ROWS: Final = "sampled_rows"
"""Attribute of `sample_stats`: rows that the sampler saw; fewer than units where those that are alike were gathered."""

GROWN: Final = 5
"""Sweeps that begin with trees grown from the root, before those of the warm-up."""

# Under each other prior of a sensitivity table, of a chain. Few sweeps are enough to forget the stated one, since the data
# are the same and all leaves are drawn anew in every sweep: benchmarks/forest_other_priors.py sets them beside long fits.
_LEFT_OUT_OF_OTHERS: Final = 50
_DRAWS_OF_OTHERS: Final = 150


def sample(
    spec: ModelSpec,
    units: Units,
    priors: Mapping[str, ForestPrior],
    *,
    seed: int,
    chains: int,
    draws: int,
    warmup: int,
    rounds: int,
    progress: bool | None,
    sensitivity: bool,
    position: xr.Dataset | None = None,
) -> dict[str, xr.Dataset]:
    """Draw from the posterior by Gibbs sampling; an interrupt from the keyboard keeps what all chains had drawn by then.

    Chains begin at trees grown from the root, in `GROWN` sweeps before the warm-up, or where those of another run stood.
    Where mean outcomes of all draws at all units would take more than 1 GB, one draw in so many is kept, trees included.
    Units that are alike are sampled as one row where that leaves the posterior what it is (`gathered`).

    Parameters
    ----------
    spec, units
        What is sampled.
    priors
        The stated prior first, then those of a sensitivity table. The chains go on under each of these from where they end,
        a fraction of the run's length, and averages over the units are all that is kept. An interrupt leaves them out.
    seed, chains, draws, warmup
        Of the run; draws and sweeps before them of each chain.
    rounds
        How often draws that fail a diagnostic may be drawn again: from where the chains are, with twice as many sweeps from
        one to the next.
    progress
        Whether to show a progress bar; None where standard error is a terminal.
    sensitivity
        Whether to draw under the other priors.
    position
        Where the chains of another run stood at its end: they go on from there, with their own random streams.

    Returns
    -------
    dict
        The groups `posterior`: `mean_outcome` (float32), `average_effect` over the units, `sd` of the noise where the
        outcome is not binary (of a unit of precision 1: the attribute `precision` says so where there are any), how many
        decisions of each draw's trees ask for each covariate, what levels of segments add, and the scales of these, of
        effects by treatment, or per unit of dose where arms are doses; `sample_stats`; `forests`, which `tree_predictor`
        reads; `position`; and, with `sensitivity`, `alternatives`.
    """
    stated, *others = priors
    prior = priors[stated]
    others = others if sensitivity else []
    given = gathered(spec.program(units, prior=prior), prior)
    every = one_in(chains, draws, {UNIT: len(units.experiment.outcome), ARM: len(units.design.arms)})
    of_others = min(draws, _DRAWS_OF_OTHERS)
    grown = GROWN if position is None else 0
    total = chains * (grown + warmup + draws + len(others) * (_LEFT_OUT_OF_OTHERS + of_others))
    hidden = None if progress is None else not progress
    with jax_session(), tqdm(total=total, desc="sampling", disable=hidden, file=sys.stderr) as bar:
        sampler = Sampler(given.rows, given.prior_of_rows(prior), seed=seed, chains=chains)
        if position is None:
            sampler.grow(grown, bar.update)
        else:
            sampler.resume({str(name): one.to_numpy() for name, one in position.items()})
        sampler.burn_in(warmup, bar.update)
        apart = 1  # sweeps from one draw to the next, of those that there is room for
        while True:
            kept = sampler.draw(draws // every, thin=apart * every, progress=bar.update)
            posterior = _posterior(kept, units, prior, given)
            if sampler.interrupted or apart == 2 ** (rounds - 1) or _trusted(posterior):
                break
            bar.total += chains * apart * (2 * every * (draws // every) + len(others) * of_others)
            apart *= 2
        drawn: dict[str, NDArray[np.float64]] = {}
        if not sampler.interrupted:
            # averages take no room to speak of: their draws lie apart by what diagnostics asked for alone
            of_rows = {name: given.prior_of_rows(priors[name]) for name in others}
            drawn = _under(sampler, of_rows, of_others, apart, bar.update)
    stats = xr.Dataset(
        {"acceptance_rate": ((CHAIN, DRAW), kept.acceptance)},
        coords={name: posterior[name] for name in (CHAIN, DRAW)},
        attrs={SWEEPS: apart * every, SAMPLED_ROWS: len(given.rows.outcome)}
        | ({KEPT_ONE_IN: every} if every > 1 else {}),
    )
    stands = {
        name: ((CHAIN, *(f"{name}_{k}" for k in range(1, one.ndim))), one) for name, one in sampler.position().items()
    }
    groups = {
        POSTERIOR: posterior,
        SAMPLE_STATS: stats,
        FORESTS: kept.to_dataset(),
        POSITION: xr.Dataset(stands),
    }
    return groups | ({ALTERNATIVES: alternatives(posterior, drawn, priors)} if drawn else {})


def _under(
    sampler: Sampler, priors: Mapping[str, ForestPrior], draws: int, thin: int, progress: Progress
) -> dict[str, NDArray[np.float64]]:
    """Mean outcomes averaged over the units, (chain, draw, arm), under each prior; nothing after an interrupt.

    Weights could not bring the draws under another prior: effects' spread is cut off at twice what is stated, so that no
    draw lies where a wider prior allows more.
    """
    found = {}
    try:
        for place, (name, prior) in enumerate(priors.items()):
            other = sampler.under(prior, stream=place)
            other.burn_in(_LEFT_OUT_OF_OTHERS, progress)
            found[name] = other.averages(draws, thin=thin, progress=progress)
            if other.interrupted:
                return {}
    except KeyboardInterrupt:
        return {}
    return found


def _trusted(posterior: xr.Dataset) -> bool:
    return all(check.passed for check in diagnose(xr.DataTree.from_dict({POSTERIOR: posterior})))


def _posterior(kept: ForestDraws, units: Units, prior: ForestPrior, given: Gathered) -> xr.Dataset:
    """The group `posterior` of draws that were kept at the rows."""
    assert kept.at_rows is not None
    # one effect for all doses has no treatment to be called by
    of_effects = () if prior.coding == "dose" else (TREATMENT,)
    means = given.at_units(kept.by_arm(kept.at_rows))
    average = means.mean(axis=2, dtype=np.float64)
    of_terms, coords = _terms(kept, units, of_effects) if kept.groups else ({}, {})
    precision = {} if units.experiment.precision is None else {"precision": "of a unit of precision 1"}
    inclusion, treatments = _inclusion(kept, units, of_effects), list(units.design.treatments)
    others = {OTHER: treatments} if any(OTHER in dims for dims, _ in inclusion.values()) else {}
    return xr.Dataset(
        {
            MEAN_OUTCOME: ((CHAIN, DRAW, UNIT, ARM), means),
            "average_effect": ((CHAIN, DRAW, TREATMENT), average[..., 1:] - average[..., :1]),
            **({} if kept.binary else {"sd": ((CHAIN, DRAW), kept.sigma, precision)}),
            **of_terms,
            **inclusion,
        },
        coords={
            CHAIN: np.arange(kept.shape[0]),
            DRAW: np.arange(kept.shape[1]),
            **units.labels,
            **coords,
            TREATMENT: treatments,
            **others,
            COVARIATE: list(units.coding.names),
        },
    )


def _terms(kept: ForestDraws, units: Units, of_effects: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Variables of the terms of segments, and their coordinates: a level is called "channel=Phone"."""
    values = np.concatenate([one.values for one in kept.groups], axis=2)
    scales = np.stack([one.scales for one in kept.groups], axis=2)
    names = [segment_label({factor: level}) for factor, (levels, _) in units.levels.items() for level in levels]
    found = {
        "prognostic_level": ((CHAIN, DRAW, LEVEL), values[..., 0]),
        "effect_level": ((CHAIN, DRAW, LEVEL, *of_effects), values[..., 1:] if of_effects else values[..., 1]),
        "prognostic_scale": ((CHAIN, DRAW, TERM), scales[..., 0]),
        "effect_scale": ((CHAIN, DRAW, TERM), scales[..., 1]),
    }
    return found, {LEVEL: names, TERM: list(units.levels)}


def tree_predictor(posterior: xr.DataTree) -> UnitPredictor:
    """What predicts units from the stored trees of a model of forests: mean outcomes are float32.

    It refuses so many units that their draws would take more than 2 GB (ArgumentError). A level of segments that is new is
    drawn with the seed that it is given, and is the same whatever other units stand beside it.

    Raises
    ------
    PosteriorError
        The posterior lacks its trees, or how covariates were coded.
    """
    if FORESTS not in posterior.children or "coding" not in posterior.attrs:
        raise PosteriorError("the posterior lacks its group 'forests', or how its covariates were coded; fit it again")
    kept = ForestDraws.from_dataset(posterior[FORESTS].to_dataset())
    coding = Coding.from_json(posterior.attrs["coding"])
    with_propensity = len(kept.prognostic_cuts.number) > len(coding.columns)
    draws = posterior[POSTERIOR].to_dataset()
    factors = [str(term) for term in draws[TERM].to_numpy()] if TERM in draws.dims else []

    def at(given: CodedUnits, seed: int) -> xr.Dataset:
        check_fits(len(given.labels), kept.intercept.size * draws.sizes[ARM])
        prognostic = given.columns
        if given.propensity is not None:
            prognostic = np.column_stack([prognostic, given.propensity])
        of_levels = [
            _of_levels(draws, factor, column, seed)
            for factor, column in zip(factors, given.levels.values(), strict=True)
        ]
        # effects ask for propensities too, or for covariates alone
        moderators = prognostic[:, : len(kept.effect_cuts.number)]
        found = kept.by_arm(kept.at(prognostic, moderators, of_levels))
        coords = {**{name: draws[name] for name in (CHAIN, DRAW, ARM)}, UNIT: given.labels}
        return xr.Dataset({MEAN_OUTCOME: ((CHAIN, DRAW, UNIT, ARM), found)}, coords=coords)

    treatments = [str(arm) for arm in draws[ARM].to_numpy()[1:]] if with_propensity else []
    return UnitPredictor(coding, at, tuple(treatments), tuple(as_called(factor) for factor in factors))


def _of_levels(draws: xr.Dataset, factor: str, column: NDArray[np.generic], seed: int) -> NDArray[np.float32]:
    """What the level of each row adds, (chain, draw, row, 1 + A); of one that is new, drawn from its term's population."""
    known = {str(name): place for place, name in enumerate(draws[LEVEL].to_numpy())}
    names, place = np.unique(column.astype(str), return_inverse=True)
    own, effect = draws["prognostic_level"].to_numpy(), draws["effect_level"].to_numpy()
    effect = effect.reshape(*own.shape, -1)  # of doses there is one for all arms
    shape = (*own.shape[:2], len(names), 1 + effect.shape[-1])
    found = np.empty(shape, dtype=np.float32)
    scales = [draws[name].sel({TERM: factor}).to_numpy() for name in ("prognostic_scale", "effect_scale")]
    for k, name in enumerate(names):
        called = segment_label({factor: name})
        if (seen := known.get(called)) is not None:
            found[:, :, k, 0], found[:, :, k, 1:] = own[:, :, seen], effect[:, :, seen]
            continue
        own_stream = int.from_bytes(hashlib.sha256(called.encode()).digest()[:8], "big")
        noise = np.random.Generator(np.random.PCG64([seed, own_stream])).standard_normal((*shape[:2], shape[3]))
        found[:, :, k, 0], found[:, :, k, 1:] = scales[0] * noise[..., 0], scales[1][..., None] * noise[..., 1:]
    return found[:, :, place]


def _inclusion(
    kept: ForestDraws, units: Units, of_effects: tuple[str, ...]
) -> dict[str, tuple[tuple[str, ...], NDArray[np.int64]]]:
    """Decisions of each draw by the covariate that they ask for; of each propensity, where it is there, apart."""
    count = len(units.coding.columns)
    cuts = kept.effect_cuts
    prognostic = kept.prognostic.decisions_by_column(kept.prognostic_cuts.varying, len(kept.prognostic_cuts.number))
    effect = np.stack([one.decisions_by_column(cuts.varying, len(cuts.number)) for one in kept.effects], axis=2)
    effect = effect if of_effects else effect[:, :, 0]
    found: dict[str, tuple[tuple[str, ...], NDArray[np.int64]]] = {}
    parts = (
        ("prognostic_inclusion", "propensity_inclusion", prognostic, (), TREATMENT),
        # whose effect, and then whose propensity
        ("effect_inclusion", "effect_propensity_inclusion", effect, of_effects, OTHER if of_effects else TREATMENT),
    )
    for name, of_propensity, decisions, dims, whose in parts:
        found[name] = ((CHAIN, DRAW, *dims, COVARIATE), decisions[..., :count])
        propensities = decisions.shape[-1] - count
        if propensities == 1:
            found[of_propensity] = ((CHAIN, DRAW, *dims), decisions[..., count])
        elif propensities:
            found[of_propensity] = ((CHAIN, DRAW, *dims, whose), decisions[..., count:])
    return found
