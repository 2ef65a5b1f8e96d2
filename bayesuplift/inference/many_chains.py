"""Draws of any registered NumPyro program by many short chains: their warm-up, and what is kept of them."""

import functools
import math
import sys
from collections.abc import Mapping
from typing import Any, Final

import jax
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from bayesuplift.dims import ALTERNATIVES, CHAIN, DRAW, MEAN_OUTCOME, POSTERIOR, SAMPLE_STATS, UNIT
from bayesuplift.inference.density import Data
from bayesuplift.inference.labelled import alternatives, labelled
from bayesuplift.inference.reparametrised import prepared, reparametrised
from bayesuplift.inference.session import jax_session
from bayesuplift.inference.thinning import KEPT_ONE_IN, one_in, thinned
from bayesuplift.inference.vectorised import PIECE, Piece, Sampler, Tuning
from bayesuplift.spec import Given, ModelSpec, find

Array = NDArray[np.float64]

_FIRST_STEP_SIZE: Final = 0.2
_KEPT_SAMPLERS: Final = 16
_ACCEPTANCE: Final = {False: np.asarray(0.85), True: np.asarray(0.97)}
_AT_ONCE: Final = 2**24
"""Numbers of mean outcomes that are averaged at once."""

_DRAWS_OF_OTHERS: Final = 75  # of a chain, under each other prior of a sensitivity table


def sample(
    spec: ModelSpec,
    data: Data,
    priors: Mapping[str, Any],
    *,
    seed: int,
    chains: int,
    draws: int,
    warmup: int,
    progress: bool | None,
    sensitivity: bool,
    careful: bool,
) -> dict[str, xr.Dataset]:
    """Draw from the posterior under the stated prior, the first of `priors`; and, fewer draws, under each of the others.

    `careful` takes smaller steps, for posteriors whose curvature varies so much that the usual ones diverge. Where mean
    outcomes of all draws at all units would take more than 1 GB, one draw in so many is kept, as by `nuts.sample`; under
    the other priors averages over units are all that is kept.

    Returns
    -------
    dict
        The groups `posterior`, `sample_stats`, and, with `sensitivity`, `alternatives`.
    """
    observed, sampler = prepared(spec, data), compiled(spec.name)
    stated, *others = priors
    lengths = {stated: draws} | (dict.fromkeys(others, min(draws, _DRAWS_OF_OTHERS)) if sensitivity else {})
    hidden = None if progress is None else not progress
    found: dict[str, tuple[Piece, dict[str, Array]]] = {}
    with jax_session(), tqdm(desc="sampling", disable=hidden, file=sys.stderr) as bar:
        bar.total = sum(warmup + length for length in lengths.values())
        for name, length in lengths.items():
            # the same stream for every prior, so that a difference between them is the priors' own
            key, numbers = jax.random.key(seed), Given.of_prior(priors[name])
            walk = Walk(sampler, key, observed, numbers, chains=chains, bar=bar, careful=careful)
            walk.warm_up(warmup)
            kept = walk.draw(length)
            if name != stated and UNIT in observed.sizes:
                found[name] = kept, {MEAN_OUTCOME: walk.averages(kept.position)}
                continue
            every = one_in(chains, length, observed.sizes)
            found[name] = kept, walk.sites(kept.position[every - 1 :: every])
        kept, sites = found.pop(stated)
        posterior = labelled(spec, data, observed, Given.of_prior(priors[stated]), sites)
    stats = {"diverging": kept.diverging, "n_steps": kept.steps, "acceptance_rate": kept.acceptance}
    every = one_in(chains, draws, observed.sizes)
    groups = {
        POSTERIOR: posterior,
        SAMPLE_STATS: xr.Dataset(
            {name: ((CHAIN, DRAW), thinned(values.T, every)) for name, values in stats.items()},
            coords={name: posterior[name] for name in (CHAIN, DRAW)},
            attrs={KEPT_ONE_IN: every} if every > 1 else {},
        ),
    }
    drawn = {name: sites[MEAN_OUTCOME] for name, (_, sites) in found.items()}
    return groups | ({ALTERNATIVES: alternatives(posterior, drawn, priors)} if drawn else {})


@functools.lru_cache(maxsize=_KEPT_SAMPLERS)
def compiled(name: str) -> Sampler:
    """Return the program's sampler, kept between calls: other data of the same shape need no other compilation."""
    return Sampler(reparametrised(find(name)))


