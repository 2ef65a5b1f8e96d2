"""The one module that knows bartz: a forest's arrays, planted, and swept once given a residual."""

from dataclasses import replace
from importlib.metadata import version
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesuplift.errors import BayesupliftError

SUPPORTED: Final = ((0, 13), (0, 14))
"""From this version of bartz, to before that one: between them its state has the fields that this module reads."""


class KernelVersionError(BayesupliftError, ImportError):
    """The installed bartz is not one that this package was written for."""


def check_version(found: str) -> None:
    """Refuse a bartz outside the supported range.

    Raises
    ------
    KernelVersionError
        It is; the message names what was found and what is supported.
    """
    least, below = SUPPORTED
    number = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    if not least <= number < below:
        first, last = (".".join(str(part) for part in one) for one in SUPPORTED)
        raise KernelVersionError(
            f"bartz {found} is installed; the forests need bartz>={first},<{last}: pip install 'bartz>={first},<{last}'"
        )


check_version(version("bartz"))

from bartz.mcmcstep import State, Wishart, init, make_p_nonterminal, step  # noqa: E402 -- the version decides whether


class Trees(NamedTuple):
    """A forest of T trees of D levels as a Markov chain keeps it: heaps of H = 2^(D-1) decisions and 2H leaves.

    The root is at place 1 of a heap, the children of place k at 2k and 2k + 1.

    Attributes
    ----------
    variable, split
        (T, H), unsigned: column and cut of each decision; a split of 0 makes the place a leaf.
    leaf
        (T, 2H), float32: value of each leaf in units of `Plot.unit`. Places that are no leaf hold anything.
    growable
        (T, H), bool: leaves that may be split.
    place
        (T, n), unsigned: the leaf of each row, up to the prunings still to come.
    pruned, moved
        (T,): whether the last move ended in a pruning not yet applied to `place`, and where it was made.
    rows, weight
        (T, 2H), uint32 and float32: rows of each leaf, and the sum of their weights.
    """

    variable: Any
    split: Any
    leaf: Any
    growable: Any
    place: Any
    pruned: Any
    moved: Any
    rows: Any
    weight: Any


_FIELDS: Final = {
    "variable": "var_tree",
    "split": "split_tree",
    "leaf": "leaf_tree",
    "growable": "affluence_tree",
    "place": "leaf_indices",
    "pruned": "to_prune",
    "moved": "move_node",
    "rows": "count_tree",
    "weight": "prec_tree",
}


_BYTE: Final = 2**8


class Moves(NamedTuple):
    """Of one sweep: accepted moves, and moves proposed."""

    accepted: Any
    proposed: Any


class Shape(NamedTuple):
    """What a forest is like, before it sees data.

    Attributes
    ----------
    trees, depth
        Number of trees; levels of each, the root's included.
    base, power
        A place at depth d (0 the root) is split with probability base / (1 + d)^power.
    least_rows
        Rows that every leaf needs.
    """

    trees: int
    depth: int
    base: float
    power: float
    least_rows: int


class Plot:
    """What stays the same while one forest grows: its data, its prior, and the arrays that the kernel wants with them.

    A pytree: compiled programs take it as an argument, so that other data of the same shape need no other compilation.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    @property
    def unit(self) -> Any:
        """What a stored leaf value of 1 stands for, a power of two."""
        return self._state.forest.leaf_unit

    @property
    def leaf_precision(self) -> Any:
        """Of the prior of a leaf, as planted."""
        return self._state.forest.leaf_prior_cov_inv.value

    @property
    def state(self) -> State:
        """The kernel's own."""
        return self._state


jax.tree_util.register_pytree_node(Plot, lambda plot: ((plot.state,), None), lambda _, parts: Plot(*parts))


