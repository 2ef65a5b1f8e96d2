"""A run of the sampler: chains on their way, in pieces, on as many threads as there are processors."""

import copy
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final, Self, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.causal_rows import CausalRows
from bayesuplift.errors import ArgumentError, check_whole, listed
from bayesuplift.inference.forest import gibbs, kernel
from bayesuplift.inference.forest.draws import ForestDraws
from bayesuplift.inference.forest.packed import cores
from bayesuplift.inference.forest.pieces import Layout, averages_of_chain, joined, of_chain
from bayesuplift.inference.forest.planting import cut, numbers, planted
from bayesuplift.inference.forest.pytrees import part, stacked
from bayesuplift.inference.forest.settings import SCALES, Resolved, resolve
from bayesuplift.inference.forest.start import regrown
from bayesuplift.priors.forest import ForestPrior

Progress = Callable[[int], None]
_Kept = TypeVar("_Kept")

# Draws and sweeps of a piece of the run: what an interrupt waits for, and what is on its way to being stored; and sweeps
# that a piece of several draws has at most.
_KEPT: Final = 25
_BURNT: Final = 50
_WITH_MANY_ROWS: Final = 5
_SUMMED: Final = 50
_MANY_ROWS: Final = 50_000

_NUMBERS: Final = ("key", "sweeps", "coefficients", "precision", "leaf_precision")
_FORESTS: Final = ("prognostic", "effect")