class Walk:
    """All chains of one fit on their way: where they are, how they are tuned, and what steps them."""

    def __init__(
        self,
        sampler: Sampler,
        key: Any,
        data: Given,
        prior: Given,
        *,
        chains: int,
        bar: tqdm,
        careful: bool = False,
    ) -> None:
        self._sampler, self._data, self._prior, self._bar = sampler, data, prior, bar
        to_start, self._key = jax.random.split(key)
        self._state, self._layout = sampler.start(to_start, chains, data, prior)
        first = np.asarray(np.log(_FIRST_STEP_SIZE))
        dense, others = self._layout.dense, self._layout.size - self._layout.dense
        self._tuning = Tuning(np.eye(dense), np.ones(others), first, _ACCEPTANCE[careful])
        self._done = 0

    def warm_up(self, steps: int) -> None:
        """Find the posterior, the metric and the step size.

        The metric is made anew after every piece, from the later half of the pieces so far; the first is no part of it,
        since chains are on their way then. The last piece finds the step size for the metric that stays.
        """
        seen: list[Array] = []
        pieces = -(-steps // PIECE)
        for place in range(pieces):
            seen.append(np.asarray(self._piece(learning=1.0).position))
            if 0 < place < pieces - 1:
                self._tuning = _scaled(self._tuning, seen[(place + 1) // 2 :])

    def draw(self, steps: int) -> Piece:
        """Return what happened in the draws that are kept, (draw, chain, ...)."""
        kept = [jax.tree.map(np.asarray, self._piece(learning=0.0)) for _ in range(-(-steps // PIECE))]
        return jax.tree.map(lambda *parts: np.concatenate(parts)[:steps], *kept)

    def sites(self, positions: Array) -> dict[str, Array]:
        """Sites and deterministics (chain, draw, ...) of positions (draw, chain, coordinate)."""
        found = self._sampler.sites(positions, self._data, self._prior, layout=self._layout)
        return {name: np.asarray(values) for name, values in found.items()}

    def averages(self, positions: Array) -> Array:
        """Mean outcomes averaged over the units, (chain, draw, arm), of positions (draw, chain, coordinate).

        Made for a few draws at a time, since those of all units at once would not fit.
        """
        draws, chains = positions.shape[:2]
        size = max(1, _AT_ONCE // (chains * math.prod(self._data.sizes.values())))
        parts = [self.sites(positions[low : low + size])[MEAN_OUTCOME].mean(axis=2) for low in range(0, draws, size)]
        return np.concatenate(parts, axis=1)

    def _piece(self, *, learning: float) -> Piece:
        # a posterior that is normal in these coordinates turns by a right angle in pi / 2, the mean of these
        lengths = np.pi * van_der_corput(self._done + PIECE)[self._done :]
        to_piece, self._key = jax.random.split(self._key)
        self._state, self._tuning, piece = self._sampler.advance(
            to_piece,
            self._state,
            self._tuning,
            (lengths, np.asarray(learning)),
            (self._data, self._prior),
            layout=self._layout,
        )
        self._done += PIECE
        self._bar.update(PIECE)
        return piece


def _scaled(tuning: Tuning, seen: list[Array]) -> Tuning:
    """The metric from positions, drawn towards a diagonal one as far as they are few."""
    positions = np.concatenate(seen).reshape(-1, seen[0].shape[-1])
    dense, count = len(tuning.dense), len(positions)
    away = positions - positions.mean(0)
    covariance = away[:, :dense].T @ away[:, :dense] / count
    trusted = count / (count + 2.0 * dense)
    covariance = trusted * covariance + (1.0 - trusted) * np.diag(np.diag(covariance))
    variance = (count * (away[:, dense:] ** 2).mean(0) + 5.0) / (count + 5.0)
    return tuning._replace(dense=np.linalg.cholesky(covariance), diagonal=np.sqrt(variance))


def van_der_corput(count: int) -> Array:
    """The first numbers of van der Corput's sequence of base 2, evenly spread over (0, 1) at any length."""
    place, found, unit = np.arange(1, count + 1), np.zeros(count), 0.5
    while place.any():
        found += unit * (place % 2)
        place //= 2
        unit /= 2.0
    return found