def plant(
    bins: NDArray[np.unsignedinteger],
    cuts: NDArray[np.integer],
    shape: Shape,
    *,
    weights: NDArray[np.floating] | None,
    leaf_sd: float,
    padding: int = 0,
) -> tuple[Plot, Trees]:
    """Return the plot, and a forest in it, of NumPy's arrays, whose trees are all one leaf of value 0.

    Parameters
    ----------
    bins
        (column, n), unsigned: the covariates, each as the number of cuts below its value.
    cuts
        (column,): number of cuts of each, at least 1.
    shape
        What the forest is like.
    weights
        (n,): precision of each row in units of the common precision, 0 for a row that says nothing; 1 where not given.
    leaf_sd
        Prior standard deviation of a leaf.
    padding
        How many rows at the end are none: they are in no leaf, and weigh nothing where there are weights.
    """
    n = bins.shape[1]
    most = np.uint8 if cuts.max() < _BYTE else np.uint16

    def its_state() -> State:
        return init(
            X=jnp.zeros(bins.shape, bins.dtype),
            y=jnp.zeros(n, jnp.float32),
            offset=jnp.float32(0.0),
            max_split=jnp.ones(len(cuts), most),
            num_trees=shape.trees,
            p_nonterminal=make_p_nonterminal(shape.depth, 0.5, 1.0),
            leaf_prior_cov_inv=Wishart(None, None, 1.0),
            error_cov_inv=Wishart(1.0, 1.0, 1.0),
            min_points_per_leaf=shape.least_rows,
            min_points_per_decision_node=2 * shape.least_rows,
        )

    # what the kernel would make, without running it: that takes a hundred small programs, and seconds
    with jax.enable_x64(False):  # noqa: FBT003 -- JAX's own signature
        like = _filled(jax.eval_shape(its_state))
    one = np.float32(1.0)
    forest = _with(like.forest, max_split=cuts.astype(most), **_at_first(shape, n, padding, leaf_sd))
    state = _with(
        like,
        X=bins,
        forest=forest,
        # the error variance is not the kernel's to draw: two forests share it
        error_cov_inv=_fixed(one),
        resid_unit=one,
        resid_eff_scale=one,
        inv_sdev_unit=one,
        n_non_missing=np.int32(n),
        sum_diag_prec_scale=np.float32(n),
    )
    if weights is not None:
        whole = weights.astype(np.float32)
        at_root = np.zeros_like(forest.leaf_tree)
        at_root[:, 1] = whole.sum()
        state = _with(state, prec_scale=whole, forest=_with(forest, prec_tree=at_root))
    with jax.enable_x64(False):  # noqa: FBT003
        plot = Plot(jax.device_put(state))
    return plot, Trees(**{ours: getattr(state.forest, theirs) for ours, theirs in _FIELDS.items()})


TOLD: Final = ("variable", "split", "leaf", "growable")
"""Of `Trees`, what the rest follows from."""


class Ground(NamedTuple):
    """What a forest's trees grow on, as NumPy's arrays and numbers.

    Attributes
    ----------
    bins, cuts
        (column, n) and (column,): as `plant` takes them.
    split
        (2H,): prior probability that a place, if it is there, is split.
    least_rows
        Rows that every leaf needs.
    unit
        As `Plot.unit`.
    """

    bins: NDArray[np.unsignedinteger]
    cuts: NDArray[np.int64]
    split: NDArray[np.float64]
    least_rows: int
    unit: float


def ground(plot: Plot) -> Ground:
    """Return what the trees of a plot, of NumPy's arrays, grow on."""
    forest: Any = plot.state.forest
    return Ground(
        bins=np.asarray(plot.state.X),
        cuts=np.asarray(forest.max_split).astype(np.int64),
        split=np.asarray(forest.p_nonterminal).astype(np.float64),
        least_rows=int(forest.min_points_per_leaf),
        unit=float(plot.unit),
    )


def settled(plot: Plot, trees: Trees) -> Trees:
    """Return the trees with their rows in the leaves that decisions lead them to; places of `trees` tell only who is a row.

    Parameters
    ----------
    plot
        Of the forest, of NumPy's arrays.
    trees
        The trees.
    """
    bins, state = np.asarray(plot.state.X), plot.state
    every, (count, half) = np.arange(bins.shape[1]), trees.split.shape
    place = np.tile((np.asarray(trees.place[0]) > 0).astype(np.intp), (count, 1))
    for _ in range(int(np.log2(half))):
        # a leaf of the last level lies behind the decisions
        at = np.where(place < half, place, 0)
        cut = np.take_along_axis(trees.split, at, axis=1)
        right = bins[np.take_along_axis(trees.variable, at, axis=1), every] >= cut
        place = np.where(cut > 0, 2 * place + right, place)
    rows = np.stack([np.bincount(one, minlength=2 * half) for one in place])
    weight = trees.weight
    if weight is not None:
        own = np.asarray(state.prec_scale, dtype=np.float64)
        weight = np.stack([np.bincount(one, own, minlength=2 * half) for one in place]).astype(np.float32)
    return trees._replace(
        place=place.astype(trees.place.dtype),
        pruned=np.zeros_like(trees.pruned),
        moved=np.zeros_like(trees.moved),
        rows=rows.astype(trees.rows.dtype),
        weight=weight,
    )