class Sampler:
    """Chains of a causal forest; each has its own random stream, whatever their number or how a run is divided.

    Parameters
    ----------
    rows
        The data.
    prior
        The prior, every number of it stated.
    seed
        Of the random streams.
    chains
        Number of chains.
    threads
        Threads to step them on; as many as processors where not given.
    """

    def __init__(
        self, rows: CausalRows, prior: ForestPrior, *, seed: int, chains: int = 4, threads: int | None = None
    ) -> None:
        check_whole("chains", chains, 1)
        check_whole("seed", seed, 0)
        available = cores() if threads is None else threads
        self._group = _divisor(chains, -(-chains // available))
        self._groups = [slice(low, low + self._group) for low in range(0, chains, self._group)]
        self._threads = min(available, len(self._groups))
        self._rows, self._prior = rows, prior
        many = len(rows.outcome) > _MANY_ROWS
        self._kept, self._burnt = (_WITH_MANY_ROWS, _WITH_MANY_ROWS) if many else (_KEPT, _BURNT)
        self._flags = gibbs.Flags(expanded=prior.expanded, learned=prior.learned, binary=rows.binary)
        resolved = resolve(prior, rows)
        self._cuts = cut(rows, prior)
        self._data, trees = planted(rows, prior, resolved, self._cuts)
        self._numbers = numbers(prior, resolved, rows)
        self._states: list[gibbs.State]
        self._set(gibbs.first(_keys(seed, chains), self._data, *trees))
        levels = tuple(int(one.max()) + 1 for one in rows.groups)
        of_forests = prior.prognostic.trees, prior.effect.trees
        self._layout = Layout(len(rows.outcome), levels, of_forests, resolved, rows.binary, rows.units)
        self._interrupted = False

    @property
    def resolved(self) -> Resolved:
        """The prior with every number known."""
        return self._layout.resolved

    @property
    def interrupted(self) -> bool:
        """Whether an interrupt from the keyboard ended the last run, and what was drawn by then was returned."""
        return self._interrupted

    @property
    def states(self) -> gibbs.State:
        """Where the chains are, (chain, ...)."""
        return jax.tree.map(lambda *parts: np.concatenate(parts), *self._states)

    def position(self) -> dict[str, NDArray]:
        """Where the chains are, as plain arrays (chain, ...) for `resume`."""
        states = self.states
        found = {name: np.asarray(getattr(states, name)) for name in _NUMBERS}
        for forest in _FORESTS:
            trees = getattr(states, forest)
            found |= {f"{forest}_{name}": np.asarray(getattr(trees, name)) for name in kernel.TOLD}
        if states.levels is not None:
            found |= {f"levels_{name}": np.asarray(one) for name, one in states.levels._asdict().items()}
        return found

    def resume(self, position: Mapping[str, NDArray]) -> None:
        """Take up where chains were, in a sampler of the same rows, prior and number of chains.

        Raises
        ------
        ArgumentError
            The arrays are not those of such a sampler.
        """
        here = self.position()
        for name, one in here.items():
            there = position.get(name)
            if there is None or (there.shape, there.dtype) != (one.shape, one.dtype):
                raise ArgumentError(f"the position is of other rows, another prior or other chains: {name} differs")
        states, data = jax.tree.map(np.asarray, (self.states, self._data))
        states = states._replace(**{name: position[name] for name in _NUMBERS})
        if states.levels is not None:
            levels = {name: position[f"levels_{name}"] for name in states.levels._fields}
            states = states._replace(levels=states.levels._replace(**levels))
        told = [{name: position[f"{forest}_{name}"] for name in kernel.TOLD} for forest in _FORESTS]
        prognostic, effect = states.prognostic._replace(**told[0]), states.effect._replace(**told[1])
        chains, treatments = effect.split.shape[:2]
        self._set(
            states._replace(
                prognostic=stacked(kernel.settled(data.prognostic, part(prognostic, c)) for c in range(chains)),
                effect=stacked(
                    stacked(kernel.settled(part(data.effect, a), part(part(effect, c), a)) for a in range(treatments))
                    for c in range(chains)
                ),
            )
        )

    def under(self, prior: ForestPrior, *, stream: int) -> Self:
        """Return the same chains under a prior of other scales: from where they stand, with random streams of their own.

        This sampler, and where its chains are, stay as they are; data and compiled program serve both.

        Parameters
        ----------
        prior
            The other prior: this one's but for its standard deviations.
        stream
            Tells apart the streams of several such samplers.

        Raises
        ------
        ArgumentError
            The prior differs in more than that.
        """
        if replace(prior, **{name: getattr(self._prior, name) for name in SCALES}) != self._prior:
            raise ArgumentError(f"chains go on under a prior that differs in {listed(SCALES)} alone; found {prior}")
        found = copy.copy(self)
        found._take_up(prior, stream)  # noqa: SLF001 -- one of the same kind
        return found

    def _take_up(self, prior: ForestPrior, stream: int) -> None:
        """Change the prior, and the random streams."""
        stated = self._numbers
        self._layout = replace(self._layout, resolved=resolve(prior, self._rows))
        self._prior, self._numbers = prior, numbers(prior, self.resolved, self._rows)
        # Leaves spread as far in units of what is stated: the law of effects' leaves is cut off in these units, and a chain
        # that began outside it could stay there. The first sweep draws all leaves anew from a spread that is possible.
        further = np.asarray(stated.leaf_rate) / np.asarray(self._numbers.leaf_rate)
        with jax.enable_x64(False):  # noqa: FBT003 -- JAX's own signature
            self._states = [
                jax.device_put(
                    one._replace(
                        key=_keys_from(one.key, stream), leaf_precision=further * np.asarray(one.leaf_precision)
                    )
                )
                for one in self._states
            ]

    def grow(self, sweeps: int, progress: Progress | None = None) -> None:
        """Grow all trees from the root before each of so many sweeps: for chains to begin at, not draws of the posterior.

        Parameters
        ----------
        sweeps
            How many.
        progress
            As for `burn_in`.
        """
        check_whole("sweeps", sweeps, 0)
        data = jax.tree.map(np.asarray, self._data)

        def regrow(place: int) -> None:
            states = jax.tree.map(np.asarray, self._states[place])
            found = stacked(
                regrown(data, part(states, chain), binary=self._flags.binary) for chain in range(self._group)
            )
            with jax.enable_x64(False):  # noqa: FBT003 -- JAX's own signature
                self._states[place] = jax.device_put(found)

        piece = np.array([1] + [0] * (self._kept - 1), dtype=np.int32)
        self._run([piece] * sweeps, [0] * sweeps, of_chain, at_rows=True, progress=progress, before=regrow)

    def burn_in(self, sweeps: int, progress: Progress | None = None) -> None:
        """Sweep, and keep nothing.

        Parameters
        ----------
        sweeps
            How many.
        progress
            Called now and then with the number of sweeps done since the last call, over all chains.
        """
        check_whole("sweeps", sweeps, 0)
        counts = [min(self._burnt, sweeps - done) for done in range(0, sweeps, self._burnt)]
        # one program serves burn-in and draws: all its sweeps come before the first state that it keeps
        pieces = [np.array([count] + [0] * (self._kept - 1), dtype=np.int32) for count in counts]
        self._run(pieces, [0] * len(pieces), of_chain, at_rows=True, progress=progress)

    def draw(self, draws: int, *, thin: int = 1, at_rows: bool = True, progress: Progress | None = None) -> ForestDraws:
        """Sweep on and keep a draw of each chain after every `thin` sweeps.

        An interrupt from the keyboard ends the run early: what all chains had drawn by then is returned, if anything.

        Parameters
        ----------
        draws
            How many of each chain.
        thin
            Sweeps from one to the next.
        at_rows
            Whether to keep mu and tau at the rows of the data, (chain, draw, n) float32 each.
        progress
            As for `burn_in`.
        """
        found = self._drawn(draws, thin, of_chain, at_rows=at_rows, progress=progress)
        return joined(found, self._layout, self._cuts)

    def averages(self, draws: int, *, thin: int = 1, progress: Progress | None = None) -> NDArray[np.float64]:
        """Sweep on as `draw` does, and keep of every draw mean outcomes averaged over the rows: (chain, draw, arm).

        A row counts once for every unit it stands for. What it takes at the rows is a piece of the run at a time.

        Parameters
        ----------
        draws, thin, progress
            As for `draw`, and an interrupt too.
        """
        found = self._drawn(draws, thin, averages_of_chain, at_rows=True, progress=progress)
        shared = min(len(one) for one in found)
        return np.stack([np.concatenate(one[:shared]) for one in found])

    def _drawn(
        self,
        draws: int,
        thin: int,
        keep: Callable[[gibbs.Draw, int, int, Layout], _Kept],
        *,
        at_rows: bool,
        progress: Progress | None,
    ) -> list[list[_Kept]]:
        """Sweep on, and return what is to be kept of each chain's draws, piece by piece."""
        check_whole("draws", draws, 1)
        check_whole("thin", thin, 1)
        # a piece begins with sums made anew: rounding that is stretched along must not grow over very many sweeps
        most = min(self._kept, max(_SUMMED // thin, 1))
        counts = [min(most, draws - done) for done in range(0, draws, most)]
        pieces = [np.where(np.arange(self._kept) < count, thin, 0).astype(np.int32) for count in counts]
        return self._run(pieces, counts, keep, at_rows=at_rows, progress=progress)

    def _set(self, states: gibbs.State) -> None:
        with jax.enable_x64(False):  # noqa: FBT003 -- JAX's own signature
            self._states = [
                jax.device_put(jax.tree.map(lambda one, among=among: one[among], states)) for among in self._groups
            ]

    def _run(
        self,
        pieces: list[NDArray[np.int32]],
        counts: list[int],
        keep: Callable[[gibbs.Draw, int, int, Layout], _Kept],
        *,
        at_rows: bool,
        progress: Progress | None,
        before: Callable[[int], None] = lambda _: None,
    ) -> list[list[_Kept]]:
        """Run the pieces with every group of chains; return what is kept of each chain's draws, piece by piece.

        `before` is called with a group's place before each of its pieces.
        """
        found: list[list[_Kept]] = [[] for _ in range(self._groups[-1].stop)]
        if not pieces:
            return found
        self._interrupted = False
        stop, done = threading.Event(), queue.SimpleQueue[int]()
        # one thread compiles, the others find the program made
        self._advance(self._states[0], np.zeros_like(pieces[0]), at_rows=at_rows)

        def one_group(place: int) -> None:
            for sweeps, count in zip(pieces, counts, strict=True):
                if stop.is_set():
                    return
                before(place)
                self._states[place], drawn = self._advance(self._states[place], sweeps, at_rows=at_rows)
                for chain in range(self._group if count else 0):
                    kept = keep(drawn, chain, count, self._layout)
                    found[self._groups[place].start + chain].append(kept)
                done.put(int(sweeps.sum()) * self._group)

        with ThreadPoolExecutor(self._threads) as pool:
            futures = [pool.submit(one_group, place) for place in range(len(self._groups))]
            try:
                _report(futures, done, progress)
            except BaseException as raised:
                stop.set()
                pool.shutdown()
                if not isinstance(raised, KeyboardInterrupt) or not all(found):
                    raise
                self._interrupted = True
        return found

    def _advance(
        self, states: gibbs.State, sweeps: NDArray[np.int32], *, at_rows: bool
    ) -> tuple[gibbs.State, gibbs.Draw]:
        with jax.enable_x64(False):  # noqa: FBT003 -- each thread has its own
            found = gibbs.advance(
                self._data, self._numbers, states, jnp.asarray(sweeps), flags=self._flags, rows=at_rows
            )
            return jax.block_until_ready(found)


def _report(futures: list[Future[None]], done: "queue.SimpleQueue[int]", progress: Progress | None) -> None:
    """Wait for all, reporting on the way; raise what a thread raised."""
    waiting = True
    while waiting:
        waiting = not all(one.done() for one in futures)
        try:
            sweeps = done.get(timeout=0.1 if waiting else 0.0)
        except queue.Empty:
            continue
        waiting = True
        if progress is not None:
            progress(sweeps)
    for one in futures:
        one.result()


def _keys(seed: int, chains: int) -> NDArray[np.uint32]:
    """A random key for each chain, whatever their number."""
    return np.array([np.random.SeedSequence([seed, chain]).generate_state(2) for chain in range(chains)])


def _keys_from(keys: Any, stream: int) -> NDArray[np.uint32]:
    """Other random keys, made from those of the chains."""
    return np.array([np.random.SeedSequence([*map(int, key), stream]).generate_state(2) for key in np.asarray(keys)])


def _divisor(number: int, most: int) -> int:
    """Return the largest divisor of the number that is at most so large."""
    return max(one for one in range(1, most + 1) if number % one == 0)
