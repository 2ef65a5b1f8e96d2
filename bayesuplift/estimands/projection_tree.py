"""Who benefits, as a shallow tree: groups of units by their covariates, with the effect in each and its uncertainty."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.dims import N
from bayesuplift.errors import ArgumentError, check_whole, is_finite_number
from bayesuplift.estimands.explained import r_squared, summarize_r_squared, summary_attributes
from bayesuplift.estimands.explained_words import fidelity, figure, heading
from bayesuplift.estimands.rules import Condition, rule_words
from bayesuplift.estimands.splits import Split, best_split
from bayesuplift.estimands.summary import equal_tails, summarize
from bayesuplift.estimands.unit_covariates import Known, columns_of, known_of, rows_of
from bayesuplift.estimands.unit_effects import UnitEffects, explainable

LEAF: Final = "leaf"


@dataclass(frozen=True)
class Node:
    """A place in the tree: a split and what lies below it, or a leaf.

    Parameters
    ----------
    units
        Units that come here.
    leaf
        Its number, from 1 and from left to right; None where there is a split.
    split
        The question that is asked here.
    left, right
        Where its answers lead.
    """

    units: int
    leaf: int | None = None
    split: Split | None = None
    left: "Node | None" = None
    right: "Node | None" = None


@dataclass(frozen=True, eq=False)
class EffectTree:
    """A summary of effects by unit: a tree of few leaves, and the average effect in each of them.

    Parameters
    ----------
    root
        The tree.
    draws
        Average effect over the units of each leaf (chain, draw, leaf), outcome units.
    r_squared
        R² of the summary (chain, draw): which share of the squared differences between effects lies between leaves; NaN
        where all effects are equal, in as many draws as the attribute `undefined_draws` says.
    table
        Over (leaf,): `rule` in words; `n`, its units, and `share` of all; `mean`, `mcse`, `sd`, `lower`, `upper`,
        `prob_positive` and their errors as of `summarize`. Beside them `r_squared` with its error and interval.
    left_out
        Covariates that were not asked for, and why.
    """

    root: Node
    draws: xr.DataArray
    r_squared: xr.DataArray
    table: xr.Dataset
    left_out: dict[str, str]

    def to_dataset(self) -> xr.Dataset:
        """The leaves, over (leaf,), and the R² of the summary."""
        return self.table.copy()

    def leaf_of(self, units: Any) -> NDArray[np.intp]:
        """Number of the leaf (unit,) that each unit belongs to, from 1, as the coordinate `leaf` has it.

        Parameters
        ----------
        units
            An `Experiment`, a path or any dataframe with the covariates that the tree asks for. A level of text that no
            unit had when the tree was grown goes where more units went.

        Raises
        ------
        ColumnNotFoundError, DataError, FrameTypeError, MissingFileError, UnreadableFileError
            A covariate is not there, misses a value or holds text where numbers were; or the table cannot be read.
        """
        asked = {split.covariate: split.is_text for split in _splits(self.root)}
        columns = columns_of(units, asked) if asked else {}
        count = len(next(iter(columns.values()))) if columns else rows_of(units)
        found = np.empty(count, dtype=np.intp)
        waiting = [(self.root, np.arange(count))]
        while waiting:
            node, members = waiting.pop()
            if node.split is None:
                assert node.leaf is not None
                found[members] = node.leaf
                continue
            assert node.left is not None
            assert node.right is not None
            left = node.split.goes_left(columns[node.split.covariate][members])
            waiting += [(node.left, members[left]), (node.right, members[~left])]
        return found

    def __str__(self) -> str:
        lines = [f"Effect of {heading(self.draws, self.table)}", *self._told(self.root, "")]
        if self.root.split is None:
            lines.append("No split into groups of enough units takes enough from the differences between mean effects.")
        return "\n".join([*lines, fidelity(self.table, "The tree")])

    def _told(self, node: Node, indent: str) -> Iterator[str]:
        if node.split is None:
            row = self.table.sel({LEAF: node.leaf})
            yield f"{indent}leaf {node.leaf}: {figure(row)}, {node.units:,} units ({float(row['share']):.0%})"
            return
        assert node.left is not None
        assert node.right is not None
        for condition, below in ((node.split.left, node.left), (node.split.right, node.right)):
            yield f"{indent}{condition.words(node.split.covariate)}"
            yield from self._told(below, f"{indent}    ")


def effect_tree(
    posterior: xr.DataTree,
    units: Any,
    *,
    arm: str | None = None,
    covariates: str | Iterable[str] | None = None,
    depth: int = 3,
    least_units: int | None = None,
    least_gain: float = 0.01,
    prob: float = 0.95,
    unit: str | None = None,
) -> EffectTree:
    """Summarize effects by unit as a shallow regression tree on covariates.

    The tree is grown on the posterior mean effect: at every place the split is taken that lowers the sum of squares most
    (greedy, with every threshold and every subset of levels tried). Then every draw of the effects is projected onto it:

        gamma_l = sum_{i in l} tau_i / n_l,       R² = sum_l n_l (gamma_l - mean tau)^2 / sum_i (tau_i - mean tau)^2

    so that a leaf's draws are those of the average effect over its units, the same as of `gate` by leaf. Its interval is
    exact for that group of units. It does not say that these are the groups: another tree may tell as much, and R² tells
    how much any that was not drawn on would leave out. Greedy growth misses covariates that matter only together.

    Parameters
    ----------
    posterior
        A tree over units, made here or elsewhere.
    units
        Its units in its order: the `Experiment` that was fitted; or a path or any dataframe with their covariates.
    arm
        The treatment to explain; may be left out where there is one.
    covariates
        Names of the covariates to ask for. None for all covariates and segment factors of an experiment, and for those
        that the model was fitted on of a dataframe. Numbers are split at a threshold, text by its levels.
    depth
        Questions to a unit, at most.
    least_units
        Units that a leaf needs; a twentieth of all where none are given.
    least_gain
        Share of the sum of squares of all units' mean effects that a split has to take more than: below it, leaves would
        tell Monte Carlo error apart.
    prob
        Mass of the equal-tailed credible intervals.
    unit
        Column of a dataframe that names the unit, to be compared with the posterior's.

    Returns
    -------
    EffectTree
        Printable as text. A tree of one leaf, whose R² is 0, where no split lowers the sum of squares.

    Raises
    ------
    PosteriorError
        The tree of draws does not follow the schema.
    ArgumentError
        The posterior is not over units; several treatments and none is named; the units are others than the posterior's,
        or in another order as far as names, factors or data tell; no covariate differs; all effects are equal, so that R²
        is not defined; or an option is outside its range.
    ArmNotFoundError, ColumnNotFoundError, DataError
        No such arm or covariate, or a covariate with a missing value.

    Notes
    -----
    Woody, Carvalho and Murray (2021), Model interpretation through lower-dimensional posterior summarization, Journal of
    Computational and Graphical Statistics 30(1), 144-161.
    """
    check_whole("depth", depth, 1)
    if least_units is not None:
        check_whole("least_units", least_units, 1)
    if not is_finite_number(least_gain) or not 0.0 <= least_gain < 1.0:
        raise ArgumentError(f"least_gain = {least_gain!r}; give a share of the sum of squares, from 0 to below 1")
    equal_tails(prob)
    effects = explainable(posterior, arm)
    known = known_of(effects, units, covariates, unit=unit)
    grown = _Grown(effects, known, effects.least(least_units), float(least_gain))
    root = grown.node(np.arange(len(effects)), {}, int(depth))
    return _projected(effects, known, root, grown, prob)


class _Grown:
    """A tree in growth: its leaves so far, with their rules and units."""

    def __init__(self, effects: UnitEffects, known: Known, least_units: int, least_gain: float) -> None:
        self.mean, self.known, self.least_units = effects.moments.mean, known, least_units
        squares = float(((self.mean - self.mean.mean()) ** 2).sum())
        self.least_gain = max(effects.moments.negligible, least_gain * squares)
        self.rules: list[str] = []
        self.members: list[NDArray[np.intp]] = []

    def node(self, members: NDArray[np.intp], allowed: dict[str, Condition], depth: int) -> Node:
        """The tree below these units, whose covariates the splits above leave these values."""
        split = None
        if depth > 0:
            split = best_split(
                self.known.covariates,
                self.mean,
                members,
                allowed,
                least_units=self.least_units,
                least_gain=self.least_gain,
            )
        if split is None:
            self.rules.append(rule_words(allowed))
            self.members.append(members)
            return Node(len(members), leaf=len(self.members))
        covariate = next(one for one in self.known.covariates if one.name == split.covariate)
        left = split.goes_left(covariate.values)[covariate.code[members]]
        below = [
            self.node(members[there], allowed | {split.covariate: condition}, depth - 1)
            for there, condition in ((left, split.left), (~left, split.right))
        ]
        return Node(len(members), split=split, left=below[0], right=below[1])


def _projected(effects: UnitEffects, known: Known, root: Node, grown: _Grown, prob: float) -> EffectTree:
    """Project every draw onto the leaves."""
    n = np.array([len(members) for members in grown.members])
    columns = np.zeros((len(effects), len(n)))
    for leaf, members in enumerate(grown.members):
        columns[members, leaf] = 1.0 / n[leaf]
    values = effects.projected(columns)
    away = values - effects.moments.average[..., None]
    told = r_squared(effects, (away**2 * n).sum(axis=-1))
    draws = effects.labelled(values, LEAF, {LEAF: np.arange(1, len(n) + 1)})
    table = summarize(draws, prob=prob).drop_vars(["prob_better", "prob_better_mcse"])
    table = table.assign(
        {
            "rule": (LEAF, grown.rules),
            N: (LEAF, n),
            "share": (LEAF, n / n.sum()),
            **summarize_r_squared(told, prob=prob),
        }
    )
    table.attrs = summary_attributes(draws, told, prob)
    return EffectTree(root, draws, told, table, dict(known.left_out))


def _splits(node: Node) -> Iterator[Split]:
    if node.split is not None and node.left is not None and node.right is not None:
        yield node.split
        yield from _splits(node.left)
        yield from _splits(node.right)