def _at_first(shape: Shape, n: int, padding: int, leaf_sd: float) -> dict[str, Any]:
    """Fields of the kernel's forest that are not 0 before the first sweep."""
    half = 2 ** (shape.depth - 1)
    depth = np.floor(np.log2(np.maximum(np.arange(2 * half), 1)))
    split = np.where(depth < shape.depth - 1, shape.base / (1.0 + depth) ** shape.power, 0.0).astype(np.float32)
    growable, rows = np.zeros((shape.trees, half), dtype=np.bool_), np.zeros((shape.trees, 2 * half), dtype=np.uint32)
    place = np.ones((shape.trees, n), dtype=np.uint8 if half <= _BYTE // 2 else np.uint16)
    growable[:, 1] = n - padding >= 2 * shape.least_rows
    rows[:, 1] = n - padding
    # heaps begin at 1: rows at place 0 are never split, counted or pruned. Were they not counted where they are, they would
    # have a leaf whose mean forgets the prior, and grow without bounds
    place[:, n - padding :] = 0
    rows[:, 0] = padding
    return {
        "leaf_unit": np.float32(2.0 ** np.round(np.log2(leaf_sd))),
        "leaf_prior_cov_inv": _fixed(np.float32(leaf_sd**-2)),
        "p_nonterminal": split,
        "p_propose_grow": split[:half],
        "affluence_tree": growable,
        "leaf_indices": place,
        "count_tree": rows,
        "min_points_per_decision_node": np.int32(2 * shape.least_rows),
        "min_points_per_leaf": np.int32(shape.least_rows),
    }


def _fixed(precision: Any) -> Wishart:
    """A precision that the kernel does not draw."""
    return _with(Wishart(None, None, 1.0), value=precision)


def _filled(module: Any) -> Any:
    """Return the same with arrays of 0 where it has shapes."""
    return jax.tree.map(lambda one: np.zeros(one.shape, one.dtype), module)


def sweep(
    key: Any, plot: Plot, trees: Trees, residual: Any, precision: Any, *, leaf_precision: Any = None
) -> tuple[Trees, Any, Moves]:
    """Propose one move to every tree in turn, and draw all leaves anew: residual = forest + noise / (weight precision).

    Parameters
    ----------
    key
        A random key.
    plot, trees
        The forest.
    residual
        (n,), float32: what the forest's own errors are now, so the data less the forest.
    precision
        Of the noise of a row of weight 1.
    leaf_precision
        Of the prior of a leaf; as planted where it is not given.

    Returns
    -------
    tuple
        The forest, its errors, and what became of the moves.
    """
    state = plot.state
    forest: Any = _with(state.forest, **{theirs: getattr(trees, ours) for ours, theirs in _FIELDS.items()})
    if leaf_precision is not None:
        forest = _with(forest, leaf_prior_cov_inv=_fixed(leaf_precision))
    found = step(key, _with(state, resid=residual, error_cov_inv=_fixed(precision), forest=forest))
    forest = found.forest
    moves = Moves(forest.grow_acc_count + forest.prune_acc_count, forest.grow_prop_count + forest.prune_prop_count)
    return Trees(**{ours: getattr(forest, theirs) for ours, theirs in _FIELDS.items()}), found.resid, moves


def leaves(plot: Plot, trees: Trees) -> tuple[Any, Any]:
    """Number of a forest's leaves, and the sum of their squares."""
    places = jnp.arange(trees.leaf.shape[1])
    decided = jnp.pad(trees.split > 0, ((0, 0), (0, trees.leaf.shape[1] - trees.split.shape[1])))
    there = jnp.where(places > 1, decided[:, places // 2], places == 1) & ~decided
    return there.sum().astype(jnp.float32), plot.unit**2 * jnp.where(there, trees.leaf**2, 0.0).sum()


def at_rows(plot: Plot, trees: Trees) -> Any:
    """Return the forest's value at its own rows, (n,), summed from the leaves."""
    # leaves about to be pruned mirror their parent's value, so places are right before and after
    return plot.unit * jnp.take_along_axis(trees.leaf, trees.place.astype(jnp.int32), axis=1).sum(axis=0)


def _with(module: Any, **fields: Any) -> Any:
    # bartz's modules are dataclasses whose static types hide some of their fields
    return replace(module, **fields)
